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
    for file in candidates repository supernet final/epochs final/record; do
        records_of "$run/$file.jsonl" >"$work/${file##*/}"
    done
    : >"$work/final"
    [ ! -r "$run/final/settings" ] || cat -- "$run/final/settings" >"$work/final"
}

# ---- Curves --------------------------------------------------------------------------------

# What all curves have in common: a light grid, axes left and below, colours that people with any
# colour vision tell apart (Okabe, Ito 2008).
curve_style() { # FIGURE, LABEL OF X, LABEL OF Y
    cat <<EOT
set terminal svg size 760,320 dynamic font "sans-serif,13"
set output "$work/$1.svg"
set border 3 lc rgb "#999999"
set tics nomirror out scale 0.5 textcolor rgb "#555555"
set grid ytics lt 1 lc rgb "#dddddd" lw 0.6
set key outside top left horizontal Left reverse width 2 samplen 1.5 textcolor rgb "#333333"
set autoscale xfix
set xlabel "$2" textcolor rgb "#555555"
set ylabel "$3" textcolor rgb "#555555"
set offsets graph 0.02, graph 0.02, graph 0.05, graph 0.05
set datafile separator "\t"
EOT
}

draw_curve() { # FIGURE, LABEL OF X, LABEL OF Y, PLOT; the data is in FIGURE.tsv
    : >"$work/$1.svg"
    [ -s "$work/$1.tsv" ] || return 0
    {
        curve_style "$1" "$2" "$3"
        [ "$(wc -l <"$work/$1.tsv")" -gt 12 ] || echo 'set xtics 1'
        printf 'plot %s\n' "$4"
    } | gnuplot >"$work/messages" 2>&1 ||
        die 3 "gnuplot cannot draw the $1 curve: $(grep . "$work/messages" | tail -n 1)"
}

# Columns: step, then the score in the stage's own column, then the best so far.
draw_search() {
    jq -nr --argjson lambda "${lambda:-0}" 'foreach (inputs | select(.score | numbers)) as $c (null;
            [., $c.score] | max;
            [$c.step, (if $c.step == 0 then $c.score else "" end),
             (if $c.step > 0 and $c.step <= $lambda then $c.score else "" end),
             (if $c.step > $lambda then $c.score else "" end), .]) | @tsv' \
        "$work/candidates" >"$work/search.tsv" || die 3 "$run/candidates.jsonl cannot be drawn"
    data=\"$work/search.tsv\"
    draw_curve search candidate 'score, %' "$data using 1:5 with steps lw 1.5 lc rgb '#bbbbbb' title 'best so far', \
$data using 1:2 with points pt 7 ps 0.7 lc rgb '#000000' title 'random', \
$data using 1:3 with points pt 7 ps 0.6 lc rgb '#0072b2' title 'self-evolution', \
$data using 1:4 with points pt 7 ps 0.6 lc rgb '#d55e00' title 'knowledge inspiration'"
}

draw_supernet() {
    jq -r '[.epoch, .train_accuracy, .valid_accuracy] | map(numbers) | select(length == 3) | @tsv' \
        "$work/supernet" >"$work/supernet.tsv"
    data=\"$work/supernet.tsv\"
    draw_curve supernet epoch 'accuracy, %' "$data using 1:2 with linespoints pt 7 ps 0.4 lw 1.5 lc rgb '#0072b2' title 'training half', \
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
    draw_curve network epoch 'accuracy, %' "$plot"
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
        --slurpfile candidates "$work/candidates" --slurpfile supernet "$work/supernet" \
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
    lambda=$(sed -n 's/^lambda=//p' "$run/settings")
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
