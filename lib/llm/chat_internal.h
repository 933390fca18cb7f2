/* chat_internal.h - the state of a chat, shared by chat.c and chat_request.c. */
#ifndef SEKI_CHAT_INTERNAL_H
#define SEKI_CHAT_INTERNAL_H

#include "llm/llm.h"

enum chat_state { CHAT_READY, CHAT_WAITING, CHAT_SENT, CHAT_GOT, CHAT_FAILED };

struct seki_chat {
    const struct seki_chat_options *options;
    struct seki_dialect *dialect;
    const struct seki_prompt_value *values;
    int value_count;
    uint64_t seed;
    struct seki_random jitter;

    enum chat_state state;
    int attempts; /* requests sent */
    int failures; /* transient failures in a row */
    double
        spent;   /* seconds, of requests and waits; not read off a clock, so that a replay has it */
    double wait; /* seconds, before the next request */
    double due;  /* when that is; negative: not yet set */
    char *request;
    size_t prompt_bytes;      /* of its messages */
    struct seki_dialect sent; /* how the last request was put */

    char *previous;       /* the reply that is to be mended, cut; NULL if none */
    char complaint[3072]; /* what was wrong with it; "" if nothing */

    const char *faults[SEKI_MAX_FAULTS]; /* codes of what went wrong, an attempt each */
    int fault_count;

    struct seki_narrowing narrowing;
    bool narrowed;

    struct seki_reply reply;
    bool has_reply;
    struct seki_error error;
    enum seki_cause cause;   /* of the last failure of the endpoint */
    int completions;         /* chat completions that came */
    struct seki_usage usage; /* of the last completion */
    bool has_usage;
    double prompt_tokens, cached_tokens, completion_tokens;
    bool tokens_missing;
    char note[200];
};

/* The body of the next request, to be freed; NULL and *error on failure. */
char *seki_chat_compose(struct seki_chat *chat, struct seki_error *error);

#endif
