#!/usr/bin/env bats
# bench/engine/projection and summary: what bench/gpu.sh makes of its lines, by lines that are made up.
# shellcheck disable=SC2094 # no command reads what it writes

load helpers

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    export PYTHONDONTWRITEBYTECODE=1
    {
        echo '{"measured": "supernet", "epochs": 3, "milliseconds": 43000}'
        for rate in 1250 2500 2500; do
            echo "{\"measured\": \"supernet epoch\", \"seconds\": $((25000 / rate)), \"images_per_second\": $rate}"
        done
        echo '{"measured": "candidates", "count": 50, "milliseconds": 20000}'
    } > search.jsonl
}

# A step's line: CASE SECONDS PEER=SECONDS…
step() {
    local case=$1 seconds=$2 peers=
    shift 2
    for peer; do
        peers+="{\"name\": \"pypi/${peer%=*}\", \"seconds\": ${peer#*=}}, "
    done
    echo "{\"case\": \"$case\", \"precision\": \"bf16\", \"batch\": 64, \"items\": 1, \"seconds\": $seconds, \"pictures_per_second\": 6400,
        \"floor_seconds\": {\"flops\": 0.001, \"bytes\": 0.002}, \"over_floor\": 5, \"peers\": [${peers%, }]}" | tr -d '\n'
    echo
}

@test "a search is projected from the rate of all epochs but the first" {
    step supernet-train 0.01 > gpu.jsonl
    expect_status 0 "$top/bench/engine/projection" search.jsonl gpu.jsonl
    jq -e '.epoch_steps_seconds == 10 and .epoch_rest_seconds == 1 and .scoring_seconds == 20 and .search_seconds == 570
        and .scoring_met and .search_met and .step_seconds_alone == 0.01' <<< "$output"
    sed -i '/candidates/d' search.jsonl
    expect_status 1 "$top/bench/engine/projection" search.jsonl
    expect_in "$stderr" "projection: search.jsonl has no epochs or no candidates"
}

@test "targets are met, missed or not measured" {
    step supernet-train 0.01 channels-last=0.06 contiguous=0.08 tf32=0.055 > gpu.jsonl
    step supernet-one 0.01 channels-last=0.06 graphed=0.02 >> gpu.jsonl
    echo '{"measured": "kernels", "case": "supernet-train", "precision": "bf16", "recordings": false, "launches": 300,
        "launch_microseconds": 900, "gpu_microseconds": 8500, "step_microseconds": 10000, "busy": 0.85}' | tr -d '\n' > kernels.jsonl
    step nas201-train 0.004 >> gpu.jsonl
    step nas201-train 0.006 > own.jsonl
    "$top/bench/engine/projection" search.jsonl > projection
    cat projection >> search.jsonl
    expect_status 0 "$top/bench/engine/summary" .
    expect_in "$output" "| NAS-Bench-201, training step, bf16 | 4 | 6 | 1.50× |" "| supernet, training step, bf16 | 10 | 2 | 1 | 5.00× |" \
        "| supernet's training step over PyTorch eager | 5.50× | ≥ 5.00× | met |" \
        "| supernet's training step over PyTorch's best | 2.00× | ≥ 2.50× | not met |" \
        "| final network's training step over PyTorch's best | not measured | ≥ 2.00× |  |" \
        "| GPU busy, supernet, training step | 85 % | ≥ 80 % | met |" \
        "| 50 candidates scored on 25,000 pictures | 20.0 s | < 30.0 s | met |" \
        "| a search: 50 epochs and 50 candidates (the paper: 0.05) | 0.006597 GPU-days | < 0.01 GPU-days | met |"
}

@test "fewer candidates than were asked for meet no target" {
    sed -i 's/"count": 50/"count": 49/' search.jsonl
    "$top/bench/engine/projection" search.jsonl > projection
    cat projection >> search.jsonl
    expect_status 0 "$top/bench/engine/summary" .
    expect_in "$output" "| 50 candidates scored on 25,000 pictures | not measured |"
}
