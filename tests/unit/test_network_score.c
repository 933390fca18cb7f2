/*
 * test_network_score.c - scoring on the supernet: a genotype's score is its own, whatever was
 * scored before it or beside it, and no memory is asked for once a network is prepared.
 */
#include "network_fixture.h"

static struct seki_genotype lax(const char *text)
{
    return parse(text, SEKI_LAX);
}

/* ---- One after the other -------------------------------------------------------------------- */

static double score_of(struct seki_network *network, const struct seki_genotype *genotype,
                       const struct host_batch *batch)
{
    struct seki_batch_result result;
    struct seki_error error;

    assert_int_equal(seki_network_select(network, genotype, &error), 0);
    assert_int_equal(
        seki_network_evaluate(network, &batch->batch, SEKI_MODE_SCORE, NULL, &result, &error), 0);
    return result.loss;
}

static void check_order(const char *name, enum seki_space space)
{
    struct seki_backend *backend = watched_backend(name);
    struct seki_network_config config = small_config(space, 4, space == SEKI_DARTS ? 3 : 1, 8);
    struct seki_network *network = network_new(backend, &config, NULL);
    struct host_batch batch = batch_new(&config, 6, 2), other = batch_new(&config, 4, 3);
    struct seki_error error;
    struct seki_genotype genotypes[6];
    struct seki_random random;
    double scores[6];

    seki_random_seed(&random, 21, 1);
    assert_int_equal(seki_network_prepare(network, 6, SEKI_MODE_SCORE, &error), 0);
    assert_int_equal(seki_network_prepare(network, 4, SEKI_MODE_TRAIN, &error), 0);
    for (int i = 0; i < 6; i++) {
        seki_genotype_sample(space, &random, &genotypes[i]);
        scores[i] = score_of(network, &genotypes[i], &batch);
    }
    for (int i = 5; i >= 0; i--) {
        gradients_of(network, &other, 0, NULL); /* of the genotype before */
        assert_true(score_of(network, &genotypes[i], &batch) == scores[i]);
    }
    assert_true(scores[0] != scores[1]);
    seki_network_close(network);
    batch_free(&batch);
    batch_free(&other);
    seki_backend_close(backend);
}

static void test_a_score_does_not_depend_on_what_was_selected_before(void **state)
{
    (void)state;
    for (int space = SEKI_DARTS; space <= SEKI_NAS201; space++) {
        check_order("ref", space);
        check_order("cpu", space);
    }
}

/* ---- Several genotypes on one batch --------------------------------------------------------- */

enum { TOGETHER = 7 };

struct score_case {
    const char *name;
    enum seki_space space;
    int layers, side, common; /* steps that no genotype enters */
};

static const struct score_case score_cases[] = {
    {"darts", SEKI_DARTS, 3, 9, 4}, /* stem, the first cell's two inputs, the second's first */
    {"darts, reductions alone", SEKI_DARTS, 2, 8, 4},
    {"darts, one cell", SEKI_DARTS, 1, 8, 3},
    {"nas201", SEKI_NAS201, 1, 8, 1},
};

/* Sampled, and among them one that reads nothing of what is common. */
static void sample_together(enum seki_space space, struct seki_genotype *genotypes)
{
    struct seki_random random;

    seki_random_seed(&random, 23, 1);
    for (int i = 0; i < TOGETHER; i++)
        seki_genotype_sample(space, &random, &genotypes[i]);
    if (space == SEKI_NAS201)
        genotypes[2] = lax("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|");
}

static void score_together(struct seki_network *network, const struct host_batch *batch,
                           const struct seki_genotype *genotypes, int count,
                           const struct seki_batch_result *alone)
{
    struct seki_batch_result results[TOGETHER];
    struct seki_error error;

    assert_int_equal(seki_network_score(network, &batch->batch, genotypes, count, results, &error),
                     0);
    for (int i = 0; i < count; i++) {
        assert_true(results[i].loss == alone[i].loss);
        assert_int_equal(results[i].correct, alone[i].correct);
        assert_true(results[i].seconds > 0 && results[i].seconds < 60);
    }
}

static void check_together(const char *name, const struct score_case *c)
{
    struct seki_backend *backend = watched_backend(name);
    struct seki_network_config config = small_config(c->space, 4, c->layers, c->side);
    struct seki_network *network = network_new(backend, &config, NULL);
    struct host_batch batch = batch_new(&config, 6, 2);
    struct seki_genotype genotypes[TOGETHER];
    struct seki_batch_result alone[TOGETHER];
    struct seki_error error;

    sample_together(c->space, genotypes);
    assert_int_equal(seki_network_prepare(network, 6, SEKI_MODE_SCORE, &error), 0);
    watch.memory_calls = 0;
    for (int i = 0; i < TOGETHER; i++) {
        assert_int_equal(seki_network_select(network, &genotypes[i], &error), 0);
        assert_int_equal(
            seki_network_evaluate(network, &batch.batch, SEKI_MODE_SCORE, NULL, &alone[i], &error),
            0);
    }
    int forwards = watch.forwards;

    watch.forwards = 0;
    score_together(network, &batch, genotypes, TOGETHER, alone);
    if (forwards - watch.forwards != (TOGETHER - 1) * c->common)
        fail_msg("%s: %d steps alone, %d together", c->name, forwards, watch.forwards);
    for (int i = 0; i < TOGETHER; i++)
        score_together(network, &batch, &genotypes[i], 1, &alone[i]);
    assert_int_equal(watch.memory_calls, 0);

    /* Memory that grows on the way loses what was common: it is computed again. */
    backend->ops->release(backend, network->arena);
    network->arena = NULL;
    network->arena_bytes = 0;
    score_together(network, &batch, genotypes, TOGETHER, alone);
    assert_true(watch.memory_calls > 0);
    seki_network_close(network);
    batch_free(&batch);
    seki_backend_close(backend);
}

static void test_scores_together_are_those_of_each_alone(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT(score_cases); i++) {
        check_together("ref", &score_cases[i]);
        check_together("cpu", &score_cases[i]);
    }
}

static void test_a_genotype_of_the_other_space_is_not_scored(void **state)
{
    struct seki_backend *backend = watched_backend("ref");
    struct seki_network_config config = small_config(SEKI_NAS201, 4, 1, 8);
    struct seki_network *network = network_new(backend, &config, NULL);
    struct host_batch batch = batch_new(&config, 6, 2);
    struct seki_genotype genotypes[] = {lax(NAS201_MIXED), lax(DARTS_MIXED)};
    struct seki_batch_result results[2];
    struct seki_error error;

    (void)state;
    assert_int_equal(seki_network_prepare(network, 6, SEKI_MODE_SCORE, &error), 0);
    assert_int_equal(seki_network_score(network, &batch.batch, genotypes, 2, results, &error), -1);
    assert_string_equal(error.code, "space");
    seki_network_close(network);
    batch_free(&batch);
    seki_backend_close(backend);
}

/* ---- Memory --------------------------------------------------------------------------------- */

static void check_no_memory(const char *name, enum seki_space space)
{
    struct seki_backend *backend = watched_backend(name);
    struct seki_network_config config = small_config(space, 2, space == SEKI_DARTS ? 3 : 1, 8);
    struct seki_network *network = network_new(backend, &config, NULL);
    struct host_batch batch = batch_new(&config, 3, 2);
    struct seki_genotype genotype;
    struct seki_random random;
    struct seki_error error;

    seki_random_seed(&random, 22, 1);
    assert_int_equal(seki_network_prepare(network, 3, SEKI_MODE_SCORE, &error), 0);
    assert_int_equal(seki_network_prepare(network, 3, SEKI_MODE_TRAIN, &error), 0);
    watch.memory_calls = 0;
    for (int i = 0; i < 150; i++) {
        seki_genotype_sample(space, &random, &genotype);
        score_of(network, &genotype, &batch);
        if (i % 5 == 0)
            gradients_of(network, &batch, 0, NULL);
    }
    assert_int_equal(watch.memory_calls, 0);
    assert_true(seki_network_activation_bytes(network) > 0);
    seki_network_close(network);
    batch_free(&batch);
    seki_backend_close(backend);
}

static void test_no_step_of_a_prepared_supernet_asks_for_memory(void **state)
{
    (void)state;
    for (int space = SEKI_DARTS; space <= SEKI_NAS201; space++) {
        check_no_memory("ref", space);
        check_no_memory("cpu", space);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_score_does_not_depend_on_what_was_selected_before),
        cmocka_unit_test(test_scores_together_are_those_of_each_alone),
        cmocka_unit_test(test_a_genotype_of_the_other_space_is_not_scored),
        cmocka_unit_test(test_no_step_of_a_prepared_supernet_asks_for_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
