# shellcheck shell=sh disable=SC2034,SC2094,SC2154 # variables are shared by the files of the driver
# seki-compare.sh - `seki compare`: policies against each other on a table, as many candidates each,
# many seeds. A run is a `seki search` in OUT/POLICY-SEED, several at once; one that is done leaves a
# line in OUT/runs.jsonl and is not done again.

options_table() {
    cat <<'EOT'
||heading||||What candidates are scored by
table||path|run||FILE|a table of genotypes and scores
column||text|run||NAME|its column that is the score
test-column||text|run||NAME|its column of test accuracies, which are compared
space||choice darts nas201|run|darts|SPACE|search space: darts or nas201
||heading||||What is compared
policies||text|call|random,mutate,local|LIST|policies with commas between: random, mutate, local, llm
runs||integer 1 100000|call|10|N|runs of each policy, with the seeds 0 to N - 1
candidates||integer 1 1000000|run|50|N|candidates of each run
jobs||integer 1 4096|call||N|runs at once; without it as many as there are cores
||heading||||The search, as seki search has it
lineages||integer 1 1000|run|1|N|chains of self-evolution, each with a start of its own
gamma||integer 0 1000000|run|0|N|steps of knowledge inspiration among the candidates
schedule||choice stages alternate|run|stages|HOW|the two kinds of steps one after the other, or in turn
top|k|integer 1 65536|run|10|K|how many of the best the repository keeps
draw||integer 1 65536|run||X|show X of those K, drawn at random; all without it
EOT
    rule_options
    bound_options
    printf '||heading||||The model, as seki-propose(1) has it\n'
    model_options
    printf '||heading||||Messages\n'
}

# ---- Settings ------------------------------------------------------------------------------

check_settings() {
    [ -n "$opt_table" ] || wrong_use 'a new comparison needs --table FILE, --column NAME, --test-column NAME'
    [ -n "$opt_column" ] || wrong_use '--table needs --column NAME, the column of the scores'
    [ -n "$opt_test_column" ] || wrong_use '--table needs --test-column NAME, the column that is compared'
    [ -e "$opt_table" ] || die 2 "$opt_table is not there"
    lambda=$((opt_candidates - opt_lineages - opt_gamma))
    [ "$lambda" -ge 0 ] ||
        wrong_use "--candidates $opt_candidates is less than --lineages and --gamma together"
    policies=
    for policy in $(printf '%s' "$opt_policies" | tr , ' '); do
        case $policy in
        random | mutate | local | llm) ;;
        *) wrong_use "--policies '$policy': it is of: random mutate local llm" ;;
        esac
        case " $policies " in
        *" $policy "*) ;;
        *) policies="$policies $policy" ;;
        esac
    done
    [ -n "$policies" ] || wrong_use "--policies '$opt_policies' names none"
    if [ -z "$opt_model" ]; then
        opt_model=${SEKI_MODEL-}
    fi
}

open_comparison() {
    if [ -e "$run" ] && [ ! -d "$run" ]; then
        die 2 "$run is no folder; name another for the comparison"
    elif [ ! -e "$run/settings" ]; then
        for file in "$run"/*; do
            [ ! -e "$file" ] || [ "$file" = "$run/settings.new" ] ||
                die 2 "$run is a folder with other files and no comparison; name a new one"
        done
        check_settings
        mkdir -p -- "$run" || die 3 "$run cannot be made"
    fi
    lock_folder "$run"
    settled=no
    if [ -e "$run/settings" ]; then
        [ ! -s "$run/runs.jsonl" ] || settled=yes
        read_settings "$run/settings"
        check_settings
    fi
    [ "$settled" = yes ] || write_settings "$run/settings"
    make_pipes "$run"
    : >>"$run/runs.jsonl" || die 3 "$run/runs.jsonl cannot be written"
    repair "$run/runs.jsonl"
    bad=$(bad_line "$run/runs.jsonl")
    [ -z "$bad" ] || die 2 "$run/runs.jsonl:$bad: this line is no record; remove it, and its run is told anew"
    [ -n "$opt_jobs" ] || opt_jobs=$(nproc)
}

# ---- Runs ----------------------------------------------------------------------------------

# Ends with 255, which ends xargs, where other runs would fail like this one.
# shellcheck disable=SC2016 # for the shell that xargs starts
ONE_RUN='name=$1 folder=$2
shift 2
seki search "$folder" "$@" 2>&8
status=$?
printf "%s %s\n" "$name" "$status"
[ "$status" -le 1 ] || exit 255'

# The runs that are left: a seed a line. Those done, as POLICY-SEED, are in .pipes/done.
seeds_left() { # POLICY
    seq 0 $((opt_runs - 1)) | sed "s/^/$1-/" | grep -vxFf "$pipes/done" | sed "s/^$1-//"
}

# In a process group of their own, by which all of them end with the driver. Its first shell ends with
# them and not by the signal, of which the driver's would tell.
start_runs() { # POLICY
    set -- sh -c 'trap : HUP INT TERM; "$@"; exit $?' sh \
        xargs -P "$opt_jobs" -I @SEED@ sh -c "$ONE_RUN" sh "$1-@SEED@" "$run/$1-@SEED@" \
        --policy "$1" --seed @SEED@ --table "$opt_table" --column "$opt_column" \
        --test-column "$opt_test_column" --space "$opt_space" --lambda "$lambda" --quiet
    with_options "$passed" exec setsid "$@" <"$pipes/seeds" >&8 7<&- 8>&2 2>/dev/null &
    child=$!
}

stop_runs() { # STATUS
    trap - HUP INT TERM
    [ -z "$child" ] || kill -s TERM -- "-$child" 2>/dev/null || kill -s TERM "$child" 2>/dev/null
    wait 2>/dev/null
    exit "$1"
}

# One object about a run. What was best is told by the score, and how good that is by the test accuracy.
# shellcheck disable=SC2016 # jq's variables
DESCRIBE='[inputs] as $candidates
    | ($candidates | map(select(.score | type == "number"))) as $scored
    | [foreach $scored[] as $c (null; if . == null or $c.score > .score then $c else . end)] as $best
    | {policy: $policy, seed: $seed}
    + if $policy == "llm" then {model: $model} else {} end
    + {scored: ($scored | length), failed: (($candidates | length) - ($scored | length)),
        id: $best[-1].id, score: $best[-1].score, test_accuracy: $best[-1].metrics.test_accuracy}
    + if $policy == "llm" then
        ($requests | map(select(.cause != null))) as $requests
        | {requests: ($requests | length)} + (["prompt_tokens", "cached_tokens", "completion_tokens", "cost"]
            | map({(.): (. as $name | $requests | map(.[$name] | numbers) | if . == [] then null else add end)}) | add)
      else {} end
    + {best_test: ($best | map(.metrics.test_accuracy))}'

keep_run() { # POLICY SEED
    requests=/dev/null
    [ ! -e "$run/$1-$2/requests.jsonl" ] || requests=$run/$1-$2/requests.jsonl
    line=$(jq -cn --arg policy "$1" --argjson seed "$2" --arg model "$opt_model" \
        --slurpfile requests "$requests" "$DESCRIBE" "$run/$1-$2/candidates.jsonl") ||
        die 2 "$run/$1-$2/candidates.jsonl: its records are not those of a search"
    append "$run/runs.jsonl" "$line"
    printf '%s\n' "$line" 2>/dev/null || : # whoever read may have had enough
}

# A process of its own: the shell that waits for xargs hears signals, and one that reads would not.
# A run whose budget is spent leaves the others their own; one that gets no answer ends them all.
take_runs() { # POLICY < NAME STATUS…
    short=
    while read -r name run_status; do
        if [ "$run_status" -eq 3 ] && tail -n 1 -- "$run/$name/requests.jsonl" 2>/dev/null | grep -q '"cause": "none"'; then
            short=$name
            continue
        elif [ "$run_status" -gt 1 ]; then
            kill -s TERM -- "-$child" 2>/dev/null
            die "$run_status" "$run/$name ended with status $run_status; 'seki compare $run' goes on from here"
        fi
        keep_run "$1" "${name##*-}"
        runs_done=$((runs_done + 1))
        show_runs "$1"
    done
    [ -z "$short" ] || die 3 "$run/$short could not go on; 'seki compare $run' does, with a larger budget"
}

do_runs() { # POLICY
    seeds_left "$1" >"$pipes/seeds"
    [ -s "$pipes/seeds" ] || return 0
    exec 8<>"$pipes/ended" 7<"$pipes/ended" 8>"$pipes/ended"
    start_runs "$1"
    # A function whose descriptor is closed keeps a copy, to open it again; a subshell does not.
    (exec 8>&- && take_runs "$1") <&7 &
    taker=$!
    exec 7<&- 8>&-
    await
    wait "$taker" || exit $?
    [ "$ended" -eq 0 ] || die 3 "xargs ended with status $ended; 'seki compare $run' goes on from here"
    runs_done=$((runs_done + $(wc -l <"$pipes/seeds")))
}

show_runs() { # POLICY
    read_clock
    format_time $(((clock - started) * (runs_left - runs_done) / runs_done))
    place="$1  $runs_done of $runs_left runs  $time left"
    if [ "$terminal" = yes ]; then
        show "seki: $place"
    elif [ $((clock - shown)) -ge 500 ] && [ "$opt_quiet" = no ]; then
        shown=$clock
        note "$place"
    fi
}

# ---- What comes of them ----------------------------------------------------------------------

# shellcheck disable=SC2016 # jq's variables
STATISTICS='def mean: add / length;
    def deviation: mean as $mean | if length < 2 then 0 else (map(. - $mean | . * .) | add / (length - 1)) | sqrt end;
    def quantile($q): sort | . as $sorted | ((length - 1) * $q) as $at | ($at | floor) as $i
        | $sorted[$i] + ($at - $i) * (($sorted[$i + 1] // $sorted[$i]) - $sorted[$i]);
    # The best test accuracies of the runs that have scored so many.
    def after($scored): map(.best_test[$scored - 1] | numbers);
    def runs_of($policy): map(select(.policy == $policy));
    def two: . * 100 | round | (. / 100 | floor | tostring) + "." + ("0\(. % 100)" | .[-2:]);
    def pad($width): " " * ([$width - length, 0] | max) // "";'

# Columns: candidates scored, mean, lower and upper quartile.
draw_comparison() {
    plot='' low=
    for policy in $policies; do
        jq -rs --arg policy "$policy" --argjson most "$opt_candidates" "$STATISTICS"'
            runs_of($policy) as $runs | range(1; $most + 1) as $n | $runs | after($n) | select(length > 0)
            | [$n, mean, quantile(0.25), quantile(0.75)] | @tsv' "$run/runs.jsonl" >"$work/$policy.tsv" ||
            die 2 "$run/runs.jsonl cannot be drawn; remove it, and the runs are told anew"
        [ -s "$work/$policy.tsv" ] || continue
        title_of "$policy"
        data=\"$work/$policy.tsv\"
        plot="$plot${plot:+, }$data using 1:3:4 with filledcurves fc rgb '$colour' fs transparent solid 0.15 \
noborder notitle, $data using 1:2 with lines lw 2 lc rgb '$colour' title '$title'"
    done
    [ -n "$plot" ] || return 0
    # What the first candidates are like would take most of the height.
    low=$(for policy in $policies; do cat "$work/$policy.tsv"; done |
        awk -v first=$(((opt_candidates + 9) / 10)) '$1 >= first && (low == "" || $3 < low) { low = $3 }
            END { print low }')
    echo "set yrange [${low:-*}:*]" |
        draw_figure compare 'candidates scored (line: mean of the runs, band: quartiles)' \
            'test accuracy of the best, %' "$plot"
    put_file "$run/compare.svg" <"$work/compare.svg"
}

print_table() {
    # shellcheck disable=SC2086 # a list of words
    jq -rs --argjson most "$opt_candidates" "$STATISTICS"'
        . as $all | ([$most / 2 | floor, 1] | max) as $half
        | def column($n): after($n) as $values
            | if $values == [] then "–" else "\($values | mean | two) ± \($values | deviation | two)"
                + if ($values | length) < length then " (\($values | length))" else "" end end;
          (["policy", "runs", "at \($half)", "at \($most)"],
            ($ARGS.positional[] | . as $policy | $all | runs_of($policy) | select(length > 0)
                | [$policy, "\(length)", column($half), column($most)]))
        | "\(.[0])\(.[0] | pad(8))\(.[1] | pad(6))\(.[1])  \(.[2])\(.[2] | pad(19))\(.[3])"
        ' "$run/runs.jsonl" --args $policies | while IFS= read -r line; do
        note "$line"
    done
}

# ---- The verb ------------------------------------------------------------------------------

name_passed() { # sets $passed
    names_of <<EOT
$(rule_options; bound_options; model_options)
EOT
    passed="lineages gamma schedule top draw $names"
}

main() {
    take_command_line 'compare OUT --table FILE --column NAME --test-column NAME [OPTION ...]' \
        'Compares policies on a table, as many candidates and the same seeds each, over the folder OUT;
prints an object a run, and draws OUT/compare.svg. Goes on where it was ended.' "$@"
    need jq jq
    need gnuplot gnuplot-nox
    open_comparison
    work=$pipes
    trap 'stop_runs 129' HUP
    trap 'stop_runs 130' INT
    trap 'stop_runs 143' TERM
    mkfifo -- "$pipes/ended" || die 3 "$pipes/ended cannot be made"
    jq -r '"\(.policy)-\(.seed)"' "$run/runs.jsonl" >"$pipes/done"
    cat -- "$run/runs.jsonl" 2>/dev/null || :
    runs_done=0 runs_left=0
    for policy in $policies; do
        runs_left=$((runs_left + $(seeds_left "$policy" | wc -l)))
    done
    name_passed
    read_clock
    started=$clock shown=$clock
    for policy in $policies; do
        do_runs "$policy"
    done
    draw_comparison
    print_table
    ! grep -q '"scored":0,' "$run/runs.jsonl" || die 1 "$run: there are runs without a scored candidate"
}
