/* stream.c - records in, each with its score out; those that are there already in groups, where
 * their scorer gains by it. */
#include "eval.h"

#include <stdlib.h>
#include <string.h>

/* A record between its reading and its writing. */
struct candidate {
    struct seki_record *record;
    struct seki_record *copy; /* it, where it is our own; NULL: it is the stream's, the last read */
    char *place;              /* a copy's FILE:LINE */
};

struct stream {
    const struct seki_log *log;
    struct evaluator *evaluator;
    struct seki_records *records;
    struct seki_output *output;
    struct seki_progress progress;
    struct candidate group[MOST_IN_GROUP];
    int count;
    long written;
    bool failed, unreadable, ended;
};

/* ---- In ----------------------------------------------------------------------------------- */

/* The stream of records keeps the last alone: more than one are copied. */
static int keep(struct stream *stream, struct seki_record *record, struct seki_error *error)
{
    struct candidate *candidate = &stream->group[stream->count++];
    *candidate = (struct candidate){.record = record};
    if (stream->evaluator->kind->group == 1)
        return 0;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): free_group frees both; the index hides it */
    candidate->record = candidate->copy = seki_record_copy(record, error);
    candidate->place = strdup(seki_records_place(stream->records));
    if (candidate->copy && !candidate->place)
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    return candidate->copy && candidate->place ? 0 : -1;
}

static void free_group(struct stream *stream)
{
    for (int i = 0; i < stream->count; i++) {
        seki_record_free(stream->group[i].copy);
        free(stream->group[i].place);
    }
    stream->count = 0;
}

/* Reads one record, and with it those that need no waiting: none is held back for one that may
 * never come. */
static int read_group(struct stream *stream, struct seki_error *error)
{
    struct seki_record *record;
    int most = stream->evaluator->kind->group;
    while (!stream->ended && stream->count < most &&
           (stream->count == 0 || seki_records_ready(stream->records))) {
        int got = seki_records_next(stream->records, &record, error);
        if (got < 0) {
            seki_log_error(stream->log, "%s", error->message);
            stream->unreadable = true;
        } else if (got == 0) {
            stream->ended = true;
        } else if (keep(stream, record, error) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- Out ---------------------------------------------------------------------------------- */

/* Scores one record and writes it. -1: the output or the machine failed. */
static int finish(struct stream *stream, const struct candidate *candidate,
                  struct seki_error *error)
{
    struct seki_record *record = candidate->record;
    struct seki_error why;
    if (!seki_record_failed(record) && evaluator_score(stream->evaluator, record, &why) < 0) {
        if (why.kind == SEKI_NO_RESOURCE) {
            *error = why;
            return -1;
        }
        if (seki_record_fail(record, &why, error) < 0)
            return -1;
        seki_log_error(stream->log, "%s: %s: %s",
                       candidate->place ? candidate->place : seki_records_place(stream->records),
                       why.code, why.message);
    } else if (seki_record_failed(record) && seki_record_has(record, "line")) {
        seki_log_error(stream->log, "%s", seki_record_string(record, "error.message"));
    }
    stream->failed |= seki_record_failed(record);
    size_t length;
    const char *text = seki_record_text(record, &length, error);
    return text ? seki_output_line(stream->output, text, length, error) : -1;
}

static int finish_group(struct stream *stream, struct seki_error *error)
{
    struct seki_record *records[MOST_IN_GROUP];
    for (int i = 0; i < stream->count; i++)
        records[i] = stream->group[i].record;
    evaluator_ahead(stream->evaluator, records, stream->count);
    for (int i = 0; i < stream->count; i++) {
        if (finish(stream, &stream->group[i], error) < 0)
            return -1;
        if (seki_output_gone(stream->output)) {
            stream->ended = true;
            break;
        }
        seki_progress_set(&stream->progress, (double)++stream->written);
    }
    return 0;
}

/* "2,440" */
static void write_thousands(char *text, size_t room, double value)
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%.0f", value);
    size_t at = 0;
    for (int i = 0; i < length && at + 2 < room; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
}

/* What the pictures took, where any were looked at. */
static void summarise(struct stream *stream)
{
    const struct evaluator *evaluator = stream->evaluator;
    char rate[48];
    if (evaluator->scored == 0 || !(evaluator->seconds > 0)) {
        seki_progress_end(&stream->progress);
        return;
    }
    write_thousands(rate, sizeof rate, evaluator->pictures / evaluator->seconds);
    seki_log_note(stream->log, "%ld candidate%s in %.1f s, %.2f s each, %s pictures a second",
                  evaluator->scored, evaluator->scored == 1 ? "" : "s", evaluator->seconds,
                  evaluator->seconds / (double)evaluator->scored, rate);
}

static int run(struct stream *stream, char **names, int count, struct seki_error *error)
{
    stream->output = seki_output_open(error);
    stream->records = stream->output ? seki_records_open(names, count, error) : NULL;
    if (!stream->records)
        return -1;
    seki_progress_start(&stream->progress, stream->log, stream->evaluator->kind->name, "candidates",
                        0);
    while (!stream->ended) {
        if (read_group(stream, error) < 0 || finish_group(stream, error) < 0)
            return -1;
        free_group(stream);
    }
    summarise(stream);
    return 0;
}

int stream_run(struct evaluator *evaluator, const struct seki_log *log, char **names, int count,
               struct seki_error *error)
{
    struct stream stream = {.log = log, .evaluator = evaluator};
    int status = run(&stream, names, count, error);
    free_group(&stream);
    seki_records_close(stream.records);
    if (stream.output && seki_output_close(stream.output, status < 0 ? NULL : error) < 0)
        status = -1;
    if (status < 0)
        return -1; /* NOLINT(clang-analyzer-unix.Malloc): as above */
    return stream.unreadable ? 3 : stream.failed ? 1 : 0;
}
