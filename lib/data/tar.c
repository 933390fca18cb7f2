/*
 * tar.c - a streaming reader of tar archives: POSIX ustar, and the long names of GNU tar. Format:
 * POSIX.1-2008, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
 */
#include "data/data_internal.h"

#include <string.h>

#define BLOCK 512

/* Where the fields of a header stand: offset and length in bytes. */
enum {
    NAME = 0,
    NAME_LENGTH = 100,
    SIZE = 124,
    SIZE_LENGTH = 12,
    CHECKSUM = 148,
    CHECKSUM_LENGTH = 8,
    TYPE = 156,
    MAGIC = 257,
    PREFIX = 345,
    PREFIX_LENGTH = 155,
};

/* An octal number, spaces before it, a space or NUL after it; -1 where it is none. */
static int64_t read_octal(const uint8_t *field, size_t length)
{
    size_t i = 0;
    int64_t value = 0;
    while (i < length && field[i] == ' ')
        i++;
    size_t first = i;
    for (; i < length && field[i] >= '0' && field[i] <= '7'; i++)
        value = value * 8 + (field[i] - '0');
    if (i == first || (i < length && field[i] != ' ' && field[i] != '\0'))
        return -1;
    return value;
}

/* The sum of all bytes, those of the checksum itself taken as spaces; old tars summed signed bytes.
 */
static bool checksum_holds(const uint8_t *block)
{
    int64_t plain = 0, with_signs = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        bool inside = i >= CHECKSUM && i < CHECKSUM + CHECKSUM_LENGTH;
        uint8_t byte = inside ? ' ' : block[i];
        plain += byte;
        with_signs += (int8_t)byte;
    }
    int64_t said = read_octal(block + CHECKSUM, CHECKSUM_LENGTH);
    return said >= 0 && (said == plain || said == with_signs);
}

bool seki_tar_is_header(const uint8_t block[512])
{
    return checksum_holds(block) && read_octal(block + SIZE, SIZE_LENGTH) >= 0;
}

static bool is_zero(const uint8_t *block)
{
    for (size_t i = 0; i < BLOCK; i++)
        if (block[i] != 0)
            return false;
    return true;
}

static int cut_short(const struct seki_tar *tar, uint64_t expected, uint64_t found,
                     const char *what, struct seki_error *error)
{
    return seki_fail(error, SEKI_BAD_INPUT, "data",
                     "%s: expected %llu bytes of %s, found %llu: the archive is cut short at byte "
                     "%llu; fetch it again",
                     tar->label, (unsigned long long)expected, what, (unsigned long long)found,
                     (unsigned long long)tar->archive->position);
}

static long member_read(struct seki_source *source, void *bytes, size_t count,
                        struct seki_error *error)
{
    struct seki_tar *tar = (struct seki_tar *)source;
    if (tar->left == 0)
        return 0;
    if (count > tar->left)
        count = (size_t)tar->left;
    long got = tar->archive->read(tar->archive, bytes, count, error);
    if (got < 0)
        return -1;
    if (got == 0)
        return cut_short(tar, tar->size, tar->size - tar->left, "this file", error);
    tar->left -= (uint64_t)got;
    source->position += (uint64_t)got;
    return got;
}

void seki_tar_init(struct seki_tar *tar, struct seki_source *archive)
{
    *tar = (struct seki_tar){.archive = archive, .member = {.read = member_read}};
    snprintf(tar->label, sizeof(tar->label), "%s", archive->name);
    tar->member.name = tar->label;
}

/* Passes over what is left of the current member and its padding. */
static int end_member(struct seki_tar *tar, struct seki_error *error)
{
    uint64_t wanted = tar->left + tar->padding, passed;
    if (tar->archive->position + wanted > SEKI_MAX_ARCHIVE_BYTES)
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected an archive of at most %llu bytes, found one of %llu or more",
                         tar->archive->name, (unsigned long long)SEKI_MAX_ARCHIVE_BYTES,
                         (unsigned long long)(tar->archive->position + wanted));
    if (seki_source_skip(tar->archive, wanted, &passed, error) < 0)
        return -1;
    if (passed < wanted)
        return cut_short(tar, tar->size + tar->padding,
                         tar->size + tar->padding - (wanted - passed), "this file", error);
    tar->left = 0;
    tar->padding = 0;
    return 0;
}

/* 1: *block is a header whose checksum holds; 0: the end mark. */
static int read_header(struct seki_tar *tar, uint8_t *block, struct seki_error *error)
{
    size_t got;
    uint64_t at = tar->archive->position;
    if (seki_source_fill(tar->archive, block, BLOCK, &got, error) < 0)
        return -1;
    snprintf(tar->label, sizeof(tar->label), "%s", tar->archive->name);
    if (got < BLOCK)
        return cut_short(tar, BLOCK, got, "a header or the end mark", error);
    if (is_zero(block))
        return 0;
    if (!checksum_holds(block))
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: byte %llu: expected a tar header, found a wrong checksum; it is no "
                         "tar archive, or damaged: fetch it again",
                         tar->label, (unsigned long long)at);
    return 1;
}

/* Sets the sizes from a header. */
static int begin_member(struct seki_tar *tar, const uint8_t *block, struct seki_error *error)
{
    char type = (char)block[TYPE];
    int64_t size = read_octal(block + SIZE, SIZE_LENGTH);
    if (size < 0)
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: byte %llu: expected a file's size under 8 GiB in octal, found "
                         "something else",
                         tar->archive->name, (unsigned long long)(tar->archive->position - BLOCK));
    if (type >= '1' && type <= '6') /* links, devices, folders: whatever the size says, no bytes */
        size = 0;
    tar->size = tar->left = (uint64_t)size;
    tar->padding = (unsigned)((BLOCK - (uint64_t)size % BLOCK) % BLOCK);
    tar->regular = type == '0' || type == '\0' || type == '7';
    tar->member.position = 0;
    return 0;
}

static void set_name(struct seki_tar *tar, const uint8_t *block)
{
    int prefix = 0;
    if (memcmp(block + MAGIC, "ustar", 6) == 0) /* with its NUL: POSIX; GNU has spaces there */
        prefix = (int)strnlen((const char *)block + PREFIX, PREFIX_LENGTH);
    int length = (int)strnlen((const char *)block + NAME, NAME_LENGTH);
    snprintf(tar->name, sizeof(tar->name), "%.*s%s%.*s", prefix, (const char *)block + PREFIX,
             prefix > 0 ? "/" : "", length, (const char *)block + NAME);
}

/* GNU tar's 'L': the bytes of this member are the name of the next. The end of a name tells most.
 */
static int read_long_name(struct seki_tar *tar, struct seki_error *error)
{
    uint64_t passed, length = tar->size;
    size_t got;
    if (length >= sizeof(tar->name) &&
        seki_source_skip(&tar->member, length - sizeof(tar->name) + 1, &passed, error) < 0)
        return -1;
    if (seki_source_fill(&tar->member, tar->name, sizeof(tar->name) - 1, &got, error) < 0)
        return -1;
    tar->name[got] = '\0';
    return 0;
}

/* Reads what follows the end mark: zeros by the standard, and gzip's checksum, which shows a
 * damaged archive. */
static int read_to_end(struct seki_tar *tar, struct seki_error *error)
{
    uint64_t passed, most = SEKI_MAX_ARCHIVE_BYTES - tar->archive->position;
    if (seki_source_skip(tar->archive, most, &passed, error) < 0)
        return -1;
    if (passed == most)
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected an archive of at most %llu bytes, found more",
                         tar->archive->name, (unsigned long long)SEKI_MAX_ARCHIVE_BYTES);
    return 0;
}

int seki_tar_next(struct seki_tar *tar, struct seki_error *error)
{
    uint8_t block[BLOCK];
    bool named = false;
    for (;;) {
        if (end_member(tar, error) < 0)
            return -1;
        int header = read_header(tar, block, error);
        if (header < 0)
            return -1;
        if (header == 0)
            return read_to_end(tar, error);
        if (begin_member(tar, block, error) < 0)
            return -1;
        char type = (char)block[TYPE];
        if (type == 'L') {
            if (read_long_name(tar, error) < 0)
                return -1;
            named = true;
        } else if (type != 'K' && type != 'x' && type != 'g') {
            break;
        }
    }
    if (!named)
        set_name(tar, block);
    snprintf(tar->label, sizeof(tar->label), "%s: %s", tar->archive->name, tar->name);
    return 1;
}
