#!/usr/bin/env bats
# seki-rank: the repository file, its lock, the statistics.

load helpers

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    set -o pipefail
}

# candidate SCORE OP [MEMBERS]: a nas201 record whose function depends on OP alone.
candidate() {
    printf '{"genotype": "|none~0|+|none~0|none~1|+|%s~0|none~1|none~2|", "score": %s%s}\n' "$2" "$1" "${3-}"
}

scores() { # of the records on standard input, in a line
    sed 's/.*"score": \([^,}]*\).*/\1/' | paste -sd ' '
}

files() { # in this folder, but for bats's own, in a line
    find . -type f ! -name 'separate-stderr*' -printf '%P\n' | sort | paste -sd ' '
}

@test "the best come first, one for each id, and the file holds what is printed" {
    { candidate 50 nor_conv_1x1; candidate 70.5 skip_connect; candidate 60 nor_conv_3x3; } > a
    { candidate 65 nor_conv_1x1; candidate 70 skip_connect; candidate 90 avg_pool_3x3; } > b
    expect_status 0 seki-rank --repository top a
    expect_equal "70.5 60 50" "$(scores < top)"
    expect_status 0 seki-rank --repository top b
    expect_equal "90 70.5 65 60" "$(scores < top)"
    expect_equal "$(cat top)" "$output"
    expect_equal "" "$stderr"
    [ ! -e top.lock ]
}

@test "genotypes that compute the same function are one candidate" {
    {
        candidate 5 skip_connect
        echo '{"genotype": "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|", "score": 6}'
    } > in
    expect_status 0 seki-rank --repository top in
    expect_equal "6" "$(scores < top)"
}

@test "-k bounds the file, and a later smaller k cuts it" {
    { candidate 1 nor_conv_1x1; candidate 2 skip_connect; candidate 3 nor_conv_3x3; } > in
    expect_status 0 seki-rank -r top -k 2 in
    expect_equal "3 2" "$(scores < top)"
    expect_status 0 seki-rank -r top -k 1 /dev/null
    expect_equal "3" "$(scores < top)"
}

@test "unknown members and the spelling of numbers are kept to the byte" {
    record='{"note":"caf\u00e9", "big":123456789012345678901234567890,"score":  9.50e1,"genotype":"|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|","space":"nas201","id":"ff1761e20da184e6","x":{"y":1.0}}'
    printf '%s\n' "$record" > in
    expect_status 0 seki-rank --repository top in
    expect_equal "$record" "$output"
    expect_equal "$record" "$(cat top)"
}

@test "of equal scores the one that was there first stays ahead" {
    { candidate 1 nor_conv_1x1 ', "n": 1'; candidate 1 skip_connect ', "n": 2'; } > in
    candidate 1 nor_conv_3x3 ', "n": 3' > later
    expect_status 0 seki-rank -r top -k 2 in
    expect_status 0 seki-rank -r top -k 2 later
    expect_equal "1 2" "$(sed 's/.*"n": \([0-9]\).*/\1/' top | paste -sd ' ')"
}

@test "records that cannot be ranked are named, and the others are merged all the same" {
    {
        candidate 1 nor_conv_1x1
        echo 'not JSON'
        echo '{"genotype": "|none~0|", "score": 1}'
        echo '{"genotype": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"}'
        echo '{"score": NaN}'
        echo '{"error": {"code": "endpoint", "message": "it is down"}}'
        candidate 2 skip_connect
    } > in
    expect_status 1 seki-rank --repository top in
    expect_equal "2 1" "$(scores < top)"
    expect_in "$stderr" "seki-rank: in:2: column 1: expected a JSON object" \
        "in:3: genotype: column 9: expected '+'" "in:4: repository: the record has no score" \
        "in:5: column" "JSON has no NaN" "in:6: has an error, and so no score: it is down"
}

@test "of many bad lines ten are shown and the others counted" {
    { yes nonsense || true; } | head -500 > in
    expect_status 1 seki-rank in
    expect_equal 11 "$(printf '%s\n' "$stderr" | wc -l)"
    expect_in "$stderr" "in:10: " "and 490 more such records"
}

@test "without a repository the input alone is ranked" {
    { candidate 1 nor_conv_1x1; candidate 2 skip_connect; } > in
    expect_status 0 seki-rank -k 1 - < in
    expect_equal 2 "$(printf '%s\n' "$output" | scores)"
    expect_equal "in" "$(files)"
}

@test "a file that cannot be read is named, and the others are merged" {
    candidate 1 nor_conv_1x1 > in
    expect_status 3 seki-rank --repository top missing in
    expect_in "$stderr" "missing"
    expect_equal 1 "$(scores < top)"
}

@test "a repository with a bad line is left as it is" {
    { candidate 1 nor_conv_1x1; echo '{"score": 1'; } > top
    cp top before
    candidate 2 skip_connect > in
    expect_status 1 seki-rank --repository top in
    expect_in "$stderr" "seki-rank: top:2: column" "mend or remove that line"
    cmp top before
    [ ! -e top.lock ]
}

@test "a repository that cannot be written is a failed resource, and the old file stays" {
    candidate 1 nor_conv_1x1 > in
    expect_status 3 seki-rank --repository no/such/folder/top in
    expect_in "$stderr" "no/such/folder/top"
    mkdir folder
    expect_status 3 seki-rank --repository folder in
    expect_in "$stderr" "folder: is not a regular file"
}

@test "a disk that is full leaves the old repository" {
    seki-rank --repository top > /dev/null <<< "$(candidate 1 nor_conv_1x1)"
    cp top before
    for op in nor_conv_1x1 nor_conv_3x3 skip_connect avg_pool_3x3; do
        candidate 2 "$op" ", \"filler\": \"$(head -c 2000 /dev/zero | tr '\0' x)\""
    done > in
    # The limit on a file's size, 1024 bytes a unit, stands for the disk; SIGXFSZ is ignored.
    expect_status 3 bash -c "trap '' XFSZ; ulimit -f 2; seki-rank --repository top in"
    expect_in "$stderr" "seki-rank: " "top"
    cmp top before
    expect_equal "before in top" "$(files)"
}

@test "a lock that another program holds is waited for, and its holder named" {
    candidate 1 nor_conv_1x1 > in
    command -v flock > /dev/null || skip "needs flock"
    exec 8> top.lock
    flock -x 8
    expect_status 3 seki-rank --repository top --lock-timeout 0.2 in
    expect_in "$stderr" "top"
    [ ! -e top ]
    exec 8>&-
    expect_status 0 seki-rank --repository top in
}

@test "the lock is not held while the input is read" {
    mkfifo pipe
    seki-rank --repository top pipe > /dev/null &
    exec 9> pipe
    candidate 1 nor_conv_1x1 >&9
    candidate 2 skip_connect > in
    expect_status 0 seki-rank --repository top --lock-timeout 5 in
    exec 9>&-
    wait
    expect_equal "2 1" "$(scores < top)"
}

@test "many programs on one repository lose no candidate" {
    # nor_conv_3x3 only once, as input 0 of node 3 would then be what input 1 can be too.
    ops=(none skip_connect nor_conv_1x1 avg_pool_3x3 nor_conv_3x3)
    for i in {0..19}; do
        printf '{"genotype": "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|%s~0|%s~1|none~2|", "score": %d}\n' \
            "${ops[i / 5]}" "${ops[i % 5]}" "$i" > "in$i"
    done
    for i in {0..19}; do
        seki-rank -k 30 --repository top "in$i" > /dev/null &
    done
    wait
    expect_equal "$(seq 19 -1 0 | paste -sd ' ')" "$(scores < top)"
    [ ! -e top.lock ]
}

@test "a million records stay under 64 MiB" {
    [ -z "${SANITIZE:-}" ] || skip "a sanitizer needs memory of its own"
    record=$(candidate 1 nor_conv_1x1 ', "metrics": {"params": 3349342}')
    { yes "$record" || true; } | head -1000000 > in
    # KiB of address space: programs of more fail to allocate.
    expect_status 0 bash -c 'ulimit -v 65536; seki-rank --repository top < in'
    expect_equal 1 "$(wc -l < top)"
    [ ! -e top.lock ]
}

@test "a reader that goes away ends it quietly" {
    { candidate 1 nor_conv_1x1; candidate 2 skip_connect; } > in
    # shellcheck disable=SC2016 # the inner shell expands it
    expect_status 0 bash -c 'seki-rank in | head -1 > /dev/null; exit "${PIPESTATUS[0]}"'
    expect_equal "" "$stderr"
}

@test "the statistics count what there is" {
    {
        candidate 10 nor_conv_1x1 ', "metrics": {"test_accuracy": 1}'
        candidate 20 nor_conv_3x3 ', "metrics": {"test_accuracy": 3}'
        candidate 60 skip_connect ', "metrics": {"test_accuracy": 2}'
        candidate 30 skip_connect
        echo '{"genotype": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"}'
        echo '{"error": {"code": "endpoint", "message": "down"}}'
        echo '{"error": {"code": "empty", "message": "no genotype in it"}}'
        echo 'nonsense'
    } > in
    expect_status 1 seki-rank --stats in
    expect_in "$output" '"records": 8, "scored": 4, "unscored": 1, "failed": 3, "invalid": 2, "distinct": 4' \
        '"invalid_share": 0.25, "duplicate_share": 0.2' '"top": {"k": 20, "count": 3}' \
        '"score": {"min": 10, "median": 25, "mean": 30, "max": 60, "deviation": 18.7082869338697' \
        '"syntax_errors": {"present": true, "share": 0.25, "threshold": 0.1}' \
        '"mode_collapse": {"present": false, "share": 0.2, "threshold": 0.5}' \
        '"correlation": {"pairs": 3, "kendall_tau": 0.333333333333333' '"spearman_rho": 0.5' \
        '"pearson_r": 0.188982236504'
    expect_in "$output" '"skip_connect": {"share": 0.0666666666666666' '"mean": 0.4, "top_share": 0.0555555555555555'
}

@test "a search that collapses is told" {
    { yes "$(candidate 1 nor_conv_1x1)" || true; } | head -9 > same
    expect_status 0 seki-rank --stats same
    expect_in "$output" '"mode_collapse": {"present": true'
    { candidate 1 nor_conv_1x1; yes '{"error": {"code": "duplicate", "message": "known"}}' | head -2 || true; } > given_up
    expect_status 1 seki-rank --stats given_up
    expect_in "$output" '"mode_collapse": {"present": true, "share": 0.6666666666666666' \
        '"syntax_errors": {"present": false, "share": 0,'
    echo '{"genotype": "|skip_connect~0|+|skip_connect~0|none~1|+|skip_connect~0|skip_connect~1|none~2|", "score": 1}' > skips
    expect_status 0 seki-rank --stats skips
    expect_in "$output" '"performance_collapse": {"present": true, "share": 0.6666666666666666' \
        '"mode_collapse": {"present": false'
}

@test "the statistics of nothing are null, not an error" {
    expect_status 0 seki-rank --stats /dev/null
    expect_in "$output" '"records": 0' '"invalid_share": null' '"score": null' '"kendall_tau": null' \
        '"syntax_errors": {"present": false, "share": null'
}

@test "the statistics merge too, and look at the repository's top" {
    candidate 1 nor_conv_1x1 > a
    candidate 2 skip_connect > b
    expect_status 0 seki-rank --repository top a
    expect_status 0 seki-rank --repository top --stats b
    expect_in "$output" '"records": 1,' '"count": 2'
    expect_equal "2 1" "$(scores < top)"
}

# effects EDGE OPERATION: difference, error and pairs of that row of the table on standard input.
effects() {
    awk -v edge="$1" -v op="$2" '$1 == edge && $2 == op { print $3, $4, $5 }'
}

@test "the effects of edges come from pairs that differ in one edge, the best first" {
    {
        candidate 90 nor_conv_1x1
        candidate 93.5 nor_conv_3x3
        candidate 92.5 nor_conv_3x3
        candidate 80 avg_pool_3x3
        echo '{"genotype": "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|", "score": 1}'
    } > in
    expect_status 0 seki-rank --effects in
    expect_equal "" "$stderr"
    expect_equal "$(cat <<'EOF'
edge         operation     difference  error  pairs
from_0_to_3  nor_conv_3x3       +8.00   5.00      2
from_0_to_3  nor_conv_1x1       +3.50   6.50      2
from_0_to_3  avg_pool_3x3      -11.50   1.50      2
noise: standard deviation 0.7071 of a score, from 1 repeated score
EOF
    )" "$output"
}

@test "the effects in darts are by cell and node, whatever the order of its inputs" {
    reduce="reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
    normal() { # SCORE PAIRS OF NODE 4
        printf '{"genotype": "%s", "score": %s}\n' "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), $2, ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], $reduce" "$1"
    }
    {
        normal 0.97 "('skip_connect', 0), ('sep_conv_3x3', 1)"
        normal 0.9601 "('dil_conv_3x3', 3), ('skip_connect', 0)"
    } > in
    expect_status 0 seki-rank --effects in
    expect_equal "$(cat <<'EOF'
edge                      operation     difference  error  pairs
normal node 4 <- state 1  sep_conv_3x3   +0.009900      -      1
normal node 4 <- state 3  dil_conv_3x3   -0.009900      -      1
EOF
    )" "$output"
}

@test "where there are no matched pairs it says so" {
    expect_status 0 seki-rank --effects /dev/null
    expect_equal "no matched pairs: no two scored candidates differ in one edge alone" "$output"
    candidate 1 nor_conv_1x1 > in
    expect_status 0 seki-rank --effects in
    expect_equal "no matched pairs: no two scored candidates differ in one edge alone" "$output"
    expect_status 0 seki-rank --effects in in
    expect_in "$output" "no matched pairs" "noise: standard deviation 0 of a score, from 1 repeated score"
}

@test "what cannot be compared is named, and merged where it can be ranked" {
    {
        candidate 1 nor_conv_1x1
        echo '{"genotype": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"}'
        candidate 3 skip_connect
        echo "{\"genotype\": \"Genotype(normal=[('none', 0), ('none', 0)], normal_concat=[2], reduce=[('none', 0), ('none', 0)], reduce_concat=[2])\", \"score\": 2}"
        seki-propose --policy random --space darts -n 1 --seed 1 | sed 's/^{/{"score": 4, /'
        candidate 1e200 avg_pool_3x3
    } > in
    expect_status 1 seki-rank --effects --repository top in
    expect_equal 4 "$(printf '%s\n' "$stderr" | wc -l)"
    expect_in "$stderr" "seki-rank: in:2: repository: the record has no score" "in:4: genotype: normal cell: " \
        "in:5: space: the genotype is of darts, those before it of nas201" "in:6: score: a score of 1e+200"
    expect_equal "+2.000 - 1" "$(printf '%s\n' "$output" | effects from_0_to_3 skip_connect)"
    expect_equal "1e200 4 3 2 1" "$(scores < top)"
}

@test "--effects and --stats together are wrong use" {
    expect_status 2 seki-rank --effects --stats --repository top /dev/null
    expect_equal "" "$output"
    expect_in "$stderr" "seki-rank: --stats and --effects are two outputs: choose one" "try 'seki-rank --help'"
    [ ! -e top ]
}

@test "over a whole benchmark the effect of an edge is its mean less that of the others" {
    need_shared data/nasbench201.tsv.gz
    # Every combination is there, so each of 3,125 cells with an edge makes pairs with 4 others.
    gzip -dc "$top/../shared/data/nasbench201.tsv.gz" | tail -n +2 > table
    awk -F '\t' '{ printf "{\"genotype\": \"%s\", \"score\": %s}\n", $1, $2 }' table > in
    expect_status 0 seki-rank --effects in
    expect_equal 32 "${#lines[@]}"
    while read -r edge op difference _ pairs; do
        if [ "$edge" != edge ] && [ "$edge" != noise: ]; then
            # from_I_to_J is field I + 1 of part J, parts and fields being between bars.
            found=$(awk -F '\t' -v edge="$edge" -v op="$op" '
                BEGIN { split(edge, e, "_") }
                { split($1, parts, "+"); split(parts[e[4]], fields, "|"); sub(/~.*/, "", fields[e[2] + 2])
                  with = fields[e[2] + 2] == op; sum[with] += $2; count[with]++ }
                END { printf "%+.3f", sum[1] / count[1] - sum[0] / count[0] }' table)
            expect_equal "$edge $op $found 12500" "$edge $op $difference $pairs"
        fi
    done <<< "$output"
    # 15,625 scores of 4,930 ids.
    expect_in "$output" " from 10695 repeated scores"
}

@test "300 candidates drawn at random tell a convolution from a pooling and from nothing" {
    need_shared data/nasbench201.tsv.gz
    seki-propose --policy random --space nas201 -n 300 --seed 1 |
        seki-eval --table "$top/../shared/data/nasbench201.tsv.gz" --column cifar10_valid |
        seki-rank --effects > table
    expect_equal "nor_conv_3x3" "$(awk '$1 == "from_0_to_3" && $2 ~ /^(nor_conv_3x3|avg_pool_3x3|none)$/ { print $2; exit }' table)"
}

@test "the examples of the man page run" {
    { candidate 1 nor_conv_1x1; candidate 2 skip_connect; } > scored.jsonl
    mandoc -T ascii "$top/man/seki-rank.1" | sed 's/.\x08//g' | sed -n 's/^ *\$ //p' > examples
    expect_equal 4 "$(wc -l < examples)"
    while IFS= read -r example; do
        expect_status 0 bash -c "set -o pipefail; $example"
        [ -n "$output" ]
    done < examples
}
