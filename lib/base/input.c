/*
 * input.c - the lines of several files as one stream, in bounded memory.
 *
 * Read with read(2): a line from a pipe is given as soon as it is there.
 */
#include "base/base_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 65536

struct seki_input {
    char **names;
    int count, next;      /* names; the one to open next */
    int descriptor;       /* -1: none is open */
    const char *file;     /* its name for messages */
    unsigned long number; /* of the last line given */
    struct seki_buffer line;
    size_t start, end; /* what of chunk has not been given yet */
    char chunk[CHUNK];
};

static char *const standard_input[] = {"-"};

struct seki_input *seki_input_open(char **names, int count, struct seki_error *error)
{
    struct seki_input *input = seki_allocate(1, sizeof *input, error);

    if (!input)
        return NULL;
    input->names = count > 0 ? names : (char **)standard_input;
    input->count = count > 0 ? count : 1;
    input->descriptor = -1;
    seki_buffer_init(&input->line, SEKI_MAX_LINE);
    return input;
}

static void close_file(struct seki_input *input)
{
    if (input->descriptor > STDIN_FILENO)
        close(input->descriptor);
    input->descriptor = -1;
    input->start = input->end = 0;
}

static int open_file(struct seki_input *input, struct seki_error *error)
{
    const char *name = input->names[input->next++];
    struct stat status;

    input->number = 0;
    input->file = strcmp(name, "-") == 0 ? "standard input" : name;
    input->descriptor = strcmp(name, "-") == 0 ? STDIN_FILENO : seki_open(name, O_RDONLY, 0);
    if (input->descriptor < 0)
        return seki_fail_errno(error, "file", "%s: cannot open", input->file);
    if (fstat(input->descriptor, &status) == 0 && S_ISDIR(status.st_mode)) {
        close_file(input);
        return seki_fail(error, SEKI_NO_RESOURCE, "file",
                         "%s: is a folder, not a file of lines; name the files in it", input->file);
    }
    return 0;
}

/* Reads more into the chunk. 1: there is more; 0: end of the file; -1: *error. */
static int refill(struct seki_input *input, struct seki_error *error)
{
    ssize_t got = seki_read_some(input->descriptor, input->chunk, CHUNK);

    if (got < 0)
        return seki_fail_errno(error, "file", "%s: cannot read", input->file);
    input->start = 0;
    input->end = (size_t)got;
    return got > 0;
}

/* Appends as much as the limit lets in; what is over sets too_long. -1: out of memory. */
static int keep(struct seki_input *input, const char *bytes, size_t count, bool *too_long)
{
    size_t room = SEKI_MAX_LINE - input->line.length;

    if (count > room) {
        *too_long = true;
        count = room;
    }
    return seki_buffer_append(&input->line, bytes, count);
}

/* 1: a line is in input->line; 0: the file has ended; -1: *error. */
static int gather(struct seki_input *input, struct seki_line *line, struct seki_error *error)
{
    bool any = false;
    char *newline = NULL;

    seki_buffer_clear(&input->line);
    while (!newline) {
        char *from;
        size_t length;

        if (input->start == input->end) {
            int more = refill(input, error);

            if (more < 0)
                return -1;
            if (more == 0)
                break;
        }
        from = input->chunk + input->start;
        length = input->end - input->start;
        newline = memchr(from, '\n', length);
        if (newline)
            length = (size_t)(newline - from);
        any = true;
        input->start += length + (newline ? 1 : 0);
        if (keep(input, from, length, &line->too_long) < 0)
            return seki_fail(error, SEKI_NO_RESOURCE, "memory", "%s:%lu: out of memory",
                             input->file, input->number + 1);
    }
    line->unterminated = !newline;
    return any;
}

int seki_input_next(struct seki_input *input, struct seki_line *line, struct seki_error *error)
{
    for (;;) {
        int got;

        if (input->descriptor < 0) {
            if (input->next == input->count)
                return 0;
            if (open_file(input, error) < 0)
                return -1;
        }
        *line = (struct seki_line){.file = input->file};
        got = gather(input, line, error);
        if (got == 1) {
            line->number = ++input->number;
            line->text = input->line.data;
            line->length = strlen(line->text);
            line->has_nul = line->length < input->line.length;
            if (line->number == 1 && strncmp(line->text, "\xEF\xBB\xBF", 3) == 0) {
                line->text += 3; /* a byte order mark, which some editors put before UTF-8 */
                line->length -= 3;
            }
            return 1;
        }
        close_file(input);
        if (got < 0)
            return -1;
    }
}

bool seki_input_ready(const struct seki_input *input)
{
    struct pollfd poll_for = {.fd = input->descriptor, .events = POLLIN};

    if (input->descriptor < 0 || input->start < input->end)
        return true;
    return poll(&poll_for, 1, 0) != 0;
}

int seki_input_descriptor(const struct seki_input *input)
{
    return input->descriptor;
}

void seki_input_close(struct seki_input *input)
{
    if (!input)
        return;
    close_file(input);
    seki_buffer_free(&input->line);
    free(input);
}
