/* completion.c - reading an endpoint's JSON: the first choice, why it ended, what it cost. */
#include "llm/llm.h"
#include "llm/llm_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* `content` is a string, or a list of parts of which those of type text count. */
static int read_content(const json_t *content, struct seki_completion *completion,
                        struct seki_error *error)
{
    struct seki_buffer text;
    size_t i;
    json_t *part;

    seki_buffer_init(&text, SEKI_MAX_REPLY);
    if (json_is_string(content))
        seki_buffer_append(&text, json_string_value(content), json_string_length(content));
    json_array_foreach(content, i, part)
    {
        const json_t *words = json_object_get(part, "text");

        if (json_is_string(words))
            seki_buffer_append(&text, json_string_value(words), json_string_length(words));
    }
    if (text.failed) {
        seki_buffer_free(&text);
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    }
    if (text.length > 0) {
        completion->content = text.data;
        completion->length = text.length;
    } else {
        seki_buffer_free(&text);
    }
    return 0;
}

static enum seki_finish read_finish(const char *reason)
{
    if (reason == NULL || strcmp(reason, "stop") == 0)
        return SEKI_FINISH_STOP;
    if (strcmp(reason, "length") == 0)
        return SEKI_FINISH_LENGTH;
    if (strcmp(reason, "content_filter") == 0)
        return SEKI_FINISH_FILTER;
    return SEKI_FINISH_OTHER;
}

static bool has_text(const json_t *value)
{
    return json_is_string(value) && json_string_length(value) > 0;
}

static int read_choice(const json_t *choice, struct seki_completion *completion,
                       struct seki_error *error)
{
    const json_t *message = json_object_get(choice, "message");
    const json_t *refusal = json_object_get(message, "refusal");

    completion->finish = read_finish(json_string_value(json_object_get(choice, "finish_reason")));
    completion->reasoned = has_text(json_object_get(message, "reasoning_content")) ||
                           has_text(json_object_get(message, "reasoning"));
    if (has_text(refusal)) {
        completion->refusal = strdup(json_string_value(refusal));
        if (completion->refusal == NULL)
            return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    }
    return read_content(json_object_get(message, "content"), completion, error);
}

static double read_tokens(const json_t *usage, const char *name)
{
    const json_t *value = json_object_get(usage, name);
    double tokens = json_number_value(value);

    return json_is_number(value) && tokens >= 0 && tokens < 1e12 ? tokens : -1;
}

/* As OpenAI has it, or DeepSeek. */
static double read_cached(const json_t *usage)
{
    double tokens = read_tokens(json_object_get(usage, "prompt_tokens_details"), "cached_tokens");

    return tokens >= 0 ? tokens : read_tokens(usage, "prompt_cache_hit_tokens");
}

static int read_root(const json_t *root, struct seki_completion *completion,
                     struct seki_error *error)
{
    const json_t *choices = json_object_get(root, "choices");
    const json_t *trouble = json_object_get(root, "error");
    const json_t *usage = json_object_get(root, "usage");
    const char *words = json_string_value(json_object_get(trouble, "message"));
    double total;

    if (!json_is_array(choices)) {
        if (trouble != NULL && !json_is_null(trouble))
            return seki_fail(error, SEKI_NO_RESOURCE, "busy",
                             "the endpoint reports an error: %.200s",
                             words != NULL ? words : "without a message");
        return seki_fail(error, SEKI_NO_RESOURCE, "malformed",
                         "expected a JSON object with `choices`, found one without");
    }
    completion->prompt_tokens = read_tokens(usage, "prompt_tokens");
    completion->completion_tokens = read_tokens(usage, "completion_tokens");
    completion->cached_tokens = fmin(read_cached(usage), fmax(completion->prompt_tokens, 0));
    /* thinking is in the total alone with some endpoints, and is billed as what is written */
    total = read_tokens(usage, "total_tokens");
    if (completion->prompt_tokens >= 0 && completion->completion_tokens >= 0)
        completion->completion_tokens =
            fmax(completion->completion_tokens, total - completion->prompt_tokens);
    return read_choice(json_array_get(choices, 0), completion, error);
}

int seki_completion_read(const char *body, size_t length, struct seki_completion *completion,
                         struct seki_error *error)
{
    json_error_t where;
    json_t *root;
    int result;

    memset(completion, 0, sizeof *completion);
    completion->prompt_tokens = completion->completion_tokens = completion->cached_tokens = -1;
    if (length >= 3 && memcmp(body, "\xEF\xBB\xBF", 3) == 0) { /* a byte order mark */
        body += 3;
        length -= 3;
    }
    root = json_loadb(body, length, 0, &where);
    if (!json_is_object(root)) {
        json_decref(root);
        return seki_fail(error, SEKI_NO_RESOURCE, "malformed",
                         "expected a JSON object, found something else in %zu bytes: %s", length,
                         root == NULL ? where.text : "another kind of value");
    }
    result = read_root(root, completion, error);
    json_decref(root);
    if (result < 0)
        seki_completion_free(completion);
    return result;
}

void seki_completion_free(struct seki_completion *completion)
{
    free(completion->content);
    free(completion->refusal);
    completion->content = completion->refusal = NULL;
}

int seki_completion_check(const struct seki_completion *completion, struct seki_error *error)
{
    if (completion->refusal != NULL)
        return seki_fail(error, SEKI_BAD_INPUT, "refusal", "the model refused: %.300s",
                         completion->refusal);
    if (completion->finish == SEKI_FINISH_FILTER)
        return seki_fail(error, SEKI_BAD_INPUT, "refusal",
                         "the endpoint's content filter ended the reply");
    if (completion->finish == SEKI_FINISH_LENGTH)
        return seki_fail(error, SEKI_BAD_INPUT, "truncated",
                         "the reply was cut at its length limit before the architecture was "
                         "complete; raise --max-tokens or have the model write less");
    if (completion->content == NULL)
        return seki_fail(error, SEKI_BAD_INPUT, "empty", "%s",
                         completion->reasoned ? "the model gave its reasoning but no reply"
                                              : "the reply is empty");
    return 0;
}
