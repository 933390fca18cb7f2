/*
 * test_base_input.c - lines of files: long, cut, with NUL bytes, from pipes and folders.
 */
#include "base/base.h"
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* Reads the next line and checks it. */
static void expect_line(struct seki_input *input, const char *text, unsigned long number,
                        struct seki_line *line)
{
    struct seki_error error;

    assert_int_equal(seki_input_next(input, line, &error), 1);
    assert_string_equal(line->text, text);
    assert_int_equal(line->length, strlen(text));
    assert_int_equal(line->number, number);
}

static void files_are_read_one_after_the_other(void **state)
{
    char *names[] = {support_path(state, "one"), support_path(state, "empty"),
                     support_path(state, "two")};
    struct seki_error error;
    struct seki_input *input;
    struct seki_line line;

    support_write(names[0], "a\n\nc\n", 5);
    support_write(names[1], "", 0);
    support_write(names[2], "d\r\n cut", 7);
    input = seki_input_open(names, 3, &error);
    assert_non_null(input);
    expect_line(input, "a", 1, &line);
    assert_string_equal(line.file, names[0]);
    expect_line(input, "", 2, &line);
    expect_line(input, "c", 3, &line);
    assert_false(line.unterminated);
    expect_line(input, "d\r", 1, &line);
    assert_string_equal(line.file, names[2]);
    expect_line(input, " cut", 2, &line);
    assert_true(line.unterminated);
    assert_int_equal(seki_input_next(input, &line, &error), 0);
    assert_int_equal(seki_input_next(input, &line, &error), 0);
    seki_input_close(input);
}

static void a_nul_byte_ends_the_text_and_is_told(void **state)
{
    char *names[] = {support_path(state, "nul")};
    struct seki_error error;
    struct seki_input *input;
    struct seki_line line;

    support_write(names[0], "ab\0cd\nnext\n\0\n", 13);
    input = seki_input_open(names, 1, &error);
    expect_line(input, "ab", 1, &line);
    assert_true(line.has_nul);
    expect_line(input, "next", 2, &line);
    assert_false(line.has_nul);
    expect_line(input, "", 3, &line);
    assert_true(line.has_nul);
    seki_input_close(input);
}

/* Lengths around the limit, and around the size of one read. */
static void lines_longer_than_the_limit_are_cut(void **state)
{
    static const size_t lengths[] = {65535,
                                     65536,
                                     65537,
                                     SEKI_MAX_LINE - 1,
                                     SEKI_MAX_LINE,
                                     SEKI_MAX_LINE + 1,
                                     3 * SEKI_MAX_LINE};
    char *names[] = {support_path(state, "long")};
    char *text = malloc(3 * SEKI_MAX_LINE + 8);
    struct seki_error error;

    assert_non_null(text);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        bool over = lengths[i] > SEKI_MAX_LINE;
        struct seki_input *input;
        struct seki_line line;

        memset(text, 'x', lengths[i]);
        snprintf(text + lengths[i], 8, "\nnext\n");
        support_write(names[0], text, lengths[i] + 6);
        input = seki_input_open(names, 1, &error);
        assert_int_equal(seki_input_next(input, &line, &error), 1);
        assert_int_equal(line.too_long, over);
        assert_int_equal(line.length, over ? SEKI_MAX_LINE : lengths[i]);
        assert_int_equal(strspn(line.text, "x"), line.length);
        expect_line(input, "next", 2, &line);
        assert_false(line.too_long);
        seki_input_close(input);
    }
    free(text);
}

static void what_cannot_be_read_is_named_and_passed_over(void **state)
{
    char *names[] = {support_path(state, "absent"), *state, support_path(state, "one")};
    struct seki_error error;
    struct seki_input *input;
    struct seki_line line;

    support_write(names[2], "a\n", 2);
    input = seki_input_open(names, 3, &error);
    assert_int_equal(seki_input_next(input, &line, &error), -1);
    assert_int_equal(error.kind, SEKI_NO_RESOURCE);
    assert_non_null(strstr(error.message, "absent: cannot open: No such file"));
    assert_int_equal(seki_input_next(input, &line, &error), -1);
    assert_non_null(strstr(error.message, ": is a folder"));
    expect_line(input, "a", 1, &line);
    assert_int_equal(seki_input_next(input, &line, &error), 0);
    seki_input_close(input);
}

/* A line is given when it is there, not when a buffer is full. */
static void standard_input_gives_lines_as_they_come(void **state)
{
    int ends[2], kept = dup(STDIN_FILENO);
    char *dash[] = {"-"};
    struct seki_error error;
    struct seki_input *input;
    struct seki_line line;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    input = seki_input_open(dash, 1, &error);
    assert_int_equal(write(ends[1], "first\nsec", 9), 9);
    expect_line(input, "first", 1, &line);
    assert_string_equal(line.file, "standard input");
    assert_int_equal(write(ends[1], "ond\n", 4), 4);
    expect_line(input, "second", 2, &line);
    close(ends[1]);
    assert_int_equal(seki_input_next(input, &line, &error), 0);
    seki_input_close(input);
    input = seki_input_open(NULL, 0, &error); /* no name at all */
    assert_int_equal(seki_input_next(input, &line, &error), 0);
    seki_input_close(input);
    dup2(kept, STDIN_FILENO);
    close(ends[0]);
    close(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_read_one_after_the_other),
        cmocka_unit_test(a_nul_byte_ends_the_text_and_is_told),
        cmocka_unit_test(lines_longer_than_the_limit_are_cut),
        cmocka_unit_test(what_cannot_be_read_is_named_and_passed_over),
        cmocka_unit_test(standard_input_gives_lines_as_they_come),
    };

    return cmocka_run_group_tests(tests, support_make_folder, support_remove_folder);
}
