/*
 * test_base_output.c - what leaves the process: lines on standard output, messages, progress; and
 * the texts of errors and buffers they are made from.
 */
#include "base/base.h"
#include "support.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* Exit statuses of the children that write. */
enum { DONE = 10, GONE, FAILED };

/*
 * In a child, writes `lines` lines of `length` bytes to a standard output that is `descriptor`, and
 * tells how that ended.
 */
static int write_lines(int descriptor, int lines, size_t length)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct seki_error error;
        struct seki_output *output;
        char *text = malloc(length + 1);
        int result = 0;

        dup2(descriptor, STDOUT_FILENO);
        output = seki_output_open(&error);
        if (!output || !text)
            _exit(FAILED);
        memset(text, 'y', length);
        for (int i = 0; i < lines && result == 0 && !seki_output_gone(output); i++)
            result = seki_output_line(output, text, length, &error);
        if (result == 0 && seki_output_gone(output))
            _exit(GONE);
        if (seki_output_close(output, &error) < 0)
            result = -1;
        if (result < 0)
            _exit(error.kind == SEKI_NO_RESOURCE ? FAILED : 1);
        _exit(DONE);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status)); /* and not by SIGPIPE */
    return WEXITSTATUS(status);
}

static void lines_go_whole_to_a_file(void **state)
{
    static const struct {
        int lines;
        size_t length;
    } cases[] = {{0, 0}, {1, 0}, {3, 5}, {4, 65535}, {2, 65536}, {3, 200000}, {70000, 1}};
    const char *path = support_path(state, "out");

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        size_t count, newlines = 0;
        char *text;

        assert_int_equal(write_lines(descriptor, cases[i].lines, cases[i].length), DONE);
        close(descriptor);
        text = support_read(path, &count);
        assert_int_equal(count, (size_t)cases[i].lines * (cases[i].length + 1));
        for (size_t at = cases[i].length; at < count; at += cases[i].length + 1)
            newlines += text[at] == '\n';
        assert_int_equal(newlines, cases[i].lines);
        free(text);
    }
}

static void a_reader_that_has_gone_ends_it_quietly(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(write_lines(ends[1], 1000000, 5), GONE);
    close(ends[1]);
}

static void a_full_disk_is_an_error(void **state)
{
    int full = open("/dev/full", O_WRONLY);

    (void)state;
    assert_true(full >= 0);
    assert_int_equal(write_lines(full, 1, 5), FAILED);
    close(full);
}

static void an_output_that_is_not_open_is_an_error(void **state)
{
    int null = open("/dev/null", O_RDONLY);

    (void)state;
    assert_int_equal(write_lines(null, 1, 5), FAILED);
    close(null);
}

/* On a pipe, a line is there before the next is written. */
static void a_pipe_has_each_line_at_once(void **state)
{
    int ends[2], kept = dup(STDOUT_FILENO);
    struct seki_error error;
    struct seki_output *output;
    char text[16];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDOUT_FILENO);
    output = seki_output_open(&error);
    assert_int_equal(seki_output_line(output, "one", 3, &error), 0);
    assert_int_equal(read(ends[0], text, sizeof text), 4);
    assert_memory_equal(text, "one\n", 4);
    assert_int_equal(seki_output_close(output, &error), 0);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    close(ends[0]);
    close(ends[1]);
}

/* Runs `say` with standard error in a file and returns what it wrote there. */
static char *capture(void **state, void (*say)(void))
{
    const char *path = support_path(state, "err");
    int kept = dup(STDERR_FILENO), descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
    char *text;

    dup2(descriptor, STDERR_FILENO);
    say();
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(descriptor);
    text = support_read(path, NULL);
    assert_non_null(text);
    return text;
}

static void say_messages(void)
{
    const struct seki_log log = {.program = "seki-try"};
    const struct seki_log quiet = {.program = "seki-try", .quiet = true};
    const struct seki_error error = {.kind = SEKI_BAD_USE, .message = "unknown option '-x'"};

    seki_log_error(&log, "%s:%d: it is wrong", "file", 3);
    seki_log_warning(&quiet, "strange");
    seki_log_note(&log, "noted");
    seki_log_note(&quiet, "never seen");
    if (seki_log_usage(&log, &error) != 2)
        seki_log_error(&log, "wrong status");
}

static void messages_name_the_program(void **state)
{
    char *text = capture(state, say_messages);

    assert_string_equal(text, "seki-try: file:3: it is wrong\n"
                              "seki-try: warning: strange\n"
                              "seki-try: noted\n"
                              "seki-try: unknown option '-x'\n"
                              "seki-try: try 'seki-try --help'\n");
    free(text);
}

static void say_controls(void)
{
    const struct seki_log log = {.program = "p"};

    seki_log_error(&log, "a\nb\033[31m\x7f\t\r");
    seki_log_error(&log, "\xc3\xa9 \xe2\x86\x92 \xf0\x9f\x98\x80");
    seki_log_error(&log, "\xc2\x9b \xff \xc0\x80 \xed\xa0\x80 \xe2\x86");
}

static void control_characters_are_shown_not_sent(void **state)
{
    char *text = capture(state, say_controls);

    assert_string_equal(text, "p: a\\x0Ab\\x1B[31m\\x7F\\x09\\x0D\n"
                              "p: \xc3\xa9 \xe2\x86\x92 \xf0\x9f\x98\x80\n"
                              "p: \\xC2\\x9B \\xFF \\xC0\\x80 \\xED\\xA0\\x80 \\xE2\\x86\n");
    free(text);
}

static void say_long_message(void)
{
    static char text[10000];
    const struct seki_log log = {.program = "p"};

    memset(text, '\1', sizeof text - 1);
    seki_log_error(&log, "%s", text);
}

static void a_long_message_is_cut_and_ends_its_line(void **state)
{
    char *text = capture(state, say_long_message);
    size_t length = strlen(text);

    assert_true(length > 1000 && length < 10000);
    assert_int_equal(text[length - 1], '\n');
    free(text);
}

static void say_progress(void)
{
    const struct seki_log log = {.program = "p"};
    struct seki_progress progress;

    seki_progress_start(&progress, &log, "supernet  epoch 3/50", "pictures", 1000);
    progress.started -= 10; /* as if it had begun ten seconds ago */
    progress.shown -= 10;
    seki_progress_set(&progress, 250);
    seki_progress_set(&progress, 260); /* too soon for another line */
    seki_progress_set(&progress, 1000);
    seki_progress_end(&progress);
}

static void progress_tells_rate_and_time_left(void **state)
{
    char *text = capture(state, say_progress);

    assert_string_equal(text, "p: supernet  epoch 3/50  250/1000 pictures  25/s  0:30 left\n"
                              "p: supernet  epoch 3/50  1000/1000 pictures  100/s  in 0:10\n");
    free(text);
}

static void say_quiet_progress(void)
{
    const struct seki_log log = {.program = "p", .quiet = true};
    struct seki_progress progress;

    seki_progress_start(&progress, &log, "supernet", "pictures", 0);
    progress.started -= 10;
    progress.shown -= 10;
    seki_progress_set(&progress, 250);
    seki_progress_end(&progress);
}

static void quiet_progress_says_nothing(void **state)
{
    char *text = capture(state, say_quiet_progress);

    assert_string_equal(text, "");
    free(text);
}

static void a_buffer_keeps_to_its_limit(void **state)
{
    struct seki_buffer buffer;

    (void)state;
    seki_buffer_init(&buffer, 10);
    assert_string_equal(buffer.data, "");
    assert_int_equal(seki_buffer_puts(&buffer, "01234"), 0);
    assert_int_equal(seki_buffer_printf(&buffer, "%d", 56789), 0);
    assert_string_equal(buffer.data, "0123456789");
    assert_int_equal(seki_buffer_append(&buffer, "x", 1), -1);
    assert_int_equal(seki_buffer_printf(&buffer, "x"), -1);
    assert_int_equal(seki_buffer_append(&buffer, "x", SIZE_MAX), -1);
    assert_true(buffer.failed);
    assert_int_equal(seki_buffer_append(&buffer, "", 0), 0);
    assert_true(buffer.failed); /* it stays */
    assert_string_equal(buffer.data, "0123456789");
    seki_buffer_clear(&buffer);
    assert_false(buffer.failed);
    assert_string_equal(buffer.data, "");
    seki_buffer_free(&buffer);
    seki_buffer_init(&buffer, SIZE_MAX);
    for (int i = 0; i < 10000; i++)
        seki_buffer_append(&buffer, "\0abc", 4);
    assert_false(buffer.failed);
    assert_int_equal(buffer.length, 40000);
    assert_memory_equal(buffer.data + 39996, "\0abc", 5);
    seki_buffer_free(&buffer);
}

static void errors_keep_within_their_message(void **state)
{
    struct seki_error error;
    char text[1000];

    (void)state;
    memset(text, 'z', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(seki_fail(&error, SEKI_BAD_INPUT, "json", "column %d", 7), -1);
    assert_int_equal(seki_fail_within(&error, "%s:%d", "file", 3), -1);
    assert_string_equal(error.message, "file:3: column 7");
    assert_int_equal(seki_error_status(&error), 1);
    assert_int_equal(seki_fail_within(&error, "%s", text), -1);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    assert_int_equal(seki_fail(NULL, SEKI_BAD_USE, "x", "nobody asks"), -1);
    assert_null(seki_allocate(SIZE_MAX / 2, 4, &error));
    assert_string_equal(error.code, "memory");
    assert_int_equal(seki_error_status(&error), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_go_whole_to_a_file),
        cmocka_unit_test(a_reader_that_has_gone_ends_it_quietly),
        cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(an_output_that_is_not_open_is_an_error),
        cmocka_unit_test(a_pipe_has_each_line_at_once),
        cmocka_unit_test(messages_name_the_program),
        cmocka_unit_test(control_characters_are_shown_not_sent),
        cmocka_unit_test(a_long_message_is_cut_and_ends_its_line),
        cmocka_unit_test(progress_tells_rate_and_time_left),
        cmocka_unit_test(quiet_progress_says_nothing),
        cmocka_unit_test(a_buffer_keeps_to_its_limit),
        cmocka_unit_test(errors_keep_within_their_message),
    };

    return cmocka_run_group_tests(tests, support_make_folder, support_remove_folder);
}
