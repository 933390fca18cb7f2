/*
 * llm.h - asking a language model for a candidate: an endpoint's client, what is tried again and
 * when, prompt templates, the JSON schema of a search space, reading replies, and the chat that
 * yields one candidate.
 *
 * Everything but the client is free of network and clock: a chat is asked what to do next, given
 * the time, and told what came. One loop drives it:
 *
 *     struct seki_chat *chat = seki_chat_new(&options, &dialect, values, count, seed, &error);
 *     for (;;) {
 *         switch (seki_chat_next(chat, seki_clock(), &wait)) {
 *         case SEKI_CHAT_SEND:
 *             text = seki_chat_request(chat, &length);
 *             seki_client_send(client, text, length, seki_chat_timeout(chat, seki_clock()),
 * &response); seki_chat_receive(chat, seki_clock(), &response); seki_response_free(&response);
 *             break;
 *         case SEKI_CHAT_WAIT:   // sleep for `wait` seconds
 *         case SEKI_CHAT_GOT:    // seki_chat_reply(chat), or seki_chat_reject(chat, …) and go on
 *         case SEKI_CHAT_FAILED: // seki_chat_error(chat)
 *         }
 *     }
 *
 * Several chats may run at once over several clients; none knows of another but through the
 * dialect.
 */
#ifndef SEKI_LLM_H
#define SEKI_LLM_H

#include "base/base.h"
#include "genotype/genotype.h"

/* ---- What can come of a request ---------------------------------------------------------- */

enum seki_cause {
    SEKI_CAUSE_NONE,         /* a chat completion came */
    SEKI_CAUSE_CONNECT,      /* no connection, or the host's name is not found */
    SEKI_CAUSE_TIMEOUT,      /* no reply in time */
    SEKI_CAUSE_DROPPED,      /* the connection ended in the middle */
    SEKI_CAUSE_RATE_LIMIT,   /* 429 */
    SEKI_CAUSE_BUSY,         /* 408, 5xx, an `error` object with status 200 */
    SEKI_CAUSE_MALFORMED,    /* status 200, but no JSON */
    SEKI_CAUSE_TOO_LARGE,    /* more than SEKI_MAX_REPLY bytes */
    SEKI_CAUSE_REFUSED,      /* 400 and other 4xx */
    SEKI_CAUSE_UNAUTHORIZED, /* 401 */
    SEKI_CAUSE_FORBIDDEN,    /* 403 */
    SEKI_CAUSE_NOT_FOUND,    /* 404 */
    SEKI_CAUSE_QUOTA,        /* 402; 429 whose code says that the account's quota is spent */
    SEKI_CAUSE_REDIRECT,     /* 3xx: never followed, so that the key goes to no other host */
    SEKI_CAUSE_HTML,         /* a web page with status 200 */
    SEKI_CAUSE_TLS,          /* no secure connection, or a certificate that does not verify */
    SEKI_CAUSE_PROTOCOL,     /* not HTTP, or another failure of the transfer */
    SEKI_CAUSE_COUNT
};

/* One word for records: "connect", "rate_limit", … */
const char *seki_cause_code(enum seki_cause cause);
/* Whether the same request may well succeed later. */
bool seki_cause_transient(enum seki_cause cause);
/* Whether no other request to this endpoint can do better: the call ends. */
bool seki_cause_final(enum seki_cause cause);
/* What a person can do about it; "" where there is nothing to say. */
const char *seki_cause_hint(enum seki_cause cause);

/* Exponential backoff with full jitter: uniform in 0 .. min(cap, base * 2^(failures-1)) seconds;
 * not less than what the server's Retry-After asks for, of which at most `longest` is honoured. */
struct seki_retry {
    double base, cap, longest; /* seconds */
};
/* failures: 1 after the first; retry_after: seconds, negative where the server said nothing. */
double seki_retry_wait(const struct seki_retry *retry, int failures, double retry_after,
                       struct seki_random *random);

/* ---- The client --------------------------------------------------------------------------- */

struct seki_endpoint {
    const char
        *base_url;   /* http or https, e.g. "http://127.0.0.1:8080/v1", with or without a slash */
    const char *key; /* sent as a bearer token to that host only; NULL: none */
    double connect_timeout; /* seconds */
};

struct seki_client;
/* Copies what it is given. SEKI_BAD_USE where the URL or the key cannot be used. */
struct seki_client *seki_client_new(const struct seki_endpoint *endpoint, struct seki_error *error);
/* Where requests go, for messages: without credentials and query. */
const char *seki_client_url(const struct seki_client *client);
void seki_client_free(struct seki_client *client);

struct seki_response {
    enum seki_cause cause;
    long status;        /* HTTP status; 0 where none came */
    double retry_after; /* seconds; negative: not said */
    double seconds;     /* from the request's start to its end */
    struct seki_buffer body;
    char detail[256]; /* what the transfer or the server said, for messages */
};

/* Sends one chat completion request; always fills *response. The key occurs nowhere in it, even
 * where the server sends it back. timeout: seconds for the whole transfer. */
void seki_client_send(struct seki_client *client, const char *request, size_t length,
                      double timeout, struct seki_response *response);
void seki_response_free(struct seki_response *response);

/* Reads an API key from a file that only its owner can read (mode 0600 or 0400). SEKI_BAD_USE
 * otherwise. */
int seki_key_read(const char *path, struct seki_buffer *key, struct seki_error *error);
/* Overwrites the key in memory and frees it. */
void seki_key_free(struct seki_buffer *key);

/* ---- Prompt templates --------------------------------------------------------------------- */

/*
 * Plain text with
 *     {{name}}              the value of that name
 *     {{#name}} … {{/name}} kept where the value is not empty
 *     {{^name}} … {{/name}} kept where it is
 *     {{! … }}              a comment
 * A section's or a comment's tag that stands alone on its line takes the line with it. Values are
 * put in as they are: what looks like a tag in one is text.
 */
struct seki_template;

struct seki_prompt_value {
    const char *name;
    const char *value;
};

/* names: what may occur, ended by NULL. Anything else is refused here (SEKI_BAD_USE, "prompt"),
 * file and line named. */
struct seki_template *seki_template_load(const char *path, const char *const *names,
                                         struct seki_error *error);
/* The same from memory; `path` is for messages. */
struct seki_template *seki_template_parse(const char *text, size_t length, const char *path,
                                          const char *const *names, struct seki_error *error);
/* Appends the template, filled in. A name without a value counts as empty. */
int seki_template_fill(const struct seki_template *prompt, const struct seki_prompt_value *values,
                       int count, struct seki_buffer *out, struct seki_error *error);
void seki_template_free(struct seki_template *prompt);

/* The folder of the templates: `given` where not NULL; else, seen from the folder of this program's
 * file,
 * ../share/seki/prompts (installed) or ../../share/prompts (built in place); else prompts/ in
 * SEKI_DATADIR, which the build sets. */
int seki_prompt_folder(const char *given, char *path, size_t size, struct seki_error *error);

/* ---- The schema of a reply ---------------------------------------------------------------- */

struct seki_schema_options {
    bool strategy; /* `analysis` and `strategy` before the genotype */
    bool bounded;  /* with maxLength on those two, which some endpoints refuse */
};

/*
 * Appends a JSON schema whose every instance is a valid strict genotype of the space. Only features
 * that servers agree on: type, properties, required, additionalProperties, enum of strings,
 * maxLength. The objects' members are listed in the order in which a model is to write them. darts:
 * {"genotype": {"normal": {"node_2": {"inputs": "0,1", "op_1": OP, "op_2": OP}, … "node_5"},
 * "reduce": …}} `inputs` is an enumeration of the pairs of distinct states; op_1 reads the first,
 * op_2 the second nas201: {"genotype": {"from_0_to_1": OP, "from_0_to_2": OP, "from_1_to_2": OP,
 * "from_0_to_3": OP, …}}
 */
int seki_schema_print(enum seki_space space, const struct seki_schema_options *options,
                      struct seki_buffer *out, struct seki_error *error);

/* Appends a strict genotype as the schema's `genotype` member has it: what a model is shown in that
 * form it can answer in that form. */
int seki_schema_print_genotype(const struct seki_genotype *genotype, struct seki_buffer *out,
                               struct seki_error *error);

/* ---- Reading replies ---------------------------------------------------------------------- */

enum seki_finish { SEKI_FINISH_STOP, SEKI_FINISH_LENGTH, SEKI_FINISH_FILTER, SEKI_FINISH_OTHER };

/* What an endpoint's JSON says. */
struct seki_completion {
    char *content; /* of the first choice; NULL where it has none */
    size_t length;
    char *refusal; /* the model's words, where it refused */
    bool reasoned; /* the choice has reasoning beside the content */
    enum seki_finish finish;
    double prompt_tokens, completion_tokens; /* negative: not said */
};

/* SEKI_NO_RESOURCE: code "malformed" where the body is no JSON object, "busy" where it holds an
 * `error` and no choices. */
int seki_completion_read(const char *body, size_t length, struct seki_completion *completion,
                         struct seki_error *error);
void seki_completion_free(struct seki_completion *completion);
/* An error that the completion itself makes certain (SEKI_BAD_INPUT): "refusal", "truncated",
 * "empty". */
int seki_completion_check(const struct seki_completion *completion, struct seki_error *error);

struct seki_reply {
    char *analysis, *strategy; /* UTF-8, at most SEKI_MAX_REASON bytes each; NULL where not given */
    struct seki_genotype genotype;
};

#define SEKI_MAX_REASON ((size_t)8 << 10)

/*
 * Reads the text of a reply: the schema's JSON, alone, in a code fence or within prose; else the
 * last valid genotype in the space's notation anywhere in it. <think> blocks are left out;
 * typographic quotes, escapes of Markdown and no-break spaces are read as what they stand for.
 * Errors (SEKI_BAD_INPUT): "empty", "json", "genotype".
 */
int seki_reply_read(const char *content, size_t length, enum seki_space space,
                    struct seki_reply *reply, struct seki_error *error);
void seki_reply_free(struct seki_reply *reply);

/* ---- One candidate ------------------------------------------------------------------------ */

/* What an endpoint turned out not to take. It belongs to the endpoint: all chats of a call share
 * it. */
struct seki_dialect {
    bool text;              /* no response_format: the reply is text */
    bool unbounded;         /* no maxLength in the schema */
    bool unseeded;          /* no `seed` */
    bool completion_tokens; /* max_completion_tokens instead of max_tokens */
};

struct seki_chat_options {
    enum seki_space space;
    const char *model;
    const struct seki_template *system, *user;
    bool strategy;      /* ask for analysis and strategy */
    double temperature; /* negative: the endpoint's own */
    long max_tokens;    /* of one reply; 0: the endpoint's own limit */
    int attempts;       /* requests at most */
    double timeout;     /* seconds, of one request */
    double deadline;    /* seconds, of all requests and waits */
    struct seki_retry retry;
};

/* Names that the chat itself gives to templates: "schema" or "text", and "strategy". */

struct seki_chat;

enum seki_chat_step { SEKI_CHAT_SEND, SEKI_CHAT_WAIT, SEKI_CHAT_GOT, SEKI_CHAT_FAILED };

/* Borrows all but `seed` until it is freed. values: for both templates. */
struct seki_chat *seki_chat_new(const struct seki_chat_options *options,
                                struct seki_dialect *dialect,
                                const struct seki_prompt_value *values, int count, uint64_t seed,
                                struct seki_error *error);
/* now: seconds on a monotonic clock. *wait: seconds, for SEKI_CHAT_WAIT. */
enum seki_chat_step seki_chat_next(struct seki_chat *chat, double now, double *wait);
/* The request's body, for SEKI_CHAT_SEND; lasts until the next call of seki_chat_next. */
const char *seki_chat_request(const struct seki_chat *chat, size_t *length);
/* Seconds that the request may take: `timeout`, or what the deadline leaves. */
double seki_chat_timeout(const struct seki_chat *chat, double now);
void seki_chat_receive(struct seki_chat *chat, double now, const struct seki_response *response);
/* The reply is of no use (a duplicate): asked again with the message of `why`, or failed with it.
 */
void seki_chat_reject(struct seki_chat *chat, const struct seki_error *why);

/* The genotype that was read last, or NULL. A rejected one is still there when the chat has failed
 * with its rejection. */
const struct seki_reply *seki_chat_reply(const struct seki_chat *chat);
const struct seki_error *seki_chat_error(const struct seki_chat *chat); /* after FAILED */
/* What a person should be told that the last response taught about the endpoint; "" if nothing. */
const char *seki_chat_note(const struct seki_chat *chat);
/* No completion came at all: the endpoint's fault, with the last cause. SEKI_CAUSE_NONE if one
 * came. */
enum seki_cause seki_chat_cause(const struct seki_chat *chat);

struct seki_chat_cost {
    int attempts;
    double prompt_tokens, completion_tokens; /* over all attempts */
    bool tokens_known;                       /* every completion that came said its tokens */
    double seconds; /* from the first request to the last response, waits included */
};
struct seki_chat_cost seki_chat_cost(const struct seki_chat *chat);
bool seki_chat_as_text(const struct seki_chat *chat); /* the last request asked for text */
void seki_chat_free(struct seki_chat *chat);

#endif
