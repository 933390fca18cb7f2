/* response.c - what an HTTP status and the body that came with it mean. */
#include "llm/llm.h"
#include "llm/llm_internal.h"

#include <string.h>
#include <strings.h>

static bool looks_like_html(const char *body, const char *type)
{
    while (strchr(" \t\r\n\xef\xbb\xbf", *body) != NULL && *body != '\0')
        body++;
    return *body == '<' || (type != NULL && strncasecmp(type, "text/html", 9) == 0 && *body != '{');
}

/* Whether a 429 says that waiting will not help. */
static bool quota_spent(const char *body)
{
    return strstr(body, "insufficient_quota") != NULL || strstr(body, "billing_hard_limit") != NULL;
}

enum seki_cause seki_response_cause(long status, const char *body, const char *type)
{
    if (status >= 200 && status < 300)
        return looks_like_html(body, type) ? SEKI_CAUSE_HTML : SEKI_CAUSE_NONE;
    if (status >= 300 && status < 400)
        return SEKI_CAUSE_REDIRECT;
    switch (status) {
    case 401:
        return SEKI_CAUSE_UNAUTHORIZED;
    case 402:
        return SEKI_CAUSE_QUOTA;
    case 403:
        return SEKI_CAUSE_FORBIDDEN;
    case 404:
        return SEKI_CAUSE_NOT_FOUND;
    case 408:
        return SEKI_CAUSE_BUSY;
    case 429:
        return quota_spent(body) ? SEKI_CAUSE_QUOTA : SEKI_CAUSE_RATE_LIMIT;
    default:
        return status >= 500   ? SEKI_CAUSE_BUSY
               : status >= 400 ? SEKI_CAUSE_REFUSED
                               : SEKI_CAUSE_PROTOCOL;
    }
}

/* The server's own words: `error.message`, `error`, `message` or `detail` of its JSON. */
static void read_words(const struct seki_buffer *body, char *words, size_t size)
{
    json_t *root = json_loadb(body->data, body->length, 0, NULL);
    const json_t *error = json_object_get(root, "error");
    const char *text = json_string_value(json_object_get(error, "message"));

    if (text == NULL)
        text = json_string_value(error);
    if (text == NULL)
        text = json_string_value(json_object_get(root, "message"));
    if (text == NULL)
        text = json_string_value(json_object_get(root, "detail"));
    snprintf(words, size, "%s", text == NULL ? "" : text);
    json_decref(root);
    /* a cut in the middle of a character would make the record's text invalid */
    size_t length = strlen(words);
    if (length + 1 == size) {
        while (length > 0 && ((unsigned char)words[length - 1] & 0xC0) == 0x80)
            length--;
        words[length > 0 ? length - 1 : 0] = '\0';
    }
}

void seki_response_describe(struct seki_response *response)
{
    char words[160];

    read_words(&response->body, words, sizeof words);
    snprintf(response->detail, sizeof response->detail, "status %ld%s%s", response->status,
             *words ? ": " : "", words);
}

void seki_response_init(struct seki_response *response)
{
    memset(response, 0, sizeof *response);
    seki_buffer_init(&response->body, SEKI_MAX_REPLY);
    seki_buffer_puts(&response->body, "");
    response->retry_after = -1;
    seki_rate_clear(&response->rate);
}

void seki_response_free(struct seki_response *response)
{
    seki_buffer_free(&response->body);
}
