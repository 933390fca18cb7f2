/*
 * options_help.c - what a table of options prints: --help, --version, --dump-options.
 */
#include "base/options_internal.h"

#include <string.h>

#define HELP_COLUMN 28
#define LINE_WIDTH  80

static const struct seki_option standard_options[] = {
    {.name = "help", .type = SEKI_OPTION_FLAG, .help = "print this help and end"},
    {.name = "version", .type = SEKI_OPTION_FLAG, .help = "print the version and end"},
};

/* Prints text from `column` on, broken at spaces before the line's width, the next lines indented.
 */
static void print_wrapped(FILE *out, const char *text, int column)
{
    bool first = true;

    while (*text) {
        int length = (int)strcspn(text, " ");

        if (!first && column + 1 + length > LINE_WIDTH) {
            fprintf(out, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (!first) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", length, text);
        column += length;
        text += length;
        text += strspn(text, " ");
        first = false;
    }
    fputc('\n', out);
}

static bool has_range(const struct seki_option *row)
{
    return row->minimum != 0 || row->maximum != 0;
}

/* "1..100, default 8". A default out of range is a program's mark for "not given": none is shown.
 */
static void format_number(const struct seki_option *row, double value, char *out, size_t size)
{
    char range[64] = "", chosen[48] = "";

    if (has_range(row) && row->maximum < 1e15)
        snprintf(range, sizeof range, "%.15g..%.15g", row->minimum, row->maximum);
    if (!has_range(row) || (value >= row->minimum && value <= row->maximum))
        snprintf(chosen, sizeof chosen, "default %.6g", value);
    snprintf(out, size, "%s%s%s", range, *range && *chosen ? ", " : "", chosen);
}

/* What stands in parentheses behind the help: choices or range, and the default. */
static void format_remark(const struct seki_option *row, char *out, size_t size)
{
    const char *string = NULL;

    *out = '\0';
    switch (row->type) {
    case SEKI_OPTION_FLAG:
        if (row->value && *(const bool *)row->value)
            snprintf(out, size, "on by default, --no-%s turns it off", row->name);
        break;
    case SEKI_OPTION_STRING:
    case SEKI_OPTION_FILE:
    case SEKI_OPTION_CHOICE:
        string = *(const char *const *)row->value;
        snprintf(out, size, "%s%s%s%s", row->choices ? row->choices : "",
                 row->choices && string ? ", " : "", string ? "default " : "",
                 string ? string : "");
        break;
    case SEKI_OPTION_INTEGER:
        format_number(row, (double)*(const long *)row->value, out, size);
        break;
    case SEKI_OPTION_NUMBER:
        format_number(row, *(const double *)row->value, out, size);
        break;
    case SEKI_OPTION_SEED:
        snprintf(out, size, "default %llu", (unsigned long long)*(const uint64_t *)row->value);
        break;
    case SEKI_OPTION_HEADING:
        break;
    }
}

static void print_row(const struct seki_option *row, FILE *out)
{
    char letter[8] = "   ", left[128], remark[192], text[512];
    int column;

    if (row->letter)
        snprintf(letter, sizeof letter, "-%c,", row->letter);
    snprintf(left, sizeof left, "  %s --%s%s%s", letter, row->name, row->argument ? " " : "",
             row->argument ? row->argument : "");
    format_remark(row, remark, sizeof remark);
    snprintf(text, sizeof text, "%s%s%s%s", row->help ? row->help : "", *remark ? " (" : "", remark,
             *remark ? ")" : "");
    column = fprintf(out, "%-*s", HELP_COLUMN, left);
    if (strlen(left) > HELP_COLUMN - 2) {
        fprintf(out, "\n%*s", HELP_COLUMN, "");
        column = HELP_COLUMN;
    }
    print_wrapped(out, text, column);
}

void seki_options_print_help(const struct seki_program *program, FILE *out)
{
    const struct seki_option *row = program->options;
    bool operands = program->operands && *program->operands;

    fprintf(out, "Usage: %s [OPTION ...]%s%s\n\n", program->name, operands ? " " : "",
            operands ? program->operands : "");
    fprintf(out, "%s\n", program->summary);
    if (!seki_option_ends(row) && row->type != SEKI_OPTION_HEADING)
        fputs("\nOptions:\n", out);
    for (; !seki_option_ends(row); row++) {
        if (row->type == SEKI_OPTION_HEADING)
            fprintf(out, "\n%s:\n", row->help);
        else
            print_row(row, out);
    }
    fputc('\n', out);
    for (size_t i = 0; i < sizeof standard_options / sizeof *standard_options; i++)
        print_row(&standard_options[i], out);
}

void seki_options_print_version(const struct seki_program *program, FILE *out)
{
    fprintf(out, "%s (seki) %s\n", program->name, SEKI_VERSION);
}

static const char *type_name(enum seki_option_type type)
{
    switch (type) {
    case SEKI_OPTION_HEADING:
        return "heading";
    case SEKI_OPTION_FLAG:
        return "flag";
    case SEKI_OPTION_STRING:
        return "string";
    case SEKI_OPTION_FILE:
        return "file";
    case SEKI_OPTION_CHOICE:
        return "choice";
    case SEKI_OPTION_INTEGER:
        return "integer";
    case SEKI_OPTION_NUMBER:
        return "number";
    case SEKI_OPTION_SEED:
        return "seed";
    }
    SEKI_BUG("an option without a type");
}

static void dump_row(const struct seki_option *row, FILE *out)
{
    const char letter[2] = {row->letter, '\0'};

    fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\n", row->name, letter, type_name(row->type),
            row->argument ? row->argument : "", row->choices ? row->choices : "",
            row->help ? row->help : "");
}

void seki_options_dump(const struct seki_program *program, FILE *out)
{
    for (const struct seki_option *row = program->options; !seki_option_ends(row); row++)
        if (row->type != SEKI_OPTION_HEADING)
            dump_row(row, out);
    for (size_t i = 0; i < sizeof standard_options / sizeof *standard_options; i++)
        dump_row(&standard_options[i], out);
}
