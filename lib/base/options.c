/*
 * options.c - reads a command line into the variables of a program's table of options.
 *
 * It is read twice: first only checked, so that --help shows the defaults whatever stands before
 * it and a wrong command line changes no variable, then applied.
 */
#include "base/options_internal.h"

#include <string.h>

struct parser {
    const struct seki_program *program;
    int argc;
    char **argv;
    int index;    /* of the argument being read */
    int operands; /* found so far; after the second reading they are at argv[1] and on */
    bool apply;
    void (*print)(const struct seki_program *program, FILE *out); /* asked for by --help, … */
    struct seki_error *error;
};

/* What a long option's name stands for. */
struct match {
    const struct seki_option *option;
    bool negated;
    void (*print)(const struct seki_program *program, FILE *out);
    int candidates; /* names that begin so; 1 where exact */
};

static int wrong(struct parser *parser, const char *format, ...) SEKI_PRINTF(2, 3);

static int wrong(struct parser *parser, const char *format, ...)
{
    char text[320];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return seki_fail(parser->error, SEKI_BAD_USE, "options", "%s", text);
}

/* Compares what was typed, `length` bytes, with a name; returns whether it is the whole name. */
static bool compare(struct match *match, const char *typed, size_t length, const char *name,
                    const struct match *meant)
{
    if (strncmp(typed, name, length) != 0)
        return false;
    if (name[length] == '\0') {
        *match = *meant;
        match->candidates = 1;
        return true;
    }
    if (match->candidates++ == 0) {
        int candidates = match->candidates;

        *match = *meant;
        match->candidates = candidates;
    }
    return false;
}

static bool compare_negated(struct match *match, const char *typed, size_t length,
                            const struct seki_option *row)
{
    const struct match meant = {.option = row, .negated = true};

    if (row->type != SEKI_OPTION_FLAG)
        return false;
    if (length <= 3)
        return false; /* "no-" alone is no beginning of a name */
    return strncmp(typed, "no-", 3) == 0 &&
           compare(match, typed + 3, length - 3, row->name, &meant);
}

static struct match find_long(const struct seki_program *program, const char *typed, size_t length)
{
    const struct match help = {.print = seki_options_print_help};
    const struct match version = {.print = seki_options_print_version};
    const struct match dump = {.print = seki_options_dump};
    struct match match = {0}, negated = {0};
    const struct seki_option *row;

    for (row = program->options; !seki_option_ends(row); row++) {
        const struct match meant = {.option = row};

        if (row->type != SEKI_OPTION_HEADING && compare(&match, typed, length, row->name, &meant))
            return match;
    }
    if (compare(&match, typed, length, "help", &help) ||
        compare(&match, typed, length, "version", &version))
        return match;
    if (length == strlen("dump-options") && strncmp(typed, "dump-options", length) == 0)
        return dump;
    if (match.candidates)
        return match;
    for (row = program->options; !seki_option_ends(row); row++)
        if (row->type != SEKI_OPTION_HEADING && compare_negated(&negated, typed, length, row))
            break;
    return negated;
}

static const struct seki_option *find_short(const struct seki_program *program, char letter)
{
    const struct seki_option *row;

    for (row = program->options; !seki_option_ends(row); row++)
        if (row->type != SEKI_OPTION_HEADING && row->letter == letter)
            return row;
    return NULL;
}

static int set_flag(struct parser *parser, const struct seki_option *option, bool value)
{
    if (!parser->apply)
        return 0;
    *(bool *)option->value = value;
    if (option->given)
        *option->given = true;
    return 0;
}

/* value NULL: it is the next argument. */
static int set_value(struct parser *parser, const struct seki_option *option, const char *value)
{
    if (!value) {
        if (parser->index + 1 >= parser->argc)
            return wrong(parser, "option '--%s' needs a value: %s", option->name,
                         option->argument ? option->argument : "VALUE");
        value = parser->argv[++parser->index];
    }
    if (seki_option_convert(option, value, parser->apply, parser->error) < 0)
        return -1;
    if (parser->apply && option->given)
        *option->given = true;
    return 0;
}

static int unknown_long(struct parser *parser, const char *typed, int length)
{
    char name[64];
    const char *nearest;

    snprintf(name, sizeof name, "%.*s", length, typed);
    nearest = seki_option_nearest(parser->program, name);
    if (nearest)
        return wrong(parser, "unknown option '--%.*s'; did you mean '--%s'?", length, typed,
                     nearest);
    return wrong(parser, "unknown option '--%.*s'", length, typed);
}

/* typed: what follows the two dashes. */
static int read_long(struct parser *parser, const char *typed)
{
    size_t length = strcspn(typed, "=");
    const char *value = typed[length] ? typed + length + 1 : NULL;
    struct match match = find_long(parser->program, typed, length);
    int shown = length < 100 ? (int)length : 100;

    if (match.candidates > 1)
        return wrong(parser, "option '--%.*s' could be several; write more of it", shown, typed);
    if (!match.option && !match.print)
        return unknown_long(parser, typed, shown);
    if (match.option && match.option->type != SEKI_OPTION_FLAG)
        return set_value(parser, match.option, value);
    if (value)
        return wrong(parser, "option '--%.*s' takes no value", shown, typed);
    if (match.option)
        return set_flag(parser, match.option, !match.negated);
    parser->print = match.print;
    return 0;
}

/* letters: what follows the dash: flags, and at the end an option with its value. */
static int read_short(struct parser *parser, const char *letters)
{
    for (; *letters; letters++) {
        const struct seki_option *option = find_short(parser->program, *letters);

        if (!option)
            return wrong(parser, "unknown option '-%c'", *letters);
        if (option->type != SEKI_OPTION_FLAG)
            return set_value(parser, option, letters[1] ? letters + 1 : NULL);
        set_flag(parser, option, true);
    }
    return 0;
}

static int read_operand(struct parser *parser, char *text)
{
    int most = parser->program->max_operands;

    if (most >= 0 && parser->operands >= most)
        return wrong(parser, "unexpected operand '%s'", text);
    parser->operands++;
    /* Never before its own place: a slot that has been read already. */
    if (parser->apply)
        parser->argv[parser->operands] = text;
    return 0;
}

static int read_all(struct parser *parser)
{
    bool ended = false; /* by -- */

    for (parser->index = 1; parser->index < parser->argc; parser->index++) {
        char *text = parser->argv[parser->index];
        int result;

        if (ended || text[0] != '-' || text[1] == '\0') {
            result = read_operand(parser, text);
        } else if (strcmp(text, "--") == 0) {
            ended = true;
            continue;
        } else if (text[1] == '-') {
            result = read_long(parser, text + 2);
        } else {
            result = read_short(parser, text + 1);
        }
        if (result < 0)
            return -1;
        if (parser->print)
            return 0;
    }
    return 0;
}

enum seki_options_result seki_options_parse(const struct seki_program *program, int argc,
                                            char **argv, FILE *out, int *first_operand,
                                            struct seki_error *error)
{
    struct parser check = {.program = program, .argc = argc, .argv = argv, .error = error};
    struct parser apply = check;

    if (read_all(&check) < 0)
        return SEKI_OPTIONS_WRONG;
    if (check.print) {
        check.print(program, out);
        if (fflush(out) == 0 && !ferror(out))
            return SEKI_OPTIONS_DONE;
        seki_fail_errno(error, "output", "standard output: cannot write");
        return SEKI_OPTIONS_WRONG;
    }
    apply.apply = true;
    if (read_all(&apply) < 0)
        SEKI_BUG("a command line read differently the second time");
    *first_operand = argc > 0 ? argc - apply.operands : 0;
    memmove(argv + *first_operand, argv + 1, (size_t)apply.operands * sizeof *argv);
    return SEKI_OPTIONS_RUN;
}
