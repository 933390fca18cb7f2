# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared by the files of the driver
# seki-run.sh - the state of a search in its run folder: settings, starts, which step is next, what it goes
# on from. The options are seki-search.sh's.

# ---- Settings ------------------------------------------------------------------------------

check_settings() {
    if [ -n "$opt_data" ] && [ -n "$opt_table" ]; then
        wrong_use '--data and --table exclude each other'
    elif [ -n "$opt_table" ]; then
        [ -n "$opt_column" ] || wrong_use '--table needs --column NAME, the column of the scores'
        for name in images score_images epochs channels layers batch precision backend threads; do
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
