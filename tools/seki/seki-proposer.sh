# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared by the files of the driver
# seki-proposer.sh - the options that verbs pass on to seki-propose, which checks their values: of its
# rules, of its model, of what all of them keep to. See seki-options.sh for the form of the tables.

rule_options() {
    cat <<'EOT'
population||integer 1 1000000|run|10|P|mutate: a parent is one of the last P scored candidates
tournament||integer 1 1000000|run|3|T|mutate: and the best of T drawn from those
EOT
}

bound_options() {
    cat <<'EOT'
max-params||number|run||N|most parameters of the evaluation network
max-macs||number|run||N|most multiply-accumulates of the evaluation network
EOT
}

model_options() {
    cat <<'EOT'
base-url||text|call||URL|root of an OpenAI-compatible API; else OPENAI_BASE_URL
model||text|run||NAME|the model's name; else SEKI_MODEL
key-file||path|call||FILE|file of mode 0600 with the API key; else OPENAI_API_KEY
temperature||number|run||T|sampling temperature; without it the endpoint's own
max-tokens||integer 1 1000000000|run||N|length of one reply
format||choice schema text|run|schema|FORMAT|replies: schema or text
no-strategy||flag|run|no||do not ask for analysis and strategy
evidence||choice none effects full|run|full|WHAT|what prompts show of the run so far: none, effects or full
noise||number|run||X|standard deviation of a score when it is measured again
prompts||path|run||DIR|folder of prompt templates of one's own
attempts||integer 1 1000|run|4|N|requests spent on one candidate
timeout||number|call||SECONDS|for one request
connect-timeout||number|call||SECONDS|for its connection
idle-timeout||number|call||SECONDS|without a byte from the endpoint
deadline||number|call||SECONDS|for all requests of one candidate and the waits between
retry-delay||number|call||SECONDS|longest first wait after a failure
price||text|call||IN,OUT[,CACHED]|of a million tokens each, for the cost
max-tokens-total||integer 1 999999999999|call||N|tokens of the whole run, after which nothing is asked
max-cost||number|call||X|cost of the whole run, after which nothing is asked
EOT
}

# names_of < TABLE: sets $names, the options of a table; flags with a +.
names_of() {
    names=
    while IFS='|' read -r row_name row_letter row_type row_rest; do
        [ "$row_type" != flag ] || row_name=+$row_name
        names="$names $row_name"
    done
}

# with_options NAMES COMMAND…: runs it with those options that have a value after its own arguments.
with_options() {
    passed=$1
    shift
    for name in $passed; do
        variable_of "${name#+}"
        eval "value=\$opt_$variable"
        case $name=$value in
        *= | +*=no) ;;
        +*) set -- "$@" "--${name#+}" ;;
        *) set -- "$@" "--$name" "$value" ;;
        esac
    done
    "$@"
}
