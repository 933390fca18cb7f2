/*
 * test_training.c - recipes, the learning rate's schedule, clipping, what a step changes, and the
 * reader of safetensors files against what a broken or hostile file may hold.
 */
#include "network_fixture.h"
#include "support.h"
#include "training/training_internal.h"

/* ---- Recipes and the schedule --------------------------------------------------------------- */

static void test_recipes_are_the_published_ones(void **state)
{
    struct seki_recipe r;

    (void)state;
    seki_recipe_final(SEKI_DARTS, &r);
    assert_true(r.epochs == 600 && r.batch == 96 && r.rate == 0.025 && r.rate_end == 0);
    assert_true(!r.rate_each_step && r.momentum == 0.9 && !r.nesterov && r.decay == 3e-4);
    assert_true(r.clip == 5 && r.auxiliary == 0.4 && r.drop_path == 0.2);
    assert_true(r.augmentation.padding == 4 && r.augmentation.flip && r.augmentation.cutout == 16);
    seki_recipe_final(SEKI_NAS201, &r);
    assert_true(r.epochs == 200 && r.batch == 256 && r.rate == 0.1 && r.rate_end == 0);
    assert_true(r.rate_each_step && r.momentum == 0.9 && r.nesterov && r.decay == 5e-4);
    assert_true(r.clip == 0 && r.auxiliary == 0 && r.drop_path == 0);
    assert_true(r.augmentation.padding == 4 && r.augmentation.flip && r.augmentation.cutout == 0);
    for (int space = SEKI_DARTS; space <= SEKI_NAS201; space++) {
        seki_recipe_supernet(space, &r);
        assert_true(r.epochs == 50 && r.batch == 64 && r.rate == 0.025 && r.rate_end == 0.001);
        assert_true(!r.rate_each_step && r.momentum == 0.9 && !r.nesterov && r.clip == 5);
        assert_true(r.decay == (space == SEKI_DARTS ? 3e-4 : 5e-4));
        assert_true(r.auxiliary == 0 && r.drop_path == 0 && r.augmentation.cutout == 0);
    }
}

static void test_the_rate_follows_a_cosine(void **state)
{
    const struct seki_recipe recipe = {.epochs = 50, .rate = 0.025, .rate_end = 0.001};

    (void)state;
    assert_true(seki_rate(&recipe, 0) == 0.025);
    assert_true(fabs(seki_rate(&recipe, 25) - 0.013) < 1e-15);
    assert_true(fabs(seki_rate(&recipe, 50) - 0.001) < 1e-15);
    /* cos(pi / 4) = 0.70710678; a fraction of an epoch counts. */
    assert_true(fabs(seki_rate(&recipe, 12.5) - (0.001 + 0.024 * 0.853553390593)) < 1e-12);
    for (int i = 0; i < 500; i++)
        assert_true(seki_rate(&recipe, i / 10.0) > seki_rate(&recipe, (i + 1) / 10.0));
}

static void test_a_recipe_that_makes_no_sense_is_refused_by_name(void **state)
{
    struct seki_recipe good;

    (void)state;
    seki_recipe_final(SEKI_DARTS, &good);
    struct {
        const char *name;
        struct seki_recipe recipe;
    } cases[] = {{"epochs", good},    {"batch", good},       {"lr is", good},
                 {"momentum", good},  {"clip", good},        {"drop-path", good},
                 {"auxiliary", good}, {"weight-decay", good}};
    struct seki_error error;

    cases[0].recipe.epochs = 0;
    cases[1].recipe.batch = 1;
    cases[2].recipe.rate = NAN;
    cases[3].recipe.momentum = 1.5;
    cases[4].recipe.clip = -1;
    cases[5].recipe.drop_path = 1;
    cases[6].recipe.auxiliary = INFINITY;
    cases[7].recipe.decay = -1e-9;
    assert_int_equal(seki_recipe_check(&good, &error), 0);
    for (int i = 0; i < COUNT(cases); i++) {
        assert_int_equal(seki_recipe_check(&cases[i].recipe, &error), -1);
        assert_int_equal(error.kind, SEKI_BAD_USE);
        if (!strstr(error.message, cases[i].name))
            fail_msg("%s: %s", cases[i].name, error.message);
    }
}

/* ---- A step --------------------------------------------------------------------------------- */

struct step_run {
    struct seki_backend *backend;
    struct seki_network *network;
    struct seki_optimiser *optimiser;
    struct host_batch batch;
    float *before, *gradients, *after;
    size_t count;
    double norm; /* as the step told it */
};

/* One step of the recipe from new weights; supernet: of the genotype alone. */
static struct step_run step_new(bool supernet, const struct seki_recipe *recipe, double rate)
{
    struct seki_genotype genotype = parse(NAS201_MIXED, SEKI_STRICT);
    struct seki_network_config config = small_config(SEKI_NAS201, 3, 1, 8);
    struct seki_batch_result result;
    struct seki_error error;
    struct step_run run = {.backend = watched_backend("ref"), .batch = batch_new(&config, 4, 3)};

    run.network = network_new(run.backend, &config, supernet ? NULL : &genotype);
    assert_int_equal(seki_network_prepare(run.network, 4, SEKI_MODE_TRAIN, &error), 0);
    if (supernet)
        assert_int_equal(seki_network_select(run.network, &genotype, &error), 0);
    run.optimiser = seki_optimiser_open(run.network, &error);
    assert_non_null(run.optimiser);
    run.before = copy_array(run.network, PARAMETER_ARRAY, &run.count);
    assert_int_equal(
        seki_optimiser_step(run.optimiser, &run.batch.batch, recipe, rate, NULL, &result, &error),
        0);
    run.norm = result.norm;
    run.gradients = copy_array(run.network, GRADIENT_ARRAY, &run.count);
    run.after = copy_array(run.network, PARAMETER_ARRAY, &run.count);
    return run;
}

static void step_free(struct step_run *run)
{
    free(run->before);
    free(run->gradients);
    free(run->after);
    seki_optimiser_close(run->optimiser);
    seki_network_close(run->network);
    batch_free(&run->batch);
    seki_backend_close(run->backend);
}

/* torch.nn.utils.clip_grad_norm_: the gradient times clip / (norm + 1e-6), where that is below 1.
 */
static void test_a_long_gradient_is_clipped_as_pytorch_does(void **state)
{
    struct seki_recipe plain = {.clip = 0};
    struct step_run run = step_new(false, &plain, 0);
    double norm = norm_of(run.gradients, run.count);
    const double clips[] = {0, norm / 10, norm * 0.99, norm * 2};

    (void)state;
    assert_true(norm > 0.1);
    step_free(&run);
    for (int i = 0; i < COUNT(clips); i++) {
        struct seki_recipe recipe = {.clip = clips[i]};
        double scale = clips[i] > 0 && clips[i] < norm ? clips[i] / (norm + 1e-6) : 1;

        run = step_new(false, &recipe, 0.5);
        assert_true(fabs(run.norm - norm) < 1e-9 * norm);
        for (size_t j = 0; j < run.count; j++) {
            double expected = (double)run.before[j] - 0.5 * scale * (double)run.gradients[j];

            assert_true(fabs((double)run.after[j] - expected) < 1e-6);
        }
        step_free(&run);
    }
}

static void test_a_step_of_the_supernet_changes_the_selected_alone(void **state)
{
    struct seki_recipe recipe = {.momentum = 0.9, .decay = 0.1, .clip = 5};
    struct step_run run = step_new(true, &recipe, 0.5);
    const float *momenta = seki_optimiser_momenta(run.optimiser); /* ref's memory is the host's */
    size_t changed = 0, kept = 0;

    (void)state;
    for (int i = 0; i < seki_network_tensor_count(run.network); i++) {
        struct seki_tensor_entry entry;

        seki_network_tensor(run.network, i, &entry);
        for (size_t j = entry.offset; j < entry.offset + entry.count && !entry.statistic; j++) {
            bool active = is_active(run.network, j);

            /* Weight decay would show in a weight that has no gradient. */
            if ((run.before[j] == run.after[j] && run.before[j] != 0 && active) ||
                ((run.before[j] != run.after[j] || momenta[j] != 0) && !active))
                fail_msg("%s is %s", entry.name, active ? "not changed" : "changed");
            *(active ? &changed : &kept) += 1;
        }
    }
    assert_true(changed > 100 && kept > changed);
    step_free(&run);
}

/* ---- Safetensors: hostile files ------------------------------------------------------------- */

#define T(name, type, shape, begin, end)                                                           \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end  \
    "]}"

static const struct {
    const char *header;
    size_t data; /* bytes after the header, all 0 */
    const char *message;
} files[] = {
    {"{}", 0, NULL},
    {"{\"__metadata__\":{\"a\":\"b\"}}", 0, NULL},
    {"{" T("a", "F32", "[2]", 0, 8) "}  ", 8, NULL},
    {"{" T("b", "F32", "[1]", 4, 8) "," T("a", "F32", "[]", 0, 4) "}", 8, NULL},
    {"{" T("a", "F32", "[0,3]", 0, 0) "}", 0, NULL},
    {"{" T("a", "F16", "[2]", 0, 4) "," T("b", "I64", "[1]", 4, 12) "}", 12, NULL},
    {"", 0, "no JSON object"},
    {"[]", 0, "no JSON object"},
    {"{", 0, "no JSON object"},
    {"{} x", 0, "no JSON object"},
    {"{\"a\":1}", 0, "tensor a: dtype, shape and data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":3,\"data_offsets\":[0,4]}}", 4, "tensor a: dtype"},
    {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor a: dtype"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "tensor a: dtype"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4, "tensor a: dtype"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0.0,4]}}", 4, "tensor a: dtype"},
    {"{" T("a", "F128", "[1]", 0, 16) "}", 16, "dtype \"F128\" is unknown"},
    {"{" T("a", "F32", "[1.0]", 0, 4) "}", 4, "tensor a: impossible shape"},
    {"{" T("a", "F32", "[\"1\"]", 0, 4) "}", 4, "tensor a: impossible shape"},
    {"{" T("a", "F32", "[-1]", 0, 4) "}", 4, "tensor a: impossible shape"},
    {"{" T("a", "F32", "[4294967296,4294967296]", 0, 0) "}", 0, "tensor a: impossible shape"},
    {"{" T("a", "F32", "[4611686018427387905]", 0, 4) "}", 4, "tensor a: impossible shape"},
    {"{" T("a", "F32", "[99999999999999999999]", 0, 4) "}", 4, "no JSON object"},
    {"{" T("a", "F32", "[2]", 0, 4) "}", 4, "tensor a: its shape needs 8 bytes, it has 4"},
    {"{" T("a", "F32", "[1]", 0, 8) "}", 8, "tensor a: its shape needs 4 bytes, it has 8"},
    {"{" T("a", "F32", "[2]", 0, 8) "}", 7, "tensor a: bytes 0 to 8 of 7 do not exist"},
    {"{" T("a", "F32", "[1]", -4, 0) "}", 4, "tensor a: bytes -4 to 0"},
    {"{" T("a", "F32", "[1]", 4, 0) "}", 4, "tensor a: bytes 4 to 0"},
    {"{" T("a", "F32", "[1]", 9223372036854775803, 9223372036854775807) "}", 4, "tensor a: bytes"},
    {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 4, 12) "}", 12, "tensor b overlaps"},
    {"{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 0, 4) "}", 4, "overlaps another"},
    {"{" T("a", "F32", "[1]", 4, 8) "}", 8, "tensor a: 4 bytes before it belong to no tensor"},
    {"{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 8, 12) "}", 12, "tensor b: 4 bytes"},
    {"{" T("a", "F32", "[1]", 0, 4) "}", 5, "the last 1 bytes belong to no tensor"},
    {"{}", 3, "the last 3 bytes belong to no tensor"},
    {"{" T("a", "F32", "[1]", 0, 4) "," T("a", "F32", "[1]", 0, 4) "}", 4, "no JSON object"},
};

/* Writes header and data with that length told before them. */
static char *write_file(void **state, const char *header, uint64_t told, const void *data,
                        size_t bytes)
{
    size_t length = strlen(header);
    char *file = calloc(1, 8 + length + bytes + 1), *path = support_path(state, "file.st");

    assert_non_null(file);
    memcpy(file, &told, 8);
    snprintf(file + 8, length + 1, "%s", header);
    if (data)
        memcpy(file + 8 + length, data, bytes);
    support_write(path, file, 8 + length + bytes);
    free(file);
    return path;
}

static void expect_refused(const char *path, const char *what, const char *message)
{
    struct seki_error error = {0};
    struct seki_checkpoint *checkpoint = seki_checkpoint_open(path, &error);

    if (!message) {
        if (!checkpoint)
            fail_msg("%s: %s", what, error.message);
        seki_checkpoint_close(checkpoint);
        return;
    }
    if (checkpoint)
        fail_msg("%s: accepted", what);
    assert_int_equal(error.kind, SEKI_BAD_INPUT);
    assert_string_equal(error.code, "checkpoint");
    if (!strstr(error.message, message) || !strstr(error.message, "file.st: "))
        fail_msg("%s: %s; expected: %s", what, error.message, message);
}

static void test_hostile_files_are_refused(void **state)
{
    for (int i = 0; i < COUNT(files); i++)
        expect_refused(
            write_file(state, files[i].header, strlen(files[i].header), NULL, files[i].data),
            files[i].header, files[i].message);
}

static void test_a_header_that_is_longer_than_the_file_is_refused(void **state)
{
    static const uint64_t lengths[] = {3, 1000, (uint64_t)1 << 32, UINT64_MAX - 7, UINT64_MAX};

    for (int i = 0; i < COUNT(lengths); i++)
        expect_refused(write_file(state, "{}", lengths[i], NULL, 0), "length", "a header of");
    expect_refused(write_file(state, "{}", 1, "", 0), "a length within", "no JSON object");
    support_write(support_path(state, "file.st"), "1234567", 7);
    expect_refused(support_path(state, "file.st"), "7 bytes", "7 bytes are too few");
    support_write(support_path(state, "file.st"), "", 0);
    expect_refused(support_path(state, "file.st"), "no bytes", "0 bytes are too few");
}

static void test_floats_that_are_not_finite_are_refused(void **state)
{
    const float numbers[][2] = {{0, NAN}, {INFINITY, 0}, {0, -INFINITY}};
    const char *const messages[] = {"number 1 is not", "number 0 is not", "number 1 is not"};
    const char *header = "{" T("a", "F32", "[2]", 0, 8) "}";

    for (int i = 0; i < COUNT(numbers); i++)
        expect_refused(write_file(state, header, strlen(header), numbers[i], 8), "not finite",
                       messages[i]);
}

static void test_a_missing_file_is_a_resource(void **state)
{
    struct seki_error error = {0};

    assert_null(seki_checkpoint_open(support_path(state, "missing"), &error));
    assert_int_equal(error.kind, SEKI_NO_RESOURCE);
    assert_non_null(strstr(error.message, "missing"));
}

/* ---- Safetensors: a network there and back -------------------------------------------------- */

struct saved {
    struct seki_backend *backend;
    struct seki_network *network;
    struct seki_network_config config;
    struct tensor_out *tensors;
    float *parameters, *statistics;
    int count;
};

/* A network of new weights as a list of tensors. */
static struct saved saved_new(void)
{
    struct seki_genotype genotype = parse(NAS201_MIXED, SEKI_STRICT);
    struct saved s = {.backend = watched_backend("ref"),
                      .config = small_config(SEKI_NAS201, 2, 1, 8)};
    size_t parameters, statistics;

    s.network = network_new(s.backend, &s.config, &genotype);
    s.count = seki_network_tensor_count(s.network);
    s.tensors = calloc((size_t)s.count, sizeof *s.tensors);
    assert_non_null(s.tensors);
    s.parameters = copy_array(s.network, PARAMETER_ARRAY, &parameters);
    seki_network_statistics(s.network, &statistics);
    s.statistics = calloc(statistics, sizeof(float));
    assert_non_null(s.statistics);
    for (size_t i = 0; i < statistics; i++)
        s.statistics[i] = 0.5f + (float)i;
    for (int i = 0; i < s.count; i++) {
        struct seki_tensor_entry entry;

        seki_network_tensor(s.network, i, &entry);
        s.tensors[i] = (struct tensor_out){.prefix = "",
                                           .dimensions = entry.dimensions,
                                           .data = (entry.statistic ? s.statistics : s.parameters) +
                                                   entry.offset,
                                           .count = entry.count};
        memcpy(s.tensors[i].name, entry.name, sizeof s.tensors[i].name);
        memcpy(s.tensors[i].size, entry.size, sizeof s.tensors[i].size);
    }
    return s;
}

static void saved_free(struct saved *s)
{
    free(s->tensors);
    free(s->parameters);
    free(s->statistics);
    seki_network_close(s->network);
    seki_backend_close(s->backend);
}

/* Writes the tensors and loads them into the network; the message of the refusal or NULL. */
static const char *load_again(void **state, struct saved *s, struct seki_error *error)
{
    const struct setting setting = {"note", "caf\xc3\xa9 \"quoted\" \\ \n"};
    char *path = support_path(state, "file.st");

    assert_int_equal(seki_safetensors_write(path, s->tensors, s->count, &setting, 1, error), 0);
    struct seki_checkpoint *checkpoint = seki_checkpoint_open(path, error);

    if (!checkpoint)
        fail_msg("%s", error->message);
    assert_string_equal(seki_checkpoint_text(checkpoint, "note"), setting.value);
    assert_null(seki_checkpoint_text(checkpoint, "other"));
    int status = seki_checkpoint_load(checkpoint, s->network, error);

    seki_checkpoint_close(checkpoint);
    return status < 0 ? error->message : NULL;
}

static void test_a_network_is_read_as_it_was_written(void **state)
{
    struct saved s = saved_new();
    struct seki_error error;
    size_t count;

    assert_int_equal(seki_network_initialise(s.network, 77, &error), 0);
    assert_null(load_again(state, &s, &error));
    float *now = copy_array(s.network, PARAMETER_ARRAY, &count);

    assert_memory_equal(now, s.parameters, count * sizeof *now);
    for (int i = 0; i < s.count; i++) {
        struct seki_tensor_entry entry;
        const float *statistics = seki_network_statistics(s.network, &count);

        seki_network_tensor(s.network, i, &entry);
        if (entry.statistic)
            assert_memory_equal(statistics + entry.offset, s.statistics + entry.offset,
                                entry.count * sizeof *now);
    }
    free(now);
    saved_free(&s);
}

static void test_tensors_that_do_not_fit_are_named_and_nothing_is_loaded(void **state)
{
    static const struct {
        const char *comment, *message;
    } cases[] = {
        {"missing", "tensor stem.0.weight is missing"},
        {"transposed", "tensor stem.0.weight has shape [3,3,2,2]: [2,2,3,3] was expected"},
        {"flat", "tensor stem.0.weight has shape [36]: [2,2,3,3] was"},
        {"integers", "tensor stem.0.weight is I64: F32 was expected"},
    };
    static const int64_t integers[36];

    for (int i = 0; i < COUNT(cases); i++) {
        struct saved s = saved_new();
        struct seki_error error = {0};
        struct tensor_out *stem = &s.tensors[0];
        size_t count;

        assert_string_equal(stem->name, "stem.0.weight");
        assert_int_equal(stem->count, 36);
        if (i == 0)
            memcpy(stem->name, "stem.9", sizeof "stem.9");
        if (i == 1)
            memcpy(stem->size, (int[4]){3, 3, 2, 2}, sizeof stem->size);
        if (i == 2) {
            stem->dimensions = 1;
            stem->size[0] = 36;
        }
        if (i == 3) {
            stem->integer = true;
            stem->data = integers;
        }
        assert_int_equal(seki_network_initialise(s.network, 77, &error), 0);
        float *before = copy_array(s.network, PARAMETER_ARRAY, &count);
        const char *message = load_again(state, &s, &error);

        if (!message || !strstr(message, cases[i].message))
            fail_msg("%s: %s", cases[i].comment, message ? message : "accepted");
        assert_int_equal(error.kind, SEKI_BAD_INPUT);
        float *after = copy_array(s.network, PARAMETER_ARRAY, &count);

        assert_memory_equal(before, after, count * sizeof *before);
        free(before);
        free(after);
        saved_free(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipes_are_the_published_ones),
        cmocka_unit_test(test_the_rate_follows_a_cosine),
        cmocka_unit_test(test_a_recipe_that_makes_no_sense_is_refused_by_name),
        cmocka_unit_test(test_a_long_gradient_is_clipped_as_pytorch_does),
        cmocka_unit_test(test_a_step_of_the_supernet_changes_the_selected_alone),
        cmocka_unit_test(test_hostile_files_are_refused),
        cmocka_unit_test(test_a_header_that_is_longer_than_the_file_is_refused),
        cmocka_unit_test(test_floats_that_are_not_finite_are_refused),
        cmocka_unit_test(test_a_missing_file_is_a_resource),
        cmocka_unit_test(test_a_network_is_read_as_it_was_written),
        cmocka_unit_test(test_tensors_that_do_not_fit_are_named_and_nothing_is_loaded),
    };

    return cmocka_run_group_tests(tests, support_make_folder, support_remove_folder);
}
