# What the .bats files that search on a table share: `load table`.

# make_table FILE: all of nas201 with a made-up `score`: convolutions add, with more where an edge is late; a
# few decimals make ties rare. What is best by `score` is worst by `test`.
make_table() {
    python3 -S - "$1" << 'PYTHON'
import itertools
import sys
worth = {"none": -3.1, "skip_connect": 1.3, "nor_conv_1x1": 2.9, "nor_conv_3x3": 4.7, "avg_pool_3x3": -1.1}
with open(sys.argv[1], "w") as table:
    table.write("arch\tscore\ttest\n")
    for ops in itertools.product(worth, repeat=6):
        score = 60 + sum(worth[op] * (1 + 0.17 * i) for i, op in enumerate(ops))
        table.write("|%s~0|+|%s~0|%s~1|+|%s~0|%s~1|%s~2|\t%.3f\t%.3f\n" % (*ops, score, 100 - score / 2))
PYTHON
}
