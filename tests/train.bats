#!/usr/bin/env bats
# seki-train: training, its lines and its file, resuming, what it refuses.
# shellcheck disable=SC2030,SC2031,SC2094 # tests are subshells; no command reads what it writes

load helpers
load pictures
load resume

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    make_pictures pictures 160 40
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    pictures=$BATS_FILE_TMPDIR/pictures
    printf '%s\n' "$darts_genotype" > darts
    printf '%s\n' "$nas201_genotype" > nas201
    set -o pipefail
}

# A small network of the record in file SPACE: SPACE FILE EPOCHS OPTION… $become, words of a
# command, runs it.
train() {
    local layers=1
    [ "$1" = nas201 ] || layers=3
    ${become-} seki-train -q -d "$pictures" -o "$2" -e "$3" -C 4 -L $layers -b 20 -t 1 --lr 0.05 \
        --auxiliary 0 "${@:4}" "$1"
}

@test "the epochs come as JSON lines, the record last with its test accuracy" {
    for space in darts nas201; do
        expect_status 0 train $space $space.st 3 -B cpu
        expect_equal "1 2 3" "$(head -3 <<< "$output" | member epoch | paste -sd ' ')"
        expect_equal 4 "$(wc -l <<< "$output")"
        tail -1 <<< "$output" > record
        cat record
        jq -e '.metrics.test_accuracy > 60 and .metrics.test_loss < 1 and .metrics.epochs == 3' record
        expect_equal "$space $(cat $space)" "$(jq -r '"\(.space) \(.genotype)"' record)"
        head -3 <<< "$output" | jq -e -s '.[2].train_loss < 0.8 * .[0].train_loss and
            (map(has("valid_accuracy") or has("test_accuracy")) | any | not)'
    done
}

@test "members that are not known stay in the record, and its score" {
    echo '{"note":  "caf\u00e9", "score": 93.20, "metrics": {"own": 1e1}, "genotype": "'"$nas201_genotype"'"}' |
        seki-train -q -d "$pictures" -o a.st -e 1 -C 4 -L 1 -b 20 -t 1 > lines
    expect_in "$(tail -1 lines)" '"note":  "caf\u00e9"' '"score": 93.20' '"own": 1e1' '"test_accuracy": '
}

@test "ref trains as cpu does" {
    for space in darts nas201; do
        # Drop path begins in the second epoch.
        train $space ref.st 2 -B ref -n 60 --drop-path 0.5 > ref
        train $space cpu.st 2 -B cpu -n 60 --drop-path 0.5 > cpu
        cat ref cpu
        jq -e -s '(.[1].train_loss - .[4].train_loss | fabs) < 1e-2 and
                  (.[2].metrics.test_loss - .[5].metrics.test_loss | fabs) < 2e-2' ref cpu
        train $space none.st 2 -B cpu -n 60 --drop-path 0 > none
        jq -e -s '.[0].train_loss == .[3].train_loss and .[1].train_loss != .[4].train_loss' cpu none
    done
}

@test "lax genotypes are trained: repeated inputs, none, other concats, NASNet's operations" {
    echo "Genotype(normal=[('conv_7x1_1x7', 0), ('conv_7x1_1x7', 0), ('none', 1), ('none', 2), ('sep_conv_7x7', 3), ('skip_connect', 0)], normal_concat=[4, 2], reduce=[('conv_7x1_1x7', 1), ('max_pool_3x3', 1)], reduce_concat=[2])" > darts
    train darts a.st 1 > lines
    tensors a.st > names
    for line in 'cells.0._ops.0.1.weight F32 4,4,1,7' 'cells.0._ops.0.2.weight F32 4,4,7,1' \
        'cells.0._ops.0.3.weight F32 4' 'cells.0._ops.4.op.1.weight F32 4,1,7,7' \
        'cells.1._ops.0.1.weight F32 8,8,1,7' 'cells.1.preprocess1.op.1.weight F32 8,8,1,1'; do
        grep -qxF "$line" names || { echo "missing: $line" && cat names && return 1; }
    done
    expect_equal "$(seki-eval --cost -C 4 -L 3 -d "$pictures" darts | member metrics.params)" "$(parameters names)"
}

# Numbers that are trained, by the names and shapes in file $1.
parameters() {
    grep -v -e running_ -e '^momentum[.]' "$1" | awk '$2 == "F32" {
        count = 1; n = split($3, size, ","); for (i = 1; i <= n; i++) count *= size[i]; sum += count
    } END { print sum }'
}

@test "the finished file holds PyTorch's tensors and nothing else, as many numbers as seki-eval counts" {
    while read -r space layers; do
        train "$space" "$space.st" 1 > lines
        tensors "$space.st" > "names.$space"
        expect_equal "" "$(grep '^momentum[.]' "names.$space" || true)"
        expect_equal "$(seki-eval --cost -C 4 -L "$layers" -d "$pictures" "$space" |
            member metrics.params)" "$(parameters "names.$space")"
    done <<< $'darts 3\nnas201 1'
    while read -r space line; do
        grep -qxF "$line" "names.$space" || { echo "missing: $line" && cat "names.$space" && return 1; }
    done << END
darts stem.0.weight F32 12,1,3,3
darts stem.1.weight F32 12
darts stem.1.bias F32 12
darts stem.1.running_mean F32 12
darts stem.1.running_var F32 12
darts cells.0.preprocess0.op.1.weight F32 4,12,1,1
darts cells.0.preprocess0.op.2.weight F32 4
darts cells.0._ops.0.op.1.weight F32 4,1,3,3
darts cells.0._ops.0.op.2.weight F32 4,4,1,1
darts cells.0._ops.0.op.3.weight F32 4
darts cells.0._ops.0.op.5.weight F32 4,1,3,3
darts cells.0._ops.0.op.6.weight F32 4,4,1,1
darts cells.0._ops.0.op.7.bias F32 4
darts cells.0._ops.2.op.1.weight F32 4,1,3,3
darts cells.0._ops.2.op.3.running_var F32 4
darts cells.1._ops.1.conv_1.weight F32 4,8,1,1
darts cells.1._ops.1.conv_2.weight F32 4,8,1,1
darts cells.1._ops.1.bn.weight F32 8
darts cells.2.preprocess0.conv_1.weight F32 8,16,1,1
darts classifier.weight F32 4,64
darts classifier.bias F32 4
darts seki = network
darts genotype = $darts_genotype
darts epoch = 1
nas201 stem.0.weight F32 4,1,3,3
nas201 cells.0.layers.0.op.1.weight F32 4,4,3,3
nas201 cells.0.layers.1.op.1.weight F32 4,4,1,1
nas201 cells.1.conv_a.op.1.weight F32 8,4,3,3
nas201 cells.1.downsample.1.weight F32 8,4,1,1
nas201 lastact.0.weight F32 16
nas201 classifier.weight F32 4,16
END
    grep -qE '^stem.1.num_batches_tracked I64 ?$' names.darts
}

@test "with an auxiliary head the file holds it too, and it is not counted" {
    make_pictures whole 40 8 32
    seki-train -q -d whole -o a.st -e 1 -C 4 -L 3 -b 20 -t 1 darts > lines
    tensors a.st > names
    grep -qxF 'auxiliary_head.features.2.weight F32 128,64,1,1' names
    grep -qxF 'auxiliary_head.features.5.weight F32 768,128,2,2' names
    grep -qxF 'auxiliary_head.features.6.running_mean F32 768' names
    grep -qxF 'auxiliary_head.classifier.weight F32 4,768' names
    grep -v '^auxiliary_head' names > without
    expect_equal "$(seki-eval --cost -C 4 -L 3 -d whole darts | member metrics.params)" "$(parameters without)"
    # Of smaller pictures nothing is left for it.
    expect_status 2 seki-train -q -d "$pictures" -o b.st -e 1 -C 4 -L 3 -b 20 darts
    expect_in "$stderr" "auxiliary head needs 8 x 8" "16 x 16" "auxiliary weight 0"
}

@test "killed at any step and resumed, darts with drop path ends with the same bytes and record" {
    killed_and_resumed darts 5 25 -n 100 --drop-path 0.4
}

@test "killed at any step and resumed, an auxiliary head ends with the same bytes and record" {
    make_pictures whole-pictures 60 8 32
    killed_and_resumed darts 3 9 -d whole-pictures --drop-path 0.4 --auxiliary 0.4
    grep -q '^momentum[.]auxiliary_head[.]' part
}

@test "killed at any step and resumed, nas201 ends with the same bytes and record" {
    killed_and_resumed nas201 8 40 -n 100
}

@test "SIGTERM and SIGINT end it after a step, which is kept" {
    stopped_and_resumed seki-train nas201 60 8 TERM
    rm part.st
    stopped_and_resumed seki-train darts 30 16 INT
}

@test "--resume with a finished file trains nothing and prints the record" {
    train nas201 a.st 2 > first
    cp a.st before
    expect_status 0 train nas201 a.st 2 --resume
    expect_equal "$(tail -1 first)" "$output"
    cmp a.st before
}

@test "--resume with other settings ends with status 2, the setting named, the file as it was" {
    train darts a.st 1 > lines
    cp a.st before
    while read -r name options; do
        # shellcheck disable=SC2086
        expect_status 2 train darts a.st 1 --resume $options
        expect_in "$stderr" "seki-train: a.st: it was trained with $name "
    done << 'END'
lr --lr 0.1
seed --seed 1
epochs --epochs 5
channels --channels 6
images --images 100
drop_path --drop-path 0.1
augmentation --cutout 2
clip --clip 1
END
    sed 's/max_pool/avg_pool/' darts > other
    cp other darts
    expect_status 2 train darts a.st 1 --resume
    expect_in "$stderr" "trained with genotype "
    expect_status 2 train nas201 a.st 1 --resume
    expect_in "$stderr" "trained with space darts, this run has nas201"
    cmp a.st before
    seki-supernet -q -d "$pictures" -o a.st -e 1 -C 4 -L 3 -b 20 -t 1 > lines
    expect_status 2 train darts a.st 1 --resume
    expect_in "$stderr" "trained with seki supernet, this run has network"
}

@test "the same seed gives the same bytes, another seed others" {
    for threads in 1 2; do
        train darts a.st 2 -B cpu -n 40 -t $threads --seed 7 --drop-path 0.3 > a
        train darts b.st 2 -B cpu -n 40 -t $threads --seed 7 --drop-path 0.3 > b
        cmp a.st b.st
        expect_equal "$(tail -1 a)" "$(tail -1 b)"
    done
    train darts c.st 2 -B cpu -n 40 --seed 8 --drop-path 0.3 > c
    expect_equal differ "$(cmp -s b.st c.st || echo differ)"
}

@test "an input without a genotype is an error of the input" {
    while IFS='|' read -r input expected; do
        printf '%b' "$input" > in
        expect_status 1 seki-train -q -d "$pictures" -o a.st in
        expect_in "$stderr" "seki-train: " "$expected"
        expect_equal "" "$output"
    done << 'END'
|no record
\n\n|no record
{"score": 1}\n|no member 'genotype'
{"score": NaN}\n|in:1: 
{"error": {"code": "endpoint", "message": "it was down"}}\n|it was down
nonsense\n|in:1: 
END
    sed "s/'sep_conv_3x3', 0/'sep_conv_3x3', 7/" darts > in
    expect_status 1 seki-train -q -d "$pictures" -o a.st in
    expect_in "$stderr" "input 7"
    [ ! -e a.st ]
}

@test "wrong use ends with status 2, a resource that fails with 3" {
    expect_status 2 seki-train -d "$pictures" darts
    expect_in "$stderr" "--data and --output are needed"
    expect_status 2 train darts a.st 1 --drop-path 1
    expect_in "$stderr" "drop-path"
    expect_status 2 train darts a.st 1 -n 10
    expect_in "$stderr" "fewer than a batch of 20"
    expect_status 2 train darts a.st 1 -n 161
    expect_in "$stderr" "the training split has 160"
    expect_status 2 train darts a.st 1 -C 3
    expect_in "$stderr" "even number"
    expect_status 2 train darts a.st 1 -d missing
    expect_in "$stderr" "missing"
    expect_status 2 train darts . 1
    expect_in "$stderr" "a folder"
    [ ! -e a.st ]
    expect_status 3 train missing a.st 1
    expect_in "$stderr" "missing"
    expect_status 3 train darts no/such/folder/a.st 1
    expect_equal "" "$output"
    expect_in "$stderr" "no/such/folder/a.st: cannot write"
}

@test "a test set that is cut is told before the training" {
    cp -r "$pictures" cut
    rm cut/t10k-labels-idx1-ubyte
    expect_status 1 train nas201 a.st 1 -d cut
    expect_in "$stderr" "t10k-labels-idx1-ubyte"
    expect_equal "" "$output"
}

@test "an output that is full is a failed resource, a reader that goes away is none" {
    expect_status 3 bash -c "seki-train -q -d '$pictures' -o a.st -e 2 -C 4 -L 1 -b 20 -t 1 nas201 > /dev/full"
    expect_in "$stderr" "seki-train: " "No space left"
    expect_status 0 bash -c "seki-train -q -d '$pictures' -o b.st -e 500 -C 4 -L 1 -b 20 -t 1 nas201 | head -1; exit \"\${PIPESTATUS[0]}\""
    expect_equal 1 "$(wc -l <<< "$output")"
    # A reader that is gone as soon as it has the first line may not have had it: then that epoch has yet to end.
    state=$(tensors b.st | grep -xE '(epoch|step) = .*' | paste -sd ,)
    [[ $state =~ ^'epoch = '([0-9]+),'step = '([0-9]+)$ ]] || { echo "$state" && return 1; }
    [ "${BASH_REMATCH[1]}" -lt 500 ] && [ $((BASH_REMATCH[1] + BASH_REMATCH[2])) -ge 1 ]
}

@test "progress is shown but for --quiet" {
    seki-train -d "$pictures" -o a.st -e 2 -C 4 -L 1 -b 20 -t 1 nas201 2> told > lines
    seki-train -d "$pictures" -o a.st -e 2 -C 4 -L 1 -b 20 -t 1 --resume nas201 2> told > lines
    grep -q 'seki-train: a.st: 2 of 2 epochs are done' told
    seki-train -d "$pictures" -o a.st -e 2 -C 4 -L 1 -b 20 -t 1 --resume -q nas201 2> told > lines
    expect_equal "" "$(cat told)"
}
