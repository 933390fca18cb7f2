/*
 * descriptor.c - opening, reading and writing file descriptors, with what POSIX leaves to the
 * caller: interrupted calls, short writes, descriptors that do not block, closed standard streams.
 */
#define _XOPEN_SOURCE 700 /* realpath is in POSIX's XSI part */
#include "base/base_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int seki_open(const char *path, int flags, mode_t mode)
{
    int descriptor, above;

    do
        descriptor = open(path, flags | O_CLOEXEC, mode);
    while (descriptor < 0 && errno == EINTR);
    if (descriptor < 0 || descriptor > STDERR_FILENO)
        return descriptor;
    above = fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(descriptor);
    return above;
}

static int wait_until_ready(int descriptor, short events)
{
    struct pollfd wanted = {.fd = descriptor, .events = events};

    return poll(&wanted, 1, -1) < 0 && errno != EINTR ? -1 : 0;
}

/* Whether a call that failed with errno can be made again: after the wait, where one is due. */
static bool can_go_on(int descriptor, short events)
{
    if (errno == EINTR)
        return true;
    return (errno == EAGAIN || errno == EWOULDBLOCK) && wait_until_ready(descriptor, events) == 0;
}

int seki_write_all(int descriptor, const char *bytes, size_t count)
{
    while (count) {
        ssize_t written = write(descriptor, bytes, count);

        if (written >= 0) {
            bytes += written;
            count -= (size_t)written;
        } else if (!can_go_on(descriptor, POLLOUT)) {
            return -1;
        }
    }
    return 0;
}

ssize_t seki_read_some(int descriptor, char *bytes, size_t count)
{
    ssize_t got;

    do
        got = read(descriptor, bytes, count);
    while (got < 0 && can_go_on(descriptor, POLLIN));
    return got;
}

bool seki_names_file(const char *path, int descriptor)
{
    struct stat named, opened;

    return lstat(path, &named) == 0 && fstat(descriptor, &opened) == 0 &&
           named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

char *seki_resolve_link(const char *path, struct seki_error *error)
{
    struct stat status;
    bool is_link = lstat(path, &status) == 0 && S_ISLNK(status.st_mode);
    char *resolved = is_link ? realpath(path, NULL) : strdup(path);

    if (!resolved)
        seki_fail_errno(error, "file", "%s: cannot follow the symbolic link", path);
    return resolved;
}

void seki_hold_descriptors(void)
{
    for (int number = STDIN_FILENO; number <= STDERR_FILENO; number++)
        if (fcntl(number, F_GETFD) < 0 && errno == EBADF)
            /* the lowest free number is this one */
            (void)open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}
