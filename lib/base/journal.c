/*
 * journal.c - files that only grow by whole lines.
 *
 * A line goes out in one write under O_APPEND and is on the disk before the call returns. Several
 * programs may append to one file: a flock (not in POSIX; Linux and the BSDs have it) keeps the
 * repair of a cut last line apart from another one's write.
 */
#include "base/base_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct seki_journal {
    int descriptor;
    char *path;
    struct seki_buffer line;
};

/* Cuts a last line that has no newline: what a full disk or a machine that went down left. */
static int repair(const struct seki_journal *journal, struct seki_error *error)
{
    struct stat status;
    off_t end;
    char byte = '\n';

    if (fstat(journal->descriptor, &status) < 0)
        return seki_fail_errno(error, "file", "%s: cannot be read", journal->path);
    if (!S_ISREG(status.st_mode))
        return 0; /* a pipe or a device has no last line */
    for (end = status.st_size; end > 0; end--) {
        if (pread(journal->descriptor, &byte, 1, end - 1) != 1)
            return seki_fail_errno(error, "file", "%s: cannot be read", journal->path);
        if (byte == '\n')
            break;
    }
    if (end < status.st_size && ftruncate(journal->descriptor, end) < 0)
        return seki_fail_errno(error, "file", "%s: its last line is cut and cannot be removed",
                               journal->path);
    return 0;
}

struct seki_journal *seki_journal_open(const char *path, struct seki_error *error)
{
    struct seki_journal *journal = seki_allocate(1, sizeof *journal, error);
    int result;

    if (journal == NULL)
        return NULL;
    seki_buffer_init(&journal->line, SIZE_MAX / 2);
    journal->descriptor = seki_open(path, O_RDWR | O_CREAT | O_APPEND, 0666);
    if (journal->descriptor < 0) /* a pipe that cannot be read, /dev/full */
        journal->descriptor = seki_open(path, O_WRONLY | O_APPEND, 0);
    journal->path = strdup(path);
    if (journal->descriptor < 0 || journal->path == NULL) {
        seki_fail_errno(error, "file", "%s: cannot be opened to append", path);
        seki_journal_close(journal);
        return NULL;
    }
    flock(journal->descriptor, LOCK_EX); /* where a file system has none, one writer is all right */
    result = repair(journal, error);
    flock(journal->descriptor, LOCK_UN);
    if (result == 0)
        return journal;
    seki_journal_close(journal);
    return NULL;
}

int seki_journal_line(struct seki_journal *journal, const char *text, size_t length,
                      struct seki_error *error)
{
    int result;

    seki_buffer_clear(&journal->line);
    seki_buffer_append(&journal->line, text, length);
    seki_buffer_append(&journal->line, "\n", 1);
    if (journal->line.failed)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    flock(journal->descriptor, LOCK_EX);
    result = seki_write_all(journal->descriptor, journal->line.data, journal->line.length);
    if (result < 0)
        seki_fail_errno(error, "file", "%s: cannot be written", journal->path);
    flock(journal->descriptor, LOCK_UN);
    fsync(journal->descriptor); /* fails where there is nothing to wait for: a pipe */
    return result;
}

void seki_journal_close(struct seki_journal *journal)
{
    if (journal == NULL)
        return;
    if (journal->descriptor >= 0)
        close(journal->descriptor);
    free(journal->path);
    seki_buffer_free(&journal->line);
    free(journal);
}
