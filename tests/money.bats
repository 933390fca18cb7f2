#!/usr/bin/env bats
# seki-propose: what requests cost and the bounds on it, records and replays of them, and what a prompt is
# made of before it is sent.
# shellcheck disable=SC2030,SC2031 # tests are subshells
load helpers
load endpoint

# A history of searches in darts: random candidates, each with nine mutations; a score by a made-up rule.
setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    seki-propose --policy random --space darts -n 200 --seed 3 > drawn
    jq -c '.score = 0' drawn | seki-propose --policy mutate -n 9 --seed 4 > mutated
    cat drawn mutated | jq -c '.score = 90 + ([.genotype | scan("sep_conv_3x3")] | length) * 0.3 +
        ([.id | explode[]] | add % 10) * 0.05' > history
}

# ask OPTION…: seki-propose for the scored DARTS record; waits are short.
ask() {
    [ -e parent.jsonl ] || scored "$darts" > parent.jsonl
    seki-propose --seed 1 --retry-delay 0.01 "$@" parent.jsonl
}

# used FILE: tokens, and used_cost FILE: cost, of all requests in a ledger that ended.
used() {
    jq -s 'map(select(.cause) | .prompt_tokens + .completion_tokens) | add // 0' "$1"
}

used_cost() {
    jq -s 'map(select(.cause).cost) | add // 0' "$1"
}

# ---- Prices ---------------------------------------------------------------------------------

@test "--price gives each record its cost, the cached part of a prompt at its own price" {
    for case in 2.5,10=0.0045,0.0045,0.0045 2.5,10,0.25=0.0036,0.003825,0.0045 0,0=0,0,0; do
        start_endpoint usage:1000,200,400 usage:1000,200,,300 usage:1000,200
        expect_status 0 ask -n 3 --price "${case%=*}" --ledger "ledger-$case"
        expect_json .proposer.cached_tokens $'400\n300\nnull'
        expect_equal "${case#*=}" "$(jq -r '.proposer.cost * 1e9 | round / 1e9' <<< "$output" | paste -sd ,)"
        expect_equal "${case#*=}" "$(jq -r 'select(.cause).cost * 1e9 | round / 1e9' "ledger-$case" | paste -sd ,)"
    done
    start_endpoint malformed usage:1000,200
    expect_status 0 ask --price 1,2
    expect_json '.proposer | [.prompt_tokens, .completion_tokens, (.cost * 1e6 | round)]' '[1100,210,1520]'
    start_endpoint usage:1000,200,5000 # more than there is
    expect_status 0 ask --price 1,2,0
    expect_json '.proposer.cost * 1e6 | round' 400
    start_endpoint nousage
    expect_status 0 ask --price 1,2
    expect_json '.proposer | [.estimated, .cost > 0, .prompt_tokens > 100]' '[true,true,true]'
}

@test "what thinking is billed in the total alone counts as the reply's" {
    start_endpoint usage:800,100,,,9000
    propose 0
    expect_json '.proposer | [.prompt_tokens, .completion_tokens]' '[800,8200]'
}

@test "an endpoint that bills more than it was allowed is told once, and its longest reply is reckoned with" {
    start_endpoint usage:800,30000,0
    scored "$nas201" > parent.jsonl
    expect_status 3 seki-propose --seed 1 --jobs 16 -n 40 --price 1,10 --max-cost 1 --ledger ledger parent.jsonl
    expect_equal 1 "$(grep -c 'although the request allowed 4096' <<< "$stderr")"
    expect_equal true "$(jq -s 'map(.cost // 0) | add | . > 0.3 and . <= 1' ledger)"
}

@test "requests made without a price count at the price of a later call" {
    start_endpoint usage:1000,200,0
    scored "$nas201" > parent.jsonl
    expect_status 0 seki-propose --seed 1 -n 5 --ledger ledger parent.jsonl
    expect_equal null "$(jq -s 'map(.cost) | max' ledger)"
    before=$(requests)
    expect_status 3 seki-propose --seed 2 --price 1000,1000 --max-cost 6 --ledger ledger parent.jsonl
    expect_in "$stderr" 'the budget is spent: 6 are paid'
    expect_equal "$before" "$(requests)"
}

@test "a run begun without a budget and gone on with one replays, with either" {
    start_endpoint fine
    propose 0 -n 2 --record exchanges
    mv exchanges first
    propose 0 -n 2 --record exchanges --max-tokens-total 100000
    cat first exchanges > all
    printf '%s\n' "$output" > recorded
    for budget in '' '--max-tokens-total 100000'; do
        # shellcheck disable=SC2086 # one option or none
        propose 0 -n 2 --replay all $budget
        expect_equal "$(cat recorded)" "$output"
    done
}

@test "--record and --replay exclude each other, and a recording's cut last line is passed over" {
    start_endpoint fine
    propose 0 --record exchanges
    expect_equal 1 "$(wc -l < exchanges)"
    printf '%s\n' "$output" > recorded
    propose 2 --record other --replay exchanges
    expect_in "$stderr" '--record and --replay exclude each other'
    head -c 100 exchanges > part
    cat part >> exchanges
    propose 0 --replay exchanges
    expect_equal "$(cat recorded)" "$output"
}

@test "a standard input or output that is closed is status 3, before anything is paid" {
    start_endpoint fine
    scored "$nas201" > parent.jsonl
    closed=0
    seki-propose --seed 1 parent.jsonl >&- 2> message || closed=$?
    expect_equal 3 "$closed"
    expect_in "$(cat message)" 'standard output'
    closed=0
    timeout 10 seki-propose --seed 1 <&- > output 2> message || closed=$?
    expect_equal 3 "$closed"
    expect_equal 0 "$(requests)"
}

@test "a price that is none is wrong use, and so is a bound on cost without a price" {
    start_endpoint fine
    for price in '' 1 '1,' ',1' '1,2,' '1,2,3,4' 'a,b' '-1,2' '1,-2' 'nan,1' 'inf,1' '1;2' '1,2 ' '1e400,1'; do
        expect_status 2 ask --price "$price"
        expect_in "$stderr" "--price '$price'" 'IN,OUT,CACHED'
    done
    expect_status 2 ask --max-cost 1
    expect_in "$stderr" '--max-cost needs --price'
    expect_equal 0 "$(requests)"
}

# ---- The ledger -----------------------------------------------------------------------------

@test "the ledger has two lines for each request, whatever came of it" {
    start_endpoint status:503 reset malformed nousage drop fine
    expect_status 0 ask -n 2 --max-tokens 500 --price 1,2 --ledger ledger
    expect_equal "6 12" "$(requests) $(wc -l < ledger | tr -d ' ')"
    expect_equal 6 "$(jq -r .request ledger | sort | uniq -c | grep -c ' 2 ')"
    expect_equal '[["busy",503,1],["dropped",0,2],["none",200,3],["none",200,4],["dropped",0,1],["none",200,2]]' \
        "$(jq -s -c 'map(select(.cause) | [.cause, .status, .attempt])' ledger)"
    # Certain, unknown but paid, and paid for nothing.
    expect_equal '[0,0,false] [-1,500,true] [100,10,false] [-1,-1,true] [-1,500,true] [100,10,false]' \
        "$(jq -c 'select(.cause) | [.prompt_tokens, .completion_tokens, .estimated // false] |
            if .[2] then (.[0] |= if . > 500 then -1 else . end) | (.[1] |= if . == 500 then . else -1 end)
            else . end' ledger | paste -sd ' ')"
    expect_equal true "$(jq -s 'all(.[] | select(.cause); .prompt_bytes > 1000 and .seconds >= 0 and
        ((.cost - (.prompt_tokens + 2 * .completion_tokens) / 1e6) | fabs) < 1e-12)' ledger)"
    expect_equal true "$(jq -s 'all(.[] | select(.cause | not); .most_tokens > 1000 and .most_cost > 0.0005)' ledger)"
}

@test "a ledger that is damaged is wrong use, by file and line" {
    start_endpoint fine
    good='{"request": "a-1", "cause": "none", "prompt_tokens": 10, "completion_tokens": 1}'
    for line in nonsense '[]' '{"cause": "none"}' '{"request": 7}' '{"request": "'"$(printf 'x%.0s' {1..80})"'"}'; do
        printf '%s\n' "$good" "$line" > ledger
        expect_status 2 ask --ledger ledger
        expect_in "$stderr" 'ledger:2: '
    done
    expect_status 3 ask --ledger missing/ledger
    expect_in "$stderr" 'missing/ledger'
    # The end of a line that a kill cut off is no damage.
    printf '%s\n{"request": "b-' "$good" > ledger
    expect_status 0 ask --ledger ledger
    expect_equal 3 "$(jq -c . ledger | wc -l | tr -d ' ')"
    expect_equal 1 "$(requests)"
}

# ---- Bounds ---------------------------------------------------------------------------------

# spend OPTION…: calls until one ends for the budget; then another one sends nothing.
spend() {
    local calls=0 before
    until run_separate ask "$@" && [[ $stderr = *'the budget is spent'* ]]; do
        calls=$((calls + 1))
        [ "$calls" -lt 40 ] || return 1
    done
    expect_equal 3 "$status"
    before=$(requests)
    expect_status 3 ask "$@"
    expect_equal "$before " "$(requests) $output"
    expect_equal "$before" "$(jq -c 'select(.cause)' ledger | wc -l | tr -d ' ')"
}

costly='usage:1000,900 status:503 malformed nousage drop usage:1100,1000 huge reset 429 malformedbody usage:900,10'

@test "tokens never exceed --max-tokens-total, over calls and failed attempts" {
    for jobs in 1 4; do
        rm -f ledger
        # shellcheck disable=SC2086 # words
        start_endpoint $costly $costly usage:1000,1000
        spend -n 3 --jobs "$jobs" --ledger ledger --max-tokens-total 20000 --max-tokens 1000
        between 17000 "$(used ledger)" 20000
    done
}

@test "costs never exceed --max-cost, over calls and failed attempts" {
    for jobs in 1 4; do
        rm -f ledger
        # shellcheck disable=SC2086 # words
        start_endpoint $costly $costly usage:1000,1000
        spend -n 3 --jobs "$jobs" --ledger ledger --price 2,10,1 --max-cost 0.1 --max-tokens 1000
        between 0.087 "$(used_cost ledger)" 0.1
    done
}

@test "a budget without a ledger is that of the call, and what came is on the output" {
    start_endpoint usage:1000,900
    expect_status 3 ask -n 8 --max-tokens 1000 --max-tokens-total 6000
    expect_equal "3 3" "$(requests) $(wc -l <<< "$output" | tr -d ' ')"
    expect_in "$stderr" 'the budget is spent: 5700 tokens are used' '--max-tokens-total is 6000'
    expect_json .error $'null\nnull\nnull'
}

@test "a call that ends for its budget waits for what is under way" {
    start_endpoint 'late:current=0.3 usage:1000,900'
    # A request may take nearly 2200 tokens: after the first, three are let out at once, and no fifth.
    expect_status 3 ask -n 9 --jobs 4 --max-tokens 1000 --max-tokens-total 9000 --ledger ledger
    expect_equal '[1,1,2,3]' "$(jq -s -c 'map(.open)' requests.jsonl)"
    expect_json .error $'null\nnull\nnull\nnull'
    expect_equal 7600 "$(used ledger)"
}

@test "a bound makes requests bounded: 4096 tokens where --max-tokens says nothing" {
    start_endpoint fine
    expect_status 0 ask --max-tokens-total 100000
    expect_status 0 ask --max-cost 1 --price 1,1
    expect_status 0 ask --max-cost 1 --price 1,1 --max-tokens 300
    expect_status 0 ask
    expect_equal '4096 4096 300 null' "$(jq .body.max_tokens requests.jsonl | paste -sd ' ')"
}

@test "a request whose end a kill hid counts with the most that it could cost" {
    start_endpoint stall
    ask --ledger ledger --max-tokens-total 9000 > out 2> err 3>&- &
    pid=$!
    until [ "$(requests)" -eq 1 ]; do sleep 0.02; done
    child=$(pgrep -P "$pid" seki-propose || echo "$pid")
    kill -9 "$child"
    wait "$pid" || true
    start_endpoint fine
    most=$(jq .most_tokens ledger)
    [ "$most" -gt 5000 ]
    expect_status 3 ask --ledger ledger --max-tokens-total $((2 * most - 1))
    expect_in "$stderr" "$most tokens are used"
    expect_equal 0 "$(requests)"
    expect_status 0 ask --ledger ledger --max-tokens-total $((2 * most))
    expect_equal 1 "$(requests)"
}

@test "two calls on one ledger keep its bound together" {
    start_endpoint fine slow:0.03
    scored "$darts" > parent.jsonl
    for seed in 1 2; do
        seki-propose --seed "$seed" -n 60 --jobs 3 --ledger ledger --max-tokens-total 9000 --max-tokens 500 \
            parent.jsonl > "out-$seed" 2> "err-$seed" 3>&- &
    done
    for seed in 1 2; do
        wait -n && return 1
        expect_equal 3 "$?"
    done
    grep -q 'the budget is spent' err-1
    grep -q 'the budget is spent' err-2
    between 6500 "$(used ledger)" 9000
    expect_equal "$(requests)" "$(cat out-1 out-2 | wc -l | tr -d ' ')"
    expect_equal $((2 * $(requests))) "$(jq -c . ledger | wc -l | tr -d ' ')"
}

# ---- Record and replay ----------------------------------------------------------------------

# replay OPTION…: with no endpoint and no settings for one.
replay() {
    (unset OPENAI_BASE_URL OPENAI_API_KEY && ask --model mock "$@")
}

@test "a recorded call replays to the same bytes, without endpoint, key or waits" {
    for jobs in 1 4; do
        rm -f exchanges
        start_endpoint refuse:response_format status:503 429:1 badutf8 deep malformed fine same same empty huge echo:500 \
            usage:900,100,50 fine
        OPENAI_API_KEY=$key run_separate ask -n 9 --attempts 8 --jobs "$jobs" --record exchanges --price 1,2
        expect_equal 1 "$status" # the 50 MB
        expect_equal 'none too_large' "$(jq -r '.error.code // "none"' <<< "$output" | sort -u | paste -sd ' ')"
        recorded=$output
        expect_equal "$(requests)" "$(wc -l < exchanges | tr -d ' ')"
        expect_equal 0 "$(grep -c -F "$key" exchanges)"
        stop_endpoint
        measure expect_status 1 replay -n 9 --attempts 8 --jobs "$jobs" --replay exchanges --price 1,2
        expect_equal "$recorded" "$output"
        between 0 "$took" 900 # it waited for 1 s
    done
}

@test "what was recorded before is added to, and a call that was repeated replays as it ended last" {
    start_endpoint fine
    expect_status 0 ask --record exchanges
    expect_status 0 ask --record exchanges
    last=$output
    expect_equal 2 "$(wc -l < exchanges | tr -d ' ')"
    expect_status 0 replay --replay exchanges
    expect_equal "$(jq -c 'del(.proposer.seconds)' <<< "$last")" "$(jq -c 'del(.proposer.seconds)' <<< "$output")"
}

@test "a call that its budget ended replays to the same bytes" {
    start_endpoint usage:1000,900
    expect_status 3 ask -n 8 --max-tokens 1000 --max-tokens-total 6000 --record exchanges
    recorded=$output
    expect_status 3 replay -n 8 --max-tokens 1000 --max-tokens-total 6000 --replay exchanges
    expect_equal "$recorded" "$output"
}

@test "a request that was not recorded is an error that says so" {
    start_endpoint fine
    expect_status 0 ask --record exchanges
    for other in '--seed 2' '--temperature 0.5' '--no-strategy' '-n 2'; do
        # shellcheck disable=SC2086 # words
        expect_status 3 replay --replay exchanges $other
        expect_equal '"unrecorded"' "$(tail -n 1 <<< "$output" | jq -c .error.code)"
        expect_in "$stderr" 'exchanges' 'is recorded' 'the options, the seed and the input'
    done
    scored "$darts" 81 > other.jsonl
    expect_status 3 seki-propose --seed 1 --replay exchanges other.jsonl
    expect_equal 1 "$(requests)"
}

@test "a recording that is damaged or missing is wrong use, by file and line" {
    start_endpoint fine
    expect_status 0 ask --record exchanges
    echo '{"request_hash": "xyz"}' >> exchanges
    expect_status 2 replay --replay exchanges
    expect_in "$stderr" 'exchanges:2: '
    expect_status 3 replay --replay missing
    expect_in "$stderr" 'missing: '
    expect_status 3 ask --record missing/exchanges
    expect_equal 1 "$(requests)"
}

# ---- A dry run ------------------------------------------------------------------------------

@test "--dry-run prints the requests that a call would begin with, needs no endpoint and sends nothing" {
    start_endpoint fine
    for options in '' '--format text' '--no-strategy --temperature 0.5 --max-tokens 300' '--evidence none'; do
        : > requests.jsonl
        # shellcheck disable=SC2086 # words
        expect_status 0 ask -n 2 --dry-run $options --ledger ledger --record exchanges
        expect_equal 0 "$(requests)"
        [ ! -e ledger ] && [ ! -e exchanges ]
        planned=$(jq -c -S .request <<< "$output")
        expect_equal 2 "$(wc -l <<< "$planned" | tr -d ' ')"
        expect_json '.estimated_tokens | . > 500 and . < 2000' $'true\ntrue'
        # shellcheck disable=SC2086 # words
        expect_status 0 ask -n 2 $options
        expect_equal "$planned" "$(jq -c -S .body requests.jsonl)"
    done
    (unset OPENAI_BASE_URL && ask --dry-run --model mock > planned)
    expect_equal 1 "$(wc -l < planned | tr -d ' ')"
}

# ---- What the history says ------------------------------------------------------------------

# estimate FILE OPTION…: tokens of the next prompt after the history in FILE, which is kept in `prompt`.
estimate() {
    local input=()
    case $* in
    *inspiration*) seki-rank --top 65536 "$1" > repository ;;
    *) tail -n 1 "$1" > last && input=(last) ;;
    esac
    seki-propose --seed 1 --dry-run --model m --seen "$1" "${@:2}" "${input[@]}" > planned || return
    jq -r '.request.messages[1].content' planned > prompt
    jq .estimated_tokens planned
}

@test "prompts stay below 5,000 tokens however long the history is" {
    history=$BATS_FILE_TMPDIR/history
    expect_equal 2000 "$(wc -l < "$history" | tr -d ' ')"
    { head -n 60 "$history" && tail -n 140 "$history"; } > some
    for stage in '--stage evolution' '--stage inspiration -r repository -k 10'; do
        # shellcheck disable=SC2086 # words
        for evidence in none effects full; do
            declare "$evidence=$(estimate "$history" --evidence $evidence $stage)"
        done
        # shellcheck disable=SC2086 # words
        after_some=$(estimate some $stage)
        echo "$stage: $none $effects $full, after 200: $after_some"
        [ "$none" -lt "$effects" ] && [ "$effects" -lt "$full" ] && [ "$full" -lt 5000 ]
        between $((after_some - 500)) "$full" $((after_some + 800))
    done
}

@test "the effects in a prompt are those of seki-rank --effects" {
    history=$BATS_FILE_TMPDIR/history
    estimate "$history" --evidence effects
    # "- normal node 2 from 0 sep_conv_3x3: +0.28 (22)"
    sed -n -E 's/^- ((normal|reduce) node [2-5]) from ([0-4]) ([a-z0-9_]+): ([+-][0-9.]+) \(([0-9]+)\)$/\1 <- state \3 \4 \5 \6/p' \
        prompt > shown
    expect_equal 40 "$(wc -l < shown | tr -d ' ')"
    # Rounded: differences to two decimals.
    seki-rank --effects "$history" | awk '
        NR == FNR { if (/<- state/) { mean[$1 $2 $3 $6 $7] = $8; pairs[$1 $2 $3 $6 $7] = $10 } next }
        { edge = $1 $2 $3 $6 $7; apart = mean[edge] - $8 }
        pairs[edge] == $9 && apart < 0.00506 && apart > -0.00506 { same++; next }
        { print "not in the table:", $0 }
        END { print same + 0, "are the same" }' - shown > compared
    expect_equal '40 are the same' "$(cat compared)"
}

@test "a prompt shows the steps that led to a candidate, and what was tried from it" {
    start_endpoint fine
    a=$nas201
    b=${a/none~0/nor_conv_3x3~0}
    c=${b/none~1/nor_conv_1x1~1}
    d=${c/avg_pool_3x3~1/none~1}
    parent=
    for step in "$a 60" "$b 70.5" "$c 72" "$d 65"; do
        scored "${step% *}" "${step#* }" | seki-eval --cost --quiet |
            jq -c --arg p "$parent" 'del(.metrics) + if $p == "" then {} else {parents: [$p]} end' >> seen
        parent=$(tail -n 1 seen | jq -r .id)
    done
    sed -n 3p seen > current
    expect_status 0 seki-propose --seed 1 --seen seen current
    expect_in "$(prompt 1)" 'the score 72:' '- from_0_to_2: none -> nor_conv_3x3: 60 -> 70.5 (+10.5)
- from_1_to_3: none -> nor_conv_1x1: 70.5 -> 72 (+1.5)' \
        '- from_1_to_2: avg_pool_3x3 -> none: 72 -> 65 (-7)'
}

@test "the noise of scores is that of --noise, or of architectures that were scored again" {
    start_endpoint fine
    for score in 70 71 70 71 70 71; do scored "$nas201" "$score"; done > seen
    head -n 5 seen > few
    scored "${nas201/none/nor_conv_3x3}" 75 > current
    expect_status 0 seki-propose --seed 1 --seen seen current
    expect_in "$(prompt 1)" 'about 0.55 (standard deviation)'
    expect_status 0 seki-propose --seed 1 --seen seen --noise 0.25 current
    expect_in "$(prompt 2)" 'about 0.25 (standard deviation)'
    expect_status 0 seki-propose --seed 1 --seen seen --evidence none current
    expect_status 0 seki-propose --seed 1 --seen few current
    [[ $(prompt 3)$(prompt 4) != *'standard deviation'* ]]
}

# ---- Bounds on the architecture -------------------------------------------------------------

@test "a reply over a bound is asked again with the figures; one that stays over it has the code constraint" {
    small='|skip_connect~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_1x1~2|'
    large='|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|'
    scored "$nas201" > parent.jsonl
    start_endpoint "say:$large" "say:$small"
    expect_status 0 ask --format text --max-params 400000
    expect_json '[.genotype == "'"$small"'", .proposer.attempts]' '[true,2]'
    expect_in "$(prompt 1)" 'at most 400000 parameters'
    params=$(seki-eval --cost --quiet <<< "$large" | jq '.metrics.params / 1e4 | round / 100')
    expect_in "$(sed -n 2p requests.jsonl | jq -r '.body.messages[-1].content')" \
        "$params M parameters, but --max-params allows 0.4 M" 'cheaper operations'
    start_endpoint "say:$large"
    expect_status 1 ask --format text --max-macs 60e6 --attempts 3 --price 1,1
    expect_json '[.error.code, .genotype == "'"$large"'", .proposer.attempts, (.proposer.cost * 1e6 | round)]' \
        '["constraint",true,3,330]'
    expect_equal 3 "$(requests)"
}

@test "a rate limit that one call has met holds the next call on its ledger back" {
    start_endpoint limit:requests,0,0.8s fine
    propose 0 --ledger ledger
    propose 0 --ledger ledger
    expect_equal 2 "$(requests)"
    between 0.7 "$(gaps)" 1.6
}

@test "what the endpoint refuses while several requests are under way is replayed in its order" {
    start_endpoint fine slow:0.3 refuse:response_format fine slow:0.2 fine
    propose 0 --jobs 4 -n 8 --record exchanges
    cp parent.jsonl again.jsonl
    printf '%s\n' "$output" > recorded
    expect_status 0 seki-propose --seed 1 --retry-delay 0.01 --jobs 4 -n 8 --replay exchanges again.jsonl
    expect_equal "$(cat recorded)" "$output"
}
