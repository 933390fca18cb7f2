/*
 * test_reference_training.c - whole networks against PyTorch (tests/reference): supernets and final
 * networks of both spaces, the auxiliary head, drop path; logits in every mode, losses, gradients,
 * running statistics, and the weights after 20 steps of SGD with momentum, weight decay, clipping
 * and a cosine schedule.
 */
#include "network_fixture.h"
#include "reference_fixture.h"

enum { MAX_GENOTYPES = 4 };

/* A network of a fixture, on its way through the steps. */
struct course {
    struct reference r;
    struct seki_backend *b;
    struct seki_network *network;
    struct seki_optimiser *optimiser;
    struct seki_network_config config;
    struct seki_recipe recipe;
    struct seki_genotype genotypes[MAX_GENOTYPES];
    int genotype_count, images, steps;
    bool supernet;
    double lift;
    char key[REFERENCE_KEY];
    const char *salts;              /* what is left of them */
    float *parameters, *statistics; /* before the first step */
    bool *touched;                  /* of each tensor: by a step so far */
};

/* ---- Tolerances ----------------------------------------------------------------------------- */

/* One pass: nothing in it comes near a kink, so that what is left is rounding. */
static const struct reference_tolerance one_pass = {.times = 4, .least = 2e-6, .tiny = 1e-6};
/* After the steps: the differences of one pass, grown. How far they grow is PyTorch's own figure.
 */
static const struct reference_tolerance many_steps = {.times = 8, .least = 2e-6, .tiny = 1e-6};

/* ---- Opening -------------------------------------------------------------------------------- */

static void read_genotypes(struct course *c)
{
    char text[MAX_GENOTYPES * SEKI_GENOTYPE_TEXT], *rest = text;
    struct seki_error error;

    snprintf(text, sizeof text, "%s", reference_text(&c->r, "genotypes"));
    for (char *line; (line = strtok_r(rest, "\n", &rest)) != NULL;) {
        assert_true(c->genotype_count < MAX_GENOTYPES);
        if (seki_genotype_parse(line, SEKI_LAX, &c->genotypes[c->genotype_count++], &error) < 0)
            fail_msg("%s", error.message);
    }
    assert_true(c->genotype_count > 0);
}

static void read_settings(struct course *c)
{
    const struct reference *r = &c->r;
    struct seki_error error;
    int side = (int)reference_number(r, "side");

    c->supernet = reference_number(r, "supernet") != 0;
    c->images = (int)reference_number(r, "images");
    c->steps = (int)reference_number(r, "steps");
    c->lift = reference_number(r, "lift");
    c->salts = reference_text(r, "salts");
    c->config = (struct seki_network_config){
        .channels = (int)reference_number(r, "channels"),
        .layers = (int)reference_number(r, "layers"),
        .classes = 10,
        .image_channels = 3,
        .image_height = side,
        .image_width = side,
        .auxiliary = reference_number(r, "auxiliary") > 0,
    };
    assert_int_equal(seki_space_parse(reference_text(r, "space"), &c->config.space, &error), 0);
    c->recipe = (struct seki_recipe){
        .epochs = c->steps > 0 ? c->steps : 1, /* the schedule moves with each step here */
        .batch = c->images,
        .rate = reference_number(r, "rate"),
        .rate_end = reference_number(r, "rate_end"),
        .momentum = reference_number(r, "momentum"),
        .decay = reference_number(r, "decay"),
        .nesterov = reference_number(r, "nesterov") != 0,
        .clip = reference_number(r, "clip"),
        .auxiliary = reference_number(r, "auxiliary"),
        .drop_path = reference_number(r, "drop_path"),
    };
    assert_int_equal(seki_recipe_check(&c->recipe, &error), 0);
}

/* The backend's losses are watched: the auxiliary head's is told to no one. */
static struct seki_backend *open_watched(const char *name)
{
    struct seki_error error;
    struct seki_backend *backend = seki_backend_open(name, 2, SEKI_FP32, &error);

    if (backend == NULL) {
        fail_msg("backend %s: %s", name, error.message);
        return NULL;
    }
    memset(&watch, 0, sizeof watch);
    watch.ops = backend->ops;
    watch.watched = *backend->ops;
    watch.watched.loss = watch_loss;
    backend->ops = &watch.watched;
    return backend;
}

static void course_open(struct course *c, const char *fixture, const char *backend)
{
    struct seki_error error;

    *c = (struct course){.r = reference_open(fixture)};
    c->r.who = backend;
    snprintf(c->key, sizeof c->key, "%s/", fixture);
    read_genotypes(c);
    read_settings(c);
    c->b = open_watched(backend);
    c->network = seki_network_open(c->b, &c->config, c->supernet ? NULL : &c->genotypes[0], &error);
    if (c->network == NULL) {
        fail_msg("%s", error.message);
        return;
    }
    reference_fill(c->network, c->key, 0, c->lift);
    for (int mode = SEKI_MODE_TRAIN; mode <= SEKI_MODE_INFER; mode++)
        assert_int_equal(seki_network_prepare(c->network, c->images, (enum seki_mode)mode, &error),
                         0);
    c->optimiser = seki_optimiser_open(c->network, &error);
    assert_non_null(c->optimiser);
    c->parameters = reference_copy(c->b, c->network->parameters, c->network->parameter_count);
    c->statistics = reference_copy(c->b, c->network->statistics, c->network->statistic_count);
    c->touched = calloc((size_t)seki_network_tensor_count(c->network), sizeof *c->touched);
    assert_non_null(c->touched);
}

static void course_close(struct course *c)
{
    printf("# %s: %s %d rows, the worst at %.2f of its tolerance: %s\n", c->r.who, c->key,
           c->r.compared, c->r.worst, c->r.worst_name);
    free(c->parameters);
    free(c->statistics);
    free(c->touched);
    seki_optimiser_close(c->optimiser);
    seki_network_close(c->network);
    seki_backend_close(c->b);
    reference_close(&c->r);
}

/* ---- Batches -------------------------------------------------------------------------------- */

/* The pictures of the next step; those of the first are scored too. */
static struct host_batch course_batch(const struct course *c, int step, const char *salt)
{
    const struct seki_network_config *config = &c->config;
    char name[64];
    struct host_batch made;
    uint64_t start;

    snprintf(name, sizeof name, "pictures.%d.%.*s", step, (int)strcspn(salt, " "), salt);
    made.pictures = reference_uniform(
        c->key, name,
        (size_t)(c->images * config->image_channels * config->image_height * config->image_width),
        2);
    made.labels = calloc((size_t)c->images, sizeof *made.labels);
    assert_non_null(made.labels);
    snprintf(name, sizeof name, "labels.%d", step);
    start = reference_stream(c->key, name);
    for (int i = 0; i < c->images; i++)
        made.labels[i] = (int32_t)(reference_bits(start, (size_t)i) % (uint64_t)config->classes);
    made.batch =
        (struct seki_batch){.images = c->images, .pictures = made.pictures, .labels = made.labels};
    return made;
}

/* ---- Comparisons ---------------------------------------------------------------------------- */

enum { LOGITS_INFER, LOGITS_TRAIN, LOGITS_AFTER };

static void compare_logits(struct course *c, enum seki_mode mode, int row,
                           const struct reference_tolerance *tolerance)
{
    struct host_batch first = course_batch(c, 0, reference_text(&c->r, "salts"));
    size_t count = (size_t)(c->images * c->config.classes);
    float *logits = calloc(count, sizeof *logits);
    struct seki_batch_result result;
    struct seki_error error;

    assert_non_null(logits);
    if (c->supernet)
        assert_int_equal(seki_network_select(c->network, &c->genotypes[0], &error), 0);
    if (seki_network_evaluate(c->network, &first.batch, mode, logits, &result, &error) < 0)
        fail_msg("%s", error.message);
    reference_compare_floats(&c->r, "", "logits", c->steps > 0 ? 3 : 2, row, logits, count,
                             tolerance);
    free(logits);
    batch_free(&first);
}

static bool in_fixture(const struct course *c, const struct seki_tensor_entry *entry)
{
    struct seki_tensor_entry digest = {
        .dimensions = 2,
        .size = {
            2, 2 + (entry->count <= REFERENCE_WHOLE ? (int)entry->count : REFERENCE_PROJECTIONS)}};
    struct seki_error error;

    memcpy(digest.name, entry->name, sizeof digest.name);
    return seki_checkpoint_floats(c->r.file, "", &digest, &error) != NULL;
}

/* Marks the tensors of the genotype that a step has just computed. */
static void mark_touched(struct course *c)
{
    const struct program *program = &c->network->program;

    for (int i = 0; i < program->step_count; i++) {
        int first = 0;

        for (int m = 0; m < program->steps[i].module; m++)
            first += c->network->modules[m].info.count;
        for (int t = 0; t < c->network->modules[program->steps[i].module].info.count; t++)
            c->touched[first + t] = true;
    }
}

static void displacement(double *moved, const float *now, const float *before, size_t count)
{
    for (size_t i = 0; i < count; i++)
        moved[i] = (double)now[i] - (double)before[i];
}

/* Row 0: gradients and statistics after the first pass. Row 1: how far weights have moved, and
 * statistics, after all. What no step has touched must be as it was, and in no fixture. */
static void compare_tensors(struct course *c, int row, const struct reference_tolerance *tolerance)
{
    const struct seki_network *network = c->network;
    float *parameters = reference_copy(c->b, row == 0 ? network->gradients : network->parameters,
                                       network->parameter_count);
    float *statistics = reference_copy(c->b, network->statistics, network->statistic_count);
    double *moved = calloc(network->parameter_count + 1, sizeof *moved);

    assert_non_null(moved);
    for (int i = 0; i < seki_network_tensor_count(network); i++) {
        struct seki_tensor_entry entry;

        seki_network_tensor(network, i, &entry);
        const float *now = (entry.statistic ? statistics : parameters) + entry.offset;
        const float *before = (entry.statistic ? c->statistics : c->parameters) + entry.offset;
        if (row == 1 && !c->touched[i]) {
            assert_false(in_fixture(c, &entry));
            if (memcmp(now, before, entry.count * sizeof *now) != 0)
                fail_msg("%s: %s was changed, though no genotype has it", c->r.who, entry.name);
        } else if (row == 1 && !entry.statistic) {
            displacement(moved, now, before, entry.count);
            reference_compare(&c->r, "", entry.name, 2, row, moved, entry.count, tolerance);
        } else if (c->touched[i]) {
            reference_compare_floats(&c->r, "", entry.name, 2, row, now, entry.count, tolerance);
        }
    }
    free(parameters);
    free(statistics);
    free(moved);
}

/* ---- The course ----------------------------------------------------------------------------- */

static void run_step(struct course *c, int step, double *loss, double *norm)
{
    struct host_batch batch = course_batch(c, step, c->salts);
    struct seki_drop_path drop_path = {c->recipe.drop_path, seki_hash_string(c->key),
                                       (uint64_t)step};
    struct seki_batch_result result;
    struct seki_error error;

    c->salts += strcspn(c->salts, " ");
    c->salts += *c->salts == ' ';
    if (c->supernet)
        assert_int_equal(
            seki_network_select(c->network, &c->genotypes[step % c->genotype_count], &error), 0);
    watch.objective = 0;
    if (seki_optimiser_step(c->optimiser, &batch.batch, &c->recipe, seki_rate(&c->recipe, step),
                            &drop_path, &result, &error) < 0)
        fail_msg("%s", error.message);
    *loss = watch.objective;
    *norm = result.norm;
    mark_touched(c);
    if (step == 0)
        compare_tensors(c, 0, &one_pass);
    batch_free(&batch);
}

/* A fixture of no steps has what comes out of one pass forward, and nothing of backward. */
static void one_pass_forward(struct course *c)
{
    struct host_batch batch = course_batch(c, 0, c->salts);
    double loss = gradients_of(c->network, &batch, c->recipe.auxiliary, NULL);
    float *statistics = reference_copy(c->b, c->network->statistics, c->network->statistic_count);

    reference_compare(&c->r, "", "losses", 1, 0, &loss, 1, &one_pass);
    for (int i = 0; i < seki_network_tensor_count(c->network); i++) {
        struct seki_tensor_entry entry;

        seki_network_tensor(c->network, i, &entry);
        if (entry.statistic)
            reference_compare_floats(&c->r, "", entry.name, 1, 0, statistics + entry.offset,
                                     entry.count, &one_pass);
    }
    free(statistics);
    batch_free(&batch);
}

static void all_steps(struct course *c)
{
    double losses[32], norms[32];
    size_t steps = (size_t)c->steps;

    assert_true(c->steps <= COUNT(losses));
    for (int step = 0; step < c->steps; step++)
        run_step(c, step, &losses[step], &norms[step]);
    reference_compare(&c->r, "", "losses", 1, 0, losses, steps, &many_steps);
    reference_compare(&c->r, "", "norms", 1, 0, norms, steps, &many_steps);
    compare_tensors(c, 1, &many_steps);
    compare_logits(c, SEKI_MODE_INFER, LOGITS_AFTER, &many_steps);
}

static void run_course(const char *fixture, const char *backend)
{
    struct course c;

    course_open(&c, fixture, backend);
    compare_logits(&c, SEKI_MODE_INFER, LOGITS_INFER, &one_pass);
    if (c.recipe.drop_path == 0)
        compare_logits(&c, SEKI_MODE_SCORE, LOGITS_TRAIN, &one_pass);
    if (c.steps > 0)
        all_steps(&c);
    else
        one_pass_forward(&c);
    course_close(&c);
}

/* Both backends. `ref` takes a minute and more for the networks of 36 channels and 20 cells, and 5
 * seconds for nas201_final, of which nas201_supernet has every part. */
static void run_both(const char *fixture)
{
    run_course(fixture, "ref");
    run_course(fixture, "cpu");
}

static void test_the_darts_supernet(void **state)
{
    (void)state;
    run_both("darts_supernet");
}

static void test_the_final_network(void **state)
{
    (void)state;
    run_course("darts_final", "cpu");
}

static void test_twenty_steps_of_the_final_network(void **state)
{
    (void)state;
    run_course("darts_final_steps", "cpu");
}

static void test_drop_path(void **state)
{
    (void)state;
    run_course("darts_drop_path", "cpu");
}

static void test_a_lax_genotype(void **state)
{
    (void)state;
    run_both("darts_lax");
}

static void test_the_nas201_supernet(void **state)
{
    (void)state;
    run_both("nas201_supernet");
}

static void test_the_nas201_network(void **state)
{
    (void)state;
    run_course("nas201_final", "cpu");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_darts_supernet),
        cmocka_unit_test(test_the_final_network),
        cmocka_unit_test(test_twenty_steps_of_the_final_network),
        cmocka_unit_test(test_drop_path),
        cmocka_unit_test(test_a_lax_genotype),
        cmocka_unit_test(test_the_nas201_supernet),
        cmocka_unit_test(test_the_nas201_network),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
