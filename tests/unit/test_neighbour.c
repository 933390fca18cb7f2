/*
 * Tests of lib/genotype/neighbour.c: genotypes one edge apart, and how two genotypes differ.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "genotype/genotype.h"
#include "genotype_fixture.h"

#define MAX_NEIGHBOURS 120

static void check_edge(const struct seki_edge *found, const struct seki_edge *expected)
{
    assert_int_equal(found->op, expected->op);
    assert_int_equal(found->input, expected->input);
    assert_int_equal(found->node, expected->node);
}

/* Changes the order of inputs of some nodes. */
static void reorder(struct seki_genotype *genotype, struct seki_random *random)
{
    for (int c = 0; genotype->space == SEKI_DARTS && c < genotype->cell_count; c++) {
        struct seki_cell *cell = &genotype->cells[c];

        for (int i = 0; i < cell->edge_count; i += 2) {
            struct seki_edge held = cell->edges[i];

            if (seki_random_below(random, 2) == 0)
                continue;
            cell->edges[i] = cell->edges[i + 1];
            cell->edges[i + 1] = held;
        }
    }
}

/* ---- Neighbours --------------------------------------------------------------------------- */

static void check_neighbours(const struct seki_genotype *genotype, struct seki_random *random)
{
    static struct seki_genotype found[MAX_NEIGHBOURS];
    int count = seki_genotype_neighbours(genotype);

    assert_int_equal(count, genotype->space == SEKI_NAS201 ? 24 : 120);
    for (int i = 0; i < count; i++) {
        struct seki_change change, seen;

        seki_genotype_neighbour(genotype, i, &found[i], &change);
        assert_int_equal(seki_genotype_validate(&found[i], SEKI_STRICT, NULL), 0);
        assert_int_equal(
            (change.before.op != change.after.op) + (change.before.input != change.after.input), 1);
        assert_int_equal(change.before.node, change.after.node);
        reorder(&found[i], random);
        assert_int_equal(seki_genotype_changes(genotype, &found[i], &seen, 1), 1);
        assert_int_equal(seen.cell, change.cell);
        check_edge(&seen.before, &change.before);
        check_edge(&seen.after, &change.after);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(seki_genotype_changes(&found[i], &found[j], NULL, 0), 0);
    }
}

static void neighbours_are_strict_distinct_and_one_edge_apart(void **state)
{
    struct seki_random random;
    struct seki_genotype genotype;

    (void)state;
    seki_random_seed(&random, 1, 0);
    for (int space = 0; space < 2; space++) {
        for (int i = 0; i < 50; i++) {
            seki_genotype_sample((enum seki_space)space, &random, &genotype);
            reorder(&genotype, &random);
            check_neighbours(&genotype, &random);
        }
    }
}

/* Whatever a mutation makes is a neighbour, and each neighbour is made at some time. */
static void mutation_and_neighbours_agree(void **state)
{
    for (int space = 0; space < 2; space++) {
        struct seki_genotype parent, child, neighbour;
        bool made[MAX_NEIGHBOURS] = {false};
        struct seki_random random;
        int count, left;

        (void)state;
        seki_random_seed(&random, 2, 0);
        seki_genotype_sample((enum seki_space)space, &random, &parent);
        count = left = seki_genotype_neighbours(&parent);
        for (int step = 0; step < 20000; step++) {
            int at = 0;

            seki_genotype_mutate(&parent, &random, &child);
            for (; at < count; at++) {
                seki_genotype_neighbour(&parent, at, &neighbour, NULL);
                if (seki_genotype_equal(&neighbour, &child))
                    break;
            }
            assert_true(at < count);
            left -= !made[at];
            made[at] = true;
        }
        assert_int_equal(left, 0);
    }
}

/* ---- Differences -------------------------------------------------------------------------- */

/* Reads "op-input", of the given node. */
static struct seki_edge edge(const char *text, int node)
{
    const char *dash = strchr(text, '-');

    assert_non_null(dash);
    return (struct seki_edge){(enum seki_op)seki_op_parse(text, (size_t)(dash - text)),
                              dash[1] - '0', node};
}

static void differences_are_matched_within_a_node(void **state)
{
#define FIRST "('skip_connect',0),('skip_connect',1),"
    static const struct {
        const char *a, *b; /* the edges into node 3 */
        const char *changes[4] /* before, after, … */, *comment;
    } cases[] = {
        {"('sep_conv_3x3',0),('sep_conv_5x5',1)",
         "('sep_conv_5x5',1),('sep_conv_3x3',0)",
         {NULL},
         "order apart they are equal"},
        {"('sep_conv_3x3',0),('sep_conv_5x5',1)",
         "('max_pool_3x3',1),('sep_conv_3x3',0)",
         {"sep_conv_5x5-1", "max_pool_3x3-1"},
         "equal edges are matched first"},
        {"('sep_conv_3x3',0),('sep_conv_5x5',1)",
         "('sep_conv_5x5',2),('sep_conv_3x3',0)",
         {"sep_conv_5x5-1", "sep_conv_5x5-2"},
         "another input"},
        {"('sep_conv_3x3',0),('sep_conv_5x5',1)",
         "('max_pool_3x3',2),('sep_conv_3x3',0)",
         {"sep_conv_5x5-1", "max_pool_3x3-2"},
         "both at once are one edge"},
        {"('sep_conv_3x3',0),('sep_conv_5x5',1)",
         "('sep_conv_3x3',1),('sep_conv_5x5',0)",
         {"sep_conv_3x3-0", "sep_conv_5x5-0", "sep_conv_5x5-1", "sep_conv_3x3-1"},
         "equal inputs before equal operations"},
        {"('sep_conv_3x3',0),('sep_conv_5x5',1)",
         "('max_pool_3x3',2),('skip_connect',0)",
         {"sep_conv_3x3-0", "skip_connect-0", "sep_conv_5x5-1", "max_pool_3x3-2"},
         "an equal input, then the rest"},
        {"('sep_conv_3x3',0),('sep_conv_3x3',0)",
         "('max_pool_3x3',2),('sep_conv_3x3',0)",
         {"sep_conv_3x3-0", "max_pool_3x3-2"},
         "a repeated input, which is not strict"},
    };

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        char a[256], b[256];
        struct seki_genotype x, y;
        struct seki_change found[2];
        int expected = (cases[i].changes[0] != NULL) + (cases[i].changes[2] != NULL);

        snprintf(a, sizeof a, FIRST "%s", cases[i].a);
        snprintf(b, sizeof b, "('skip_connect',1),('skip_connect',0),%s", cases[i].b);
        x = normal_cell(a, "[2,3]");
        y = normal_cell(b, "[3,2]");
        if (seki_genotype_changes(&x, &y, found, 2) != expected)
            fail_msg("%s: expected %d changes", cases[i].comment, expected);
        for (int k = 0; k < expected; k++) {
            struct seki_edge before = edge(cases[i].changes[2 * k], 3);
            struct seki_edge after = edge(cases[i].changes[2 * k + 1], 3);

            assert_int_equal(found[k].cell, SEKI_NORMAL);
            check_edge(&found[k].before, &before);
            check_edge(&found[k].after, &after);
        }
    }
}

static void differences_come_by_cell_and_node_up_to_a_maximum(void **state)
{
    struct seki_genotype a = nas201_at(0), b = nas201_at(NAS201_SIZE - 1), c = a;
    struct seki_change found[SEKI_NAS201_EDGES + 1];

    (void)state;
    found[2].cell = 77;
    assert_int_equal(seki_genotype_changes(&a, &b, found, 2), 6);
    assert_int_equal(found[2].cell, 77);
    assert_int_equal(seki_genotype_changes(&a, &b, found, 7), 6);
    for (int i = 0; i < SEKI_NAS201_EDGES; i++) {
        assert_int_equal(found[i].cell, 0);
        check_edge(&found[i].before, &a.cells[0].edges[i]);
        check_edge(&found[i].after, &b.cells[0].edges[i]);
    }
    assert_int_equal(seki_genotype_changes(&a, &c, NULL, 0), 0);

    a = b = parse(DARTS_V2, SEKI_STRICT);
    b.cells[1].edges[7].op = SEKI_SEP_CONV_3X3;
    b.cells[1].edges[2].op = SEKI_SEP_CONV_3X3;
    b.cells[0].edges[5].op = SEKI_SEP_CONV_3X3;
    assert_int_equal(seki_genotype_changes(&a, &b, found, 7), 3);
    assert_int_equal(found[0].cell, SEKI_NORMAL);
    assert_int_equal(found[0].before.node, 4);
    assert_int_equal(found[1].cell, SEKI_REDUCE);
    assert_int_equal(found[1].before.node, 3);
    assert_int_equal(found[2].before.node, 5);
}

static void other_shapes_cannot_be_compared(void **state)
{
    struct seki_genotype darts = parse(DARTS_V2, SEKI_STRICT), nas201 = nas201_at(0);
    struct seki_genotype one = normal_cell("('none',0),('none',1)", "[2]");
    struct seki_genotype two = normal_cell("('none',0),('none',1),('none',0),('none',1)", "[2]");

    (void)state;
    assert_int_equal(seki_genotype_changes(&darts, &nas201, NULL, 0), -1);
    assert_int_equal(seki_genotype_changes(&one, &two, NULL, 0), -1);
    assert_int_equal(seki_genotype_changes(&one, &darts, NULL, 0), -1);
    assert_int_equal(seki_genotype_changes(&two, &two, NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_are_strict_distinct_and_one_edge_apart),
        cmocka_unit_test(mutation_and_neighbours_agree),
        cmocka_unit_test(differences_are_matched_within_a_node),
        cmocka_unit_test(differences_come_by_cell_and_node_up_to_a_maximum),
        cmocka_unit_test(other_shapes_cannot_be_compared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
