/*
 * fuzz_tar.c - any bytes as a tar archive: walked member by member, then as an archive of CIFAR. No
 * more bytes come out of the members than went into the archive, and what is refused is refused in
 * words.
 */
#include "data/data_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Reads every other member and passes over the rest, as a reader of some files does. */
static void walk(const uint8_t *bytes, size_t length)
{
    struct seki_memory_source memory;
    struct seki_error error = {0};
    struct seki_tar tar;
    uint64_t total = 0, members = 0;
    int next;
    seki_memory_source_init(&memory, "archive", bytes, length);
    seki_tar_init(&tar, &memory.source);
    while ((next = seki_tar_next(&tar, &error)) > 0) {
        uint64_t passed = 0;
        members++;
        if (members % 2 == 0)
            continue;
        if (seki_source_skip(&tar.member, UINT64_MAX, &passed, &error) < 0) {
            next = -1;
            break;
        }
        require(passed == tar.size);
        total += passed;
    }
    require(total <= length && members * 512 <= length);
    require(next == 0 || (error.kind == SEKI_BAD_INPUT && error.message[0] != '\0'));
}

static void read_as_cifar(const uint8_t *bytes, size_t length)
{
    struct seki_memory_source memory;
    struct seki_error error = {0};
    struct seki_pictures splits[2] = {{0}, {0}};
    seki_memory_source_init(&memory, "archive", bytes, length);
    if (seki_cifar_read_archive(&memory.source, splits, &error) == 0)
        for (int split = 0; split < 2; split++)
            for (long i = 0; i < splits[split].count; i++)
                require(seki_pictures_label(&splits[split], i) < splits[split].classes);
    else
        require(error.kind == SEKI_BAD_INPUT && error.message[0] != '\0');
    seki_pictures_free(&splits[SEKI_TRAIN_SPLIT]);
    seki_pictures_free(&splits[SEKI_TEST_SPLIT]);
}

/* Makes right the checksum of every block that says ustar: changed bytes would else go no further
 * than the checksum. */
static void mend_checksums(uint8_t *bytes, size_t length)
{
    for (size_t at = 0; at + 512 <= length; at += 512) {
        uint8_t *block = bytes + at;
        unsigned sum = 0;
        if (memcmp(block + 257, "ustar", 5) != 0)
            continue;
        memset(block + 148, ' ', 8);
        for (int i = 0; i < 512; i++)
            sum += block[i];
        snprintf((char *)block + 148, 8, "%06o", sum);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    walk(bytes, length);
    read_as_cifar(bytes, length);
    uint8_t *mended = malloc(length + 1);
    if (!mended)
        return 0;
    memcpy(mended, bytes, length);
    mend_checksums(mended, length);
    walk(mended, length);
    read_as_cifar(mended, length);
    free(mended);
    return 0;
}
