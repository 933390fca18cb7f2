/* test_limits.c - rate limits as endpoints tell them, and the waits that follow. */
#include "llm/llm.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define NOW 1.8e9 /* the wall clock, seconds since 1970 */

static void headers_are_read_in_every_form(void **state)
{
    static const struct {
        const char *line;
        double requests_left, tokens_left, requests_reset, tokens_reset;
    } cases[] = {
        {"x-ratelimit-remaining-requests: 59\r\n", 59, -1, -1, -1},
        {"X-RateLimit-Remaining-Tokens:149984\r\n", -1, 149984, -1, -1},
        {"x-ratelimit-reset-requests: 1s\r\n", -1, -1, 1, -1},
        {"x-ratelimit-reset-tokens: 6m0s\r\n", -1, -1, -1, 360},
        {"x-ratelimit-reset-tokens: 2m59.56s", -1, -1, -1, 179.56},
        {"x-ratelimit-reset-requests: 17ms\r\n", -1, -1, 0.017, -1},
        {"x-ratelimit-reset-requests: 1h2m3s\r\n", -1, -1, 3723, -1},
        {"x-ratelimit-reset-requests: 12.5\r\n", -1, -1, 12.5, -1},
        {"x-ratelimit-remaining: 3\r\n", 3, -1, -1, -1},
        {"x-ratelimit-reset: 1800000020\r\n", -1, -1, 20, -1},
        {"x-ratelimit-reset: 1800000020500\r\n", -1, -1, 20.5, -1},
        {"x-ratelimit-reset: 1700000000\r\n", -1, -1, 0, -1},
        /* nothing is made of these */
        {"x-ratelimit-remaining-requests: many\r\n", -1, -1, -1, -1},
        {"x-ratelimit-remaining-requests: -1\r\n", -1, -1, -1, -1},
        {"x-ratelimit-remaining-requests: inf\r\n", -1, -1, -1, -1},
        {"x-ratelimit-remaining-requests: nan\r\n", -1, -1, -1, -1},
        {"x-ratelimit-reset-requests: 5 parsecs\r\n", -1, -1, -1, -1},
        {"x-ratelimit-reset-requests: s\r\n", -1, -1, -1, -1},
        {"x-ratelimit-reset-requests: 1s2\r\n", -1, -1, -1, -1},
        {"x-ratelimit-limit-requests: 60\r\n", -1, -1, -1, -1},
        {"x-ratelimit-remaining-requests\r\n", -1, -1, -1, -1},
        {"x-ratelimit-remaining-requests:\r\n", -1, -1, -1, -1},
        {"x-ratelimit-: 4\r\n", -1, -1, -1, -1},
        {"content-type: application/json\r\n", -1, -1, -1, -1},
        {":", -1, -1, -1, -1},
        {"", -1, -1, -1, -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seki_rate rate;

        seki_rate_clear(&rate);
        seki_rate_header(&rate, cases[i].line, strlen(cases[i].line), NOW);
        if (rate.requests_left != cases[i].requests_left ||
            rate.tokens_left != cases[i].tokens_left ||
            fabs(rate.requests_reset - cases[i].requests_reset) > 1e-6 ||
            fabs(rate.tokens_reset - cases[i].tokens_reset) > 1e-6)
            fail_msg("%s: %g %g %g %g", cases[i].line, rate.requests_left, rate.tokens_left,
                     rate.requests_reset, rate.tokens_reset);
    }
}

static void learn(struct seki_limits *limits, enum seki_cause cause, double retry_after,
                  struct seki_rate rate, double now)
{
    struct seki_response response;

    seki_response_init(&response);
    response.cause = cause;
    response.retry_after = retry_after;
    response.rate = rate;
    seki_limits_learn(limits, &response, now, 120);
    seki_response_free(&response);
}

static const struct seki_rate unknown = {-1, -1, -1, -1};

static void nothing_is_waited_for_where_nothing_was_said(void **state)
{
    struct seki_limits limits = {.known = unknown};

    (void)state;
    assert_true(seki_limits_wait(&limits, 1000, 1e9, 120) == 0);
    learn(&limits, SEKI_CAUSE_NONE, -1, unknown, 1000);
    seki_limits_spend(&limits, 5);
    assert_true(seki_limits_wait(&limits, 1000, 1e9, 120) == 0);
}

static void the_last_request_is_kept_back_until_the_reset(void **state)
{
    struct seki_limits limits = {.known = unknown};

    (void)state;
    learn(&limits, SEKI_CAUSE_NONE, -1, (struct seki_rate){2, -1, 10, -1}, 1000);
    for (int i = 0; i < 2; i++) {
        assert_true(seki_limits_wait(&limits, 1000, 50, 120) == 0);
        seki_limits_spend(&limits, 50);
    }
    assert_true(seki_limits_wait(&limits, 1000, 50, 120) == 10);
    assert_true(seki_limits_wait(&limits, 1004, 50, 120) == 6);
    assert_true(seki_limits_wait(&limits, 1010, 50, 120) == 0);
}

static void tokens_are_kept_back_too(void **state)
{
    struct seki_limits limits = {.known = unknown};

    (void)state;
    learn(&limits, SEKI_CAUSE_NONE, -1, (struct seki_rate){-1, 1000, -1, 30}, 1000);
    assert_true(seki_limits_wait(&limits, 1000, 900, 120) == 0);
    seki_limits_spend(&limits, 900);
    assert_true(seki_limits_wait(&limits, 1000, 900, 120) == 30);
    assert_true(seki_limits_wait(&limits, 1000, 100, 120) == 0);
}

static void a_429_holds_all_requests_back_but_not_for_ever(void **state)
{
    struct seki_limits limits = {.known = unknown};

    (void)state;
    learn(&limits, SEKI_CAUSE_RATE_LIMIT, 7, unknown, 1000);
    assert_true(seki_limits_wait(&limits, 1000, 1, 120) == 7);
    assert_true(seki_limits_wait(&limits, 1007, 1, 120) == 0);
    learn(&limits, SEKI_CAUSE_RATE_LIMIT, 1e6, unknown, 2000);
    assert_true(seki_limits_wait(&limits, 2000, 1, 120) == 120);
    learn(&limits, SEKI_CAUSE_NONE, -1, (struct seki_rate){0, -1, 1e6, -1}, 3000);
    assert_true(seki_limits_wait(&limits, 3000, 1, 120) == 120);
    assert_true(seki_limits_wait(&limits, 3120, 1, 120) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_read_in_every_form),
        cmocka_unit_test(nothing_is_waited_for_where_nothing_was_said),
        cmocka_unit_test(the_last_request_is_kept_back_until_the_reset),
        cmocka_unit_test(tokens_are_kept_back_too),
        cmocka_unit_test(a_429_holds_all_requests_back_but_not_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
