# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared by the files of the driver
# seki-search.sh - `seki search`: the supernet, a random candidate, self-evolution, knowledge
# inspiration (SEKI, arXiv 2502.20422, section 3), over a run folder that a killed run goes on from.
#
# Each step of a search leaves one line in candidates.jsonl, and the number of lines there is the
# step to go on with. What seki-propose gives is in proposals.jsonl before it is scored.

# The paper's 50 candidates after the random one (lambda + gamma); their split, the k of 10 and the
# seed are seki's choice.
options_table() {
    cat <<'EOT'
||heading||||What candidates are scored by
data||path|run||PATH|pictures: a supernet is trained on them and scores
table||path|run||FILE|a table of genotypes and scores instead
column||text|run||NAME|the table's column that is the score
test-column||text|run||NAME|the table's column of test accuracies, for the report
||heading||||The search
space||choice darts nas201|run|darts|SPACE|search space: darts or nas201
policy||choice llm mutate random|run|llm|POLICY|who proposes: llm, mutate or random
lambda||integer 0 1000000|run|30|N|steps of self-evolution
gamma||integer 0 1000000|run|20|N|steps of knowledge inspiration
top|k|integer 1 65536|run|10|K|how many of the best the repository keeps
draw||integer 1 65536|run||X|show X of those K, drawn at random; all without it
seed||integer 0 999999999999|run|0|N|seed of all that is random
||heading||||The supernet
images||integer 0 999999999|run|0|N|first N training pictures, half of them to score; 0 for all
score-images||integer 0 999999999|run|0|N|pictures that a candidate is scored on; 0 for all of that half
epochs||integer 1 1000000|run|50|N|epochs
channels||integer 1 4096|run|16|N|channels of its first stage
layers||integer 1 64|run||N|cells; nas201: cells a stage (8; nas201: 5)
batch||integer 2 65536|run|64|N|pictures a step of training
backend||choice auto ref cpu|call|auto|NAME|what computes: auto, ref or cpu
threads||integer 0 1024|call|0|N|threads, 0 for all cores
||heading||||The model, as seki-propose(1) has it
base-url||text|call||URL|root of an OpenAI-compatible API; else OPENAI_BASE_URL
model||text|run||NAME|the model's name; else SEKI_MODEL
key-file||path|call||FILE|file of mode 0600 with the API key; else OPENAI_API_KEY
temperature||number|run||T|sampling temperature; without it the endpoint's own
max-tokens||integer 1 1000000000|run||N|length of one reply
format||choice schema text|run|schema|FORMAT|replies: schema or text
no-strategy||flag|run|no||do not ask for analysis and strategy
prompts||path|run||DIR|folder of prompt templates of one's own
attempts||integer 1 1000|run|4|N|requests spent on one candidate
timeout||number|call||SECONDS|for one request
connect-timeout||number|call||SECONDS|for its connection
deadline||number|call||SECONDS|for all requests of one candidate and the waits between
retry-delay||number|call||SECONDS|longest first wait after a failure
||heading||||Messages
EOT
}

# ---- Settings ------------------------------------------------------------------------------

check_settings() {
    if [ -n "$opt_data" ] && [ -n "$opt_table" ]; then
        wrong_use '--data and --table exclude each other'
    elif [ -n "$opt_table" ]; then
        [ -n "$opt_column" ] || wrong_use '--table needs --column NAME, the column of the scores'
        for name in images score_images epochs channels layers batch backend threads; do
            eval "given=\$given_$name"
            [ "$given" = no ] || wrong_use "the supernet's options go with --data, not with --table"
            eval "opt_$name="
        done
    elif [ -n "$opt_data" ]; then
        [ -z "$opt_column$opt_test_column" ] ||
            wrong_use '--column and --test-column go with --table, not with --data'
    else
        wrong_use 'a new run needs --data PATH, or --table FILE and --column NAME'
    fi
    [ -e "$opt_data$opt_table" ] || die 2 "$opt_data$opt_table is not there"
    if [ -n "$opt_data" ] && [ -z "$opt_layers" ]; then
        case $opt_space in
        darts) opt_layers=8 ;;
        nas201) opt_layers=5 ;;
        esac
    fi
    if [ "$opt_policy" = llm ] && [ -z "$opt_model" ]; then
        opt_model=${SEKI_MODEL-} # so that the run keeps to one model
    fi
}

has_results() {
    [ -s "$run/proposals.jsonl" ] || [ -s "$run/candidates.jsonl" ] ||
        [ -e "$run/supernet.safetensors" ]
}

# Settings are written once; as long as nothing was made with them, they may be mended.
open_run() {
    if [ -e "$run" ] && [ ! -d "$run" ]; then
        die 2 "$run is no folder; name another for the run"
    elif [ ! -e "$run/settings" ]; then
        for file in "$run"/*; do
            [ ! -e "$file" ] || [ "$file" = "$run/settings.new" ] ||
                die 2 "$run is a folder with other files and no run; name a new one"
        done
        check_settings
        mkdir -p -- "$run" || die 3 "$run cannot be made"
    fi
    lock_folder "$run"
    settled=no
    if [ -e "$run/settings" ]; then
        ! has_results || settled=yes
        read_settings "$run/settings"
        check_settings
    fi
    [ "$settled" = yes ] || write_settings "$run/settings"
    make_pipes "$run"
    for file in proposals candidates; do
        : >>"$run/$file.jsonl" || die 3 "$run/$file.jsonl cannot be written"
        repair "$run/$file.jsonl"
    done
    steps=$((1 + opt_lambda + opt_gamma))
}

# ---- Where the run is ----------------------------------------------------------------------

# Sets step (the next), current (the record that evolution goes on from), scored, best.
find_place() {
    for file in candidates proposals; do
        bad=$(bad_line "$run/$file.jsonl")
        [ -z "$bad" ] || die 2 "$run/$file.jsonl:$bad: this line is no record; mend it," \
            'or remove it and all after it'
    done
    place=$(jq -nr --argjson lambda "$opt_lambda" '
        reduce inputs as $c ({step: 0, current: 0, scored: 0, best: null, wrong: 0};
            (if .wrong == 0 and $c.step != .step then .wrong = .step + 1 else . end)
            | .step += 1
            | if $c.score == null then . else
                .scored += 1 | .best = ([.best, $c.score] | max)
                | if $c.step <= $lambda then .current = .step else . end
              end)
        | "\(.step) \(.current) \(.scored) \(.best) \(.wrong)"' "$run/candidates.jsonl") ||
        die 2 "$run/candidates.jsonl: the steps cannot be counted; remove the file to begin anew"
    read -r step current_line scored best wrong <<EOT
$place
EOT
    [ "$wrong" -eq 0 ] || die 2 "$run/candidates.jsonl:$wrong: it is not of step $((wrong - 1));" \
        'remove this line and all after it'
    current=
    [ "$current_line" -eq 0 ] || current=$(sed -n "${current_line}{p;q;}" "$run/candidates.jsonl")
    printf '%s\n' "$current" >"$pipes/current"
    find_pending
}

# A proposal that came, but that was not yet scored.
find_pending() {
    pending=$(tail -n 1 "$run/proposals.jsonl")
    [ -n "$pending" ] || return 0
    place=$(printf '%s\n' "$pending" | jq -r '"\(.step) \(.error != null)"') ||
        die 2 "$run/proposals.jsonl: the last line is no record; remove it"
    read -r pending_step pending_failed <<EOT
$place
EOT
    [ "$pending_step" = "$step" ] || pending=
}

# The repository lacks a candidate where a kill came between; merging again changes nothing else.
mend_repository() {
    [ "$scored" -gt 0 ] || return 0
    jq -r 'select(.score != null) | "\(.step + 1)p"' "$run/candidates.jsonl" >"$pipes/scored"
    sed -n -f "$pipes/scored" "$run/candidates.jsonl" | rank || exit $?
}

rank() { # < RECORDS
    seki-rank --repository "$run/repository.jsonl" --top "$opt_top" 3>&- 4<&- >/dev/null ||
        case $? in
        1 | 2) die 2 "$run/repository.jsonl is damaged; remove it, it is made again from the candidates" ;;
        *) die 3 "$run/repository.jsonl could not be brought up to date" ;;
        esac
}

# ---- The supernet --------------------------------------------------------------------------

train_supernet() {
    ! grep -q -s "^{\"epoch\": ${opt_epochs}[^0-9]" "$run/supernet.jsonl" ||
        [ ! -e "$run/supernet.safetensors" ] || return 0
    quiet=
    [ "$opt_quiet" = no ] || quiet=--quiet
    input=/dev/null
    # shellcheck disable=SC2086 # one word or none
    take_epochs "$run/supernet.jsonl" seki-supernet --resume --space "$opt_space" \
        --data "$opt_data" --output "$run/supernet.safetensors" --images "$opt_images" \
        --epochs "$opt_epochs" --channels "$opt_channels" --layers "$opt_layers" \
        --batch "$opt_batch" --backend "$opt_backend" --threads "$opt_threads" \
        --seed "$opt_seed" $quiet
    [ "$ended" -eq 0 ] || end_with "$ended" seki-supernet
}

# ---- Scores --------------------------------------------------------------------------------

# with_eval COMMAND…: runs it with seki-eval's options after its own arguments.
with_eval() {
    if [ -n "$opt_table" ]; then
        set -- "$@" --table "$opt_table" --column "$opt_column"
        [ -z "$opt_test_column" ] || set -- "$@" --test-column "$opt_test_column"
    else
        set -- "$@" --supernet "$run/supernet.safetensors" --data "$opt_data" \
            --images "$opt_score_images" --backend "$opt_backend" --threads "$opt_threads"
    fi
    "$@" --quiet
}

# A table or a column that is not there shows before anything is proposed.
check_table() {
    with_eval seki-eval </dev/null >/dev/null || end_with $? seki-eval
}

# One seki-eval serves the whole search; what goes in is on descriptor 3, what comes on 4. Neither
# is for the other programs: seki-eval ends when the last writer of 3 has.
start_eval() {
    mkfifo -- "$pipes/in" "$pipes/out" || die 3 "$pipes: pipes cannot be made"
    with_eval exec seki-eval <"$pipes/in" >"$pipes/out" &
    eval_process=$!
    exec 3>"$pipes/in" 4<"$pipes/out"
}

end_eval() {
    exec 3>&- 4<&-
    wait "$eval_process"
    eval_process=
}

score() { # sets $record
    printf '%s\n' "$record" 2>/dev/null >&3
    IFS= read -r record <&4 && return
    exec 3>&- 4<&-
    wait "$eval_process"
    ended=$?
    eval_process=
    end_with "$ended" seki-eval
}

# ---- Proposals -----------------------------------------------------------------------------

# propose POLICY STAGE: a record into the file `proposal`, $ended says how it went. The seed of a step
# follows from the run's, so that a step comes out the same whenever it is done.
propose() {
    policy=$1
    set -- --policy "$policy" --stage "$2" --space "$opt_space" --count 1 \
        --seed $((opt_seed * 1000000 + step)) --seen "$run/candidates.jsonl" \
        --format "$opt_format" --attempts "$opt_attempts"
    if [ "$policy" != random ] && [ "$stage" = inspiration ]; then
        set -- "$@" --repository "$run/repository.jsonl" --top "$opt_top"
        [ -z "$opt_draw" ] || set -- "$@" --draw "$opt_draw"
    fi
    for name in base-url model key-file temperature max-tokens prompts timeout connect-timeout \
        deadline retry-delay; do
        variable_of "$name"
        eval "value=\$opt_$variable"
        [ -z "$value" ] || set -- "$@" "--$name" "$value"
    done
    [ "$opt_no_strategy" = no ] || set -- "$@" --no-strategy
    [ "$opt_quiet" = no ] || set -- "$@" --quiet
    seki-propose "$@" <"$input" >"$pipes/proposal" 3>&- 4<&- &
    child=$!
    await
}

# Options, prompts and endpoint are looked at before the supernet is trained, and nothing is asked.
check_proposer() {
    input=/dev/null stage=evolution
    propose "$opt_policy" evolution
    [ "$ended" -eq 0 ] || die "$ended" 'no candidate can be proposed with these settings'
}

next_proposal() {
    input=/dev/null
    if [ "$step" -eq 0 ] || { [ "$stage" = evolution ] && [ -z "$current" ]; } ||
        { [ "$stage" = inspiration ] && [ "$scored" -eq 0 ]; }; then
        propose random evolution
    else
        [ "$stage" != evolution ] || [ "$opt_policy" = random ] || input=$pipes/current
        propose "$opt_policy" "$stage"
    fi
    case $ended in
    0) failed=false ;;
    1) failed=true ;;
    2) die 2 "seki-propose cannot go on with these settings; 'seki search $run' goes on from here" ;;
    3)
        die 3 "no answer for step $step, which is not counted; 'seki search $run' goes on from here" \
            'once the endpoint answers'
        ;;
    *) end_with "$ended" seki-propose ;;
    esac
    IFS= read -r record <"$pipes/proposal" || die 3 'seki-propose gave no record'
    record="{\"step\": $step, ${record#\{}"
    append "$run/proposals.jsonl" "$record"
}

# ---- Steps ---------------------------------------------------------------------------------

take_step() {
    if [ "$step" -le "$opt_lambda" ]; then stage=evolution; else stage=inspiration; fi
    if [ -n "$pending" ]; then
        record=$pending failed=$pending_failed pending=
    else
        show_waiting proposing
        next_proposal
    fi
    if [ "$failed" = false ]; then
        show_waiting scoring
        score
    fi
    append "$run/candidates.jsonl" "$record"
    summary=$(printf '%s\n' "$record" | jq -r --argjson best "$best" '
        def short: if . == null then "-" else . * 100 | round / 100 end;
        ([.score, $best] | max) as $best
        | "\(.score | short) \($best | short) \($best) \(.error.code // "-")"') ||
        die 3 'seki-eval gave what is no record'
    read -r score short_best best code <<EOT
$summary
EOT
    if [ "$score" != - ]; then
        printf '%s\n' "$record" | rank || exit $?
        scored=$((scored + 1))
        if [ "$stage" = evolution ]; then
            current=$record
            printf '%s\n' "$current" >"$pipes/current"
        fi
    fi
    step=$((step + 1))
}

# ---- Progress ------------------------------------------------------------------------------

place_of() { # STEP: sets $place
    if [ "$1" -eq 0 ]; then
        place='random start'
    elif [ "$1" -le "$opt_lambda" ]; then
        place="evolution $1/$opt_lambda"
    else
        place="inspiration $(($1 - opt_lambda))/$opt_gamma"
    fi
}

show_waiting() { # WHAT
    [ "$terminal" = yes ] && [ "$opt_policy" = llm ] || [ -n "$opt_data" ] || return 0
    place_of "$step"
    show "$place  $1${pace:+  $pace}"
}

# After a step: a line redrawn on a terminal; elsewhere one every five seconds and a stage's last.
show_step() {
    [ "$opt_quiet" = no ] || return 0
    read_clock
    done_now=$((step - first_step))
    each=$(((clock - started) / done_now))
    format_time $((each * (steps - step)))
    if [ "$each" -ge 1000 ]; then
        pace="$((each / 100)) s a candidate  $time left"
    else
        pace="$((each / 100)).$((each / 10 % 10))$((each % 10)) s a candidate  $time left"
    fi
    place_of $((step - 1))
    place="$place  score $score"
    [ "$code" = - ] || place="$place ($code)"
    place="$place  best $short_best  $pace"
    if [ "$terminal" = yes ]; then
        show "seki: $place"
    elif [ "$step" -eq $((opt_lambda + 1)) ] || [ "$step" -eq "$steps" ] || [ "$step" -eq 1 ] ||
        [ $((clock - shown)) -ge 500 ]; then
        shown=$clock
        note "$place"
    fi
}

report_end() {
    if [ "$scored" -eq 0 ]; then
        die 1 "$run: all $steps steps are done, and no candidate has a score; see candidates.jsonl"
    fi
    summary=$(head -n 1 -- "$run/repository.jsonl" |
        jq -r '"best \(.score * 100 | round / 100) (\(.id))"')
    note "$run: all $steps steps are done, $scored candidates scored, $summary"
}

# ---- The verb ------------------------------------------------------------------------------

main() {
    take_command_line 'search RUN --data PATH | --table FILE --column NAME [OPTION ...]' \
        'Searches for an architecture over the folder RUN; goes on where a run was that was ended. An
option that is not given then is as it was.' "$@"
    need jq jq
    open_run
    find_place
    if [ "$step" -lt "$steps" ]; then
        mend_repository
        check_proposer
        [ -z "$opt_table" ] || check_table
        [ -z "$opt_data" ] || train_supernet
        [ "$step" -eq 0 ] || note "$run: $step of $steps steps are done"
        start_eval
        read_clock
        started=$clock shown=$clock first_step=$step pace=
        while [ "$step" -lt "$steps" ]; do
            take_step
            show_step
        done
        end_eval
    else
        mend_repository
    fi
    report_end
}
