/*
 * json_text.c - JSON as text: jansson says whether it is JSON; a scanner that may then trust it
 * finds the members, so that what a program does not know is kept to the byte.
 */
#include "record/record_internal.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Checking ----------------------------------------------------------------------------- */

/* Whether NaN or Infinity, which Python's json module writes, stands outside a string. */
static bool has_non_number(const char *text, size_t length)
{
    bool quoted = false;

    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"')
            quoted = !quoted;
        else if (quoted && text[i] == '\\')
            i++;
        else if (!quoted &&
                 (strncmp(text + i, "NaN", 3) == 0 || strncmp(text + i, "Infinity", 8) == 0))
            return true;
    }
    return false;
}

int seki_json_check(const char *text, size_t length, bool object, struct seki_error *error)
{
    /* Integers as reals: one of more than 64 bits is a number like others here. */
    size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL | JSON_DECODE_ANY;
    json_error_t why;
    size_t start = strspn(text, " \t\r\n");
    json_t *value;

    if (object && text[start] != '{')
        return seki_fail(error, SEKI_BAD_INPUT, "json",
                         "column %zu: expected a JSON object {…} or a genotype, found '%.16s'",
                         start + 1, text + start);
    value = json_loadb(text, length, flags, &why);
    json_decref(value);
    if (!value && has_non_number(text, length))
        return seki_fail(error, SEKI_BAD_INPUT, "json",
                         "column %d: JSON has no NaN and no Infinity; leave the member out",
                         why.column);
    if (!value)
        return seki_fail(error, SEKI_BAD_INPUT, "json", "column %d: %s", why.column, why.text);
    return 0;
}

/* ---- Scanning ----------------------------------------------------------------------------- */

static size_t skip_space(const char *text, size_t at)
{
    while (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r')
        at++;
    return at;
}

/* From an opening quote to behind the closing one. */
static size_t skip_string(const char *text, size_t at)
{
    at++;
    for (;;) {
        at += strcspn(text + at, "\"\\");
        if (text[at] != '\\')
            return at + 1;
        at += 2;
    }
}

static size_t skip_value(const char *text, size_t at)
{
    size_t depth = 0;

    if (text[at] != '{' && text[at] != '[' && text[at] != '"')
        return at + strcspn(text + at, ",]} \t\r\n");
    do {
        at += strcspn(text + at, "\"[]{}");
        if (text[at] == '"') {
            at = skip_string(text, at);
            continue;
        }
        depth += text[at] == '{' || text[at] == '[' ? 1 : (size_t)-1;
        at++;
    } while (depth > 0);
    return at;
}

bool seki_json_next(const char *text, size_t *at, struct seki_member *member)
{
    size_t here = skip_space(text, *at);

    if (text[here] == '{' || text[here] == ',')
        here = skip_space(text, here + 1);
    if (text[here] != '"')
        return false;
    member->key = here + 1;
    here = skip_string(text, here);
    member->key_length = here - 1 - member->key;
    here = skip_space(text, here);
    member->value = skip_space(text, here + 1); /* behind the colon */
    *at = skip_value(text, member->value);
    member->value_length = *at - member->value;
    return true;
}

bool seki_json_key_is(const char *text, const struct seki_member *member, const char *name,
                      size_t length)
{
    json_t *key;
    bool equal;

    if (memchr(text + member->key, '\\', member->key_length) == NULL)
        return member->key_length == length && memcmp(text + member->key, name, length) == 0;
    /* The key with its quotes is a JSON value. */
    key = json_loadb(text + member->key - 1, member->key_length + 2, JSON_DECODE_ANY, NULL);
    equal = key && json_string_length(key) == length &&
            memcmp(json_string_value(key), name, length) == 0;
    json_decref(key);
    return equal;
}

/* ---- Writing ------------------------------------------------------------------------------ */

int seki_json_put_string(struct seki_buffer *out, const char *string)
{
    json_t *value = json_string(string); /* NULL where it is not UTF-8 */
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    int result = text ? seki_buffer_puts(out, text) : -1;

    free(text);
    json_decref(value);
    return result;
}

int seki_json_put_number(struct seki_buffer *out, double value)
{
    char text[40];

    if (value == floor(value) && fabs(value) < 1e15) {
        snprintf(text, sizeof text, "%.0f", value);
        return seki_buffer_puts(out, text);
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    for (char *c = text; *c != '\0'; c++) { /* another locale's decimal point */
        if (strchr("0123456789+-e", *c) == NULL)
            *c = '.';
    }
    return seki_buffer_puts(out, text);
}

/* Length of the UTF-8 character at the beginning of bytes, or 0 (RFC 3629: no overlong forms, no
 * surrogates, at most U+10FFFF). */
static size_t character_length(const unsigned char *bytes, size_t length)
{
    size_t needed = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    unsigned char low = 0x80, high = 0xbf;

    if (needed == 1)
        return 1;
    if (bytes[0] < 0xc2 || bytes[0] > 0xf4 || needed > length)
        return 0;
    if (bytes[0] == 0xe0)
        low = 0xa0;
    else if (bytes[0] == 0xed)
        high = 0x9f;
    else if (bytes[0] == 0xf0)
        low = 0x90;
    else if (bytes[0] == 0xf4)
        high = 0x8f;
    if (bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < needed; i++) {
        if (bytes[i] < 0x80 || bytes[i] > 0xbf)
            return 0;
    }
    return needed;
}

int seki_json_put_cleaned(struct seki_buffer *out, const char *bytes, size_t length)
{
    size_t at = 0;

    while (at < length) {
        size_t taken = character_length((const unsigned char *)bytes + at, length - at);

        if (taken > 0)
            seki_buffer_append(out, bytes + at, taken);
        else
            seki_buffer_puts(out, "\xef\xbf\xbd"); /* U+FFFD */
        at += taken > 0 ? taken : 1;
    }
    return out->failed ? -1 : 0;
}
