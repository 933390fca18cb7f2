/*
 * test_training_resume.c - a run that is stopped after any of its steps and gone on with gives the
 * same file, byte for byte, and the same figures as one that was not; what a file to go on from
 * must have; the checksums.
 */
#include "data_fixture.h"
#include "network_fixture.h"
#include "support.h"

#include <jansson.h>

#include "training/training_internal.h"

/* ---- Data ----------------------------------------------------------------------------------- */

/* IDX files of noise, in four classes. */
static void make_pictures(const char *folder, uint32_t count, uint32_t side)
{
    static const char *const splits[] = {"train", "t10k"};
    struct seki_random random;
    char name[64];

    mkdir(folder, 0777);
    seki_random_seed(&random, 1, side);
    for (int i = 0; i < 2; i++) {
        struct seki_buffer bytes;

        seki_buffer_init(&bytes, (size_t)1 << 20);
        fixture_big_endian(&bytes, 0x00000803);
        fixture_big_endian(&bytes, count);
        fixture_big_endian(&bytes, side);
        fixture_big_endian(&bytes, side);
        for (uint32_t j = 0; j < count * side * side; j++) {
            uint8_t byte = (uint8_t)seki_random_next(&random);
            assert_int_equal(seki_buffer_append(&bytes, &byte, 1), 0);
        }
        snprintf(name, sizeof name, "%s-images-idx3-ubyte", splits[i]);
        fixture_write(folder, name, bytes.data, bytes.length);
        seki_buffer_clear(&bytes);
        fixture_idx_labels(&bytes, count, 4);
        snprintf(name, sizeof name, "%s-labels-idx1-ubyte", splits[i]);
        fixture_write(folder, name, bytes.data, bytes.length);
        seki_buffer_free(&bytes);
    }
}

static int make_data(void **state)
{
    int status = support_make_folder(state);

    make_pictures(support_path(state, "small"), 44, 12);
    make_pictures(support_path(state, "large"), 10, 32);
    return status;
}

/* ---- Runs ----------------------------------------------------------------------------------- */

#define MOST_EPOCHS 4

struct figures {
    double loss, accuracy, valid_loss, valid_accuracy, norm;
};

/* A trainer with what it stands on, and what its run was told. */
struct bench {
    struct seki_dataset *dataset;
    struct seki_backend *backend;
    struct seki_trainer *trainer;
    long steps;      /* so far in this run */
    long stop_after; /* 0: never */
    struct figures told[MOST_EPOCHS + 1];
    int epochs_told;
};

static struct bench bench_new(const char *data, const struct seki_training_settings *settings)
{
    struct seki_error error = {0};
    struct bench bench = {.dataset = seki_dataset_open(data, &error)};

    if (bench.dataset)
        bench.backend = seki_backend_open("ref", 1, SEKI_FP32, &error);
    if (bench.backend)
        bench.trainer = seki_trainer_open(bench.backend, bench.dataset, settings, &error);
    if (!bench.trainer)
        fail_msg("%s", error.message);
    return bench;
}

static void bench_free(struct bench *bench)
{
    seki_trainer_close(bench->trainer);
    seki_backend_close(bench->backend);
    seki_dataset_close(bench->dataset);
}

static void count_step(void *context, long images)
{
    struct bench *bench = context;

    (void)images;
    bench->steps++;
}

static bool stop_run(void *context)
{
    const struct bench *bench = context;

    return bench->stop_after && bench->steps >= bench->stop_after;
}

static int take_figures(void *context, struct seki_record *record, struct seki_error *error)
{
    struct bench *bench = context;
    double epoch = 0;

    (void)error;
    assert_true(seki_record_number(record, "epoch", &epoch) && epoch >= 1 && epoch <= MOST_EPOCHS);
    struct figures *told = &bench->told[(int)epoch];

    bench->epochs_told++;
    assert_true(seki_record_number(record, "train_loss", &told->loss));
    assert_true(seki_record_number(record, "train_accuracy", &told->accuracy));
    assert_true(seki_record_number(record, "gradient_norm", &told->norm));
    seki_record_number(record, "valid_loss", &told->valid_loss);
    seki_record_number(record, "valid_accuracy", &told->valid_accuracy);
    return 0;
}

/* Runs to the end, or to the step where it stops; the status of the run. */
static int bench_run(struct bench *bench, const char *path)
{
    struct seki_trainer_hooks hooks = {bench, count_step, take_figures, stop_run};
    struct seki_error error = {0};
    int status = seki_trainer_run(bench->trainer, path, &hooks, &error);

    if (status < 0)
        fail_msg("%s", error.message);
    return status;
}

static void bench_resume(struct bench *bench, const char *path)
{
    struct seki_error error = {0};

    if (seki_trainer_resume(bench->trainer, path, &error) != 1)
        fail_msg("%s", error.message);
}

static void expect_same_file(const char *expected, const char *found, const char *what, long step)
{
    size_t lengths[2];
    char *files[2] = {support_read(expected, &lengths[0]), support_read(found, &lengths[1])};

    assert_non_null(files[0]);
    assert_non_null(files[1]);
    if (lengths[0] != lengths[1] || memcmp(files[0], files[1], lengths[0]) != 0)
        fail_msg("%s: stopped after step %ld, the files differ", what, step);
    free(files[0]);
    free(files[1]);
}

/* ---- Any step ------------------------------------------------------------------------------- */

enum kind { DARTS_SUPERNET, NAS201_SUPERNET, DARTS_FINAL, DARTS_AUXILIARY, NAS201_FINAL, KINDS };

static const char *const kind_names[] = {"darts supernet", "nas201 supernet",
                                         "darts with drop path",
                                         "darts with drop path and auxiliary head", "nas201"};

static const char *kind_data(enum kind kind)
{
    return kind == DARTS_AUXILIARY ? "large" : "small";
}

static struct seki_training_settings kind_settings(enum kind kind)
{
    struct seki_training_settings s = {.channels = 2, .layers = 1, .seed = 5};

    s.supernet = kind <= NAS201_SUPERNET;
    s.space = kind == NAS201_SUPERNET || kind == NAS201_FINAL ? SEKI_NAS201 : SEKI_DARTS;
    if (s.supernet)
        seki_recipe_supernet(s.space, &s.recipe);
    else {
        seki_recipe_final(s.space, &s.recipe);
        s.genotype = parse(s.space == SEKI_DARTS ? DARTS_MIXED : NAS201_MIXED, SEKI_LAX);
        s.recipe.auxiliary = kind == DARTS_AUXILIARY ? 0.4 : 0;
        s.recipe.drop_path = s.space == SEKI_DARTS ? 0.5 : 0;
    }
    s.recipe.epochs = 3;
    s.recipe.batch = 6;
    s.images = s.supernet ? 44 : 14; /* 22 and 14: the last step of an epoch is smaller */
    if (kind == DARTS_AUXILIARY) {
        s.layers = 3;
        s.recipe.batch = 4;
        s.images = 10;
    }
    return s;
}

static void check_kind(void **state, enum kind kind)
{
    struct seki_training_settings settings = kind_settings(kind);
    char *data = support_path(state, kind_data(kind)), *whole = support_path(state, "whole.st"),
         *part = support_path(state, "part.st");
    struct bench all = bench_new(data, &settings);
    long steps = seki_trainer_steps(all.trainer);

    assert_int_equal(bench_run(&all, whole), 0);
    assert_int_equal(all.steps, steps * settings.recipe.epochs);
    assert_true(steps >= 3);
    for (long stop = 1; stop <= all.steps; stop++) {
        struct bench first = bench_new(data, &settings), rest = bench_new(data, &settings);

        first.stop_after = stop;
        assert_int_equal(bench_run(&first, part), 1);
        /* After an epoch's last step, its validation is left. */
        assert_int_equal(seki_trainer_epochs_done(first.trainer), (stop - 1) / steps);
        assert_int_equal(seki_trainer_steps_done(first.trainer), (stop - 1) % steps + 1);
        bench_resume(&rest, part);
        memcpy(rest.told, first.told, sizeof rest.told);
        assert_int_equal(bench_run(&rest, part), 0);
        assert_int_equal(first.steps + rest.steps, all.steps);
        assert_int_equal(first.epochs_told + rest.epochs_told, settings.recipe.epochs);
        expect_same_file(whole, part, kind_names[kind], stop);
        assert_memory_equal(rest.told, all.told, sizeof all.told);
        bench_free(&first);
        bench_free(&rest);
    }
    bench_free(&all);
}

static void test_a_darts_supernet_goes_on_from_any_step(void **state)
{
    check_kind(state, DARTS_SUPERNET);
}

static void test_a_nas201_supernet_goes_on_from_any_step(void **state)
{
    check_kind(state, NAS201_SUPERNET);
}

static void test_a_darts_network_goes_on_from_any_step(void **state)
{
    check_kind(state, DARTS_FINAL);
}

static void test_an_auxiliary_head_goes_on_from_any_step(void **state)
{
    check_kind(state, DARTS_AUXILIARY);
}

static void test_a_nas201_network_goes_on_from_any_step(void **state)
{
    check_kind(state, NAS201_FINAL);
}

static void test_saving_changes_nothing(void **state)
{
    char *data = support_path(state, "small"), *whole = support_path(state, "whole.st"),
         *part = support_path(state, "part.st");

    for (int kind = 0; kind < KINDS; kind += 2) {
        struct seki_training_settings settings = kind_settings(kind);
        struct bench seldom = bench_new(data, &settings);

        settings.save_every = 1;
        struct bench often = bench_new(data, &settings);

        bench_run(&seldom, whole);
        bench_run(&often, part);
        expect_same_file(whole, part, kind_names[kind], -1);
        assert_memory_equal(seldom.told, often.told, sizeof often.told);
        bench_free(&seldom);
        bench_free(&often);
    }
}

/* One trainer may go back: what it had prepared of the pictures after is forgotten. */
static void test_a_trainer_goes_back_to_a_file(void **state)
{
    struct seki_training_settings settings = kind_settings(NAS201_SUPERNET);
    char *data = support_path(state, "small"), *whole = support_path(state, "whole.st"),
         *part = support_path(state, "part.st"), *later = support_path(state, "later.st");
    struct bench bench = bench_new(data, &settings), all = bench_new(data, &settings);

    bench_run(&all, whole);
    bench.stop_after = 2;
    bench_run(&bench, part);
    bench.stop_after = 7;
    bench_run(&bench, later);
    bench_resume(&bench, part);
    assert_int_equal(seki_trainer_steps_done(bench.trainer), 2);
    bench.stop_after = 0;
    bench_run(&bench, part);
    expect_same_file(whole, part, "gone back", 2);
    bench_free(&bench);
    bench_free(&all);
}

/* ---- A file that is not as it was written --------------------------------------------------- */

/* The file's JSON header; its tensors' bytes are at *data. */
static json_t *read_header(const char *path, char **file, size_t *length, size_t *data)
{
    uint64_t header;

    *file = support_read(path, length);
    assert_non_null(*file);
    memcpy(&header, *file, sizeof header);
    *data = sizeof header + header;
    json_t *json = json_loadb(*file + sizeof header, header, 0, NULL);

    assert_non_null(json);
    return json;
}

static void write_with_header(const char *path, json_t *json, const char *data, size_t length)
{
    char *text = json_dumps(json, JSON_COMPACT);
    uint64_t header = strlen(text);
    struct seki_buffer out;

    seki_buffer_init(&out, (size_t)64 << 20);
    seki_buffer_append(&out, &header, sizeof header);
    seki_buffer_append(&out, text, header);
    assert_int_equal(seki_buffer_append(&out, data, length), 0);
    support_write(path, out.data, out.length);
    seki_buffer_free(&out);
    free(text);
}

/* A file of the third step of a nas201 supernet. */
static char *make_file(void **state)
{
    struct seki_training_settings settings = kind_settings(NAS201_SUPERNET);
    struct bench bench = bench_new(support_path(state, "small"), &settings);
    char *path = support_path(state, "part.st");

    bench.stop_after = 3;
    bench_run(&bench, path);
    bench_free(&bench);
    return path;
}

static void expect_refused(const char *path, const char *what, const char *message)
{
    struct seki_error error = {0};
    struct seki_checkpoint *checkpoint = seki_checkpoint_open(path, &error);

    if (checkpoint)
        fail_msg("%s: accepted", what);
    assert_int_equal(error.kind, SEKI_BAD_INPUT);
    if (!strstr(error.message, message) || !strstr(error.message, path))
        fail_msg("%s: %s; expected: %s", what, error.message, message);
}

/* One bit in the middle of every tensor in turn. */
static void test_an_altered_tensor_is_named(void **state)
{
    char *path = make_file(state), *altered = support_path(state, "altered.st"), *file;
    size_t length, data, tried = 0;
    json_t *header = read_header(path, &file, &length, &data), *tensor;
    const char *name;

    json_object_foreach(header, name, tensor)
    {
        char message[160];
        json_t *offsets = json_object_get(tensor, "data_offsets");

        if (strcmp(name, "__metadata__") == 0)
            continue;
        size_t begin = (size_t)json_integer_value(json_array_get(offsets, 0)),
               end = (size_t)json_integer_value(json_array_get(offsets, 1));
        char *byte = file + data + (begin + end) / 2 / 8 * 8; /* a float's lowest byte */

        *byte ^= 1;
        support_write(altered, file, length);
        *byte ^= 1;
        snprintf(message, sizeof message, "tensor %s has the checksum ", name);
        expect_refused(altered, name, message);
        tried++;
    }
    assert_true(tried > 100);
    json_decref(header);
    free(file);
}

/* Every string of the metadata in turn, checksums among them, and one more, and one less. */
static void test_altered_settings_are_refused(void **state)
{
    char *path = make_file(state), *altered = support_path(state, "altered.st"), *file;
    size_t length, data, tried = 0;
    json_t *header = read_header(path, &file, &length, &data), *value;
    json_t *metadata = json_object_get(header, "__metadata__");
    json_t *keys = json_deep_copy(metadata);
    const char *key;

    json_object_foreach(keys, key, value)
    {
        char *text = strdup(json_string_value(value));
        size_t last = strlen(text) - 1;

        text[last] = text[last] == '1' ? '2' : '1';
        json_object_set_new(metadata, key, json_string(text));
        write_with_header(altered, header, file + data, length - data);
        expect_refused(altered, key, "the settings have the checksum ");
        json_object_del(metadata, key);
        write_with_header(altered, header, file + data, length - data);
        expect_refused(altered, key, strstr(key, "crc32") ? "is missing where" : "the settings");
        json_object_set(metadata, key, value);
        free(text);
        tried++;
    }
    assert_true(tried >= 25);
    json_object_set_new(metadata, "more", json_string("1"));
    write_with_header(altered, header, file + data, length - data);
    expect_refused(altered, "one more", "the settings have the checksum ");
    json_decref(keys);
    json_decref(header);
    free(file);
}

static void test_a_file_without_checksums_or_in_another_order_is_read(void **state)
{
    char *path = make_file(state), *other = support_path(state, "other.st"), *file;
    struct seki_error error = {0};
    size_t length, data;
    json_t *header = read_header(path, &file, &length, &data);
    json_t *metadata = json_object_get(header, "__metadata__"), *sorted = json_object(), *value;
    const char *keys[64], *key;
    int count = 0;

    json_object_foreach(metadata, key, value) keys[count++] = key;
    while (count > 0) {
        key = keys[--count];
        json_object_set(sorted, key, json_object_get(metadata, key));
    }
    json_object_set(header, "__metadata__", sorted);
    for (int i = 0; i < 2; i++) {
        write_with_header(other, header, file + data, length - data);
        struct seki_checkpoint *checkpoint = seki_checkpoint_open(other, &error);

        if (!checkpoint)
            fail_msg("%s", error.message);
        assert_string_equal(seki_checkpoint_text(checkpoint, "step"), "3");
        seki_checkpoint_close(checkpoint);
        json_object_del(sorted, "crc32");
        json_object_del(sorted, "settings_crc32");
    }
    json_decref(sorted);
    json_decref(header);
    free(file);
}

/* Positions that no run of these settings has. */
static void test_an_impossible_position_is_refused(void **state)
{
    static const struct {
        const char *key, *value, *message;
    } cases[] = {
        {"epoch", "4", "'epoch' is 4: 0 to 3 was expected"},
        {"epoch", "-1", "'epoch' is -1"},
        {"epoch", "1.5", "'epoch' is 1.5"},
        {"epoch", "x", "'epoch' is \"x\""},
        {"step", "5", "'step' is 5: 0 to 4 was expected"},
        {"step", "nan", "'step' is \"nan\""},
        {"sums", "1,2,3,4", "'sums' is \"1,2,3,4\": 5 numbers"},
        {"sums", "1,2,3,4,inf", "'sums' is"},
    };
    struct seki_training_settings settings = kind_settings(NAS201_SUPERNET);
    char *path = make_file(state), *other = support_path(state, "other.st"), *file;
    struct bench bench = bench_new(support_path(state, "small"), &settings);
    size_t length, data;
    json_t *header = read_header(path, &file, &length, &data);
    json_t *metadata = json_object_get(header, "__metadata__");

    json_object_del(metadata, "crc32");
    json_object_del(metadata, "settings_crc32");
    for (int i = 0; i < COUNT(cases); i++) {
        json_t *before = json_incref(json_object_get(metadata, cases[i].key));
        struct seki_error error = {0};

        json_object_set_new(metadata, cases[i].key, json_string(cases[i].value));
        write_with_header(other, header, file + data, length - data);
        assert_int_equal(seki_trainer_resume(bench.trainer, other, &error), -1);
        assert_int_equal(error.kind, SEKI_BAD_INPUT);
        if (!strstr(error.message, cases[i].message))
            fail_msg("%s: %s", cases[i].message, error.message);
        json_object_set_new(metadata, cases[i].key, before);
    }
    bench_free(&bench);
    json_decref(header);
    free(file);
}

static void test_weights_that_are_not_finite_are_not_saved(void **state)
{
    struct seki_training_settings settings = kind_settings(NAS201_SUPERNET);
    char *path = make_file(state), *copy = support_path(state, "copy.st");
    struct bench bench = bench_new(support_path(state, "small"), &settings);
    struct seki_error error = {0};
    size_t count, length;
    char *before = support_read(path, &length);

    support_write(copy, before, length);
    seki_network_parameters(seki_trainer_network(bench.trainer), &count)[count / 2] = INFINITY;
    assert_int_equal(seki_trainer_save(bench.trainer, path, &error), -1);
    assert_string_equal(error.code, "diverged");
    expect_same_file(copy, path, "not finite", 0);
    free(before);
    bench_free(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_darts_supernet_goes_on_from_any_step),
        cmocka_unit_test(test_a_nas201_supernet_goes_on_from_any_step),
        cmocka_unit_test(test_a_darts_network_goes_on_from_any_step),
        cmocka_unit_test(test_an_auxiliary_head_goes_on_from_any_step),
        cmocka_unit_test(test_a_nas201_network_goes_on_from_any_step),
        cmocka_unit_test(test_saving_changes_nothing),
        cmocka_unit_test(test_a_trainer_goes_back_to_a_file),
        cmocka_unit_test(test_an_altered_tensor_is_named),
        cmocka_unit_test(test_altered_settings_are_refused),
        cmocka_unit_test(test_a_file_without_checksums_or_in_another_order_is_read),
        cmocka_unit_test(test_an_impossible_position_is_refused),
        cmocka_unit_test(test_weights_that_are_not_finite_are_not_saved),
    };

    return cmocka_run_group_tests(tests, make_data, support_remove_folder);
}
