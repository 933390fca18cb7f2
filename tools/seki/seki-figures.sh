# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared by the files of the driver
# seki-figures.sh - what the figures of seki have in common: gnuplot draws FIGURE.svg in $work.

# A light grid, axes left and below, colours that people with any colour vision tell apart (Okabe,
# Ito 2008).
figure_style() { # FIGURE, LABEL OF X, LABEL OF Y
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

title_of() { # POLICY: sets $title, $colour
    case $1 in
    random) title='random search' colour='#e69f00' ;;
    mutate) title='regularised evolution' colour='#0072b2' ;;
    local) title='local search' colour='#009e73' ;;
    llm) title='language model' colour='#d55e00' ;;
    *) title='proposed' colour='#000000' ;;
    esac
}

# The commands on standard input come between the style and the plot.
draw_figure() { # FIGURE, LABEL OF X, LABEL OF Y, PLOT
    {
        figure_style "$1" "$2" "$3"
        cat
        printf 'plot %s\n' "$4"
    } | gnuplot >"$work/messages" 2>&1 ||
        die 3 "gnuplot cannot draw the figure '$1': $(grep . "$work/messages" | tail -n 1)"
}
