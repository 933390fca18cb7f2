# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared by the files of the driver
# seki-report.sh - `seki report`: one HTML page about a run, which refers to nothing outside itself.
# gnuplot and graphviz draw; seki-report.jq writes the page and escapes whatever is from a record.

DRAWN=3 # cells of how many candidates are drawn

options_table() {
    cat <<'EOT'
output|o|path|no||FILE|the page; without it RUN/report.html
EOT
}

# The records of a file, one a line; a last line that is just being written is left out.
records_of() { # FILE
    [ -e "$1" ] || return 0
    [ -r "$1" ] || die 3 "$1 cannot be read"
    bad=$(bad_line "$1")
    [ -z "$bad" ] || die 2 "$1:$bad: this line is no record; mend or remove it"
    whole_lines "$1"
}

read_run() {
    [ -r "$run/settings" ] || die 2 "$run is no run folder: it has no settings"
    for file in candidates repository requests seeds supernet final/epochs final/record; do
        records_of "$run/$file.jsonl" >"$work/${file##*/}"
    done
    : >"$work/final"
    [ ! -r "$run/final/settings" ] || cat -- "$run/final/settings" >"$work/final"
    policy=$(setting_of policy)
    starts=$(setting_of lineages)
    case $starts in '' | *[!0-9]* | ?????*) starts=1 ;; esac
    seed_count=$(wc -l <"$work/seeds")
    [ "$starts" -ge "$seed_count" ] || starts=$seed_count
}

# ---- Curves --------------------------------------------------------------------------------

# The commands on standard input are the figure's own; the data is in FIGURE.tsv.
draw_curve() { # FIGURE, LABEL OF X, LABEL OF Y, PLOT
    : >"$work/$1.svg"
    [ -s "$work/$1.tsv" ] || return 0
    {
        [ "$(wc -l <"$work/$1.tsv")" -gt 12 ] || echo 'set xtics 1'
        cat
    } | draw_figure "$@"
}

# Columns: step, then the score in the stage's own column, the best so far, what lies below the range.
# A few scores far below the others would take the height from them: the range then begins at the
# tenth percentile, and they are marked at its edge.
draw_search() {
    jq -nr --argjson starts "$starts" --arg policy "$policy" '[inputs | select(.score | numbers)] as $scored
        | ($scored | map(.score) | sort) as $sorted
        | $sorted[($sorted | length) / 10 | floor] as $low
        | select($sorted != [])
        | ($sorted[-1] - $low) as $height
        | if $low - $sorted[0] > $height and $height > 0 then $low - $height / 20 else null end
        | . as $edge
        | foreach $scored[] as $c (null; [., $c.score] | max;
            (if $c.step < $starts then 0
             elif $policy != "llm" or $c.lineage != null or $c.proposer.stage? == "evolution" then 1
             else 2 end) as $kind
            | (if $edge == null then false else $c.score < $edge end) as $below
            | [$c.step, (range(3) as $i | if $i == $kind and ($below | not) then $c.score else "" end), .,
                if $below then $edge else "" end, $edge // ""]) | @tsv' \
        "$work/candidates" >"$work/search.tsv" || die 3 "$run/candidates.jsonl cannot be drawn"
    title_of "$policy"
    [ "$policy" != llm ] || title=self-evolution
    data=\"$work/search.tsv\"
    plot="$data using 1:5 with steps lw 1.5 lc rgb '#bbbbbb' title 'best so far', \
$data using 1:2 with points pt 7 ps 0.7 lc rgb '#000000' title 'start', \
$data using 1:3 with points pt 7 ps 0.6 lc rgb '#0072b2' title '$title'"
    [ "$policy" != llm ] || plot="$plot, \
$data using 1:4 with points pt 7 ps 0.6 lc rgb '#d55e00' title 'knowledge inspiration'"
    edge=$(head -n 1 "$work/search.tsv" | cut -f 7)
    [ -z "$edge" ] || plot="$plot, \
$data using 1:6 with points pt 11 ps 0.7 lc rgb '#777777' title 'below the range'"
    echo "${edge:+set yrange [$edge:*]}" | draw_curve search candidate 'score, %' "$plot"
}

draw_supernet() {
    jq -r '[.epoch, .train_accuracy, .valid_accuracy] | map(numbers) | select(length == 3) | @tsv' \
        "$work/supernet" >"$work/supernet.tsv"
    data=\"$work/supernet.tsv\"
    draw_curve </dev/null supernet epoch 'accuracy, %' "$data using 1:2 with linespoints pt 7 ps 0.4 lw 1.5 lc rgb '#0072b2' title 'training half', \
$data using 1:3 with linespoints pt 7 ps 0.4 lw 1.5 lc rgb '#d55e00' title 'validation half (ten random architectures)'"
}

draw_network() {
    jq -r '[.epoch, .train_accuracy] | map(numbers) | select(length == 2) | @tsv' \
        "$work/epochs" >"$work/network.tsv"
    data=\"$work/network.tsv\"
    plot="$data using 1:2 with linespoints pt 7 ps 0.4 lw 1.5 lc rgb '#0072b2' title 'training'"
    jq -r '[.metrics | .epochs, .test_accuracy] | map(numbers) | select(length == 2) | @tsv' \
        "$work/record" >"$work/test.tsv"
    [ ! -s "$work/test.tsv" ] || plot="$plot, \"$work/test.tsv\" using 1:2 with points pt 7 ps 1 \
lc rgb '#d55e00' title 'test, after the last epoch'"
    draw_curve </dev/null network epoch 'accuracy, %' "$plot"
}

# ---- Cells ---------------------------------------------------------------------------------

draw_cells() {
    number=0
    while [ "$number" -lt "$DRAWN" ]; do
        number=$((number + 1))
        : >"$work/cell$number.svg"
        sed -n "${number}p" "$work/repository" >"$work/drawn"
        [ -s "$work/drawn" ] || continue
        seki-draw --format svg <"$work/drawn" >"$work/cell$number.svg" ||
            die 3 "$run/repository.jsonl: the cell of candidate $number cannot be drawn"
    done
}

# ---- The verb ------------------------------------------------------------------------------

write_page() {
    jq -nr -f "$files/seki-report.jq" \
        --arg name "${run##*/}" --arg version "$VERSION" \
        --rawfile settings "$run/settings" --rawfile final "$work/final" \
        --argjson starts "$starts" --arg policy_title "$title" \
        --slurpfile candidates "$work/candidates" --slurpfile requests "$work/requests" --slurpfile supernet "$work/supernet" \
        --slurpfile repository "$work/repository" \
        --slurpfile epochs "$work/epochs" --slurpfile record "$work/record" \
        --rawfile search_svg "$work/search.svg" --rawfile supernet_svg "$work/supernet.svg" \
        --rawfile network_svg "$work/network.svg" --rawfile cell1 "$work/cell1.svg" \
        --rawfile cell2 "$work/cell2.svg" --rawfile cell3 "$work/cell3.svg" >"$work/page" ||
        die 3 'the page cannot be made from these records'
}

main() {
    take_command_line 'report RUN [-o FILE]' \
        'Writes one HTML page about a run: curves, cells, tables, tokens.' "$@"
    need jq jq
    need gnuplot gnuplot-nox
    need dot graphviz
    output=${opt_output:-$run/report.html}
    work=$(mktemp -d) || die 3 'no folder for temporary files can be made'
    trap 'rm -rf -- "$work"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    read_run
    draw_search
    draw_supernet
    draw_network
    draw_cells
    write_page
    if [ "$output" = - ]; then
        cat -- "$work/page" || die 3 'the page cannot be written to standard output'
    else
        put_file "$output" <"$work/page"
    fi
    note "$output: $(jq -s length "$work/candidates") candidates"
}
