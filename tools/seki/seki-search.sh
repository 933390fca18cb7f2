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
backend||choice auto ref cpu|call|auto|NAME|what computes: auto, ref or cpu
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
    take_seeds
}

# ---- Starts --------------------------------------------------------------------------------

MAX_SEEDS=1000

# Sets seeds, the starts as records, from the file that --seeds names, and with them the number of
# lineages. Once something was made with them they are those of the run folder.
take_seeds() {
    seeds=
    if [ -n "$opt_seeds" ] && [ "$settled" = no ]; then
        [ -r "$opt_seeds" ] || die 2 "$opt_seeds is not there, or cannot be read"
        [ "$given_seeds$given_lineages" != yesno ] || opt_lineages=
        read_seeds || exit $?
    fi
    [ -n "$opt_lineages" ] || opt_lineages=$(printf '%s' "$seeds" | grep -c . || :)
    [ "$opt_lineages" -gt 0 ] || opt_lineages=1
}

# A line of the file gives one line here, so that a wrong one is told by its number.
read_seeds() {
    genotypes=$(jq -cR '(try fromjson catch null) as $record
        | if $record | type == "object" then $record | {genotype} + if .space then {space} else {} end
          else {genotype: .} end' <"$opt_seeds") || die 2 "$opt_seeds cannot be read"
    count=$(printf '%s' "$genotypes" | grep -c .)
    if [ "$count" -eq 0 ] || [ "$count" -gt "$MAX_SEEDS" ]; then
        wrong_use "--seeds $opt_seeds: 1 to $MAX_SEEDS lines are needed, a genotype each, and there are $count"
    fi
    wrong=$(printf '%s\n' "$genotypes" |
        seki-propose --policy mutate --space "$opt_space" --seed 0 --quiet 2>/dev/null |
        jq -nr 'first(inputs | select(.error.code != "unscored")
            | "\(input_line_number): \(.error.message | sub("^[^:]*:[0-9]+: "; ""))")')
    [ -z "$wrong" ] || wrong_use "--seeds $opt_seeds:$wrong"
    seeds=$(printf '%s\n' "$genotypes" | seki-eval --cost --quiet |
        jq -c '{space, genotype, id, proposer: {policy: "seed"}}') || die 3 'the seeds could not be read'
}

has_results() {
    [ -s "$run/proposals.jsonl" ] || [ -s "$run/candidates.jsonl" ] ||
        [ -e "$run/supernet.safetensors" ]
}

# Settings are written once; as long as nothing was made with them, they may be mended.
open_run() {
    settled=no
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
    if [ -e "$run/settings" ]; then
        ! has_results || settled=yes
        read_settings "$run/settings"
        check_settings
    fi
    if [ "$settled" = no ]; then
        write_settings "$run/settings"
        [ -z "$seeds" ] || printf '%s\n' "$seeds" | put_file "$run/seeds.jsonl" || exit 3
    fi
    make_pipes "$run"
    open_files
    count_starts
    steps=$((starts + opt_lambda + opt_gamma))
    # What a machine that goes down takes is remade in a moment, where no model and no supernet works.
    quick=no
    [ -z "$opt_table" ] || [ "$opt_policy" = llm ] || quick=yes
}

open_files() {
    set -- proposals candidates
    if [ "$opt_policy" = llm ]; then
        set -- "$@" requests
        [ "$opt_record" = no ] || set -- "$@" exchanges
    fi
    for file; do
        : >>"$run/$file.jsonl" || die 3 "$run/$file.jsonl cannot be written"
        repair "$run/$file.jsonl"
    done
}

# ---- Steps and lineages ----------------------------------------------------------------------

count_starts() { # sets seed_count, starts
    seed_count=0
    if [ -n "$opt_seeds" ]; then
        [ -s "$run/seeds.jsonl" ] || die 2 "$run/seeds.jsonl is missing; put it back, or name another folder"
        seed_count=$(wc -l <"$run/seeds.jsonl")
    fi
    starts=$opt_lineages
    [ "$starts" -ge "$seed_count" ] || starts=$seed_count
}

# locate STEP: sets kind (start, evolution, inspiration), its number from 1 on, and the lineage that
# it belongs to, which inspiration has none of.
locate() {
    lineage=
    position=$(($1 - starts))
    if [ "$position" -lt 0 ]; then
        kind=start number=$(($1 + 1)) lineage=$(($1 % opt_lineages))
        return
    fi
    turns=0
    if [ "$opt_schedule" = alternate ]; then
        turns=$opt_lambda
        [ "$turns" -le "$opt_gamma" ] || turns=$opt_gamma
    fi
    if [ "$position" -lt $((2 * turns)) ]; then
        kind=evolution number=$((position / 2 + 1))
        [ $((position % 2)) -eq 0 ] || kind=inspiration
    elif [ "$position" -lt $((turns + opt_lambda)) ]; then
        kind=evolution number=$((position - turns + 1))
    else
        kind=inspiration number=$((position - opt_lambda + 1))
    fi
    [ "$kind" = inspiration ] || lineage=$(((number - 1) % opt_lineages))
}

# ---- Where the run is ----------------------------------------------------------------------

# Sets step (the next), scored, best, stale (scored ones since then), last (the last scored record),
# pending, and in .pipes the current one of each lineage.
find_place() {
    step=0 scored=0 best=null stale=0 last='' pending=''
    [ -s "$run/candidates.jsonl" ] || [ -s "$run/proposals.jsonl" ] || return 0
    for file in candidates proposals; do
        bad=$(bad_line "$run/$file.jsonl")
        [ -z "$bad" ] || die 2 "$run/$file.jsonl:$bad: this line is no record; mend it," \
            'or remove it and all after it'
    done
    place=$(jq -nr '
        reduce inputs as $c ({step: 0, last: 0, scored: 0, best: null, stale: 0, wrong: 0, lineages: {}};
            (if .wrong == 0 and $c.step != .step then .wrong = .step + 1 else . end)
            | .step += 1
            | if $c.score == null then . else
                .scored += 1 | .last = .step
                | if .best == null or $c.score > .best then .best = $c.score | .stale = 0 else .stale += 1 end
                | if $c.lineage | type == "number" then .lineages["\($c.lineage)"] = .step else . end
              end)
        | "\(.step) \(.last) \(.scored) \(.best) \(.stale) \(.wrong)",
          (.lineages | to_entries[] | "\(.key) \(.value)")' "$run/candidates.jsonl") ||
        die 2 "$run/candidates.jsonl: the steps cannot be counted; remove the file to begin anew"
    {
        read -r step last_line scored best stale wrong
        [ "$wrong" -eq 0 ] || die 2 "$run/candidates.jsonl:$wrong: it is not of step $((wrong - 1));" \
            'remove this line and all after it'
        while read -r lineage line_number; do
            sed -n "${line_number}{p;q;}" "$run/candidates.jsonl" >"$pipes/current-$lineage"
        done
    } <<EOT
$place
EOT
    [ "$last_line" -eq 0 ] || last=$(sed -n "${last_line}{p;q;}" "$run/candidates.jsonl")
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

finished() {
    [ "$step" -ge "$steps" ] || { [ "$opt_patience" -gt 0 ] && [ "$stale" -ge "$opt_patience" ]; }
}

# The repository lacks a candidate where a kill came between; merging again changes nothing else.
mend_repository() {
    [ "$scored" -gt 0 ] || return 0
    jq -r 'select(.score != null) | "\(.step + 1)p"' "$run/candidates.jsonl" >"$pipes/scored"
    sed -n -f "$pipes/scored" "$run/candidates.jsonl" >"$pipes/record"
    rank
}

rank() { # the records in .pipes/record
    seki-rank --repository "$run/repository.jsonl" --top "$opt_top" <"$pipes/record" \
        3>&- 4<&- 5>&- 6<&- >/dev/null || case $? in
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

# One seki-eval serves the whole search; what goes in is on descriptor 3, what comes on 4. Neither
# is for the other programs: seki-eval ends when the last writer of 3 has. A record with an error
# comes back as it went: a table or a column that is not there shows before anything is proposed.
start_eval() {
    mkfifo -- "$pipes/in" "$pipes/out" || die 3 "$pipes: pipes cannot be made"
    with_eval exec seki-eval <"$pipes/in" >"$pipes/out" &
    eval_process=$!
    exec 3>"$pipes/in" 4<"$pipes/out"
    record='{"error": {"code": "none", "message": ""}}'
    score
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
    jq -nr --unbuffered --argjson best "$best" --argjson stale "$stale" "$LOOK" \
        <"$pipes/records" >"$pipes/looks" 3>&- 4<&- &
    look_process=$!
    exec 5>"$pipes/records" 6<"$pipes/looks"
}

look() { # sets score, short_best, stale, code
    printf '%s\n' "$record" 2>/dev/null >&5
    read -r score short_best stale code <&6 || die 3 'seki-eval gave what is no record'
}

end_look() {
    exec 5>&- 6<&-
    wait "$look_process"
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
