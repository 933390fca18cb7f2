#!/usr/bin/env bats
# seki-draw: DOT and SVG of cells.

load helpers

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    set -o pipefail
}

nas201='|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|'

published() { # NAME: its genotype
    awk -F '\t' -v name="$1" '$1 == name { print $4 }' "$top/tests/data/genotypes.tsv"
}

@test "a darts genotype is drawn as two cells, with each operation and each concatenation" {
    published DARTS_V2 > in
    expect_status 0 seki-draw in
    expect_equal "" "$stderr"
    expect_in "$output" 'digraph "acb0ed13736fa7b4" {' 'label="normal cell"' 'label="reduction cell"' \
        'n0 [label=<<I>c</I><SUB>k-2</SUB>>' 'n2 -> n5 [label=" dil_conv_3x3 "' \
        'r1 -> r5 [label=" max_pool_3x3 "' 'r5 -> rk'
    expect_equal 24 "$(grep -c -e '->' <<< "$output")" # 2 * (8 edges + 4 concatenated)
    dot -Tplain <<< "$output" > /dev/null
}

@test "--cell draws one cell" {
    published DARTS_V2 > in
    expect_status 0 seki-draw --cell normal in
    expect_in "$output" 'normal cell'
    [[ $output != *reduction* ]]
    expect_status 0 seki-draw --cell reduce in
    expect_in "$output" 'reduction cell'
    [[ $output != *"normal cell"* ]]
}

@test "nas201 has one cell, which is no reduction cell" {
    echo "$nas201" > in
    expect_status 0 seki-draw in
    expect_equal 6 "$(grep -c -e '->' <<< "$output")"
    all=$output
    expect_status 0 seki-draw --cell normal in
    expect_equal "$all" "$output"
    expect_status 1 seki-draw --cell reduce in
    expect_in "$stderr" "seki-draw: in:1: cell: a nas201 genotype has one cell"
}

@test "what PyTorch's model reads is drawn too: NASNet, AmoebaNet" {
    { published NASNet; published AmoebaNet; } > in
    expect_status 0 seki-draw in
    expect_equal 2 "$(grep -c '^digraph' <<< "$output")"
    expect_in "$output" conv_7x1_1x7 sep_conv_7x7
    dot -Tplain <<< "$output" > /dev/null
}

@test "an SVG is one element that refers to nothing outside" {
    echo "{\"genotype\": \"$nas201\", \"score\": 1}" > in
    expect_status 0 seki-draw --format svg in
    expect_equal '<svg' "${output:0:4}"
    expect_equal '</svg>' "${output: -6}"
    expect_in "$output" nor_conv_1x1 skip_connect
    [[ $output != *DOCTYPE* && $output != *'<script'* && $output != *href=* ]]
}

@test "an SVG takes exactly one record" {
    { echo "$nas201"; echo "$nas201"; } > two
    expect_status 1 seki-draw --format svg two
    expect_in "$stderr" "two:2: svg: an SVG holds one drawing; give one record, or use --format dot"
    expect_equal 1 "$(grep -c '<svg' <<< "$output")"
    expect_status 1 seki-draw --format svg /dev/null
    expect_equal "" "$output"
    expect_in "$stderr" "no record"
    expect_status 0 seki-draw /dev/null
    expect_equal "" "$output"
}

@test "a bad record is named and the next one drawn" {
    { echo '{"genotype": "<b>"}'; echo 'junk'; echo '{}'; echo "$nas201"; } > in
    expect_status 1 seki-draw in
    expect_in "$stderr" "in:1: genotype: column 1" "in:2: column 1" "in:3: genotype: the record has no member"
    expect_equal 1 "$(grep -c '^digraph' <<< "$output")"
    [[ $output != *'<b>'* ]]
}

@test "without graphviz an SVG ends with status 3 and says what to install" {
    mkdir bin
    ln -s "$(command -v seki-draw)" bin/
    echo "$nas201" > in
    expect_status 3 env PATH="$PWD/bin" seki-draw --format svg in
    expect_equal "" "$output"
    expect_in "$stderr" "seki-draw: dot is not found; install graphviz, or use --format dot"
    expect_status 0 env PATH="$PWD/bin" seki-draw in
}

@test "a dot that fails is a failed resource" {
    mkdir bin
    printf '#!/bin/sh\nexit 5\n' > bin/dot
    chmod +x bin/dot
    echo "$nas201" > in
    expect_status 3 env PATH="$PWD/bin:$PATH" seki-draw --format svg in
    expect_in "$stderr" "dot ended with status 5"
    printf '#!/bin/sh\necho hello\n' > bin/dot
    expect_status 3 env PATH="$PWD/bin:$PATH" seki-draw --format svg in
    expect_in "$stderr" "no SVG"
}

@test "an unknown format is wrong use" {
    expect_status 2 seki-draw --format png
    expect_in "$stderr" "png"
}

@test "the examples of the man page run" {
    { echo "{\"genotype\": \"$nas201\", \"score\": 1}"; published DARTS_V2; } > top.jsonl
    mandoc -T ascii "$top/man/seki-draw.1" | sed 's/.\x08//g' |
        sed -n '/^EXAMPLES/,/^SEE/{/^ *\$ /,/^$/{s/^ *\$ //;p}}' > examples
    expect_status 0 bash -e -o pipefail examples
    for file in best.svg noname.gv.png noname.gv.2.png cell.svg; do
        [ -s "$file" ]
    done
}
