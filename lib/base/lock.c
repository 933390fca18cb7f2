/*
 * lock.c - exclusive locks between processes, and between threads.
 *
 * The lock on PATH is a flock on the file PATH.lock (not in POSIX; Linux and the BSDs have it). The
 * kernel ends it with its process, so a lock file that kill -9 left is no lock. The file is
 * unlinked while the lock is held; whoever waited for that file then holds a lock on a file without
 * a name, sees so, and tries the new one.
 */
#include "base/base_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define FIRST_WAIT   0.001 /* seconds between two tries; doubles up to the longest */
#define LONGEST_WAIT 0.1

struct seki_lock {
    char *path; /* of the lock file */
    int descriptor;
};

static char *lock_path(const char *path, struct seki_error *error)
{
    char *resolved = seki_resolve_link(path, error), *name;
    size_t size;

    if (!resolved)
        return NULL;
    size = strlen(resolved) + sizeof ".lock";
    name = seki_allocate(size, 1, error);
    if (name)
        snprintf(name, size, "%s.lock", resolved);
    free(resolved);
    return name;
}

/* 1: taken; 0: somebody else has it; -1: *error. */
static int try_lock(struct seki_lock *lock, struct seki_error *error)
{
    for (;;) {
        lock->descriptor = seki_open(lock->path, O_RDWR | O_CREAT | O_NOFOLLOW, 0666);
        if (lock->descriptor < 0)
            return seki_fail_errno(error, "lock", "%s: cannot create the lock file", lock->path);
        if (flock(lock->descriptor, LOCK_EX | LOCK_NB) < 0) {
            int number = errno;

            close(lock->descriptor);
            errno = number;
            if (number == EINTR)
                continue;
            if (number == EWOULDBLOCK)
                return 0;
            return seki_fail_errno(error, "lock", "%s: cannot lock", lock->path);
        }
        if (seki_names_file(lock->path, lock->descriptor))
            return 1;
        close(lock->descriptor); /* its holder unlinked it meanwhile */
    }
}

/* The process id that the holder wrote into the lock file, 0 where it cannot be read. */
static long read_holder(const char *path)
{
    char text[32] = "";
    int descriptor = seki_open(path, O_RDONLY | O_NOFOLLOW, 0);
    ssize_t got;

    if (descriptor < 0)
        return 0;
    got = seki_read_some(descriptor, text, sizeof text - 1);
    close(descriptor);
    return got > 0 ? strtol(text, NULL, 10) : 0;
}

/* For whoever waits in vain. A full disk here leaves the lock as good, only without a name. */
static void write_holder(int descriptor)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());

    if (ftruncate(descriptor, 0) == 0)
        (void)seki_write_all(descriptor, text, (size_t)length);
}

static void pause_for(double seconds)
{
    struct timespec wait = {.tv_sec = (time_t)seconds};

    wait.tv_nsec = (long)((seconds - (double)wait.tv_sec) * 1e9);
    nanosleep(&wait, NULL);
}

static void report_holder(const char *path, double seconds, struct seki_error *error)
{
    long holder = read_holder(path);
    char name[48] = "another process";

    if (holder > 0)
        snprintf(name, sizeof name, "process %ld", holder);
    seki_fail(error, SEKI_NO_RESOURCE, "lock",
              "%s: %s holds the lock, waited %.3g seconds; try again when it has ended", path, name,
              seconds);
}

struct seki_lock *seki_lock_take(const char *path, double seconds, struct seki_error *error)
{
    struct seki_lock *lock = seki_allocate(1, sizeof *lock, error);
    double end = seki_clock() + seconds, wait = FIRST_WAIT;
    int got = -1;

    if (!lock)
        return NULL;
    lock->path = lock_path(path, error);
    while (lock->path && (got = try_lock(lock, error)) == 0) {
        double left = end - seki_clock();

        if (left <= 0) {
            report_holder(lock->path, seconds, error);
            break;
        }
        pause_for(wait < left ? wait : left);
        wait = wait * 2 < LONGEST_WAIT ? wait * 2 : LONGEST_WAIT;
    }
    if (got == 1) {
        write_holder(lock->descriptor);
        return lock;
    }
    free(lock->path);
    free(lock);
    return NULL;
}

void seki_lock_release(struct seki_lock *lock)
{
    if (!lock)
        return;
    unlink(lock->path);
    close(lock->descriptor);
    free(lock->path);
    free(lock);
}
