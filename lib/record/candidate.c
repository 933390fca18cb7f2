/*
 * candidate.c - what a candidate's record means: its genotype, its failure.
 */
#include "record/record.h"

#include <string.h>

#include "record/record_internal.h"

int seki_record_genotype(const struct seki_record *record, enum seki_strictness strictness,
                         struct seki_genotype *genotype, struct seki_error *error)
{
    const char *text = seki_record_string(record, "genotype");
    const char *name = seki_record_string(record, "space");
    enum seki_space space;

    if (text == NULL)
        return seki_fail(error, SEKI_BAD_INPUT, "genotype", "the record has no member 'genotype'");
    if (name == NULL && seki_record_has(record, "space"))
        return seki_fail(error, SEKI_BAD_INPUT, "genotype", "member 'space' is not a string");
    if (seki_genotype_parse(text, strictness, genotype, error) < 0)
        return -1;
    if (name == NULL)
        return 0;
    if (seki_space_parse(name, &space, error) < 0)
        return -1;
    if (space != genotype->space)
        return seki_fail(error, SEKI_BAD_INPUT, "genotype",
                         "member 'space' is %s, but the genotype is of %s", name,
                         seki_space_name(genotype->space));
    return 0;
}

int seki_record_set_genotype(struct seki_record *record, const struct seki_genotype *genotype,
                             struct seki_error *error)
{
    char text[SEKI_GENOTYPE_TEXT], id[SEKI_ID_LENGTH + 1];

    seki_genotype_print(genotype, text);
    seki_genotype_id(genotype, id);
    if (seki_record_set_string(record, "space", seki_space_name(genotype->space), error) < 0 ||
        seki_record_set_string(record, "genotype", text, error) < 0 ||
        seki_record_set_string(record, "id", id, error) < 0)
        return -1;
    return 0;
}

/* {"code": …, "message": …}; a message may quote input that is not UTF-8. */
static int put_error(struct seki_buffer *json, const struct seki_error *why)
{
    struct seki_buffer message;
    int result;

    seki_buffer_init(&message, 4 * sizeof why->message);
    seki_json_put_cleaned(&message, why->message, strlen(why->message));
    seki_buffer_puts(json, "{\"code\": ");
    result = seki_json_put_string(json, why->code);
    seki_buffer_puts(json, ", \"message\": ");
    result |= seki_json_put_string(json, message.data);
    seki_buffer_puts(json, "}");
    seki_buffer_free(&message);
    return result < 0 || json->failed ? -1 : 0;
}

int seki_record_fail(struct seki_record *record, const struct seki_error *why,
                     struct seki_error *error)
{
    struct seki_buffer json;
    int result;

    seki_buffer_init(&json, SEKI_MAX_LINE);
    if (put_error(&json, why) < 0) {
        result = seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    } else {
        seki_record_remove(record, "score");
        result = seki_record_set_json(record, "error", json.data, error);
        if (result < 0) { /* a record of the greatest length: the error matters more */
            seki_record_clear(record);
            result = seki_record_set_json(record, "error", json.data, error);
        }
    }
    seki_buffer_free(&json);
    return result;
}

bool seki_record_failed(const struct seki_record *record)
{
    size_t length;
    const char *value = seki_record_json(record, "error", &length);

    return value != NULL && *value != 'n'; /* null is no error */
}
