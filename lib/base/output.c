/*
 * output.c - standard output as a stream of lines.
 */
#include "base/base_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CAPACITY 65536

struct seki_output {
    bool regular; /* a regular file: lines are gathered before they are written */
    bool gone;
    size_t used;
    char buffer[CAPACITY];
};

struct seki_output *seki_output_open(struct seki_error *error)
{
    struct seki_output *output;
    struct stat status;
    int flags = fcntl(STDOUT_FILENO, F_GETFL);

    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || fstat(STDOUT_FILENO, &status) < 0) {
        seki_fail(error, SEKI_NO_RESOURCE, "output", "standard output is not open for writing");
        return NULL;
    }
    output = seki_allocate(1, sizeof *output, error);
    if (!output)
        return NULL;
    output->regular = S_ISREG(status.st_mode);
    signal(SIGPIPE, SIG_IGN);
    return output;
}

/* Writes to the descriptor, and tells a reader that has gone from a failure. */
static int put(struct seki_output *output, const char *bytes, size_t count,
               struct seki_error *error)
{
    if (output->gone || seki_write_all(STDOUT_FILENO, bytes, count) == 0)
        return 0;
    if (errno == EPIPE) {
        output->gone = true;
        return 0;
    }
    return seki_fail_errno(error, "output", "standard output: cannot write");
}

int seki_output_flush(struct seki_output *output, struct seki_error *error)
{
    size_t used = output->used;

    output->used = 0;
    return used ? put(output, output->buffer, used, error) : 0;
}

static int gather(struct seki_output *output, const char *bytes, size_t count,
                  struct seki_error *error)
{
    if (count > CAPACITY - output->used && seki_output_flush(output, error) < 0)
        return -1;
    if (count > CAPACITY)
        return put(output, bytes, count, error);
    memcpy(output->buffer + output->used, bytes, count);
    output->used += count;
    return 0;
}

int seki_output_line(struct seki_output *output, const char *text, size_t length,
                     struct seki_error *error)
{
    if (output->gone)
        return 0;
    if (gather(output, text, length, error) < 0 || gather(output, "\n", 1, error) < 0)
        return -1;
    return output->regular ? 0 : seki_output_flush(output, error);
}

bool seki_output_gone(const struct seki_output *output)
{
    struct pollfd reader = {.fd = STDOUT_FILENO};

    return output->gone ||
           (poll(&reader, 1, 0) == 1 && (reader.revents & (POLLERR | POLLHUP)) != 0);
}

int seki_output_close(struct seki_output *output, struct seki_error *error)
{
    int result = seki_output_flush(output, error);

    /* Some file systems tell only at close that the disk was full. */
    if (close(STDOUT_FILENO) < 0 && result == 0 && !output->gone)
        result = seki_fail_errno(error, "output", "standard output: cannot write");
    free(output);
    return result;
}
