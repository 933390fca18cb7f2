/*
 * Tests of seki_genotype_id and of NAS-Bench-201's unique string. What an id must tell apart is
 * computed here a second time, by writing the expressions out as strings.
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

static struct seki_genotype reduce_cell(const char *pairs, const char *concat)
{
    char text[2048];

    snprintf(text, sizeof text,
             "Genotype(" DARTS_V2_NORMAL ", normal_concat=[2, 3, 4, 5], "
             "reduce=[%s], reduce_concat=%s)",
             pairs, concat);
    return parse(text, SEKI_LAX);
}

static bool same_id(const struct seki_genotype *a, const struct seki_genotype *b)
{
    char x[SEKI_ID_LENGTH + 1], y[SEKI_ID_LENGTH + 1];

    seki_genotype_id(a, x);
    seki_genotype_id(b, y);
    assert_int_equal(strlen(x), SEKI_ID_LENGTH);
    return strcmp(x, y) == 0;
}

/* ---- The 15,625 of nas201 ----------------------------------------------------------------- */

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int distinct(char **strings, int count)
{
    int found = 0;

    qsort(strings, (size_t)count, sizeof strings[0], compare_strings);
    for (int i = 0; i < count; i++)
        found += i == 0 || strcmp(strings[i - 1], strings[i]) != 0;
    return found;
}

/* ---- Identity, a second time: expressions as strings -------------------------------------- */

/* The terms of a sum, written out; enough for cells of 4 nodes. */
struct terms {
    int count;
    char *term[64];
};

static char *joined(const char *a, const char *b)
{
    struct seki_buffer text;

    seki_buffer_init(&text, 1 << 20);
    seki_buffer_puts(&text, a);
    seki_buffer_puts(&text, b);
    assert_false(text.failed);
    return text.data; /* the caller frees it */
}

static char *join(struct terms *terms)
{
    struct seki_buffer text;

    qsort(terms->term, (size_t)terms->count, sizeof terms->term[0], compare_strings);
    seki_buffer_init(&text, 1 << 20);
    seki_buffer_puts(&text, "[");
    for (int i = 0; i < terms->count; i++)
        seki_buffer_printf(&text, "%s ", terms->term[i]);
    seki_buffer_puts(&text, "]");
    assert_false(text.failed);
    return text.data;
}

static void free_terms(struct terms *terms)
{
    for (int i = 0; i < terms->count; i++)
        free(terms->term[i]);
    terms->count = 0;
}

static char *cell_expression(const struct seki_cell *cell, bool reduction)
{
    struct terms states[8] = {0}, parts = {0};
    char text[1 << 15], *whole;

    for (int i = 0; i < cell->inputs; i++) {
        snprintf(text, sizeof text, "s%d", i);
        states[i].term[states[i].count++] = strdup(text);
    }
    for (int i = 0; i < cell->edge_count; i++) {
        const struct seki_edge *edge = &cell->edges[i];
        struct terms *from = &states[edge->input], *to = &states[edge->node];
        bool factorized = reduction && edge->input < 2;

        if (edge->op == SEKI_NONE || from->count == 0)
            continue;
        if (edge->op == SEKI_SKIP_CONNECT && !factorized) {
            for (int j = 0; j < from->count; j++)
                to->term[to->count++] = strdup(from->term[j]);
        } else {
            char *inner = join(from);

            snprintf(text, sizeof text, "%s%s", seki_op_name(edge->op), inner);
            free(inner);
            to->term[to->count++] = strdup(text);
        }
    }
    for (int i = 0; i < cell->concat_count; i++)
        parts.term[parts.count++] = join(&states[cell->concat[i]]);
    whole = join(&parts);
    free_terms(&parts);
    for (int i = 0; i < 8; i++)
        free_terms(&states[i]);
    return whole;
}

static char *expression(const struct seki_genotype *genotype)
{
    char *first = cell_expression(&genotype->cells[0], false), *second, *both;

    if (genotype->cell_count == 1)
        return first;
    second = cell_expression(&genotype->cells[1], true);
    both = joined(first, second);
    free(first);
    free(second);
    return both;
}

static void nas201_has_4930_functions_of_which_no_two_share_an_id(void **state)
{
    char **ids = calloc(NAS201_SIZE, sizeof *ids), **pairs = calloc(NAS201_SIZE, sizeof *pairs);
    char **functions = calloc(NAS201_SIZE, sizeof *functions);
    int zero = 0;

    (void)state;
    for (int i = 0; i < NAS201_SIZE; i++) {
        struct seki_genotype genotype = nas201_at(i);

        ids[i] = calloc(1, SEKI_ID_LENGTH + 1);
        seki_genotype_id(&genotype, ids[i]);
        functions[i] = expression(&genotype);
        zero += strcmp(functions[i], "[[] ]") == 0;
        pairs[i] = joined(ids[i], functions[i]);
    }
    assert_int_equal(distinct(ids, NAS201_SIZE), 4930);
    assert_int_equal(distinct(functions, NAS201_SIZE), 4930);
    assert_int_equal(distinct(pairs, NAS201_SIZE), 4930); /* so the two agree, and none collides */
    assert_int_equal(zero, 341);
    for (int i = 0; i < NAS201_SIZE; i++) {
        free(ids[i]);
        free(pairs[i]);
        free(functions[i]);
    }
    free(ids);
    free(pairs);
    free(functions);
}

static void the_benchmarks_own_rule_gives_6466(void **state)
{
    char **strings = calloc(NAS201_SIZE, sizeof *strings), text[SEKI_GENOTYPE_TEXT];
    struct seki_genotype genotype;

    (void)state;
    for (int i = 0; i < NAS201_SIZE; i++) {
        genotype = nas201_at(i);
        seki_nas201_unique_string(&genotype, text);
        strings[i] = strdup(text);
    }
    assert_int_equal(distinct(strings, NAS201_SIZE), 6466);
    for (int i = 0; i < NAS201_SIZE; i++)
        free(strings[i]);
    free(strings);
    /* Written by hand from Structure.to_unique_str: '#' stays in a sum, 'x+y' is not flattened. */
    genotype = parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|avg_pool_3x3~1|"
                     "nor_conv_1x1~2|",
                     SEKI_STRICT);
    seki_nas201_unique_string(&genotype, text);
    assert_string_equal(text,
                        "(#+(0)@nor_conv_3x3)@nor_conv_1x1+((0)@nor_conv_3x3)@avg_pool_3x3+0");
}

static void without_the_zero_rule_nas201_has_12751(void **state)
{
    /* skip_connect as identity, sums sorted but not flattened, none an operation like others:
     * to_unique_str with consider_zero=False. */
    char **strings = calloc(NAS201_SIZE, sizeof *strings);

    (void)state;
    for (int i = 0; i < NAS201_SIZE; i++) {
        struct seki_genotype genotype = nas201_at(i);
        const struct seki_edge *edges = genotype.cells[0].edges;
        char *states[4] = {strdup("0")};

        for (int node = 1, edge = 0; node <= 3; node++) {
            struct terms terms = {0};
            struct seki_buffer text;

            for (int input = 0; input < node; input++, edge++) {
                char term[2048];

                if (edges[edge].op == SEKI_SKIP_CONNECT)
                    snprintf(term, sizeof term, "%s", states[input]);
                else
                    snprintf(term, sizeof term, "(%s)@%s", states[input],
                             seki_op_name(edges[edge].op));
                terms.term[terms.count++] = strdup(term);
            }
            qsort(terms.term, (size_t)terms.count, sizeof terms.term[0], compare_strings);
            seki_buffer_init(&text, 1 << 16);
            for (int j = 0; j < terms.count; j++)
                seki_buffer_printf(&text, "%s%s", j == 0 ? "" : "+", terms.term[j]);
            free_terms(&terms);
            states[node] = text.data;
        }
        strings[i] = states[3];
        for (int node = 0; node < 3; node++)
            free(states[node]);
    }
    assert_int_equal(distinct(strings, NAS201_SIZE), 12751);
    for (int i = 0; i < NAS201_SIZE; i++)
        free(strings[i]);
    free(strings);
}

/* A sampled genotype with few operations and inputs, so that equal functions occur often. */
static struct seki_genotype sample_few(struct seki_random *random)
{
    static const enum seki_op ops[] = {SEKI_SKIP_CONNECT, SEKI_NONE, SEKI_SEP_CONV_3X3};
    struct seki_genotype genotype;

    seki_genotype_sample(SEKI_DARTS, random, &genotype);
    for (int c = 0; c < 2; c++) {
        struct seki_cell *cell = &genotype.cells[c];

        for (int i = 0; i < cell->edge_count; i++) {
            cell->edges[i].op = c == 1 && i < 4 ? SEKI_NONE : ops[seki_random_below(random, 3)];
            cell->edges[i].input = (int)seki_random_below(random, (uint32_t)cell->edges[i].node);
        }
        cell->concat_count = 2;
        cell->concat[0] = 5;
        cell->concat[1] = 2 + (int)seki_random_below(random, 3);
    }
    assert_int_equal(seki_genotype_validate(&genotype, SEKI_LAX, NULL), 0);
    return genotype;
}

static void darts_ids_agree_with_expressions_written_out(void **state)
{
    enum { SAMPLES = 20000 };
    char **ids = calloc(SAMPLES, sizeof *ids), **pairs = calloc(SAMPLES, sizeof *pairs);
    char **functions = calloc(SAMPLES, sizeof *functions);
    struct seki_random random;
    int classes;

    (void)state;
    seki_random_seed(&random, 1, 0);
    for (int i = 0; i < SAMPLES; i++) {
        struct seki_genotype genotype = sample_few(&random);

        ids[i] = calloc(1, SEKI_ID_LENGTH + 1);
        seki_genotype_id(&genotype, ids[i]);
        functions[i] = expression(&genotype);
        pairs[i] = joined(ids[i], functions[i]);
    }
    classes = distinct(functions, SAMPLES);
    assert_true(classes > 1000 && classes < SAMPLES - 1000); /* both outcomes are met often */
    assert_int_equal(distinct(ids, SAMPLES), classes);
    assert_int_equal(distinct(pairs, SAMPLES), classes);
    for (int i = 0; i < SAMPLES; i++) {
        free(ids[i]);
        free(pairs[i]);
        free(functions[i]);
    }
    free(ids);
    free(pairs);
    free(functions);
}

/* ---- Identity, case by case --------------------------------------------------------------- */

static void darts_functions_are_told_apart_and_no_more(void **state)
{
    static const struct {
        const char *comment;
        bool equal;
        const char *a, *a_concat, *b, *b_concat;
    } cases[] = {
        {"the order of a node's inputs", true, "('sep_conv_3x3',0),('dil_conv_3x3',1)", "[2]",
         "('dil_conv_3x3',1),('sep_conv_3x3',0)", "[2]"},
        {"the operations of two inputs exchanged", false, "('sep_conv_3x3',0),('dil_conv_3x3',1)",
         "[2]", "('dil_conv_3x3',0),('sep_conv_3x3',1)", "[2]"},
        {"renumbered nodes", true,
         "('sep_conv_3x3',0),('sep_conv_3x3',1),('dil_conv_3x3',0),('dil_conv_3x3',1),"
         "('max_pool_3x3',2),('avg_pool_3x3',3)",
         "[2, 3, 4]",
         "('dil_conv_3x3',0),('dil_conv_3x3',1),('sep_conv_3x3',0),('sep_conv_3x3',1),"
         "('max_pool_3x3',3),('avg_pool_3x3',2)",
         "[2, 3, 4]"},
        {"the order of the concatenation", true,
         "('sep_conv_3x3',0),('sep_conv_3x3',1),('dil_conv_3x3',0),('dil_conv_3x3',2)", "[2, 3]",
         "('sep_conv_3x3',0),('sep_conv_3x3',1),('dil_conv_3x3',0),('dil_conv_3x3',2)", "[3, 2]"},
        {"a node that nothing reads", true,
         "('sep_conv_3x3',0),('sep_conv_3x3',1),('dil_conv_5x5',0),('max_pool_3x3',2)", "[2]",
         "('sep_conv_3x3',0),('sep_conv_3x3',1)", "[2]"},
        {"a node that is concatenated", false,
         "('sep_conv_3x3',0),('sep_conv_3x3',1),('dil_conv_5x5',0),('max_pool_3x3',2)", "[2, 3]",
         "('sep_conv_3x3',0),('sep_conv_3x3',1)", "[2]"},
        {"none adds nothing, whatever it reads", true, "('sep_conv_3x3',0),('none',1)", "[2]",
         "('none',0),('sep_conv_3x3',0)", "[2]"},
        {"an operation on zero is zero", true,
         "('none',0),('none',1),('sep_conv_3x3',0),('sep_conv_5x5',2)", "[3]",
         "('none',0),('none',1),('sep_conv_3x3',0),('none',2)", "[3]"},
        {"a part that is zero has its width", false,
         "('none',0),('none',1),('sep_conv_3x3',0),('sep_conv_3x3',1)", "[2, 3]",
         "('none',0),('none',1),('sep_conv_3x3',0),('sep_conv_3x3',1)", "[3]"},
        {"skip_connect is the identity in a normal cell", true,
         "('sep_conv_3x3',0),('sep_conv_3x3',1),('skip_connect',2),('max_pool_3x3',0)", "[3]",
         "('sep_conv_3x3',1),('max_pool_3x3',0),('skip_connect',2),('sep_conv_3x3',0)", "[3]"},
        {"the same term twice is not the term", false, "('skip_connect',0),('skip_connect',0)",
         "[2]", "('skip_connect',0),('none',0)", "[2]"},
        {"one operation or two alike", false, "('sep_conv_3x3',0),('sep_conv_3x3',0)", "[2]",
         "('sep_conv_3x3',0),('none',0)", "[2]"},
        {"the two inputs of a cell", false, "('sep_conv_3x3',0),('none',0)", "[2]",
         "('sep_conv_3x3',1),('none',0)", "[2]"},
    };

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        struct seki_genotype a = normal_cell(cases[i].a, cases[i].a_concat);
        struct seki_genotype b = normal_cell(cases[i].b, cases[i].b_concat);

        if (same_id(&a, &b) != cases[i].equal)
            fail_msg("%s: expected %s ids", cases[i].comment, cases[i].equal ? "equal" : "other");
    }
}

static void skip_connect_of_stride_2_is_an_operation(void **state)
{
    struct seki_genotype a, b;

    (void)state;
    /* From an input it is FactorizedReduce: node 3 is then op(node 2), not a sum of four terms. */
    a = reduce_cell("('skip_connect',0),('skip_connect',1),('sep_conv_3x3',2),('skip_connect',0)",
                    "[3]");
    b = reduce_cell("('skip_connect',0),('skip_connect',1),('sep_conv_3x3',2),('none',0)", "[3]");
    assert_false(same_id(&a, &b));
    /* Between nodes it is the identity. */
    a = reduce_cell("('sep_conv_3x3',0),('skip_connect',1),('skip_connect',2),('max_pool_3x3',0)",
                    "[3]");
    b = reduce_cell("('max_pool_3x3',0),('skip_connect',1),('skip_connect',2),('sep_conv_3x3',0)",
                    "[3]");
    assert_true(same_id(&a, &b));
    /* The cells' roles are kept apart. */
    a = parse("Genotype(normal=[('sep_conv_3x3',0),('none',1)], normal_concat=[2], "
              "reduce=[('sep_conv_5x5',0),('none',1)], reduce_concat=[2])",
              SEKI_LAX);
    b = parse("Genotype(normal=[('sep_conv_5x5',0),('none',1)], normal_concat=[2], "
              "reduce=[('sep_conv_3x3',0),('none',1)], reduce_concat=[2])",
              SEKI_LAX);
    assert_false(same_id(&a, &b));
}

static void ids_are_the_ones_that_files_hold(void **state)
{
    static const struct {
        const char *text, *id;
    } pinned[] = {
        {DARTS_V2, "acb0ed13736fa7b4"},
        {"|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|"
         "nor_conv_3x3~2|",
         "9f3843e5f027bd41"},
        {"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "50d9b8f56434d9cc"},
    };
    char id[SEKI_ID_LENGTH + 1];

    (void)state;
    for (int i = 0; i < COUNT(pinned); i++) {
        struct seki_genotype genotype = parse(pinned[i].text, SEKI_STRICT);

        seki_genotype_id(&genotype, id);
        assert_string_equal(id, pinned[i].id);
    }
}

static void a_chain_that_doubles_sixteen_times_has_an_id(void **state)
{
    char pairs[1024] = "";
    struct seki_genotype a, b;

    (void)state;
    for (int node = 2; node < 18; node++)
        snprintf(pairs + strlen(pairs), sizeof pairs - strlen(pairs),
                 "('skip_connect',%d),('skip_connect',%d),", node - 1, node - 1);
    a = normal_cell(pairs, "[17]");
    b = a;
    b.cells[0].edges[0].input = 0;
    assert_false(same_id(&a, &b)); /* 65,536 s1 against 32,768 of s0 and s1 each */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nas201_has_4930_functions_of_which_no_two_share_an_id),
        cmocka_unit_test(the_benchmarks_own_rule_gives_6466),
        cmocka_unit_test(without_the_zero_rule_nas201_has_12751),
        cmocka_unit_test(darts_ids_agree_with_expressions_written_out),
        cmocka_unit_test(darts_functions_are_told_apart_and_no_more),
        cmocka_unit_test(skip_connect_of_stride_2_is_an_operation),
        cmocka_unit_test(ids_are_the_ones_that_files_hold),
        cmocka_unit_test(a_chain_that_doubles_sixteen_times_has_an_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
