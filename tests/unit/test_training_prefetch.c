/*
 * test_training_prefetch.c - batches that a thread makes ready: which come, in which order, however
 * long either side takes; its errors; its end. To be run under ThreadSanitizer as well.
 */
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "training/training_internal.h"

#define IMAGES  3
#define PICTURE 50

/* A made-up source: batch n holds n. */
struct source {
    long last;        /* there is none after it */
    long fails;       /* number of the batch that fails; -1: none */
    long slow_filler; /* every so many batches take a millisecond; 0: none */
    atomic_long filled, ahead;
    atomic_long used; /* batches that the user is done with, by its own count */
};

static void wait_a_millisecond(void)
{
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static int fill(void *context, long number, struct batch_memory *batch, struct seki_error *error)
{
    struct source *source = context;
    long ahead = ++source->filled - source->used;
    if (ahead > source->ahead)
        source->ahead = ahead;
    if (source->slow_filler && number % source->slow_filler == 0)
        wait_a_millisecond();
    if (number == source->fails)
        return seki_fail(error, SEKI_BAD_INPUT, "data", "picture %ld is cut", number);
    if (number > source->last)
        return 0;
    batch->images = 1 + (int)(number % IMAGES);
    for (int i = 0; i < batch->images; i++) {
        batch->labels[i] = (int32_t)number;
        for (int j = 0; j < PICTURE; j++)
            batch->pictures[i * PICTURE + j] = (float)number;
    }
    return 1;
}

static struct seki_prefetch *open_on(struct source *source)
{
    struct seki_error error = {0};
    struct seki_prefetch *prefetch = seki_prefetch_open(IMAGES, PICTURE, fill, source, &error);
    if (!prefetch)
        fail_msg("%s", error.message);
    return prefetch;
}

static void start_at(struct seki_prefetch *prefetch, long number)
{
    struct seki_error error = {0};
    if (seki_prefetch_start(prefetch, number, &error) < 0)
        fail_msg("%s", error.message);
    assert_true(seki_prefetch_running(prefetch));
}

static void expect_batch(struct seki_prefetch *prefetch, long number)
{
    const struct batch_memory *batch = NULL;
    struct seki_error error = {0};
    double waited = 0;
    int status = seki_prefetch_next(prefetch, &batch, &waited, &error);
    if (status != 1)
        fail_msg("batch %ld: status %d, %s", number, status, error.message);
    assert_true(waited >= 0);
    assert_int_equal(batch->images, 1 + number % IMAGES);
    for (int i = 0; i < batch->images; i++) {
        assert_int_equal(batch->labels[i], number);
        for (int j = 0; j < PICTURE; j++)
            assert_true(batch->pictures[i * PICTURE + j] == (float)number);
    }
}

static void test_batches_come_in_order_whoever_is_slower(void **state)
{
    static const struct {
        long slow_filler, slow_user;
    } cases[] = {{0, 0}, {1, 0}, {0, 1}, {3, 2}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct source source = {.last = 1000, .fails = -1, .slow_filler = cases[i].slow_filler};
        struct seki_prefetch *prefetch = open_on(&source);
        start_at(prefetch, 17);
        for (long n = 17; n < 117; n++) {
            expect_batch(prefetch, n);
            if (cases[i].slow_user && n % cases[i].slow_user == 0)
                wait_a_millisecond();
            source.used++;
        }
        seki_prefetch_close(prefetch);
        /* The one in use and one made ready. */
        assert_in_range(source.ahead, 1, 2);
    }
}

static void test_the_batch_that_is_used_is_not_written_to(void **state)
{
    struct source source = {.last = 1000, .fails = -1};
    struct seki_prefetch *prefetch = open_on(&source);
    const struct batch_memory *batch;
    struct seki_error error;
    double waited = 0;

    (void)state;
    start_at(prefetch, 0);
    for (long n = 0; n < 20; n++) {
        assert_int_equal(seki_prefetch_next(prefetch, &batch, &waited, &error), 1);
        wait_a_millisecond(); /* the thread has time to do what it must not */
        assert_int_equal(batch->labels[0], n);
        assert_true(batch->pictures[PICTURE - 1] == (float)n);
    }
    seki_prefetch_close(prefetch);
}

static void test_an_error_comes_with_its_batch_and_stays(void **state)
{
    struct source source = {.last = 1000, .fails = 7};
    struct seki_prefetch *prefetch = open_on(&source);
    const struct batch_memory *batch;
    double waited = 0;

    (void)state;
    start_at(prefetch, 0);
    for (long n = 0; n < 7; n++) {
        wait_a_millisecond(); /* the thread has met it by now */
        expect_batch(prefetch, n);
    }
    for (int again = 0; again < 2; again++) {
        struct seki_error error = {0};
        assert_int_equal(seki_prefetch_next(prefetch, &batch, &waited, &error), -1);
        assert_int_equal(error.kind, SEKI_BAD_INPUT);
        assert_string_equal(error.message, "picture 7 is cut");
    }
    start_at(prefetch, 8); /* begun again elsewhere, it is over */
    expect_batch(prefetch, 8);
    seki_prefetch_close(prefetch);
}

static void test_after_the_last_batch_there_is_none(void **state)
{
    struct source source = {.last = 4, .fails = -1};
    struct seki_prefetch *prefetch = open_on(&source);
    const struct batch_memory *batch;
    struct seki_error error;
    double waited = 0;

    (void)state;
    start_at(prefetch, 3);
    expect_batch(prefetch, 3);
    expect_batch(prefetch, 4);
    assert_int_equal(seki_prefetch_next(prefetch, &batch, &waited, &error), 0);
    assert_int_equal(seki_prefetch_next(prefetch, &batch, &waited, &error), 0);
    seki_prefetch_close(prefetch);
}

static void test_it_stops_and_starts_anywhere(void **state)
{
    struct source source = {.last = 100000, .fails = -1, .slow_filler = 5};
    struct seki_prefetch *prefetch = open_on(&source);

    (void)state;
    seki_prefetch_stop(prefetch); /* never started */
    for (int i = 0; i < 200; i++) {
        long from = 37L * i % 1000;
        start_at(prefetch, from);
        for (long n = 0; n < i % 5; n++) /* 0: stopped while the first is made */
            expect_batch(prefetch, from + n);
        if (i % 2) {
            seki_prefetch_stop(prefetch);
            assert_false(seki_prefetch_running(prefetch));
        }
    }
    seki_prefetch_close(prefetch);
    seki_prefetch_close(NULL);
}

static void test_the_time_of_waiting_is_told(void **state)
{
    struct source source = {.last = 1000, .fails = -1, .slow_filler = 1};
    struct seki_prefetch *prefetch = open_on(&source);
    const struct batch_memory *batch;
    struct seki_error error;
    double waited = 0, began = seki_clock();

    (void)state;
    start_at(prefetch, 0);
    for (long n = 0; n < 50; n++)
        assert_int_equal(seki_prefetch_next(prefetch, &batch, &waited, &error), 1);
    double all = seki_clock() - began;
    seki_prefetch_close(prefetch);
    /* Each takes a millisecond to make, and nothing else is done. */
    assert_true(waited > 0.5 * all && waited <= all && all > 0.048);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_come_in_order_whoever_is_slower),
        cmocka_unit_test(test_the_batch_that_is_used_is_not_written_to),
        cmocka_unit_test(test_an_error_comes_with_its_batch_and_stays),
        cmocka_unit_test(test_after_the_last_batch_there_is_none),
        cmocka_unit_test(test_it_stops_and_starts_anywhere),
        cmocka_unit_test(test_the_time_of_waiting_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
