/*
 * Tests of lib/record/effects.c: against all pairs compared one by one, and by hand.
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

#include "record/record.h"
#include "genotype_fixture.h"

#define MAX_SCORES 500
#define MAX_PAIRS  20000

struct scored {
    struct seki_genotype genotype;
    double score;
};

static struct seki_effects *new_effects(enum seki_space space)
{
    struct seki_effects *effects = seki_effects_new(space, NULL);

    assert_non_null(effects);
    return effects;
}

static void add(struct seki_effects *effects, const struct seki_genotype *genotype, double score)
{
    struct seki_error error;

    if (seki_effects_add(effects, genotype, score, &error) < 0)
        fail_msg("%s: %s", error.code, error.message);
}

/* ---- All pairs, one by one ---------------------------------------------------------------- */

/* The mean score of each distinct genotype; how many. */
static int distinct(const struct scored *all, int count, struct scored *means)
{
    static int times[MAX_SCORES];
    int found = 0;

    for (int i = 0; i < count; i++) {
        int at = 0;

        while (at < found &&
               seki_genotype_changes(&all[i].genotype, &means[at].genotype, NULL, 0) != 0)
            at++;
        if (at == found) {
            means[found] = (struct scored){all[i].genotype, 0};
            times[found++] = 0;
        }
        means[at].score += all[i].score;
        times[at]++;
    }
    for (int i = 0; i < found; i++)
        means[i].score /= times[i];
    return found;
}

/* Every ordered pair that differs in one edge: the edge that the first has, and the difference. */
struct pairs {
    struct {
        int cell;
        struct seki_edge edge;
        double difference;
    } all[MAX_PAIRS];
    int count;
};

static void find_pairs(const struct scored *means, int count, struct pairs *pairs)
{
    pairs->count = 0;
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            struct seki_change change;

            if (seki_genotype_changes(&means[i].genotype, &means[j].genotype, &change, 1) != 1)
                continue;
            assert_true(pairs->count < MAX_PAIRS);
            pairs->all[pairs->count].cell = change.cell;
            pairs->all[pairs->count].edge = change.before;
            pairs->all[pairs->count++].difference = means[i].score - means[j].score;
        }
    }
}

static bool is_of(const struct pairs *pairs, int index, int cell, const struct seki_edge *edge)
{
    const struct seki_edge *found = &pairs->all[index].edge;

    return pairs->all[index].cell == cell && found->node == edge->node &&
           found->input == edge->input && found->op == edge->op;
}

/* The effect of one edge, from the definition; pairs is 0 where there is none. */
static struct seki_effect slow_effect(const struct pairs *pairs, int cell,
                                      const struct seki_edge *edge)
{
    struct seki_effect effect = {cell, *edge, 0, NAN, 0};
    double sum = 0, squares = 0;

    for (int i = 0; i < pairs->count; i++) {
        if (!is_of(pairs, i, cell, edge))
            continue;
        effect.pairs++;
        sum += pairs->all[i].difference;
    }
    effect.mean = sum / (double)effect.pairs;
    for (int i = 0; i < pairs->count; i++) {
        if (is_of(pairs, i, cell, edge))
            squares += pow(pairs->all[i].difference - effect.mean, 2);
    }
    if (effect.pairs > 1)
        effect.deviation = sqrt(squares / (double)(effect.pairs - 1)) / sqrt((double)effect.pairs);
    return effect;
}

static void check_number(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-9 * fmax(1, fabs(expected))) &&
        !(isnan(found) && isnan(expected)))
        fail_msg("%.17g, expected %.17g", found, expected);
}

/* The index-th edge that a strict cell can have, by node, input and operation; false after the
 * last.
 */
static bool edge_at(enum seki_space space, int index, struct seki_edge *edge)
{
    int op_count, inputs = space == SEKI_NAS201 ? 1 : 2, last = space == SEKI_NAS201 ? 3 : 5;
    const enum seki_op *ops = seki_space_ops(space, &op_count);

    for (int node = inputs; node <= last; node++) {
        if (index < node * op_count) {
            *edge = (struct seki_edge){ops[index % op_count], index / op_count, node};
            return true;
        }
        index -= node * op_count;
    }
    return false;
}

/* Every edge, in the order that effects have; how many pairs, in either direction. */
static int check_all(const struct seki_effects *effects, const struct scored *means, int count)
{
    static struct pairs pairs;
    size_t at = 0;

    find_pairs(means, count, &pairs);
    for (int cell = 0; cell < means[0].genotype.cell_count; cell++) {
        struct seki_edge edge;

        for (int i = 0; edge_at(means[0].genotype.space, i, &edge); i++) {
            struct seki_effect slow = slow_effect(&pairs, cell, &edge);
            const struct seki_effect *found = seki_effects_find(effects, cell, &edge);

            assert_int_equal(found == NULL, slow.pairs == 0);
            if (found == NULL)
                continue;
            assert_ptr_equal(found, seki_effects_at(effects, at++));
            assert_int_equal(found->pairs, slow.pairs);
            check_number(found->mean, slow.mean);
            check_number(found->deviation, slow.deviation);
        }
    }
    assert_int_equal(at, seki_effects_count(effects));
    return pairs.count;
}

/* sqrt(sum of squares about the means of ids / scores beyond the first). */
static void check_noise(const struct seki_effects *effects, const struct scored *all, int count)
{
    static char ids[MAX_SCORES][SEKI_ID_LENGTH + 1];
    double squares = 0, deviation;
    size_t repeats = 0, found;

    for (int i = 0; i < count; i++)
        seki_genotype_id(&all[i].genotype, ids[i]);
    for (int i = 0; i < count; i++) {
        double sum = 0;
        int times = 0;
        bool first = true;

        for (int j = 0; j < count; j++) {
            if (strcmp(ids[i], ids[j]) != 0)
                continue;
            first = first && j >= i;
            sum += all[j].score;
            times++;
        }
        squares += pow(all[i].score - sum / times, 2);
        repeats += !first;
    }
    assert_true(seki_effects_noise(effects, &deviation, &found));
    assert_int_equal(found, repeats);
    check_number(deviation, sqrt(squares / (double)repeats));
}

static void reorder(struct seki_genotype *genotype, struct seki_random *random)
{
    for (int c = 0; genotype->space == SEKI_DARTS && c < 2; c++) {
        struct seki_edge *edges = genotype->cells[c].edges;

        for (int i = 0; i < 8; i += 2) {
            struct seki_edge held = edges[i];

            if (seki_random_below(random, 2) == 0)
                continue;
            edges[i] = edges[i + 1];
            edges[i + 1] = held;
        }
    }
}

/* Candidates that share much: mutants, and mutants of mutants, of few; some scored again, in
 * another order of inputs. */
static void fill(enum seki_space space, struct seki_random *random, struct scored *all, int count)
{
    for (int i = 0; i < count; i++) {
        uint32_t kind = seki_random_below(random, 10);

        if (i < 4)
            seki_genotype_sample(space, random, &all[i].genotype);
        else if (kind < 8)
            seki_genotype_mutate(&all[seki_random_below(random, (uint32_t)i)].genotype, random,
                                 &all[i].genotype);
        else
            all[i].genotype = all[seki_random_below(random, (uint32_t)i)].genotype;
        reorder(&all[i].genotype, random);
        all[i].score = 90 + seki_random_normal(random);
    }
}

static void effects_are_those_of_all_pairs(void **state)
{
    static const struct {
        enum seki_space space;
        int count;
        int least; /* pairs, so that it is known that there is something to compare */
    } cases[] = {{SEKI_DARTS, 300, 400}, {SEKI_NAS201, 500, 1000}, {SEKI_DARTS, 20, 10}};
    static struct scored all[MAX_SCORES], means[MAX_SCORES];
    struct seki_random random;

    (void)state;
    seki_random_seed(&random, 11, 0);
    for (int i = 0; i < COUNT(cases); i++) {
        struct seki_effects *effects = new_effects(cases[i].space);
        int found;

        fill(cases[i].space, &random, all, cases[i].count);
        for (int k = 0; k < cases[i].count; k++)
            add(effects, &all[k].genotype, all[k].score);
        assert_int_equal(seki_effects_compute(effects, NULL), 0);
        found = distinct(all, cases[i].count, means);
        assert_true(found < cases[i].count);
        assert_true(check_all(effects, means, found) >= cases[i].least);
        check_noise(effects, all, cases[i].count);
        seki_effects_free(effects);
    }
}

/* All neighbours of one genotype: each place and edge that there is, and groups of all sizes. */
static void neighbours_are_all_compared(void **state)
{
    static struct scored all[MAX_SCORES];
    struct seki_random random;

    (void)state;
    seki_random_seed(&random, 12, 0);
    for (int step = 0; step < 20; step++) {
        enum seki_space space = step % 2 ? SEKI_DARTS : SEKI_NAS201;
        struct seki_effects *effects = new_effects(space);
        int count;

        seki_genotype_sample(space, &random, &all[0].genotype);
        count = seki_genotype_neighbours(&all[0].genotype) + 1;
        for (int i = 0; i < count; i++) {
            if (i > 0)
                seki_genotype_neighbour(&all[0].genotype, i - 1, &all[i].genotype, NULL);
            all[i].score = seki_random_normal(&random);
            reorder(&all[i].genotype, &random);
            add(effects, &all[i].genotype, all[i].score);
        }
        assert_int_equal(seki_effects_compute(effects, NULL), 0);
        assert_true(check_all(effects, all, count) >= 2 * (count - 1));
        seki_effects_free(effects);
    }
}

/* ---- By hand ------------------------------------------------------------------------------ */

static struct seki_genotype nas201(const char *last) /* the edge from 2 to 3 */
{
    char text[256];

    snprintf(
        text, sizeof text,
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_1x1~1|%s~2|",
        last);
    return parse(text, SEKI_STRICT);
}

static void check_effect(const struct seki_effects *effects, enum seki_op op, double mean,
                         double deviation, size_t pairs)
{
    struct seki_edge edge = {op, 2, 3};
    const struct seki_effect *effect = seki_effects_find(effects, 0, &edge);

    assert_non_null(effect);
    check_number(effect->mean, mean);
    check_number(effect->deviation, deviation);
    assert_int_equal(effect->pairs, pairs);
}

static void figures_by_hand(void **state)
{
    struct seki_genotype conv = nas201("nor_conv_3x3"), pool = nas201("avg_pool_3x3");
    struct seki_genotype none = nas201("none"), again = conv;
    struct seki_effects *effects = new_effects(SEKI_NAS201);
    struct seki_edge absent = {SEKI_SKIP_CONNECT, 2, 3};
    double deviation;
    size_t repeats;

    (void)state;
    add(effects, &conv, 93);
    assert_int_equal(seki_effects_count(effects), 0); /* not computed yet */
    assert_int_equal(seki_effects_compute(effects, NULL), 0);
    assert_int_equal(seki_effects_count(effects), 0); /* no pair */
    assert_false(seki_effects_noise(effects, &deviation, &repeats));

    add(effects, &pool, 90);
    assert_int_equal(seki_effects_compute(effects, NULL), 0);
    check_effect(effects, SEKI_NOR_CONV_3X3, 3, NAN, 1);
    check_effect(effects, SEKI_AVG_POOL_3X3, -3, NAN, 1);

    /* More after that: conv becomes 94 on average; differences of conv 4, 14, of pool -4, 10, of
     * none -14, -10. The noise is that of 93 and 95: sqrt(2). */
    add(effects, &again, 95);
    add(effects, &none, 80);
    assert_int_equal(seki_effects_compute(effects, NULL), 0);
    check_effect(effects, SEKI_NOR_CONV_3X3, 9, 5, 2);
    check_effect(effects, SEKI_AVG_POOL_3X3, 3, 7, 2);
    check_effect(effects, SEKI_NONE, -12, 2, 2);
    assert_int_equal(seki_effects_count(effects), 3);
    assert_null(seki_effects_find(effects, 0, &absent));
    assert_null(seki_effects_find(effects, 1, &seki_effects_at(effects, 0)->edge));
    assert_true(seki_effects_noise(effects, &deviation, &repeats));
    check_number(deviation, sqrt(2));
    assert_int_equal(repeats, 1);
    seki_effects_free(effects);
}

/* Two notations of one function are two candidates of a pair, and repeats of one score. */
static void noise_is_by_id(void **state)
{
    struct seki_genotype a =
        parse("|none~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|", SEKI_STRICT);
    struct seki_genotype b =
        parse("|none~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|", SEKI_STRICT);
    struct seki_effects *effects = new_effects(SEKI_NAS201);
    double deviation;
    size_t repeats;

    (void)state;
    add(effects, &a, 1);
    add(effects, &b, 2);
    assert_int_equal(seki_effects_compute(effects, NULL), 0);
    assert_true(seki_effects_noise(effects, &deviation, &repeats));
    check_number(deviation, sqrt(0.5));
    assert_int_equal(repeats, 1);
    assert_int_equal(seki_effects_count(effects), 2);
    seki_effects_free(effects);
}

static void what_cannot_be_compared_is_refused(void **state)
{
    struct seki_genotype darts = parse(DARTS_V2, SEKI_STRICT), pool = nas201("avg_pool_3x3");
    struct seki_genotype lax = normal_cell("('none',0),('none',1)", "[2]");
    struct seki_effects *effects = new_effects(SEKI_DARTS);
    const struct {
        const struct seki_genotype *genotype;
        double score;
        const char *code;
    } cases[] = {
        {&pool, 1, "space"},         {&lax, 1, "genotype"},     {&darts, NAN, "score"},
        {&darts, INFINITY, "score"}, {&darts, -1e101, "score"},
    };

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        struct seki_error error;

        assert_int_equal(seki_effects_add(effects, cases[i].genotype, cases[i].score, &error), -1);
        assert_int_equal(error.kind, SEKI_BAD_INPUT);
        assert_string_equal(error.code, cases[i].code);
    }
    /* The greatest scores that there can be. */
    add(effects, &darts, 1e100);
    darts.cells[0].edges[0].op = SEKI_MAX_POOL_3X3;
    add(effects, &darts, -1e100);
    assert_int_equal(seki_effects_compute(effects, NULL), 0);
    assert_int_equal(seki_effects_count(effects), 2);
    assert_true(fabs(seki_effects_at(effects, 0)->mean) == 2e100);
    seki_effects_free(effects);
    seki_effects_free(NULL);
}

/* One genotype scored very often takes no more than a few entries, and its mean is right. */
static void repeats_are_merged(void **state)
{
    struct seki_genotype conv = nas201("nor_conv_3x3"), pool = nas201("avg_pool_3x3");
    struct seki_effects *effects = new_effects(SEKI_NAS201);
    double deviation;
    size_t repeats;

    (void)state;
    for (int i = 0; i < 10000; i++)
        add(effects, &conv, i % 2 ? 94 : 92);
    add(effects, &pool, 90);
    assert_int_equal(seki_effects_compute(effects, NULL), 0);
    check_effect(effects, SEKI_NOR_CONV_3X3, 3, NAN, 1);
    assert_true(seki_effects_noise(effects, &deviation, &repeats));
    assert_int_equal(repeats, 9999);
    check_number(deviation, sqrt(10000.0 / 9999));
    seki_effects_free(effects);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(effects_are_those_of_all_pairs),
        cmocka_unit_test(neighbours_are_all_compared),
        cmocka_unit_test(figures_by_hand),
        cmocka_unit_test(noise_is_by_id),
        cmocka_unit_test(what_cannot_be_compared_is_refused),
        cmocka_unit_test(repeats_are_merged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
