/*
 * fuzz_idx.c - any bytes as a file of IDX pictures, then as its labels. What is accepted must be
 * what the header says, to the byte; what is refused must be refused in words.
 */
#include "data/data_internal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void read_labels(const uint8_t *bytes, size_t length, struct seki_pictures *pictures)
{
    struct seki_memory_source memory;
    struct seki_error error = {0};
    int highest = -1;
    seki_memory_source_init(&memory, "labels", bytes, length);
    if (seki_idx_read_labels(&memory.source, pictures, &highest, &error) < 0) {
        require(error.kind == SEKI_BAD_INPUT && error.message[0] != '\0');
        return;
    }
    require(length == 8 + (size_t)pictures->count);
    require(highest >= 0 && highest <= 255);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct seki_memory_source memory;
    struct seki_error error = {0};
    struct seki_pictures pictures = {0};
    seki_memory_source_init(&memory, "images", bytes, length);
    if (seki_idx_read_images(&memory.source, &pictures, &error) == 0) {
        size_t picture = (size_t)pictures.height * (size_t)pictures.width;
        require(pictures.count > 0 && length == 16 + (size_t)pictures.count * picture);
    } else {
        require(error.kind == SEKI_BAD_INPUT && error.message[0] != '\0');
    }
    seki_pictures_free(&pictures);

    /* As labels of so many pictures as the bytes could be labels of. */
    pictures = (struct seki_pictures){.channels = 1, .height = 1, .width = 1};
    if (length > 8 && seki_pictures_grow(&pictures, (long)length - 8, "labels", &error) == 0) {
        pictures.count = (long)length - 8;
        read_labels(bytes, length, &pictures);
    }
    seki_pictures_free(&pictures);
    return 0;
}
