/*
 * base.h - what every part of seki stands on: errors, buffers, random numbers, streams of
 * lines, whole-file writes, locks, options, messages, progress.
 *
 * Conventions, here and in every other header of the library:
 *
 * Errors.    A function that can fail returns int, 0 or -1, or a pointer, NULL on failure, and
 *            takes a `struct seki_error *` as its last argument, which it fills on failure only.
 *            The library never prints and never exits; only a mistake of seki's own (SEKI_BUG)
 *            aborts, with file and line.
 * Ownership. X_open/X_new returns an object that the caller ends with X_close/X_free, which
 *            accepts NULL. A `const` pointer that a function returns belongs to the object it
 *            was asked of, and lasts until that object changes or is freed, unless said otherwise.
 * Threads.   No state is shared between objects: different objects may be used from different
 *            threads, one object from one thread at a time.
 */
#ifndef SEKI_BASE_H
#define SEKI_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define SEKI_PRINTF(string, first) __attribute__((format(printf, string, first)))
#define SEKI_MUST_CHECK            __attribute__((warn_unused_result))
#else
#define SEKI_PRINTF(string, first)
#define SEKI_MUST_CHECK
#endif

#define SEKI_VERSION "0.1.0"

/* ---- Limits: no input can make seki use more than these (bytes) ------------------------- */

#define SEKI_MAX_LINE     ((size_t)1 << 20) /* one record */
#define SEKI_MAX_REPLY    ((size_t)8 << 20) /* one reply of an endpoint */
#define SEKI_MAX_TEMPLATE ((size_t)1 << 20) /* one prompt, filled in */
#define SEKI_MAX_KEY_FILE ((size_t)1 << 14) /* an API key's file */

/* ---- Errors ------------------------------------------------------------------------------ */

/* What kind of failure: a program's exit status follows from it. */
enum seki_error_kind {
    SEKI_BAD_INPUT = 1, /* a record, a reply or a data file is wrong: status 1 */
    SEKI_BAD_USE,       /* options or configuration are wrong: status 2 */
    SEKI_NO_RESOURCE,   /* disk, memory, network or device failed: status 3 */
};

struct seki_error {
    enum seki_error_kind kind;
    const char *code;  /* one word for programs, e.g. "genotype"; a string constant */
    char message[480]; /* for people: what was expected, what was found, what to do */
};

/* Fills *error and returns -1, so that one statement reports and returns. error may be NULL. */
int seki_fail(struct seki_error *error, enum seki_error_kind kind, const char *code,
              const char *format, ...) SEKI_PRINTF(4, 5);

/* As seki_fail with kind SEKI_NO_RESOURCE and errno's text appended: "format: errno text". */
int seki_fail_errno(struct seki_error *error, const char *code, const char *format, ...)
    SEKI_PRINTF(3, 4);

/* Puts "prefix: " before the message that *error holds; returns -1. */
int seki_fail_within(struct seki_error *error, const char *format, ...) SEKI_PRINTF(2, 3);

/* Exit status of a program whose last word is *error: 1, 2 or 3. */
int seki_error_status(const struct seki_error *error);

/* A mistake of seki's own: prints file and line and aborts. */
#define SEKI_BUG(what) seki_bug(__FILE__, __LINE__, (what))
_Noreturn void seki_bug(const char *file, int line, const char *what);

/* ---- Memory ------------------------------------------------------------------------------ */

/* calloc that reports: NULL and *error ("memory") when out of memory or count * size overflows. */
void *seki_allocate(size_t count, size_t size, struct seki_error *error);

/* Advice to put large pages behind whole ones of these bytes, before they are touched: what goes
 * over them is touched and looked up less often. A system without large pages gives small ones. */
#define SEKI_LARGE_PAGE ((size_t)2 << 20)
void seki_large_pages(void *memory, size_t bytes);

/* ---- Buffers ----------------------------------------------------------------------------- */

/*
 * A string that grows up to a limit. `data` is NUL-terminated and owned by the buffer. An append
 * that would pass the limit, or for which memory is missing, changes nothing, sets `failed` and
 * returns -1; `failed` stays set, so that a row of appends needs one check at its end.
 */
struct seki_buffer {
    char *data;
    size_t length, capacity, limit;
    bool failed;
};

void seki_buffer_init(struct seki_buffer *buffer, size_t limit);
int seki_buffer_append(struct seki_buffer *buffer, const void *bytes, size_t count);
int seki_buffer_puts(struct seki_buffer *buffer, const char *string);
int seki_buffer_printf(struct seki_buffer *buffer, const char *format, ...) SEKI_PRINTF(2, 3);
void seki_buffer_clear(struct seki_buffer *buffer); /* length 0, failed false; memory is kept */
void seki_buffer_free(struct seki_buffer *buffer);

/* ---- Random numbers ---------------------------------------------------------------------- */

/*
 * xoshiro256++ 1.0 (Blackman, Vigna 2019), seeded through SplitMix64. Equal on every machine.
 * `stream` separates independent uses of one seed (an epoch, a candidate, an augmentation), so
 * that a run goes on exactly from the seed and a position, with no generator state saved.
 */
struct seki_random {
    uint64_t state[4];
};

void seki_random_seed(struct seki_random *random, uint64_t seed, uint64_t stream);
uint64_t seki_random_next(struct seki_random *random);
/* Uniform in 0 .. bound-1 without bias (Lemire 2019); bound > 0. */
uint32_t seki_random_below(struct seki_random *random, uint32_t bound);
double seki_random_uniform(struct seki_random *random); /* in [0, 1), 53 bits */
double seki_random_normal(struct seki_random *random);  /* mean 0, deviation 1 (Box, Muller) */
/* Fisher-Yates shuffle of count indices. */
void seki_random_shuffle(struct seki_random *random, uint32_t *indices, uint32_t count);
/* FNV-1a of a string: a stream's number from its name. */
uint64_t seki_hash_string(const char *string);

/* ---- Whole files, locks ------------------------------------------------------------------ */

/*
 * Appears whole or not at all: written to a temporary file beside `path`, fsync, rename, fsync of
 * the folder. A file that is never committed is unlinked by seki_file_abandon.
 *     FILE *f = seki_file_stream(file); fprintf(f, …);
 *     if (seki_file_commit(file, error) < 0) …   // frees file either way
 */
struct seki_file;
struct seki_file *seki_file_create(const char *path, struct seki_error *error);
FILE *seki_file_stream(struct seki_file *file);
int seki_file_commit(struct seki_file *file, struct seki_error *error) SEKI_MUST_CHECK;
void seki_file_abandon(struct seki_file *file);
int seki_file_write(const char *path, const void *bytes, size_t count, struct seki_error *error);

/* Reads a whole file of at most `limit` bytes into *out (initialised here, freed by the caller). */
int seki_file_read(const char *path, size_t limit, struct seki_buffer *out,
                   struct seki_error *error);

/* The path of `place` as seen from the folder of the running program; false where there is nothing
 * of that name, or it does not fit. */
bool seki_beside_program(const char *place, char *path, size_t size);

/*
 * Exclusive lock on `path`, kept in the file `path`.lock, which holds the owner's process id.
 * It dies with its process (flock), and the file is gone once it is released. Waits up to `seconds`
 * (0: tries once); then fails naming the holder. Readers of `path` need no lock.
 */
struct seki_lock;
struct seki_lock *seki_lock_take(const char *path, double seconds, struct seki_error *error);
void seki_lock_release(struct seki_lock *lock);

/*
 * A file that grows by whole lines: what a line says is on the disk when seki_journal_line returns.
 * Opening makes a file that is missing, and cuts a last line without its newline. Several programs
 * may append to one file at a time. `text` holds no newline.
 */
struct seki_journal;
struct seki_journal *seki_journal_open(const char *path, struct seki_error *error);
int seki_journal_line(struct seki_journal *journal, const char *text, size_t length,
                      struct seki_error *error) SEKI_MUST_CHECK;
void seki_journal_close(struct seki_journal *journal);

/*
 * Where a program was started with standard input, output or error closed, holds that descriptor
 * open the wrong way round: what uses it fails as before, and no socket or file that a library
 * opens takes its number. To be called first in main by a program that uses such a library.
 */
void seki_hold_descriptors(void);

/* ---- Lines in, records out --------------------------------------------------------------- */

/*
 * The lines of the files named on a command line, one after the other; "-" or no name at all is
 * standard input. Memory is bounded by SEKI_MAX_LINE: of a longer line only the beginning is
 * given, with too_long set, and the rest is passed over.
 */
struct seki_input;
struct seki_line {
    const char *text; /* NUL-terminated, newline removed; lasts until the next call */
    size_t length;
    const char *file; /* "standard input" for it */
    unsigned long number;
    bool too_long;
    bool unterminated; /* the file ended without a newline: it may be cut */
    bool has_nul;      /* a NUL byte stood in it: text ends before */
};
/* names: count strings, borrowed until seki_input_close; count 0 means standard input. */
struct seki_input *seki_input_open(char **names, int count, struct seki_error *error);
/* 1: *line filled; 0: all read; -1: a file cannot be read (SEKI_NO_RESOURCE); the next call goes
 * on with the next file. */
int seki_input_next(struct seki_input *input, struct seki_line *line, struct seki_error *error);
/* Whether the next call need not wait for a writer, as far as can be told: a whole line, the end or
 * an error is there; of a line that has begun to come the rest is waited for. */
bool seki_input_ready(const struct seki_input *input);
/* What to poll for where it is not ready; -1: nothing is open. */
int seki_input_descriptor(const struct seki_input *input);
void seki_input_close(struct seki_input *input);

/*
 * Standard output as a stream of lines: each is flushed before the call returns unless the output
 * is a regular file. A reader that has gone away is no error: seki_output_gone turns true, also
 * before the next line is written, and the program ends quietly with status 0. seki_output_open
 * sets SIGPIPE to ignored.
 */
struct seki_output;
struct seki_output *seki_output_open(struct seki_error *error);
int seki_output_line(struct seki_output *output, const char *text, size_t length,
                     struct seki_error *error) SEKI_MUST_CHECK;
/* Puts out what has been gathered for a regular file: what was paid for is not to be lost. */
int seki_output_flush(struct seki_output *output, struct seki_error *error) SEKI_MUST_CHECK;
bool seki_output_gone(const struct seki_output *output);
/* Flushes and closes: a full disk shows here at the latest. Frees output either way. */
int seki_output_close(struct seki_output *output, struct seki_error *error) SEKI_MUST_CHECK;

/* ---- Options ----------------------------------------------------------------------------- */

enum seki_option_type {
    SEKI_OPTION_HEADING, /* no option: `help` is a heading in --help */
    SEKI_OPTION_FLAG,    /* bool: set to true; --no-NAME sets false */
    SEKI_OPTION_STRING,  /* const char * */
    SEKI_OPTION_FILE,    /* const char *, a path: completion offers files */
    SEKI_OPTION_CHOICE,  /* const char *: one of `choices` */
    SEKI_OPTION_INTEGER, /* long, in minimum..maximum */
    SEKI_OPTION_NUMBER,  /* double, in minimum..maximum */
    SEKI_OPTION_SEED,    /* uint64_t */
};

/* One row of a program's only list of options: parsing, --help, completion and the check of its man
 * page all come from it. The variable's value before parsing is the default; --help shows it. */
struct seki_option {
    const char *name; /* long name without the dashes */
    char letter;      /* short name, or 0 */
    enum seki_option_type type;
    void *value;             /* the variable, of the type above */
    const char *argument;    /* what the help calls the argument, e.g. "FILE"; NULL for a flag */
    const char *help;        /* one line, lower case, no full stop */
    const char *choices;     /* "schema|text" for SEKI_OPTION_CHOICE */
    double minimum, maximum; /* both 0: any number */
    bool *given;             /* set to true where the option is on the command line; may be NULL */
};

struct seki_program {
    const char *name;                  /* seki-rank */
    const char *summary;               /* one line: what it does */
    const char *operands;              /* "[FILE ...]" or "" */
    const struct seki_option *options; /* ends with a row whose name and help are NULL */
    int max_operands;                  /* -1: any number */
};

enum seki_options_result {
    SEKI_OPTIONS_RUN,  /* go on: argv[*first_operand] is the first operand */
    SEKI_OPTIONS_DONE, /* --help or --version was asked for and printed: exit 0 */
    SEKI_OPTIONS_WRONG /* *error says why (SEKI_BAD_USE): exit 2 */
};

/*
 * Reads the command line into the variables of the table. Long options may be shortened where that
 * is unambiguous; --name=value and --name value, -n5 and -n 5, `--` ends options; options may
 * follow operands. Besides the table: --help, --version, and --dump-options, which prints the table
 * a row a line for the completion and the man pages' check: name, letter, type, argument, choices,
 * help, (headings left out, --help and --version added), separated by tabs. Prints on `out` for
 * those three only. A wrong command line changes no variable.
 */
enum seki_options_result seki_options_parse(const struct seki_program *program, int argc,
                                            char **argv, FILE *out, int *first_operand,
                                            struct seki_error *error);

/* ---- Messages, progress ------------------------------------------------------------------ */

/*
 * The one path of a message to a person: "program: text" on standard error. Control characters in
 * it are shown as \xNN. `quiet` silences notes and progress, never warnings and errors.
 */
struct seki_log {
    const char *program;
    bool quiet;
};

void seki_log_error(const struct seki_log *log, const char *format, ...) SEKI_PRINTF(2, 3);
void seki_log_warning(const struct seki_log *log, const char *format, ...) SEKI_PRINTF(2, 3);
void seki_log_note(const struct seki_log *log, const char *format, ...) SEKI_PRINTF(2, 3);
/* What seki_options_parse refused: the message and, for wrong use, where to look: "try 'seki-rank
 * --help'". Returns the exit status, 2 for wrong use. */
int seki_log_usage(const struct seki_log *log, const struct seki_error *error);

/*
 * How far a long job is: "supernet  epoch 3/50  1280/25000 pictures  612/s  2:31 left". On a
 * terminal one line is redrawn a few times a second; elsewhere a plain line every 5 seconds.
 */
struct seki_progress {
    const struct seki_log *log;
    char label[64];
    const char *unit;      /* "pictures" */
    double total, done;    /* in units; total 0: unknown */
    double started, shown; /* seconds, monotonic clock; private */
    bool terminal, drawn;  /* private */
};

void seki_progress_start(struct seki_progress *progress, const struct seki_log *log,
                         const char *label, const char *unit, double total);
void seki_progress_set(struct seki_progress *progress, double done);
/* Erases the line (terminal) or prints the last one (elsewhere, of a job that took over 5 seconds).
 */
void seki_progress_end(struct seki_progress *progress);

/* Seconds on the monotonic clock, for durations. */
double seki_clock(void);

#endif
