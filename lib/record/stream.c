/*
 * stream.c - a stream of records from the lines of files. A line that is no record becomes a record
 * that says so, and the next line is read.
 */
#include "record/record.h"

#include <stdlib.h>
#include <string.h>

#include "record/record_internal.h"

/* So much of a line that is no record goes on in the member `line`. */
#define SHOWN 400

struct seki_records {
    struct seki_input *input;
    struct seki_record *record;
    struct seki_buffer place; /* "FILE:LINE" */
};

struct seki_records *seki_records_open(char **names, int count, struct seki_error *error)
{
    struct seki_records *records = seki_allocate(1, sizeof *records, error);

    if (records == NULL)
        return NULL;
    seki_buffer_init(&records->place, SEKI_MAX_LINE);
    records->record = seki_record_new(error);
    if (records->record != NULL)
        records->input = seki_input_open(names, count, error);
    if (records->input == NULL) {
        seki_records_close(records);
        return NULL;
    }
    return records;
}

void seki_records_close(struct seki_records *records)
{
    if (records == NULL)
        return;
    seki_input_close(records->input);
    seki_record_free(records->record);
    seki_buffer_free(&records->place);
    free(records);
}

const char *seki_records_place(const struct seki_records *records)
{
    return records->place.data;
}

static int read_line(struct seki_record *record, const struct seki_line *line,
                     struct seki_error *why)
{
    if (line->too_long)
        return seki_fail(why, SEKI_BAD_INPUT, "length",
                         "the line is longer than the %zu bytes that a record may have",
                         SEKI_MAX_LINE);
    if (line->has_nul)
        return seki_fail(why, SEKI_BAD_INPUT, "nul", "column %zu: a NUL byte; JSON has none",
                         line->length + 1);
    if (seki_record_read(record, line->text, line->length, why) == 0)
        return 0;
    if (line->unterminated && why->kind == SEKI_BAD_INPUT) {
        struct seki_error cut = *why;

        seki_fail(why, SEKI_BAD_INPUT, cut.code,
                  "%.400s (the last line has no newline: is it cut?)", cut.message);
    }
    return -1;
}

/* Makes records->record the record of a line that is none. */
static int fail_line(struct seki_records *records, const struct seki_line *line,
                     struct seki_error *why, struct seki_error *error)
{
    size_t length = line->length < SHOWN ? line->length : SHOWN;
    struct seki_buffer shown;
    int result;

    seki_fail_within(why, "%s", records->place.data);
    seki_record_clear(records->record);
    if (seki_record_fail(records->record, why, error) < 0)
        return -1;
    seki_buffer_init(&shown, 3 * SHOWN);
    seki_json_put_cleaned(&shown, line->text, length);
    result = seki_record_set_string(records->record, "line", shown.data, error);
    seki_buffer_free(&shown);
    return result;
}

static bool is_empty(const struct seki_line *line)
{
    return !line->has_nul && line->text[strspn(line->text, " \t\r")] == '\0';
}

int seki_records_next(struct seki_records *records, struct seki_record **record,
                      struct seki_error *error)
{
    struct seki_error why;
    struct seki_line line;

    do {
        int got = seki_input_next(records->input, &line, error);

        if (got <= 0)
            return got;
    } while (is_empty(&line));
    seki_buffer_clear(&records->place);
    if (seki_buffer_puts(&records->place, line.file) < 0 ||
        seki_buffer_printf(&records->place, ":%lu", line.number) < 0)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    *record = records->record;
    if (read_line(records->record, &line, &why) == 0)
        return 1;
    if (why.kind == SEKI_BAD_INPUT)
        return fail_line(records, &line, &why, error) < 0 ? -1 : 1;
    if (error != NULL)
        *error = why;
    return -1;
}

bool seki_records_ready(const struct seki_records *records)
{
    return seki_input_ready(records->input);
}

int seki_records_descriptor(const struct seki_records *records)
{
    return seki_input_descriptor(records->input);
}
