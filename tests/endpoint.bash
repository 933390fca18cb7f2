# shellcheck shell=bash disable=SC2034,SC2154 # bats and helpers.bash set status, output, stderr, top
# What the tests of seki-propose with a model share: `load endpoint` after helpers. The mock endpoint
# (tests/mock/endpoint.py) on loopback, two scored architectures, and what the endpoint saw.

darts="Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
nas201='|skip_connect~0|+|none~0|avg_pool_3x3~1|+|nor_conv_1x1~0|none~1|skip_connect~2|'
key=sk-marker-0123456789abcdef-$$ # of this test alone: others may run beside it

# start_endpoint STEP…: the mock endpoint, and the settings for it.
start_endpoint() {
    rm -f port requests.jsonl requests.jsonl.replies
    touch requests.jsonl
    python3 -S "$top/tests/mock/endpoint.py" port requests.jsonl "$@" > /dev/null 2>&1 3>&- &
    endpoints="${endpoints-} $!"
    local i
    for ((i = 0; i < 200; i++)); do
        [ -e port ] && break
        sleep 0.05
    done
    port=$(cat port) || return
    export OPENAI_BASE_URL=http://127.0.0.1:$port/v1 SEKI_MODEL=mock
}

# The one that was started last.
stop_endpoint() {
    kill "${endpoints##* }"
    wait "${endpoints##* }" 2> /dev/null || true
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

# prompt N: what the user's first message of the N-th request says.
prompt() {
    sed -n "$1p" requests.jsonl | jq -r '.body.messages[1].content'
}

# gaps: seconds between each request and the one before, as the endpoint saw them.
gaps() {
    jq -s '[.[].at] | [.[1:], .[:-1]] | transpose | map(.[0] - .[1]) | .[]' requests.jsonl
}

# propose STATUS [OPTION…]: one candidate from the scored DARTS record, with waits made short.
propose() {
    local expected=$1
    shift
    scored "$darts" > parent.jsonl
    expect_status "$expected" seki-propose --seed 1 --retry-delay 0.01 "$@" parent.jsonl
}

# measure COMMAND…: it succeeds, and $took are the milliseconds that it took.
measure() {
    local begun=${EPOCHREALTIME/./}
    "$@" || return
    took=$(((${EPOCHREALTIME/./} - begun) / 1000))
}

# between LOW VALUE HIGH
between() {
    if ! jq -n -e "$1 <= $2 and $2 <= $3" > /dev/null; then
        echo "expected: a number from $1 to $3"
        echo "found: $2"
        return 1
    fi
}

# expect_json FILTER EXPECTED: what jq -c prints for the output.
expect_json() {
    expect_equal "$2" "$(jq -c "$1" <<< "$output")"
}
