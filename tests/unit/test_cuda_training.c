/*
 * test_cuda_training.c - a supernet and a final network trained on the GPU backend beside the CPU
 * backend: the same losses, step for step.
 */
#include "network_fixture.h"
#include "gpu_fixture.h"

#include "training/training_internal.h"

enum { STEPS = 50, BATCH = 8, REST = 5 }; /* every fifth batch is smaller */

/* What both sides train; genotype NULL: the supernet, another path in each step. */
struct course {
    struct seki_network_config config;
    const struct seki_genotype *genotype;
    struct seki_recipe recipe;
    int steps;
    bool collect; /* what the steps come to is looked at after the last */
    double losses[STEPS], norms[STEPS];
};

static int images_of(int step)
{
    return step % 5 == 4 ? REST : BATCH;
}

static void take_step(struct course *course, struct seki_network *network,
                      struct seki_optimiser *optimiser, int step)
{
    struct seki_drop_path drop_path = {course->recipe.drop_path, 5, (uint64_t)step};
    const int images = images_of(step);
    struct host_batch batch = batch_new(&course->config, images, 100 + (uint64_t)step % 4);
    struct seki_batch_result result;
    struct seki_error error;

    if (course->genotype == NULL) {
        struct seki_random random;
        struct seki_genotype genotype;

        seki_random_seed(&random, 11, (uint64_t)step);
        seki_genotype_sample(course->config.space, &random, &genotype);
        assert_int_equal(seki_network_select(network, &genotype, &error), 0);
    }
    if (seki_optimiser_step(optimiser, &batch.batch, &course->recipe,
                            seki_rate(&course->recipe, step), &drop_path,
                            course->collect ? NULL : &result, &error) < 0)
        fail_msg("step %d: %s", step, error.message);
    if (!course->collect) {
        course->losses[step] = result.loss / images;
        course->norms[step] = result.norm;
    }
    batch_free(&batch);
}

static void collect(struct course *course, struct seki_network *network)
{
    struct seki_tally tallies[SEKI_MAX_PENDING];
    struct seki_error error;

    assert_int_equal(seki_network_pending(network), course->steps);
    assert_int_equal(seki_network_collect(network, tallies, &error), 0);
    for (int step = 0; step < course->steps; step++) {
        course->losses[step] = tallies[step].loss / images_of(step);
        course->norms[step] = tallies[step].norm;
    }
}

static void train(struct course *course, struct seki_backend *backend)
{
    struct seki_network *network = network_new(backend, &course->config, course->genotype);
    struct seki_error error;

    assert_int_equal(seki_network_prepare(network, BATCH, SEKI_MODE_TRAIN, &error), 0);
    assert_int_equal(seki_network_prepare(network, REST, SEKI_MODE_TRAIN, &error), 0);
    struct seki_optimiser *optimiser = seki_optimiser_open(network, &error);

    assert_non_null(optimiser);
    for (int step = 0; step < course->steps; step++)
        take_step(course, network, optimiser, step);
    if (course->collect)
        collect(course, network);
    seki_optimiser_close(optimiser);
    seki_network_close(network);
}

/* Rounding alone moves both apart where a value passes 0 before a ReLU, or two under a maximum
 * change places: by a loss of 1e-3 with the recipe's rate and pictures of this size, CPU and ref
 * not less than CPU and GPU. The rate of 0.005 and these seeds keep that far below the tolerance.
 */
static void compare_courses(const struct course *course)
{
    struct course on_cpu = *course, on_gpu = *course;
    struct seki_error error;
    struct seki_backend *gpu = open_gpu(SEKI_FP32),
                        *cpu = seki_backend_open("cpu", 2, SEKI_FP32, &error);
    double worst = 0;

    assert_non_null(cpu);
    train(&on_cpu, cpu);
    train(&on_gpu, gpu);
    for (int step = 0; step < course->steps; step++) {
        double distance = fabs(on_gpu.losses[step] - on_cpu.losses[step]);

        if (!(distance <= 1e-4))
            fail_msg("step %d: the loss is %.7f, on the CPU %.7f", step, on_gpu.losses[step],
                     on_cpu.losses[step]);
        worst = fmax(worst, distance);
    }
    printf("# losses differ by %.2g at most, from %.4f to %.4f\n", worst, on_gpu.losses[0],
           on_gpu.losses[course->steps - 1]);
    seki_backend_close(cpu);
    seki_backend_close(gpu);
}

static struct course course_of(enum seki_space space, const struct seki_genotype *genotype)
{
    struct course course = {.config = small_config(space, 8, space == SEKI_DARTS ? 3 : 1, 8),
                            .genotype = genotype,
                            .steps = STEPS};

    if (genotype == NULL)
        seki_recipe_supernet(space, &course.recipe);
    else
        seki_recipe_final(space, &course.recipe);
    course.recipe.epochs = STEPS;
    course.recipe.rate = genotype == NULL ? 0.005 : 0.025;
    course.recipe.drop_path = genotype != NULL && space == SEKI_DARTS ? 0.2 : 0;
    return course;
}

static void test_supernets_train_as_on_the_cpu(void **state)
{
    (void)state;
    for (int space = SEKI_DARTS; space <= SEKI_NAS201; space++) {
        struct course course = course_of((enum seki_space)space, NULL);

        compare_courses(&course);
    }
}

static struct course final_course(enum seki_space space, const char *text,
                                  struct seki_genotype *genotype)
{
    struct seki_error error;

    assert_int_equal(seki_genotype_parse(text, SEKI_LAX, genotype, &error), 0);
    return course_of(space, genotype);
}

static void test_final_networks_train_as_on_the_cpu(void **state)
{
    struct seki_genotype genotype;
    struct course course = final_course(SEKI_DARTS, DARTS_MIXED, &genotype);

    (void)state;
    compare_courses(&course);
    course = final_course(SEKI_NAS201, NAS201_MIXED, &genotype);
    compare_courses(&course);
}

/* Gradients of several runs of parameters, since not all modules are used; an auxiliary head's loss
 * beside the network's. */
static void test_a_lax_network_with_an_auxiliary_head_does_too(void **state)
{
    struct seki_genotype genotype;
    struct course course = final_course(SEKI_DARTS, DARTS_LAX, &genotype);

    (void)state;
    course.config = small_config(SEKI_DARTS, 4, 3, 32);
    course.config.auxiliary = true;
    course.steps = 2;
    compare_courses(&course);
}

/* Steps that nobody waits for leave the same numbers, whether told call by call or recorded. */
static void test_collected_steps_are_those_waited_for(void **state)
{
    struct seki_genotype genotype;
    const struct course courses[] = {final_course(SEKI_DARTS, DARTS_MIXED, &genotype),
                                     course_of(SEKI_DARTS, NULL)};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct seki_backend *gpu = open_gpu(SEKI_BF16);
        struct course waited = courses[i], collected = courses[i];

        waited.steps = collected.steps = 6;
        collected.collect = true;
        train(&waited, gpu);
        train(&collected, gpu);
        assert_memory_equal(waited.losses, collected.losses, sizeof waited.losses);
        assert_memory_equal(waited.norms, collected.norms, sizeof waited.norms);
        seki_backend_close(gpu);
    }
}

/* Of the first and of the last ten steps. */
static double mean_loss(const struct course *course, int first)
{
    double sum = 0;

    for (int step = first; step < first + 10; step++)
        sum += course->losses[step];
    return sum / 10;
}

static void test_other_precisions_learn(void **state)
{
    struct seki_genotype genotype;
    const struct course course = final_course(SEKI_DARTS, DARTS_MIXED, &genotype);

    (void)state;
    for (int precision = SEKI_TF32; precision <= SEKI_BF16; precision++) {
        struct seki_backend *gpu = open_gpu((enum seki_precision)precision);
        struct course on_gpu = course;

        on_gpu.steps = 30;
        train(&on_gpu, gpu);
        printf("# %s: from %.4f to %.4f\n", seki_precision_name((enum seki_precision)precision),
               mean_loss(&on_gpu, 0), mean_loss(&on_gpu, on_gpu.steps - 10));
        assert_true(mean_loss(&on_gpu, on_gpu.steps - 10) < 0.5 * mean_loss(&on_gpu, 0));
        seki_backend_close(gpu);
    }
}

static void compare_scores(struct seki_network *network, const struct seki_genotype *genotypes,
                           int count, uint64_t seed)
{
    struct host_batch batch = batch_new(seki_network_get_config(network), BATCH, seed);
    struct seki_batch_result together[16], apart;
    struct seki_error error;

    assert_int_equal(seki_network_score(network, &batch.batch, genotypes, count, together, &error),
                     0);
    for (int i = 0; i < count; i++) {
        assert_int_equal(seki_network_select(network, &genotypes[i], &error), 0);
        assert_int_equal(
            seki_network_evaluate(network, &batch.batch, SEKI_MODE_SCORE, NULL, &apart, &error), 0);
        assert_true(together[i].loss == apart.loss);
        assert_int_equal(together[i].correct, apart.correct);
    }
    batch_free(&batch);
}

/* Candidates beside each other are what each is alone, to the bit; also where they are more than
 * lanes. */
static void test_scores_together_are_those_apart(void **state)
{
    enum { COUNT = 7 };
    struct seki_network_config config = small_config(SEKI_DARTS, 4, 3, 8);
    struct seki_genotype genotypes[COUNT];
    struct seki_random random;
    struct seki_error error;

    (void)state;
    seki_random_seed(&random, 3, 1);
    for (int i = 0; i < COUNT; i++)
        seki_genotype_sample(SEKI_DARTS, &random, &genotypes[i]);
    for (int precision = SEKI_FP32; precision <= SEKI_BF16; precision++) {
        struct seki_backend *gpu = open_gpu((enum seki_precision)precision);
        struct seki_network *network = network_new(gpu, &config, NULL);

        assert_int_equal(seki_network_prepare(network, BATCH, SEKI_MODE_SCORE, &error), 0);
        /* What the lanes read of the common steps is another in each batch. */
        for (uint64_t seed = 9; seed < 12; seed++)
            compare_scores(network, genotypes, COUNT, seed);
        seki_network_close(network);
        seki_backend_close(gpu);
    }
}

/* Of a batch smaller than what was prepared, whose convolutions may want more scratch than the
 * larger one's; wide enough for cuDNN. */
static void test_a_smaller_batch_is_scored_in_lanes(void **state)
{
    enum { COUNT = 4 };
    struct seki_network_config config = small_config(SEKI_NAS201, 16, 1, 8);
    struct seki_backend *gpu = open_gpu(SEKI_BF16);
    struct seki_network *network = network_new(gpu, &config, NULL);
    struct seki_genotype genotypes[COUNT];
    struct seki_random random;
    struct seki_error error;

    (void)state;
    seki_random_seed(&random, 3, 2);
    for (int i = 0; i < COUNT; i++)
        seki_genotype_sample(SEKI_NAS201, &random, &genotypes[i]);
    assert_int_equal(seki_network_prepare(network, BATCH, SEKI_MODE_SCORE, &error), 0);
    struct host_batch batch = batch_new(&config, REST, 17);
    struct seki_batch_result together[COUNT], apart;

    assert_int_equal(seki_network_score(network, &batch.batch, genotypes, COUNT, together, &error),
                     0);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(seki_network_select(network, &genotypes[i], &error), 0);
        assert_int_equal(
            seki_network_evaluate(network, &batch.batch, SEKI_MODE_SCORE, NULL, &apart, &error), 0);
        assert_true(together[i].loss == apart.loss);
    }
    batch_free(&batch);
    seki_network_close(network);
    seki_backend_close(gpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_supernets_train_as_on_the_cpu),
        cmocka_unit_test(test_final_networks_train_as_on_the_cpu),
        cmocka_unit_test(test_a_lax_network_with_an_auxiliary_head_does_too),
        cmocka_unit_test(test_collected_steps_are_those_waited_for),
        cmocka_unit_test(test_other_precisions_learn),
        cmocka_unit_test(test_scores_together_are_those_apart),
        cmocka_unit_test(test_a_smaller_batch_is_scored_in_lanes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
