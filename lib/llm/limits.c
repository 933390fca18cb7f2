/*
 * limits.c - the rate limits that an endpoint tells of, kept before they are hit.
 *
 * Sources: platform.openai.com/docs/guides/rate-limits (x-ratelimit-* headers, "6m0s"); RFC 9110,
 * 10.2.3 (Retry-After, which libcurl reads).
 */
#include "llm/llm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_VALUE 64 /* bytes of a header's value */

void seki_rate_clear(struct seki_rate *rate)
{
    *rate = (struct seki_rate){-1, -1, -1, -1};
}

/* ---- Reading headers ------------------------------------------------------------------------ */

/* A row of number and unit, as Go prints durations: "1h2m3.5s", "17ms". Negative: it is none. */
static double read_duration(const char *text)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"ms", 1e-3}, {"us", 1e-6}, {"µs", 1e-6}, {"ns", 1e-9},
                 {"h", 3600},  {"m", 60},    {"s", 1}};
    double sum = 0;

    while (*text != '\0') {
        char *end;
        double value = strtod(text, &end);
        size_t unit = 0;

        if (end == text || !(value >= 0) || isinf(value))
            return -1;
        while (unit < sizeof units / sizeof *units &&
               strncmp(end, units[unit].unit, strlen(units[unit].unit)) != 0)
            unit++;
        if (unit == sizeof units / sizeof *units)
            return -1;
        sum += value * units[unit].seconds;
        text = end + strlen(units[unit].unit);
    }
    return sum;
}

/* Seconds from now: a duration, a number of seconds, or a point in time since 1970. */
static double read_reset(const char *text, double now)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || !(value >= 0) || isinf(value))
        return -1;
    if (*end != '\0')
        return read_duration(text);
    if (value >= 1e11) /* milliseconds: seconds would be in the year 5138 */
        return fmax(value / 1000 - now, 0);
    if (value >= 1e8) /* three years of seconds are no wait */
        return fmax(value - now, 0);
    return value;
}

static double read_count(const char *text, double now)
{
    char *end;
    double value = strtod(text, &end);

    (void)now;
    return end == text || *end != '\0' || !(value >= 0) || isinf(value) ? -1 : value;
}

void seki_rate_header(struct seki_rate *rate, const char *line, size_t length, double now)
{
    static const char prefix[] = "x-ratelimit-";
    const struct {
        const char *name;
        double *value;
        double (*read)(const char *text, double now);
    } headers[] = {
        {"remaining-requests", &rate->requests_left, read_count},
        {"remaining-tokens", &rate->tokens_left, read_count},
        {"remaining", &rate->requests_left, read_count},
        {"reset-requests", &rate->requests_reset, read_reset},
        {"reset-tokens", &rate->tokens_reset, read_reset},
        {"reset", &rate->requests_reset, read_reset},
    };
    const char *colon = memchr(line, ':', length), *end = line + length;
    char value[MAX_VALUE];
    size_t name;

    if (colon == NULL || (size_t)(colon - line) < sizeof prefix ||
        strncasecmp(line, prefix, sizeof prefix - 1) != 0)
        return;
    line += sizeof prefix - 1;
    name = (size_t)(colon - line);
    for (colon++; colon < end && (*colon == ' ' || *colon == '\t'); colon++)
        ;
    while (end > colon && strchr(" \t\r\n", end[-1]) != NULL)
        end--;
    if (end - colon >= MAX_VALUE || end == colon)
        return;
    snprintf(value, sizeof value, "%.*s", (int)(end - colon), colon);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        if (strlen(headers[i].name) != name || strncasecmp(line, headers[i].name, name) != 0)
            continue;
        *headers[i].value = headers[i].read(value, now);
        return;
    }
}

/* ---- Keeping to them ------------------------------------------------------------------------ */

void seki_limits_learn(struct seki_limits *limits, const struct seki_response *response, double now,
                       double longest)
{
    const struct seki_rate *rate = &response->rate;

    if (rate->requests_left >= 0 || rate->tokens_left >= 0) {
        limits->known = *rate;
        limits->learnt = now;
    }
    if (response->cause == SEKI_CAUSE_RATE_LIMIT && response->retry_after > 0)
        limits->closed_until =
            fmax(limits->closed_until, now + fmin(response->retry_after, longest));
}

/* Until a limit with too little left is full again; 0 where nothing is known, or it is already. */
static double until_reset(double left, double needed, double reset, double passed)
{
    return left >= 0 && left < needed && reset > passed ? reset - passed : 0;
}

double seki_limits_wait(const struct seki_limits *limits, double now, double tokens, double longest)
{
    const struct seki_rate *known = &limits->known;
    double passed = now - limits->learnt, wait = 0;

    if (limits->learnt > 0) {
        wait = fmax(until_reset(known->requests_left, 1, known->requests_reset, passed),
                    until_reset(known->tokens_left, tokens, known->tokens_reset, passed));
        wait = fmin(wait, fmax(longest - passed, 0));
    }
    return fmax(wait, limits->closed_until - now);
}

void seki_limits_spend(struct seki_limits *limits, double tokens)
{
    if (limits->known.requests_left >= 0)
        limits->known.requests_left = fmax(limits->known.requests_left - 1, 0);
    if (limits->known.tokens_left >= 0)
        limits->known.tokens_left = fmax(limits->known.tokens_left - tokens, 0);
}
