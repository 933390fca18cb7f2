/*
 * options_value.c - the values of options: from text to number, choice or name; and the option that
 * an unknown name may have meant.
 */
#include "base/options_internal.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* "in 1..100"; nothing where the table gives no range (both ends 0). */
static void format_range(const struct seki_option *option, char *out, size_t size)
{
    if (option->minimum == 0 && option->maximum == 0)
        *out = '\0';
    else if (option->maximum >= 1e15)
        snprintf(out, size, " of %.15g or more", option->minimum);
    else
        snprintf(out, size, " in %.15g..%.15g", option->minimum, option->maximum);
}

static bool in_range(const struct seki_option *option, double value)
{
    return (option->minimum == 0 && option->maximum == 0) ||
           (value >= option->minimum && value <= option->maximum);
}

static int refuse(const struct seki_option *option, const char *text, const char *wanted,
                  struct seki_error *error)
{
    char range[96];

    format_range(option, range, sizeof range);
    return seki_fail(error, SEKI_BAD_USE, "options", "option '--%s' needs %s%s, not '%.100s'",
                     option->name, wanted, range, text);
}

/* strtol and strtod pass over spaces and read words; a number on a command line has neither. */
static bool begins_like_number(const char *text, const char *also)
{
    return isdigit((unsigned char)*text) || (*text && strchr(also, *text));
}

static int convert_integer(const struct seki_option *option, const char *text, bool apply,
                           struct seki_error *error)
{
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (!begins_like_number(text, "-") || *end || errno || !in_range(option, (double)value))
        return refuse(option, text, "an integer", error);
    if (apply)
        *(long *)option->value = value;
    return 0;
}

static int convert_number(const struct seki_option *option, const char *text, bool apply,
                          struct seki_error *error)
{
    char *end;
    double value;

    errno = 0;
    value = strtod(text, &end);
    if (!begins_like_number(text, "-.") || strspn(text, "0123456789.eE+-") != strlen(text) ||
        end == text || *end || !isfinite(value) || !in_range(option, value))
        return refuse(option, text, "a number", error);
    if (apply)
        *(double *)option->value = value;
    return 0;
}

static int convert_seed(const struct seki_option *option, const char *text, bool apply,
                        struct seki_error *error)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (!begins_like_number(text, "") || *end || errno || value > UINT64_MAX)
        return seki_fail(error, SEKI_BAD_USE, "options",
                         "option '--%s' needs an integer in 0..18446744073709551615, not '%.100s'",
                         option->name, text);
    if (apply)
        *(uint64_t *)option->value = value;
    return 0;
}

static int convert_choice(const struct seki_option *option, const char *text, bool apply,
                          struct seki_error *error)
{
    const char *choice = option->choices;
    size_t length = strlen(text);

    while (choice && *choice) {
        size_t span = strcspn(choice, "|");

        if (span == length && strncmp(choice, text, length) == 0) {
            if (apply)
                *(const char **)option->value = text;
            return 0;
        }
        choice += span;
        choice += *choice == '|';
    }
    return seki_fail(error, SEKI_BAD_USE, "options", "option '--%s' needs one of %s, not '%.100s'",
                     option->name, option->choices, text);
}

static int convert_string(const struct seki_option *option, const char *text, bool apply,
                          struct seki_error *error)
{
    if (option->type == SEKI_OPTION_FILE && !*text)
        return seki_fail(error, SEKI_BAD_USE, "options", "option '--%s' needs a path, not ''",
                         option->name);
    if (apply)
        *(const char **)option->value = text;
    return 0;
}

int seki_option_convert(const struct seki_option *option, const char *text, bool apply,
                        struct seki_error *error)
{
    switch (option->type) {
    case SEKI_OPTION_STRING:
    case SEKI_OPTION_FILE:
        return convert_string(option, text, apply, error);
    case SEKI_OPTION_CHOICE:
        return convert_choice(option, text, apply, error);
    case SEKI_OPTION_INTEGER:
        return convert_integer(option, text, apply, error);
    case SEKI_OPTION_NUMBER:
        return convert_number(option, text, apply, error);
    case SEKI_OPTION_SEED:
        return convert_seed(option, text, apply, error);
    case SEKI_OPTION_HEADING:
    case SEKI_OPTION_FLAG:
        break;
    }
    SEKI_BUG("a value for an option that takes none");
}

#define LONGEST_NAME 63

/* Levenshtein distance; names longer than LONGEST_NAME are compared by their beginning. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[LONGEST_NAME + 1], columns = strlen(b);

    if (columns > LONGEST_NAME)
        columns = LONGEST_NAME;
    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 0; i < LONGEST_NAME && a[i]; i++) {
        size_t diagonal = row[0];

        row[0] = i + 1;
        for (size_t j = 1; j <= columns; j++) {
            size_t best = diagonal + (a[i] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[columns];
}

const char *seki_option_nearest(const struct seki_program *program, const char *name)
{
    static const char *const always[] = {"help", "version"};
    const char *nearest = NULL;
    size_t best = strlen(name) / 3 + 1; /* a distance of so much or less counts as near */

    if (best > 3)
        best = 3;
    for (const struct seki_option *row = program->options; !seki_option_ends(row); row++) {
        size_t distance =
            row->type == SEKI_OPTION_HEADING ? SIZE_MAX : edit_distance(name, row->name);

        if (distance < best || (distance == best && !nearest)) {
            best = distance;
            nearest = row->name;
        }
    }
    for (size_t i = 0; i < sizeof always / sizeof *always; i++) {
        size_t distance = edit_distance(name, always[i]);

        if (distance < best || (distance == best && !nearest)) {
            best = distance;
            nearest = always[i];
        }
    }
    return nearest;
}
