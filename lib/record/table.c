/*
 * table.c - tables of known scores: tab-separated, a header line, genotypes in the first column,
 * plain or gzipped (zlib reads both). Rows are found by the hash of the canonical notation, then
 * compared.
 */
#include "record/record.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MAX_COLUMNS 64
#define MAX_TEXT    ((size_t)1 << 30) /* all genotypes of a table */
#define MAX_LINE    65536

struct row {
    size_t text; /* offset of the canonical notation in `texts` */
    size_t values;
    unsigned long line;
};

struct seki_table {
    char *path;
    char *header; /* column names, separated by NULs */
    const char *columns[MAX_COLUMNS];
    int column_count, score;
    struct seki_buffer texts;
    double *values; /* column_count - 1 for each row; NaN where the field is no number */
    struct row *rows;
    size_t row_count, row_capacity;
    uint32_t *slots; /* open addressing: row + 1, or 0 */
    size_t slot_count;
};

/* ---- Rows by genotype --------------------------------------------------------------------- */

static size_t find_slot(const struct seki_table *table, const char *text)
{
    size_t slot = (size_t)seki_hash_string(text) & (table->slot_count - 1);

    while (table->slots[slot] != 0 &&
           strcmp(table->texts.data + table->rows[table->slots[slot] - 1].text, text) != 0)
        slot = (slot + 1) & (table->slot_count - 1);
    return slot;
}

/* At most half of the slots are taken. */
static int grow(struct seki_table *table, struct seki_error *error)
{
    size_t capacity = table->row_capacity ? 2 * table->row_capacity : 1024;
    struct row *rows = realloc(table->rows, capacity * sizeof *rows);
    double *values;

    if (rows != NULL)
        table->rows = rows;
    values = realloc(table->values, capacity * (size_t)table->column_count * sizeof *values);
    if (values != NULL)
        table->values = values;
    free(table->slots);
    table->slot_count = 2 * capacity;
    table->slots = seki_allocate(table->slot_count, sizeof *table->slots, error);
    if (rows == NULL || values == NULL || table->slots == NULL || capacity > UINT32_MAX / 4)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "%s: out of memory", table->path);
    table->row_capacity = capacity;
    for (size_t i = 0; i < table->row_count; i++)
        table->slots[find_slot(table, table->texts.data + table->rows[i].text)] = (uint32_t)i + 1;
    return 0;
}

/* ---- Reading ------------------------------------------------------------------------------ */

/* Ends the field at *cursor and moves on to the next; NULL after the last. */
static char *take_field(char **cursor)
{
    char *field = *cursor, *tab;

    if (field == NULL)
        return NULL;
    tab = strchr(field, '\t');
    if (tab != NULL)
        *tab++ = '\0';
    *cursor = tab;
    return field;
}

static int take_values(struct seki_table *table, char *cursor, unsigned long line,
                       struct seki_error *error)
{
    double *values = table->values + table->row_count * (size_t)(table->column_count - 1);

    for (int column = 1; column < table->column_count; column++) {
        char *field = take_field(&cursor), *end;

        if (field == NULL)
            return seki_fail(error, SEKI_BAD_INPUT, "table",
                             "%s:%lu: %d columns; the header has %d", table->path, line, column,
                             table->column_count);
        values[column - 1] = strtod(field, &end);
        if (end == field || *end != '\0' || !isfinite(values[column - 1]))
            values[column - 1] = NAN;
        if (column == table->score && isnan(values[column - 1]))
            return seki_fail(error, SEKI_BAD_INPUT, "table",
                             "%s:%lu: column %s: expected a finite number, found '%.40s'",
                             table->path, line, table->columns[column], field);
    }
    if (cursor != NULL)
        return seki_fail(error, SEKI_BAD_INPUT, "table",
                         "%s:%lu: more columns than the %d of the header", table->path, line,
                         table->column_count);
    return 0;
}

static int take_row(struct seki_table *table, char *text, unsigned long line,
                    struct seki_error *error)
{
    char *cursor = text, printed[SEKI_GENOTYPE_TEXT];
    struct seki_genotype genotype;
    size_t slot;

    if (table->row_count == table->row_capacity && grow(table, error) < 0)
        return -1;
    if (seki_genotype_parse(take_field(&cursor), SEKI_LAX, &genotype, error) < 0)
        return seki_fail_within(error, "%s:%lu", table->path, line);
    if (take_values(table, cursor, line, error) < 0)
        return -1;
    seki_genotype_print(&genotype, printed);
    slot = find_slot(table, printed);
    if (table->slots[slot] != 0)
        return seki_fail(error, SEKI_BAD_INPUT, "table", "%s:%lu: the genotype of line %lu again",
                         table->path, line, table->rows[table->slots[slot] - 1].line);
    table->rows[table->row_count] = (struct row){
        .text = table->texts.length,
        .values = table->row_count * (size_t)(table->column_count - 1),
        .line = line,
    };
    if (seki_buffer_append(&table->texts, printed, strlen(printed) + 1) < 0)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "%s: out of memory", table->path);
    table->slots[slot] = (uint32_t)++table->row_count;
    return 0;
}

static int take_header(struct seki_table *table, const char *line, const char *column,
                       struct seki_error *error)
{
    char *cursor = table->header = strdup(line);

    if (table->header == NULL)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "%s: out of memory", table->path);
    while (cursor != NULL && table->column_count < MAX_COLUMNS)
        table->columns[table->column_count++] = take_field(&cursor);
    table->score = seki_table_column(table, column);
    if (cursor != NULL)
        return seki_fail(error, SEKI_BAD_INPUT, "table", "%s:1: more than %d columns", table->path,
                         MAX_COLUMNS);
    if (table->score >= 1)
        return 0;
    if (table->column_count < 2)
        return seki_fail(error, SEKI_BAD_INPUT, "table",
                         "%s:1: columns separated by tabs were expected, the genotypes' first and "
                         "'%.40s' among the others; this is no table",
                         table->path, column);
    seki_fail(error, SEKI_BAD_USE, "table", "%s: no column '%.40s' after the genotypes; it has",
              table->path, column);
    for (int i = 1; error != NULL && i < table->column_count; i++) {
        size_t used = strlen(error->message);

        snprintf(error->message + used, sizeof error->message - used, "%s%.40s",
                 i == 1 ? " " : ", ", table->columns[i]);
    }
    return -1;
}

/* The file has no further line: why. */
static int ended(gzFile file, const char *path, unsigned long number, struct seki_error *error)
{
    int code;
    const char *why = gzerror(file, &code);

    if (code == Z_OK || code == Z_STREAM_END)
        return 0;
    if (code == Z_ERRNO)
        return seki_fail_errno(error, "table", "%s: cannot read", path);
    return seki_fail(error, SEKI_BAD_INPUT, "table", "%s:%lu: the compressed file is damaged: %s",
                     path, number, code == Z_BUF_ERROR ? "it ends too early" : why);
}

/* 1: a line, its end removed; 0: end; -1: *error. */
static int next_line(gzFile file, char line[MAX_LINE], const char *path, unsigned long number,
                     struct seki_error *error)
{
    size_t length;

    if (gzgets(file, line, MAX_LINE) == NULL)
        return ended(file, path, number, error);
    length = strlen(line);
    if (length == MAX_LINE - 1 && line[length - 1] != '\n')
        return seki_fail(error, SEKI_BAD_INPUT, "table", "%s:%lu: a line longer than %d bytes",
                         path, number, MAX_LINE - 2);
    if ((length == 0 || line[length - 1] != '\n') && ended(file, path, number, error) < 0)
        return -1; /* what is left of a line in a file that is cut */
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
        line[--length] = '\0';
    return 1;
}

static int read_table(struct seki_table *table, gzFile file, const char *column,
                      struct seki_error *error)
{
    char line[MAX_LINE];
    unsigned long number = 1;
    int got = next_line(file, line, table->path, number, error);

    if (got == 0)
        return seki_fail(error, SEKI_BAD_INPUT, "table", "%s: is empty; expected a header line",
                         table->path);
    if (got < 0 || take_header(table, line, column, error) < 0)
        return -1;
    while ((got = next_line(file, line, table->path, ++number, error)) > 0) {
        if (line[0] != '\0' && take_row(table, line, number, error) < 0)
            return -1;
    }
    if (got == 0 && table->row_count == 0)
        return seki_fail(error, SEKI_BAD_INPUT, "table", "%s: has no rows", table->path);
    return got;
}

struct seki_table *seki_table_open(const char *path, const char *column, struct seki_error *error)
{
    struct seki_table *table = seki_allocate(1, sizeof *table, error);
    gzFile file;
    int result;

    if (table == NULL)
        return NULL;
    seki_buffer_init(&table->texts, MAX_TEXT);
    table->path = strdup(path);
    errno = 0;
    file = gzopen(path, "rb");
    if (table->path == NULL || file == NULL) {
        if (errno == 0)
            errno = ENOMEM;
        seki_fail_errno(error, "table", "%s: cannot open", path);
        if (file != NULL)
            gzclose(file);
        seki_table_close(table);
        return NULL;
    }
    gzbuffer(file, 1 << 17);
    result = read_table(table, file, column, error);
    gzclose(file);
    if (result < 0) {
        seki_table_close(table);
        return NULL;
    }
    return table;
}

void seki_table_close(struct seki_table *table)
{
    if (table == NULL)
        return;
    seki_buffer_free(&table->texts);
    free(table->path);
    free(table->header);
    free(table->values);
    free(table->rows);
    free(table->slots);
    free(table);
}

/* ---- Asking ------------------------------------------------------------------------------- */

int seki_table_column(const struct seki_table *table, const char *column)
{
    for (int i = 1; i < table->column_count; i++) {
        if (strcmp(table->columns[i], column) == 0)
            return i;
    }
    return -1;
}

int seki_table_value(const struct seki_table *table, const struct seki_genotype *genotype,
                     int column, double *value, struct seki_error *error)
{
    char text[SEKI_GENOTYPE_TEXT];
    const struct row *row;
    size_t slot;

    if (column < 1 || column >= table->column_count)
        SEKI_BUG("a column that the table does not have");
    seki_genotype_print(genotype, text);
    slot = find_slot(table, text);
    if (table->slots[slot] == 0)
        return seki_fail(error, SEKI_BAD_INPUT, "table", "%s: has no row for this genotype",
                         table->path);
    row = &table->rows[table->slots[slot] - 1];
    *value = table->values[row->values + (size_t)column - 1];
    if (isnan(*value))
        return seki_fail(error, SEKI_BAD_INPUT, "table", "%s:%lu: column %s holds no finite number",
                         table->path, row->line, table->columns[column]);
    return 0;
}

int seki_table_score(const struct seki_table *table, const struct seki_genotype *genotype,
                     double *score, struct seki_error *error)
{
    return seki_table_value(table, genotype, table->score, score, error);
}
