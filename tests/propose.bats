#!/usr/bin/env bats
# seki-propose: rules, options, prompts, and what is made of a model's replies. What else an endpoint does
# is in endpoint.bats, what it costs in money.bats.
load helpers
load endpoint

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
    expect_in "$(jq -r '.messages[1].content' <<< "$body")" 'score 80' \
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
    propose 0
    expect_equal 2 "$(requests)"
    expect_equal 1 "$(jq -c .body requests.jsonl | sort -u | wc -l | tr -d ' ')"
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
    expect_in "$content" '1. score 30' '2. score 20' 'The 2 architectures'
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
    expect_equal '["Cells.\n","Score 80.\nWhy?\n"]' "$(jq -c '[.body.messages[].content]' requests.jsonl)"
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

@test "a model that stays with known architectures is led to an untried neighbour of the parent" {
    start_endpoint same same same obey
    propose 0 -n 2
    expect_json .proposer.attempts $'1\n3'
    expect_json .proposer.faults $'null\n["duplicate","duplicate"]'
    # The schema of the last request admits one edge's untried operations, and else the parent's.
    choices=$(tail -n 1 requests.jsonl | jq -c '[.body.response_format.json_schema.schema.properties.genotype |
        .. | .enum? // empty | length] | sort')
    expect_equal '[23,true]' "$(jq -c '[(map(select(. == 1)) | length), .[-1] > 1]' <<< "$choices")"
    # As sets of (operation, input) of each node, 15 of the 16 edges are the parent's.
    tail -n 1 <<< "$output" | cat parent.jsonl - > both
    kept=$(jq -n '[inputs.genotype | [scan("\\(.(\\w+)., (\\d)\\)") | join(" ")] | [.[range(0; 16; 2):][:2]]] |
        [range(8) as $node | .[0][$node] as $old | .[1][$node] | ($old - ($old - .)) | length] | add' both)
    between 14 "$kept" 15 # 14 where a node's two edges were the same operation
}

@test "whatever the schema admits is a valid architecture" {
    start_endpoint obey
    propose 0 -n 40 --attempts 1
    expect_json '.proposer.attempts' "$(printf '1\n%.0s' {1..40})"
    scored "$nas201" > record
    expect_status 0 seki-propose --seed 1 -n 20 record
    expect_equal 20 "$(jq -r .id <<< "$output" | sort -u | wc -l | tr -d ' ')"
}

@test "the parent itself is a duplicate" {
    start_endpoint "say:$darts"
    propose 1 --attempts 2 --format text
    expect_json '[.error.code, .id == .parents[0]]' '["duplicate",true]'
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
