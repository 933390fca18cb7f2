/*
 * Tests of lib/genotype: notations, validation, sampling, mutation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "genotype/genotype.h"
#include "genotype_fixture.h"

/* ---- Notations ---------------------------------------------------------------------------- */

static void what_is_printed_is_canonical_and_reads_back(void **state)
{
    static const char varied[] =
        "\tGenotype(reduce=((\"max_pool_3x3\", 0), [\"max_pool_3x3\",1], ('skip_connect' , 2),\n"
        "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2,), ('skip_connect', 2), "
        "('max_pool_3x3', 1),), reduce_concat=range(2, 6), "
        "normal_concat=(2,3,4,5), " DARTS_V2_NORMAL ",)\r\n";
    char text[SEKI_GENOTYPE_TEXT];
    struct seki_genotype genotype = parse(DARTS_V2, SEKI_STRICT);

    (void)state;
    seki_genotype_print(&genotype, text);
    assert_string_equal(text, DARTS_V2);
    genotype = parse(varied, SEKI_STRICT);
    seki_genotype_print(&genotype, text);
    assert_string_equal(text, DARTS_V2);
    genotype =
        parse(" | nor_conv_1x1 ~ 0 | + |none~1|skip_connect~0|+|avg_pool_3x3~2|none~0|none~1|",
              SEKI_STRICT);
    seki_genotype_print(&genotype, text);
    assert_string_equal(text,
                        "|nor_conv_1x1~0|+|skip_connect~0|none~1|+|none~0|none~1|avg_pool_3x3~2|");
}

/* The longest text there is. */
static void the_largest_genotype_prints(void **state)
{
    char pairs[1024] = "", concat[128] = "", text[2 * SEKI_GENOTYPE_TEXT],
         printed[SEKI_GENOTYPE_TEXT];
    struct seki_genotype genotype;

    (void)state;
    for (int i = 0; i < 32; i++)
        snprintf(pairs + strlen(pairs), sizeof pairs - strlen(pairs), "%s('conv_7x1_1x7', %d)",
                 i == 0 ? "" : ", ", 1 + i / 2);
    for (int i = 17; i >= 2; i--)
        snprintf(concat + strlen(concat), sizeof concat - strlen(concat), "%s%d",
                 i == 17 ? "" : ", ", i);
    snprintf(text, sizeof text,
             "Genotype(normal=[%s], normal_concat=[%s], reduce=[%s], reduce_concat=[%s])", pairs,
             concat, pairs, concat);
    genotype = parse(text, SEKI_LAX);
    seki_genotype_print(&genotype, printed);
    assert_string_equal(printed, text);
}

static void what_is_wrong_is_named(void **state)
{
#define NODES "('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
#define WITH(pairs, concat)                                                                        \
    "Genotype(normal=[" pairs "], normal_concat=" concat ", " DARTS_V2_REDUCE                      \
    ", reduce_concat=[2, 3, 4, 5])"
#define LAST "('sep_conv_3x3', 0), ('sep_conv_3x3', 1)"
    static const struct {
        const char *text, *strict, *lax; /* what the message holds; NULL: it is read */
    } cases[] = {
        {WITH(NODES "('sep_conv_3x3', 7), ('sep_conv_3x3', 1), " LAST, "[2, 3, 4, 5]"),
         "normal cell: node 4 takes input 7, but only 0..3 exist",
         "normal cell: node 4 takes input 7, but only 0..3 exist"},
        {WITH(NODES "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), " LAST, "[2, 3, 4, 5]"),
         "normal cell: node 4 takes input 1 twice; expected two distinct inputs", NULL},
        {WITH(NODES "('none', 0), ('sep_conv_3x3', 1), " LAST, "[2, 3, 4, 5]"),
         "normal cell: node 4 has operation none; a darts genotype has one of max_pool_3x3, ",
         NULL},
        {WITH(NODES "('sep_conv_7x7', 0), ('conv_7x1_1x7', 1), " LAST, "[2, 3, 4, 5]"),
         "normal cell: node 4 has operation sep_conv_7x7; a darts", NULL},
        {WITH(NODES "('nor_conv_3x3', 0), ('sep_conv_3x3', 1), " LAST, "[2, 3, 4, 5]"),
         "node 4 has operation nor_conv_3x3", "node 4 has operation nor_conv_3x3"},
        {WITH(NODES LAST ", " LAST, "[2, 3, 4]"), "expected all nodes concatenated in order", NULL},
        {WITH(NODES LAST ", " LAST, "[2, 3, 5, 4]"), "expected all nodes concatenated in order",
         NULL},
        {WITH(NODES LAST ", " LAST, "[2, 3, 3]"), "expected all nodes",
         "node 3 is concatenated twice"},
        {WITH(NODES LAST ", " LAST, "[2, 6]"), "expected all nodes",
         "node 6 is concatenated, but only 2..5 exist"},
        {WITH(NODES LAST ", " LAST, "[]"), "expected all nodes", "0 nodes are concatenated"},
        {WITH(NODES LAST ", " LAST, "range(0, 6)"), "expected all nodes",
         "6 nodes are concatenated"},
        {WITH(NODES LAST, "[2, 3, 4]"), "has 3 nodes; expected 4, which are 8 pairs", NULL},
        {WITH(NODES LAST ", ('sep_conv_3x3', 0)", "[2, 3, 4]"), "7 pairs are read, but each node",
         "7 pairs are read"},
        {WITH("", "[2]"), "has 0 nodes", "has 0 nodes; expected 1 to 16"},
        {WITH(NODES NODES NODES NODES NODES NODES NODES NODES LAST, "[2]"), "more than 32 pairs",
         "more than 32 pairs"},
        {WITH(NODES LAST ", " LAST, "range(2, 999)"), "more than 16 nodes are",
         "more than 16 nodes"},
        {WITH(NODES "('conv_9x9', 0), ('sep_conv_3x3', 1), " LAST, "[2, 3, 4, 5]"),
         "column 104: expected the name of an operation, found 'conv_9x9', 0), ('", "column 104"},
        {WITH("('sep_conv_3x3\", 0)", "[2]"), "the closing quote", "the closing quote"},
        {WITH("('sep_conv_3x3', 00)", "[2]"), "the number of an input", "the number of an input"},
        {WITH("('sep_conv_3x3', -1)", "[2]"), "the number of an input", "the number of an input"},
        {WITH("('sep_conv_3x3', 99999999999)", "[2]"), "the number of an input",
         "number of an input"},
        {WITH("('sep_conv_3x3', 0", "[2]"), "expected ')'", "expected ')'"},
        {"Genotype(normal=[" LAST "], normal=[" LAST "])", "each field once", "each field once"},
        {"Genotype(normal=[" LAST "], normal_concat=[2])", "the fields normal",
         "the fields normal"},
        {"Genotype(abnormal=[])", "column 10: expected normal=", "column 10"},
        {"Genotype", "column 9: expected '(', found the end", "found the end"},
        {DARTS_V2 " x", "expected nothing after the genotype, found 'x'", "nothing after"},
        {"", "column 1: expected Genotype(normal=…) of darts or", "found the end"},
        {"|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~3|+|none~0|none~1|none~2|",
         "node 2 takes input 3, but only 0..1 exist", "node 2 takes input 3"},
        {"|nor_conv_3x3~0|+|nor_conv_3x3~1|nor_conv_3x3~1|+|none~0|none~1|none~2|",
         "node 2 takes input 1 twice; expected each of 0..1 once", "node 2 takes input 1 twice"},
        {"|sep_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|",
         "node 1 has operation sep_conv_3x3; a nas201 genotype has one of none, skip_connect, ",
         "node 1 has operation sep_conv_3x3"},
        {"|none~0|+|none~0|none~1|", "column 25: expected '+', found the end", "expected '+'"},
        {"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|+|none~0|", "nothing after",
         "nothing after"},
    };
    struct seki_genotype genotype;
    struct seki_error error;

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        for (int lax = 0; lax < 2; lax++) {
            const char *expected = lax ? cases[i].lax : cases[i].strict;
            int got =
                seki_genotype_parse(cases[i].text, lax ? SEKI_LAX : SEKI_STRICT, &genotype, &error);

            if (expected == NULL && got < 0)
                fail_msg("%s\nis not read: %s", cases[i].text, error.message);
            if (expected == NULL)
                continue;
            if (got == 0 || strstr(error.message, expected) == NULL)
                fail_msg("%s\nexpected: %s\nfound: %s", cases[i].text, expected,
                         got == 0 ? "it is read" : error.message);
            assert_int_equal(error.kind, SEKI_BAD_INPUT);
            assert_string_equal(error.code, "genotype");
        }
    }
}

static void a_genotype_put_together_wrongly_is_refused(void **state)
{
    struct seki_genotype good = parse(DARTS_V2, SEKI_STRICT), bad;

    (void)state;
    assert_int_equal(seki_genotype_validate(&good, SEKI_STRICT, NULL), 0);
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        bad = good;                                                                                \
        change;                                                                                    \
        assert_int_equal(seki_genotype_validate(&bad, SEKI_LAX, NULL), -1);                        \
    } while (0)
    REFUSED(bad.cell_count = 1);
    REFUSED(bad.space = SEKI_NAS201);
    REFUSED(bad.cells[0].inputs = 1);
    REFUSED(bad.cells[0].nodes = 17);
    REFUSED(bad.cells[0].nodes = -1);
    REFUSED(bad.cells[1].edge_count = 1000000);
    REFUSED(bad.cells[1].concat_count = 1000000);
    REFUSED(bad.cells[1].concat_count = -1);
    REFUSED(bad.cells[1].concat[0] = -5);
    REFUSED(bad.cells[1].edges[3].input = -1);
    REFUSED(bad.cells[1].edges[3].node = 2);
    REFUSED(bad.cells[1].edges[3].op = SEKI_OP_COUNT);
    REFUSED(bad.cells[1].edges[3].op = (enum seki_op) - 1);
    good = nas201_at(77);
    assert_int_equal(seki_genotype_validate(&good, SEKI_STRICT, NULL), 0);
    REFUSED(bad.cells[0].edges[2].input = 0);
    REFUSED(bad.cells[0].edge_count = 5);
    REFUSED(bad.cells[0].concat[0] = 2);
    REFUSED(bad.cell_count = 2);
}

/* tests/data/genotypes.tsv: each is read, prints as it stands there, and is strict unless marked.
 */
static void published_genotypes_round_trip(void **state)
{
    const char *folder = getenv("SEKI_TESTS") != NULL ? getenv("SEKI_TESTS") : "tests";
    char path[4096], line[8192], text[SEKI_GENOTYPE_TEXT];
    int rows = 0;
    FILE *file;

    (void)state;
    snprintf(path, sizeof path, "%s/data/genotypes.tsv", folder);
    file = fopen(path, "r");
    if (file == NULL)
        fail_msg("%s cannot be read; run from the top folder or set SEKI_TESTS", path);
    assert_non_null(fgets(line, sizeof line, file)); /* the header */
    while (fgets(line, sizeof line, file) != NULL) {
        char *name, *strictness, *genotype;
        struct seki_genotype read;

        name = strtok(line, "\t");
        strtok(NULL, "\t"); /* source */
        strictness = strtok(NULL, "\t");
        genotype = strtok(NULL, "\t");
        assert_non_null(genotype);
        read = parse(genotype, SEKI_LAX);
        seki_genotype_print(&read, text);
        assert_string_equal(text, genotype);
        if ((seki_genotype_validate(&read, SEKI_STRICT, NULL) == 0) !=
            (strcmp(strictness, "strict") == 0))
            fail_msg("%s is not %s", name, strictness);
        rows++;
    }
    fclose(file);
    assert_true(rows >= 9);
}

/* ---- Sampling, mutation ------------------------------------------------------------------- */

/* chi-squared of counts against equal expectation */
static double chi_squared(const long *counts, int bins, long total)
{
    double expected = (double)total / bins, sum = 0;

    for (int i = 0; i < bins; i++)
        sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    return sum;
}

static void samples_are_strict_and_uniform(void **state)
{
    enum { SAMPLES = 40000 };
    long pair[10] = {0}, op[7] = {0}, nas[NAS201_SIZE / 625] = {0};
    struct seki_random random;
    struct seki_genotype genotype;

    (void)state;
    seki_random_seed(&random, 7, 0);
    for (int i = 0; i < SAMPLES; i++) {
        const struct seki_edge *edges;

        seki_genotype_sample(SEKI_DARTS, &random, &genotype);
        assert_int_equal(seki_genotype_validate(&genotype, SEKI_STRICT, NULL), 0);
        edges = genotype.cells[1].edges;
        pair[edges[7].input * (edges[7].input - 1) / 2 + edges[6].input]++; /* of node 5: C(5, 2) */
        op[edges[5].op - SEKI_MAX_POOL_3X3]++;
        seki_genotype_sample(SEKI_NAS201, &random, &genotype);
        assert_int_equal(seki_genotype_validate(&genotype, SEKI_STRICT, NULL), 0);
        edges = genotype.cells[0].edges;
        for (int a = 0; a < 5; a++) {
            for (int b = 0; b < 5; b++) {
                int count;
                const enum seki_op *ops = seki_space_ops(SEKI_NAS201, &count);

                nas[5 * a + b] += edges[0].op == ops[a] && edges[5].op == ops[b];
            }
        }
    }
    /* 99.99 % quantiles of chi-squared with 9, 6 and 24 degrees of freedom; the seed is fixed. */
    assert_true(chi_squared(pair, 10, SAMPLES) < 33.7);
    assert_true(chi_squared(op, 7, SAMPLES) < 27.9);
    assert_true(chi_squared(nas, 25, SAMPLES) < 58.6);
}

static int differences(const struct seki_genotype *a, const struct seki_genotype *b, int *inputs)
{
    int ops = 0;

    *inputs = 0;
    for (int c = 0; c < a->cell_count; c++) {
        for (int i = 0; i < a->cells[c].edge_count; i++) {
            ops += a->cells[c].edges[i].op != b->cells[c].edges[i].op;
            *inputs += a->cells[c].edges[i].input != b->cells[c].edges[i].input;
        }
    }
    return ops + *inputs;
}

static void a_mutation_changes_one_thing_and_stays_strict(void **state)
{
    enum { STEPS = 20000 };
    struct seki_random random;
    struct seki_genotype parent, child;
    long by_input = 0;

    (void)state;
    seki_random_seed(&random, 3, 0);
    for (int space = 0; space < 2; space++) {
        seki_genotype_sample((enum seki_space)space, &random, &parent);
        for (int i = 0; i < STEPS; i++) {
            int inputs;

            seki_genotype_mutate(&parent, &random, &child);
            assert_int_equal(seki_genotype_validate(&child, SEKI_STRICT, NULL), 0);
            assert_int_equal(differences(&parent, &child, &inputs), 1);
            assert_false(seki_genotype_equal(&parent, &child));
            by_input += inputs;
            parent = child;
        }
    }
    assert_true(fabs((double)by_input / STEPS - 0.5) <
                0.02); /* all from darts: half of each kind */
}

static void a_parent_that_is_not_strict_is_mutated_too(void **state)
{
    struct seki_genotype parent = normal_cell("('none',0),('none',1)", "[2]"), child;
    struct seki_random random;
    int inputs;

    (void)state;
    seki_random_seed(&random, 5, 0);
    for (int i = 0; i < 1000; i++) {
        seki_genotype_mutate(&parent, &random, &child);
        assert_int_equal(seki_genotype_validate(&child, SEKI_LAX, NULL), 0);
        assert_int_equal(differences(&parent, &child, &inputs), 1);
    }
}

static void names_read_back(void **state)
{
    enum seki_space space;
    struct seki_error error;

    (void)state;
    for (int op = 0; op < SEKI_OP_COUNT; op++)
        assert_int_equal(
            seki_op_parse(seki_op_name((enum seki_op)op), strlen(seki_op_name((enum seki_op)op))),
            op);
    assert_int_equal(seki_op_parse("none", 3), -1);
    assert_int_equal(seki_op_parse("sep_conv_3x3 ", 13), -1);
    assert_int_equal(seki_space_parse("nas201", &space, &error), 0);
    assert_int_equal(space, SEKI_NAS201);
    assert_int_equal(seki_space_parse("nasbench", &space, &error), -1);
    assert_string_equal(error.message, "space 'nasbench' is not known: expected darts or nas201");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_read_back),
        cmocka_unit_test(what_is_printed_is_canonical_and_reads_back),
        cmocka_unit_test(the_largest_genotype_prints),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_genotype_put_together_wrongly_is_refused),
        cmocka_unit_test(published_genotypes_round_trip),
        cmocka_unit_test(samples_are_strict_and_uniform),
        cmocka_unit_test(a_mutation_changes_one_thing_and_stays_strict),
        cmocka_unit_test(a_parent_that_is_not_strict_is_mutated_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
