/*
 * seki-rank - keeps the k best candidates in a repository file.
 *
 * The stream is read to its end first, holding no more than its own k best (and with --effects its
 * distinct genotypes, in a few bytes each); only then is the lock taken, the file read, merged, and
 * replaced as a whole. So a slow pipe never holds the lock, and what another program puts into the
 * file meanwhile is not lost.
 */
#include <stdlib.h>

#include "effects.h"
#include "record/record.h"
#include "statistics.h"

#define SHOWN_COMPLAINTS 10

struct settings {
    const char *path;
    long k;
    bool stats, effects;
    double lock_timeout;
};

struct rank {
    struct settings settings;
    struct seki_log log;
    struct seki_repository *best; /* of the stream, then of all */
    struct statistics *statistics;
    struct seki_effects *effects; /* NULL until a candidate has told the space */
    size_t complaints;
    bool file_failed;
};

/* ---- Options ------------------------------------------------------------------------------ */

static enum seki_options_result take_options(int argc, char **argv, struct rank *rank, int *first,
                                             struct seki_error *error)
{
    struct settings *s = &rank->settings;
    const struct seki_option options[] = {
        {.name = "repository",
         .letter = 'r',
         .type = SEKI_OPTION_FILE,
         .value = &s->path,
         .argument = "FILE",
         .help =
             "merge into this file, which need not exist; without it the input alone is ranked"},
        {.name = "top",
         .letter = 'k',
         .type = SEKI_OPTION_INTEGER,
         .value = &s->k,
         .argument = "K",
         .help = "how many candidates to keep",
         .minimum = 1,
         .maximum = 100000},
        {.name = "stats",
         .letter = 's',
         .type = SEKI_OPTION_FLAG,
         .value = &s->stats,
         .help = "print one JSON object about the input instead of the candidates"},
        {.name = "effects",
         .letter = 'e',
         .type = SEKI_OPTION_FLAG,
         .value = &s->effects,
         .help = "print a table of what single edges did to the score instead of the candidates"},
        {.name = "lock-timeout",
         .type = SEKI_OPTION_NUMBER,
         .value = &s->lock_timeout,
         .argument = "SECONDS",
         .help = "how long to wait for another program that holds the repository",
         .maximum = 86400},
        {.name = NULL},
    };
    const struct seki_program program = {
        .name = "seki-rank",
        .summary = "keep the best candidates in a repository file",
        .operands = "[FILE ...]",
        .options = options,
        .max_operands = -1,
    };
    enum seki_options_result result;

    result = seki_options_parse(&program, argc, argv, stdout, first, error);
    if (result == SEKI_OPTIONS_RUN && s->stats && s->effects) {
        seki_fail(error, SEKI_BAD_USE, "options",
                  "--stats and --effects are two outputs: choose one");
        return SEKI_OPTIONS_WRONG;
    }
    return result;
}

/* ---- The stream --------------------------------------------------------------------------- */

/* Says why a record is not ranked, or not compared; the first ones only. */
static void complain(struct rank *rank, const char *place, const struct seki_record *record,
                     const struct seki_error *why)
{
    const char *message = seki_record_string(record, "error.message");

    if (++rank->complaints > SHOWN_COMPLAINTS)
        return;
    if (message != NULL && seki_record_has(record, "line"))
        seki_log_error(&rank->log, "%s", message); /* names the place itself */
    else if (message != NULL)
        seki_log_error(&rank->log, "%s: has an error, and so no score: %s", place, message);
    else
        seki_log_error(&rank->log, "%s: %s: %s", place, why->code, why->message);
}

static int take_record(struct rank *rank, struct seki_records *records,
                       const struct seki_record *record, struct seki_error *error)
{
    if (rank->statistics != NULL && statistics_add(rank->statistics, record, error) < 0)
        return -1;
    if (seki_repository_add(rank->best, record, error) >= 0 &&
        (!rank->settings.effects || effects_add(&rank->effects, record, error) == 0))
        return 0;
    if (error->kind != SEKI_BAD_INPUT)
        return -1;
    complain(rank, seki_records_place(records), record, error);
    return 0;
}

static int take_stream(struct rank *rank, char **names, int count, struct seki_error *error)
{
    struct seki_records *records = seki_records_open(names, count, error);
    struct seki_record *record;
    int got, result = 0;

    if (records == NULL)
        return -1;
    while (result == 0 && (got = seki_records_next(records, &record, error)) != 0) {
        if (got > 0) {
            result = take_record(rank, records, record, error);
        } else {
            seki_log_error(&rank->log, "%s", error->message);
            rank->file_failed = true;
        }
    }
    seki_records_close(records);
    if (rank->complaints > SHOWN_COMPLAINTS)
        seki_log_error(&rank->log, "and %zu more such records",
                       rank->complaints - SHOWN_COMPLAINTS);
    return result;
}

/* ---- The repository ----------------------------------------------------------------------- */

/* The lock of the file is held. rank->best becomes what the file then holds. */
static int merge_locked(struct rank *rank, struct seki_error *error)
{
    struct seki_repository *stream = rank->best;
    struct seki_repository *all = seki_repository_new((int)rank->settings.k, error);
    int result = all == NULL ? -1 : seki_repository_load(all, rank->settings.path, error);

    for (int i = 0; result == 0 && i < seki_repository_count(stream); i++) {
        if (seki_repository_add(all, seki_repository_at(stream, i), error) < 0)
            result = -1;
    }
    if (result == 0)
        result = seki_repository_save(all, rank->settings.path, error);
    if (result == 0) {
        rank->best = all;
        all = stream;
    }
    seki_repository_free(all);
    return result;
}

static int merge(struct rank *rank, struct seki_error *error)
{
    struct seki_lock *lock =
        seki_lock_take(rank->settings.path, rank->settings.lock_timeout, error);
    int result;

    if (lock == NULL)
        return -1;
    result = merge_locked(rank, error);
    seki_lock_release(lock);
    return result;
}

/* ---- Output ------------------------------------------------------------------------------- */

static int print_statistics(struct rank *rank, struct seki_output *output, struct seki_error *error)
{
    struct seki_record *out = seki_record_new(error);
    int result = -1;

    if (out != NULL &&
        statistics_write(rank->statistics, rank->best, (int)rank->settings.k, out, error) == 0) {
        size_t length;
        const char *text = seki_record_text(out, &length, error);

        result = seki_output_line(output, text, length, error);
    }
    seki_record_free(out);
    return result;
}

static int print_best(struct rank *rank, struct seki_output *output, struct seki_error *error)
{
    for (int i = 0; i < seki_repository_count(rank->best) && !seki_output_gone(output); i++) {
        size_t length;
        const char *text = seki_record_text(seki_repository_at(rank->best, i), &length, error);

        if (seki_output_line(output, text, length, error) < 0)
            return -1;
    }
    return 0;
}

static int print(struct rank *rank, struct seki_output *output, struct seki_error *error)
{
    if (rank->settings.effects)
        return effects_write(rank->effects, output, error);
    return rank->settings.stats ? print_statistics(rank, output, error)
                                : print_best(rank, output, error);
}

static int run(struct rank *rank, char **names, int count, struct seki_error *error)
{
    struct seki_output *output = seki_output_open(error);
    int result;

    if (output == NULL)
        return -1;
    result = take_stream(rank, names, count, error);
    if (result == 0 && rank->settings.path != NULL)
        result = merge(rank, error);
    if (result == 0)
        result = print(rank, output, error);
    if (seki_output_close(output, result == 0 ? error : NULL) < 0)
        result = -1;
    return result;
}

int main(int argc, char **argv)
{
    struct rank rank = {.settings = {.k = 20, .lock_timeout = 30}, .log = {.program = "seki-rank"}};
    struct seki_error error;
    int first, status = 3;

    switch (take_options(argc, argv, &rank, &first, &error)) {
    case SEKI_OPTIONS_DONE:
        return 0;
    case SEKI_OPTIONS_WRONG:
        return seki_log_usage(&rank.log, &error);
    case SEKI_OPTIONS_RUN:
        break;
    }
    rank.best = seki_repository_new((int)rank.settings.k, &error);
    if (rank.best != NULL && rank.settings.stats)
        rank.statistics = statistics_new(&error);
    if (rank.best == NULL || (rank.settings.stats && rank.statistics == NULL) ||
        run(&rank, argv + first, argc - first, &error) < 0) {
        seki_log_error(&rank.log, "%s", error.message);
        status = seki_error_status(&error);
    } else {
        status = rank.file_failed ? 3 : rank.complaints > 0 ? 1 : 0;
    }
    statistics_free(rank.statistics);
    seki_effects_free(rank.effects);
    seki_repository_free(rank.best);
    return status;
}
