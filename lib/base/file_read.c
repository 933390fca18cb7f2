/*
 * file_read.c - reading a whole small file.
 */
#include "base/base_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int seki_file_read(const char *path, size_t limit, struct seki_buffer *out,
                   struct seki_error *error)
{
    char chunk[16384];
    ssize_t got;
    int result = 0, descriptor;

    seki_buffer_init(out, limit);
    descriptor = seki_open(path, O_RDONLY, 0);
    if (descriptor < 0)
        return seki_fail_errno(error, "file", "%s: cannot open", path);
    while ((got = seki_read_some(descriptor, chunk, sizeof chunk)) > 0 && result == 0) {
        if (seki_buffer_append(out, chunk, (size_t)got) == 0)
            continue;
        if ((size_t)got > limit - out->length)
            result =
                seki_fail(error, SEKI_BAD_INPUT, "file", "%s: larger than %zu bytes", path, limit);
        else
            result = seki_fail(error, SEKI_NO_RESOURCE, "memory", "%s: out of memory", path);
    }
    if (got < 0)
        result = seki_fail_errno(error, "file", "%s: cannot read", path);
    close(descriptor);
    return result;
}
