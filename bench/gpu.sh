#!/bin/sh
# gpu.sh - all that a machine with a GPU is wanted for, in under nine minutes: the GPU's tests, the engine beside
# PyTorch on the same GPU, a supernet's epochs and the scoring of 50 candidates at the sizes of a search. What it
# measures lies in OUT (build/gpu/results): about.txt, tests.log, gpu.jsonl (lines of bench/engine/run), search.jsonl, table.md.
#
#   bench/gpu.sh --bundle    here: builds, and packs programs, tests and the libraries that they need into build/gpu.tar.xz,
#                            for a machine without network, which needs nothing else but the sources
#   bench/gpu.sh             there, in the sources' folder: runs what was packed; without it builds first
#   bench/gpu.sh --on cpu    tries the script itself, short, on a machine without a GPU
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
device=cuda bundle=
while [ $# -gt 0 ]; do
    case $1 in
    --bundle) bundle=yes ;;
    --on) device=${2:?--on needs cpu or cuda} && shift ;;
    *) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift
done
root=$top/build/gpu
tests='test_cuda_blocks test_cuda_pictures test_cuda_training test_backend_training'
programs='seki-supernet seki-eval seki-propose'

build() { # FOLDER
    # shellcheck disable=SC2046,SC2086 # lists of words
    make -j"$(nproc)" BUILD="$1" gpu-backend bench-build $(printf "$1/tests/%s " $tests) $(printf "$1/bin/%s " $programs) >&2
}

# The libraries of the programs, but for those that every system has.
copy_libraries() {
    mkdir -p "$root/libraries"
    ldd "$root"/tests/* "$root/bench/engine" "$root"/bin/* "$root/lib/seki/seki-cuda.so" | awk '$3 ~ /^\// { print $3 }' | sort -u |
        grep -vE '/(libc|libm|libdl|libpthread|librt|libresolv|ld-linux[^/]*)\.so' | xargs -I {} cp -L {} "$root/libraries"
}

if [ -n "$bundle" ]; then
    build build
    rm -rf "$root"
    mkdir -p "$root/bin" "$root/tests" "$root/bench" "$root/lib/seki"
    for name in $programs; do cp "build/bin/$name" "$root/bin"; done
    for name in $tests; do cp "build/tests/$name" "$root/tests"; done
    cp build/bench/engine build/bench/peak "$root/bench"
    cp build/lib/seki/seki-cuda.so "$root/lib/seki"
    strip "$root"/bin/* "$root"/tests/* "$root"/bench/*
    copy_libraries
    tar -C build -cJf build/gpu.tar.xz gpu
    du -sh build/gpu.tar.xz >&2
    exit 0
fi

began=$(date +%s)
limit=530 # seconds for all
left() {
    echo $((limit - $(date +%s) + began))
}
if ! [ -d "$root/bin" ] && [ -e build/gpu.tar.xz ]; then
    tar -C build -xf build/gpu.tar.xz
elif ! [ -d "$root/bin" ]; then
    root=$top/build
    build build
fi
export LD_LIBRARY_PATH="$root/libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
PATH=$root/bin:$PATH
out=${OUT:-$top/build/gpu/results}
mkdir -p "$out"
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
say() {
    echo "gpu.sh: $*, $(left) s left" >&2
}

say "the machine"
{
    date -u +%FT%TZ
    nvidia-smi || echo "no nvidia-smi"
    python3 -c 'import torch; print("PyTorch", torch.__version__, "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version())' || echo "no PyTorch"
    seki-eval --backend list
} >"$out/about.txt" 2>&1
seki-eval --backend list >&2

say "tests"
for name in $tests; do
    status=0
    timeout 120 "$root/tests/$name" >"$data/log" 2>&1 || status=$?
    cat "$data/log"
    echo "$name: status $status, $(grep -c '^\[       OK' "$data/log") passed, $(grep '^\[  SKIPPED \] test' "$data/log" | sort -u | grep -c .) skipped"
done >"$out/tests.log" 2>&1
grep -E ': status [0-9]' "$out/tests.log" >&2 || :

# run CASE OPTION…: the engine beside PyTorch.
measure() {
    SEKI_BENCH_BUILD=$root/bench SEKI_BENCH_TORCH=$(command -v python3) timeout "$(left)" bench/engine/run --device "$device" \
        --output "$out/gpu.jsonl" --case "$@" || echo "gpu.sh: $1: not all was measured" >&2
}
quick=
[ "$device" = cuda ] || quick='--quick --no-peers --precision fp32'
say "supernet's training step"
# shellcheck disable=SC2086 # a list of words
measure supernet-train $quick
say "final network's training step"
# shellcheck disable=SC2086
measure final-train $quick

# A supernet of CIFAR-10's size on noise: 25,000 pictures to train, 25,000 to score, as the paper has it.
say "a search's epochs and candidates"
python3 - "$data" "$([ "$device" = cuda ] && echo 50000 || echo 500)" <<'END'
import os, sys
folder, count = os.path.join(sys.argv[1], "cifar-10-batches-bin"), int(sys.argv[2])
os.mkdir(folder)
for name, pictures in [(f"data_batch_{i}.bin", 10000) for i in range(1, 6)] + [("test_batch.bin", 10000)]:
    records = bytearray(os.urandom(3073 * pictures))
    records[::3073] = bytes(i % 10 for i in range(pictures))
    with open(os.path.join(folder, name), "wb") as file:
        file.write(records)
END
images=0 candidates=50
[ "$device" = cuda ] || { images=400 && candidates=3; }
timeout "$(left)" seki-supernet -d "$data" -o "$data/supernet.st" -e 3 -n "$images" -B "$device" --verbose --seed 1 |
    sed 's/^{/{"measured": "supernet epoch", /' >>"$out/search.jsonl" || echo "gpu.sh: the supernet was not trained" >&2
if [ -e "$data/supernet.st" ]; then
    seki-propose --policy random --space darts -n "$candidates" --seed 1 >"$data/candidates"
    scoring=$(date +%s%N)
    timeout "$(left)" seki-eval -q -s "$data/supernet.st" -d "$data" -B "$device" "$data/candidates" >"$data/scored"
    echo "{\"measured\": \"candidates\", \"count\": $(grep -c '"score"' "$data/scored"), \"milliseconds\": $((($(date +%s%N) - scoring) / 1000000))}" >>"$out/search.jsonl"
fi
cat "$out/search.jsonl" >&2

for case in nas201-train supernet-score final-infer; do
    [ "$(left)" -gt 45 ] || break
    say "$case"
    # shellcheck disable=SC2086
    measure $case $quick
done
bench/engine/table ${quick:+--quick} "$out/gpu.jsonl" >"$out/table.md" || :
cat "$out/table.md"
say "done: $out"
