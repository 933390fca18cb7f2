/* chat_internal.h - the state of a chat, shared by chat.c and chat_request.c. */
#ifndef SEKI_CHAT_INTERNAL_H
#define SEKI_CHAT_INTERNAL_H

#include "llm/llm.h"

enum chat_state { CHAT_READY, CHAT_WAITING, CHAT_SENT, CHAT_GOT, CHAT_FAILED };

struct seki_chat {
    const struct seki_chat_options *options;
    struct seki_dialect *dialect;
    const struct seki_prompt_value *values;
    uint64_t seed;
    struct seki_random jitter;

    /* seconds: of requests and waits, not read off a clock, so that a replay has it; before the
     * next request; when that is, negative while not yet set */
    double spent, wait, due;
    char *request;
    size_t prompt_bytes; /* of its messages */

    char *previous;                      /* the reply that is to be mended, cut; NULL if none */
    char complaint[3072];                /* what was wrong with it; "" if nothing */
    const char *faults[SEKI_MAX_FAULTS]; /* codes of what went wrong, an attempt each */
    char note[200];

    struct seki_reply reply;
    struct seki_error error;
    struct seki_usage usage; /* of the last completion */

    struct seki_narrowing narrowing;
    enum chat_state state;
    enum seki_cause cause; /* of the last failure of the endpoint */
    int value_count;
    int attempts; /* requests sent */
    int failures; /* transient failures in a row */
    int fault_count;
    int completions;          /* chat completions that came */
    struct seki_dialect sent; /* how the last request was put */
    bool narrowed, has_reply, has_usage;
};

/* The body of the next request, to be freed; NULL and *error on failure. */
char *seki_chat_compose(struct seki_chat *chat, struct seki_error *error);

#endif
