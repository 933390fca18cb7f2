/* chat.c - one candidate: what to ask next, given what came, within the bounds on requests and
 * time. */
#include "llm/llm.h"
#include "llm/chat_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PREVIOUS 4000 /* bytes of a wrong reply that are shown to the model again */

struct seki_chat *seki_chat_new(const struct seki_chat_options *options,
                                struct seki_dialect *dialect,
                                const struct seki_prompt_value *values, int count, uint64_t seed,
                                struct seki_error *error)
{
    struct seki_chat *chat = seki_allocate(1, sizeof *chat, error);

    if (chat == NULL)
        return NULL;
    chat->options = options;
    chat->dialect = dialect;
    chat->values = values;
    chat->value_count = count;
    chat->seed = seed;
    seki_random_seed(&chat->jitter, seed, seki_hash_string("jitter"));
    return chat;
}

void seki_chat_free(struct seki_chat *chat)
{
    if (chat == NULL)
        return;
    free(chat->request);
    free(chat->previous);
    seki_reply_free(&chat->reply);
    free(chat);
}

/* ---- What to do next ---------------------------------------------------------------------- */

static enum seki_chat_step send_next(struct seki_chat *chat)
{
    free(chat->request);
    chat->sent = *chat->dialect;
    chat->request = seki_chat_compose(chat, &chat->error);
    if (chat->request == NULL) {
        chat->state = CHAT_FAILED;
        return SEKI_CHAT_FAILED;
    }
    chat->attempts++;
    chat->state = CHAT_SENT;
    return SEKI_CHAT_SEND;
}

enum seki_chat_step seki_chat_next(struct seki_chat *chat, double now, double *wait)
{
    switch (chat->state) {
    case CHAT_WAITING:
        if (chat->due < 0)
            chat->due = now + chat->wait;
        if (now < chat->due) {
            *wait = chat->due - now;
            return SEKI_CHAT_WAIT;
        }
        return send_next(chat);
    case CHAT_READY:
        return send_next(chat);
    case CHAT_GOT:
        return SEKI_CHAT_GOT;
    case CHAT_FAILED:
        return SEKI_CHAT_FAILED;
    case CHAT_SENT:
        break;
    }
    SEKI_BUG("a chat was asked on before it got its response");
}

const char *seki_chat_request(const struct seki_chat *chat, size_t *length)
{
    *length = strlen(chat->request);
    return chat->request;
}

int seki_chat_attempt(const struct seki_chat *chat)
{
    return chat->attempts;
}

static double time_left(const struct seki_chat *chat)
{
    return chat->options->deadline - chat->spent;
}

double seki_chat_timeout(const struct seki_chat *chat)
{
    return fmin(chat->options->timeout, time_left(chat));
}

/* ---- What came ---------------------------------------------------------------------------- */

static void note_fault(struct seki_chat *chat)
{
    if (chat->fault_count < SEKI_MAX_FAULTS)
        chat->faults[chat->fault_count++] = chat->error.code;
}

/* After a failure that *error tells: sent again after `wait` seconds, if requests and time are
 * left. */
static void try_again(struct seki_chat *chat, double wait)
{
    size_t length = strlen(chat->error.message);

    note_fault(chat);
    chat->state = CHAT_FAILED;
    if (chat->attempts >= chat->options->attempts)
        return;
    if (wait >= time_left(chat)) {
        snprintf(chat->error.message + length, sizeof chat->error.message - length,
                 "; the deadline of %g s leaves no time to ask again", chat->options->deadline);
        return;
    }
    chat->spent += wait;
    chat->wait = wait;
    chat->due = -1;
    chat->state = wait > 0 ? CHAT_WAITING : CHAT_READY;
}

static bool mentions(const struct seki_response *response, const char *word)
{
    return strstr(response->body.data, word) != NULL;
}

static bool learn(struct seki_chat *chat, bool *fact, const char *note)
{
    if (!*fact)
        snprintf(chat->note, sizeof chat->note, "%s", note);
    *fact = true;
    return true;
}

/* Whether the response refuses a part of the request that can be left out or put otherwise. */
static bool learn_dialect(struct seki_chat *chat, const struct seki_response *response)
{
    struct seki_dialect *dialect = chat->dialect;
    const struct seki_dialect *sent = &chat->sent;
    long status = response->status;

    if (status != 400 && status != 415 && status != 422 && status != 500 && status != 501)
        return false;
    if (!sent->text && !sent->unbounded && mentions(response, "maxLength"))
        return learn(chat, &dialect->unbounded,
                     "the endpoint refuses maxLength in a schema; it is left out from here on");
    if (!sent->text &&
        (mentions(response, "response_format") || mentions(response, "json_schema") ||
         mentions(response, "grammar") || mentions(response, "tructured output")))
        return learn(
            chat, &dialect->text,
            "the endpoint refuses response_format; replies are asked for as text from here on");
    if (chat->options->max_tokens > 0 && !sent->completion_tokens &&
        mentions(response, "max_")) /* max_tokens, or what it wants instead */
        return learn(
            chat, &dialect->completion_tokens,
            "the endpoint wants max_completion_tokens instead of max_tokens; it gets that");
    if (!sent->unseeded && mentions(response, "seed"))
        return learn(chat, &dialect->unseeded,
                     "the endpoint refuses `seed`; its replies cannot be made repeatable");
    return false;
}

static void receive_failure(struct seki_chat *chat, enum seki_cause cause, const char *detail,
                            const struct seki_response *response)
{
    double wait;

    seki_fail(&chat->error, SEKI_NO_RESOURCE, seki_cause_code(cause), "%s", detail);
    chat->cause = cause;
    if (learn_dialect(chat, response)) {
        try_again(chat, 0);
    } else if (seki_cause_transient(cause)) {
        chat->failures++;
        wait = seki_retry_wait(&chat->options->retry, chat->failures, response->retry_after,
                               &chat->jitter);
        try_again(chat, round(wait * 1000) / 1000);
    } else {
        note_fault(chat);
        chat->state = CHAT_FAILED;
    }
}

/* Keeps the reply, cut between characters, to be shown with what is wrong about it. */
static void keep_previous(struct seki_chat *chat, const char *content, size_t length)
{
    free(chat->previous);
    chat->previous = NULL;
    if (content == NULL)
        return;
    if (length > MAX_PREVIOUS) {
        length = MAX_PREVIOUS;
        while (length > 0 && ((unsigned char)content[length] & 0xC0) == 0x80)
            length--;
    }
    chat->previous = malloc(length + 1);
    if (chat->previous != NULL) {
        memcpy(chat->previous, content, length);
        chat->previous[length] = '\0';
    }
}

static void complain(struct seki_chat *chat)
{
    const char *code = chat->error.code;

    if (strcmp(code, "truncated") == 0)
        snprintf(
            chat->complaint, sizeof chat->complaint,
            "Your last reply was cut off because it was too long. Answer again, much shorter.");
    else if (strcmp(code, "empty") == 0)
        snprintf(chat->complaint, sizeof chat->complaint,
                 "Your last reply was empty. Answer in the form asked for.");
    else if (strcmp(code, "duplicate") == 0)
        snprintf(chat->complaint, sizeof chat->complaint,
                 "This cannot be used: %s. Change at least one operation or input so that a new "
                 "architecture results, and answer again in the same form.",
                 chat->error.message);
    else if (strcmp(code, "constraint") == 0)
        snprintf(chat->complaint, sizeof chat->complaint,
                 "This cannot be used: %s. Put cheaper operations in place of some, and answer "
                 "again in the same form.",
                 chat->error.message);
    else
        snprintf(chat->complaint, sizeof chat->complaint,
                 "This cannot be used: %s. Answer again, in the form asked for.",
                 chat->error.message);
}

static void keep_usage(struct seki_chat *chat, const struct seki_completion *completion)
{
    chat->completions++;
    chat->has_usage = true;
    chat->usage = (struct seki_usage){.prompt_tokens = completion->prompt_tokens,
                                      .cached_tokens = completion->cached_tokens,
                                      .completion_tokens = completion->completion_tokens};
}

static void receive_completion(struct seki_chat *chat, const struct seki_completion *completion)
{
    int result;

    keep_usage(chat, completion);
    chat->failures = 0;
    seki_reply_free(&chat->reply);
    chat->has_reply = false;
    result = seki_completion_check(completion, &chat->error);
    if (result == 0)
        result = seki_reply_read(completion->content, completion->length, chat->options->space,
                                 &chat->reply, &chat->error);
    chat->has_reply = result == 0;
    /* a cut reply would only lead on to another long one */
    keep_previous(chat, completion->finish == SEKI_FINISH_LENGTH ? NULL : completion->content,
                  completion->length);
    if (result == 0) {
        chat->state = CHAT_GOT;
        return;
    }
    complain(chat);
    try_again(chat, 0);
}

void seki_chat_receive(struct seki_chat *chat, const struct seki_response *response)
{
    struct seki_completion completion;
    struct seki_error error;

    if (chat->state != CHAT_SENT)
        SEKI_BUG("a chat got a response to no request");
    chat->spent += response->seconds;
    chat->has_usage = false;
    chat->note[0] = '\0';
    if (response->cause != SEKI_CAUSE_NONE) {
        receive_failure(chat, response->cause, response->detail, response);
        return;
    }
    if (seki_completion_read(response->body.data, response->body.length, &completion, &error) < 0) {
        enum seki_cause cause =
            strcmp(error.code, "busy") == 0 ? SEKI_CAUSE_BUSY : SEKI_CAUSE_MALFORMED;

        receive_failure(chat, cause, error.message, response);
        return;
    }
    receive_completion(chat, &completion);
    seki_completion_free(&completion);
}

void seki_chat_reject(struct seki_chat *chat, const struct seki_error *why)
{
    if (chat->state != CHAT_GOT)
        SEKI_BUG("a chat's reply was rejected before it came");
    chat->error = *why;
    complain(chat);
    try_again(chat, 0);
}

/* "Keep to … and change the operation of … alone, to one of: …" */
static void explain_narrowing(struct seki_chat *chat)
{
    const struct seki_narrowing *n = &chat->narrowing;
    const struct seki_edge *edge = &n->base.cells[n->cell].edges[n->edge];
    char notation[SEKI_GENOTYPE_TEXT];
    struct seki_buffer text;
    struct seki_error ignored;

    seki_buffer_init(&text, sizeof chat->complaint - 1);
    seki_buffer_puts(&text, chat->complaint);
    seki_buffer_puts(&text, "\nKeep to this architecture: ");
    seki_genotype_print(&n->base, notation);
    if (chat->sent.text)
        seki_buffer_puts(&text, notation);
    else
        seki_schema_print_genotype(&n->base, &text, &ignored);
    seki_buffer_printf(&text, "\nChange nothing but the operation %sfrom %d to %d, to one of:",
                       n->base.space == SEKI_NAS201 ? ""
                       : n->cell == SEKI_NORMAL     ? "of the normal cell "
                                                    : "of the reduction cell ",
                       edge->input, edge->node);
    for (int op = 0; op < SEKI_OP_COUNT; op++)
        if (n->ops & 1U << op)
            seki_buffer_printf(&text, " %s", seki_op_name((enum seki_op)op));
    if (!text.failed)
        snprintf(chat->complaint, sizeof chat->complaint, "%s", text.data);
    seki_buffer_free(&text);
}

void seki_chat_narrow(struct seki_chat *chat, const struct seki_narrowing *narrowing)
{
    chat->narrowing = *narrowing;
    chat->narrowed = true;
    explain_narrowing(chat);
}

bool seki_chat_narrowed(const struct seki_chat *chat)
{
    return chat->narrowed;
}

void seki_chat_abandon(struct seki_chat *chat, const struct seki_error *why)
{
    if (chat->state == CHAT_SENT)
        chat->attempts--; /* composed, and never sent */
    chat->error = *why;
    chat->state = CHAT_FAILED;
}

/* ---- What it came to ---------------------------------------------------------------------- */

const struct seki_reply *seki_chat_reply(const struct seki_chat *chat)
{
    return chat->has_reply ? &chat->reply : NULL;
}

const struct seki_error *seki_chat_error(const struct seki_chat *chat)
{
    return &chat->error;
}

const char *seki_chat_note(const struct seki_chat *chat)
{
    return chat->note;
}

enum seki_cause seki_chat_cause(const struct seki_chat *chat)
{
    return chat->completions > 0 ? SEKI_CAUSE_NONE : chat->cause;
}

enum seki_cause seki_chat_last_cause(const struct seki_chat *chat)
{
    return chat->has_usage ? SEKI_CAUSE_NONE : chat->cause;
}

const struct seki_usage *seki_chat_usage(const struct seki_chat *chat)
{
    return chat->has_usage ? &chat->usage : NULL;
}

size_t seki_chat_prompt_bytes(const struct seki_chat *chat)
{
    return chat->prompt_bytes;
}

int seki_chat_faults(const struct seki_chat *chat, const char *const **codes)
{
    *codes = chat->faults;
    return chat->fault_count;
}

struct seki_chat_cost seki_chat_cost(const struct seki_chat *chat)
{
    return (struct seki_chat_cost){
        .attempts = chat->attempts,
        .seconds = chat->spent,
    };
}

bool seki_chat_as_text(const struct seki_chat *chat)
{
    return chat->sent.text;
}
