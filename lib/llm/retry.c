/* retry.c - what came of a request, and whether and when it is sent again. */
#include "llm/llm.h"

#include <math.h>

static const struct {
    const char *code;
    bool transient, final;
    const char *hint;
} causes[SEKI_CAUSE_COUNT] = {
    [SEKI_CAUSE_NONE] = {"none", false, false, ""},
    [SEKI_CAUSE_CONNECT] = {"connect", true, false,
                            "check that the server runs and that --base-url names it"},
    [SEKI_CAUSE_TIMEOUT] = {"timeout", true, false,
                            "raise --timeout, or ask for shorter replies with --max-tokens"},
    [SEKI_CAUSE_DROPPED] = {"dropped", true, false, "see the server's log, and try again later"},
    [SEKI_CAUSE_RATE_LIMIT] = {"rate_limit", true, false,
                               "wait, or allow more with --attempts and --deadline"},
    [SEKI_CAUSE_BUSY] = {"busy", true, false, "try again later, or raise --attempts"},
    [SEKI_CAUSE_MALFORMED] = {"malformed", true, false,
                              "check that --base-url is the root of an OpenAI-compatible API"},
    [SEKI_CAUSE_TOO_LARGE] = {"too_large", false, false, "limit replies with --max-tokens"},
    [SEKI_CAUSE_REFUSED] = {"refused", false, false, "check --model and the options it is given"},
    [SEKI_CAUSE_UNAUTHORIZED] = {"unauthorized", false, true,
                                 "check the key in OPENAI_API_KEY or --key-file"},
    [SEKI_CAUSE_FORBIDDEN] = {"forbidden", false, true,
                              "check what the key is allowed, and --model"},
    [SEKI_CAUSE_NOT_FOUND] = {"not_found", false, true,
                              "check --base-url (it often ends in /v1) and --model"},
    [SEKI_CAUSE_QUOTA] = {"quota", false, true, "the account's quota is spent"},
    [SEKI_CAUSE_REDIRECT] = {"redirect", false, true,
                             "redirects are not followed; give the final address as --base-url"},
    [SEKI_CAUSE_HTML] = {"html", false, true,
                         "a web page answers there; --base-url must be the root of an "
                         "OpenAI-compatible API"},
    [SEKI_CAUSE_TLS] = {"tls", false, true, "check the host's name and certificate"},
    [SEKI_CAUSE_PROTOCOL] = {"protocol", false, true, "check that an HTTP server answers there"},
    [SEKI_CAUSE_UNRECORDED] =
        {"unrecorded", false, true,
         "replay with the options, the seed and the input that were recorded"},
};

const char *seki_cause_code(enum seki_cause cause)
{
    return causes[cause].code;
}

bool seki_cause_transient(enum seki_cause cause)
{
    return causes[cause].transient;
}

bool seki_cause_final(enum seki_cause cause)
{
    return causes[cause].final;
}

const char *seki_cause_hint(enum seki_cause cause)
{
    return causes[cause].hint;
}

double seki_retry_wait(const struct seki_retry *retry, int failures, double retry_after,
                       struct seki_random *random)
{
    /* 2^1000 is the last power that is surely finite in a double; the cap comes long before */
    int doublings = failures < 1 ? 0 : failures > 1000 ? 999 : failures - 1;
    double ceiling = fmin(retry->cap, ldexp(retry->base, doublings));
    double wait = ceiling * seki_random_uniform(random);

    if (retry_after >= 0)
        wait = fmax(wait, fmin(retry_after, retry->longest));
    return wait;
}
