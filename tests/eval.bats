#!/usr/bin/env bats
# seki-eval: cost, tables, the supernet, trained weights; what a stream of records meets.
# shellcheck disable=SC2016,SC2094 # $0 is for the inner shell; no command reads what it writes

load helpers
load pictures

# Made once: pictures, a supernet of either space, a trained network.
setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    make_pictures pictures 160 40
    seki-supernet -q -s darts -d pictures -o darts.st -C 4 -L 3 -e 2 -b 20 -B cpu -t 1 --lr 0.05 > epochs
    seki-supernet -q -s nas201 -d pictures -o nas201.st -C 4 -L 1 -e 60 -b 20 -B cpu -t 1 --lr 0.05 > epochs
    seki-train -q -d pictures -o network.st -C 4 -L 1 -e 3 -b 20 -B cpu -t 1 --lr 0.05 \
        > trained <<< "$nas201_genotype"
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    made=$BATS_FILE_TMPDIR
    set -o pipefail
}

# On the supernet of the space $1, with more options.
eval_supernet() {
    seki-eval -q -B cpu -t 1 -s "$made/$1.st" -d "$made/pictures" "${@:2}"
}

# A table with two rows.
write_table() {
    printf 'genotype\tvalid\ttest\n%s\t91.5\t90.25\n%s\t10\t11\n' "$nas201_genotype" \
        '|none~0|+|none~0|none~1|+|none~0|none~1|none~2|'
}

# ---- Cost -------------------------------------------------------------------------------------

@test "--cost gives the published genotypes the parameters and MACs that PyTorch counts" {
    list=$top/tests/data/genotypes.tsv
    [ -f "$list" ] || skip "needs tests/data/genotypes.tsv"
    tail -n +2 "$list" | cut -f 4 | seki-eval --cost > found
    jq -r '[.metrics.params, .metrics.macs] | @tsv' found > sizes
    # Where the list has no figure, none is held against it.
    expect_equal "$(tail -n +2 "$list" | cut -f 5,7)" "$(tail -n +2 "$list" | cut -f 5,7 |
        paste - sizes | awk -F '\t' -v OFS='\t' '{ print $1 == "" ? "" : $3, $2 == "" ? "" : $4 }')"
    tail -n +2 "$list" | awk -F '\t' '$8 != ""' > small
    [ -s small ]
    cut -f 4 small | seki-eval --cost -C 16 -L 8 > found
    expect_equal "$(cut -f 8,9 small)" "$(jq -r '[.metrics.params, .metrics.macs] | @tsv' found)"
}

@test "DARTS_V2 and the ends and the best of nas201 come out as published" {
    {
        echo "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
        echo '|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|'
        echo '|none~0|+|none~0|none~1|+|none~0|none~1|none~2|'
        echo '|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|'
    } > in
    expect_status 0 seki-eval --cost in
    expect_equal "3349342 528359040
1073466 153272960
73306 7783040
1531546 220119680" "$(jq -r '"\(.metrics.params) \(.metrics.macs)"' <<< "$output")"
    expect_equal "" "$(jq -r 'select(.score or .metrics.scorer)' <<< "$output")"
}

@test "--cost follows the options, and the data where they do not say" {
    more=$(seki-eval --cost --classes 100 <<< "$nas201_genotype" | member metrics.params)
    expect_equal $((90 * 65)) $((more - $(seki-eval --cost <<< "$nas201_genotype" | member metrics.params)))
    expect_equal "$(seki-eval --cost -C 4 -L 1 --image-size 16 --classes 4 <<< "$nas201_genotype" |
        jq .metrics.params)" $(($(seki-eval --cost -C 4 -L 1 -d "$made/pictures" <<< "$nas201_genotype" |
        jq .metrics.params) + 2 * 9 * 4)) # one channel of pictures, not three
    expect_status 1 seki-eval --cost -C 3 <<< "$darts_genotype"
    expect_in "$stderr" "3 channels" "even number"
}

@test "a bare genotype line becomes a record, and members that are not known pass through" {
    expect_status 0 seki-eval --cost <<< "  $nas201_genotype"
    expect_equal "nas201 $nas201_genotype" "$(jq -r '"\(.space) \(.genotype)"' <<< "$output")"
    [[ $(member id <<< "$output") =~ ^[0-9a-f]{16}$ ]]
    expect_status 0 seki-eval --cost <<< '{"note":  1.50e0, "x": {"y": [1, null]}, "genotype": "'"$nas201_genotype"'", "metrics": {"own": "caf\u00e9"}}'
    expect_in "$output" '"note":  1.50e0' '"x": {"y": [1, null]}' '"own": "caf\u00e9"' '"params": '
}

@test "a stream of 200,000 records stays under 64 MiB" {
    [ -z "${SANITIZE:-}" ] || skip "a sanitizer needs memory of its own"
    [ -r /proc/self/status ] || skip "needs /proc"
    mkfifo in
    seki-eval --cost < in 3>&- > out &
    pid=$!
    exec 9> in
    { yes "$nas201_genotype" || true; } | head -200000 >&9
    # Its input still open, it has read nearly all of it.
    peak=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/$pid/status")
    exec 9>&-
    wait "$pid"
    expect_equal 200000 "$(wc -l < out)"
    echo "peak: $peak KiB"
    [ "$peak" -gt 1000 ] && [ "$peak" -lt 65536 ]
}

# ---- Wrong records ----------------------------------------------------------------------------

@test "a wrong record goes out with its error, and the rest of the stream is served" {
    {
        echo "$nas201_genotype"
        echo "${darts_genotype/\'sep_conv_3x3\', 0/\'sep_conv_3x3\', 7}"
        echo '{"genotype": "'"$nas201_genotype"'", "score": NaN}'
        echo '{"genotype": '
        echo '{"note": "no genotype"}'
        echo '{"genotype": "'"$nas201_genotype"'", "space": "darts"}'
        echo '{"error": {"code": "endpoint", "message": "it was down"}, "score": null}'
        echo "$darts_genotype"
    } > in
    expect_status 1 seki-eval --cost in
    expect_equal "no genotype json json genotype genotype endpoint no" \
        "$(jq -r '.error.code // "no"' <<< "$output" | paste -sd ' ')"
    expect_equal "true false false false false false false true" \
        "$(jq -r '.metrics.params != null' <<< "$output" | paste -sd ' ')"
    expect_in "$stderr" "seki-eval: in:2: normal cell: node 2 takes input 7" "seki-eval: in:3: " "NaN" \
        "seki-eval: in:4: column 13" "seki-eval: in:5: genotype: the record has no member" \
        "seki-eval: in:6: genotype: member 'space' is darts"
}

@test "a line of 100 MB is one wrong record" {
    { printf '{"x": "'; head -c 100000000 /dev/zero | tr '\0' x; printf '"}\n%s\n' "$nas201_genotype"; } |
        { seki-eval --cost > out && false || [ $? -eq 1 ]; }
    expect_equal "length" "$(head -1 out | jq -r .error.code)"
    expect_equal "$nas201_genotype" "$(tail -1 out | member genotype)"
}

@test "a file that is not there ends with status 3, the others are read" {
    echo "$nas201_genotype" > in
    expect_status 3 seki-eval --cost missing in
    expect_in "$stderr" "missing"
    expect_equal "$nas201_genotype" "$(member genotype <<< "$output")"
}

# ---- Output -----------------------------------------------------------------------------------

@test "a reader that goes away ends it quietly and soon" {
    expect_status 0 timeout 20 bash -c 'yes "$0" | seki-eval --cost | head -1; exit "${PIPESTATUS[1]}"' \
        "$nas201_genotype"
    expect_equal 1 "$(wc -l <<< "$output")"
    expect_equal "" "${stderr//yes: *}"
}

@test "an output that is full is a failed resource" {
    expect_status 3 bash -c 'seki-eval --cost <<< "$0" > /dev/full' "$nas201_genotype"
    expect_in "$stderr" "seki-eval: " "No space left"
}

@test "a line is out before the next is read" {
    mkfifo in out
    seki-eval --cost < in > out 3>&- &
    pid=$!
    exec 8> in 9< out
    for _ in 1 2 3; do
        echo "$nas201_genotype" >&8
        read -r -t 20 line <&9
        [ -n "$line" ]
    done
    exec 8>&- 9<&-
    wait "$pid"
}

# ---- Options ----------------------------------------------------------------------------------

@test "options that make no sense together end with status 2" {
    write_table > table
    while read -r expected arguments; do
        # shellcheck disable=SC2086
        expect_status 2 seki-eval $arguments <<< "$nas201_genotype"
        expect_in "$stderr" "${expected//_/ }" "seki-eval --help"
        expect_equal "" "$output"
    done << 'END'
is_needed
--data_is_needed --supernet x
--data_is_needed --weights x
--column_is_needed --table table
exclude_each_other --table table --column valid --supernet x --data y
exclude_each_other --weights x --supernet y --data z
--images --cost --images -1
--split --cost --split valid
--channels --cost --channels 0
END
    expect_status 2 seki-eval --weights x --data "$made/pictures" --mean 1,2 <<< "$nas201_genotype"
    expect_in "$stderr" "--mean 1,2: three numbers"
    expect_status 2 seki-eval --weights x --data "$made/pictures" --std 1,0,1 <<< "$nas201_genotype"
    expect_in "$stderr" "--std 1,0,1: deviations are above 0"
}

# ---- Tables -----------------------------------------------------------------------------------

@test "--table gives the score, gzipped or not, and --test-column the test accuracy" {
    write_table > table
    gzip -c table > table.gz
    for file in table table.gz; do
        expect_status 0 seki-eval --table "$file" --column valid --test-column test <<< "$nas201_genotype"
        expect_equal "91.5 91.5 90.25 table 587386" "$(jq -r '"\(.score) \(.metrics.valid_accuracy) \(
            .metrics.test_accuracy) \(.metrics.scorer) \(.metrics.params)"' <<< "$output")"
    done
}

@test "--table: a column that is not there ends with status 2, a row that is not with an error in the record" {
    write_table > table
    expect_status 2 seki-eval --table table --column accuracy <<< "$nas201_genotype"
    expect_in "$stderr" "accuracy" "valid" "test"
    expect_status 2 seki-eval --table table --column valid --test-column tset <<< "$nas201_genotype"
    expect_in "$stderr" "tset"
    other='|skip_connect~0|+|none~0|none~1|+|none~0|none~1|none~2|'
    expect_status 1 seki-eval --table table --column valid <<< "$other"$'\n'"$nas201_genotype"
    expect_equal "table null 91.5" \
        "$(jq -r '.error.code // empty, .score' <<< "$output" | paste -sd ' ')"
    expect_in "$stderr" "standard input:1: " "no row for this genotype"
}

@test "--table: a file that is cut or not there is told" {
    write_table | gzip -c | head -c 100 > table.gz
    expect_status 1 seki-eval --table table.gz --column valid <<< "$nas201_genotype"
    expect_in "$stderr" "table.gz" "damaged" "ends too early"
    expect_status 3 seki-eval --table missing --column valid <<< "$nas201_genotype"
    expect_in "$stderr" "missing"
}

@test "a record that has a score passes through, and --force scores it again" {
    write_table > table
    scored='{"score": 5, "genotype": "'"$nas201_genotype"'"}'
    expect_status 0 seki-eval --table table --column valid <<< "$scored"
    expect_equal "$scored" "$output"
    expect_status 0 seki-eval --table table --column valid --force <<< "$scored"
    expect_equal 91.5 "$(member score <<< "$output")"
}

@test "the whole benchmark's table serves a search" {
    need_shared data/nasbench201.tsv.gz
    expect_status 0 seki-eval --table "$top/../shared/data/nasbench201.tsv.gz" --column cifar10_valid \
        --test-column cifar10_test <<< '|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|'
    expect_equal 94.37 "$(jq '.metrics.test_accuracy * 100 | round / 100' <<< "$output")"
}

# ---- The supernet -----------------------------------------------------------------------------

@test "--supernet scores with the validation half, and a learnt texture is over chance" {
    for op in skip_connect nor_conv_1x1 avg_pool_3x3 none; do
        echo "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|skip_connect~0|$op~1|nor_conv_3x3~2|"
    done > in
    expect_status 0 eval_supernet nas201 in
    echo "$output"
    jq -e 'select(.metrics.images != 80 or .metrics.scorer != "supernet" or
                  .score != .metrics.valid_accuracy)' <<< "$output" && return 1
    jq -e -s 'map(.score) | add / length > 40' <<< "$output" # chance: 25
    expect_status 0 eval_supernet nas201 --images 30 <<< "$nas201_genotype"
    expect_equal 30 "$(member metrics.images <<< "$output")"
    expect_status 2 eval_supernet nas201 --images 81 <<< "$nas201_genotype"
    expect_in "$stderr" "the validation half has 80"
}

@test "bf16 scores nearly as fp32 does, where the processor has it" {
    expect_status 2 eval_supernet darts -p bf16 -B ref <<< "$darts_genotype"
    expect_in "$stderr" "ref does not compute in bf16"
    grep -qw avx512_bf16 /proc/cpuinfo || skip 'this processor has no AVX512_BF16'
    for precision in fp32 bf16; do
        expect_status 0 eval_supernet darts -B cpu -p $precision <<< "$darts_genotype"
        echo "$output" > $precision
    done
    jq -c '[.score, .metrics.valid_loss]' fp32 bf16
    jq -e -s '.[0].metrics.valid_loss != .[1].metrics.valid_loss and
        (.[0].metrics.valid_loss / .[1].metrics.valid_loss - 1 | fabs) < 0.03' fp32 bf16
}

@test "ref and cpu score alike, and a score does not depend on what was scored before" {
    a=$darts_genotype b=${darts_genotype/dil_conv_3x3/sep_conv_5x5}
    printf '%s\n' "$a" "$b" | eval_supernet darts > ab
    printf '%s\n' "$b" "$a" | eval_supernet darts > ba
    score='[.score, .metrics.valid_loss]'
    expect_equal "$(jq -c "$score" ab)" "$(jq -c "$score" ba | tac)"
    seki-eval -q -B ref -t 1 -s "$made/darts.st" -d "$made/pictures" -n 40 <<< "$a" > ref
    eval_supernet darts -n 40 <<< "$a" > cpu
    cat ref cpu
    jq -e -s '(.[0].metrics.valid_loss - .[1].metrics.valid_loss | fabs) < 1e-3' ref cpu
}

# Candidates of the space $1: more than are scored together.
sample() {
    seki-propose -q --policy random --space "$1" -n 11 --seed 5 | jq -c '{genotype}'
}

@test "candidates that are scored together get what each gets alone" {
    for space in darts nas201; do
        sample $space > all
        {
            head -3 all
            echo '{"genotype": "x"}'
            head -1 all
            jq -c '. + {score: 5}' <<< "$(sed -n 4p all)"
            tail -n +4 all
        } > in
        expect_status 1 eval_supernet $space in
        expect_equal 14 "$(wc -l <<< "$output")"
        expect_equal "genotype 5" "$(jq -r '.error.code // empty' <<< "$output") $(sed -n 6p <<< "$output" | member score)"
        expect_equal "$(sed -n 1p <<< "$output" | jq -c .metrics)" "$(sed -n 5p <<< "$output" | jq -c .metrics)"
        sed '4,6d' <<< "$output" | jq -c '[.genotype, .score, .metrics.valid_loss]' > together
        while read -r line; do
            eval_supernet $space <<< "$line"
        done < all | jq -c '[.genotype, .score, .metrics.valid_loss]' > alone
        diff together alone
        [ "$(sort -u alone | wc -l)" -eq 11 ]
        eval_supernet $space < in > piped || [ $? -eq 1 ]
        expect_equal "$(jq -c '[.id, .score]' <<< "$output")" "$(jq -c '[.id, .score]' piped)"
    done
}

@test "a candidate waits for no other" {
    mkfifo in out
    eval_supernet nas201 < in > out 3>&- &
    pid=$!
    exec 8> in 9< out
    for count in 1 2 1; do
        sample nas201 | head -$count >&8
        for _ in $(seq $count); do
            read -r -t 20 line <&9
            [ "$(member metrics.images <<< "$line")" = 80 ]
        done
    done
    exec 8>&- 9<&-
    wait "$pid"
}

@test "what the scoring on pictures took is told at its end, but not with --quiet" {
    sample nas201 > all
    expect_status 0 seki-eval -B cpu -t 1 -s "$made/nas201.st" -d "$made/pictures" all
    [[ $stderr =~ seki-eval:\ 11\ candidates\ in\ [0-9.]+\ s,\ [0-9.]+\ s\ each,\ [0-9,]+\ pictures\ a\ second$ ]]
    # A score that is known, and one that was there, took nothing.
    { head -1 all; head -1 all; jq -c '. + {score: 5}' <<< "$(head -2 all | tail -1)"; } > in
    expect_status 0 seki-eval -B cpu -t 1 -s "$made/nas201.st" -d "$made/pictures" in
    expect_in "$stderr" "seki-eval: 1 candidate in "
    for quiet in "-q -s $made/nas201.st -d $made/pictures" --cost; do
        # shellcheck disable=SC2086 # several words
        expect_status 0 seki-eval $quiet all
        expect_equal "" "$stderr"
    done
}

@test "two spellings of one function get one score" {
    swapped=${darts_genotype/"('sep_conv_3x3', 0), ('skip_connect', 1)"/"('skip_connect', 1), ('sep_conv_3x3', 0)"}
    [ "$swapped" != "$darts_genotype" ]
    # Only the edge from state 0 to state 3 counts: nothing reads states 1 and 2.
    first='|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|'
    second='|skip_connect~0|+|avg_pool_3x3~0|none~1|+|nor_conv_1x1~0|none~1|none~2|'
    for pair in darts nas201; do
        if [ $pair = darts ]; then printf '%s\n' "$darts_genotype" "$swapped"; else printf '%s\n' "$first" "$second"; fi > in
        expect_status 0 eval_supernet $pair in
        jq -e -s '.[0].id == .[1].id and .[0].score == .[1].score and
                  .[0].metrics.valid_loss == .[1].metrics.valid_loss' <<< "$output"
    done
}

@test "a genotype of the other space, or one that the supernet cannot have, is a wrong record" {
    expect_status 1 eval_supernet nas201 <<< "$darts_genotype"$'\n'"$nas201_genotype"
    expect_in "$stderr" "nas201" "darts"
    expect_equal "space null" "$(jq -r '.error.code' <<< "$output" | paste -sd ' ')"
    expect_status 1 eval_supernet darts <<< "${darts_genotype/skip_connect/none}"
    expect_in "$stderr" "none"
}

@test "data of another shape, or none, is told before any record is read" {
    make_pictures other 40 8 12
    expect_status 2 seki-eval -s "$made/nas201.st" -d other <<< "$nas201_genotype"
    expect_in "$stderr" "nas201.st" "16 x 16" "12 x 12"
    expect_status 2 seki-eval -s "$made/nas201.st" -d missing <<< "$nas201_genotype"
    expect_in "$stderr" "missing"
    mkdir cut
    cp "$made"/pictures/* cut
    gzip cut/train-images-idx3-ubyte
    head -c 3000 cut/train-images-idx3-ubyte.gz > short
    mv short cut/train-images-idx3-ubyte.gz
    expect_status 1 seki-eval -s "$made/nas201.st" -d cut <<< "$nas201_genotype"
    expect_in "$stderr" "train-images-idx3-ubyte.gz"
    expect_equal "" "$output"
}

@test "a supernet file that is cut or altered is refused, the tensor or the size named" {
    file=$made/nas201.st
    size=$(stat -c %s "$file")
    refused() { # FILE PART...
        expect_status 1 seki-eval -s "$1" -d "$made/pictures" <<< "$nas201_genotype" || return
        expect_equal "" "$output" || return
        expect_in "$stderr" "seki-eval: $1: " "${@:2}"
    }
    for cut in 0 7 8 100; do
        head -c $cut "$file" > cut.st
        refused cut.st "$cut"
    done
    head -c $((size - 1)) "$file" > cut.st
    refused cut.st "tensor " "the file is cut or altered"
    { cat "$file"; echo; } > long.st
    refused long.st "the last 1 bytes belong to no tensor"
    change_tensors "$file" a.st 'del header["stem.0.weight"]'
    refused a.st "bytes before it belong to no tensor"
    change_tensors "$file" a.st 'header["stem.9.weight"] = header.pop("stem.0.weight")'
    refused a.st "tensor stem.0.weight is missing"
    change_tensors "$file" a.st 'header["stem.0.weight"]["shape"].reverse()'
    refused a.st "tensor stem.0.weight has shape [3,3,1,4]"
    change_tensors "$file" a.st 'header["stem.0.weight"]["shape"][0] = 5'
    refused a.st "tensor stem.0.weight: its shape needs 180 bytes"
    change_tensors "$file" a.st 'header["stem.0.weight"]["data_offsets"] = header["stem.1.weight"]["data_offsets"]; header["stem.0.weight"]["shape"] = [4]'
    refused a.st "tensor stem."
    change_tensors "$file" a.st 'at = header["classifier.bias"]["data_offsets"][0]; data[at:at+4] = b"\0\0\xc0\x7f"'
    refused a.st "tensor classifier.bias: number 0 is not finite"
    change_tensors "$file" a.st 'header["__metadata__"]["channels"] = "6"'
    refused a.st "the settings have the checksum "
    change_tensors "$file" a.st 'at = header["stem.0.weight"]["data_offsets"][0]; data[at] ^= 1'
    refused a.st "tensor stem.0.weight has the checksum "
    # A file that has no checksums is held against what it says.
    change_tensors "$file" plain.st 'for key in "crc32", "settings_crc32": del header["__metadata__"][key]'
    change_tensors plain.st a.st 'header["__metadata__"]["channels"] = "6"'
    refused a.st "tensor stem.0.weight has shape [4,1,3,3]"
    change_tensors plain.st a.st 'header["__metadata__"]["mean"] = "0.5,"'
    refused a.st "'mean' is \"0.5,\""
    change_tensors plain.st a.st 'header["__metadata__"]["layers"] = "1e9"'
    refused a.st "'layers' is 1e+09"
    change_tensors "$file" a.st 'del header["__metadata__"]'
    refused a.st "is no supernet"
    refused "$made/network.st" "is no supernet"
    expect_status 3 seki-eval -s missing.st -d "$made/pictures" <<< "$nas201_genotype"
    expect_in "$stderr" "missing.st"
}

# ---- Trained weights --------------------------------------------------------------------------

@test "--weights finds again what seki-train found" {
    tail -1 "$made/trained" > record
    expect_status 0 seki-eval -q -B cpu -t 1 --weights "$made/network.st" -d "$made/pictures" record
    expect_equal "$(jq -c '[.metrics.test_accuracy, .metrics.test_loss]' record)" \
        "$(jq -c '[.metrics.test_accuracy, .metrics.test_loss]' <<< "$output")"
    expect_equal "40 weights" "$(jq -r '"\(.metrics.images) \(.metrics.scorer)"' <<< "$output")"
    expect_status 0 seki-eval -q -B ref -t 1 --weights "$made/network.st" -d "$made/pictures" \
        --split train -n 50 <<< "$nas201_genotype"
    [ "$(jq '.metrics.images == 50 and .metrics.train_accuracy > 50 and .metrics.test_accuracy == null' <<< "$output")" = true ]
}

@test "--weights reads its file once, however many records there are" {
    cp "$made/network.st" moved.st
    mkfifo in out
    seki-eval -q -B cpu -t 1 --weights moved.st -d "$made/pictures" < in > out 3>&- &
    pid=$!
    exec 8> in 9< out
    for _ in 1 2; do
        echo "$nas201_genotype" >&8
        read -r -t 20 line <&9
        expect_equal "$(tail -1 "$made/trained" | member metrics.test_loss)" "$(member metrics.test_loss <<< "$line")"
        rm -f moved.st
    done
    exec 8>&- 9<&-
    wait "$pid"
}

@test "--weights of another genotype name the tensor that does not fit" {
    expect_status 1 seki-eval --weights "$made/network.st" -d "$made/pictures" \
        <<< '|nor_conv_1x1~0|+|none~0|none~1|+|none~0|none~1|none~2|'
    expect_in "$stderr" "network.st: tensor cells.0.layers.0.op.1.weight has shape [4,4,3,3]"
    expect_equal checkpoint "$(member error.code <<< "$output")"
}

# A folder of CIFAR-10's binary files with $2 pictures each; the class shows in the colour.
make_cifar() {
    mkdir -p "$1"
    python3 - "$1" "$2" << 'END'
import sys
for name in ["test_batch"] + ["data_batch_%d" % i for i in range(1, 6)]:
    with open(f"{sys.argv[1]}/{name}.bin", "wb") as file:
        for i in range(int(sys.argv[2])):
            file.write(bytes([i % 10]) + bytes((25 * (i % 10) + j * i) % 256 for j in range(3072)))
END
}

@test "--weights reads a file as PyTorch saves it: no metadata, an auxiliary head, counts of batches" {
    make_cifar cifar 10
    seki-train -q -d cifar -o whole.st -C 4 -L 3 -e 1 -b 10 -B cpu -t 1 <<< "$darts_genotype" > trained
    tensors whole.st > names
    grep -q '^auxiliary_head.features.2.weight F32 128,64,1,1$' names
    mean=$(sed -n 's/^mean = //p' names) std=$(sed -n 's/^std = //p' names)
    change_tensors whole.st plain.st 'del header["__metadata__"]'
    tail -1 trained > record
    expect_status 0 seki-eval -q -B cpu -t 1 --weights plain.st -d cifar -C 4 -L 3 --mean "$mean" --std "$std" record
    expect_equal "$(member metrics.test_loss < record)" "$(member metrics.test_loss <<< "$output")"
    # Its own constants matter: with CIFAR-10's the loss is another.
    expect_status 0 seki-eval -q -B cpu -t 1 --weights plain.st -d cifar -C 4 -L 3 record
    [ "$(member metrics.test_loss < record)" != "$(member metrics.test_loss <<< "$output")" ]
}

@test "CIFAR files a byte short, a byte long or missing are named with the bytes expected and found" {
    make_cifar cifar 3
    expect_status 0 seki-eval --cost -d cifar <<< "$nas201_genotype"
    truncate -s -1 cifar/data_batch_4.bin
    expect_status 1 seki-eval --cost -d cifar <<< "$nas201_genotype"
    expect_in "$stderr" "data_batch_4.bin" "3073" "9218"
    truncate -s +2 cifar/data_batch_4.bin
    expect_status 1 seki-eval --cost -d cifar <<< "$nas201_genotype"
    expect_in "$stderr" "data_batch_4.bin" "9220"
    rm cifar/data_batch_4.bin
    expect_status 1 seki-eval --cost -d cifar <<< "$nas201_genotype"
    expect_in "$stderr" "data_batch_4.bin"
}
