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
    int attempts;               /* requests sent */
    int failures;               /* transient failures in a row */
    double started, ended, due; /* seconds; started: negative before the first request */
    char *request;
    struct seki_dialect sent; /* how the last request was put */

    char *previous;      /* the reply that is to be mended, cut; NULL if none */
    char complaint[640]; /* what was wrong with it; "" if nothing */

    struct seki_reply reply;
    bool has_reply;
    struct seki_error error;
    enum seki_cause cause; /* of the last failure of the endpoint */
    int completions;       /* chat completions that came */
    double prompt_tokens, completion_tokens;
    bool tokens_missing;
    char note[200];
};

/* The body of the next request, to be freed; NULL and *error on failure. */
char *seki_chat_compose(const struct seki_chat *chat, struct seki_error *error);

#endif
