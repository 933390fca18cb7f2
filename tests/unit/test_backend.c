/*
 * test_backend.c - every backend for this processor on every block of backend_cases.h and on blocks
 * drawn at random.
 */
#include "backend_random.h"

struct engine {
    const char *name;
    enum seki_precision precision;
};

/* All but ref, which they are held against. */
static const struct engine others[] = {
    {"cpu", SEKI_FP32},    {"cpu-base", SEKI_FP32}, {"cpu-v3", SEKI_FP32},
    {"cpu-v4", SEKI_FP32}, {"cpu", SEKI_BF16},      {"cpu-base", SEKI_BF16},
};
static const struct engine all[] = {
    {"ref", SEKI_FP32}, {"cpu", SEKI_FP32}, {"cpu", SEKI_BF16}, {"cpu-base", SEKI_BF16}};

/* NULL where the processor lacks the instructions that the engine stands for. */
static struct seki_backend *open_if_able(const struct engine *engine)
{
    struct seki_error error;
    struct seki_backend *backend = seki_backend_open(engine->name, 2, engine->precision, &error);

    if (backend == NULL) {
        assert_true(error.kind == SEKI_NO_RESOURCE || strcmp(error.code, "precision") == 0);
        assert_true(strcmp(engine->name, "cpu") != 0 || engine->precision != SEKI_FP32);
        assert_string_not_equal(engine->name, "cpu-base");
        print_message("%s, %s: %s\n", engine->name, seki_precision_name(engine->precision),
                      error.message);
    }
    return backend;
}

static void test_other_backends_agree_with_ref(void **state)
{
    struct seki_backend *ref = open_backend("ref");

    (void)state;
    for (size_t o = 0; o < COUNT(others); o++) {
        struct seki_backend *other = open_if_able(&others[o]);

        if (other != NULL)
            agrees_with_ref(ref, other);
        seki_backend_close(other);
    }
    seki_backend_close(ref);
}

static void test_random_blocks_agree_with_ref(void **state)
{
    struct seki_backend *ref = open_backend("ref");

    (void)state;
    for (size_t o = 0; o < COUNT(others); o++) {
        struct seki_backend *other = open_if_able(&others[o]);

        if (other != NULL)
            agrees_at_random(ref, other, &random_from_ref[other->precision],
                             (int)other->precision * RANDOM_BLOCKS);
        seki_backend_close(other);
    }
    seki_backend_close(ref);
}

static void test_a_call_repeats_to_the_byte(void **state)
{
    (void)state;
    for (size_t b = 0; b < COUNT(all); b++) {
        struct seki_backend *backend = open_if_able(&all[b]);

        if (backend != NULL)
            repeats_to_the_byte(backend);
        seki_backend_close(backend);
    }
}

static void test_nan_comes_through(void **state)
{
    struct seki_backend *ref = open_backend("ref");

    (void)state;
    for (size_t b = 0; b < COUNT(all); b++) {
        struct seki_backend *backend = open_if_able(&all[b]);

        if (backend != NULL)
            lets_nan_through(ref, backend);
        seki_backend_close(backend);
    }
    seki_backend_close(ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_backends_agree_with_ref),
        cmocka_unit_test(test_random_blocks_agree_with_ref),
        cmocka_unit_test(test_a_call_repeats_to_the_byte),
        cmocka_unit_test(test_nan_comes_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
