/*
 * record.c - a record: the text of one JSON object, and where its members stand in it.
 *
 * The text is the record: what is set is spliced into it, and the members are then found anew.
 * Nothing is ever printed from a tree, so that what came in goes out to the byte.
 */
#include "record/record.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "record/record_internal.h"

/* ---- Life --------------------------------------------------------------------------------- */

static void forget_strings(struct seki_record *record)
{
    while (record->strings != NULL) {
        struct seki_decoded *next = record->strings->next;

        free(record->strings);
        record->strings = next;
    }
}

/* Finds the members of record->text. */
int seki_record_index(struct seki_record *record, struct seki_error *error)
{
    struct seki_member member;
    size_t at = 0;

    forget_strings(record);
    record->count = 0;
    while (seki_json_next(record->text.data, &at, &member)) {
        if (record->count == record->capacity) {
            size_t capacity = record->capacity ? 2 * record->capacity : 16;
            struct seki_member *members =
                realloc(record->members, capacity * sizeof *record->members);

            if (members == NULL)
                return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
            record->members = members;
            record->capacity = capacity;
        }
        record->members[record->count++] = member;
    }
    return 0;
}

void seki_record_clear(struct seki_record *record)
{
    forget_strings(record);
    record->count = 0;
    seki_buffer_clear(&record->text);
    seki_buffer_puts(&record->text, "{}"); /* the memory is there since seki_record_new */
}

struct seki_record *seki_record_new(struct seki_error *error)
{
    struct seki_record *record = seki_allocate(1, sizeof *record, error);

    if (record == NULL)
        return NULL;
    seki_buffer_init(&record->text, SEKI_MAX_LINE);
    seki_buffer_init(&record->spare, SEKI_MAX_LINE);
    if (seki_buffer_puts(&record->text, "{}") < 0 || seki_buffer_puts(&record->spare, "{}") < 0) {
        seki_record_free(record);
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
        return NULL;
    }
    return record;
}

void seki_record_free(struct seki_record *record)
{
    if (record == NULL)
        return;
    forget_strings(record);
    seki_buffer_free(&record->text);
    seki_buffer_free(&record->spare);
    free(record->members);
    free(record);
}

static int read_genotype(struct seki_record *record, const char *text, struct seki_error *error)
{
    struct seki_genotype genotype;

    if (seki_genotype_parse(text, SEKI_LAX, &genotype, error) < 0)
        return -1;
    return seki_record_set_genotype(record, &genotype, error);
}

int seki_record_read(struct seki_record *record, const char *text, size_t length,
                     struct seki_error *error)
{
    static const char spaces[] = " \t\r\n";
    size_t start = strspn(text, spaces);

    seki_record_clear(record);
    if (strlen(text) != length)
        return seki_fail(error, SEKI_BAD_INPUT, "nul", "column %zu: a NUL byte; JSON has none",
                         strlen(text) + 1);
    if (text[start] == '|' || strncmp(text + start, "Genotype", 8) == 0)
        return read_genotype(record, text, error);
    if (seki_json_check(text, length, true, error) < 0)
        return -1;
    while (length > start && strchr(spaces, text[length - 1]) != NULL)
        length--;
    seki_buffer_clear(&record->text);
    if (seki_buffer_append(&record->text, text + start, length - start) < 0) {
        seki_record_clear(record);
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    }
    if (seki_record_index(record, error) < 0) {
        seki_record_clear(record);
        return -1;
    }
    return 0;
}

struct seki_record *seki_record_parse(const char *text, size_t length, struct seki_error *error)
{
    struct seki_record *record = seki_record_new(error);

    if (record != NULL && seki_record_read(record, text, length, error) < 0) {
        seki_record_free(record);
        return NULL;
    }
    return record;
}

struct seki_record *seki_record_copy(const struct seki_record *record, struct seki_error *error)
{
    struct seki_record *copy = seki_record_new(error);

    if (copy == NULL)
        return NULL;
    seki_buffer_clear(&copy->text);
    if (seki_buffer_append(&copy->text, record->text.data, record->text.length) < 0) {
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    } else if (seki_record_index(copy, error) == 0) {
        return copy;
    }
    seki_record_free(copy);
    return NULL;
}

const char *seki_record_text(struct seki_record *record, size_t *length, struct seki_error *error)
{
    (void)error;
    *length = record->text.length;
    return record->text.data;
}

/* ---- Finding ------------------------------------------------------------------------------ */

struct seki_path seki_path_take(const char *text)
{
    struct seki_path path = {.first = text, .first_length = strcspn(text, ".")};

    if (text[path.first_length] == '.') {
        path.second = text + path.first_length + 1;
        path.second_length = strlen(path.second);
    }
    return path;
}

struct seki_place seki_record_find_first(const struct seki_record *record,
                                         const struct seki_path *path)
{
    struct seki_place place = {.previous = 1};

    for (size_t i = 0; i < record->count && !place.found; i++) {
        place.member = record->members[i];
        place.found =
            seki_json_key_is(record->text.data, &place.member, path->first, path->first_length);
        if (!place.found)
            place.previous = place.member.value + place.member.value_length;
    }
    return place;
}

struct seki_place seki_record_find_second(const struct seki_record *record,
                                          const struct seki_path *path, size_t object)
{
    struct seki_place place = {.object = object, .previous = object + 1};
    size_t at = object;

    while (!place.found && seki_json_next(record->text.data, &at, &place.member)) {
        place.found =
            seki_json_key_is(record->text.data, &place.member, path->second, path->second_length);
        if (!place.found)
            place.previous = at;
    }
    return place;
}

/* The member at a path, or where its text begins: NULL where missing. */
const char *seki_record_find(const struct seki_record *record, const char *name,
                             struct seki_place *place)
{
    struct seki_path path = seki_path_take(name);

    *place = seki_record_find_first(record, &path);
    if (place->found && path.second != NULL) {
        if (record->text.data[place->member.value] != '{')
            return NULL;
        *place = seki_record_find_second(record, &path, place->member.value);
    }
    return place->found ? record->text.data + place->member.value : NULL;
}

bool seki_record_has(const struct seki_record *record, const char *path)
{
    struct seki_place place;

    return seki_record_find(record, path, &place) != NULL;
}

const char *seki_record_json(const struct seki_record *record, const char *path, size_t *length)
{
    struct seki_place place;
    const char *value = seki_record_find(record, path, &place);

    *length = value != NULL ? place.member.value_length : 0;
    return value;
}

/* Decodes the string at `place` and keeps it. */
static const char *decode(struct seki_record *record, const struct seki_place *place)
{
    const char *text = record->text.data + place->member.value;
    size_t length = place->member.value_length - 2;
    json_t *value = NULL;
    struct seki_decoded *decoded;

    if (memchr(text, '\\', place->member.value_length) != NULL) {
        value = json_loadb(text, place->member.value_length, JSON_DECODE_ANY, NULL);
        if (value == NULL)
            return NULL;
        length = json_string_length(value);
    }
    decoded = malloc(sizeof *decoded + length + 1);
    if (decoded != NULL) {
        memcpy(decoded->string, value != NULL ? json_string_value(value) : text + 1, length);
        decoded->string[length] = '\0';
        decoded->value = place->member.value;
        decoded->next = record->strings;
        record->strings = decoded;
    }
    json_decref(value);
    return decoded != NULL ? decoded->string : NULL;
}

const char *seki_record_string(const struct seki_record *record, const char *path)
{
    struct seki_place place;
    const char *value = seki_record_find(record, path, &place);

    if (value == NULL || *value != '"')
        return NULL;
    for (struct seki_decoded *known = record->strings; known != NULL; known = known->next) {
        if (known->value == place.member.value)
            return known->string;
    }
    /* The decoded strings are a cache: the record's value does not change. */
    return decode((struct seki_record *)record, &place);
}

bool seki_record_number(const struct seki_record *record, const char *path, double *value)
{
    struct seki_place place;
    const char *text = seki_record_find(record, path, &place);
    json_t *number;

    if (text == NULL || strchr("-0123456789", *text) == NULL)
        return false;
    number = json_loadb(text, place.member.value_length, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL,
                        NULL);
    if (number == NULL)
        return false;
    *value = json_number_value(number);
    json_decref(number);
    return true;
}
