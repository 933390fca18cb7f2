/*
 * test_cuda_calls.c - what training asks of a GPU and of the system, as the stand-in counts it: a
 * step takes no memory, makes no graph and waits for nothing; and of how many kernels it is.
 */
#include "../unit/network_fixture.h"
#include "../unit/data_fixture.h"
#include "../unit/support.h"

#include "calls.h"
#include "training/training_internal.h"

/* ---- Counting ------------------------------------------------------------------------------- */

static struct stand_in_calls calls_since(const struct stand_in_calls *before)
{
    const struct stand_in_calls now = stand_in_count();

    return (struct stand_in_calls){.device_memory = now.device_memory - before->device_memory,
                                   .locked_memory = now.locked_memory - before->locked_memory,
                                   .host_memory = now.host_memory - before->host_memory,
                                   .waits = now.waits - before->waits,
                                   .copies_back = now.copies_back - before->copies_back,
                                   .graphs_made = now.graphs_made - before->graphs_made,
                                   .launches = now.launches - before->launches,
                                   .kernels = now.kernels - before->kernels};
}

/* `waits`: results that were collected. */
static void check_calls(const struct stand_in_calls *calls, long waits)
{
    assert_int_equal(calls->device_memory, 0);
    assert_int_equal(calls->locked_memory, 0);
    assert_int_equal(calls->host_memory, 0);
    assert_int_equal(calls->graphs_made, 0);
    assert_int_equal(calls->waits, waits);
    assert_int_equal(calls->copies_back, waits);
}

/* ---- Steps of a network --------------------------------------------------------------------- */

static struct seki_backend *open_cuda(void)
{
    struct seki_error error;
    struct seki_backend *backend = seki_backend_open("cuda", 0, SEKI_BF16, &error);

    if (backend == NULL)
        fail_msg("%s", error.message);
    return backend;
}

/* Batches of two sizes take turns. */
struct run {
    struct seki_backend *backend;
    struct seki_network *network;
    struct seki_optimiser *optimiser;
    struct seki_recipe recipe;
    struct host_batch batches[2];
    bool supernet;
    int steps;
};

/* text NULL: the supernet. */
static struct run run_new(const struct seki_network_config *config, const char *text)
{
    static const int sizes[] = {4, 3};
    struct run run = {.backend = open_cuda(), .supernet = text == NULL};
    struct seki_genotype genotype;
    struct seki_error error;

    if (text != NULL)
        assert_int_equal(seki_genotype_parse(text, SEKI_LAX, &genotype, &error), 0);
    run.network = network_new(run.backend, config, text != NULL ? &genotype : NULL);
    if (run.supernet)
        seki_recipe_supernet(config->space, &run.recipe);
    else
        seki_recipe_final(config->space, &run.recipe);
    for (int i = 0; i < 2; i++) {
        run.batches[i] = batch_new(config, sizes[i], 3);
        assert_int_equal(seki_network_prepare(run.network, sizes[i], SEKI_MODE_TRAIN, &error), 0);
    }
    run.optimiser = seki_optimiser_open(run.network, &error);
    assert_non_null(run.optimiser);
    return run;
}

static void run_free(struct run *run)
{
    seki_optimiser_close(run->optimiser);
    seki_network_close(run->network);
    seki_backend_close(run->backend);
    for (int i = 0; i < 2; i++)
        batch_free(&run->batches[i]);
}

static void select_path(struct run *run)
{
    struct seki_random random;
    struct seki_genotype genotype;
    struct seki_error error;

    seki_random_seed(&random, 5, (uint64_t)run->steps);
    seki_genotype_sample(seki_network_get_config(run->network)->space, &random, &genotype);
    assert_int_equal(seki_network_select(run->network, &genotype, &error), 0);
}

static void take_steps(struct run *run, int count)
{
    struct seki_error error;

    for (int i = 0; i < count; i++, run->steps++) {
        const struct seki_drop_path drop_path = {run->recipe.drop_path, 6, (uint64_t)run->steps};

        if (run->supernet)
            select_path(run);
        assert_int_equal(seki_optimiser_step(run->optimiser, &run->batches[run->steps % 2].batch,
                                             &run->recipe, 0.01, &drop_path, NULL, &error),
                         0);
    }
}

/* All that is due; asserts that it is finite. */
static void collect(struct run *run)
{
    struct seki_tally tallies[SEKI_MAX_PENDING];
    const int count = seki_network_pending(run->network);
    struct seki_error error;

    assert_int_equal(seki_network_collect(run->network, tallies, &error), 0);
    for (int i = 0; i < count; i++)
        assert_true(isfinite(tallies[i].loss) && isfinite(tallies[i].norm));
}

/* After the first steps of each size. */
static void check_steps(enum seki_space space, const char *text)
{
    enum { WARM = 4, STEPS = 10 };
    struct seki_network_config config = small_config(space, 4, space == SEKI_DARTS ? 3 : 1, 8);
    struct run run = run_new(&config, text);
    struct stand_in_calls before, calls;

    take_steps(&run, WARM);
    collect(&run);
    before = stand_in_count();
    take_steps(&run, STEPS);
    calls = calls_since(&before);
    check_calls(&calls, 0);
    assert_true(calls.kernels > STEPS);
    before = stand_in_count();
    collect(&run);
    calls = calls_since(&before);
    check_calls(&calls, 1);
    run_free(&run);
}

static void test_a_step_takes_no_memory_and_waits_for_nothing(void **state)
{
    (void)state;
    check_steps(SEKI_DARTS, NULL);
    check_steps(SEKI_NAS201, NULL);
    check_steps(SEKI_DARTS, DARTS_MIXED);
    check_steps(SEKI_NAS201, NAS201_MIXED);
}

/* What is counted is what is asked for: else the test above would hold of anything. */
static void test_what_is_asked_for_is_counted(void **state)
{
    struct seki_network_config config = small_config(SEKI_NAS201, 4, 1, 8);
    const struct stand_in_calls before = stand_in_count();
    struct run run = run_new(&config, NAS201_MIXED);

    (void)state;
    take_steps(&run, 1);
    collect(&run);
    run_free(&run);
    const struct stand_in_calls calls = calls_since(&before);

    assert_true(calls.device_memory > 0 && calls.locked_memory > 0 && calls.host_memory > 0);
    assert_int_equal(calls.graphs_made, 1);
    assert_true(calls.waits > 0 && calls.copies_back == 1);
    assert_true(calls.launches > 0 && calls.kernels > calls.launches);
}

/* ---- Steps of a trainer --------------------------------------------------------------------- */

static void make_pictures(const char *folder)
{
    for (int file = 0; file < COUNT(fixture_cifar10); file++)
        fixture_cifar_file(folder, fixture_cifar10[file], file, 20, 1);
}

/* Each step waits once where it collects what is due, and else never. */
static void check_trainer(struct seki_trainer *trainer)
{
    enum { WARM = 2 }; /* epochs */
    struct seki_error error;
    int uncollected = 0;

    for (int epoch = 0; epoch < WARM + 2; epoch++) {
        while (seki_trainer_steps_done(trainer) < seki_trainer_steps(trainer)) {
            const struct stand_in_calls before = stand_in_count();

            if (seki_trainer_step(trainer, &error) < 0)
                fail_msg("%s", error.message);
            const struct stand_in_calls calls = calls_since(&before);
            const bool collected = seki_network_pending(seki_trainer_network(trainer)) == 0;

            if (epoch >= WARM)
                check_calls(&calls, collected ? 1 : 0);
            uncollected += epoch >= WARM && !collected;
        }
        seki_trainer_end_epoch(trainer);
    }
    assert_true(uncollected > 0);
}

static void check_training(void **state, bool supernet, enum seki_space space, const char *text)
{
    struct seki_training_settings settings = {.supernet = supernet,
                                              .space = space,
                                              .channels = 4,
                                              .layers = space == SEKI_DARTS ? 3 : 1,
                                              .images = 100,
                                              .seed = 2};
    struct seki_error error;
    struct seki_dataset *dataset = seki_dataset_open(support_path(state, "."), &error);
    struct seki_backend *backend = open_cuda();

    assert_non_null(dataset);
    if (supernet)
        seki_recipe_supernet(space, &settings.recipe);
    else
        seki_recipe_final(space, &settings.recipe);
    assert_int_equal(seki_genotype_parse(text, SEKI_LAX, &settings.genotype, &error), 0);
    settings.recipe.batch = 8;
    settings.recipe.epochs = 4;
    struct seki_trainer *trainer = seki_trainer_open(backend, dataset, &settings, &error);

    if (trainer == NULL)
        fail_msg("%s", error.message);
    check_trainer(trainer);
    seki_trainer_close(trainer);
    seki_backend_close(backend);
    seki_dataset_close(dataset);
}

/* Kernels are not run: a step is then so short that most are not collected. */
static void test_a_trainer_waits_for_what_it_collects(void **state)
{
    make_pictures(support_path(state, "."));
    stand_in_compute(false);
    check_training(state, true, SEKI_DARTS, DARTS_MIXED);
    check_training(state, true, SEKI_NAS201, NAS201_MIXED);
    check_training(state, false, SEKI_DARTS, DARTS_MIXED);
    check_training(state, false, SEKI_NAS201, NAS201_MIXED);
    stand_in_compute(true);
}

/* ---- Kernels of a step ---------------------------------------------------------------------- */

static void count_kernels(const char *what, struct seki_network_config config, const char *text)
{
    enum { WARM = 2, STEPS = 20 };

    config.classes = 10;
    config.image_channels = 3;
    config.auxiliary = config.space == SEKI_DARTS && text != NULL;
    struct run run = run_new(&config, text);

    take_steps(&run, WARM);
    const struct stand_in_calls before = stand_in_count();

    take_steps(&run, STEPS);
    const struct stand_in_calls calls = calls_since(&before);

    printf("# %s: %.0f kernels a step, %.0f launches\n", what, (double)calls.kernels / STEPS,
           (double)calls.launches / STEPS);
    assert_true(text == NULL ? calls.launches == calls.kernels
                             : calls.launches < calls.kernels / 5);
    run_free(&run);
}

static void test_a_final_networks_step_is_a_few_launches(void **state)
{
    (void)state;
    stand_in_compute(false);
    count_kernels("supernet, darts, 16 channels, 8 cells", small_config(SEKI_DARTS, 16, 8, 32),
                  NULL);
    count_kernels("supernet, nas201, 16 channels, 5 cells a stage",
                  small_config(SEKI_NAS201, 16, 5, 32), NULL);
    count_kernels("final network, DARTS_V2, 36 channels, 20 cells",
                  small_config(SEKI_DARTS, 36, 20, 32), DARTS_V2);
    count_kernels("final network, nas201, 16 channels, 5 cells a stage",
                  small_config(SEKI_NAS201, 16, 5, 32), NAS201_MIXED);
    stand_in_compute(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_step_takes_no_memory_and_waits_for_nothing),
        cmocka_unit_test(test_what_is_asked_for_is_counted),
        cmocka_unit_test_setup_teardown(test_a_trainer_waits_for_what_it_collects,
                                        support_make_folder, support_remove_folder),
        cmocka_unit_test(test_a_final_networks_step_is_a_few_launches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
