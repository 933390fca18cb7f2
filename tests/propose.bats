#!/usr/bin/env bats
# seki-propose: rules, a model behind a mock endpoint (tests/mock/endpoint.py), and all that an endpoint does wrong.
load helpers

darts="Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
nas201='|skip_connect~0|+|none~0|avg_pool_3x3~1|+|nor_conv_1x1~0|none~1|skip_connect~2|'
key=sk-marker-0123456789abcdef

# start_endpoint STEP…: the mock endpoint, and the settings for it.
start_endpoint() {
    rm -f port requests.jsonl
    touch requests.jsonl
    python3 "$top/tests/mock/endpoint.py" port requests.jsonl "$@" > /dev/null 2>&1 3>&- &
    endpoints="${endpoints-} $!"
    local i
    for ((i = 0; i < 200; i++)); do
        [ -e port ] && break
        sleep 0.05
    done
    port=$(cat port) || return
    export OPENAI_BASE_URL=http://127.0.0.1:$port/v1 SEKI_MODEL=mock
}

teardown() {
    local pid
    for pid in ${endpoints-}; do
        kill "$pid" 2> /dev/null || true
        wait "$pid" 2> /dev/null || true
    done
}

scored() { # genotype, score
    jq -n -c --arg g "$1" --argjson s "${2:-80}" '{genotype: $g, score: $s, note: "own"}'
}

requests() { # how many the endpoint saw
    wc -l < requests.jsonl | tr -d ' '
}

# propose STATUS [OPTION…]: one candidate from the scored DARTS record, with waits made short.
propose() {
    local expected=$1
    shift
    scored "$darts" > parent.jsonl
    expect_status "$expected" seki-propose --seed 1 --retry-delay 0.01 "$@" parent.jsonl
}

# expect_json FILTER EXPECTED: what jq -c prints for the output.
expect_json() {
    expect_equal "$2" "$(jq -c "$1" <<< "$output")"
}

# ---- Rules ----------------------------------------------------------------------------------

@test "random proposes as many as asked for, all different, and repeats them for the same seed" {
    expect_status 0 seki-propose --policy random --space nas201 -n 50 --seed 7
    first=$output
    expect_equal 50 "$(jq -r .id <<< "$first" | sort -u | wc -l | tr -d ' ')"
    expect_equal '"nas201"' "$(jq -c .space <<< "$first" | sort -u)"
    expect_status 0 seki-propose --policy random --space nas201 -n 50 --seed 7
    expect_equal "$first" "$output"
    expect_status 0 seki-propose --policy random --space nas201 -n 50 --seed 8
    [ "$first" != "$output" ]
}

@test "random without --space proposes for darts" {
    expect_status 0 seki-propose --policy random --seed 1
    expect_json '[.space, .proposer]' '["darts",{"policy":"random"}]'
}

@test "a seed that is not given is printed, and gives the same candidates again" {
    expect_status 0 seki-propose --policy random
    first=$output
    expect_in "$stderr" 'seki-propose: seed '
    expect_status 0 seki-propose --policy random --seed "${stderr##* }"
    expect_equal "$first" "$output"
}

@test "random never proposes what --seen holds, and says duplicate when the whole space is seen" {
    # Every architecture of the space: all 4,930 ids.
    ops='none skip_connect nor_conv_1x1 nor_conv_3x3 avg_pool_3x3'
    for a in $ops; do for b in $ops; do for c in $ops; do for d in $ops; do for e in $ops; do for f in $ops; do
        echo "|$a~0|+|$b~0|$c~1|+|$d~0|$e~1|$f~2|"
    done; done; done; done; done; done > all
    expect_equal 15625 "$(wc -l < all | tr -d ' ')"
    head -n 15000 all > most
    expect_status 0 seki-propose --policy random --space nas201 -n 20 --seed 1 --seen most
    expect_status 1 seki-propose --policy random --space nas201 -n 2 --seed 1 --seen all
    expect_json .error.code $'"duplicate"\n"duplicate"'
    expect_json '.error.message | contains("1000 draws")' $'true\ntrue'
}

@test "mutate changes one thing of each record and names its parent; unknown members stay behind" {
    scored "$darts" 80 > records
    scored "$nas201" 70 >> records
    expect_status 0 seki-propose --policy mutate -n 3 --seed 1 records
    expect_equal 6 "$(wc -l <<< "$output" | tr -d ' ')"
    expect_equal $'3 darts\n3 nas201' "$(jq -r .space <<< "$output" | sort | uniq -c | sed 's/^ *//')"
    expect_json '[.note, .score, .parents[0] != .id, (.parents | length), .proposer.stage]' \
        "$(printf '[null,null,true,1,"evolution"]\n%.0s' 1 2 3 4 5 6)"
}

@test "mutate in the stage inspiration starts from the top k of the repository" {
    scored "$nas201" 90 > repository
    scored "${nas201/skip_connect/nor_conv_3x3}" 50 >> repository
    best=$(seki-propose --policy mutate --seed 1 repository | head -n 1 | jq -c .parents[0])
    expect_status 0 seki-propose --policy mutate --stage inspiration -r repository -k 1 -n 5 --seed 1
    expect_equal "$best" "$(jq -c .parents[0] <<< "$output" | sort -u)"
    expect_status 0 seki-propose --policy mutate --stage inspiration -r repository -k 2 -n 9 --seed 1
    expect_equal 2 "$(jq -c .parents[0] <<< "$output" | sort -u | wc -l | tr -d ' ')"
}

# ---- Input ----------------------------------------------------------------------------------

@test "a record with an error, without a score or with a wrong genotype goes out with its error, and the next is refined" {
    {
        echo '{"genotype": "x", "error": {"code": "old", "message": "as it came"}, "own": 1.50}'
        echo "$nas201"
        echo "{\"genotype\": \"${nas201/none/sep_conv_3x3}\", \"score\": 1}"
        echo 'no record at all'
        scored "$nas201"
    } > records
    expect_status 1 seki-propose --policy mutate --seed 1 records
    expect_json '.error.code' $'"old"\n"unscored"\n"genotype"\n"json"\nnull'
    expect_in "$(head -n 1 <<< "$output")" '"own": 1.50' 'as it came'
    expect_in "$stderr" 'records:2: the record has no score; pass it through seki-eval first' 'records:3: '
}

@test "a genotype of another space than --space is an error in its record" {
    scored "$nas201" > records
    expect_status 1 seki-propose --policy mutate --space darts --seed 1 records
    expect_json .error.code '"space"'
}

@test "a record is answered before the next one is read" {
    mkfifo in out
    seki-propose --policy mutate --seed 1 < in > out 3>&- &
    exec 8> in 9< out
    scored "$nas201" >&8
    IFS= read -r -t 10 line <&9
    expect_in "$line" '"parents"'
    exec 8>&- 9<&-
    wait $!
}

@test "a reader that has seen enough ends the call quietly" {
    run_separate bash -c "set -o pipefail; seki-propose --policy random -n 100000 --seed 1 | head -n 1"
    expect_equal 0 "$status"
    expect_equal '' "$stderr"
}

@test "a full disk is status 3 with the reason" {
    [ -e /dev/full ] || skip "needs /dev/full"
    expect_status 3 bash -c 'seki-propose --policy random --seed 1 > /dev/full'
    expect_in "$stderr" 'No space left'
}

# ---- A model that answers -------------------------------------------------------------------

@test "evolution asks with the schema and writes what the model said and what it cost" {
    start_endpoint fine
    propose 0 -n 2
    expect_equal 2 "$(requests)"
    expect_json '.proposer | [.stage, .policy, .model, .format, .analysis, .strategy, .attempts, .prompt_tokens, .completion_tokens, (.seconds | type)]' \
        "$(printf '["evolution","llm","mock","schema","Too few parameters.","Add convolutions.",1,100,10,"number"]\n%.0s' 1 2)"
    expect_json '[.space, (.id | length), .note, .error]' $'["darts",16,null,null]\n["darts",16,null,null]'
    expect_equal 1 "$(jq -r .parents[0] <<< "$output" | sort -u | wc -l | tr -d ' ')"
    body=$(head -n 1 requests.jsonl | jq -c .body)
    expect_equal '["system","user"]' "$(jq -c '[.messages[].role]' <<< "$body")"
    expect_in "$(jq -r '.messages[1].content' <<< "$body")" 'score 80.00' \
        '"node_2": {"inputs": "0,1", "op_1": "sep_conv_3x3", "op_2": "sep_conv_3x3"}'
    expect_equal '["json_schema",true,["analysis","strategy","genotype"]]' \
        "$(jq -c '[.response_format.type, .response_format.json_schema.strict, .response_format.json_schema.schema.required]' <<< "$body")"
    expect_equal 2 "$(jq .body.seed requests.jsonl | sort -u | wc -l | tr -d ' ')"
    expect_equal '["messages","model","response_format","seed"]' "$(jq -c keys <<< "$body")"
}

@test "the options of the request reach the endpoint" {
    start_endpoint fine
    propose 0 --temperature 0.5 --max-tokens 700 --model other --base-url "$OPENAI_BASE_URL/"
    expect_equal '[0.5,700,"other"]' "$(jq -c '.body | [.temperature, .max_tokens, .model]' requests.jsonl)"
    expect_equal '"/v1/chat/completions"' "$(jq -c .path requests.jsonl)"
    expect_json .proposer.model '"other"'
}

@test "the same seed sends the same requests" {
    start_endpoint same
    propose 0
    mv requests.jsonl first
    touch requests.jsonl
    propose 0
    expect_equal "$(cat first)" "$(cat requests.jsonl)"
}

@test "inspiration shows the best of the repository, draws X of the top k, and names them as parents" {
    start_endpoint fine
    {
        scored "$nas201" 10
        scored "${nas201/skip_connect/nor_conv_3x3}" 30
        scored "${nas201/skip_connect/avg_pool_3x3}" 20
    } > repository
    expect_status 0 seki-propose --stage inspiration -r repository -k 2 --seed 1
    expect_json '.parents | length' 2
    content=$(jq -r '.body.messages[1].content' requests.jsonl)
    expect_in "$content" '1. score 30.00' '2. score 20.00' 'The 2 architectures'
    [[ $content != *'score 10.00'* ]]
    expect_status 0 seki-propose --stage inspiration -r repository -k 3 --draw 1 -n 12 --seed 1
    expect_equal 3 "$(jq -c .parents <<< "$output" | sort -u | wc -l | tr -d ' ')"
    expect_status 0 seki-propose --stage inspiration -r repository -k 1 --pick random -n 12 --seed 1
    expect_equal 3 "$(jq -c .parents <<< "$output" | sort -u | wc -l | tr -d ' ')"
}

@test "--no-strategy leaves analysis and strategy out of prompt, schema and record" {
    start_endpoint fine
    propose 0 --no-strategy
    expect_equal '["genotype"]' "$(jq -c '.body.response_format.json_schema.schema.required' requests.jsonl)"
    content=$(jq -r '.body.messages[1].content' requests.jsonl)
    [[ $content != *nalysis* && $content != *trategy* ]]
}

@test "text replies are read: prose, fences, thoughts, typographic quotes, Markdown" {
    start_endpoint fine think fence smart say:no
    propose 0 --format text -n 4
    expect_json '[.proposer.format, .proposer.attempts, .error]' "$(printf '["text",1,null]\n%.0s' 1 2 3 4)"
    expect_json '.proposer.strategy' $'"Add convolutions."\n"Add convolutions."\n"Add convolutions."\n"Go deeper."'
    expect_equal 'null' "$(jq -c '.body.response_format' requests.jsonl | sort -u)"
    expect_in "$(head -n 1 requests.jsonl | jq -r '.body.messages[1].content')" "$darts" 'Architecture: the new Genotype('
}

@test "a think block before the JSON is left out" {
    start_endpoint think
    propose 0
    expect_json '.proposer | [.format, .analysis, .attempts]' '["schema","Too few parameters.",1]'
}

@test "one's own templates are used, and an unknown placeholder in one is refused by file and line" {
    mkdir prompts
    start_endpoint fine
    echo 'Cells.' > prompts/darts-system.txt
    printf 'Score {{score}}.\n{{#strategy}}\nWhy?\n{{/strategy}}\n' > prompts/darts-evolution.txt
    propose 0 --prompts prompts
    expect_equal '["Cells.\n","Score 80.00.\nWhy?\n"]' "$(jq -c '[.body.messages[].content]' requests.jsonl)"
    printf 'One.\nThe {{scorr}}.\n' > prompts/darts-evolution.txt
    propose 2 --prompts prompts
    expect_in "$stderr" 'prompts/darts-evolution.txt:2: unknown placeholder {{scorr}}'
    expect_equal 1 "$(requests)"
}

# ---- Replies that will not do ----------------------------------------------------------------

@test "a malformed reply is asked again with the reply and the error, and all tokens are counted" {
    start_endpoint malformed badop fine
    propose 0
    expect_json '.proposer | [.attempts, .prompt_tokens, .completion_tokens]' '[3,300,30]'
    expect_equal '["system","user","assistant","user"]' "$(sed -n 2p requests.jsonl | jq -c '[.body.messages[].role]')"
    expect_in "$(sed -n 2p requests.jsonl | jq -r '.body.messages[2].content')" 'Fine so far'
    expect_in "$(sed -n 2p requests.jsonl | jq -r '.body.messages[3].content')" "JSON is broken"
    expect_in "$(sed -n 3p requests.jsonl | jq -r '.body.messages[3].content')" 'node_2: op_' 'no operation is called'
    expect_equal 3 "$(jq .body.seed requests.jsonl | sort -u | wc -l | tr -d ' ')"
}

@test "replies that stay wrong end after --attempts requests as a record with the error, and the next is asked for" {
    start_endpoint malformed malformed fine
    propose 1 --attempts 2 -n 2
    expect_equal 3 "$(requests)"
    expect_json '[.error.code, .proposer.attempts, .genotype == null, .space]' \
        $'["json",2,true,"darts"]\n[null,1,false,"darts"]'
}

@test "each way of saying nothing has its own code" {
    for case in empty:empty null:empty nochoices:empty truncated:truncated refusal:refusal filter:refusal \
        badop:genotype 'say:I do not know.:genotype' malformed:json; do
        start_endpoint "${case%:*}"
        propose 1 --attempts 2
        expect_json .error.code "\"${case##*:}\""
        expect_equal 2 "$(requests)"
    done
}

@test "a duplicate is asked again with that said; one that stays is marked and named by its id" {
    start_endpoint same same fine same
    propose 0 -n 2
    expect_json .proposer.attempts $'1\n2'
    first=$(head -n 1 <<< "$output" | jq -r .id)
    expect_in "$(sed -n 3p requests.jsonl | jq -r '.body.messages[3].content')" "$first" 'new architecture'
    propose 1 -n 2 --attempts 2
    expect_json '[.error.code, .id, .proposer.attempts]' "[null,\"$first\",1]
[\"duplicate\",\"$first\",2]"
    expect_json '.error.message // "" | contains("'"$first"'")' $'false\ntrue'
    echo "$output" | tail -n 1 | jq -c '{genotype}' > seen
    propose 1 --attempts 1 --seen seen
    expect_json .error.code '"duplicate"'
}

@test "the parent itself is a duplicate" {
    start_endpoint "say:$darts"
    propose 1 --attempts 2 --format text
    expect_json '[.error.code, .id == .parents[0]]' '["duplicate",true]'
}

# ---- Endpoints that will not do --------------------------------------------------------------

@test "rate limits and server errors are waited out" {
    start_endpoint 429 status:503 status:500 fine
    propose 0
    expect_json '.proposer | [.attempts, .prompt_tokens]' '[4,100]'
    start_endpoint status:408 drop errorobject fine
    propose 0
    start_endpoint reset malformedbody badutf8 fine
    propose 0
    start_endpoint html:502 deep fine
    propose 0
}

@test "Retry-After is waited for, in seconds and as a date" {
    start_endpoint 429:1 fine
    propose 0
    expect_json '.proposer.seconds >= 1' true
    start_endpoint 429:date fine
    propose 0
    expect_json '.proposer.seconds >= 1' true
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

@test "silence and a reply that trickles in end at --timeout, and --deadline bounds all attempts" {
    for step in stall trickle; do
        start_endpoint "$step"
        begun=$SECONDS
        propose 3 --timeout 0.3 --attempts 3
        expect_equal 3 "$(requests)"
        expect_json .error.code '"timeout"'
        [ $((SECONDS - begun)) -lt 5 ]
    done
    start_endpoint stall
    begun=$SECONDS
    propose 3 --timeout 30 --deadline 1
    expect_equal 1 "$(requests)"
    [ $((SECONDS - begun)) -lt 5 ]
}

@test "what no second request can mend is asked once, and ends the call with status 3" {
    for case in status:401=unauthorized status:403=forbidden status:404=not_found html=html quota=quota \
        redirect:1=redirect garbage=protocol; do
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

@test "a reply of 50 MB is cut off and not asked for again" {
    start_endpoint huge fine
    propose 1 -n 2
    expect_json '.error.code' $'"too_large"\nnull'
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
    kill "${endpoints##* }"
    wait "${endpoints##* }" 2> /dev/null || true
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

@test "tokens that the endpoint does not tell are not made up" {
    start_endpoint nousage
    propose 0
    expect_json '.proposer | [.attempts, .prompt_tokens, .completion_tokens]' '[1,null,null]'
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
    start_endpoint "redirect:$aim"
    OPENAI_API_KEY=$key propose 3
    [[ $stderr$output != *"$key"* ]]
    [ ! -s aim.jsonl ]
    start_endpoint stall:2 fine
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

# ---- Wrong use --------------------------------------------------------------------------------

@test "wrong use is status 2, before anything is asked" {
    expect_status 2 seki-propose --seed 1
    expect_in "$stderr" 'no endpoint' 'OPENAI_BASE_URL'
    OPENAI_BASE_URL=http://127.0.0.1:1/v1 expect_status 2 seki-propose --seed 1
    expect_in "$stderr" 'no model' 'SEKI_MODEL'
    for url in ftp://127.0.0.1/v1 'file:///etc/passwd' 'http://' 'not a url'; do
        expect_status 2 seki-propose --seed 1 --model m --base-url "$url"
    done
    expect_status 2 seki-propose --policy mutate --stage inspiration --seed 1
    expect_in "$stderr" '--repository'
    expect_status 2 seki-propose --policy mutate --stage inspiration -r missing --seed 1
    expect_in "$stderr" 'missing holds no scored candidate'
    expect_status 2 seki-propose --policy random --seen missing --seed 1
    expect_status 2 seki-propose --policy random --seed 1 some-file
    expect_status 2 seki-propose --policy guess
    expect_status 2 seki-propose --policy random -n 0
    OPENAI_API_KEY=$'a\nb' expect_status 2 seki-propose --seed 1 --model m --base-url http://127.0.0.1:1
    echo broken > repository
    expect_status 2 seki-propose --policy mutate --stage inspiration -r repository --seed 1
    expect_in "$stderr" 'repository:1: '
}
