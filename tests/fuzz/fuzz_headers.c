/* fuzz_headers.c - any bytes as a reply's header lines. What is made of them are waits with bounds.
 */
#include "llm/llm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 120.0

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check(double value)
{
    require(value == -1 || (value >= 0 && isfinite(value)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const char *at = (const char *)bytes, *end = at + length;
    struct seki_limits limits = {0};
    struct seki_response response;
    double wait;

    seki_response_init(&response);
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline == NULL ? end : newline + 1;

        seki_rate_header(&response.rate, at, (size_t)(next - at), 1.8e9);
        at = next;
    }
    check(response.rate.requests_left);
    check(response.rate.tokens_left);
    check(response.rate.requests_reset);
    check(response.rate.tokens_reset);
    seki_limits_learn(&limits, &response, 1000, LONGEST);
    seki_limits_spend(&limits, 500);
    wait = seki_limits_wait(&limits, 1001, 500, LONGEST);
    require(wait >= 0 && wait <= LONGEST);
    seki_response_free(&response);
    return 0;
}
