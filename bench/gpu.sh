#!/bin/sh
# gpu.sh - all that a machine with a GPU is wanted for, in under nine minutes: the GPU's tests, the engine beside
# PyTorch on the same GPU, what its kernels take, a supernet's epochs and the scoring of 50 candidates at the sizes of a
# search. What it measures is put into OUT (build/gpu/results), in the place of what was measured before: about.txt,
# tests.log, peak.json; gpu.jsonl, kernels.jsonl and search.jsonl, for bench/results; table.md, whose last table has the targets.
#
#   bench/gpu.sh --bundle    here: builds, and packs programs, tests and the libraries that they need into build/gpu.tar.xz,
#                            for a machine without network, which needs nothing else but the sources, PyTorch and its cuDNN
#   bench/gpu.sh             there, in the sources' folder: runs what was packed; without it builds first
#   bench/gpu.sh --only CASE that case of bench/engine alone, and PyTorch compiles as long as there is time: a final
#                            network takes it longer than all else together leaves; OUT is build/gpu/results-CASE
#   bench/gpu.sh --on cpu    tries the script itself, short, on a machine without a GPU
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
device=cuda bundle='' only=''
while [ $# -gt 0 ]; do
    case $1 in
    --bundle) bundle=yes ;;
    --on) device=${2:?--on needs cpu or cuda} && shift ;;
    --only) only=${2:?--only needs a case} && shift ;;
    *) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift
done
case $device in
cpu | cuda) ;;
*) echo "gpu.sh: --on $device: expected cpu or cuda" >&2 && exit 2 ;;
esac
cases='supernet-train final-train supernet-score nas201-train supernet-one final-infer'
case " $cases " in
*" ${only:-final-train} "*) ;;
*) echo "gpu.sh: --only $only: expected one of $cases" >&2 && exit 2 ;;
esac
root=$top/build/gpu
tests='test_cuda_blocks test_cuda_cudnn test_cuda_pictures test_cuda_training test_backend_training'
programs='seki-supernet seki-eval seki-propose'

build() { # FOLDER
    # shellcheck disable=SC2046,SC2086 # lists of words
    make -j"$(nproc)" BUILD="$1" gpu-backend bench-build $(printf "$1/tests/%s " $tests) $(printf "$1/bin/%s " $programs) >&2
}

# The libraries of the programs, but for those that every system has, and cuDNN's, which are large and come with PyTorch.
copy_libraries() {
    mkdir -p "$root/libraries"
    ldd "$root"/tests/* "$root/bench/engine" "$root"/bin/* "$root/lib/seki/seki-cuda.so" | awk '$3 ~ /^\// { print $3 }' | sort -u |
        grep -vE '/(libc|libm|libdl|libpthread|librt|libresolv|ld-linux[^/]*|libcudnn[^/]*|libcublas[^/]*|libnvrtc[^/]*)\.so' |
        xargs -I {} cp -L {} "$root/libraries"
}

if [ -n "$bundle" ]; then
    build build
    rm -rf "$root"
    mkdir -p "$root/bin" "$root/tests" "$root/bench" "$root/lib/seki"
    for name in $programs; do cp "build/bin/$name" "$root/bin"; done
    for name in $tests; do cp "build/tests/$name" "$root/tests"; done
    cp build/bench/engine build/bench/peak build/bench/kernel_times.so "$root/bench"
    cp build/lib/seki/seki-cuda.so "$root/lib/seki"
    strip "$root"/bin/* "$root"/tests/* "$root"/bench/*
    git describe --always --dirty >"$root/commit" 2>/dev/null || :
    copy_libraries
    tar -C build -cJf build/gpu.tar.xz gpu
    du -sh build/gpu.tar.xz >&2
    exit 0
fi

# ---- Time ------------------------------------------------------------------------------------

began=$(date +%s)
limit=530 # seconds for all
left() {
    echo $((limit - $(date +%s) + began))
}
say() {
    echo "gpu.sh: $*, $(left) s left" >&2
}

# within SECONDS COMMAND…: no longer than that, nor than there is left for all.
within() {
    most=$1
    shift
    [ "$(left)" -gt "$most" ] || most=$(left)
    [ "$most" -gt 0 ] || return 124
    timeout -k 5 "$most" "$@"
}

# ---- Programs and their libraries --------------------------------------------------------------

if ! [ -d "$root/bin" ] && [ -e build/gpu.tar.xz ]; then
    tar -C build -xf build/gpu.tar.xz
elif ! [ -d "$root/bin" ]; then
    root=$top/build
    build build
fi
# For our programs alone: Python and PyTorch have libraries of the same names and other versions.
libraries=$root/libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

# Folders of PyTorch's wheels that hold the library, or what cuDNN opens by itself.
wheel_folders() { # LIBRARY
    python3 - "$1" <<'END'
import glob, os, sys
for name in (sys.argv[1], "libnvrtc.so.*", "libcublasLt.so.*"):
    found = [file for path in sys.path for file in sorted(glob.glob(os.path.join(path, "nvidia", "*", "lib", name)))]
    if not found and name == sys.argv[1]:
        break
    print("".join(":" + os.path.dirname(file) for file in found[:1]), end="")
END
}

if [ -e "$root/lib/seki/seki-cuda.so" ]; then
    for name in $(LD_LIBRARY_PATH=$libraries ldd "$root/lib/seki/seki-cuda.so" | awk '/not found/ { print $1 }'); do
        folders=$(wheel_folders "$name") || folders=
        [ -n "$folders" ] || say "$name is not found"
        libraries=$libraries$folders
    done
fi
PATH=$root/bin:$PATH
commit=$(cat "$root/commit" 2>/dev/null || git describe --always --dirty) || commit=

ours() { # SECONDS PROGRAM OPTION…
    seconds=$1
    shift
    within "$seconds" env LD_LIBRARY_PATH="$libraries" "$@"
}

out=${OUT:-$top/build/gpu/results${only:+-$only}}
mkdir -p "$out"
for name in gpu kernels own search; do : >"$out/$name.jsonl"; done
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT

# ---- What is measured --------------------------------------------------------------------------

# bench SECONDS PROGRAM OPTION…: of bench/engine.
bench() {
    seconds=$1 program=$2
    shift 2
    within "$seconds" env SEKI_BENCH_BUILD="$root/bench" SEKI_BENCH_TORCH="$(command -v python3)" \
        SEKI_BENCH_LIBRARIES="$libraries" SEKI_BENCH_COMMIT="$commit" "bench/engine/$program" "$@"
}

# measure SECONDS CASE: the engine beside PyTorch. What is measured is kept where peers run out of time.
measure() {
    [ -z "$only" ] || [ "$only" = "$2" ] || return 0
    say "$2"
    peers=$(($1 < $(left) - 25 ? $1 : $(left) - 25))
    if [ "$peers" -lt 15 ]; then
        say "no time for $2"
    elif [ "$device" = cuda ]; then
        bench $((peers + 25)) run --device cuda --seconds "$peers" --peak "$out/peak.json" --output "$out/gpu.jsonl" --case "$2"
    else
        bench $((peers + 25)) run --quick --no-peers --precision fp32 --output "$out/gpu.jsonl" --case "$2"
    fi || echo "gpu.sh: $2: not all was measured" >&2
}

# kernels CASE: after measure, which it takes a step's time from.
kernels() {
    [ "$device" = cuda ] || return 0
    [ -z "$only" ] || [ "$only" = "$1" ] || return 0
    bench 30 kernels --case "$1" --seconds 12 --steps "$out/gpu.jsonl" --output "$out/kernels.jsonl" ||
        echo "gpu.sh: $1: kernels were not timed" >&2
}

say "the machine"
{
    date -u +%FT%TZ
    echo "seki $commit"
    nvidia-smi || echo "no nvidia-smi"
    within 60 python3 -c 'import torch; print("PyTorch", torch.__version__, "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version())' || echo "no PyTorch"
    echo "libraries: $libraries"
    ours 30 seki-eval --backend list
} >"$out/about.txt" 2>&1
tail -n 3 "$out/about.txt" >&2
if [ "$device" = cuda ]; then
    within 60 python3 bench/engine/gpu_peak.py >"$out/peak.json" || echo "gpu.sh: the GPU's peaks were not measured" >&2
fi

if [ -n "$only" ] && [ "$device" = cuda ]; then
    say "compiling $only"
    bench $(($(left) - 160)) run --device cuda --prepare --seconds $(($(left) - 165)) --case "$only" || say "not all was compiled"
fi

# Meanwhile PyTorch compiles what it keeps: the tests take no times.
run_tests() {
    say "tests"
    if [ "$device" = cuda ]; then
        for case in final-train nas201-train supernet-one; do
            bench 120 run --device cuda --prepare --seconds 115 --case $case >"$data/$case.log" 2>&1 &
        done
    fi
    tests_end=$(($(left) - 120))
    for name in $tests; do
        status=0
        ours $(($(left) - tests_end)) "$root/tests/$name" >"$data/log" 2>&1 || status=$?
        cat "$data/log"
        echo "$name: status $status, $(grep -c '^\[       OK' "$data/log") passed, $(grep '^\[  SKIPPED \] test' "$data/log" | sort -u | grep -c .) skipped"
    done >"$out/tests.log" 2>&1
    grep -E ': status [0-9]' "$out/tests.log" >&2 || :
    wait
    say "compiled"
}

# told KIND MEMBERS SINCE: a line of search.jsonl; SINCE: nanoseconds of the clock.
told() {
    echo "{\"measured\": \"$1\", $2, \"milliseconds\": $((($(date +%s%N) - $3) / 1000000))}" >>"$out/search.jsonl"
}

# A supernet of CIFAR-10's size on noise: 25,000 pictures to train, 25,000 to score, as the paper has it.
search() {
    say "a search's epochs and candidates"
    python3 - "$data" <<'END'
import os, sys
folder = os.path.join(sys.argv[1], "cifar-10-batches-bin")
os.mkdir(folder)
for name, pictures in [(f"data_batch_{i}.bin", 10000) for i in range(1, 6)] + [("test_batch.bin", 10000)]:
    records = bytearray(os.urandom(3073 * pictures))
    records[::3073] = bytes(i % 10 for i in range(pictures))
    with open(os.path.join(folder, name), "wb") as file:
        file.write(records)
END
    images=0 candidates=50 epochs=3
    [ "$device" = cuda ] || { images=400 && candidates=3 && epochs=1; }
    since=$(date +%s%N)
    if ours 60 seki-supernet -d "$data" -o "$data/supernet.st" -e "$epochs" -n "$images" -B "$device" --verbose --seed 1 >"$data/epochs"; then
        told supernet "\"epochs\": $epochs" "$since"
    else
        say "the supernet was not trained"
    fi
    sed 's/^{/{"measured": "supernet epoch", /' "$data/epochs" >>"$out/search.jsonl"
    if [ -e "$data/supernet.st" ]; then
        ours 30 seki-propose --policy random --space darts -n "$candidates" --seed 1 >"$data/candidates"
        since=$(date +%s%N)
        ours 60 seki-eval -q -s "$data/supernet.st" -d "$data" -B "$device" "$data/candidates" >"$data/scored" || say "not all candidates were scored"
        told candidates "\"count\": $(grep -c '"score"' "$data/scored")" "$since"
    fi
    cat "$out/search.jsonl" >&2
}

[ -n "$only" ] || run_tests
[ -n "$only" ] || search

# The likeliest to matter first: what there is no time for is left out.
measure 130 supernet-train
kernels supernet-train
measure 100 final-train
kernels final-train
measure 40 supernet-score
kernels supernet-score
measure 60 nas201-train
kernels nas201-train
if [ -z "$only" ] && [ "$device" = cuda ] && [ "$(left)" -gt 60 ]; then
    say "nas201-train without cuDNN"
    bench 25 run --device cuda --backend cuda-own --no-peers --peak "$out/peak.json" --output "$out/own.jsonl" --case nas201-train ||
        echo "gpu.sh: nas201-train was not measured without cuDNN" >&2
fi
measure 45 supernet-one
measure 35 final-infer

if [ -z "$only" ] && projection=$(bench/engine/projection "$out/search.jsonl" "$out/gpu.jsonl"); then
    echo "$projection" | tee -a "$out/search.jsonl" >&2
fi
quick=
[ "$device" = cuda ] || quick=--quick
{
    # shellcheck disable=SC2086 # no word where it is empty
    bench/engine/table $quick "$out/gpu.jsonl" || :
    [ "$device" = cuda ] || echo "A try of the script, on a processor: what follows says nothing of a GPU.
"
    bench/engine/summary "$out"
} >"$out/table.md"
cat "$out/table.md"
say "done: $out"
