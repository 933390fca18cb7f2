/*
 * test_base_options.c - command lines: what they set, what is refused, what is printed.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MOST_WORDS 12

struct values {
    long count;
    double temperature;
    uint64_t seed;
    const char *model, *repository, *format;
    bool quiet, strategy, force, given;
};

struct outcome {
    struct values values;
    enum seki_options_result result;
    struct seki_error error;
    char *printed;                      /* freed by the caller */
    char operands[128];                 /* each followed by a '|' */
    char command_line[64 * MOST_WORDS]; /* where the words lie */
};

/* Reads a command line, words separated by single spaces, with the table of a made-up program. */
static void read_line(const char *line, struct outcome *outcome)
{
    struct values *v = &outcome->values;
    const struct seki_option options[] = {
        {.type = SEKI_OPTION_HEADING, .help = "Choosing"},
        {"count", 'n', SEKI_OPTION_INTEGER, &v->count, "COUNT", "how many", NULL, 1, 1000,
         &v->given},
        {"temperature", 't', SEKI_OPTION_NUMBER, &v->temperature, "X", "spread", NULL, -2, 2, NULL},
        {"seed", 0, SEKI_OPTION_SEED, &v->seed, "N", "the seed", NULL, 0, 0, NULL},
        {.type = SEKI_OPTION_HEADING, .help = "Places"},
        {"model", 'm', SEKI_OPTION_STRING, &v->model, "NAME", "the model", NULL, 0, 0, NULL},
        {"repository", 0, SEKI_OPTION_FILE, &v->repository, "FILE", "the file", NULL, 0, 0, NULL},
        {"format", 0, SEKI_OPTION_CHOICE, &v->format, "FORMAT", "the form", "schema|text", 0, 0,
         NULL},
        {"quiet", 'q', SEKI_OPTION_FLAG, &v->quiet, NULL, "say less", NULL, 0, 0, NULL},
        {"force", 'f', SEKI_OPTION_FLAG, &v->force, NULL, "do it again", NULL, 0, 0, NULL},
        {"strategy", 0, SEKI_OPTION_FLAG, &v->strategy, NULL, "ask for one", NULL, 0, 0, NULL},
        {.name = NULL},
    };
    const struct seki_program program = {"seki-try", "tries options", "[FILE ...]", options, 3};
    char *argv[MOST_WORDS + 2] = {"seki-try"}, *word;
    int argc = 1, first = -1;
    size_t size;
    FILE *out = open_memstream(&outcome->printed, &size);

    assert_non_null(out);
    *v = (struct values){.count = 7, .temperature = 0.5, .format = "schema", .strategy = true};
    snprintf(outcome->command_line, sizeof outcome->command_line, "%s", line);
    for (word = outcome->command_line; *line && word; argc++) {
        argv[argc] = word;
        word = strchr(word, ' ');
        if (word)
            *word++ = '\0';
    }
    outcome->operands[0] = '\0';
    outcome->error.message[0] = '\0';
    outcome->result = seki_options_parse(&program, argc, argv, out, &first, &outcome->error);
    fclose(out);
    for (int i = first; outcome->result == SEKI_OPTIONS_RUN && i < argc; i++) {
        size_t used = strlen(outcome->operands);

        snprintf(outcome->operands + used, sizeof outcome->operands - used, "%s|", argv[i]);
    }
}

static void operands_and_values_are_read(void **state)
{
    static const struct {
        const char *line, *operands;
        long count;
        double temperature;
        const char *model;
    } cases[] = {
        {"", "", 7, 0.5, NULL},
        {"a -n5 b", "a|b|", 5, 0.5, NULL},
        {"-n 5 --temperature=-1.5 a", "a|", 5, -1.5, NULL},
        {"a -t -2 - b", "a|-|b|", 7, -2, NULL},
        {"--count 5 -- --count -n", "--count|-n|", 5, 0.5, NULL},
        {"--cou 5 --temp 1e-3", "", 5, 1e-3, NULL},
        {"-qfn12 -mgpt", "", 12, 0.5, "gpt"},
        {"-qm -n x", "x|", 7, 0.5, "-n"},
        {"--model= a b c", "a|b|c|", 7, 0.5, ""},
        {"--model=a=b", "", 7, 0.5, "a=b"},
        {"-n 1 -n 2 --count=3", "", 3, 0.5, NULL},
        {"--model --help", "", 7, 0.5, "--help"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome o;

        read_line(cases[i].line, &o);
        if (o.result != SEKI_OPTIONS_RUN)
            fail_msg("'%s': %s", cases[i].line, o.error.message);
        assert_string_equal(o.operands, cases[i].operands);
        assert_int_equal(o.values.count, cases[i].count);
        assert_true(o.values.temperature == cases[i].temperature);
        assert_int_equal(o.values.given, o.values.count != 7);
        if (cases[i].model)
            assert_string_equal(o.values.model, cases[i].model);
        else
            assert_null(o.values.model);
        assert_string_equal(o.printed, "");
        free(o.printed);
    }
}

static void flags_are_set_and_unset(void **state)
{
    static const struct {
        const char *line;
        bool quiet, force, strategy;
    } cases[] = {
        {"", false, false, true},
        {"-q", true, false, true},
        {"-fq --no-strategy", true, true, false},
        {"--quiet --no-quiet", false, false, true},
        {"--no-strat --strategy", false, false, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome o;

        read_line(cases[i].line, &o);
        assert_int_equal(o.result, SEKI_OPTIONS_RUN);
        assert_int_equal(o.values.quiet, cases[i].quiet);
        assert_int_equal(o.values.force, cases[i].force);
        assert_int_equal(o.values.strategy, cases[i].strategy);
        free(o.printed);
    }
}

static void wrong_lines_are_refused_with_what_was_expected(void **state)
{
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"--cuont 5", "unknown option '--cuont'; did you mean '--count'?"},
        {"--hlep", "unknown option '--hlep'; did you mean '--help'?"},
        {"--unheard-of", "unknown option '--unheard-of'"},
        {"-x", "unknown option '-x'"},
        {"-qx", "unknown option '-x'"},
        {"--fo", "option '--fo' could be several; write more of it"},
        {"-n", "option '--count' needs a value: COUNT"},
        {"--model", "option '--model' needs a value: NAME"},
        {"--quiet=yes", "option '--quiet' takes no value"},
        {"--no-model", "unknown option '--no-model'; did you mean '--model'?"},
        {"--no-", "unknown option '--no-'"},
        {"-n 0", "option '--count' needs an integer in 1..1000, not '0'"},
        {"-n 1001", "option '--count' needs an integer in 1..1000, not '1001'"},
        {"-n 5x", "option '--count' needs an integer in 1..1000, not '5x'"},
        {"-n 0x5", "option '--count' needs an integer in 1..1000, not '0x5'"},
        {"-n +5", "option '--count' needs an integer in 1..1000, not '+5'"},
        {"-n 5.0", "option '--count' needs an integer in 1..1000, not '5.0'"},
        {"--count=", "option '--count' needs an integer in 1..1000, not ''"},
        {"-n 99999999999999999999", "option '--count' needs an integer in 1..1000, not "
                                    "'99999999999999999999'"},
        {"-t nan", "option '--temperature' needs a number in -2..2, not 'nan'"},
        {"-t inf", "option '--temperature' needs a number in -2..2, not 'inf'"},
        {"-t 0x1", "option '--temperature' needs a number in -2..2, not '0x1'"},
        {"-t 1e999", "option '--temperature' needs a number in -2..2, not '1e999'"},
        {"-t 2.01", "option '--temperature' needs a number in -2..2, not '2.01'"},
        {"-t -", "option '--temperature' needs a number in -2..2, not '-'"},
        {"--seed -1", "option '--seed' needs an integer in 0..18446744073709551615, not '-1'"},
        {"--seed 18446744073709551616", "option '--seed' needs an integer in "
                                        "0..18446744073709551615, not '18446744073709551616'"},
        {"--format json", "option '--format' needs one of schema|text, not 'json'"},
        {"--format schema|text", "option '--format' needs one of schema|text, not 'schema|text'"},
        {"--repository=", "option '--repository' needs a path, not ''"},
        {"a b c d", "unexpected operand 'd'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome o;

        read_line(cases[i].line, &o);
        assert_int_equal(o.result, SEKI_OPTIONS_WRONG);
        assert_string_equal(o.error.message, cases[i].message);
        assert_int_equal(o.error.kind, SEKI_BAD_USE);
        assert_string_equal(o.printed, "");
        free(o.printed);
    }
}

static void a_wrong_line_changes_no_variable(void **state)
{
    struct outcome o;

    (void)state;
    read_line("-q -n 5 --seed 9 --bad", &o);
    assert_int_equal(o.result, SEKI_OPTIONS_WRONG);
    assert_int_equal(o.values.count, 7);
    assert_int_equal(o.values.seed, 0);
    assert_false(o.values.quiet);
    assert_false(o.values.given);
    free(o.printed);
}

static void seeds_use_all_their_64_bits(void **state)
{
    struct outcome o;

    (void)state;
    read_line("--seed 18446744073709551615", &o);
    assert_int_equal(o.result, SEKI_OPTIONS_RUN);
    assert_int_equal(o.values.seed, UINT64_MAX);
    free(o.printed);
}

static void help_shows_the_table_and_its_defaults(void **state)
{
    static const char expected[] =
        "Usage: seki-try [OPTION ...] [FILE ...]\n"
        "\n"
        "tries options\n"
        "\n"
        "Choosing:\n"
        "  -n, --count COUNT         how many (1..1000, default 7)\n"
        "  -t, --temperature X       spread (-2..2, default 0.5)\n"
        "      --seed N              the seed (default 0)\n"
        "\n"
        "Places:\n"
        "  -m, --model NAME          the model\n"
        "      --repository FILE     the file\n"
        "      --format FORMAT       the form (schema|text, default schema)\n"
        "  -q, --quiet               say less\n"
        "  -f, --force               do it again\n"
        "      --strategy            ask for one (on by default, --no-strategy turns it\n"
        "                            off)\n"
        "\n"
        "      --help                print this help and end\n"
        "      --version             print the version and end\n";
    struct outcome o;

    (void)state;
    read_line("-n 9 --help --bad", &o);
    assert_int_equal(o.result, SEKI_OPTIONS_DONE);
    assert_string_equal(o.printed, expected);
    assert_int_equal(o.values.count, 7);
    free(o.printed);
}

static void version_and_table_are_printed(void **state)
{
    struct outcome o;

    (void)state;
    read_line("--version", &o);
    assert_int_equal(o.result, SEKI_OPTIONS_DONE);
    assert_string_equal(o.printed, "seki-try (seki) " SEKI_VERSION "\n");
    free(o.printed);
    read_line("--dump-options", &o);
    assert_int_equal(o.result, SEKI_OPTIONS_DONE);
    assert_non_null(strstr(o.printed, "count\tn\tinteger\tCOUNT\t\thow many\n"));
    assert_non_null(strstr(o.printed, "format\t\tchoice\tFORMAT\tschema|text\tthe form\n"));
    assert_null(strstr(o.printed, "Choosing"));
    free(o.printed);
}

static void a_help_that_cannot_be_printed_is_an_error(void **state)
{
    const struct seki_option options[] = {{.name = NULL}};
    const struct seki_program program = {"seki-try", "tries", "", options, 0};
    char *argv[] = {"seki-try", "--help", NULL};
    struct seki_error error;
    int first;
    FILE *full = fopen("/dev/full", "w");

    (void)state;
    assert_non_null(full);
    assert_int_equal(seki_options_parse(&program, 2, argv, full, &first, &error),
                     SEKI_OPTIONS_WRONG);
    assert_int_equal(error.kind, SEKI_NO_RESOURCE);
    fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_and_values_are_read),
        cmocka_unit_test(flags_are_set_and_unset),
        cmocka_unit_test(wrong_lines_are_refused_with_what_was_expected),
        cmocka_unit_test(a_wrong_line_changes_no_variable),
        cmocka_unit_test(seeds_use_all_their_64_bits),
        cmocka_unit_test(help_shows_the_table_and_its_defaults),
        cmocka_unit_test(version_and_table_are_printed),
        cmocka_unit_test(a_help_that_cannot_be_printed_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
