#!/usr/bin/env bats
# seki-propose --policy mutate --population, --policy local, and the bounds: what the rules propose,
# given what was scored before.
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; helpers set output, stderr, top

load helpers
load table

# The ids of all of the table are in `all.jsonl`.
setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    make_table table
    tail -n +2 table | cut -f 1 | seki-eval --table table --column score --quiet > all.jsonl
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    table=$BATS_FILE_TMPDIR/table
    all=$BATS_FILE_TMPDIR/all.jsonl
    set -o pipefail
}

score() { # < records
    seki-eval --table "$table" --column score --quiet
}

# past OPERATIONS SCORE [PARENT]: a scored record of the cell with these six, in the notation's order.
past() {
    # shellcheck disable=SC2086 # six words
    set -- "$(printf '|%s~0|+|%s~0|%s~1|+|%s~0|%s~1|%s~2|' $1)" "$2" "${3-}"
    seki-eval --cost --quiet <<< "$1" | jq -c --argjson s "$2" --arg p "$3" \
        'del(.metrics) + {score: $s} + if $p == "" then {} else {parents: [$p]} end'
}

id_of() { # record
    jq -r .id <<< "$1"
}

# next FILE OPTION…: proposals after what FILE holds, as a search asks for them: the last record is on
# the input too.
next() {
    tail -n 1 "$1" | seki-propose --space nas201 --seen "$1" --quiet "${@:2}"
}

# search COUNT OPTION…: history.jsonl, of so many candidates, each scored before the next is proposed.
search() {
    seki-propose --policy random --space nas201 --seed 0 --quiet | score > history.jsonl
    local i
    for ((i = 1; i < $1; i++)); do
        next history.jsonl --seed "$i" "${@:2}" | score > new
        cat new >> history.jsonl
    done
}

# check_history < CHECKS: Python with what it needs: history, a list of records; operations(record);
# ids, the id of each six operations; neighbours(record), ids that are one operation away.
check_history() {
    cat > check.py << 'END'
import json, re, sys
def operations(record):
    return tuple(re.findall(r"(\w+)~", record["genotype"]))
records = [json.loads(line) for line in open(sys.argv[1])]
history = [json.loads(line) for line in open(sys.argv[2])]
ids = {operations(record): record["id"] for record in records}
names = sorted({name for key in ids for name in key})
def neighbours(record):
    own = operations(record)
    return {ids[own[:i] + (name,) + own[i + 1:]] for i in range(6) for name in names if name != own[i]}
def parent(record):
    return record.get("parents", [None])[0]
END
    cat >> check.py
    python3 check.py "$all" "$1"
}

# ---- Regularised evolution -------------------------------------------------------------------

@test "regularised evolution fills its population with random ones, then mutates one of the last P" {
    search 40 --policy mutate --population 8 --tournament 3
    expect_equal '"mutate"' "$(tail -n +2 history.jsonl | jq -c .proposer.policy | sort -u)"
    check_history history.jsonl << 'END'
assert len({record["id"] for record in history}) == 40
for i, record in enumerate(history):
    if i < 8:
        assert "parents" not in record, (i, record)
        continue
    alive = {past["id"]: past for past in history[i - 8:i]}
    assert len(record["parents"]) == 1 and parent(record) in alive, (i, record)
    assert record["id"] in neighbours(alive[parent(record)]), (i, record)
ranks = [sum(past["score"] > at["score"] for past in history[i - 8:i])
         for i in range(8, 40) for at in history[i - 8:i] if at["id"] == parent(history[i])]
# From 0 the best on; of three draws from eight the best is the 1.5th on average, of one the 3.5th.
assert len(ranks) == 32 and 0.6 < sum(ranks) / 32 < 2.8, ranks
END
}

@test "the best of all is no parent once it is older than the population" {
    {
        past 'nor_conv_3x3 nor_conv_3x3 nor_conv_3x3 nor_conv_3x3 nor_conv_3x3 nor_conv_3x3' 99
        past 'nor_conv_3x3 skip_connect nor_conv_1x1 nor_conv_3x3 skip_connect nor_conv_1x1' 50
        past 'nor_conv_1x1 nor_conv_3x3 skip_connect nor_conv_3x3 nor_conv_1x1 nor_conv_1x1' 51
        past 'avg_pool_3x3 nor_conv_3x3 nor_conv_1x1 nor_conv_1x1 nor_conv_3x3 nor_conv_1x1' 52
    } > history.jsonl
    jq -r .id history.jsonl > ids
    next history.jsonl --policy mutate --population 3 --tournament 1 -n 60 --seed 1 |
        jq -r '.parents[]' | sort -u > parents
    expect_equal "$(tail -n +2 ids | sort)" "$(cat parents)"
    next history.jsonl --policy mutate --population 4 --tournament 1 -n 60 --seed 1 |
        jq -r '.parents[]' | sort -u > parents
    expect_equal "$(sort ids)" "$(cat parents)"
}

@test "a large tournament has the population's best as its winner, wherever it stands" {
    for i in 0 1 2 3 4; do
        jq -c "select(.score < 70) | del(.score)" "$all" | sed -n "$((100 + 31 * i))p" |
            jq -c --argjson s "$(((i * 3) % 5 + 50))" '. + {score: $s}'
    done > history.jsonl
    best=$(jq -s -r 'max_by(.score).id' history.jsonl)
    [ "$best" != "$(tail -n 1 history.jsonl | jq -r .id)" ]
    expect_equal "$best" "$(next history.jsonl --policy mutate --population 5 --tournament 500 -n 10 --seed 3 |
        jq -r '.parents[]' | sort -u)"
}

@test "candidates of another space, failed ones and the same record again are no part of the population" {
    {
        past 'nor_conv_3x3 skip_connect nor_conv_1x1 nor_conv_3x3 skip_connect nor_conv_1x1' 50
        past 'nor_conv_1x1 nor_conv_3x3 skip_connect nor_conv_3x3 nor_conv_1x1 nor_conv_1x1' 51
        seki-propose --policy random --space darts --seed 1 -n 3 --quiet | jq -c '. + {score: 90}'
        past 'nor_conv_1x1 none none nor_conv_3x3 nor_conv_1x1 nor_conv_1x1' 51 |
            jq -c 'del(.score) + {error: {code: "x", message: "y"}}'
        past 'nor_conv_1x1 nor_conv_3x3 skip_connect nor_conv_3x3 nor_conv_1x1 nor_conv_1x1' 51
    } > history.jsonl
    expect_equal 'null' "$(next history.jsonl --policy mutate --population 3 -n 20 --seed 1 | jq -c .parents | sort -u)"
    expect_equal '1' "$(next history.jsonl --policy mutate --population 2 -n 20 --seed 1 | jq -c '.parents | length' | sort -u)"
}

# ---- Local search ----------------------------------------------------------------------------

@test "local proposes each neighbour of the current one once, then begins anew" {
    past 'nor_conv_3x3 skip_connect nor_conv_1x1 nor_conv_3x3 none nor_conv_1x1' 50 > history.jsonl
    next history.jsonl --policy local -n 30 --seed 1 > proposals
    cat proposals >> history.jsonl
    expect_equal '"local"' "$(jq -c .proposer.policy proposals | sort -u)"
    check_history history.jsonl << 'END'
start, proposed = history[0], history[1:]
around = neighbours(start) - {start["id"]}
assert len(around) > 15 and len(proposed) == 30
assert {record["id"] for record in proposed[:len(around)]} == around
assert all(parent(record) == start["id"] for record in proposed[:len(around)])
assert all("parents" not in record for record in proposed[len(around):])
assert len({record["id"] for record in history}) == 31
END
}

@test "local goes on from the best since the last restart, the earliest of equals" {
    start=$(past 'nor_conv_3x3 skip_connect nor_conv_1x1 nor_conv_3x3 none nor_conv_1x1' 50)
    a=$(past 'nor_conv_3x3 nor_conv_1x1 nor_conv_1x1 nor_conv_3x3 none nor_conv_1x1' 60 "$(id_of "$start")")
    b=$(past 'nor_conv_3x3 nor_conv_3x3 nor_conv_1x1 nor_conv_3x3 none nor_conv_1x1' 60 "$(id_of "$start")")
    worse=$(past 'nor_conv_3x3 skip_connect nor_conv_1x1 nor_conv_3x3 none none' 40 "$(id_of "$start")")
    other=$(past 'avg_pool_3x3 skip_connect nor_conv_1x1 none skip_connect nor_conv_1x1' 10)
    printf '%s\n' "$start" > history.jsonl
    for each in "$worse $start" "$a $a" "$b $a" "$worse $a" "$other $other"; do
        printf '%s\n' "${each% *}" >> history.jsonl
        expect_equal "$(id_of "${each#* }")" "$(next history.jsonl --policy local --seed 2 | jq -r '.parents[0]')"
    done
}

@test "a local search climbs, restarts where all around is tried, and keeps to its rule at each step" {
    search 130 --policy local
    check_history history.jsonl << 'END'
seen, current, moves, restarts = set(), None, 0, 0
for i, record in enumerate(history):
    assert record["id"] not in seen, (i, record)
    if current is not None:
        untried = neighbours(current) - seen
        if untried:
            assert parent(record) == current["id"] and record["id"] in untried, (i, record)
        else:
            assert "parents" not in record, (i, record)
            restarts += 1
            current = None
    seen.add(record["id"])
    if current is None or record["score"] > current["score"]:
        moves += current is not None
        current = record
assert moves >= 4 and restarts >= 1, (moves, restarts)
# The made-up score has one peak alone.
assert max(record["score"] for record in history) == max(json.loads(line)["score"] for line in open(sys.argv[1]))
END
}

# ---- Seeds -----------------------------------------------------------------------------------

@test "the same seed and history give the same candidates, however many are asked for" {
    search 12 --policy mutate --population 5
    for rule in 'mutate --population 5' local; do
        # shellcheck disable=SC2086 # words
        next history.jsonl --policy $rule --seed 4 -n 6 > first
        # shellcheck disable=SC2086
        next history.jsonl --policy $rule --seed 4 -n 6 > second
        # shellcheck disable=SC2086
        next history.jsonl --policy $rule --seed 4 -n 2 > fewer
        # shellcheck disable=SC2086
        next history.jsonl --policy $rule --seed 5 -n 6 > other
        cmp first second
        cmp fewer <(head -n 2 first)
        expect_equal 6 "$(jq -r .id first | sort -u | wc -l | tr -d ' ')"
        ! cmp -s first other
    done
}

# ---- Bounds ----------------------------------------------------------------------------------

@test "random keeps to --max-params and --max-macs as seki-eval --cost counts them" {
    seki-propose --policy random --space darts -n 60 --seed 1 --quiet | seki-eval --cost --quiet > free
    seki-propose --policy random --space darts -n 60 --seed 1 --quiet --max-params 3.5e6 | seki-eval --cost --quiet > bounded
    jq -s -e 'length == 60 and any(.metrics.params > 3.5e6)' free
    jq -s -e 'length == 60 and all(.metrics.params <= 3.5e6) and any(.metrics.params > 3e6)' bounded
    seki-propose --policy random --space darts -n 60 --seed 1 --quiet --max-macs 4e8 | seki-eval --cost --quiet > bounded
    jq -s -e 'any(.metrics.macs > 4e8)' free
    jq -s -e 'length == 60 and all(.metrics.macs <= 4e8) and any(.metrics.macs > 3.5e8)' bounded
}

@test "the bounds are about the network that the options describe" {
    sizes='--channels 16 --layers 8 --classes 100 --image-size 24'
    # shellcheck disable=SC2086 # words
    seki-propose --policy random --space darts -n 40 --seed 1 --quiet --max-params 3e5 --max-macs 2.5e7 $sizes |
        seki-eval --cost --quiet $sizes > bounded
    jq -s -e 'length == 40 and all(.error == null and .metrics.params <= 3e5 and .metrics.macs <= 2.5e7)' bounded
}

@test "mutations and neighbours keep to the bounds too" {
    past 'nor_conv_1x1 skip_connect nor_conv_1x1 nor_conv_3x3 skip_connect nor_conv_1x1' 50 > history.jsonl
    past 'nor_conv_1x1 skip_connect nor_conv_1x1 skip_connect nor_conv_3x3 nor_conv_1x1' 60 >> history.jsonl
    most=$(seki-eval --cost --quiet history.jsonl | jq -s 'map(.metrics.params) | max')
    for rule in mutate 'mutate --population 2' local; do
        # shellcheck disable=SC2086 # words
        next history.jsonl --policy $rule -n 8 --seed 1 > free
        # shellcheck disable=SC2086
        next history.jsonl --policy $rule -n 8 --seed 1 --max-params "$most" > bounded
        seki-eval --cost --quiet free | jq -s -e --argjson most "$most" 'any(.metrics.params > $most)'
        seki-eval --cost --quiet bounded | jq -s -e --argjson most "$most" \
            'length == 8 and all(.error == null and .parents != null and .metrics.params <= $most)'
    done
}

@test "a bound that nothing keeps ends as an error that says by how much" {
    past 'nor_conv_1x1 skip_connect nor_conv_1x1 nor_conv_3x3 skip_connect nor_conv_1x1' 50 > history.jsonl
    for rule in random mutate 'mutate --population 1' local; do
        # shellcheck disable=SC2086 # words
        expect_status 1 seki-propose --space nas201 --seed 1 --policy $rule --max-macs 1000 --seen history.jsonl \
            < <([ "$rule" = random ] || cat history.jsonl)
        expect_equal '"constraint"' "$(jq -c .error.code <<< "$output")"
        expect_in "$(jq -r .error.message <<< "$output")" 'of 1000 draws ' \
            ' M multiply-accumulates, but --max-macs allows 0.001 M'
    done
    expect_status 1 seki-propose --policy random --seed 1 --max-params 1e5
    expect_in "$(jq -r .error.message <<< "$output")" ' M parameters, but --max-params allows 0.1 M'
}

@test "sizes of which there is no network are wrong use, not a failure of each candidate" {
    expect_status 2 seki-propose --policy random --space darts -n 5 --seed 1 --max-params 1e6 --channels 3
    expect_equal '' "$output"
    expect_in "$stderr" 'seki-propose: the network that the bounds are about: 3 channels: '
    expect_status 0 seki-propose --policy random --space darts --seed 1 --channels 3
}
