/* reply.c - a reply's text becomes analysis, strategy and genotype. */
#include "llm/llm.h"
#include "llm/llm_internal.h"

#include <stdlib.h>
#include <string.h>

static char *reason_from_json(const json_t *object, const char *name)
{
    const json_t *text = json_object_get(object, name);

    if (!json_is_string(text))
        return NULL;
    return seki_text_trimmed(json_string_value(text), json_string_length(text));
}

static int read_json(const json_t *object, enum seki_space space, struct seki_reply *reply,
                     struct seki_error *error)
{
    if (seki_json_genotype(object, space, &reply->genotype, error) < 0)
        return -1;
    reply->analysis = reason_from_json(object, "analysis");
    reply->strategy = reason_from_json(object, "strategy");
    return 0;
}

/* Text under headings; without headings, what stands before the architecture is the analysis. */
static void read_reasons(const char *text, size_t length, size_t begin, struct seki_reply *reply)
{
    reply->analysis = seki_text_section(text, length, "analysis");
    reply->strategy = seki_text_section(text, length, "strategy");
    if (reply->analysis == NULL && reply->strategy == NULL)
        reply->analysis = seki_text_trimmed(text, begin);
}

/* `spoken` is ours to change. */
static int read_text(char *spoken, size_t length, enum seki_space space, struct seki_reply *reply,
                     struct seki_error *error)
{
    size_t begin = 0;
    int found;

    seki_text_plain(spoken, &length);
    found = seki_text_genotype(spoken, length, space, &reply->genotype, &begin, error);
    if (found > 0)
        read_reasons(spoken, length, begin, reply);
    return found;
}

static bool blank(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (strchr(" \t\r\n", text[i]) == NULL || text[i] == '\0')
            return false;
    return true;
}

static int read_spoken(char *spoken, size_t length, enum seki_space space, struct seki_reply *reply,
                       struct seki_error *error)
{
    struct seki_error json_error;
    bool broken = false;
    char why[160] = "";
    json_t *object = seki_json_find(spoken, length, &broken, why, sizeof why);
    int from_json = object == NULL ? -1 : read_json(object, space, reply, &json_error), found;
    bool had_object = object != NULL;

    json_decref(object);
    if (from_json == 0)
        return 0;
    found = read_text(spoken, length, space, reply, error);
    if (found > 0)
        return 0;
    if (had_object) {
        if (error != NULL)
            *error = json_error;
        return -1;
    }
    if (found < 0)
        return -1;
    if (broken)
        return seki_fail(error, SEKI_BAD_INPUT, "json", "the reply's JSON is broken: %s", why);
    return seki_fail(error, SEKI_BAD_INPUT, "genotype",
                     "the reply holds no architecture in the form asked for");
}

int seki_reply_read(const char *content, size_t length, enum seki_space space,
                    struct seki_reply *reply, struct seki_error *error)
{
    char *spoken;
    int result;

    memset(reply, 0, sizeof *reply);
    spoken = seki_text_spoken(content, &length, error);
    if (spoken == NULL)
        return -1;
    if (blank(spoken, length))
        result = seki_fail(error, SEKI_BAD_INPUT, "empty", "the reply is empty");
    else
        result = read_spoken(spoken, length, space, reply, error);
    free(spoken);
    return result;
}

void seki_reply_free(struct seki_reply *reply)
{
    free(reply->analysis);
    free(reply->strategy);
    reply->analysis = reply->strategy = NULL;
}
