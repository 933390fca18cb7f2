/* safetensors_internal.h - a checkpoint's insides, for the files that read, write and check it. */
#ifndef SEKI_SAFETENSORS_INTERNAL_H
#define SEKI_SAFETENSORS_INTERNAL_H

#include "training/training_internal.h"

#include <jansson.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors are little-endian; this processor is not, and the conversion is not written"
#endif

struct seki_checkpoint {
    struct seki_buffer file;
    json_t *header, *metadata; /* metadata: borrowed from header, NULL where there is none */
    const char *data;
    size_t data_bytes;
};

/* ---- checksum.c --------------------------------------------------------------------------- */

/* Adds to the metadata the tensors' checksums, {name: text}, whose reference is taken over, and
 * that of all strings then in it. -1: out of memory. */
int seki_checksums_put(json_t *metadata, json_t *tensors);
/* CRC-32 of the bytes (zlib's) as 8 hex digits. */
json_t *seki_checksum_json(const void *bytes, size_t count);
/* Of a file whose tensors' places are known to be good. One that has none is not checked. */
int seki_checksums_check(const struct seki_checkpoint *checkpoint, struct seki_error *error);

#endif
