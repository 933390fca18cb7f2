#!/usr/bin/env bats
# seki compare: runs of several policies on a table, what is told of them, and what a kill leaves.
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; helpers set stderr, top, build

load helpers
load table

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    make_table table
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    table=$BATS_FILE_TMPDIR/table
    set -o pipefail
}

teardown() {
    if [ -n "${endpoint-}" ]; then
        kill "$endpoint" 2> /dev/null || true
        wait "$endpoint" 2> /dev/null || true
    fi
}

# compare OUT OPTION…: on the made-up table.
compare() {
    seki compare "$1" --table "$table" --column score --test-column test --space nas201 "${@:2}"
}

same_runs() { # OUT OUT: the same lines, in any order
    diff <(sort "$1/runs.jsonl") <(sort "$2/runs.jsonl") | cut -c 1-200
}

@test "each policy has as many candidates and the same seeds, and a line a run says what came of it" {
    expect_status 0 compare out --policies random,mutate --runs 3 --candidates 12
    expect_equal "$output" "$(cat out/runs.jsonl)"
    expect_equal 'mutate-0 mutate-1 mutate-2 random-0 random-1 random-2' \
        "$(jq -r '"\(.policy)-\(.seed)"' out/runs.jsonl | sort | paste -sd ' ')"
    jq -s -e 'all(.scored == 12 and .failed == 0 and (.best_test | length == 12))' out/runs.jsonl
    # A run is one that seki search makes.
    seki search alone --table "$table" --column score --test-column test --space nas201 --policy mutate --seed 2 \
        --lambda 11 --gamma 0 --quiet
    cmp alone/candidates.jsonl out/mutate-2/candidates.jsonl
    # The best by score, and its test accuracy.
    jq -n -e --slurpfile run <(jq -c 'select(.policy == "mutate" and .seed == 2)' out/runs.jsonl) '[inputs] as $all
        | [range(1; 13) as $n | $all[:$n] | max_by(.score) | .metrics.test_accuracy] == $run[0].best_test
        and ($all | max_by(.score) | [.id, .score, .metrics.test_accuracy]) == ($run[0] | [.id, .score, .test_accuracy])' \
        alone/candidates.jsonl
    # Means and deviations, after half and after all.
    python3 - << 'END' > expected
import json, statistics
runs = [json.loads(line) for line in open("out/runs.jsonl")]
for policy in "random", "mutate":
    values = [r["best_test"] for r in runs if r["policy"] == policy]
    columns = [[v[n - 1] for v in values] for n in (6, 12)]
    print("seki: %-8s %5d  %s" % (policy, 3, "       ".join(
        "%.2f ± %.2f" % (statistics.mean(c), statistics.stdev(c)) for c in columns)))
END
    printf '%s\n' "$stderr" | tail -n 2 > found
    diff expected found
    # The figure is a whole SVG with both.
    python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' out/compare.svg
    grep -q 'random search' out/compare.svg
    grep -q 'regularised evolution' out/compare.svg
}

@test "how many runs are made at once changes nothing" {
    compare a --policies random,local --runs 4 --candidates 6 --jobs 1 --quiet > /dev/null
    compare b --policies random,local --runs 4 --candidates 6 --jobs 4 --quiet > /dev/null
    same_runs a b
    cmp a/compare.svg b/compare.svg
}

@test "a comparison killed again and again ends like one that was not, and does no run twice" {
    compare whole --policies random,mutate --runs 8 --candidates 8 --quiet > /dev/null
    kills=0
    for ((lines = 1; lines < 16; lines += 5)); do
        setsid seki compare out --table "$table" --column score --test-column test --space nas201 \
            --policies random,mutate --runs 8 --candidates 8 > killed.log 2>&1 3>&- &
        group=$!
        until [ "$(wc -l 2> /dev/null < out/runs.jsonl || echo 0)" -ge "$lines" ]; do
            kill -0 "$group" || break
            sleep 0.005
        done
        ! kill -9 -- "-$group" || kills=$((kills + 1))
        wait "$group" 2> /dev/null || true
    done
    [ "$kills" -ge 2 ]
    mv out/runs.jsonl lines
    sed '1s/^{/{"mark":"kept",/' lines > out/runs.jsonl
    printf '{"policy":"cut' >> out/runs.jsonl
    expect_status 0 seki compare out
    expect_in "$stderr" 'took away a last line that was cut'
    expect_equal "$output" "$(cat out/runs.jsonl)"
    expect_equal 1 "$(grep -c '"mark":"kept",' out/runs.jsonl)"
    sed -i 's/"mark":"kept",//' out/runs.jsonl
    same_runs whole out
    [ ! -e out/.pipes ]
}

@test "runs and policies may be added; what the runs were made with may not change" {
    compare out --policies random --runs 1 --candidates 5 --quiet > /dev/null
    expect_status 0 seki compare out --policies random,mutate --runs 2 --quiet
    expect_equal 4 "$(wc -l < out/runs.jsonl)"
    expect_equal "" "$stderr"
    expect_status 2 seki compare out --candidates 6
    expect_in "$stderr" 'out/settings' '--candidates 5, and now it is 6'
    expect_equal 4 "$(wc -l < out/runs.jsonl)"
}

@test "told to end, the comparison takes its searches with it" {
    setsid seki compare out --table "$table" --column score --test-column test --space nas201 \
        --policies random --runs 4 --candidates 5000 --jobs 2 > log 2>&1 3>&- &
    driver=$!
    until [ -s out/random-0/candidates.jsonl ] && [ -s out/random-1/candidates.jsonl ]; do
        kill -0 "$driver"
        sleep 0.02
    done
    kill -TERM "$driver"
    status=0
    wait "$driver" || status=$?
    expect_equal 143 "$status"
    # Each of them had a lock, which goes with the last process of it.
    flock -w 5 out/random-0/.lock true
    flock -w 5 out/random-1/.lock true
    [ ! -e out/random-2 ]
    [ ! -e out/.pipes ]
    expect_equal "" "$(cat out/runs.jsonl)"
}

@test "wrong use ends with status 2, names the option, and makes no folder" {
    while IFS='|' read -r arguments message; do
        # shellcheck disable=SC2086 # words
        expect_status 2 seki compare $arguments
        expect_in "$stderr" 'seki: ' "$message" "'seki compare --help'"
        [ ! -e out ]
    done << END
out|needs --table FILE
out --table $table --column score|needs --test-column
out --table $table --column score --test-column test --policies best|--policies 'best': it is of: random mutate local llm
out --table $table --column score --test-column test --policies ,|names none
out --table $table --column score --test-column test --candidates 5 --gamma 5|less than --lineages and --gamma
out --table $table --column score --test-column test --runs 0|--runs '0': it is a whole number from 1
END
    expect_status 2 compare out --column none --policies random --runs 2
    expect_in "$stderr" "seki-eval: $table" "'none'" 'out/random-' 'ended with status 2'
}

@test "a model is compared with its tokens; an endpoint that is down ends the comparison, which goes on later" {
    python3 "$top/tests/mock/endpoint.py" port requests.jsonl fine fine fine fine reset > /dev/null 2>&1 3>&- &
    endpoint=$!
    until [ -e port ]; do sleep 0.02; done
    export SEKI_MODEL=mock
    options=(--policies llm --runs 2 --candidates 4 --gamma 1 --attempts 1 --jobs 1)
    expect_status 3 compare out "${options[@]}" --base-url "http://127.0.0.1:$(cat port)/v1"
    expect_in "$stderr" 'out/llm-1 ended with status 3' "'seki compare out' goes on from here"
    expect_equal 1 "$(wc -l < out/runs.jsonl)"
    kill "$endpoint"
    wait "$endpoint" || true
    rm port
    python3 "$top/tests/mock/endpoint.py" port requests.jsonl fine > /dev/null 2>&1 3>&- &
    endpoint=$!
    until [ -e port ]; do sleep 0.02; done
    expect_status 0 seki compare out --base-url "http://127.0.0.1:$(cat port)/v1" --quiet
    expect_equal 'llm mock 0 1' "$(jq -r '.policy, .model' out/runs.jsonl | sort -u | paste -sd ' ') $(jq .seed out/runs.jsonl | paste -sd ' ')"
    expect_equal 1 "$(jq -r '.proposer | select(.stage == "inspiration") | .stage' out/llm-1/candidates.jsonl | wc -l)"
    # Three candidates are asked for in each run; one request of the second failed, and its tokens are estimated.
    jq -s -e 'map([.seed, .requests, .prompt_tokens]) | sort | .[0] == [0, 3, 300]
        and .[1][:2] == [1, 4] and .[1][2] > 300' out/runs.jsonl
}

@test "policies are told apart on the benchmark's table in little time" {
    need_shared data/nasbench201.tsv.gz
    start=$(date +%s)
    expect_status 0 seki compare out --table "$top/../shared/data/nasbench201.tsv.gz" --column cifar10_valid \
        --test-column cifar10_test --space nas201 --policies random,mutate --runs 5 --candidates 50 --quiet
    end=$(date +%s)
    [ "$((end - start))" -lt 20 ]
    # A mean of five of 93.62 and 93.79, each ± 0.4.
    jq -s -e 'group_by(.policy) | map(map(.test_accuracy) | add / length) | all(. > 93 and . < 94.37)' out/runs.jsonl
}
