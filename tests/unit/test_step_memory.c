/*
 * test_step_memory.c - what a prepared supernet's training steps ask of the system: no memory from
 * malloc and its kin, no page that was not there before.
 */
#define _DEFAULT_SOURCE /* the faults in struct rusage */
#include "network_fixture.h"

#include <stdatomic.h>
#include <sys/resource.h>

#include "training/training_internal.h"

#if defined(__SANITIZE_ADDRESS__) || !defined(__GLIBC__)
#define COUNTS_ALLOCATIONS 0
#else
#define COUNTS_ALLOCATIONS 1

/* ---- The allocator, counted ----------------------------------------------------------------- */

static atomic_long allocations;

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

void *malloc(size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(memory, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    *memory = __libc_memalign(alignment, bytes);
    return *memory != NULL ? 0 : 12; /* ENOMEM */
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_memalign(alignment, bytes);
}
#endif

/* ---- Steps ---------------------------------------------------------------------------------- */

enum { BATCH = 8, WARM = 10, STEPS = 20, ATTEMPTS = 5 };

struct run {
    struct seki_network *network;
    struct seki_optimiser *optimiser;
    struct seki_recipe recipe;
    struct host_batch batch;
    struct seki_random random;
};

static void take_steps(struct run *run, int count)
{
    struct seki_genotype genotype;
    struct seki_batch_result result;
    struct seki_error error;

    for (int i = 0; i < count; i++) {
        seki_genotype_sample(SEKI_DARTS, &run->random, &genotype);
        assert_int_equal(seki_network_select(run->network, &genotype, &error), 0);
        assert_int_equal(seki_optimiser_step(run->optimiser, &run->batch.batch, &run->recipe, 0.01,
                                             NULL, &result, &error),
                         0);
    }
}

static long page_faults(void)
{
    struct rusage usage;

    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_minflt + usage.ru_majflt;
}

static void check_steps(enum seki_precision precision)
{
    struct seki_network_config config = small_config(SEKI_DARTS, 16, 8, 32);
    struct seki_error error;
    struct seki_backend *backend = seki_backend_open("cpu", 2, precision, &error);

    if (backend == NULL) {
        assert_int_equal(error.kind, SEKI_NO_RESOURCE);
        print_message("%s\n", error.message);
        return;
    }
    struct run run = {.network = network_new(backend, &config, NULL),
                      .batch = batch_new(&config, BATCH, 3)};
    long faults = 1, taken = 0;

    seki_recipe_supernet(SEKI_DARTS, &run.recipe);
    seki_random_seed(&run.random, 4, 1);
    assert_int_equal(seki_network_prepare(run.network, BATCH, SEKI_MODE_TRAIN, &error), 0);
    run.optimiser = seki_optimiser_open(run.network, &error);
    assert_non_null(run.optimiser);
    take_steps(&run, WARM);
    /* The system may take a page away for reasons of its own; a step that needs new ones needs them
     * every time. */
    for (int i = 0; i < ATTEMPTS && faults > 0; i++) {
        long before = page_faults();
#if COUNTS_ALLOCATIONS
        long allocated = atomic_load(&allocations);
        take_steps(&run, STEPS);
        taken += atomic_load(&allocations) - allocated;
#else
        take_steps(&run, STEPS);
#endif
        faults = page_faults() - before;
    }
#if COUNTS_ALLOCATIONS
    assert_true(atomic_load(&allocations) > 0); /* the counter is the one that is called */
#endif
    assert_int_equal(taken, 0);
    assert_int_equal(faults, 0);
    seki_optimiser_close(run.optimiser);
    seki_network_close(run.network);
    batch_free(&run.batch);
    seki_backend_close(backend);
}

static void test_a_step_takes_no_memory(void **state)
{
    (void)state;
    check_steps(SEKI_FP32);
}

static void test_a_step_in_bf16_takes_no_memory(void **state)
{
    (void)state;
    check_steps(SEKI_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_step_takes_no_memory),
        cmocka_unit_test(test_a_step_in_bf16_takes_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
