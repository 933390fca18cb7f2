/*
 * test_base_file.c - files that appear whole or not at all; locks between processes.
 */
#include "base/base.h"
#include "support.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static void expect_content(const char *path, const char *expected)
{
    char *text = support_read(path, NULL);

    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void a_file_appears_when_it_is_committed(void **state)
{
    const char *path = support_path(state, "file");
    struct seki_error error;
    struct seki_file *file = seki_file_create(path, &error);

    assert_non_null(file);
    fputs("whole", seki_file_stream(file));
    fflush(seki_file_stream(file));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(seki_file_commit(file, &error), 0);
    expect_content(path, "whole");
    assert_int_equal(support_count_entries(*state), 1);
}

static void an_abandoned_file_leaves_the_old_one(void **state)
{
    const char *path = support_path(state, "file");
    struct seki_error error;
    struct seki_file *file;

    assert_int_equal(seki_file_write(path, "old", 3, &error), 0);
    file = seki_file_create(path, &error);
    fputs("new", seki_file_stream(file));
    seki_file_abandon(file);
    seki_file_abandon(NULL);
    expect_content(path, "old");
    assert_int_equal(support_count_entries(*state), 1);
}

/* A writer that is killed leaves the old file, and the next writer takes its leavings away: those
 * of a writer that lives stay. */
static void a_killed_writer_leaves_the_old_file(void **state)
{
    const char *path = support_path(state, "file");
    struct seki_error error;
    struct seki_file *living;
    int status;
    pid_t child;

    assert_int_equal(seki_file_write(path, "old", 3, &error), 0);
    child = fork();
    if (child == 0) {
        struct seki_file *file = seki_file_create(path, &error);

        fputs("half", seki_file_stream(file));
        fflush(seki_file_stream(file));
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    expect_content(path, "old");
    assert_int_equal(support_count_entries(*state), 2);
    living = seki_file_create(path, &error);
    assert_non_null(living);
    assert_int_equal(support_count_entries(*state), 2);
    assert_int_equal(seki_file_write(path, "new", 3, &error), 0);
    assert_int_equal(support_count_entries(*state), 2);
    fputs("newer", seki_file_stream(living));
    assert_int_equal(seki_file_commit(living, &error), 0);
    expect_content(path, "newer");
    assert_int_equal(support_count_entries(*state), 1);
}

static void a_link_stays_a_link_and_a_mode_a_mode(void **state)
{
    const char *path = support_path(state, "file"), *link = support_path(state, "link");
    struct seki_error error;
    struct stat status;

    assert_int_equal(seki_file_write(path, "old", 3, &error), 0);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink("file", link), 0);
    assert_int_equal(seki_file_write(link, "new", 3, &error), 0);
    assert_int_equal(lstat(link, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    expect_content(path, "new");
}

static void what_cannot_be_written_is_named(void **state)
{
    static const struct {
        const char *path, *message;
        enum seki_error_kind kind;
    } cases[] = {
        {"absent/file", "absent/file: cannot write: No such file or directory", SEKI_NO_RESOURCE},
        {"", ": is a folder, not a file that can be replaced", SEKI_BAD_USE},
        {"dangling", "dangling: cannot follow the symbolic link: No such file", SEKI_NO_RESOURCE},
    };
    struct seki_error error;

    assert_int_equal(symlink("nowhere", support_path(state, "dangling")), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(seki_file_write(support_path(state, cases[i].path), "x", 1, &error), -1);
        assert_non_null(strstr(error.message, cases[i].message));
        assert_int_equal(error.kind, cases[i].kind);
    }
    assert_int_equal(seki_file_write("/dev/null", "x", 1, &error), -1);
    assert_non_null(strstr(error.message, "/dev/null: is a special file"));
}

/* A limit on the size of files stands for a full disk. */
static void a_full_disk_leaves_the_old_file(void **state)
{
    const char *path = support_path(state, "file");
    static char large[1 << 17];
    struct rlimit kept, small;
    struct seki_error error;
    int result;

    assert_int_equal(seki_file_write(path, "old", 3, &error), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    small = kept;
    small.rlim_cur = 1 << 16;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    result = seki_file_write(path, large, sizeof large, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
    assert_int_equal(result, -1);
    assert_int_equal(error.kind, SEKI_NO_RESOURCE);
    assert_non_null(strstr(error.message, "file: cannot write: File too large"));
    expect_content(path, "old");
    assert_int_equal(support_count_entries(*state), 1);
}

static void reading_stops_at_the_limit(void **state)
{
    const char *path = support_path(state, "file");
    struct seki_buffer text;
    struct seki_error error;

    support_write(path, "0123456789", 10);
    assert_int_equal(seki_file_read(path, 10, &text, &error), 0);
    assert_string_equal(text.data, "0123456789");
    seki_buffer_free(&text);
    assert_int_equal(seki_file_read(path, 9, &text, &error), -1);
    assert_non_null(strstr(error.message, "larger than 9 bytes"));
    seki_buffer_free(&text);
    assert_int_equal(seki_file_read(*state, 9, &text, &error), -1);
    assert_non_null(strstr(error.message, "cannot read: Is a directory"));
    seki_buffer_free(&text);
    assert_int_equal(seki_file_read(support_path(state, "absent"), 9, &text, &error), -1);
    assert_non_null(strstr(error.message, "cannot open: No such file"));
    seki_buffer_free(&text);
}

/* Adds one to the number in the file, as a program without a lock may lose it. */
static int count_up(const char *path)
{
    struct seki_error error;
    struct seki_lock *lock = seki_lock_take(path, 60, &error);
    FILE *stream = lock ? fopen(path, "r+") : NULL;
    char number[32] = "";

    if (!stream || !fgets(number, sizeof number, stream))
        return -1;
    rewind(stream);
    fprintf(stream, "%ld", strtol(number, NULL, 10) + 1);
    if (fclose(stream) != 0)
        return -1;
    seki_lock_release(lock);
    return 0;
}

static void processes_take_turns(void **state)
{
    enum { PROCESSES = 6, TURNS = 200 };
    const char *path = support_path(state, "counter");
    struct seki_error error;

    assert_int_equal(seki_file_write(path, "0", 1, &error), 0);
    for (int i = 0; i < PROCESSES; i++) {
        if (fork() != 0)
            continue;
        for (int turn = 0; turn < TURNS; turn++)
            if (count_up(path) < 0)
                _exit(1);
        _exit(0);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;

        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    expect_content(path, "1200");
    assert_int_equal(support_count_entries(*state), 1);
}

/* Starts a process that takes the lock and keeps it until it is killed. */
static pid_t start_holder(const char *path)
{
    struct seki_error error;
    int ends[2];
    pid_t child;
    char byte;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        alarm(60); /* should the test fail and not come to end it */
        if (seki_lock_take(path, 0, &error) && write(ends[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    close(ends[1]);
    return child;
}

static void a_lock_that_is_held_names_its_holder(void **state)
{
    const char *path = support_path(state, "file");
    pid_t holder = start_holder(path);
    struct seki_error error;
    char name[64];
    double start = seki_clock();

    snprintf(name, sizeof name, "file.lock: process %ld holds the lock", (long)holder);
    assert_null(seki_lock_take(path, 0, &error));
    assert_true(seki_clock() - start < 0.2);
    assert_int_equal(error.kind, SEKI_NO_RESOURCE);
    assert_non_null(strstr(error.message, name));
    assert_null(seki_lock_take(path, 0.3, &error));
    assert_true(seki_clock() - start >= 0.3);
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
}

static void a_killed_holder_blocks_nobody(void **state)
{
    const char *path = support_path(state, "file");
    struct seki_error error;
    struct seki_lock *lock;
    pid_t holder = start_holder(path);

    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    assert_int_equal(support_count_entries(*state), 1); /* its lock file */
    lock = seki_lock_take(path, 0, &error);
    assert_non_null(lock);
    seki_lock_release(lock);
    seki_lock_release(NULL);
    assert_int_equal(support_count_entries(*state), 0);
}

static void a_lock_waits_for_its_turn(void **state)
{
    const char *path = support_path(state, "file");
    pid_t holder = start_holder(path), killer;
    struct seki_error error;
    struct seki_lock *lock;

    killer = fork();
    if (killer == 0) {
        struct timespec wait = {.tv_nsec = 200000000};

        nanosleep(&wait, NULL);
        kill(holder, SIGKILL);
        _exit(0);
    }
    lock = seki_lock_take(path, 30, &error);
    assert_non_null(lock);
    assert_null(seki_lock_take(path, 0, &error)); /* within one process too */
    seki_lock_release(lock);
    waitpid(killer, NULL, 0);
    waitpid(holder, NULL, 0);
}

static void a_name_and_a_link_to_it_are_one_lock(void **state)
{
    const char *path = support_path(state, "file"), *link = support_path(state, "link");
    struct seki_error error;
    struct seki_lock *lock;

    support_write(path, "", 0);
    assert_int_equal(symlink("file", link), 0);
    lock = seki_lock_take(link, 0, &error);
    assert_non_null(lock);
    assert_null(seki_lock_take(path, 0, &error));
    seki_lock_release(lock);
    assert_null(seki_lock_take(support_path(state, "absent/file"), 0, &error));
    assert_non_null(strstr(error.message, "absent/file.lock: cannot create the lock file"));
}

#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, support_make_folder, support_remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_file_appears_when_it_is_committed),
        IN_FOLDER(an_abandoned_file_leaves_the_old_one),
        IN_FOLDER(a_killed_writer_leaves_the_old_file),
        IN_FOLDER(a_link_stays_a_link_and_a_mode_a_mode),
        IN_FOLDER(what_cannot_be_written_is_named),
        IN_FOLDER(a_full_disk_leaves_the_old_file),
        IN_FOLDER(reading_stops_at_the_limit),
        IN_FOLDER(processes_take_turns),
        IN_FOLDER(a_lock_that_is_held_names_its_holder),
        IN_FOLDER(a_killed_holder_blocks_nobody),
        IN_FOLDER(a_lock_waits_for_its_turn),
        IN_FOLDER(a_name_and_a_link_to_it_are_one_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
