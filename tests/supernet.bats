#!/usr/bin/env bats
# seki-supernet: training, its lines and its file, resuming, what it refuses.
# shellcheck disable=SC2030,SC2031,SC2094 # tests are subshells; no command reads what it writes

load helpers
load pictures
load resume

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    make_pictures pictures 240 40
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    pictures=$BATS_FILE_TMPDIR/pictures
    set -o pipefail
}

# A small supernet: SPACE FILE EPOCHS OPTION… $become, words of a command, runs it.
train() {
    local layers=1
    [ "$1" = nas201 ] || layers=3
    ${become-} seki-supernet -q -s "$1" -d "$pictures" -o "$2" -e "$3" -C 4 -L $layers -b 20 -t 1 --lr 0.05 "${@:4}"
}

@test "an epoch is a JSON line, and over the epochs the loss falls and the accuracy passes chance" {
    for space in darts nas201; do
        expect_status 0 train $space $space.st 25 -B cpu
        expect_equal "$(seq 25)" "$(member epoch <<< "$output")"
        expect_equal "" "$(jq -c 'select((.seconds > 0 and .images_per_second > 0 and .gradient_norm > 0 and
            .activation_bytes > 0 and .valid_loss > 0) | not)' <<< "$output")"
        jq -c '[.train_loss, .valid_accuracy]' <<< "$output"
        jq -e -s '(.[20:] | map(.train_loss) | add) < 0.85 * (.[:5] | map(.train_loss) | add) and
                  (.[20:] | map(.valid_accuracy) | add / 5) > 40' <<< "$output" # chance: 25
    done
}

@test "ref trains as cpu does" {
    for space in darts nas201; do
        train $space ref.st 1 -B ref -n 80 > ref
        train $space cpu.st 1 -B cpu -n 80 > cpu
        cat ref cpu
        jq -e -s '(.[0].train_loss - .[1].train_loss | fabs) < 1e-3 and
                  (.[0].gradient_norm - .[1].gradient_norm | fabs) < 2e-2' ref cpu
    done
}

@test "the learning rate goes down a cosine from --lr to --lr-end" {
    train nas201 a.st 4 -B cpu --lr-end 0.01 > lines
    expect_equal "0.05 0.0441 0.03 0.0159" \
        "$(jq '.lr * 10000 | round / 10000' lines | paste -sd ' ')"
}

@test "the file has PyTorch's names, its settings, and momenta until it is finished" {
    expect_status 0 train darts darts.st 1
    expect_status 0 train nas201 nas201.st 2
    tensors darts.st > darts
    tensors nas201.st > nas201
    for line in 'stem.0.weight F32 12,1,3,3' 'stem.1.running_var F32 12' 'stem.1.num_batches_tracked I64 ' \
        'cells.0.preprocess0.op.1.weight F32 4,12,1,1' 'cells.0._ops.0._ops.4.op.1.weight F32 4,1,3,3' \
        'cells.2._ops.0._ops.3.conv_1.weight F32 8,16,1,1' 'classifier.bias F32 4' \
        'seki = supernet' 'space = darts' 'channels = 4' 'layers = 3' 'image = 1,16,16' 'images = 240' 'epoch = 1'; do
        grep -qxF "$line" darts || { echo "missing: $line" && return 1; }
    done
    grep -qxF 'cells.0.edges.1<-0.3.op.1.weight F32 4,4,3,3' nas201 || { cat nas201 && return 1; }
    expect_equal 0 "$(grep -c '^momentum[.]' darts || true)"
    # Normalisation inside cells has no scale and no shift.
    expect_equal "" "$(grep -E '^cells.*op\.(2|3|7)\.(weight|bias) F32 [0-9]+$' darts || true)"
}

@test "killed at any step and resumed, darts ends with the same bytes" {
    killed_and_resumed darts 4 12 -n 120
}

@test "killed at any step and resumed, nas201 ends with the same bytes" {
    killed_and_resumed nas201 8 48
}

@test "SIGTERM and SIGINT end it after a step, which is kept" {
    stopped_and_resumed seki-supernet nas201 60 6 TERM
    rm part.st
    stopped_and_resumed seki-supernet darts 30 12 INT
}

@test "a signal that is ignored, as under nohup, does not stop it" {
    expect_status 0 bash -c "trap '' TERM; $(declare -f stop_at); stop_at a.st 6 TERM \
        seki-supernet -q -s nas201 -d '$pictures' -o a.st -e 20 -C 4 -L 1 -b 20 -t 1"
    expect_equal 20 "$(wc -l <<< "$output")"
}

@test "inside an epoch it saves every so many steps, and begun again it says where it stands" {
    while read -r every steps; do # an epoch has 6
        rm -f a.st
        status=0
        become="stop_at a.st 4 KILL" train nas201 a.st 500 --save-every "$every" > lines || status=$?
        expect_equal 137 "$status"
        tensors a.st > names
        epoch=$(sed -n 's/^epoch = //p' names) step=$(sed -n 's/^step = //p' names)
        expect_in " $steps " " $step "
        expected="seki-supernet: a.st: $epoch of 500 epochs are done"
        [ "$step" = 0 ] || expected+=", and $step of 6 steps of epoch $((epoch + 1))"
        seki-supernet -s nas201 -d "$pictures" -o a.st -e 500 -C 4 -L 1 -b 20 -t 1 --lr 0.05 --resume 2> told | head -1
        expect_equal "$expected" "$(head -1 told)"
    done << 'END'
1 1 2 3 4 5 6 0
4 4 0
7 0
0 0
END
}

@test "--resume with no file begins, with a finished one changes nothing" {
    expect_status 0 train nas201 a.st 2 --resume
    expect_equal 2 "$(wc -l <<< "$output")"
    cp a.st before
    expect_status 0 train nas201 a.st 2 --resume
    expect_equal "" "$output"
    cmp a.st before
}

@test "--resume with other settings ends with status 2, the setting named, the file as it was" {
    train nas201 a.st 1 > lines
    cp a.st before
    while read -r name options; do
        # shellcheck disable=SC2086
        expect_status 2 train nas201 a.st 1 --resume $options
        expect_in "$stderr" "seki-supernet: a.st: it was trained with $name "
    done << 'END'
lr --lr 0.1
lr_end --lr-end 0.5
seed --seed 1
batch --batch 24
epochs --epochs 5
channels --channels 6
layers --layers 2
images --images 200
momentum --momentum 0.5
weight_decay --weight-decay 0
clip --clip 0
space --space darts
END
    cmp a.st before
    make_pictures other 240 40 12
    expect_status 2 seki-supernet -q -s nas201 -d other -o a.st -e 1 -C 4 -L 1 -b 20 --lr 0.05 --resume
    expect_in "$stderr" "image 1,16,16"
    head -c 5000 before > a.st
    expect_status 1 train nas201 a.st 1 --resume
    expect_in "$stderr" "seki-supernet: a.st: " "it is cut"
    expect_equal 5000 "$(stat -c %s a.st)"
}

@test "the same seed gives the same bytes, another seed others" {
    for threads in 1 2; do
        train darts a.st 2 -B cpu -n 80 -t $threads --seed 7 > a
        train darts b.st 2 -B cpu -n 80 -t $threads --seed 7 > b
        cmp a.st b.st
        expect_equal "$(figures < a)" "$(figures < b)"
    done
    train darts c.st 2 -B cpu -n 80 --seed 8 > c
    expect_equal differ "$(cmp -s b.st c.st || echo differ)"
    expect_equal "$(stat -c %s b.st)" "$(stat -c %s c.st)"
}

@test "bf16 learns as fp32 does where the processor has it, and is refused elsewhere" {
    expect_status 2 train darts a.st 1 -p bf16 -B ref
    expect_in "$stderr" "seki-supernet: " "ref does not compute in bf16"
    expect_status 2 train darts a.st 1 -p fp16
    expect_in "$stderr" "--precision" "auto|fp32|tf32|bf16"
    if ! grep -qw avx512_bf16 /proc/cpuinfo; then
        expect_status 3 train darts a.st 1 -p bf16
        expect_in "$stderr" "seki-supernet: " "AVX512_BF16"
        [ ! -e a.st ]
        return
    fi
    for space in darts nas201; do
        train $space fp32.st 12 -B cpu > fp32
        train $space bf16.st 12 -B cpu -p bf16 > bf16
        train $space again.st 12 -B cpu -p bf16 > again
        jq -c '[.epoch, .train_loss, .valid_loss]' fp32 bf16
        cmp bf16.st again.st
        [ "$(tail -1 bf16 | member activation_bytes)" -lt $(($(tail -1 fp32 | member activation_bytes) * 2 / 3)) ]
        # Steps of so large a rate soon part; chance is log 4 = 1.39.
        jq -e -s 'map(.train_loss) | .[0] as $fp32 | .[12] as $bf16 |
            $fp32 != $bf16 and ($bf16 / $fp32 - 1 | fabs) < 0.01 and .[11] < 1.2 and .[23] < 1.2' fp32 bf16
        tensors bf16.st > tensors
        grep -qxF 'precision = bf16' tensors
        expect_status 2 train $space bf16.st 13 -B cpu --resume
        expect_in "$stderr" "bf16.st: it was trained with precision bf16"
    done
}

@test "wrong use ends with status 2" {
    while read -r expected arguments; do
        # shellcheck disable=SC2086
        expect_status 2 seki-supernet $arguments
        expect_in "$stderr" "seki-supernet: " "${expected//_/ }"
    done << END
--data_and_--output -o a.st
--data_and_--output -d $pictures
--space -s imagenet -d $pictures -o a.st
validation_pictures_are_too_few -d $pictures -o a.st -n 38 -b 10
fewer_than_a_batch -d $pictures -o a.st -n 100 -b 64
the_training_split_has_240 -d $pictures -o a.st -n 241
even_number -d $pictures -o a.st -C 5 -b 20
--epochs -d $pictures -o a.st -e 0
--batch -d $pictures -o a.st -b 1
--momentum -d $pictures -o a.st --momentum 1.5
missing -d missing -o a.st
a_folder -d $pictures -o .
operand -d $pictures -o a.st operand
END
    [ ! -e a.st ]
    make_pictures odd 240 40 18
    expect_status 2 seki-supernet -s nas201 -d odd -o a.st -b 20
    expect_in "$stderr" "multiples of 4" "18 x 18"
}

@test "pictures that are cut are an error of the input" {
    cp -r "$pictures" cut
    truncate -s -1 cut/train-labels-idx1-ubyte
    expect_status 1 seki-supernet -d cut -o a.st -b 20
    expect_in "$stderr" "train-labels-idx1-ubyte" "248" "247"
    cp -r "$pictures" short
    gzip short/train-images-idx3-ubyte
    truncate -s -100 short/train-images-idx3-ubyte.gz
    expect_status 1 seki-supernet -d short -o a.st -b 20
    expect_in "$stderr" "train-images-idx3-ubyte.gz"
    [ ! -e a.st ]
}

@test "a folder that cannot be written is told before the training" {
    expect_status 3 train nas201 no/such/folder/a.st 1
    expect_equal "" "$output"
    expect_in "$stderr" "no/such/folder/a.st: cannot write"
}

@test "a disk that is full leaves the old file" {
    train nas201 a.st 1 > lines
    cp a.st before
    # The limit on a file's size, 1024 bytes a unit, stands for the disk; SIGXFSZ is ignored.
    expect_status 3 bash -c "trap '' XFSZ; ulimit -f 4; seki-supernet -q -s nas201 -d '$pictures' -o a.st -e 1 -C 4 -L 1 -b 20 -t 1"
    expect_in "$stderr" "a.st"
    cmp a.st before
    [ -z "$(find . -name 'a.st?*')" ]
}

@test "an output that is full is a failed resource, and what was trained is kept" {
    expect_status 3 bash -c "seki-supernet -q -s nas201 -d '$pictures' -o a.st -e 3 -C 4 -L 1 -b 20 -t 1 > /dev/full"
    expect_in "$stderr" "seki-supernet: " "No space left"
    expect_equal 'epoch = 0,step = 6' "$(tensors a.st | grep -xE '(epoch|step) = .*' | paste -sd ,)"
}

@test "a reader that goes away ends the training quietly, what was trained is kept" {
    expect_status 0 bash -c "seki-supernet -q -s nas201 -d '$pictures' -o a.st -e 500 -C 4 -L 1 -b 20 -t 1 | head -1; exit \"\${PIPESTATUS[0]}\""
    expect_equal 1 "$(wc -l <<< "$output")"
    expect_equal "" "$stderr"
    # A reader that is gone as soon as it has the first line may not have had it: then that epoch has yet to end.
    state=$(tensors a.st | grep -xE '(epoch|step) = .*' | paste -sd ,)
    [[ $state =~ ^'epoch = '([0-9]+),'step = '([0-9]+)$ ]] || { echo "$state" && return 1; }
    [ "${BASH_REMATCH[1]}" -lt 500 ] && [ $((BASH_REMATCH[1] + BASH_REMATCH[2])) -ge 1 ]
}

@test "an epoch that no reader was told of is told by the run that goes on" {
    train nas201 whole.st 3 > whole
    for _ in 1 2 3; do
        # The pipe is broken from the beginning: its reader ends before the first epoch does.
        expect_status 0 bash -c "seki-supernet -q -s nas201 -d '$pictures' -o a.st -e 3 -C 4 -L 1 -b 20 -t 1 --lr 0.05 --resume | :"
        expect_equal 'epoch = 0,step = 6' "$(tensors a.st | grep -xE '(epoch|step) = .*' | paste -sd ,)"
    done
    train nas201 a.st 3 --resume > lines
    expect_equal "$(figures < whole)" "$(figures < lines)"
    cmp whole.st a.st
}

@test "a learning rate that is too high ends with the step at which the loss was no number" {
    expect_status 1 train nas201 a.st 3 --lr 1000 --clip 0 --weight-decay 1
    expect_in "$stderr" "training diverged: the loss of epoch" "lower learning rate"
}
