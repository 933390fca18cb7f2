#!/usr/bin/env bats
# seki-local-llm: the local model server, from wrong use to a real completion.

setup_file() {
	: "${SEKI_CACHE:=$BATS_FILE_TMPDIR/cache}"
	export SEKI_CACHE
	LLM=$BATS_TEST_DIRNAME/../build/bin/seki-local-llm
	[ -x "$LLM" ] || LLM=$BATS_TEST_DIRNAME/../tools/seki-local-llm/seki-local-llm
	export LLM
}

teardown_file() {
	# A server that ran before is somebody's, and stays.
	[ -e "$BATS_FILE_TMPDIR/ours" ] || return 0
	"$LLM" stop
}

# Puts the settings in the environment, or skips without PyPI. A server that
# runs already in a SEKI_CACHE from outside is used, but not ended.
start_server() {
	local status_file=$BATS_FILE_TMPDIR/start.err
	"$LLM" status >/dev/null || touch "$BATS_FILE_TMPDIR/ours"
	if ! settings=$("$LLM" start 2>"$status_file"); then
		cat "$status_file"
		if grep -q 'PyPI is not reachable' "$status_file"; then
			skip 'PyPI is not reachable, and the model is not in the cache'
		fi
		return 1
	fi
	eval "$settings"
}

need_ours() {
	[ -e "$BATS_FILE_TMPDIR/ours" ] || skip 'the server ran before the tests'
}

# An empty cache, so that nothing here touches the server of the other tests.
other_cache() {
	export SEKI_CACHE=$BATS_TEST_TMPDIR/other
}

chat() { # BODY
	curl -sS --noproxy '*' --max-time 300 "$OPENAI_BASE_URL/chat/completions" \
		-H "Authorization: Bearer $OPENAI_API_KEY" \
		-H 'Content-Type: application/json' -d "$1"
}

@test "seki-local-llm --help and --version" {
	run "$LLM" --help
	[ "$status" -eq 0 ]
	[[ $output == usage:* ]]
	run "$LLM" --version
	[ "$status" -eq 0 ]
	[[ $output =~ ^seki-local-llm\ [0-9]+\.[0-9]+ ]]
}

@test "seki-local-llm reports wrong use with status 2" {
	other_cache
	local args
	for args in frob --frob 'start stop' '--threads' '--threads=' '--threads 0' \
		'--threads x' '--threads 1e3' '--port -1' '--port 65536' \
		'--port 99999999999999999999' 'stop --port 80' 'status --threads 2'; do
		# shellcheck disable=SC2086
		run "$LLM" $args
		echo "$args: $status: $output"
		[ "$status" -eq 2 ]
		[[ $output == 'seki-local-llm: '* ]]
	done
	[ ! -e "$SEKI_CACHE" ]
}

@test "seki-local-llm status and stop without a server" {
	other_cache
	run "$LLM" status
	[ "$status" -eq 1 ]
	[ "$output" = 'not running' ]
	run "$LLM" stop
	[ "$status" -eq 0 ]
	[ ! -e "$SEKI_CACHE" ]
}

@test "seki-local-llm names a cache folder that it cannot write" {
	: >"$BATS_TEST_TMPDIR/file"
	SEKI_CACHE=$BATS_TEST_TMPDIR/file run "$LLM" start
	echo "$output"
	[ "$status" -eq 3 ]
	[[ $output == *"cannot write the cache folder $BATS_TEST_TMPDIR/file/local-llm"* ]]
	run env -u SEKI_CACHE -u XDG_CACHE_HOME -u HOME "$LLM" start
	[ "$status" -eq 3 ]
	[[ $output == *SEKI_CACHE* ]]
}

@test "seki-local-llm says that PyPI is not reachable" {
	other_cache
	PIP_CONFIG_FILE=/dev/null PIP_INDEX_URL=http://127.0.0.1:9/simple \
		PIP_FIND_LINKS='' run "$LLM" start
	echo "$output"
	[ "$status" -eq 3 ]
	[[ $output == *'PyPI is not reachable'* ]]
	[ ! -e "$SEKI_CACHE/local-llm/venv/.stamp" ]
}

@test "seki-local-llm start: settings for eval, and a chat completion bound by a schema" {
	start_server
	[[ $OPENAI_BASE_URL =~ ^http://127\.0\.0\.1:[0-9]+/v1$ ]]
	[ -n "$OPENAI_API_KEY" ]
	[ "$SEKI_MODEL" = smollm2-135m-instruct ]
	body='{"model": "'$SEKI_MODEL'", "temperature": 0.7, "seed": 7, "max_tokens": 1500,
	"messages": [{"role": "user", "content": "Propose a cell."}],
	"response_format": {"type": "json_schema", "json_schema": {"name": "proposal",
	"strict": true, "schema": {"type": "object", "properties": {
	"strategy": {"type": "string", "maxLength": 80},
	"analysis": {"type": "string", "maxLength": 80},
	"genotype": {"type": "array", "minItems": 2, "maxItems": 2, "prefixItems": [
	{"type": "object", "properties": {"inputs": {"enum": [[0,1]]},
	"ops": {"type": "array", "minItems": 2, "maxItems": 2,
	"items": {"enum": ["sep_conv_3x3", "skip_connect"]}}},
	"required": ["inputs", "ops"], "additionalProperties": false},
	{"type": "object", "properties": {"inputs": {"enum": [[0,2],[1,2]]},
	"ops": {"type": "array", "minItems": 2, "maxItems": 2,
	"items": {"enum": ["sep_conv_3x3", "skip_connect"]}}},
	"required": ["inputs", "ops"], "additionalProperties": false}]}},
	"required": ["strategy", "analysis", "genotype"], "additionalProperties": false}}}}'
	chat "$body" >"$BATS_TEST_TMPDIR/1.json"
	chat "$body" >"$BATS_TEST_TMPDIR/2.json"
	cat "$BATS_TEST_TMPDIR/1.json"
	python3 - "$BATS_TEST_TMPDIR/1.json" "$BATS_TEST_TMPDIR/2.json" <<-'EOT'
	import json, sys
	one, two = (json.load(open(f)) for f in sys.argv[1:])
	choice = one["choices"][0]
	assert choice["finish_reason"] == "stop", choice
	assert one["usage"]["prompt_tokens"] > 0 and one["usage"]["completion_tokens"] > 0
	assert choice["message"]["content"] == two["choices"][0]["message"]["content"]
	d = json.loads(choice["message"]["content"])
	assert list(d) == ["strategy", "analysis", "genotype"], list(d)
	assert len(d["strategy"]) <= 80 and len(d["analysis"]) <= 80
	ops = {"sep_conv_3x3", "skip_connect"}
	for node, inputs in zip(d["genotype"], ([[0, 1]], [[0, 2], [1, 2]]), strict=True):
	    assert list(node) == ["inputs", "ops"], node
	    assert node["inputs"] in inputs and len(node["ops"]) == 2 and set(node["ops"]) <= ops
	EOT
}

@test "seki-local-llm start ends a completion at max_tokens with finish_reason length" {
	start_server
	run chat '{"max_tokens": 1, "messages": [{"role": "user", "content": "Count to ten."}]}'
	echo "$output"
	[[ $output == *'"finish_reason":"length"'* ]]
	[[ $output == *'"completion_tokens":1'* ]]
}

@test "seki-local-llm: the server wants its key" {
	start_server
	OPENAI_API_KEY=wrong run chat '{"messages": [{"role": "user", "content": "Hello."}]}'
	[[ $output == *authentication_error* ]]
}

@test "seki-local-llm start a second time is at once and gives the same server" {
	start_server
	first=$settings
	# Even while the model is busy.
	chat '{"max_tokens": 600, "messages": [{"role": "user", "content": "Tell a long story."}]}' \
		>/dev/null 3>&- &
	before=$(date +%s)
	start_server
	[ "$settings" = "$first" ]
	[ $(($(date +%s) - before)) -le 5 ]
	run "$LLM"
	[ "$status" -eq 0 ]
	[[ $output == "$first" ]]
	run "$LLM" status
	[ "$status" -eq 0 ]
	[[ $output == running:* ]]
	wait
}

@test "seki-local-llm stop, then status 1" {
	start_server
	need_ours
	run "$LLM" stop
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *'ended the server'* ]]
	run "$LLM" status
	[ "$status" -eq 1 ]
	run curl -s --noproxy '*' --max-time 5 "$OPENAI_BASE_URL/models"
	[ "$status" -eq 7 ]
}

@test "seki-local-llm: two starts at the same time give one server" {
	start_server
	need_ours
	"$LLM" stop
	"$LLM" start >"$BATS_TEST_TMPDIR/a" 2>/dev/null 3>&- &
	"$LLM" start >"$BATS_TEST_TMPDIR/b" 2>/dev/null
	wait $!
	[ -s "$BATS_TEST_TMPDIR/a" ]
	cmp "$BATS_TEST_TMPDIR/a" "$BATS_TEST_TMPDIR/b"
}

@test "seki-local-llm start after the server was killed, and on a port in use" {
	start_server
	need_ours
	local port=${OPENAI_BASE_URL#http://127.0.0.1:} pid
	port=${port%/v1}
	pid=$("$LLM" status)
	kill -KILL "${pid##* }"
	sleep 1
	run "$LLM" status
	[ "$status" -eq 1 ]
	python3 -c 'import socket, sys, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
time.sleep(60)' "$port" 3>&- &
	local holder=$!
	sleep 1
	run "$LLM" start --port "$port"
	kill "$holder"
	echo "$output"
	[ "$status" -eq 3 ]
	[[ $output == *"port $port "* ]]
	run "$LLM" status
	[ "$status" -eq 1 ]
	start_server
}

@test "seki-local-llm start redoes a venv that was cut short" {
	start_server
	need_ours
	"$LLM" stop
	rm "$SEKI_CACHE/local-llm/venv/.stamp"
	start_server
	"$LLM" stop
	[ -s "$SEKI_CACHE/local-llm/venv/.stamp" ]
}
