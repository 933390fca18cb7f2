#!/usr/bin/env bats
# The GPU backend from the programs' side: the shared object, how it is found and refused; and
# training and scoring on what tests/cuda puts in a GPU's place.
# shellcheck disable=SC2030,SC2031,SC2094 # tests are subshells; no command reads what it writes

load helpers
load pictures
load resume

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    make_pictures pictures 160 40 8
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    pictures=$BATS_FILE_TMPDIR/pictures
    PATH=$build/stand-in/bin:$PATH
    # The libraries' own leaks, and the threads' that OpenMP keeps.
    export ASAN_OPTIONS=detect_leaks=0
    set -o pipefail
}

# A small supernet: FILE EPOCHS OPTION…
train() {
    ${become-} seki-supernet -q -s nas201 -d "$pictures" -o "$1" -e "$2" -C 4 -L 1 -b 20 -n 80 --lr 0.05 -B cuda "${@:3}"
}

# ---- The shared object --------------------------------------------------------------------------

@test "the shared object shows one symbol, and needs nothing but CUDA and the system" {
    [ -e "$build/lib/seki/seki-cuda.so" ] || skip "no CUDA compiler: seki-cuda.so is not built"
    expect_equal seki_module "$(nm -D --defined-only "$build/lib/seki/seki-cuda.so" | awk '{ print $NF }')"
    expect_equal "" "$(nm -D --undefined-only "$build/lib/seki/seki-cuda.so" | awk '{ print $NF }' |
        grep -vE '@(GLIBC_|libcudart|libcudnn)|^(_ITM_|__gmon_start__)')"
}

@test "the programs themselves know no CUDA" {
    for program in seki-supernet seki-eval seki-train; do
        expect_equal "" "$(ldd "$build/bin/$program" | grep -iE 'cuda|cudnn')"
    done
}

@test "where it is not built, cuda is refused and auto is the processor" {
    mkdir bin
    cp "$build/bin/seki-supernet" bin
    PATH=$PWD/bin:$PATH
    expect_status 3 train a.st 1
    expect_in "$stderr" "seki-supernet: seki-cuda.so is not built" "make"
    expect_status 0 train a.st 1 -B auto
    expect_status 0 seki-supernet --backend list
    expect_in "$output" "cuda	not here: seki-cuda.so is not built" "cpu	fp32" "ref	fp32"
}

@test "one of another version is refused" {
    mkdir -p bin lib/seki
    cp "$build/bin/seki-supernet" bin
    printf 'const struct { const char *version; unsigned long bytes; void *ops; } seki_module = {"0.0.0", 1, 0};\n' > old.c
    gcc -shared -fPIC old.c -o lib/seki/seki-cuda.so
    PATH=$PWD/bin:$PATH
    expect_status 3 train a.st 1
    expect_in "$stderr" "lib/seki/seki-cuda.so is of another version"
    echo "no object" > lib/seki/seki-cuda.so
    expect_status 3 train a.st 1
    expect_in "$stderr" "lib/seki/seki-cuda.so cannot be loaded"
}

# ---- Devices ------------------------------------------------------------------------------------

@test "list says what there is" {
    for program in seki-eval seki-supernet seki-train; do
        expect_status 0 $program --backend list
        expect_in "$output" "cuda	fp32, tf32, bf16" "cpu	fp32" "ref	fp32"
    done
    STAND_IN_DEVICES=0 expect_status 0 seki-eval -B list
    expect_in "$output" "cuda	not here: cuda: no GPU can be used: no CUDA-capable device is detected"
}

@test "no driver, no device, one that is too old: status 3, and auto is the processor" {
    STAND_IN_DEVICES=-1 expect_status 3 train a.st 1
    expect_in "$stderr" "seki-supernet: cuda: no GPU can be used: CUDA driver version is insufficient"
    STAND_IN_DEVICES=0 expect_status 3 train a.st 1
    expect_in "$stderr" "no CUDA-capable device is detected"
    STAND_IN_CAPABILITY=7 expect_status 3 train a.st 1
    expect_in "$stderr" "compute capability 7.0" "8.0"
    STAND_IN_DEVICES=0 expect_status 0 train a.st 1 -B auto
    expect_in "$(tensors a.st)" "precision = fp32"
}

@test "a cuDNN that cannot be used is told, and cuda-own does without it" {
    for broken in old broken; do
        STAND_IN_CUDNN=$broken expect_status 3 train a.st 1 -C 16
        expect_in "$stderr" "seki-supernet: cuDNN" "--backend cuda-own"
    done
    STAND_IN_CUDNN=old expect_status 0 train a.st 1 -C 16 -B cuda-own
}

@test "memory that does not suffice is told with its size, status 3, also by auto" {
    for backend in cuda auto; do
        STAND_IN_MEMORY=100000 expect_status 3 train a.st 1 -B $backend
        expect_in "$stderr" "seki-supernet: " "the GPU has no " "bytes left" "smaller batch"
        [ ! -e a.st ]
    done
}

# ---- Work ---------------------------------------------------------------------------------------

@test "auto takes the GPU, in bf16" {
    expect_status 0 train a.st 1 -B auto
    expect_in "$(tensors a.st)" "precision = bf16"
}

@test "--verbose says what computes, and how many bytes a step takes" {
    for backend in cuda cpu; do
        expect_status 0 seki-supernet -v -s nas201 -d "$pictures" -o a.st -e 1 -C 4 -L 1 -b 20 -n 80 -B $backend -p fp32
        [[ $stderr =~ "seki-supernet: $backend computes, in fp32; a step takes "([1-9][0-9]*)" bytes of activations and "([1-9][0-9]*)" of parameters" ]]
        expect_equal "$(jq .activation_bytes <<< "$output")" "${BASH_REMATCH[1]}"
    done
    expect_in "$stderr" " 0 hold pictures"
    train a.st 1 -v 2> quiet
    expect_equal "" "$(cat quiet)"
}

@test "in fp32 the GPU trains as the processor does, the same seed gives the same bytes" {
    train a.st 2 -p fp32 > a
    train b.st 2 -p fp32 > b
    train cpu.st 2 -p fp32 -B cpu -t 1 > cpu
    cmp a.st b.st
    expect_equal "$(figures < a)" "$(figures < b)"
    cat a cpu
    jq -e -s '(.[0].train_loss - .[2].train_loss | fabs) < 1e-3 and (.[0].gradient_norm - .[2].gradient_norm | fabs) < 2e-2' a cpu
}

@test "killed in an epoch and resumed, it ends with the same bytes" {
    train whole.st 2 > whole
    expect_equal 137 "$(become='stop_at a.st 3 KILL' train a.st 2 --save-every 1 > a 2> died || echo $?)"
    train a.st 2 --save-every 1 --resume > rest
    cmp whole.st a.st
    expect_equal "$(figures < whole)" "$(cat a rest | figures)"
}

@test "a final network is killed and resumed to the same bytes" {
    final() { # FILE OPTION…
        ${become-} seki-train -q -d "$pictures" -o "$1" -C 4 -L 1 -e 2 -b 20 -n 80 --lr 0.05 -B cuda "${@:2}" genotype
    }
    echo "$nas201_genotype" >genotype
    final whole.st >whole
    expect_equal 137 "$(become='stop_at a.st 3 KILL' final a.st --save-every 1 >a 2>died || echo $?)"
    final a.st --save-every 1 --resume >rest
    cmp whole.st a.st
}

@test "candidates are scored as on the processor" {
    train a.st 4 -p fp32 > epochs
    seki-propose --policy random --space nas201 -n 6 --seed 3 > candidates
    seki-eval -q -s a.st -d "$pictures" -p fp32 -B cuda candidates > gpu
    seki-eval -q -s a.st -d "$pictures" -p fp32 -B cpu -t 1 candidates > cpu
    expect_equal "$(jq -c '[.id, .score]' cpu)" "$(jq -c '[.id, .score]' gpu)"
    jq -e -s '[.[:6], .[6:]] | transpose | all((.[0].metrics.valid_loss - .[1].metrics.valid_loss | fabs) < 1e-4)' gpu cpu
}

@test "a final network is trained and tested" {
    seki-train -q -d "$pictures" -o a.st -C 4 -L 1 -e 2 -b 20 -n 80 --lr 0.05 -B cuda -p fp32 \
        > trained <<< "$nas201_genotype"
    jq -e -s 'last | .metrics.test_accuracy > 0 and .metrics.epochs == 2' trained
    expect_status 0 seki-eval -q -w a.st -d "$pictures" -B cuda -p fp32 <<< "$nas201_genotype"
    expect_equal "$(jq -s 'last.metrics.test_accuracy' trained)" "$(jq '.metrics.test_accuracy' <<< "$output")"
}
