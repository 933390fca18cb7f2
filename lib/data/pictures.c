/* pictures.c - the pictures of one split in memory, growing as their bytes are read. */
#include "data/data_internal.h"

#include <stdlib.h>
#include <string.h>

size_t seki_pictures_bytes(const struct seki_pictures *pictures)
{
    return (size_t)pictures->channels * (size_t)pictures->height * (size_t)pictures->width;
}

static int set_capacity(struct seki_pictures *pictures, long capacity, const char *name,
                        struct seki_error *error)
{
    size_t bytes = seki_pictures_bytes(pictures);
    uint8_t *pixels = realloc(pictures->pixels, (size_t)capacity * bytes);
    if (pixels)
        pictures->pixels = pixels;
    uint8_t *labels = pixels ? realloc(pictures->labels, (size_t)capacity) : NULL;
    if (!labels)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory",
                         "%s: out of memory for %ld pictures of %zu bytes", name, capacity, bytes);
    pictures->labels = labels;
    pictures->capacity = capacity;
    return 0;
}

int seki_pictures_grow(struct seki_pictures *pictures, long more, const char *name,
                       struct seki_error *error)
{
    uint64_t most = SEKI_MAX_SPLIT_BYTES / seki_pictures_bytes(pictures);
    if (most > SIZE_MAX / seki_pictures_bytes(pictures))
        most = SIZE_MAX / seki_pictures_bytes(pictures);
    if (most > INT32_MAX)
        most = INT32_MAX;
    if (more < 0 || (uint64_t)more > most - (uint64_t)pictures->count)
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected at most %llu pictures of %zu bytes, found more; "
                         "use a smaller data set",
                         name, (unsigned long long)most, seki_pictures_bytes(pictures));
    long needed = pictures->count + more;
    if (needed <= pictures->capacity)
        return 0;
    /* By halves, so that few bytes are copied and few are left over. */
    uint64_t capacity = (uint64_t)pictures->capacity + (uint64_t)pictures->capacity / 2;
    if (capacity < (uint64_t)needed)
        capacity = (uint64_t)needed;
    if (capacity > most)
        capacity = most;
    return set_capacity(pictures, (long)capacity, name, error);
}

int seki_pictures_join(struct seki_pictures *pictures, struct seki_pictures *part, const char *name,
                       struct seki_error *error)
{
    if (pictures->count == 0) {
        seki_pictures_free(pictures);
        *pictures = *part;
        *part = (struct seki_pictures){0};
        return 0;
    }
    size_t bytes = seki_pictures_bytes(pictures);
    if (bytes != seki_pictures_bytes(part))
        SEKI_BUG("pictures of different shapes are joined");
    if (seki_pictures_grow(pictures, part->count, name, error) < 0)
        return -1;
    memcpy(pictures->pixels + (size_t)pictures->count * bytes, part->pixels,
           (size_t)part->count * bytes);
    memcpy(pictures->labels + pictures->count, part->labels, (size_t)part->count);
    pictures->count += part->count;
    seki_pictures_free(part);
    return 0;
}

void seki_pictures_free(struct seki_pictures *pictures)
{
    free(pictures->pixels);
    free(pictures->labels);
    *pictures = (struct seki_pictures){0};
}
