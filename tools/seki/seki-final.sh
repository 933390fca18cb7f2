# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared by the files of the driver
# seki-final.sh - `seki train`: the best candidate of a run, trained from scratch in RUN/final.

# The names are seki-train's, which checks the values and has the defaults.
options_table() {
    cat <<'EOT'
data||path|run||PATH|pictures; without it those of the search
images||text|run||N|first N training pictures, 0 for all
seed||text|run||N|seed of all that is random; without it that of the search
||heading||||The network and its training, as seki-train(1) has it
epochs||text|run||N|epochs
channels||text|run||N|channels of the first stage
layers||text|run||N|cells; nas201: cells a stage
batch||text|run||N|pictures a step
lr||text|run||X|learning rate at the beginning
lr-end||text|run||X|learning rate at the end of its cosine
momentum||text|run||X|momentum of SGD
weight-decay||text|run||X|weight decay
clip||text|run||X|largest norm of the gradient, 0 for no clipping
drop-path||text|run||X|drop path's probability, approached from 0 over the epochs
auxiliary||text|run||X|weight of the auxiliary head's loss, 0 for no head
cutout||text|run||N|side of cutout's square, 0 for none
precision||choice auto fp32 tf32 bf16|run||NAME|what activations are kept and multiplied in: auto, fp32, tf32 or bf16
backend||choice auto cuda cpu ref|call||NAME|what computes: auto, cuda, cpu or ref
threads||text|call||N|threads, 0 for all cores
||heading||||Messages
EOT
}

# The candidate is chosen once: a search that goes on meanwhile does not change it.
choose_candidate() {
    [ ! -s "$final/candidate.jsonl" ] || return 0
    [ -s "$run/repository.jsonl" ] ||
        die 2 "$run has no scored candidate yet; run 'seki search $run' first"
    head -n 1 -- "$run/repository.jsonl" | put_file "$final/candidate.jsonl" || exit 3
}

open_final() {
    [ -r "$run/settings" ] || die 2 "$run is no run folder: it has no settings; run 'seki search' first"
    final=$run/final
    mkdir -p -- "$final" || die 3 "$final cannot be made"
    lock_folder "$final"
    settled=no
    [ ! -e "$final/network.safetensors" ] || settled=yes
    [ ! -e "$final/settings" ] || read_settings "$final/settings"
    [ -n "$opt_data" ] || opt_data=$(setting_of data)
    [ -n "$opt_seed" ] || opt_seed=$(setting_of seed)
    [ -n "$opt_data" ] ||
        wrong_use 'the search had a table and no pictures: --data PATH names those to train on'
    [ "$settled" = yes ] || write_settings "$final/settings"
    make_pipes "$final"
    choose_candidate
}

train_final() {
    set -- --data "$opt_data" --output "$final/network.safetensors" --resume
    for name in images seed epochs channels layers batch lr lr-end momentum weight-decay clip \
        drop-path auxiliary cutout precision backend threads; do
        variable_of "$name"
        eval "value=\$opt_$variable"
        [ -z "$value" ] || set -- "$@" "--$name" "$value"
    done
    [ "$opt_quiet" = no ] || set -- "$@" --quiet
    input=$final/candidate.jsonl
    take_epochs "$final/epochs.jsonl" seki-train "$@"
    [ "$ended" -eq 0 ] || end_with "$ended" seki-train
    [ -n "$last_line" ] || die 3 'seki-train gave no record'
    printf '%s\n' "$last_line" | put_file "$final/record.jsonl" || exit 3
}

main() {
    take_command_line 'train RUN [OPTION ...]' \
        'Trains the best candidate of a run from scratch, in RUN/final; goes on where it was ended.' "$@"
    need jq jq
    open_final
    [ -s "$final/record.jsonl" ] || train_final
    summary=$(jq -r '"test accuracy \(.metrics.test_accuracy) after \(.metrics.epochs) epochs"' \
        "$final/record.jsonl") || die 2 "$final/record.jsonl is no record; remove it"
    note "$final: $summary"
}
