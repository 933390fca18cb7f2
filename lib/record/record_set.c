/*
 * record_set.c - changes of a record: the new value is spliced into the text, all else stays to the
 * byte.
 */
#include "record/record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "record/record_internal.h"

/* Exchanges text[from, to) for what the caller appends to record->spare between the two calls. */
static void begin_splice(struct seki_record *record, size_t from)
{
    seki_buffer_clear(&record->spare);
    seki_buffer_append(&record->spare, record->text.data, from);
}

static int end_splice(struct seki_record *record, size_t to, struct seki_error *error)
{
    struct seki_buffer exchanged = record->text;

    seki_buffer_append(&record->spare, record->text.data + to, record->text.length - to);
    if (record->spare.failed)
        return seki_fail(error, SEKI_BAD_INPUT, "length",
                         "the record would be longer than %zu bytes, or memory is out",
                         SEKI_MAX_LINE);
    record->text = record->spare;
    record->spare = exchanged;
    return seki_record_index(record, error);
}

/* Puts `json`, one JSON value on one line, at the path. */
static int put(struct seki_record *record, const char *name, const char *json,
               struct seki_error *error)
{
    struct seki_path path = seki_path_take(name);
    struct seki_place place = seki_record_find_first(record, &path);
    const char *value = record->text.data + place.member.value;
    bool nested = path.second != NULL && place.found && *value == '{';
    bool wrap = path.second != NULL && !nested; /* the object itself is new */
    size_t object = place.member.value;

    if (wrap && place.found && strncmp(value, "null", 4) != 0)
        return seki_fail(error, SEKI_BAD_INPUT, "json", "member '%.*s' is not an object",
                         (int)path.first_length, path.first);
    if (nested)
        place = seki_record_find_second(record, &path, object);
    begin_splice(record, place.found ? place.member.value : place.previous);
    if (!place.found) {
        if (place.previous != place.object + 1)
            seki_buffer_puts(&record->spare, ", ");
        seki_buffer_printf(&record->spare,
                           "\"%.*s\": ", (int)(nested ? path.second_length : path.first_length),
                           nested ? path.second : path.first);
    }
    if (wrap)
        seki_buffer_printf(&record->spare, "{\"%s\": ", path.second);
    seki_buffer_puts(&record->spare, json);
    if (wrap)
        seki_buffer_puts(&record->spare, "}");
    return end_splice(record,
                      place.found ? place.member.value + place.member.value_length : place.previous,
                      error);
}

int seki_record_set_string(struct seki_record *record, const char *path, const char *value,
                           struct seki_error *error)
{
    struct seki_buffer json;
    int result;

    seki_buffer_init(&json, SEKI_MAX_LINE);
    if (seki_json_put_string(&json, value) < 0)
        result =
            seki_fail(error, SEKI_BAD_INPUT, "json", "%s: the text is not UTF-8 or too long", path);
    else
        result = put(record, path, json.data, error);
    seki_buffer_free(&json);
    return result;
}

int seki_record_set_number(struct seki_record *record, const char *path, double value,
                           struct seki_error *error)
{
    struct seki_buffer json;
    int result;

    if (!isfinite(value))
        return seki_fail(error, SEKI_BAD_INPUT, "json",
                         "%s: a number that is not finite cannot be written in JSON", path);
    seki_buffer_init(&json, 64);
    if (seki_json_put_number(&json, value) < 0)
        result = seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    else
        result = put(record, path, json.data, error);
    seki_buffer_free(&json);
    return result;
}

int seki_record_set_strings(struct seki_record *record, const char *path, const char *const *values,
                            int count, struct seki_error *error)
{
    struct seki_buffer json;
    int result = 0;

    seki_buffer_init(&json, SEKI_MAX_LINE);
    seki_buffer_puts(&json, "[");
    for (int i = 0; i < count && result == 0; i++) {
        seki_buffer_puts(&json, i == 0 ? "" : ", ");
        result = seki_json_put_string(&json, values[i]);
    }
    seki_buffer_puts(&json, "]");
    if (result < 0 || json.failed)
        result =
            seki_fail(error, SEKI_BAD_INPUT, "json", "%s: a text is not UTF-8 or too long", path);
    else
        result = put(record, path, json.data, error);
    seki_buffer_free(&json);
    return result;
}

int seki_record_set_json(struct seki_record *record, const char *path, const char *json,
                         struct seki_error *error)
{
    char *line;
    int result;

    if (seki_json_check(json, strlen(json), false, error) < 0)
        return seki_fail_within(error, "%s", path);
    line = strdup(json);
    if (line == NULL)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    for (char *c = line; *c != '\0'; c++) { /* in JSON these stand between tokens alone */
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    }
    result = put(record, path, line, error);
    free(line);
    return result;
}

/* In place, so that it cannot fail. */
void seki_record_remove(struct seki_record *record, const char *path)
{
    struct seki_place place;
    struct seki_member next;
    size_t at, end;

    if (seki_record_find(record, path, &place) == NULL)
        return;
    at = end = place.member.value + place.member.value_length;
    if (place.previous == place.object + 1 && seki_json_next(record->text.data, &at, &next))
        end = next.key - 1; /* the first of several: its comma goes too */
    memmove(record->text.data + place.previous, record->text.data + end,
            record->text.length - end + 1);
    record->text.length -= end - place.previous;
    if (seki_record_index(record, NULL) < 0)
        SEKI_BUG("fewer members take more memory");
}
