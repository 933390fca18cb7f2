/*
 * Tests of lib/record: members set and read, all else kept to the byte; hostile lines; streams.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record/record.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define NAS          "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|"

static struct seki_record *parse(const char *text)
{
    struct seki_error error;
    struct seki_record *record = seki_record_parse(text, strlen(text), &error);

    if (record == NULL)
        fail_msg("%s: %s", text, error.message);
    return record;
}

static void expect_text(struct seki_record *record, const char *expected)
{
    size_t length;
    const char *text = seki_record_text(record, &length, NULL);

    assert_string_equal(text, expected);
    assert_int_equal(length, strlen(expected));
}

static void what_came_in_goes_out_to_the_byte(void **state)
{
    static const char *const lines[] = {
        "{}",
        "{ }",
        "{\"score\":1.50e1 , \"x\" : [1.0,{\"y\":-0,\"z\":[]}]}",
        "{ \"big\":123456789012345678901234567890}",
        "{\"a\": \"\\u00e9\\/\\n\\\"}{][\", \"\\u0062\": null, \"caf\xc3\xa9\": true, \"t\":1E+2}",
        "{\"\": {\"\": \"\"}, \".\": 0.1000000000000000055511151231257827}",
        "{\"\xf0\x9f\x98\x80\":\"\xed\x9f\xbf\", \"surrogates\": \"\\ud83d\\ude00\"}",
    };

    (void)state;
    for (int i = 0; i < COUNT(lines); i++) {
        struct seki_record *record = parse(lines[i]), *copy;
        char padded[512];

        expect_text(record, lines[i]);
        copy = seki_record_copy(record, NULL);
        expect_text(copy, lines[i]);
        seki_record_free(record);
        seki_record_free(copy);
        snprintf(padded, sizeof padded, " \t%s \r", lines[i]);
        record = parse(padded);
        expect_text(record, lines[i]);
        seki_record_free(record);
    }
}

static void members_are_read_by_path(void **state)
{
    struct seki_record *record = parse("{\"score\": 93.5, \"name\": \"caf\\u00e9\", \"metrics\": "
                                       "{\"params\": 3349342, \"scorer\": \"t\"}, "
                                       "\"\\u006fdd\": 1, \"null\": null, \"list\": [1, 2], "
                                       "\"big\": 123456789012345678901234567890}");
    const char *name;
    double value;
    size_t length;

    (void)state;
    assert_true(seki_record_number(record, "score", &value) && value == 93.5);
    assert_true(seki_record_number(record, "metrics.params", &value) && value == 3349342);
    assert_true(seki_record_number(record, "big", &value) &&
                value == 123456789012345678901234567890.0);
    assert_true(seki_record_number(record, "odd", &value) && value == 1); /* its key is escaped */
    assert_false(seki_record_number(record, "name", &value));
    assert_false(seki_record_number(record, "metrics", &value));
    assert_false(seki_record_number(record, "score.x", &value));
    assert_false(seki_record_number(record, "none", &value));
    name = seki_record_string(record, "name");
    assert_string_equal(name, "caf\xc3\xa9");
    assert_string_equal(seki_record_string(record, "metrics.scorer"), "t");
    assert_ptr_equal(seki_record_string(record, "name"), name); /* it lasts */
    assert_null(seki_record_string(record, "score"));
    assert_true(seki_record_has(record, "null") && seki_record_has(record, "metrics.scorer"));
    assert_false(seki_record_has(record, "metrics.name"));
    assert_false(seki_record_has(record, "list.0"));
    assert_memory_equal(seki_record_json(record, "list", &length), "[1, 2]", 6);
    assert_int_equal(length, 6);
    assert_null(seki_record_json(record, "lis", &length));
    seki_record_free(record);
}

static void what_is_set_keeps_its_place_and_the_rest_its_bytes(void **state)
{
    static const char *const parents[] = {"a", "b\"c"};
    struct seki_record *record =
        parse("{\"x\":1.50,\"score\" : 1 ,\"metrics\":{ \"a\":7 },\"y\":[ ]}");
    struct seki_error error;

    (void)state;
    assert_int_equal(seki_record_set_number(record, "score", 93.25, &error), 0);
    expect_text(record, "{\"x\":1.50,\"score\" : 93.25 ,\"metrics\":{ \"a\":7 },\"y\":[ ]}");
    assert_int_equal(seki_record_set_number(record, "metrics.params", 3349342, &error), 0);
    assert_int_equal(seki_record_set_string(record, "metrics.a", "\n\xc3\xa9\x7f\x01", &error), 0);
    expect_text(record,
                "{\"x\":1.50,\"score\" : 93.25 ,\"metrics\":{ \"a\":\"\\n\xc3\xa9\x7f\\u0001\", "
                "\"params\": 3349342 },\"y\":[ ]}");
    assert_int_equal(seki_record_set_strings(record, "parents", parents, 2, &error), 0);
    assert_int_equal(seki_record_set_strings(record, "none", parents, 0, &error), 0);
    assert_int_equal(seki_record_set_string(record, "proposer.stage", "evolution", &error), 0);
    seki_record_remove(record, "metrics");
    seki_record_remove(record, "x");
    seki_record_remove(record, "missing");
    seki_record_remove(record, "missing.too");
    expect_text(record,
                "{\"score\" : 93.25,\"y\":[ ], \"parents\": [\"a\", \"b\\\"c\"], \"none\": [], "
                "\"proposer\": {\"stage\": \"evolution\"}}");
    seki_record_remove(record, "proposer.stage");
    seki_record_remove(record, "none");
    assert_int_equal(seki_record_set_json(record, "y", "{\n\t\"k\": [1,\r\n2]}", &error), 0);
    expect_text(record,
                "{\"score\" : 93.25,\"y\":{ \t\"k\": [1,  2]}, \"parents\": [\"a\", \"b\\\"c\"], "
                "\"proposer\": {}}");
    assert_int_equal(seki_record_set_number(record, "proposer.cost", 0, &error), 0);
    assert_int_equal(seki_record_set_number(record, "y.k", 2, &error), 0);
    expect_text(record, "{\"score\" : 93.25,\"y\":{ \t\"k\": 2}, \"parents\": [\"a\", \"b\\\"c\"], "
                        "\"proposer\": {\"cost\": 0}}");
    for (int i = 0; i < 4; i++)
        seki_record_remove(record, ((const char *[]){"score", "y", "parents", "proposer"})[i]);
    expect_text(record, "{}");
    seki_record_free(record);
}

static void what_cannot_be_set_changes_nothing(void **state)
{
    struct seki_record *record = parse("{\"metrics\": 5, \"gone\": null}");
    struct seki_error error;
    char *huge = malloc(SEKI_MAX_LINE + 1);

    (void)state;
    assert_int_equal(seki_record_set_number(record, "score", NAN, &error), -1);
    assert_int_equal(seki_record_set_number(record, "score", INFINITY, &error), -1);
    assert_int_equal(seki_record_set_string(record, "s", "\xff", &error), -1);
    assert_int_equal(seki_record_set_json(record, "s", "{", &error), -1);
    assert_int_equal(seki_record_set_json(record, "s", "1 2", &error), -1);
    assert_int_equal(seki_record_set_json(record, "s", "", &error), -1);
    assert_int_equal(seki_record_set_number(record, "metrics.params", 1, &error), -1);
    assert_string_equal(error.message, "member 'metrics' is not an object");
    memset(huge, 'x', SEKI_MAX_LINE);
    huge[SEKI_MAX_LINE] = '\0';
    assert_int_equal(seki_record_set_string(record, "s", huge, &error), -1);
    expect_text(record, "{\"metrics\": 5, \"gone\": null}");
    assert_int_equal(seki_record_set_number(record, "gone.x", 1, &error), 0);
    expect_text(record, "{\"metrics\": 5, \"gone\": {\"x\": 1}}");
    free(huge);
    seki_record_free(record);
}

static void numbers_have_the_fewest_digits_that_read_back(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.1, "0.1"},
        {3349342, "3349342"},
        {528359040, "528359040"},
        {-3, "-3"},
        {0, "0"},
        {1.0 / 3, "0.3333333333333333"},
        {93.83, "93.83"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e22, "1e+22"},
        {5e-324, "4.94065645841247e-324"},
        {1.7976931348623157e308, NULL},
        {123456789012345.0, "123456789012345"},
        {9007199254740993.0, NULL},
        {-0.0, "-0"},
        {2.5e-7, "2.5e-07"},
    };
    struct seki_record *record = seki_record_new(NULL);

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        size_t length;
        const char *text;
        double back;

        assert_int_equal(seki_record_set_number(record, "x", cases[i].value, NULL), 0);
        text = seki_record_json(record, "x", &length);
        if (cases[i].text != NULL)
            assert_true(length == strlen(cases[i].text) &&
                        memcmp(text, cases[i].text, length) == 0);
        assert_true(seki_record_number(record, "x", &back) && back == cases[i].value);
    }
    seki_record_free(record);
}

static void hostile_lines_are_refused(void **state)
{
    static const struct {
        const char *text, *code, *message;
    } cases[] = {
        {"", "json", "column 1: expected a JSON object"},
        {"<html>", "json", "expected a JSON object {…} or a genotype, found '<html>'"},
        {"[1]", "json", "expected a JSON object"},
        {"\"x\"", "json", "expected a JSON object"},
        {"{\"a\":1", "json", "column 6"},
        {"{\"a\":1} x", "json", "end of file expected"},
        {"{\"a\":1}{\"a\":2}", "json", "end of file expected"},
        {"{\"a\":1, \"a\":2}", "json", "duplicate object key"},
        {"{\"a\":1, \"\\u0061\":2}", "json", "duplicate object key"},
        {"{\"o\":{\"a\":1, \"a\":1}}", "json", "duplicate object key"},
        {"{\"score\": NaN}", "json", "JSON has no NaN"},
        {"{\"score\": -Infinity}", "json", "JSON has no NaN and no Infinity"},
        {"{\"NaN\": nope}", "json", "invalid token near 'nope'"},
        {"{\"score\": 1e999}", "json", "real number overflow"},
        {"{\"a\": 01}", "json", "column"},
        {"{\"a\": .5}", "json", "column"},
        {"{\"a\": \"\xff\"}", "json", "unable to decode byte 0xff"},
        {"{\"a\": \"\xc0\x80\"}", "json", "unable to decode byte 0xc0"},
        {"{\"a\": \"\\u0000\"}", "json", "\\u0000 is not allowed"},
        {"{\"a\": \"\\ud800\"}", "json", "invalid Unicode"},
        {"{'a': 1}", "json", "column"},
        {"{\"a\": 1,}", "json", "column"},
        {"|none~0|", "genotype", "expected '+'"},
        {"Genotype(normal=[('x', 0)])", "genotype", "the name of an operation"},
    };
    char deep[8000] = "{\"a\":";

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        struct seki_error error = {0};

        assert_null(seki_record_parse(cases[i].text, strlen(cases[i].text), &error));
        if (strstr(error.message, cases[i].message) == NULL ||
            strcmp(error.code, cases[i].code) != 0)
            fail_msg("%s\nexpected: %s: %s\nfound: %s: %s", cases[i].text, cases[i].code,
                     cases[i].message, error.code, error.message);
        assert_int_equal(error.kind, SEKI_BAD_INPUT);
    }
    memset(deep + 5, '[', 7000);
    assert_null(seki_record_parse(deep, strlen(deep), NULL));
    assert_null(seki_record_parse("{}\0{}", 5, NULL));
}

static void a_bare_genotype_is_a_record(void **state)
{
    struct seki_record *record = parse("  | nor_conv_3x3~0|+|skip_connect~1|none~0|+|none~0|none~1|"
                                       "avg_pool_3x3~2| ");
    struct seki_genotype genotype;
    struct seki_error error;
    char text[512];

    (void)state;
    snprintf(text, sizeof text,
             "{\"space\": \"nas201\", \"genotype\": \"" NAS "\", \"id\": \"%s\"}",
             seki_record_string(record, "id"));
    expect_text(record, text);
    assert_int_equal(seki_record_genotype(record, SEKI_STRICT, &genotype, &error), 0);
    assert_int_equal(seki_record_set_string(record, "space", "darts", &error), 0);
    assert_int_equal(seki_record_genotype(record, SEKI_STRICT, &genotype, &error), -1);
    assert_string_equal(error.message, "member 'space' is darts, but the genotype is of nas201");
    seki_record_remove(record, "space");
    assert_int_equal(seki_record_genotype(record, SEKI_STRICT, &genotype, &error), 0);
    seki_record_remove(record, "genotype");
    assert_int_equal(seki_record_genotype(record, SEKI_STRICT, &genotype, &error), -1);
    seki_record_free(record);
}

static void a_failed_record_has_an_error_and_no_score(void **state)
{
    struct seki_record *record = parse("{\"score\": 1, \"x\": 2, \"error\": null}");
    struct seki_error why = {SEKI_BAD_INPUT, "genotype", "node \xff is \"bad\" \xc3"}, error;

    (void)state;
    assert_false(seki_record_failed(record));
    assert_int_equal(seki_record_fail(record, &why, &error), 0);
    assert_true(seki_record_failed(record));
    expect_text(record, "{\"x\": 2, \"error\": {\"code\": \"genotype\", \"message\": "
                        "\"node \xef\xbf\xbd is \\\"bad\\\" \xef\xbf\xbd\"}}");
    seki_record_free(record);
}

static void a_record_too_long_for_its_error_gives_way(void **state)
{
    char *text = malloc(SEKI_MAX_LINE + 1);
    struct seki_error why = {SEKI_BAD_INPUT, "genotype", "bad"}, error;
    struct seki_record *record;

    (void)state;
    memset(text, 'x', SEKI_MAX_LINE);
    snprintf(text, SEKI_MAX_LINE, "{\"a\":\"");
    text[strlen(text)] = 'x';
    snprintf(text + SEKI_MAX_LINE - 2, 3, "\"}");
    record = parse(text);
    assert_int_equal(seki_record_fail(record, &why, &error), 0);
    expect_text(record, "{\"error\": {\"code\": \"genotype\", \"message\": \"bad\"}}");
    seki_record_free(record);
    free(text);
}

/* Writes bytes to a new temporary file, and opens it as a stream. */
static struct seki_records *stream_of(const void *bytes, size_t length, char path[64])
{
    static char *names[1];
    int descriptor;

    snprintf(path, 64, "/tmp/seki-test-record.XXXXXX");
    descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, bytes, length), (ssize_t)length);
    close(descriptor);
    names[0] = path;
    return seki_records_open(names, 1, NULL);
}

static void a_bad_line_never_ends_a_stream(void **state)
{
    static const char bytes[] =
        "{\"a\": 1}\n\n  \nbad \xff line\n{\"b\"\0: 2}\n" NAS "\r\n{\"a\": 2";
    static const char *const codes[] = {NULL, "json", "nul", NULL, "json"};
    static const int lines[] = {1, 4, 5, 6, 7};
    char path[64], place[128];
    struct seki_records *records = stream_of(bytes, sizeof bytes - 1, path);
    struct seki_record *record;

    (void)state;
    for (int i = 0; i < COUNT(codes); i++) {
        assert_int_equal(seki_records_next(records, &record, NULL), 1);
        snprintf(place, sizeof place, "%s:%d", path, lines[i]);
        assert_string_equal(seki_records_place(records), place);
        assert_int_equal(seki_record_failed(record), codes[i] != NULL);
        if (codes[i] == NULL)
            continue;
        assert_string_equal(seki_record_string(record, "error.code"), codes[i]);
        assert_memory_equal(seki_record_string(record, "error.message"), place, strlen(place));
        assert_true(seki_record_has(record, "line"));
        if (i == 1)
            assert_string_equal(seki_record_string(record, "line"), "bad \xef\xbf\xbd line");
        if (i == 4)
            assert_non_null(strstr(seki_record_string(record, "error.message"), "is it cut?"));
    }
    assert_int_equal(seki_records_next(records, &record, NULL), 0);
    seki_records_close(records);
    unlink(path);
}

static void a_line_that_is_too_long_is_one_bad_record(void **state)
{
    size_t length = 3 * SEKI_MAX_LINE;
    char *bytes = malloc(length + 1), path[64];
    struct seki_records *records;
    struct seki_record *record;

    (void)state;
    memset(bytes, '{', length);
    snprintf(bytes + length - 10, 11, "\n{\"a\": 1}\n");
    records = stream_of(bytes, length, path);
    assert_int_equal(seki_records_next(records, &record, NULL), 1);
    assert_string_equal(seki_record_string(record, "error.code"), "length");
    assert_int_equal(strlen(seki_record_string(record, "line")), 400);
    assert_int_equal(seki_records_next(records, &record, NULL), 1);
    expect_text(record, "{\"a\": 1}");
    assert_int_equal(seki_records_next(records, &record, NULL), 0);
    seki_records_close(records);
    unlink(path);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_came_in_goes_out_to_the_byte),
        cmocka_unit_test(members_are_read_by_path),
        cmocka_unit_test(what_is_set_keeps_its_place_and_the_rest_its_bytes),
        cmocka_unit_test(what_cannot_be_set_changes_nothing),
        cmocka_unit_test(numbers_have_the_fewest_digits_that_read_back),
        cmocka_unit_test(hostile_lines_are_refused),
        cmocka_unit_test(a_bare_genotype_is_a_record),
        cmocka_unit_test(a_failed_record_has_an_error_and_no_score),
        cmocka_unit_test(a_record_too_long_for_its_error_gives_way),
        cmocka_unit_test(a_bad_line_never_ends_a_stream),
        cmocka_unit_test(a_line_that_is_too_long_is_one_bad_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
