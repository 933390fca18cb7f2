/*
 * source.c - streams of bytes for the readers of data files: files, gzipped or not, and memory; and
 * the paths of those files.
 */
#include "data/data_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define GZIP_BUFFER (256 * 1024) /* bytes; zlib's default of 8 KiB costs a system call each */
#define SKIP_BUFFER (16 * 1024)

struct gzip_source {
    struct seki_source source;
    gzFile gzip;
    char *path;
};

/* A gzip stream that stopped before its end. */
static int cut_short(const struct gzip_source *file, struct seki_error *error)
{
    const struct seki_source *source = &file->source;
    if (source->expected > 0)
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected %llu bytes unpacked, found %llu: the gzip file is cut short "
                         "(%lld bytes); fetch it again",
                         source->name, (unsigned long long)source->expected,
                         (unsigned long long)source->position, (long long)gzoffset(file->gzip));
    return seki_fail(error, SEKI_BAD_INPUT, "data",
                     "%s: expected the end mark of a gzip file, found its end after %lld bytes "
                     "(%llu unpacked): it is cut short; fetch it again",
                     source->name, (long long)gzoffset(file->gzip),
                     (unsigned long long)source->position);
}

static int gzip_failed(const struct gzip_source *file, struct seki_error *error)
{
    int code = Z_OK;
    int number = errno;
    const char *text = gzerror(file->gzip, &code);
    if (code == Z_BUF_ERROR)
        return cut_short(file, error);
    if (code == Z_ERRNO) {
        errno = number;
        return seki_fail_errno(error, "data", "%s: cannot read", file->source.name);
    }
    if (code == Z_MEM_ERROR)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "%s: out of memory for unpacking",
                         file->source.name);
    return seki_fail(error, SEKI_BAD_INPUT, "data",
                     "%s: the gzip data is corrupt after %llu bytes unpacked (%s); fetch it again",
                     file->source.name, (unsigned long long)file->source.position, text);
}

static long gzip_read(struct seki_source *source, void *bytes, size_t count,
                      struct seki_error *error)
{
    struct gzip_source *file = (struct gzip_source *)source;
    if (count > (size_t)1 << 30)
        count = (size_t)1 << 30;
    int got = gzread(file->gzip, bytes, (unsigned)count);
    if (got > 0) {
        source->position += (uint64_t)got;
        return got;
    }
    int code = Z_OK;
    if (got == 0)
        gzerror(file->gzip, &code); /* zlib tells a stream that is cut short here, and only here */
    if (got < 0 || code != Z_OK)
        return gzip_failed(file, error);
    return 0;
}

static int open_regular(const char *path, struct seki_error *error)
{
    struct stat status;
    /* Looked at before it is opened: opening a FIFO would wait for a writer. */
    if (stat(path, &status) < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return seki_fail(error, SEKI_BAD_INPUT, "data", "%s: expected a data file, found none",
                             path);
        return seki_fail_errno(error, "data", "%s: cannot open", path);
    }
    if (!S_ISREG(status.st_mode))
        return seki_fail(error, SEKI_BAD_INPUT, "data",
                         "%s: expected a data file, found a folder or device", path);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return seki_fail_errno(error, "data", "%s: cannot open", path);
    return descriptor;
}

struct seki_source *seki_source_open(const char *path, struct seki_error *error)
{
    struct gzip_source *file = seki_allocate(1, sizeof(*file), error);
    if (!file)
        return NULL;
    file->path = strdup(path);
    if (!file->path) {
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "%s: out of memory", path);
        free(file);
        return NULL;
    }
    file->source.name = file->path;
    file->source.read = gzip_read;
    int descriptor = open_regular(path, error);
    if (descriptor >= 0) {
        file->gzip = gzdopen(descriptor, "rb");
        if (file->gzip) {
            gzbuffer(file->gzip, GZIP_BUFFER);
            return &file->source;
        }
        close(descriptor);
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "%s: out of memory for unpacking", path);
    }
    free(file->path);
    free(file);
    return NULL;
}

void seki_source_close(struct seki_source *source)
{
    if (!source)
        return;
    struct gzip_source *file = (struct gzip_source *)source;
    gzclose_r(file->gzip); /* only read from: nothing can be lost here */
    free(file->path);
    free(file);
}

static long memory_read(struct seki_source *source, void *bytes, size_t count,
                        struct seki_error *error)
{
    (void)error;
    struct seki_memory_source *memory = (struct seki_memory_source *)source;
    size_t left = memory->length - (size_t)source->position;
    if (count > left)
        count = left;
    if (count > 0)
        memcpy(bytes, memory->bytes + source->position, count);
    source->position += count;
    return (long)count;
}

void seki_memory_source_init(struct seki_memory_source *memory, const char *name, const void *bytes,
                             size_t length)
{
    *memory = (struct seki_memory_source){
        .source = {.name = name, .read = memory_read}, .bytes = bytes, .length = length};
}

int seki_source_fill(struct seki_source *source, void *bytes, size_t count, size_t *got,
                     struct seki_error *error)
{
    *got = 0;
    while (*got < count) {
        long part = source->read(source, (uint8_t *)bytes + *got, count - *got, error);
        if (part < 0)
            return -1;
        if (part == 0)
            break;
        *got += (size_t)part;
    }
    return 0;
}

int seki_source_skip(struct seki_source *source, uint64_t count, uint64_t *passed,
                     struct seki_error *error)
{
    uint8_t scratch[SKIP_BUFFER];
    *passed = 0;
    while (*passed < count) {
        uint64_t wanted = count - *passed;
        long part = source->read(
            source, scratch, wanted < sizeof(scratch) ? (size_t)wanted : sizeof(scratch), error);
        if (part < 0)
            return -1;
        if (part == 0)
            break;
        *passed += (uint64_t)part;
    }
    return 0;
}

char *seki_data_path(const char *folder, const char *name, struct seki_error *error)
{
    size_t length = strlen(folder);
    const char *separator = length > 0 && folder[length - 1] == '/' ? "" : "/";
    size_t size = length + strlen(name) + 2;
    char *path = seki_allocate(size, 1, error);
    if (path)
        snprintf(path, size, "%s%s%s", folder, separator, name);
    return path;
}

bool seki_data_is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool look(const char *folder, const char *name, struct stat *status)
{
    char *path = seki_data_path(folder, name, NULL);
    bool found = path && stat(path, status) == 0 && !S_ISDIR(status->st_mode);
    free(path);
    return found;
}

bool seki_data_is_file(const char *folder, const char *name)
{
    struct stat status;
    return look(folder, name, &status);
}

uint64_t seki_data_file_bytes(const char *folder, const char *name)
{
    struct stat status;
    return look(folder, name, &status) && S_ISREG(status.st_mode) && status.st_size > 0
               ? (uint64_t)status.st_size
               : 0;
}
