/*
 * safetensors.c - the file format, read: 8 bytes little-endian header length, a JSON object, the
 * tensors' bytes one after the other.
 */
#include "training/safetensors_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER ((size_t)64 << 20)
#define MAX_FILE   ((size_t)16 << 30)

struct extent {
    size_t begin, end;
    const char *name;
};

static int compare_extents(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static size_t element_bytes(const char *type)
{
    static const struct {
        const char *name;
        size_t bytes;
    } types[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
                 {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, type) == 0)
            return types[i].bytes;
    return 0;
}

/* Extent of one tensor, checked against its type and shape. */
static int read_extent(const char *name, json_t *tensor, size_t data_bytes, struct extent *extent,
                       struct seki_error *error)
{
    const char *type = NULL;
    json_t *shape = NULL;
    json_int_t begin = -1, end = -1;
    json_error_t reason;
    if (json_unpack_ex(tensor, &reason, 0, "{s:s, s:o, s:[I,I!]}", "dtype", &type, "shape", &shape,
                       "data_offsets", &begin, &end) < 0 ||
        !json_is_array(shape))
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                         "tensor %.100s: dtype, shape and data_offsets were expected", name);
    size_t bytes = element_bytes(type);
    if (!bytes)
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                         "tensor %.100s: dtype \"%.20s\" is unknown", name, type);
    for (size_t i = 0; i < json_array_size(shape); i++) {
        json_t *size = json_array_get(shape, i);
        json_int_t n = json_integer_value(size);
        if (!json_is_integer(size) || n < 0 || (n > 0 && bytes > MAX_FILE / (size_t)n))
            return seki_fail(error, SEKI_BAD_INPUT, "checkpoint", "tensor %.100s: impossible shape",
                             name);
        bytes *= (size_t)n;
    }
    if (begin < 0 || end < begin || (size_t)end > data_bytes)
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                         "tensor %.100s: bytes %lld to %lld of %zu do not exist: the file is cut "
                         "or altered, take "
                         "another copy",
                         name, (long long)begin, (long long)end, data_bytes);
    if ((size_t)(end - begin) != bytes)
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                         "tensor %.100s: its shape needs %zu bytes, it has %lld", name, bytes,
                         (long long)(end - begin));
    *extent = (struct extent){(size_t)begin, (size_t)end, name};
    return 0;
}

static int check_finite(const char *name, json_t *tensor, const char *data, size_t bytes,
                        struct seki_error *error)
{
    if (strcmp(json_string_value(json_object_get(tensor, "dtype")), "F32") != 0)
        return 0;
    for (size_t i = 0; i < bytes / sizeof(float); i++) {
        float value;
        memcpy(&value, data + i * sizeof value, sizeof value);
        if (!isfinite(value))
            return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                             "tensor %.100s: number %zu is not finite", name, i);
    }
    return 0;
}

/* Sorted by place, the tensors must lie one after the other from the first byte to the last. */
static int check_cover(struct extent *extents, size_t count, size_t data_bytes,
                       struct seki_error *error)
{
    size_t at = 0;
    qsort(extents, count, sizeof *extents, compare_extents);
    for (size_t i = 0; i < count; at = extents[i++].end) {
        if (extents[i].begin < at)
            return seki_fail(error, SEKI_BAD_INPUT, "checkpoint", "tensor %.100s overlaps another",
                             extents[i].name);
        if (extents[i].begin > at)
            return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                             "tensor %.100s: %zu bytes before it belong to no tensor",
                             extents[i].name, extents[i].begin - at);
    }
    if (at != data_bytes)
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                         "the last %zu bytes belong to no tensor: the file was altered",
                         data_bytes - at);
    return 0;
}

static int check_tensors(struct seki_checkpoint *checkpoint, struct seki_error *error)
{
    size_t count = 0, room = json_object_size(checkpoint->header);
    struct extent *extents = seki_allocate(room + 1, sizeof *extents, error);
    if (!extents)
        return -1;
    const char *name;
    json_t *tensor;
    int status = 0;
    json_object_foreach(checkpoint->header, name, tensor)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        struct extent *extent = &extents[count++];
        if (read_extent(name, tensor, checkpoint->data_bytes, extent, error) < 0 ||
            check_finite(name, tensor, checkpoint->data + extent->begin,
                         extent->end - extent->begin, error) < 0) {
            status = -1;
            break;
        }
    }
    if (status == 0)
        status = check_cover(extents, count, checkpoint->data_bytes, error);
    free(extents);
    return status;
}

static int read_header(struct seki_checkpoint *checkpoint, struct seki_error *error)
{
    uint64_t length;
    const struct seki_buffer *file = &checkpoint->file;
    if (file->length < sizeof length)
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                         "%zu bytes are too few for a safetensors file", file->length);
    memcpy(&length, file->data, sizeof length);
    if (length > MAX_HEADER || length > file->length - sizeof length)
        return seki_fail(
            error, SEKI_BAD_INPUT, "checkpoint",
            "a header of %llu bytes in a file of %zu: it is cut, or no safetensors file",
            (unsigned long long)length, file->length);
    json_error_t reason;
    checkpoint->header =
        json_loadb(file->data + sizeof length, (size_t)length, JSON_REJECT_DUPLICATES, &reason);
    if (!json_is_object(checkpoint->header))
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint", "the header is no JSON object: %s",
                         checkpoint->header ? "it is another value" : reason.text);
    checkpoint->metadata = json_object_get(checkpoint->header, "__metadata__");
    checkpoint->data = file->data + sizeof length + length;
    checkpoint->data_bytes = file->length - sizeof length - (size_t)length;
    if (check_tensors(checkpoint, error) < 0)
        return -1;
    return seki_checksums_check(checkpoint, error);
}

struct seki_checkpoint *seki_checkpoint_open(const char *path, struct seki_error *error)
{
    struct seki_checkpoint *checkpoint = seki_allocate(1, sizeof *checkpoint, error);
    if (!checkpoint)
        return NULL;
    if (seki_file_read(path, MAX_FILE, &checkpoint->file, error) < 0) {
        seki_checkpoint_close(checkpoint);
        return NULL;
    }
    if (read_header(checkpoint, error) < 0) {
        seki_fail_within(error, "%s", path);
        seki_checkpoint_close(checkpoint);
        return NULL;
    }
    return checkpoint;
}

void seki_checkpoint_close(struct seki_checkpoint *checkpoint)
{
    if (!checkpoint)
        return;
    json_decref(checkpoint->header);
    seki_buffer_free(&checkpoint->file);
    free(checkpoint);
}

const char *seki_checkpoint_text(const struct seki_checkpoint *checkpoint, const char *key)
{
    return json_string_value(json_object_get(checkpoint->metadata, key));
}

static bool same_shape(json_t *shape, const struct seki_tensor_entry *entry)
{
    if (json_array_size(shape) != (size_t)entry->dimensions)
        return false;
    for (int i = 0; i < entry->dimensions; i++)
        if (json_integer_value(json_array_get(shape, (size_t)i)) != entry->size[i])
            return false;
    return true;
}

static void shape_text(const struct seki_tensor_entry *entry, char *text, size_t room)
{
    size_t length = 0;
    for (int i = 0; i < entry->dimensions && length < room; i++)
        length +=
            (size_t)snprintf(text + length, room - length, "%s%d", i ? "," : "", entry->size[i]);
}

const float *seki_checkpoint_floats(const struct seki_checkpoint *checkpoint, const char *prefix,
                                    const struct seki_tensor_entry *entry, struct seki_error *error)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s", prefix, entry->name);
    json_t *tensor = json_object_get(checkpoint->header, name);
    if (!tensor) {
        seki_fail(error, SEKI_BAD_INPUT, "checkpoint", "tensor %s is missing", name);
        return NULL;
    }
    const char *type = json_string_value(json_object_get(tensor, "dtype"));
    if (strcmp(type, "F32") != 0) {
        seki_fail(error, SEKI_BAD_INPUT, "checkpoint", "tensor %s is %.8s: F32 was expected", name,
                  type);
        return NULL;
    }
    json_t *shape = json_object_get(tensor, "shape");
    if (!same_shape(shape, entry)) {
        char *found = json_dumps(shape, JSON_COMPACT), expected[64] = "";
        shape_text(entry, expected, sizeof expected);
        seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                  "tensor %s has shape %.60s: [%s] was expected", name, found ? found : "?",
                  expected);
        free(found);
        return NULL;
    }
    json_t *offsets = json_object_get(tensor, "data_offsets");
    return (const float *)(const void *)(checkpoint->data +
                                         json_integer_value(json_array_get(offsets, 0)));
}
