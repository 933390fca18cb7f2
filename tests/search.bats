#!/usr/bin/env bats
# seki search and seki train: run folders, what a kill leaves, what is refused.
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; helpers set stderr, top, build

load helpers
load table
load pictures

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    make_table table
    make_pictures pictures 120 40
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    table=$BATS_FILE_TMPDIR/table
    pictures=$BATS_FILE_TMPDIR/pictures
    set -o pipefail
}

teardown() {
    if [ -n "${endpoint-}" ]; then
        kill "$endpoint" 2> /dev/null || true
        wait "$endpoint" 2> /dev/null || true
    fi
}

# search RUN OPTION…: on the made-up table.
search() {
    seki search "$1" --table "$table" --column score --space nas201 "${@:2}"
}

# mutate RUN: 25 candidates without a model, and small enough to be killed often.
mutate() {
    search "$1" --policy mutate --lambda 16 --gamma 8 -k 5 --draw 3 --seed 11 "${@:2}"
}

# start_endpoint STEP…: tests/mock/endpoint.py, and the settings for it.
start_endpoint() {
    rm -f port
    touch requests.jsonl
    python3 "$top/tests/mock/endpoint.py" port requests.jsonl "$@" > /dev/null 2>&1 3>&- &
    endpoint=$!
    local i
    for ((i = 0; i < 200; i++)); do
        [ -e port ] && break
        sleep 0.05
    done
    OPENAI_BASE_URL=http://127.0.0.1:$(cat port)/v1
    export OPENAI_BASE_URL SEKI_MODEL=mock
}

stop_endpoint() {
    kill -9 "$endpoint"
    wait "$endpoint" 2> /dev/null || true
    endpoint=
}

# The programs in bin/, where a test may put another in the place of one.
copy_programs() {
    cp -r "$build/bin" "$build/libexec" .
}

# kill_at FILE LINES COMMAND…: the same once FILE has so many lines; fails where the command ended before.
kill_at() {
    setsid "${@:3}" > killed.log 2>&1 < /dev/null 3>&- &
    local group=$!
    until [ "$(wc -l 2> /dev/null < "$1" || echo 0)" -ge "$2" ]; do
        kill -0 "$group" 2> /dev/null || return 1
        sleep 0.002
    done
    sleep "0.00$((RANDOM % 10))"
    kill -9 -- "-$group" 2> /dev/null || return 1
    wait "$group" 2> /dev/null || true
}

# What a run made, with the times that it took left out.
results() { # RUN
    (cd "$1" && for file in settings proposals.jsonl candidates.jsonl repository.jsonl supernet.jsonl; do
        [ ! -e "$file" ] || sed -E 's/"((images_per|data)_)?seconds?": [0-9.e+-]+/"\1seconds": T/g' "$file"
    done)
}

# kill_again RUN COMMAND…: the search in RUN, killed again and again after one to four steps more and some
# milliseconds, until it ends; at least twice.
kill_again() {
    local run=$1 kills=0 steps
    shift
    while steps=$(wc -l 2> /dev/null < "$run/candidates.jsonl" || echo 0) &&
        kill_at "$run/candidates.jsonl" $((steps + RANDOM % 4 + 1)) "$@"; do
        kills=$((kills + 1))
    done
    cat killed.log
    echo "$kills kills"
    [ "$kills" -ge 2 ]
    expect_status 0 "$@"
}

same_results() { # RUN RUN
    diff <(results "$1") <(results "$2") | cut -c 1-200
}

steps_of() { # FILE: the steps of its lines, one after the other
    jq .step "$1" | paste -sd ' '
}

# ---- A whole run ---------------------------------------------------------------------------

@test "a search leaves its settings, each proposal, each candidate and the best k" {
    expect_status 0 mutate run --test-column test
    expect_equal "" "$output"
    expect_equal "$(seq 0 24 | paste -sd ' ')" "$(steps_of run/proposals.jsonl)"
    expect_equal "$(seq 0 24 | paste -sd ' ')" "$(steps_of run/candidates.jsonl)"
    expect_equal 25 "$(jq -r .id run/candidates.jsonl | sort -u | wc -l)"
    expect_equal 5 "$(wc -l < run/repository.jsonl)"
    expect_equal "$(jq -s -c 'map(.score) | sort | reverse | .[:5]' run/candidates.jsonl)" \
        "$(jq -s -c 'map(.score)' run/repository.jsonl)"
    expect_equal true "$(jq -s 'all(.metrics.test_accuracy - 100 + .score / 2 | . > -0.01 and . < 0.01)' run/candidates.jsonl)"
    for line in 'space=nas201' 'policy=mutate' 'lambda=16' 'gamma=8' 'top=5' 'draw=3' 'seed=11' \
        "table=$table" 'column=score'; do
        grep -qx "$line" run/settings
    done
    # Nothing else is left: no pipe, no lock of the repository.
    expect_equal "candidates.jsonl proposals.jsonl repository.jsonl settings" \
        "$(find run -type f ! -name .lock -printf '%f\n' | sort | paste -sd ' ')"
    expect_equal "" "$(find run ! -type f ! -type d)"
}

@test "a rule goes on from what was scored before, whatever the step" {
    search run --policy mutate --population 6 --tournament 2 --lambda 16 --gamma 8 --seed 11 --quiet
    expect_equal 25 "$(jq -s length run/candidates.jsonl)"
    # Of the first six none has a parent; then a parent is one of the six before.
    expect_equal "$(seq 0 5 | paste -sd ' ')" "$(jq 'select(.parents == null) | .step' run/candidates.jsonl | paste -sd ' ')"
    jq -n -e '[inputs] as $all | [$all[6:][] | . as $c | $all[$c.step - 6:$c.step] | map(.id) | index($c.parents[0])]
        | all(. != null)' run/candidates.jsonl
    search other --policy mutate --population 6 --tournament 1 --lambda 16 --gamma 8 --seed 11 --quiet
    [ "$(jq -r .id run/candidates.jsonl)" != "$(jq -r .id other/candidates.jsonl)" ]
    search local --policy local --lambda 16 --gamma 8 --seed 11 --quiet
    expect_equal 'local random' "$(jq -r .proposer.policy local/candidates.jsonl | sort -u | paste -sd ' ')"
    expect_equal 25 "$(jq -r .id local/candidates.jsonl | sort -u | wc -l)"
}

@test "the same seed gives the same files, another seed others" {
    mutate a --quiet
    mutate b --quiet
    same_results a b
    search c --policy mutate --lambda 16 --gamma 8 -k 5 --draw 3 --seed 12 --quiet
    [ "$(jq -r .id a/candidates.jsonl)" != "$(jq -r .id c/candidates.jsonl)" ]
}

@test "progress names stage, score, best and the time left, in plain lines; --quiet has none" {
    expect_status 0 mutate run
    expect_in "$stderr" 'seki: random start  score ' 'seki: evolution 16/16  score ' '  best ' \
        ' s a candidate  0:0' ' left' 'seki: inspiration 8/8  score ' 'all 25 steps are done'
    [[ $stderr != *$'\e'* && $stderr != *$'\r'* ]]
    expect_status 0 mutate other --quiet
    expect_equal "" "$stderr"
}

@test "the policy random needs no parent, and lambda and gamma may be 0" {
    expect_status 0 search run --policy random --lambda 3 --gamma 2 --quiet
    expect_equal "null" "$(jq -c .parents run/candidates.jsonl | sort -u)"
    expect_equal 6 "$(jq -r .id run/candidates.jsonl | sort -u | wc -l)"
    expect_status 0 search single --policy mutate --lambda 0 --gamma 0 --quiet
    expect_equal 0 "$(steps_of single/candidates.jsonl)"
    expect_status 0 search second --policy mutate --lambda 0 --gamma 2 --quiet
    expect_equal '0 1 2' "$(steps_of second/candidates.jsonl)"
}

@test "a finished run says so and changes nothing" {
    mutate run --quiet
    cp -r run before
    expect_status 0 seki search run
    expect_in "$stderr" 'all 25 steps are done, 25 candidates scored, best '
    same_results before run
}

# ---- Schedules, lineages, starts -------------------------------------------------------------

# kinds RUN: start, evolution or inspiration with the lineage, a word a step: s0 e0 i.
kinds() {
    jq -r --argjson starts "$2" '(if .step < $starts then "s" elif has("lineage") then "e" else "i" end)
        + "\(.lineage // "")"' "$1/candidates.jsonl" | paste -sd ' '
}

@test "the two kinds of steps take turns as long as there are both" {
    search run --policy random --schedule alternate --lambda 5 --gamma 2 --quiet
    expect_equal 's0 e0 i e0 i e0 e0 e0' "$(kinds run 1)"
    search other --policy random --schedule alternate --lambda 2 --gamma 4 --quiet
    expect_equal 's0 e0 i e0 i i i' "$(kinds other 1)"
    search stages --policy random --lambda 2 --gamma 2 --quiet
    expect_equal 's0 e0 e0 i i' "$(kinds stages 1)"
    # What a step draws does not depend on the schedule.
    expect_equal "$(head -n 5 run/candidates.jsonl | jq -r .id)" "$(jq -r .id stages/candidates.jsonl)"
}

@test "a model's evolution goes on from the last of the lineage, inspiration from the best of all" {
    start_endpoint fine
    expect_status 0 search run --lambda 7 --gamma 3 --lineages 3 --schedule alternate -k 4 --draw 2 --seed 1
    expect_in "$stderr" 'seki: random start 1/3  score ' 'all 13 steps are done'
    expect_equal 's0 s1 s2 e0 i e1 i e2 i e0 e1 e2 e0' "$(kinds run 3)"
    expect_equal 'evolution inspiration' "$(jq -r '.proposer.stage // empty' run/candidates.jsonl | sort -u | paste -sd ' ')"
    jq -n -e '[inputs] as $all | [$all[] | select(.proposer.policy == "llm") | . as $c
        | $all | map(select(.step < $c.step and .score != null)) as $before
        | if $c.lineage != null
          then $c.parents == [$before | map(select(.lineage == $c.lineage)) | last.id]
          else ($before | sort_by(-.score) | .[:4] | map(.id)) as $best
            | ($c.parents | length == 2) and ($c.parents - $best == []) end]
        | length == 10 and all' run/candidates.jsonl
    search single --lambda 3 --gamma 0 --seed 1 --quiet
    expect_equal "$(jq -r .id single/candidates.jsonl | head -n 3)" "$(jq -r '.parents[0] // empty' single/candidates.jsonl)"
}

@test "seeds are the starts, in turn where there are fewer lineages, and the rest are random" {
    seki-propose --policy random --space nas201 --seed 5 -n 3 --quiet > three
    # Bare, with a score that is not taken over, and without a newline at the end.
    printf '%s\n%s\n%s' "$(head -n 1 three | jq -r .genotype)" \
        "$(sed -n 2p three | jq -c '.score = 1234')" "$(tail -n 1 three)" > seeds
    search run --policy random --seeds seeds --lambda 4 --gamma 1 --quiet
    expect_equal 's0 s1 s2 e0 e1 e2 e0 i' "$(kinds run 3)"
    expect_equal "$(jq -r .id three)" "$(head -n 3 run/candidates.jsonl | jq -r .id)"
    expect_equal "$(jq -r .id three)" "$(jq -r .id run/seeds.jsonl)"
    jq -s -e 'all(.score < 200) and (.[:3] | all(.proposer.policy == "seed"))' run/candidates.jsonl
    search two --policy random --seeds seeds --lineages 2 --lambda 3 --gamma 0 --quiet
    expect_equal 's0 s1 s0 e0 e1 e0' "$(kinds two 3)"
    expect_status 0 search five --policy random --seeds seeds --lineages 5 --lambda 1 --gamma 0
    expect_in "$stderr" 'seki: given start 1/5  score '
    expect_equal 's0 s1 s2 s3 s4 e0' "$(kinds five 5)"
    expect_equal 'seed seed seed random random random' "$(jq -r .proposer.policy five/candidates.jsonl | paste -sd ' ')"
    # The folder is all that it takes to go on.
    rm seeds
    sed -i '3,$d' five/candidates.jsonl five/proposals.jsonl
    mv five moved
    expect_status 0 seki search moved --quiet
    expect_equal 's0 s1 s2 s3 s4 e0' "$(kinds moved 5)"
}

@test "a wrong seed is named by file and line before a folder is made" {
    printf '%s\n%s\n' "$(seki-propose --policy random --space nas201 --seed 1 -q | jq -r .genotype)" 'no genotype' > seeds
    expect_status 2 search run --policy random --seeds seeds
    expect_in "$stderr" "--seeds $PWD/seeds:2: "
    seki-propose --policy random --space darts --seed 1 -q > seeds
    expect_status 2 search run --policy random --seeds seeds
    expect_in "$stderr" "--seeds $PWD/seeds:1: " nas201
    # A search holds no `none`, and no node twice the same input.
    seki-propose --policy random --space darts --seed 1 -q | jq -c '.genotype |= sub("\\(.[a-z_0-9]*.,"; "('"'none'"',")' > seeds
    expect_status 2 seki search run --table "$table" --column score --policy random --seeds seeds
    expect_in "$stderr" "--seeds $PWD/seeds:1: "
    : > seeds
    expect_status 2 search run --policy random --seeds seeds
    expect_in "$stderr" '1 to 1000 lines are needed'
    seki-propose --policy random --space nas201 --seed 1 -n 1001 -q > seeds
    expect_status 2 search run --policy random --seeds seeds
    expect_in "$stderr" 'there are 1001'
    expect_status 2 search run --policy random --seeds nowhere
    expect_in "$stderr" 'nowhere is not there'
    [ ! -e run ]
}

@test "a search ends after so many candidates without a new best, and goes on exactly later" {
    search whole --policy random --lambda 30 --gamma 5 --seed 3 --quiet
    expect_status 0 search run --policy random --lambda 30 --gamma 5 --seed 3 --patience 4
    expect_in "$stderr" 'run: ended after ' ' of 36 steps: the last 4 scored candidates brought no new best'
    jq -n -e '[inputs.score] | length < 30 and (.[:-4] | max) >= (.[-4:] | max)
        and .[-5] == max and (.[:-5] | max) < .[-5]' run/candidates.jsonl
    cp -r run before
    expect_status 0 seki search run
    expect_in "$stderr" 'ended after '
    same_results before run
    seki report run --quiet
    grep -q 'brought no new best, which ended the search' run/report.html
    seki search run --patience 6 --quiet
    [ "$(wc -l < run/candidates.jsonl)" -gt "$(wc -l < before/candidates.jsonl)" ]
    expect_status 0 seki search run --patience 0 --quiet
    diff whole/candidates.jsonl run/candidates.jsonl
    diff whole/proposals.jsonl run/proposals.jsonl
    diff whole/repository.jsonl run/repository.jsonl
}

# ---- Killed runs ---------------------------------------------------------------------------

@test "a run killed again and again ends with the files of one that was not" {
    mutate whole --quiet
    kill_again run seki search run --table "$table" --column score --space nas201 --policy mutate \
        --lambda 16 --gamma 8 -k 5 --draw 3 --seed 11
    same_results whole run
    [ ! -e run/.pipes ]
}

@test "a killed run with lineages, seeds, turns and patience ends like one that was not" {
    seki-propose --policy random --space nas201 --seed 5 -n 2 --quiet > seeds
    options=(--policy random --seeds seeds --lineages 3 --schedule alternate --lambda 20 --gamma 12 --patience 25 --seed 6)
    search whole "${options[@]}" --quiet
    kill_again run seki search run --table "$table" --column score --space nas201 "${options[@]}"
    same_results whole run
    cmp whole/seeds.jsonl run/seeds.jsonl
}

@test "a proposal that came before the kill is scored, not asked for again" {
    mutate whole --quiet
    cp -r whole run
    sed -i '15,$d' run/candidates.jsonl
    sed -i '16,$d' run/proposals.jsonl
    rm run/repository.jsonl
    head -n 14 whole/candidates.jsonl | seki-rank --repository run/repository.jsonl -k 5 > /dev/null
    sed -i '15s/"proposer": {/"proposer": {"mark": "kept", /' run/proposals.jsonl
    expect_status 0 seki search run --quiet
    expect_equal '14' "$(jq 'select(.proposer.mark == "kept") | .step' run/candidates.jsonl)"
    sed -i 's/"mark": "kept", //' run/*.jsonl
    same_results whole run
}

@test "a repository that lacks what was scored before the kill gets it" {
    mutate whole --quiet
    cp -r whole run
    sed -i '21,$d' run/candidates.jsonl run/proposals.jsonl
    rm run/repository.jsonl
    head -n 19 whole/candidates.jsonl | seki-rank --repository run/repository.jsonl -k 5 > /dev/null
    expect_status 0 seki search run --quiet
    same_results whole run
    rm run/repository.jsonl
    expect_status 0 seki search run --quiet
    same_results whole run
}

@test "a last line that was cut is taken away and made again" {
    mutate whole --quiet
    for file in candidates proposals; do
        rm -rf run
        cp -r whole run
        sed -i '11,$d' run/candidates.jsonl run/proposals.jsonl
        rm run/repository.jsonl
        truncate -s -20 "run/$file.jsonl"
        expect_status 0 seki search run
        expect_in "$stderr" "run/$file.jsonl: took away a last line that was cut"
        if [ "$file" = candidates ]; then
            same_results whole run
        fi
    done
}

@test "two drivers never work on one folder" {
    mutate run --quiet
    sed -i '21,$d' run/candidates.jsonl run/proposals.jsonl
    (
        exec 9>> run/.lock
        flock 9
        sleep 30 3>&-
    ) &
    holder=$!
    for ((i = 0; i < 100; i++)); do
        flock -n run/.lock true || break
        sleep 0.02
    done
    expect_status 3 seki search run
    expect_in "$stderr" 'run: another seki' 'still works on it'
    pkill -P "$holder" sleep
    wait "$holder" || true
    expect_status 0 seki search run --quiet
}

@test "told to end, the driver ends, and takes what it started with it" {
    copy_programs
    printf '#!/bin/sh\nexec sleep 60\n' > bin/seki-propose
    for signal in TERM INT HUP; do
        rm -rf run
        setsid env --default-signal=INT bin/seki search run --table "$table" --column score --space nas201 \
            --policy mutate > log 2>&1 3>&- &
        driver=$!
        for ((i = 0; i < 200; i++)); do
            [ ! -e run/.pipes/proposal ] || break
            sleep 0.02
        done
        sleep 0.2
        kill -s "$signal" "$driver"
        status=0
        wait "$driver" || status=$?
        cat log
        case $signal in
        TERM) expect_equal 143 "$status" ;;
        INT) expect_equal 130 "$status" ;;
        HUP) expect_equal 129 "$status" ;;
        esac
        [ ! -e run/.pipes ]
        expect_equal "" "$(ps -o pid= --sid "$driver" | tr -d ' ')"
    done
}

# ---- Settings ------------------------------------------------------------------------------

@test "going on with another setting is refused, and the difference is named" {
    mutate run --quiet
    cp -r run before
    expect_status 2 seki search run --lambda 17
    expect_in "$stderr" 'run/settings: the run was begun with --lambda 16, and now it is 17'
    expect_status 2 seki search run --temperature 0.5
    expect_in "$stderr" 'begun with --temperature not given, and now it is 0.5'
    expect_status 2 seki search run --table other
    expect_in "$stderr" "--table $table"
    expect_status 0 seki search run --lambda 16 --timeout 5
    same_results before run
}

@test "settings may be mended as long as nothing was made with them" {
    expect_status 2 seki search run --table "$table" --column none --space nas201 --policy mutate --lambda 1 --gamma 0
    expect_in "$stderr" "seki-eval: $table" "'none'"
    expect_status 0 seki search run --column score --quiet
    expect_equal 2 "$(wc -l < run/candidates.jsonl)"
}

@test "wrong use ends with status 2, names the option, and makes no folder" {
    while IFS='|' read -r arguments message; do
        eval "set -- $arguments"
        expect_status 2 seki "$@"
        expect_in "$stderr" 'seki: ' "$message" "--help'"
        [ ! -e run ]
    done << END
|a verb is missing
fly run|unknown verb 'fly'
search --table x --column y|the run folder is missing
search run other --data x|one run folder is needed
search run|a new run needs --data PATH, or --table FILE
search run --data x --table y|exclude each other
search run --table x|--table needs --column
search run --data x --column y|go with --table
search run --table x --column y --epochs 3|go with --data
search run --lambda|--lambda needs a value
search run --lambda -1|--lambda '-1': it is a whole number from 0
search run --lambda 1.5|--lambda '1.5'
search run --lambda=|--lambda '': it is empty
search run -k 0|--top '0': it is a whole number from 1
search run --policy best|--policy 'best': it is one of: llm mutate local random
search run --seed 99999999999999999999|--seed '99999999999999999999'
search run --no-such-option|unknown option '--no-such-option'
search run --t 1|'--t' is not clear
search run --quiet=1|--quiet takes no value
train|the run folder is missing
report|the run folder is missing
END
}

@test "a path that is not there, a file for a folder and a folder of other files are refused" {
    expect_status 2 seki search run --table nowhere --column score
    expect_in "$stderr" 'nowhere is not there'
    touch file
    expect_status 2 search file
    expect_in "$stderr" 'file is no folder'
    mkdir full
    touch full/thesis.tex
    expect_status 2 search full
    expect_in "$stderr" 'full is a folder with other files'
    expect_equal thesis.tex "$(ls -A full)"
}

@test "options come in every usual form, and paths hold from any folder" {
    cp "$table" 'my table'
    expect_status 0 seki search --lambda=1 --gam 1 -k3 --space=nas201 --policy mutate --column score \
        --table 'my table' -q -- 'my run'
    mkdir elsewhere
    sed -i '2,$d' 'my run/candidates.jsonl' 'my run/proposals.jsonl'
    cd elsewhere
    expect_status 0 seki search '../my run/' --quiet
    expect_equal '0 1 2' "$(steps_of '../my run/candidates.jsonl')"
}

@test "a damaged run folder is named with file and line, and is left alone" {
    mutate whole --quiet
    for damage in '5s/.*/no record/' '5d' '5s/"step": 4/"step": 9/'; do
        rm -rf run
        cp -r whole run
        sed -i "$damage" run/candidates.jsonl
        cp -r run before
        expect_status 2 seki search run
        expect_in "$stderr" 'run/candidates.jsonl' 'remove'
        same_results before run
        rm -rf before
    done
    cp whole/candidates.jsonl run/
    sed -i '$a colour=blue' run/settings
    expect_status 2 seki search run
    expect_in "$stderr" "run/settings:" "'colour' is no setting"
    # shellcheck disable=SC2016 # not to be expanded
    sed 's/^seed=.*/seed=$(touch made)/' whole/settings > run/settings
    expect_status 2 seki search run
    expect_in "$stderr" "run/settings:"
    [ ! -e made ]
}

# ---- What fails ----------------------------------------------------------------------------

@test "a candidate that the table lacks is recorded, and the search goes on from the one before" {
    grep -v 'nor_conv_3x3~0|+|' "$table" > holes
    expect_status 0 seki search run --table holes --column score --space nas201 --policy mutate \
        --lambda 30 --gamma 5 --seed 3 --quiet
    failed=$(jq -c 'select(.error) | .step' run/candidates.jsonl | wc -l)
    [ "$failed" -gt 0 ]
    expect_equal table "$(jq -r '.error.code // empty' run/candidates.jsonl | sort -u)"
    jq -n -e '[inputs] as $all | [$all[] | select(.parents != null) | . as $c
        | $all | map(select(.step < $c.step and .score != null) | .id) | index($c.parents[0]) != null]
        | length > 5 and all' run/candidates.jsonl
    expect_equal "$((36 - failed))" "$(jq -s 'map(select(.score)) | length' run/candidates.jsonl)"
}

@test "no candidate with a score at all is status 1" {
    printf 'arch\tscore\n|none~0|+|none~0|none~1|+|none~0|none~1|none~2|\t10\n' > one
    expect_status 1 seki search run --table one --column score --space nas201 --policy mutate --lambda 2 --gamma 1
    expect_in "$stderr" 'no candidate has a score'
    expect_equal '0 1 2 3' "$(steps_of run/candidates.jsonl)"
}

@test "a seki-eval that dies ends the run with status 3, and the run goes on later" {
    mutate whole --quiet
    copy_programs
    # Answers the driver's first question and nine candidates, and dies of the tenth.
    cat > bin/seki-eval << END
#!/bin/sh
[ ! -t 0 ] && [ -p /dev/stdin ] || exec "$build/bin/seki-eval" "\$@"
sed -u 10q | "$build/bin/seki-eval" "\$@"
echo 'seki-eval: out of memory' >&2
exit 3
END
    expect_status 3 env PATH="$PWD/bin:$PATH" bin/seki search run --table "$table" --column score --space nas201 \
        --policy mutate --lambda 16 --gamma 8 -k 5 --draw 3 --seed 11
    expect_in "$stderr" 'seki-eval: out of memory' 'seki: seki-eval ended with status 3' 'goes on from here'
    expect_equal 9 "$(wc -l < run/candidates.jsonl)"
    expect_equal 10 "$(wc -l < run/proposals.jsonl)"
    [ ! -e run/.pipes ]
    expect_status 0 seki search run --quiet
    same_results whole run
}

# ---- With a model --------------------------------------------------------------------------

@test "a model's search keeps analysis, strategy and tokens, and asks once for each candidate" {
    start_endpoint fine
    expect_status 0 search run --lambda 5 --gamma 3 --seed 1 --quiet
    expect_equal 8 "$(jq 'select(.proposer.policy == "llm" and .proposer.analysis != null
        and .proposer.strategy != null and .proposer.prompt_tokens == 100 * .proposer.attempts) | .step' run/candidates.jsonl | wc -l)"
    expect_equal "$(jq -s 'map(.proposer.attempts // 0) | add' run/candidates.jsonl)" "$(wc -l < requests.jsonl)"
    grep -qx 'model=mock' run/settings
    ! grep -q base-url run/settings || return 1
}

@test "an endpoint that is down ends the run with status 3; it goes on when that is back" {
    start_endpoint fine fine fine reset
    expect_status 3 search run --lambda 6 --gamma 2 --seed 1 --attempts 2 --retry-delay 0.01
    expect_in "$stderr" 'no answer for step 4' "'seki search run' goes on from here"
    expect_equal '0 1 2 3' "$(steps_of run/candidates.jsonl)"
    expect_equal 5 "$(wc -l < requests.jsonl)" # three, and two attempts for step 4
    stop_endpoint
    expect_status 3 seki search run --attempts 2 --retry-delay 0.01
    expect_equal '0 1 2 3' "$(steps_of run/candidates.jsonl)"
    start_endpoint fine
    expect_status 0 seki search run --quiet
    expect_equal '0 1 2 3 4 5 6 7 8' "$(steps_of run/candidates.jsonl)"
}

@test "without an endpoint or a model nothing is begun" {
    expect_status 2 seki search run --table "$table" --column score --space nas201
    expect_in "$stderr" 'seki-propose: no endpoint' 'OPENAI_BASE_URL'
    expect_equal "" "$(cat run/candidates.jsonl)"
}

@test "replies of no use and duplicates are recorded with their error, and cost a step each" {
    start_endpoint same same same badop badop fine
    expect_status 0 search run --lambda 4 --gamma 1 --seed 1 --attempts 2 --retry-delay 0.01 --quiet
    expect_equal '0 1 2 3 4 5' "$(steps_of run/candidates.jsonl)"
    expect_equal 'duplicate genotype' "$(jq -r 'select(.error) | .error.code' run/candidates.jsonl | paste -sd ' ')"
    expect_equal 4 "$(jq 'select(.score) | .step' run/candidates.jsonl | wc -l)"
    expect_equal "" "$(jq -c 'select(.error and .score)' run/candidates.jsonl)"
    # The one that follows goes on from the last that has a score.
    expect_equal "$(jq -r 'select(.step == 1) | .id' run/candidates.jsonl)" \
        "$(jq -r 'select(.step == 4) | .parents[0]' run/candidates.jsonl)"
}

@test "a run killed while a reply is under way loses no candidate and asks none twice" {
    start_endpoint fine fine stall:20 fine
    kill_at requests.jsonl 3 seki search run --table "$table" --column score --space nas201 --lambda 5 \
        --gamma 2 --seed 1
    expect_equal '0 1 2' "$(steps_of run/candidates.jsonl)"
    expect_equal 3 "$(wc -l < requests.jsonl)"
    expect_status 0 seki search run --quiet
    expect_equal '0 1 2 3 4 5 6 7' "$(steps_of run/candidates.jsonl)"
    expect_equal '0 1 2 3 4 5 6 7' "$(steps_of run/proposals.jsonl)"
    expect_equal 8 "$(wc -l < requests.jsonl)" # seven candidates; the one under way twice
}

@test "a recorded search replays to the same bytes, without an endpoint, killed or not" {
    start_endpoint fine fine badop fine same fine
    options=(--table "$table" --column score --space nas201 --lambda 14 --gamma 8 --lineages 2 --schedule alternate
        --seed 4 --retry-delay 0.01 --price '1,2')
    expect_status 0 seki search run "${options[@]}" --record --quiet
    stop_endpoint
    unset OPENAI_BASE_URL
    expect_equal "$(jq -c 'select(.cause)' run/requests.jsonl | wc -l)" "$(wc -l < run/exchanges.jsonl)"
    expect_equal "$(wc -l < requests.jsonl)" "$(wc -l < run/exchanges.jsonl)"
    expect_status 0 seki search again "${options[@]}" --replay run/exchanges.jsonl --quiet
    cmp run/proposals.jsonl again/proposals.jsonl
    cmp run/candidates.jsonl again/candidates.jsonl
    [ ! -e again/exchanges.jsonl ]
    kill_again killed seki search killed "${options[@]}" --replay run/exchanges.jsonl
    cmp run/proposals.jsonl killed/proposals.jsonl
    cmp run/candidates.jsonl killed/candidates.jsonl
    cmp run/repository.jsonl killed/repository.jsonl
    # Other settings ask something else.
    expect_status 3 seki search other "${options[@]}" --seed 5 --replay run/exchanges.jsonl --quiet
}

@test "a budget that is spent ends the search before it goes over; a larger one lets it go on" {
    start_endpoint fine
    expect_status 3 search run --lambda 6 --gamma 2 --seed 1 --max-tokens 10 --price 1,2 --max-cost 0.0015
    expect_in "$stderr" 'the budget is spent' 'is not counted' 'or with a larger --max-cost'
    steps=$(wc -l < run/candidates.jsonl)
    [ "$steps" -gt 1 ] && [ "$steps" -lt 9 ]
    jq -s -e 'map(.cost // 0) | add <= 0.0015' run/requests.jsonl
    printf '{"request": "cut' >> run/requests.jsonl
    expect_status 0 seki search run --max-cost 5
    expect_in "$stderr" 'run/requests.jsonl: took away a last line that was cut'
    expect_equal '0 1 2 3 4 5 6 7 8' "$(steps_of run/candidates.jsonl)"
    expect_equal "$(jq -s 'map(.proposer.prompt_tokens // 0) | add' run/candidates.jsonl)" \
        "$(jq -s 'map(.prompt_tokens // 0) | add' run/requests.jsonl)"
}

# ---- With pictures -------------------------------------------------------------------------

# supernet RUN: a search on pictures, as small as it gets.
supernet() {
    seki search "$1" --data "$pictures" --space nas201 --policy mutate --lambda 3 --gamma 2 --epochs 3 \
        --channels 4 --layers 1 --batch 20 --threads 1 --seed 2 "${@:2}"
}

@test "a search on pictures trains a supernet, scores on it, and trains the best network" {
    expect_status 0 supernet run
    grep -qx "precision=auto" run/settings
    expect_equal '1 2 3' "$(jq .epoch run/supernet.jsonl | paste -sd ' ')"
    expect_equal supernet "$(jq -r .metrics.scorer run/candidates.jsonl | sort -u)"
    expect_status 0 seki train run --channels 4 --layers 1 --epochs 2 --batch 20 --threads 1
    expect_in "$stderr" 'run/final: test accuracy ' ' after 2 epochs'
    expect_equal '1 2' "$(jq .epoch run/final/epochs.jsonl | paste -sd ' ')"
    expect_equal "$(jq -r .id run/repository.jsonl | head -n 1)" "$(jq -r .id run/final/record.jsonl)"
    jq -e '.metrics.epochs == 2 and .metrics.test_accuracy >= 0' run/final/record.jsonl
    [ -s run/final/network.safetensors ]
    cp -r run/final before
    expect_status 0 seki train run
    diff -r before run/final -x .lock
    expect_status 2 seki train run --epochs 3
    expect_in "$stderr" 'run/final/settings' '--epochs 2, and now it is 3'
}

@test "a supernet killed in training goes on after its last epoch, and trains none again" {
    options=(--data "$pictures" --space nas201 --policy mutate --lambda 2 --gamma 1 --epochs 12 --channels 24
        --layers 5 --batch 10 --threads 1 --seed 2)
    seki search whole "${options[@]}" --quiet
    for epochs in 2 5 9; do
        kill_at run/supernet.jsonl "$epochs" seki search run "${options[@]}"
    done
    [ ! -s run/proposals.jsonl ]
    expect_status 0 seki search run
    [[ $stderr =~ [5-9]|1[01]\ of\ 12\ epochs\ are\ done ]]
    expect_equal "$(seq 12)" "$(jq .epoch run/supernet.jsonl)"
    cmp whole/supernet.safetensors run/supernet.safetensors
    same_results whole run
}

@test "training that was killed goes on, with the candidate that was chosen" {
    supernet run --quiet
    cp -r run whole
    options=(--channels 16 --layers 5 --epochs 12 --batch 10 --threads 1)
    seki train whole "${options[@]}" --quiet
    kill_at run/final/epochs.jsonl 2 seki train run "${options[@]}"
    # A better one comes meanwhile.
    echo '{"genotype": "|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|", "score": 99.9}' |
        seki-rank --repository run/repository.jsonl > /dev/null
    kill_at run/final/epochs.jsonl 7 seki train run
    expect_status 0 seki train run --quiet
    expect_equal "$(seq 12)" "$(jq .epoch run/final/epochs.jsonl)"
    cmp whole/final/network.safetensors run/final/network.safetensors
    diff <(jq -c 'del(.metrics.seconds)' whole/final/record.jsonl) <(jq -c 'del(.metrics.seconds)' run/final/record.jsonl)
}

@test "a search on a table is trained with --data; without a candidate nothing is trained" {
    mutate run --quiet
    expect_status 2 seki train run
    expect_in "$stderr" '--data PATH'
    expect_status 0 seki train run --data "$pictures" --channels 4 --layers 1 --epochs 1 --batch 20 --threads 1 --quiet
    jq -e '.metrics.test_accuracy >= 0' run/final/record.jsonl
    expect_status 2 seki train nowhere
    expect_in "$stderr" 'nowhere is no run folder'
    mkdir empty
    cp run/settings empty
    expect_status 2 seki train empty --data "$pictures"
    expect_in "$stderr" 'no scored candidate yet'
}

# ---- The driver's options ------------------------------------------------------------------

options_of() { # VERB: its long options
    seki "$1" --dump-options | cut -f 1
}

@test "what the driver passes on, the programs have" {
    seki-propose --dump-options | cut -f 1 | sed 's/^strategy$/no-strategy/' > theirs
    for verb in search compare; do
        options_of "$verb" > own
        for option in population tournament max-params max-macs base-url model key-file temperature max-tokens \
            format no-strategy evidence noise prompts attempts timeout connect-timeout idle-timeout deadline \
            retry-delay price max-tokens-total max-cost; do
            grep -qx -e "$option" own
            grep -qx -e "$option" theirs
        done
    done
    for option in $(options_of train | grep -vx -e help -e version); do
        seki-train --dump-options | cut -f 1 | grep -qx -e "$option"
    done
    for option in data images epochs channels layers batch backend threads seed space; do
        seki-supernet --dump-options | cut -f 1 | grep -qx -e "$option"
    done
}

@test "options reach seki-propose: the bounds each of its calls, the others the policy that has them" {
    copy_programs
    printf '#!/bin/sh\nprintf "%%s\\n" "$*" >> "%s/calls"\nexec "%s/bin/seki-propose" "$@"\n' "$PWD" "$build" > bin/seki-propose
    bin/seki search run --table "$table" --column score --space nas201 --policy mutate --population 7 --tournament 2 \
        --max-params 1000000 --max-macs 150000000 --noise 0.3 --lambda 3 --gamma 1 --quiet
    expect_equal 6 "$(wc -l < calls)" # one before the first step
    expect_equal 6 "$(grep -c -e '--max-params 1000000 --max-macs 150000000' calls)"
    expect_equal 5 "$(grep -c -e '--policy mutate .*--seen run/candidates.jsonl.* --population 7 --tournament 2' calls)"
    ! grep -e '--noise\|--ledger\|--temperature' calls || return 1
    jq -s -e 'all(.metrics.params <= 1000000 and .metrics.macs <= 150000000)' run/candidates.jsonl
    start_endpoint fine
    rm calls
    bin/seki search other --table "$table" --column score --space nas201 --noise 0.3 --evidence effects --no-strategy \
        --idle-timeout 9 --record --lambda 1 --gamma 1 --quiet
    expect_equal 3 "$(grep -c -e '--policy llm .*--ledger other/requests.jsonl --record other/exchanges.jsonl' calls)"
    expect_equal 3 "$(grep -c -e '--no-strategy --evidence effects --noise 0.3 .*--idle-timeout 9' calls)"
    expect_equal 1 "$(grep -c -e '--policy random' calls)"
}

@test "an option that is nearly one is asked back" {
    expect_status 2 seki search run --tabel x
    expect_in "$stderr" "unknown option '--tabel'; did you mean '--table'?"
    expect_status 2 seki report run --outptu=x
    expect_in "$stderr" "did you mean '--output'?"
    expect_status 2 seki search run --frobnicate
    [[ $stderr != *'did you mean'* ]]
}

# ---- The benchmark's table -----------------------------------------------------------------

@test "100 candidates of NAS-Bench-201 take less than 30 seconds" {
    need_shared data/nasbench201.tsv.gz
    start=$(date +%s)
    expect_status 0 seki search run --table "$top/../shared/data/nasbench201.tsv.gz" --column cifar10_valid \
        --test-column cifar10_test --space nas201 --policy mutate --lambda 60 --gamma 39 --quiet
    end=$(date +%s)
    echo "$((end - start)) s"
    expect_equal 100 "$(jq -s 'map(select(.score)) | length' run/candidates.jsonl)"
    [ "$((end - start))" -lt 30 ]
}
