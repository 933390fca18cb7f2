# shellcheck shell=sh disable=SC2034,SC2094,SC2154 # variables are shared by the files of the driver
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
policy||choice llm mutate local random|run|llm|POLICY|who proposes: llm, or a rule: mutate, local or random
lambda||integer 0 1000000|run|30|N|steps of self-evolution
gamma||integer 0 1000000|run|20|N|steps of knowledge inspiration
schedule||choice stages alternate|run|stages|HOW|the two kinds of steps one after the other, or in turn
lineages||integer 1 1000|run||N|chains of self-evolution (1; with --seeds as many as those)
seeds||path|run||FILE|genotypes to start from, instead of random ones
patience||integer 0 1000000|call|0|N|end after N scored candidates without a new best; 0: never
top|k|integer 1 65536|run|10|K|how many of the best the repository keeps
draw||integer 1 65536|run||X|show X of those K, drawn at random; all without it
seed||integer 0 999999999999|run|0|N|seed of all that is random
EOT
    rule_options
    bound_options
    cat <<'EOT'
||heading||||The supernet
images||integer 0 999999999|run|0|N|first N training pictures, half of them to score; 0 for all
score-images||integer 0 999999999|run|0|N|pictures that a candidate is scored on; 0 for all of that half
epochs||integer 1 1000000|run|50|N|epochs
channels||integer 1 4096|run|16|N|channels of its first stage
layers||integer 1 64|run||N|cells; nas201: cells a stage (8; nas201: 5)
batch||integer 2 65536|run|64|N|pictures a step of training
precision||choice auto fp32 tf32 bf16|run|auto|NAME|what activations are kept and multiplied in: auto, fp32, tf32 or bf16
backend||choice auto cuda cpu ref|call|auto|NAME|what computes: auto, cuda, cpu or ref
threads||integer 0 1024|call|0|N|threads, 0 for all cores
||heading||||The model, as seki-propose(1) has it
EOT
    model_options
    cat <<'EOT'
record||flag|call|no||keep all requests and replies, whole
replay||path|call||FILE|answer from a file of such, with no network
||heading||||Messages
EOT
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
        --batch "$opt_batch" --precision "$opt_precision" --backend "$opt_backend" --threads "$opt_threads" \
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
            --images "$opt_score_images" --precision "$opt_precision" --backend "$opt_backend" --threads "$opt_threads"
    fi
    "$@" --quiet
}

# One seki-eval serves the whole search; what goes in is on descriptor 3, what comes on 4. Neither
# is for the other programs: seki-eval ends when the last writer of 3 has. A record with an error
# comes back as it went: a table or a column that is not there shows before anything is proposed.
start_eval() {
    mkfifo -- "$pipes/in" "$pipes/out" || die 3 "$pipes: pipes cannot be made"
    exec 7<>"$pipes/in" 3>"$pipes/in" 7<"$pipes/in"
    exec 8<>"$pipes/out" 4<"$pipes/out" 8>"$pipes/out"
    with_eval exec seki-eval <&7 >&8 3>&- 4<&- 7<&- 8>&- &
    eval_process=$!
    exec 7<&- 8>&-
    record='{"error": {"code": "none", "message": ""}}'
    score
}

end_eval() {
    exec 3>&- 4<&-
    wait "$eval_process" 2>/dev/null
    eval_process=
}

score() { # sets $record
    printf '%s\n' "$record" 2>/dev/null >&3
    IFS= read -r record <&4 && return
    exec 3>&- 4<&-
    wait "$eval_process" 2>/dev/null
    ended=$?
    eval_process=
    end_with "$ended" seki-eval
}

# One jq looks at all scored records, through descriptors 5 and 6: it starts more slowly than it reads.
# shellcheck disable=SC2016 # jq's variables
LOOK='foreach inputs as $c ({best: $best, stale: $stale};
        if $c.score == null then . elif .best == null or $c.score > .best then
            {best: $c.score, stale: 0}
        else .stale += 1 end;
        def short: if . == null then "-" else . * 100 | round / 100 end;
        "\($c.score | short) \(.best | short) \(.stale) \($c.error.code // "-")")'

start_look() {
    mkfifo -- "$pipes/records" "$pipes/looks" || die 3 "$pipes: pipes cannot be made"
    exec 7<>"$pipes/records" 5>"$pipes/records" 7<"$pipes/records"
    exec 8<>"$pipes/looks" 6<"$pipes/looks" 8>"$pipes/looks"
    jq -nr --unbuffered --argjson best "$best" --argjson stale "$stale" "$LOOK" \
        <&7 >&8 3>&- 4<&- 5>&- 6<&- 7<&- 8>&- &
    look_process=$!
    exec 7<&- 8>&-
}

look() { # sets score, short_best, stale, code
    printf '%s\n' "$record" 2>/dev/null >&5
    read -r score short_best stale code <&6 || die 3 'seki-eval gave what is no record'
}

end_look() {
    exec 5>&- 6<&-
    wait "$look_process" 2>/dev/null
    look_process=
}

# ---- Proposals -----------------------------------------------------------------------------

# propose POLICY: a record into the file `proposal`, $ended says how it went. The seed of a step
# follows from the run's, so that a step comes out the same whenever it is done. Rules know no stages:
# they read the last scored record, and the others in candidates.jsonl.
propose() {
    policy=$1
    set -- --policy "$policy" --space "$opt_space" --count 1 --seed $((opt_seed * 1000000 + step)) \
        --seen "$run/candidates.jsonl"
    passed_on=$bounds
    case $policy in
    mutate) passed_on="$rules $bounds" ;;
    llm)
        passed_on="$bounds $model"
        set -- "$@" --ledger "$run/requests.jsonl"
        if [ -n "$opt_replay" ]; then
            set -- "$@" --replay "$opt_replay"
        elif [ "$opt_record" = yes ]; then
            set -- "$@" --record "$run/exchanges.jsonl"
        fi
        if [ "$kind" = inspiration ]; then
            set -- "$@" --stage inspiration --repository "$run/repository.jsonl" --top "$opt_top"
            [ -z "$opt_draw" ] || set -- "$@" --draw "$opt_draw"
        fi
        ;;
    esac
    [ "$opt_quiet" = no ] || set -- "$@" --quiet
    with_options "$passed_on" exec seki-propose "$@" \
        <"$input" >"$pipes/proposal" 3>&- 4<&- 5>&- 6<&- &
    child=$!
    await
}

# Options, prompts and endpoint are looked at before the supernet is trained, and nothing is asked.
check_proposer() {
    input=/dev/null kind=evolution
    propose "$opt_policy"
    [ "$ended" -eq 0 ] || die "$ended" 'no candidate can be proposed with these settings'
}

# What a step is made from: the policy that draws at random is for those with nothing to begin with.
choose_input() { # sets input, policy
    input=/dev/null policy=random
    case $opt_policy in
    random) return ;;
    llm)
        if [ "$kind" = inspiration ]; then
            [ "$scored" -eq 0 ] || policy=llm
        elif [ -s "$pipes/current-$lineage" ]; then
            input=$pipes/current-$lineage policy=llm
        fi
        ;;
    *)
        [ "$scored" -eq 0 ] || input=$pipes/last policy=$opt_policy
        ;;
    esac
}

next_proposal() {
    if [ "$kind" = start ] && [ "$step" -lt "$seed_count" ]; then
        sed -n "$number{p;q;}" "$run/seeds.jsonl" >"$pipes/proposal"
        ended=0
    elif [ "$kind" = start ]; then
        input=/dev/null
        propose random
    else
        choose_input
        propose "$policy"
    fi
    case $ended in
    0) failed=false ;;
    1) failed=true ;;
    2) die 2 "seki-propose cannot go on with these settings; 'seki search $run' goes on from here" ;;
    3)
        die 3 "no answer for step $step, which is not counted; 'seki search $run' goes on from here" \
            "once the endpoint answers${opt_max_tokens_total:+, or with a larger --max-tokens-total}${opt_max_cost:+, or with a larger --max-cost}"
        ;;
    *) end_with "$ended" seki-propose ;;
    esac
    IFS= read -r record <"$pipes/proposal" || die 3 'seki-propose gave no record'
    record="{\"step\": $step, ${lineage:+\"lineage\": $lineage, }${record#\{}"
    keep proposals
}

# ---- Steps ---------------------------------------------------------------------------------

keep() { # FILE: the record becomes a line of it
    if [ "$quick" = no ]; then
        append "$run/$1.jsonl" "$record"
    else
        printf '%s\n' "$record" >>"$run/$1.jsonl" || die 3 "$run/$1.jsonl cannot be written"
    fi
}

take_step() {
    locate "$step"
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
    look
    keep candidates
    if [ "$score" != - ]; then
        printf '%s\n' "$record" >"$pipes/record"
        rank
        scored=$((scored + 1))
        printf '%s\n' "$record" >"$pipes/last"
        [ -z "$lineage" ] || printf '%s\n' "$record" >"$pipes/current-$lineage"
    fi
    step=$((step + 1))
}

# ---- Progress ------------------------------------------------------------------------------

place_of() { # sets $place for the step that was located
    case $kind in
    start)
        place='random start'
        [ "$number" -gt "$seed_count" ] || place='given start'
        [ "$starts" -eq 1 ] || place="$place $number/$starts"
        ;;
    evolution) place="evolution $number/$opt_lambda" ;;
    inspiration) place="inspiration $number/$opt_gamma" ;;
    esac
}

show_waiting() { # WHAT
    [ "$terminal" = yes ] && [ "$opt_policy" = llm ] || [ -n "$opt_data" ] || return 0
    place_of
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
    place_of
    place="$place  score $score"
    [ "$code" = - ] || place="$place ($code)"
    place="$place  best $short_best  $pace"
    if [ "$terminal" = yes ]; then
        show "seki: $place"
    elif [ "$step" -eq 1 ] || [ "$kind $number" = "evolution $opt_lambda" ] || finished ||
        [ $((clock - shown)) -ge 500 ]; then
        shown=$clock
        note "$place"
    fi
}

report_end() {
    how="all $steps steps are done"
    [ "$step" -ge "$steps" ] ||
        how="ended after $step of $steps steps: the last $stale scored candidates brought no new best"
    if [ "$scored" -eq 0 ]; then
        die 1 "$run: $how, and no candidate has a score; see candidates.jsonl"
    fi
    summary=$(head -n 1 -- "$run/repository.jsonl" |
        jq -r '"best \(.score * 100 | round / 100) (\(.id))"')
    note "$run: $how, $scored candidates scored, $summary"
}

# ---- The verb ------------------------------------------------------------------------------

take_steps() {
    start_look
    [ -z "$last" ] || printf '%s\n' "$last" >"$pipes/last"
    read_clock
    started=$clock shown=$clock first_step=$step pace=
    while ! finished; do
        take_step
        show_step
    done
    end_look
}

main() {
    take_command_line 'search RUN --data PATH | --table FILE --column NAME [OPTION ...]' \
        'Searches for an architecture over the folder RUN; goes on where a run was that was ended. An
option that is not given then is as it was.' "$@"
    need jq jq
    open_run
    find_place
    mend_repository
    if ! finished; then
        name_options
        check_proposer
        [ -z "$opt_data" ] || train_supernet
        [ "$step" -eq 0 ] || note "$run: $step of $steps steps are done"
        start_eval
        take_steps
        end_eval
    fi
    report_end
}

name_options() { # sets rules, bounds, model
    names_of <<EOT
$(rule_options)
EOT
    rules=$names
    names_of <<EOT
$(bound_options)
EOT
    bounds=$names
    names_of <<EOT
$(model_options)
EOT
    model=$names
}
