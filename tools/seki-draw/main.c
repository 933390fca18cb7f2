/*
 * seki-draw - pictures of cells, as DOT for graphviz or as SVG.
 */
#include <string.h>

#include "draw.h"
#include "record/record.h"

#define MAX_DRAWING ((size_t)8 << 20)

struct draw {
    const char *cell, *format;
    struct seki_log log;
    struct seki_buffer dot, svg;
    int drawn;
    bool failed, file_failed;
};

static enum seki_options_result take_options(int argc, char **argv, struct draw *draw, int *first,
                                             struct seki_error *error)
{
    const struct seki_option options[] = {
        {.name = "cell",
         .letter = 'c',
         .type = SEKI_OPTION_CHOICE,
         .value = &draw->cell,
         .argument = "CELL",
         .help = "draw this cell alone; both are drawn without it",
         .choices = "normal|reduce"},
        {.name = "format",
         .letter = 'f',
         .type = SEKI_OPTION_CHOICE,
         .value = &draw->format,
         .argument = "FORMAT",
         .help = "DOT, or SVG laid out by graphviz's dot",
         .choices = "dot|svg"},
        {.name = NULL},
    };
    const struct seki_program program = {
        .name = "seki-draw",
        .summary = "draw the cells of candidates",
        .operands = "[FILE ...]",
        .options = options,
        .max_operands = -1,
    };

    return seki_options_parse(&program, argc, argv, stdout, first, error);
}

static enum which_cell which_cell(const char *name)
{
    if (name == NULL)
        return BOTH_CELLS;
    return strcmp(name, "normal") == 0 ? NORMAL_CELL : REDUCE_CELL;
}

/* Draws into draw->dot and, where asked for, draw->svg. */
static int draw_record(struct draw *draw, const struct seki_record *record,
                       struct seki_error *error)
{
    struct seki_genotype genotype;
    bool svg = strcmp(draw->format, "svg") == 0;

    seki_buffer_clear(&draw->dot);
    if (svg && draw->drawn > 0)
        return seki_fail(error, SEKI_BAD_INPUT, "svg",
                         "an SVG holds one drawing; give one record, or use --format dot");
    if (seki_record_genotype(record, SEKI_LAX, &genotype, error) < 0 ||
        draw_dot(&genotype, which_cell(draw->cell), &draw->dot, error) < 0)
        return -1;
    return svg ? draw_svg(draw->dot.data, draw->dot.length, &draw->svg, error) : 0;
}

/* A record that is no drawing is named, and the next is read. -1: the program cannot go on. */
static int take_record(struct draw *draw, const char *place, const struct seki_record *record,
                       struct seki_output *output, struct seki_error *error)
{
    const char *message = seki_record_string(record, "error.message");
    const struct seki_buffer *drawing = strcmp(draw->format, "svg") == 0 ? &draw->svg : &draw->dot;
    size_t length;

    if (message != NULL && seki_record_has(record, "line")) {
        seki_log_error(&draw->log, "%s",
                       message); /* a line that is no record: it names its place */
        draw->failed = true;
        return 0;
    }
    if (draw_record(draw, record, error) < 0) {
        if (error->kind != SEKI_BAD_INPUT)
            return -1;
        seki_log_error(&draw->log, "%s: %s: %s", place, error->code, error->message);
        draw->failed = true;
        return 0;
    }
    draw->drawn++;
    length = drawing->length;
    if (length > 0 && drawing->data[length - 1] == '\n')
        length--; /* the output adds it */
    return seki_output_line(output, drawing->data, length, error);
}

static int run(struct draw *draw, char **names, int count, struct seki_output *output,
               struct seki_error *error)
{
    struct seki_records *records = seki_records_open(names, count, error);
    struct seki_record *record;
    int got, result = 0;

    if (records == NULL)
        return -1;
    while (result == 0 && !seki_output_gone(output) &&
           (got = seki_records_next(records, &record, error)) != 0) {
        if (got > 0) {
            result = take_record(draw, seki_records_place(records), record, output, error);
        } else {
            seki_log_error(&draw->log, "%s", error->message);
            draw->file_failed = true;
        }
    }
    seki_records_close(records);
    if (result == 0 && draw->drawn == 0 && !draw->failed && !draw->file_failed &&
        strcmp(draw->format, "svg") == 0) {
        seki_log_error(&draw->log, "the input holds no record; an SVG needs one");
        draw->failed = true;
    }
    return result;
}

int main(int argc, char **argv)
{
    struct draw draw = {.format = "dot", .log = {.program = "seki-draw"}};
    struct seki_output *output;
    struct seki_error error;
    int first, result = -1;

    switch (take_options(argc, argv, &draw, &first, &error)) {
    case SEKI_OPTIONS_DONE:
        return 0;
    case SEKI_OPTIONS_WRONG:
        return seki_log_usage(&draw.log, &error);
    case SEKI_OPTIONS_RUN:
        break;
    }
    seki_buffer_init(&draw.dot, MAX_DRAWING);
    seki_buffer_init(&draw.svg, MAX_DRAWING);
    output = seki_output_open(&error);
    if (output != NULL) {
        result = run(&draw, argv + first, argc - first, output, &error);
        if (seki_output_close(output, result == 0 ? &error : NULL) < 0)
            result = -1;
    }
    seki_buffer_free(&draw.dot);
    seki_buffer_free(&draw.svg);
    if (result < 0) {
        seki_log_error(&draw.log, "%s", error.message);
        return seki_error_status(&error);
    }
    return draw.file_failed ? 3 : draw.failed ? 1 : 0;
}
