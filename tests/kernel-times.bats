#!/usr/bin/env bats
# What times the GPU's kernels (bench/engine/kernel_times.c, bench/engine/kernels), on what tests/cuda puts in a GPU's
# place: what is counted, not how long it takes.

load helpers

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    export SEKI_BENCH_BUILD=$build/stand-in/bench PYTHONDONTWRITEBYTECODE=1
    # The stand-in is under sanitizers, whose runtime comes after what is preloaded.
    export ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0
}

kernels() {
    "$top/bench/engine/kernels" "$@" -- --channels 2 --layers 1 --batch 2
}

@test "a final network's step is timed with its graphs, and kernel by kernel" {
    printf '{"case": "nas201-train", "precision": "fp32", "seconds": %s, "items": 1}\n' 1 1000 > steps
    expect_status 0 kernels --case nas201-train --precision fp32 --steps steps
    # A step is one graph; the copy takes what it came to to where it is collected.
    jq -e -s 'map(select(.measured == "kernel" and .recordings)) | map({(.name): .calls}) | add | .graph == 1 and (has("cuda_loss") | not)' <<< "$output"
    jq -e -s 'map(select(.measured == "kernel" and (.recordings | not))) | map(.name) | index("graph") == null and index("dense_call") and index("cuda_loss")' <<< "$output"
    jq -e -s 'map(select(.measured == "kernel")) | group_by(.recordings) | all(map(.share) | add | . > 0.999 and . < 1.001)' <<< "$output"
    jq -e -s 'map(select(.measured == "kernels")) | length == 2 and all(.runs == 3 and .step_microseconds == 1e9 and .busy > 0 and .busy < 1)
        and (.[1].launches > 5 * .[0].launches)' <<< "$output"
    # What is told kernel by kernel is all that was launched.
    jq -e -s '(map(select(.measured == "kernel" and (.recordings | not)) | .calls) | add) == (map(select(.measured == "kernels"))[1].launches)' <<< "$output"
}

@test "a supernet is never recorded" {
    expect_status 0 kernels --case supernet-one --precision bf16 --output lines
    expect_equal "" "$output"
    jq -e -s 'map(select(.measured == "kernels")) | length == 1 and .[0].recordings == false and (.[0] | has("busy") | not)' lines
}

@test "what is not built is told" {
    mkdir empty
    expect_status 1 env SEKI_BENCH_BUILD="$PWD/empty" "$top/bench/engine/kernels" --case nas201-train
    expect_in "$stderr" "kernels: nas201-train:" "engine"
}
