#!/usr/bin/env bats
# seki-propose and all that an endpoint does wrong: faults, requests at once, rate limits, the key.
# shellcheck disable=SC2030,SC2031 # tests are subshells
load helpers
load table
load endpoint

# records SCORE…: a file of that name, with an architecture for each that differs in one edge.
records() {
    local score ops=(none skip_connect nor_conv_1x1 nor_conv_3x3 avg_pool_3x3)
    for score; do
        scored "|${ops[score % 5]}~0|+|none~0|${ops[score / 5 % 5]}~1|+|nor_conv_1x1~0|none~1|skip_connect~2|" "$score"
    done > records
}

# at_once: the most requests that the endpoint had under way.
at_once() {
    jq -s 'map(.open) | max' requests.jsonl
}

# ---- Faults ---------------------------------------------------------------------------------

# Of two candidates with three requests at most for each: what comes out, how many requests the endpoint
# saw, and milliseconds at least and at most. Waits between requests are below 0.05 s.
@test "each fault has its status, records, code, number of requests and bound on time" {
    start_endpoint fine
    mv requests.jsonl other.jsonl
    other=$port
    start_endpoint fine
    number=0
    while IFS='|' read -r name steps options expected codes seen least most; do
        echo "$name"
        : > requests.jsonl
        number=$((number + 1))
        url=http://127.0.0.1:$port/$number/${steps/OTHER/localhost:$other}/v1
        [ "$steps" != - ] || url=http://127.0.0.1:1/v1
        # shellcheck disable=SC2086 # words
        measure propose "$expected" --base-url "$url" -n 2 --attempts 3 $options
        expect_equal "$codes" "$(jq -r '.error.code // "good"' <<< "$output" | paste -sd ' ')"
        expect_equal "$seen" "$(requests)"
        between "$least" "$took" "$most"
        [ "$expected" -eq 0 ] || [ -n "$stderr" ]
    done << 'TABLE'
refused connection|-||3|connect connect|0|0|1500
reset in the middle|drop||3|dropped dropped|6|0|1500
reset before a byte|reset||3|dropped dropped|6|0|1500
reset, then good|drop,reset,fine||0|good good|4|0|1500
silence|stall|--timeout 0.2|3|timeout timeout|6|1200|2800
silence, then good|stall,fine|--timeout 0.3|0|good good|3|300|1500
a byte a second|trickle:1|--timeout 1.1 --attempts 1 -n 1|3|timeout|1|1100|2500
begun, then silence|pause|--idle-timeout 0.3 --attempts 1 -n 1|3|timeout|1|300|2500
429 without Retry-After|429||3|rate_limit rate_limit|6|0|1500
429, then good|429,429,fine||0|good good|4|0|1500
429 with Retry-After in seconds|429:1,fine||0|good good|3|1000|2500
429 with Retry-After as a date|429:date,fine||0|good good|3|900|3500
500, then good|status:500,status:500,fine||0|good good|4|0|1500
500 for ever|status:500||3|busy busy|6|0|1500
500, one too often|status:500,status:500,status:500,fine||1|busy good|4|0|1500
HTML with status 200|html||3|html|1|0|1000
HTML with status 502, then good|html:502,fine||0|good good|3|0|1500
truncated JSON|malformedbody||3|malformed malformed|6|0|1500
truncated JSON, then good|malformedbody,fine||0|good good|3|0|1500
50 MB|huge||3|too_large too_large|2|0|4000
50 MB once|huge,fine||1|too_large good|2|0|3000
JSON as text/plain|plain||0|good good|2|0|1000
JSON as text/html|plain:text/html||0|good good|2|0|1000
choices: []|nochoices||1|empty empty|6|0|1500
null content|null||1|empty empty|6|0|1500
null content, then good|null,fine||0|good good|3|0|1500
duplicate ids|same||1|good duplicate|4|0|1500
invalid UTF-8|badutf8||3|malformed malformed|6|0|1500
invalid UTF-8, then good|badutf8,fine||0|good good|3|0|1500
deep nesting|deep||3|malformed malformed|6|0|1500
redirect to another host|redirect:OTHER||3|redirect|1|0|1000
no HTTP|garbage||3|protocol|1|0|1000
an error with status 200|errorobject||3|busy busy|6|0|1500
TABLE
    [ ! -s other.jsonl ]
}

@test "a request is never sent again unseen: each that the endpoint gets is counted" {
    # On a connection that a reply has come over, libcurl would repeat a request whose connection ends.
    start_endpoint fine reset reset fine
    propose 0 -n 2 --attempts 3 --ledger ledger
    expect_json .proposer.attempts $'1\n3'
    expect_equal 4 "$(requests)"
    expect_equal 4 "$(grep -c cause ledger)"
}

@test "a reply that stops in its middle is named so, and a model may think longer than --idle-timeout" {
    start_endpoint pause
    propose 3 --idle-timeout 0.2 --attempts 1
    expect_in "$stderr" 'the reply stopped in its middle' '0.2 s'
    start_endpoint slow:1.5
    propose 0 --idle-timeout 0.2
}

@test "a wait that the deadline has no room for is not begun" {
    start_endpoint 429:60 fine
    begun=$SECONDS
    propose 3 --deadline 5
    [ $((SECONDS - begun)) -lt 5 ]
    expect_json .error.code '"rate_limit"'
    expect_in "$(jq -r .error.message <<< "$output")" 'the deadline of 5 s'
    expect_equal 1 "$(requests)"
}

@test "--deadline bounds all attempts, and failures of all kinds are waited out within it" {
    start_endpoint stall
    measure propose 3 --timeout 30 --deadline 0.5
    expect_equal 1 "$(requests)"
    between 500 "$took" 2000
    start_endpoint 429 status:503 status:408 drop errorobject html:502 deep fine
    propose 0 --attempts 8
    # of those, the one whose connection ended and the one that is no JSON may have been paid
    expect_json '.proposer | [.attempts, .prompt_tokens > 1000, .estimated]' '[8,true,true]'
    expect_json .proposer.faults '["rate_limit","busy","busy","dropped","busy","busy","malformed"]'
}

@test "what no second request can mend is asked once, and ends the call with status 3" {
    for case in status:401=unauthorized status:403=forbidden status:404=not_found html=html quota=quota \
        redirect:127.0.0.1:1=redirect garbage=protocol; do
        start_endpoint "${case%=*}"
        propose 3 -n 5
        expect_json .error.code "\"${case##*=}\""
        expect_equal 1 "$(requests)"
        expect_in "$stderr" "http://127.0.0.1:$port/v1/chat/completions"
    done
}

@test "a web page is named as one, with the mend" {
    start_endpoint html
    propose 3
    expect_in "$stderr" 'a web page answers there' '--base-url'
}

@test "an endpoint that is down ends the call after --breaker candidates, with what was got on the output" {
    start_endpoint fine status:503
    propose 3 -n 10 --breaker 2 --attempts 3
    expect_json '[.error.code, .proposer.attempts]' $'[null,1]\n["busy",3]\n["busy",3]'
    expect_equal 7 "$(requests)"
    expect_in "$stderr" 'no reply for 2 candidates in a row; nothing more is asked'
}

@test "a reply between failures keeps the breaker closed" {
    start_endpoint status:503 fine status:503 fine status:503 fine
    propose 1 -n 6 --breaker 2 --attempts 1
    expect_json '.error.code' $'"busy"\nnull\n"busy"\nnull\n"busy"\nnull'
}

@test "a refused connection is status 3, and the message names the address without its secrets" {
    start_endpoint fine
    stop_endpoint
    propose 3 --attempts 2 --base-url "http://user:hunter22@127.0.0.1:$port/v1?token=hunter22"
    expect_in "$stderr" "http://127.0.0.1:$port/v1/chat/completions" 'check that the server runs'
    [[ $stderr$output != *hunter22* ]]
    expect_json '[.error.code, .proposer.attempts]' '["connect",2]'
}

@test "an endpoint that refuses response_format is asked for text, said once" {
    start_endpoint refuse:response_format
    propose 0 -n 3
    expect_json '.proposer | [.format, .attempts]' $'["text",2]\n["text",1]\n["text",1]'
    expect_equal 1 "$(grep -c 'refuses response_format' <<< "$stderr")"
    expect_equal 4 "$(requests)"
    expect_in "$(sed -n 2p requests.jsonl | jq -r '.body.messages[1].content')" 'Architecture: the new Genotype('
}

@test "an endpoint that refuses maxLength keeps the schema without it" {
    start_endpoint refuse:maxLength
    propose 0 -n 2
    expect_json '.proposer | [.format, .attempts]' $'["schema",2]\n["schema",1]'
}

@test "an endpoint that refuses seed or max_tokens is met with what it takes" {
    start_endpoint refuse:seed
    propose 0
    expect_equal '[null,"json_schema"]' "$(tail -n 1 requests.jsonl | jq -c '[.body.seed, .body.response_format.type]')"
    start_endpoint refuse:max_tokens
    propose 0 --max-tokens 50
    expect_equal '[null,50]' "$(tail -n 1 requests.jsonl | jq -c '[.body.max_tokens, .body.max_completion_tokens]')"
}

@test "tokens that the endpoint does not tell are marked as estimated" {
    start_endpoint nousage
    propose 0
    expect_json '.proposer | [.attempts, .estimated, .prompt_tokens > 100, .completion_tokens > 10]' '[1,true,true,true]'
    start_endpoint fine
    propose 0
    expect_json .proposer.estimated null
}

@test "TLS is spoken and verified: a plain server behind https is refused once" {
    start_endpoint fine
    propose 3 --base-url "https://127.0.0.1:$port/v1"
    expect_json '[.error.code, .proposer.attempts]' '["tls",1]'
}

# ---- The key --------------------------------------------------------------------------------

@test "the key goes to the endpoint alone: no message, no record, no command line, no redirect" {
    start_endpoint fine
    aim=$port
    mv requests.jsonl aim.jsonl
    ln -s aim.jsonl first.jsonl
    start_endpoint echo
    OPENAI_API_KEY=$key propose 3
    expect_equal "\"Bearer $key\"" "$(jq -c .authorization requests.jsonl)"
    [[ $stderr$output != *"$key"* ]]
    start_endpoint "redirect:localhost:$aim"
    OPENAI_API_KEY=$key propose 3
    [[ $stderr$output != *"$key"* ]]
    [ ! -s aim.jsonl ]
    start_endpoint stall:0.5 fine
    printf '%s\n' "$key" > file
    chmod 600 file
    scored "$darts" | OPENAI_API_KEY=$key seki-propose --seed 1 --key-file file > out 2> err 3>&- &
    pid=$!
    while [ "$(requests)" -eq 0 ]; do sleep 0.05; done
    run cat "/proc/$pid/cmdline"
    [[ $output != *"$key"* ]]
    wait "$pid"
    expect_equal "" "$(grep -F "$key" out err)"
}

@test "a key file that others can read, that is empty or that is missing is wrong use" {
    start_endpoint fine
    echo "$key" > file
    chmod 640 file
    propose 2 --key-file file
    expect_in "$stderr" 'file: ' '0640' 'chmod 600'
    chmod 600 file
    propose 0 --key-file file
    expect_equal "\"Bearer $key\"" "$(jq -c .authorization requests.jsonl)"
    : > file
    propose 2 --key-file file
    propose 2 --key-file missing
    printf 'one\ntwo\n' > file
    propose 2 --key-file file
    [[ $stderr != *two* ]]
}

# ---- Requests at once -----------------------------------------------------------------------

@test "--jobs N has N requests under way, and no more" {
    start_endpoint fine slow:0.3
    measure propose 0 --jobs 4 -n 9
    expect_equal 9 "$(jq -r .id <<< "$output" | sort -u | wc -l | tr -d ' ')"
    expect_equal 4 "$(at_once)"
    between 600 "$took" 1700 # one after the other: 2400
    start_endpoint fine
    propose 0 -n 5
    expect_equal 1 "$(at_once)"
}

@test "records come out in the order of the input, in whatever order replies come" {
    start_endpoint fine 'late:11:=0.6 12:=0.4 13:=0.2 fine'
    records 10 11 12 13 14 15
    expect_status 0 seki-propose --seed 1 --jobs 4 --evidence none records
    expect_equal "$(seki-eval --cost --quiet records | jq -r .id)" "$(jq -r '.parents[0]' <<< "$output")"
    # The endpoint's side: it answered the second record after the three that came after it.
    expect_equal '[10,14,13,12,11,15]' "$(jq -c -n --slurpfile asked requests.jsonl '
        [inputs.number | $asked[.].body.messages[1].content | capture("score (?<score>1.):").score | tonumber]' \
        requests.jsonl.replies)"
}

@test "of equal replies the one that is first in the output's order stays, though it came last" {
    start_endpoint fine 'late:21:=0.5 same' 'late:21:=0.5 same' fine
    records 20 21 22
    expect_status 0 seki-propose --seed 1 --jobs 3 --evidence none records
    expect_json .proposer.attempts $'1\n1\n2'
    expect_in "$(tail -n 1 requests.jsonl | jq -r '.body.messages | "\(.[1].content) \(.[-1].content)"')" \
        'score 22:' "$(sed -n 2p <<< "$output" | jq -r .id)" 'new architecture'
}

@test "what an endpoint refuses is learnt by one request, whatever --jobs says" {
    start_endpoint refuse:response_format
    propose 0 --jobs 8 -n 12
    expect_equal 1 "$(jq -s 'map(select(.body.response_format)) | length' requests.jsonl)"
    expect_equal 13 "$(requests)"
    expect_equal 1 "$(grep -c 'refuses response_format' <<< "$stderr")"
    start_endpoint status:503 stall:0.1 refuse:response_format
    propose 0 --jobs 8 -n 12
    expect_equal 3 "$(jq -s 'map(select(.body.response_format)) | length' requests.jsonl)"
}

@test "an endpoint that is down is not asked by --jobs at once" {
    start_endpoint status:503
    propose 3 --jobs 4 -n 20 --attempts 3 --breaker 2
    expect_json '[.error.code, .proposer.attempts]' $'["busy",3]\n["busy",3]'
    expect_equal "6 1" "$(requests) $(at_once)"
}

@test "an endpoint that goes down under --jobs ends the call after --breaker candidates" {
    start_endpoint fine status:503
    propose 3 --jobs 4 -n 20 --attempts 3 --breaker 2
    # The first, two that the endpoint failed, and at most three that were asked for beside them.
    expect_equal 'null busy busy' "$(jq -r '.error.code' <<< "$output" | head -n 3 | paste -sd ' ')"
    between 3 "$(wc -l <<< "$output")" 6
    between 7 "$(requests)" $((1 + 3 * 5))
    start_endpoint fine status:401
    propose 3 --jobs 4 -n 20
    expect_equal 'null unauthorized' "$(jq -r '.error.code' <<< "$output" | head -n 2 | paste -sd ' ')"
    between 2 "$(requests)" 5
}

@test "a reader that goes away ends the call, though requests hang" {
    start_endpoint fine fine stall
    scored "$darts" > parent.jsonl
    # shellcheck disable=SC2016 # the other shell's variable
    measure bash -c 'seki-propose --seed 1 --jobs 4 -n 50 parent.jsonl 2> err | head -n 1 > out; echo "${PIPESTATUS[0]}" > status'
    expect_equal 0 "$(cat status)"
    expect_equal 1 "$(wc -l < out | tr -d ' ')"
    between 0 "$took" 3000
    expect_equal '' "$(cat err)"
}

@test "with --jobs a record is answered though the input stays open" {
    start_endpoint fine
    mkfifo in out
    seki-propose --seed 1 --jobs 4 --quiet < in > out 3>&- &
    exec 8> in 9< out
    for number in 1 2 3; do
        scored "$darts" "$number" >&8
        IFS= read -r -t 10 line <&9
        expect_equal "null $number" "$(jq -r .error <<< "$line") $(requests)"
    done
    exec 8>&- 9<&-
    wait $!
}

# ---- Rate limits ----------------------------------------------------------------------------

@test "what x-ratelimit headers say is waited for, so that no 429 comes" {
    for told in requests,0,600ms requests,0,0.6 requests,0,epochms+0.6 tokens,10,0.6s tokens,0,0m0.6s; do
        start_endpoint "limit:$told" fine
        propose 0 -n 2
        expect_equal 2 "$(requests)"
        between 0.5 "$(gaps)" 1.2
    done
    # Whole seconds since 1970: the wait is between one and two, and told once.
    start_endpoint limit:requests,0,epoch+3 fine
    propose 0 -n 2
    between 1.9 "$(gaps)" 3.3
    expect_equal 1 "$(grep -c 'for its rate limit' <<< "$stderr")"
}

@test "no wait where enough is left, where a limit is full again at once, or where it has no end" {
    for told in requests,1,20s tokens,100000,20s requests,0,0s requests,0,never; do
        start_endpoint "limit:$told" fine
        propose 0 -n 2
        between 0 "$(gaps)" 0.5
    done
}

@test "the last request that is left goes out alone" {
    start_endpoint limit:requests,1,1s fine
    measure propose 0 --jobs 4 -n 4
    between 0 "$(gaps | sed -n 1p)" 0.5
    expect_equal 4 "$(requests)"
    expect_equal 1 "$(gaps | jq -s 'map(select(. > 0.8)) | length')"
}

@test "the Retry-After of one 429 holds all jobs back" {
    start_endpoint fine slow:0.1 slow:0.1 slow:0.1 429:1 fine
    propose 0 --jobs 4 -n 12
    expect_equal 13 "$(requests)"
    # After the 429 came nothing is sent for a second.
    jq -n -e --slurpfile asked requests.jsonl --slurpfile replied requests.jsonl.replies \
        '($replied[] | select(.number == 4).at) as $told |
         [$asked[] | select(.at > $told + 0.05) | .at - $told] | length > 5 and min > 0.9'
}

# ---- Whole searches -------------------------------------------------------------------------

# search RUN OPTION…: on that table, with the model's endpoint.
search() {
    seki search "$1" --table table --column score --space nas201 --policy llm --retry-delay 0.01 "${@:2}"
}

@test "a search with 30 % of replies failing scores all its candidates, for 1.6 requests each at most" {
    make_table table
    start_endpoint flaky:30
    # One random start and 40 candidates of the model.
    measure expect_status 0 search run --lambda 26 --gamma 14 --seed 3 --attempts 8
    expect_equal 41 "$(jq -c 'select(.score != null)' run/candidates.jsonl | wc -l | tr -d ' ')"
    expect_equal 40 "$(jq -r 'select(.proposer.policy == "llm") | .id' run/candidates.jsonl | sort -u | wc -l | tr -d ' ')"
    # 40 good replies take 40 / 0.7 = 57 requests; the bound of 1.6 x 40 = 64 leaves 7 for a last ten that
    # is not used up, and for architectures that the endpoint draws again.
    between 55 "$(requests)" 64
    expect_equal "$(requests)" "$(jq -c 'select(.cause)' run/requests.jsonl | wc -l | tr -d ' ')"
    expect_equal "$(requests)" "$(jq -s 'map(.proposer.attempts // 0) | add' run/candidates.jsonl)"
    # Each kind of fault occurred.
    for cause in busy rate_limit dropped none; do
        grep -q "\"$cause\"" run/requests.jsonl
    done
}

@test "a recorded search replays to the same bytes, with no endpoint" {
    make_table table
    start_endpoint flaky:30
    expect_status 0 search run --lambda 8 --gamma 5 --seed 3 --attempts 8 --price 1,2 --record
    stop_endpoint
    unset OPENAI_BASE_URL
    expect_status 0 search again --lambda 8 --gamma 5 --seed 3 --attempts 8 --price 1,2 --replay run/exchanges.jsonl
    for file in proposals candidates repository; do
        cmp "run/$file.jsonl" "again/$file.jsonl"
    done
}

# The command lines of all processes, again and again, until the file `over` is there.
watch_processes() {
    until [ -e over ]; do
        cat /proc/[0-9]*/cmdline 2> /dev/null || true
        sleep 0.01
    done | tr '\0' '\n' > command-lines
}

@test "in a whole search the key appears in no file, no output and no command line" {
    make_table table
    printf '%s\n' "$key" > key
    chmod 600 key
    for how in variable file; do
        start_endpoint echo:500 fine echo:200 fine echo:429 fine echo:503 fine
        mkdir "$how"
        rm -f over
        watch_processes 3>&- &
        watcher=$!
        options=(--lambda 5 --gamma 3 --seed 3 --attempts 8 --record)
        # On a terminal too, where what is under way is shown.
        case $how in
        variable)
            OPENAI_API_KEY=$key script -q -e -c "seki search $how/run --table table --column score --space nas201 \
                --policy llm --retry-delay 0.01 ${options[*]}" "$how/terminal" > "$how/out" 2>&1 < /dev/null
            ;;
        file) search "$how/run" "${options[@]}" --key-file key > "$how/out" 2>&1 ;;
        esac
        touch over
        wait "$watcher"
        grep -q seki-propose command-lines
        expect_equal "" "$(grep -r -l -F "${key#sk-}" "$how" command-lines || true)"
        expect_equal 9 "$(jq -c 'select(.score != null)' "$how/run/candidates.jsonl" | wc -l | tr -d ' ')"
        # It came back four times, and once in the request that shows the model its reply; it is hidden.
        expect_equal 5 "$(grep -c '\*\*\*' "$how/run/exchanges.jsonl")"
        # All requests had it, and had it nowhere else.
        expect_equal "\"Bearer $key\"" "$(jq -c .authorization requests.jsonl | sort -u)"
        expect_equal "" "$(jq -c .body requests.jsonl | grep -F "$key" || true)"
    done
    # From a file it comes into no environment.
    start_endpoint stall:3
    search third --lambda 1 --gamma 0 --seed 3 --key-file key > out 2>&1 3>&- &
    searching=$!
    until [ "$(requests)" -gt 0 ]; do sleep 0.02; done
    expect_equal "" "$(cat /proc/[0-9]*/environ 2> /dev/null | tr '\0' '\n' | grep -F "$key" || true)"
    kill "$searching"
    wait "$searching" || true
}
