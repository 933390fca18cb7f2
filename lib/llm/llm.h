/*
 * llm.h - asking a language model for a candidate: an endpoint's client, what is tried again and
 * when, prompt templates, the JSON schema of a search space, reading replies, and the chat that
 * yields one candidate.
 *
 * Everything but client and recording is free of network and clock: a chat is asked what to do
 * next, given the time, and told what came. One chat over one client is this loop; several share a
 * client, and what they learn of the endpoint is in the dialect and the limits:
 *
 *     chat = seki_chat_new(&options, &dialect, values, count, seed, &error);
 *     for (;;) {
 *         switch (seki_chat_next(chat, seki_clock(), &wait)) {
 *         case SEKI_CHAT_SEND:
 *             request.text = seki_chat_request(chat, &request.length);
 *             request.timeout = seki_chat_timeout(chat);
 *             seki_client_start(client, &request, chat, &error);
 *             while (seki_client_wait(client, 60, -1, &response) == NULL)
 *                 ;
 *             seki_chat_receive(chat, &response);
 *             seki_response_free(&response);
 *             break;
 *         case SEKI_CHAT_WAIT:   // for `wait` seconds
 *         case SEKI_CHAT_GOT:    // seki_chat_reply(chat), or seki_chat_reject(chat, …) and go on
 *         case SEKI_CHAT_FAILED: // seki_chat_error(chat)
 *         }
 *     }
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
    SEKI_CAUSE_UNRECORDED,   /* a replay lacks the request */
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

/* ---- What an endpoint says of its rate limits ------------------------------------------------ */

/* From the x-ratelimit-* headers of a response; negative: not said. */
struct seki_rate {
    double requests_left, tokens_left;   /* before the limit is reached */
    double requests_reset, tokens_reset; /* seconds until it is full again */
};

void seki_rate_clear(struct seki_rate *rate);
/*
 * Takes in one header line; others are passed over. x-ratelimit-remaining-{requests,tokens} and
 * x-ratelimit-reset-{requests,tokens} as OpenAI documents them ("6m0s", "17ms", seconds), and
 * x-ratelimit-remaining and -reset without an ending, of requests. A reset may be a point in time
 * (seconds or milliseconds since 1970); now: the wall clock's seconds since then.
 */
void seki_rate_header(struct seki_rate *rate, const char *line, size_t length, double now);

/* The requests that may go out now: all chats of an endpoint share it. Zeroed: nothing is known. */
struct seki_limits {
    struct seki_rate known;
    double learnt;       /* when, on the monotonic clock; 0: never */
    double closed_until; /* after a 429, on the monotonic clock */
};

struct seki_response;
/* longest: seconds, of a wait that the endpoint can ask for. */
void seki_limits_learn(struct seki_limits *limits, const struct seki_response *response, double now,
                       double longest);
/* Seconds to wait before a request of about `tokens` tokens; 0: none. */
double seki_limits_wait(const struct seki_limits *limits, double now, double tokens,
                        double longest);
/* It went out: until the next response says more, there is less left. */
void seki_limits_spend(struct seki_limits *limits, double tokens);

/* ---- Record and replay ------------------------------------------------------------------------
 */

/*
 * A file with an exchange a line: which request it was (`seed`, `candidate`, `attempt`, the hash of
 * its text), the request, and the reply, whole. Replayed, a request is answered by the last
 * exchange of its place and text: what a killed call asked again counts as it was answered last.
 */
struct seki_recording;

/* The place of a request in a call; with its text it is what a replay finds the answer by. */
struct seki_place {
    uint64_t seed, candidate; /* of the call; in it, from 0 */
    int attempt;              /* of the candidate, from 1 */
};

/* Appends to the file. */
struct seki_recording *seki_recording_create(const char *path, struct seki_error *error);
/* Reads an index of it; SEKI_BAD_USE ("recording") names file and line of what is no exchange. */
struct seki_recording *seki_recording_open(const char *path, struct seki_error *error);
int seki_recording_append(struct seki_recording *recording, const struct seki_place *place,
                          const char *request, const struct seki_response *response,
                          struct seki_error *error);
/* Fills *response; a request that was not recorded has the cause SEKI_CAUSE_UNRECORDED. Returns the
 * place in the order in which replies came; of one that did not, the first. */
long seki_recording_answer(struct seki_recording *recording, const struct seki_place *place,
                           const char *request, struct seki_response *response);
const char *seki_recording_path(const struct seki_recording *recording);
void seki_recording_free(struct seki_recording *recording);

/* ---- The client --------------------------------------------------------------------------- */

struct seki_endpoint {
    const char
        *base_url;   /* http or https, e.g. "http://127.0.0.1:8080/v1", with or without a slash */
    const char *key; /* sent as a bearer token to that host only; NULL: none */
    double connect_timeout; /* seconds */
    double idle_timeout;    /* seconds without a byte once the reply has begun */
};

/* Several requests may be under way at once, each over a connection of its own. */
struct seki_client;
/* Copies what it is given. SEKI_BAD_USE where the URL or the key cannot be used. */
struct seki_client *seki_client_new(const struct seki_endpoint *endpoint, struct seki_error *error);
/* One that answers from a recording, and never goes to the network. Borrows it. */
struct seki_client *seki_client_new_replay(struct seki_recording *recording,
                                           struct seki_error *error);
/* Where requests go, for messages: without credentials and query; a recording's file. */
const char *seki_client_url(const struct seki_client *client);
/* Ends what is under way. */
void seki_client_free(struct seki_client *client);

struct seki_response {
    enum seki_cause cause;
    long status;        /* HTTP status; 0 where none came */
    double retry_after; /* seconds; negative: not said */
    double seconds;     /* from the request's start to its end, in whole milliseconds */
    struct seki_rate rate;
    struct seki_buffer body; /* with a string in it, if only "" */
    char detail[256];        /* what the transfer or the server said, for messages */
};

void seki_response_init(struct seki_response *response);
void seki_response_free(struct seki_response *response);

struct seki_request {
    const char *text; /* of `length` bytes, of the caller, until the response has come */
    size_t length;
    double timeout; /* seconds for the whole transfer */
    struct seki_place place;
};

/* Begins a chat completion request. `owner` comes back with its response. */
int seki_client_start(struct seki_client *client, const struct seki_request *request, void *owner,
                      struct seki_error *error);
/*
 * Waits for a response, at most `seconds`, or until `descriptor` (-1: none) can be read. Returns
 * the owner of the request that *response answers, or NULL. The key occurs nowhere in the response,
 * even where the server sends it back. Whatever goes wrong with a transfer is in the response.
 */
void *seki_client_wait(struct seki_client *client, double seconds, int descriptor,
                       struct seki_response *response);

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
    const struct seki_narrowing *narrowing; /* or NULL */
};

/* One edge of a strict genotype is open to some operations, and all the rest is as it is there. */
struct seki_narrowing {
    struct seki_genotype base;
    int cell;     /* of the open edge */
    int edge;     /* its index there, in the notation's order */
    unsigned ops; /* a bit (1 << operation) for each that it may have */
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
    double cached_tokens;                    /* of the prompt's; negative: not said */
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
    double deadline;    /* seconds, of all requests and the waits after failures */
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
/* Which request that is, from 1. */
int seki_chat_attempt(const struct seki_chat *chat);
/* Seconds that the request may take: `timeout`, or what the deadline leaves. */
double seki_chat_timeout(const struct seki_chat *chat);
void seki_chat_receive(struct seki_chat *chat, const struct seki_response *response);
/* The reply is of no use (a duplicate, over a constraint): asked again with the message of `why`,
 * or failed with it. */
void seki_chat_reject(struct seki_chat *chat, const struct seki_error *why);
/*
 * After a rejection: the next schema admits nothing but one edge's other operations. For a model
 * that gives back what is known, as small ones do at any temperature: the reply is new by
 * construction. Copies it.
 */
void seki_chat_narrow(struct seki_chat *chat, const struct seki_narrowing *narrowing);
bool seki_chat_narrowed(const struct seki_chat *chat); /* the last request was */
/* No request is sent any more: it has failed with `why`. */
void seki_chat_abandon(struct seki_chat *chat, const struct seki_error *why);

/* The genotype that was read last, or NULL. A rejected one is still there when the chat has failed
 * with its rejection. */
const struct seki_reply *seki_chat_reply(const struct seki_chat *chat);
const struct seki_error *seki_chat_error(const struct seki_chat *chat); /* after FAILED */
/* What a person should be told that the last response taught about the endpoint; "" if nothing. */
const char *seki_chat_note(const struct seki_chat *chat);
/* No completion came at all: the endpoint's fault, with the last cause. SEKI_CAUSE_NONE if one
 * came. */
enum seki_cause seki_chat_cause(const struct seki_chat *chat);

/* What came of the last request, its body read: SEKI_CAUSE_NONE for a completion, be it of use or
 * not.
 */
enum seki_cause seki_chat_last_cause(const struct seki_chat *chat);

/* Tokens of one completion; negative: not said. */
struct seki_usage {
    double prompt_tokens, cached_tokens, completion_tokens;
};
/* Of the last response; NULL where that was no completion. */
const struct seki_usage *seki_chat_usage(const struct seki_chat *chat);
/* Bytes of the messages of the last request. */
size_t seki_chat_prompt_bytes(const struct seki_chat *chat);

#define SEKI_MAX_FAULTS 32
/* The codes of what went wrong with the requests, one for each, the first SEKI_MAX_FAULTS of them:
 * causes of the endpoint's, errors of replies. Returns how many. */
int seki_chat_faults(const struct seki_chat *chat, const char *const **codes);

struct seki_chat_cost {
    int attempts;
    double seconds; /* of all requests and the waits between them, as a replay has them too */
};
struct seki_chat_cost seki_chat_cost(const struct seki_chat *chat);
bool seki_chat_as_text(const struct seki_chat *chat); /* the last request asked for text */
void seki_chat_free(struct seki_chat *chat);

#endif
