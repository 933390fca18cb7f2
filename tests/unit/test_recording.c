/* test_recording.c - exchanges kept and answered from; the file of lines under it. */
#include "llm/llm.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#include <cmocka.h>

#define REQUEST "{\"model\":\"m\",\"temperature\":0.69999999999999996}"

static void keep(struct seki_recording *recording, struct seki_place place, const char *request,
                 const char *body, size_t length, double seconds)
{
    struct seki_response response;
    struct seki_error error;

    seki_response_init(&response);
    response.status = 200;
    response.retry_after = 3;
    response.seconds = seconds;
    snprintf(response.detail, sizeof response.detail, "status 200");
    seki_buffer_append(&response.body, body, length);
    assert_int_equal(seki_recording_append(recording, &place, request, &response, &error), 0);
    seki_response_free(&response);
}

static struct seki_response answer(struct seki_recording *recording, struct seki_place place,
                                   const char *request)
{
    struct seki_response response;

    seki_recording_answer(recording, &place, request, &response);
    return response;
}

static void what_was_kept_comes_back(void **state)
{
    /* a NUL, an escape, bytes that are no UTF-8, and what could be taken for it */
    static const char bodies[][16] = {
        "{\"a\": \"\\n\"}", "\xff\xfe\x80 x", "a\0b", "caf\xc3\xa9", "\xc3", "", "\xff\xc3\xa9\0z"};
    static const size_t lengths[] = {11, 5, 3, 5, 1, 0, 5};
    const struct seki_place place = {.seed = UINT64_MAX, .candidate = 7, .attempt = 2};
    char *path = support_path(state, "recording");
    struct seki_error error;

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct seki_recording *recording;
        struct seki_response response;

        unlink(path);
        recording = seki_recording_create(path, &error);
        assert_non_null(recording);
        keep(recording, place, REQUEST, bodies[i], lengths[i], 1.234);
        seki_recording_free(recording);
        recording = seki_recording_open(path, &error);
        assert_non_null(recording);
        response = answer(recording, place, REQUEST);
        assert_int_equal(response.cause, SEKI_CAUSE_NONE);
        assert_int_equal(response.status, 200);
        assert_true(response.retry_after == 3 && response.seconds == 1.234);
        assert_string_equal(response.detail, "status 200");
        assert_int_equal(response.body.length, lengths[i]);
        assert_memory_equal(response.body.data, bodies[i], lengths[i]);
        seki_response_free(&response);
        seki_recording_free(recording);
    }
}

static void another_request_or_another_place_is_unrecorded(void **state)
{
    const struct seki_place place = {.seed = 1, .candidate = 2, .attempt = 3};
    const struct seki_place others[] = {{2, 2, 3}, {1, 1, 3}, {1, 2, 2}};
    char *path = support_path(state, "recording");
    struct seki_error error;
    struct seki_recording *recording = seki_recording_create(path, &error);
    struct seki_response response;

    assert_non_null(recording);
    keep(recording, place, REQUEST, "x", 1, 0);
    seki_recording_free(recording);
    recording = seki_recording_open(path, &error);
    assert_non_null(recording);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        response = answer(recording, others[i], REQUEST);
        assert_int_equal(response.cause, SEKI_CAUSE_UNRECORDED);
        seki_response_free(&response);
    }
    response = answer(recording, place, "{\"model\":\"n\"}");
    assert_int_equal(response.cause, SEKI_CAUSE_UNRECORDED);
    assert_non_null(strstr(response.detail, "request 3 of candidate 2 with the seed 1"));
    seki_response_free(&response);
    seki_recording_free(recording);
}

static void the_last_of_equal_exchanges_counts(void **state)
{
    char *path = support_path(state, "recording");
    struct seki_error error;
    struct seki_recording *recording = seki_recording_create(path, &error);

    for (int i = 0; i < 200; i++) { /* two of each, the second with another reply */
        struct seki_place place = {.seed = 1, .candidate = (uint64_t)(i % 100), .attempt = 1};
        char body[16];

        snprintf(body, sizeof body, "%d", i);
        keep(recording, place, REQUEST, body, strlen(body), 0);
    }
    seki_recording_free(recording);
    recording = seki_recording_open(path, &error);
    for (int i = 0; i < 100; i++) {
        struct seki_place place = {.seed = 1, .candidate = (uint64_t)i, .attempt = 1};
        struct seki_response response = answer(recording, place, REQUEST);

        assert_int_equal(atoi(response.body.data), i + 100);
        seki_response_free(&response);
    }
    seki_recording_free(recording);
}

static void a_file_of_something_else_is_refused_by_line(void **state)
{
    static const char *const lines[] = {
        "no JSON\n",
        "[]\n",
        "{}\n",
        "{\"request_hash\":\"xyz\",\"seed\":\"1\",\"candidate\":0,\"attempt\":1}\n",
        "{\"request_hash\":\"0123456789abcdef\",\"seed\":1,\"candidate\":0,\"attempt\":1}\n",
        "{\"request_hash\":\"0123456789abcdef\",\"seed\":\"1\",\"candidate\":\"0\"}\n",
    };
    char *path = support_path(state, "recording");

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct seki_error error;

        support_write(path, lines[i], strlen(lines[i]));
        assert_null(seki_recording_open(path, &error));
        assert_int_equal(error.kind, SEKI_BAD_USE);
        assert_non_null(strstr(error.message, "recording:1: expected an exchange"));
    }
}

/* ---- The file of lines ----------------------------------------------------------------------- */

static void a_cut_last_line_goes_before_the_next_is_written(void **state)
{
    static const struct {
        const char *before, *after;
    } cases[] = {
        {"", "new\n"},    {"one\n", "one\nnew\n"},     {"one\ntw", "one\nnew\n"},
        {"cut", "new\n"}, {"one\n\n", "one\n\nnew\n"},
    };
    char *path = support_path(state, "journal");
    struct seki_error error;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seki_journal *journal;
        size_t count;
        char *text;

        support_write(path, cases[i].before, strlen(cases[i].before));
        journal = seki_journal_open(path, &error);
        assert_non_null(journal);
        assert_int_equal(seki_journal_line(journal, "new", 3, &error), 0);
        seki_journal_close(journal);
        text = support_read(path, &count);
        assert_string_equal(text, cases[i].after);
        free(text);
    }
}

#define WRITERS 4
#define LINES   200

static void lines_of_several_writers_stay_whole(void **state)
{
    char *path = support_path(state, "journal");
    char line[3000], *text;
    size_t count;
    int status, lines = 0;

    for (int w = 0; w < WRITERS; w++) {
        if (fork() == 0) {
            struct seki_error error;
            struct seki_journal *journal = seki_journal_open(path, &error);
            int wrong = journal == NULL;

            memset(line, 'a' + w, sizeof line);
            for (int i = 0; i < LINES && !wrong; i++)
                wrong = seki_journal_line(journal, line, sizeof line, &error) < 0;
            _exit(wrong);
        }
    }
    for (int w = 0; w < WRITERS; w++) {
        wait(&status);
        assert_int_equal(status, 0);
    }
    text = support_read(path, &count);
    for (char *at = text; *at != '\0'; at += sizeof line + 1, lines++) {
        assert_int_equal(at[sizeof line], '\n');
        for (size_t i = 1; i < sizeof line; i++)
            assert_int_equal(at[i], at[0]);
    }
    assert_int_equal(lines, WRITERS * LINES);
    free(text);
}

static void a_full_disk_is_an_error(void **state)
{
    struct seki_error error;
    struct seki_journal *journal = seki_journal_open("/dev/full", &error);

    (void)state;
    assert_non_null(journal);
    assert_int_equal(seki_journal_line(journal, "x", 1, &error), -1);
    assert_int_equal(error.kind, SEKI_NO_RESOURCE);
    assert_non_null(strstr(error.message, "/dev/full"));
    seki_journal_close(journal);
}

int main(void)
{
#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, support_make_folder, support_remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_was_kept_comes_back),
        IN_FOLDER(another_request_or_another_place_is_unrecorded),
        IN_FOLDER(the_last_of_equal_exchanges_counts),
        IN_FOLDER(a_file_of_something_else_is_refused_by_line),
        IN_FOLDER(a_cut_last_line_goes_before_the_next_is_written),
        IN_FOLDER(lines_of_several_writers_stay_whole),
        cmocka_unit_test(a_full_disk_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
