/* chat_request.c - a chat's next request: messages from the templates, the schema, the parameters.
 */
#include "llm/llm.h"
#include "llm/chat_internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define OWN_VALUES 3

/* A message made from a template; `more` (may be "") follows it. */
static json_t *message(const struct seki_chat *chat, const char *role,
                       const struct seki_template *prompt, const char *more,
                       struct seki_error *error)
{
    int count = chat->value_count;
    struct seki_prompt_value *values =
        seki_allocate((size_t)count + OWN_VALUES, sizeof *values, error);
    struct seki_buffer text;
    json_t *object = NULL;

    if (values == NULL)
        return NULL;
    for (int i = 0; i < count; i++)
        values[i] = chat->values[i];
    values[count++] = (struct seki_prompt_value){chat->sent.text ? "text" : "schema", "yes"};
    values[count++] = (struct seki_prompt_value){"strategy", chat->options->strategy ? "yes" : ""};
    seki_buffer_init(&text, SEKI_MAX_TEMPLATE);
    if (seki_template_fill(prompt, values, count, &text, error) == 0) {
        if (*more != '\0')
            seki_buffer_printf(&text, "\n%s", more);
        object = json_pack("{s:s, s:s#}", "role", role, "content",
                           text.data != NULL ? text.data : "", (int)text.length);
        if (object == NULL || text.failed)
            seki_fail(error, SEKI_NO_RESOURCE, "memory", "the prompt does not fit in memory");
    }
    seki_buffer_free(&text);
    free(values);
    return object;
}

static json_t *messages(const struct seki_chat *chat, struct seki_error *error)
{
    /* without a reply to show, the complaint joins the question: two messages of one role in a row
     * are refused by some models' chat templates */
    bool shows_reply = chat->previous != NULL && *chat->complaint != '\0';
    json_t *list = json_array();
    json_t *system = message(chat, "system", chat->options->system, "", error);
    json_t *user = system == NULL ? NULL
                                  : message(chat, "user", chat->options->user,
                                            shows_reply ? "" : chat->complaint, error);
    int result = user == NULL ? -1 : 0;

    result |= json_array_append_new(list, system) | json_array_append_new(list, user);
    if (result == 0 && shows_reply) {
        result |= json_array_append_new(
            list, json_pack("{s:s, s:s}", "role", "assistant", "content", chat->previous));
        result |= json_array_append_new(
            list, json_pack("{s:s, s:s}", "role", "user", "content", chat->complaint));
        if (result != 0)
            seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    }
    if (result == 0)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *response_format(const struct seki_chat *chat, struct seki_error *error)
{
    struct seki_schema_options options = {.strategy = chat->options->strategy,
                                          .bounded = !chat->sent.unbounded,
                                          .narrowing = chat->narrowed ? &chat->narrowing : NULL};
    struct seki_buffer text;
    json_t *schema = NULL;

    seki_buffer_init(&text, SEKI_MAX_TEMPLATE);
    if (seki_schema_print(chat->options->space, &options, &text, error) == 0)
        schema = json_loadb(text.data, text.length, 0, NULL);
    seki_buffer_free(&text);
    if (schema == NULL)
        return NULL;
    return json_pack("{s:s, s:{s:s, s:b, s:o}}", "type", "json_schema", "json_schema", "name",
                     "candidate", "strict", 1, "schema", schema);
}

/* Of 31 bits, which every server takes; another one at each attempt, or a failure would come again.
 */
static json_int_t request_seed(const struct seki_chat *chat)
{
    struct seki_random random;

    seki_random_seed(&random, chat->seed, (uint64_t)chat->attempts);
    return (json_int_t)(seki_random_next(&random) >> 33);
}

static int add_parameters(const struct seki_chat *chat, json_t *body)
{
    const struct seki_chat_options *options = chat->options;
    int result = 0;

    if (options->temperature >= 0)
        result |= json_object_set_new(body, "temperature", json_real(options->temperature));
    if (options->max_tokens > 0)
        result |= json_object_set_new(
            body, chat->sent.completion_tokens ? "max_completion_tokens" : "max_tokens",
            json_integer(options->max_tokens));
    if (!chat->sent.unseeded)
        result |= json_object_set_new(body, "seed", json_integer(request_seed(chat)));
    return result;
}

static size_t bytes_of(const json_t *list)
{
    size_t bytes = 0, i;
    json_t *entry;

    json_array_foreach(list, i, entry) bytes +=
        json_string_length(json_object_get(entry, "content"));
    return bytes;
}

char *seki_chat_compose(struct seki_chat *chat, struct seki_error *error)
{
    json_t *list = messages(chat, error);
    json_t *body, *format;
    char *text = NULL;

    if (list == NULL)
        return NULL;
    chat->prompt_bytes = bytes_of(list);
    body = json_pack("{s:s, s:o}", "model", chat->options->model, "messages", list);
    if (body == NULL) {
        seki_fail(error, SEKI_BAD_USE, "model", "the model's name is not UTF-8");
        return NULL;
    }
    if (add_parameters(chat, body) == 0) {
        format = chat->sent.text ? NULL : response_format(chat, error);
        if (chat->sent.text || json_object_set_new(body, "response_format", format) == 0)
            text = json_dumps(body, JSON_COMPACT);
    }
    json_decref(body);
    if (text == NULL)
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "the request does not fit in memory");
    return text;
}
