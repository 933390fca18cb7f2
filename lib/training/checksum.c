/*
 * checksum.c - a checksum for each tensor of a file and one for its settings, in its metadata: what
 * was altered after it was written is told from what was trained, and named.
 */
#include "training/safetensors_internal.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define TENSORS_KEY  "crc32"
#define SETTINGS_KEY "settings_crc32"

struct digits {
    char text[9];
};

static struct digits checksum(const void *bytes, size_t count)
{
    struct digits digits;
    snprintf(digits.text, sizeof digits.text, "%08lx", crc32_z(0, bytes, count));
    return digits;
}

json_t *seki_checksum_json(const void *bytes, size_t count)
{
    return json_string(checksum(bytes, count).text);
}

/* Of all strings but the checksum itself. -1: out of memory. */
static int checksum_settings(json_t *metadata, struct digits *digits)
{
    json_t *others = json_copy(metadata);
    if (others)
        json_object_del(others, SETTINGS_KEY);
    char *text = others ? json_dumps(others, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (text)
        *digits = checksum(text, strlen(text));
    json_decref(others);
    free(text);
    return text ? 0 : -1;
}

int seki_checksums_put(json_t *metadata, json_t *tensors)
{
    struct digits digits;
    char *text = json_dumps(tensors, JSON_COMPACT);
    int failed = json_object_set_new(metadata, TENSORS_KEY, json_string(text));
    json_decref(tensors);
    free(text);
    if (failed || checksum_settings(metadata, &digits) < 0)
        return -1;
    return json_object_set_new(metadata, SETTINGS_KEY, json_string(digits.text));
}

/* ---- Checking ----------------------------------------------------------------------------- */

static int check_settings(const struct seki_checkpoint *checkpoint, const char *expected,
                          struct seki_error *error)
{
    struct digits found;
    if (checksum_settings(checkpoint->metadata, &found) < 0)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    if (strcmp(found.text, expected) != 0)
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                         "the settings have the checksum %s, the file says %.20s: they were "
                         "altered, take another copy or train again",
                         found.text, expected);
    return 0;
}

static int check_tensor(const struct seki_checkpoint *checkpoint, const char *name,
                        json_t *checksums, struct seki_error *error)
{
    json_t *offsets = json_object_get(json_object_get(checkpoint->header, name), "data_offsets");
    size_t begin = (size_t)json_integer_value(json_array_get(offsets, 0)),
           end = (size_t)json_integer_value(json_array_get(offsets, 1));
    const char *expected = json_string_value(json_object_get(checksums, name));
    struct digits found = checksum(checkpoint->data + begin, end - begin);
    if (!expected || strcmp(found.text, expected) != 0)
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                         "tensor %.100s has the checksum %s, the file says %.20s: it was altered, "
                         "take another copy or train again",
                         name, found.text, expected ? expected : "none");
    return 0;
}

static int check_all(const struct seki_checkpoint *checkpoint, json_t *checksums,
                     struct seki_error *error)
{
    const char *name;
    json_t *value;
    json_object_foreach(checksums, name, value)
    {
        if (!json_object_get(checkpoint->header, name))
            return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                             "tensor %.100s is missing, the file has a checksum of it: it was "
                             "altered, take another copy or train again",
                             name);
    }
    json_object_foreach(checkpoint->header, name, value)
    {
        if (strcmp(name, "__metadata__") != 0 &&
            check_tensor(checkpoint, name, checksums, error) < 0)
            return -1;
    }
    return 0;
}

int seki_checksums_check(const struct seki_checkpoint *checkpoint, struct seki_error *error)
{
    const char *tensors = seki_checkpoint_text(checkpoint, TENSORS_KEY),
               *settings = seki_checkpoint_text(checkpoint, SETTINGS_KEY);
    json_t *checksums = NULL;
    if (!tensors && !settings)
        return 0; /* not seki's file */
    if (!tensors || !settings)
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                         "'%s' is missing where '%s' is there: the file was altered, take another "
                         "copy or train again",
                         tensors ? SETTINGS_KEY : TENSORS_KEY,
                         tensors ? TENSORS_KEY : SETTINGS_KEY);
    if (check_settings(checkpoint, settings, error) < 0)
        return -1;
    checksums = json_loads(tensors, JSON_REJECT_DUPLICATES, NULL);
    int status = json_is_object(checksums)
                     ? check_all(checkpoint, checksums, error)
                     : seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                                 "'" TENSORS_KEY "' is no JSON object: checksums were expected");
    json_decref(checksums);
    return status;
}
