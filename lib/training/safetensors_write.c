/*
 * safetensors_write.c - the file format, written. Tensors lie in the order in which the header
 * names them; the header is padded with spaces to 8 bytes.
 */
#include "training/safetensors_internal.h"

#include <stdlib.h>
#include <string.h>

#define TENSOR_NAME 128

static size_t tensor_bytes(const struct tensor_out *tensor)
{
    return tensor->count * (tensor->integer ? sizeof(int64_t) : sizeof(float));
}

static void tensor_name(const struct tensor_out *tensor, char name[TENSOR_NAME])
{
    snprintf(name, TENSOR_NAME, "%s%s", tensor->prefix, tensor->name);
}

static json_t *tensor_json(const struct tensor_out *tensor, size_t offset)
{
    json_t *shape = json_array();
    for (int i = 0; i < tensor->dimensions; i++)
        json_array_append_new(shape, json_integer(tensor->size[i]));
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", tensor->integer ? "I64" : "F32", "shape",
                     shape, "data_offsets", (json_int_t)offset,
                     (json_int_t)(offset + tensor_bytes(tensor)));
}

/* The strings of the file, the checksums among them. NULL: out of memory. */
static json_t *metadata_json(const struct tensor_out *tensors, int count,
                             const struct setting *settings, int setting_count)
{
    json_t *metadata = json_object(), *checksums = json_object();
    int failed = 0;
    for (int i = 0; i < setting_count; i++)
        failed |= json_object_set_new(metadata, settings[i].key, json_string(settings[i].value));
    for (int i = 0; i < count; i++) {
        char name[TENSOR_NAME];
        tensor_name(&tensors[i], name);
        failed |= json_object_set_new(
            checksums, name, seki_checksum_json(tensors[i].data, tensor_bytes(&tensors[i])));
    }
    failed |= seki_checksums_put(metadata, checksums);
    if (!failed)
        return metadata;
    json_decref(metadata);
    return NULL;
}

static char *header_text(const struct tensor_out *tensors, int count,
                         const struct setting *settings, int setting_count)
{
    json_t *header = json_object();
    size_t offset = 0;
    int failed = json_object_set_new(header, "__metadata__",
                                     metadata_json(tensors, count, settings, setting_count));
    for (int i = 0; i < count; i++) {
        char name[TENSOR_NAME];
        tensor_name(&tensors[i], name);
        failed |= json_object_set_new(header, name, tensor_json(&tensors[i], offset));
        offset += tensor_bytes(&tensors[i]);
    }
    char *text = failed ? NULL : json_dumps(header, JSON_COMPACT);
    json_decref(header);
    return text;
}

int seki_safetensors_write(const char *path, const struct tensor_out *tensors, int count,
                           const struct setting *settings, int setting_count,
                           struct seki_error *error)
{
    char *header = header_text(tensors, count, settings, setting_count);
    if (!header)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory for %s", path);
    struct seki_file *file = seki_file_create(path, error);
    if (!file) {
        free(header);
        return -1;
    }
    FILE *stream = seki_file_stream(file);
    uint64_t length = strlen(header), padded = (length + 7) / 8 * 8;
    fwrite(&padded, sizeof padded, 1, stream);
    fprintf(stream, "%s%*s", header, (int)(padded - length), "");
    free(header);
    for (int i = 0; i < count; i++)
        fwrite(tensors[i].data, 1, tensor_bytes(&tensors[i]), stream);
    return seki_file_commit(file, error); /* a write that failed shows here */
}
