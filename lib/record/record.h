/*
 * record.h - candidates on JSON lines; the top-k repository; tables of known scores; how measures
 * and scores compare.
 *
 * A record is one JSON object. Members that a program does not know pass through it untouched:
 * their text is kept as it came, to the spelling of a number. Members are named by a path of at
 * most two steps: "score", "metrics.params".
 *
 *     struct seki_records *in = seki_records_open(names, count, &error);
 *     while ((got = seki_records_next(in, &record, &error)) != 0) {
 *         if (got < 0) …                                 // a file cannot be read; goes on with the
 * next if (!seki_record_failed(record)) …             // do the work, or seki_record_fail(record,
 * …) text = seki_record_text(record, &length, &error); seki_output_line(out, text, length, &error);
 *     }
 */
#ifndef SEKI_RECORD_H
#define SEKI_RECORD_H

#include "base/base.h"
#include "genotype/genotype.h"

struct seki_record;

struct seki_record *seki_record_new(struct seki_error *error); /* {} */
/* From a line: a JSON object with no member twice, or a bare genotype in either notation.
 * SEKI_BAD_INPUT with code "json" or "genotype" says the column. */
struct seki_record *seki_record_parse(const char *text, size_t length, struct seki_error *error);
struct seki_record *seki_record_copy(const struct seki_record *record, struct seki_error *error);
void seki_record_free(struct seki_record *record);

/* Strings are UTF-8, decoded; they last until the record changes. NULL / false where the member is
 * missing or of another type. A number that is not finite cannot be written in JSON and so is never
 * got. */
bool seki_record_has(const struct seki_record *record, const char *path);
const char *seki_record_string(const struct seki_record *record, const char *path);
bool seki_record_number(const struct seki_record *record, const char *path, double *value);
/* The text of a member as JSON, not NUL-terminated; NULL where missing. */
const char *seki_record_json(const struct seki_record *record, const char *path, size_t *length);

/* A member that exists keeps its place; a new one goes last. Numbers are printed with the fewest
 * digits that read back equal. -1, and nothing changed: out of memory, longer than SEKI_MAX_LINE, a
 * value that is not finite or not UTF-8, or a first step that is there and no object. */
int seki_record_set_string(struct seki_record *record, const char *path, const char *value,
                           struct seki_error *error);
int seki_record_set_number(struct seki_record *record, const char *path, double value,
                           struct seki_error *error);
int seki_record_set_strings(struct seki_record *record, const char *path, const char *const *values,
                            int count, struct seki_error *error);
/* `json` must be one JSON value. */
int seki_record_set_json(struct seki_record *record, const char *path, const char *json,
                         struct seki_error *error);
void seki_record_remove(struct seki_record *record, const char *path);

/* The record as one line without its newline; lasts until the record changes. */
const char *seki_record_text(struct seki_record *record, size_t *length, struct seki_error *error);

/* ---- What a candidate's record means ------------------------------------------------------ */

/* `genotype`, checked against `space` where the record has one. */
int seki_record_genotype(const struct seki_record *record, enum seki_strictness strictness,
                         struct seki_genotype *genotype, struct seki_error *error);
/* Sets space, genotype (canonical) and id. */
int seki_record_set_genotype(struct seki_record *record, const struct seki_genotype *genotype,
                             struct seki_error *error);
/* Sets `error` (code and message) and takes `score` away. */
int seki_record_fail(struct seki_record *record, const struct seki_error *why,
                     struct seki_error *error);
bool seki_record_failed(const struct seki_record *record); /* has an `error` */

/* ---- A stream of records ------------------------------------------------------------------ */

struct seki_records;
struct seki_records *seki_records_open(char **names, int count, struct seki_error *error);
/*
 * 1: *record, owned by the stream, lasts until the next call. A line that is no record gives one
 * with `error` (code "json", "genotype", "length" or "nul"; the message begins "FILE:LINE: ") and
 * `line`, its beginning as a string. Empty lines are passed over. 0: end. -1: a file cannot be
 * read; call again for the next.
 */
int seki_records_next(struct seki_records *records, struct seki_record **record,
                      struct seki_error *error);
/* "FILE:LINE" of the last record, for messages. */
const char *seki_records_place(const struct seki_records *records);
/* As seki_input_ready and seki_input_descriptor. */
bool seki_records_ready(const struct seki_records *records);
int seki_records_descriptor(const struct seki_records *records);
void seki_records_close(struct seki_records *records);

/* ---- The repository: the k best, best first, one per id ----------------------------------- */

struct seki_repository;
/* k: at most so many are kept. An empty one; seki_repository_load adds a file's. */
struct seki_repository *seki_repository_new(int k, struct seki_error *error);
/* A missing file is an empty repository. A file with a line that is no scored record is refused,
 * file and line named (SEKI_BAD_INPUT). */
int seki_repository_load(struct seki_repository *repository, const char *path,
                         struct seki_error *error);
/*
 * Takes in a copy of a scored record: 1 if it is now among the k, 0 if not (worse than all of k, or
 * its id is there with a score at least as high). Equal scores: the earlier stays ahead. -1: no
 * finite score or no valid genotype.
 */
int seki_repository_add(struct seki_repository *repository, const struct seki_record *record,
                        struct seki_error *error);
int seki_repository_count(const struct seki_repository *repository);
struct seki_record *seki_repository_at(struct seki_repository *repository, int index);
/* Whole-file replacement; the caller holds the lock of `path` since before the load. */
int seki_repository_save(struct seki_repository *repository, const char *path,
                         struct seki_error *error);
void seki_repository_free(struct seki_repository *repository);

/* ---- Tables: scores of a benchmark, tab-separated with a header line, gzipped or not ------ */

struct seki_table;
/* The first column holds genotypes; `column` names the score. */
struct seki_table *seki_table_open(const char *path, const char *column, struct seki_error *error);
/* Score of a genotype: by its canonical notation; -1 (SEKI_BAD_INPUT, "table") where it is not in
 * the table. */
int seki_table_score(const struct seki_table *table, const struct seki_genotype *genotype,
                     double *score, struct seki_error *error);
/* Another column of the same row (for cifar10_test beside cifar10_valid); column index by name or
 * -1. */
int seki_table_column(const struct seki_table *table, const char *column);
int seki_table_value(const struct seki_table *table, const struct seki_genotype *genotype,
                     int column, double *value, struct seki_error *error);
void seki_table_close(struct seki_table *table);

/* ---- How well one measure ranks by another ------------------------------------------------ */

struct seki_correlation {
    double kendall_tau;  /* tau-b (Kendall 1945), which allows for ties */
    double spearman_rho; /* of mean ranks */
    double pearson_r;
};

/* Of count pairs of finite numbers, in O(count log count); NaN where undefined: fewer than two
 * pairs, or one side constant. */
int seki_correlate(const double *x, const double *y, size_t count,
                   struct seki_correlation *correlation, struct seki_error *error);

/* ---- What single edges did to the score --------------------------------------------------- */

/*
 * From matched pairs: two scored genotypes that differ in one edge (another operation, another
 * input, or both, into the same node) and are equal in all else, the order of a node's inputs
 * apart. Takes O(n log n) time, and up to 180 bytes for each distinct genotype while it computes.
 *
 *     struct seki_effects *effects = seki_effects_new(SEKI_NAS201, error);
 *     … seki_effects_add(effects, &genotype, score, error) …        // for each scored candidate
 *     if (seki_effects_compute(effects, error) == 0) … seki_effects_at(effects, i) …
 */
struct seki_effects;
struct seki_effect {
    int cell;
    struct seki_edge edge;
    double mean; /* over the pairs: score with this edge - score with another one in its place */
    /* Standard error of the mean, in units of the score: sqrt(variance of the differences / pairs),
     * as if pairs were independent, which those that share a candidate are not. NaN of one pair. */
    double deviation;
    size_t pairs;
};

struct seki_effects *seki_effects_new(enum seki_space space, struct seki_error *error);
enum seki_space seki_effects_space(const struct seki_effects *effects);
/* A scored candidate. SEKI_BAD_INPUT: of another space ("space"), not strict ("genotype"), a score
 * that is not finite or above 1e100 in magnitude ("score"). A genotype that is scored again counts
 * once, with its mean score. */
int seki_effects_add(struct seki_effects *effects, const struct seki_genotype *genotype,
                     double score, struct seki_error *error);
/* Call it after the last add; what follows tells what was there then. */
int seki_effects_compute(struct seki_effects *effects, struct seki_error *error);
/* Edges with at least one pair: by cell, node, input, operation in the space's order. */
size_t seki_effects_count(const struct seki_effects *effects);
const struct seki_effect *seki_effects_at(const struct seki_effects *effects, size_t index);
/* The one of that cell and edge, or NULL. */
const struct seki_effect *seki_effects_find(const struct seki_effects *effects, int cell,
                                            const struct seki_edge *edge);
/* The standard deviation of a score about the mean of its function, pooled over the functions (ids)
 * with more than one score: sqrt(sum of squares / repeats), where `repeats` counts the scores
 * beyond the first of each id. false where there is none. */
bool seki_effects_noise(const struct seki_effects *effects, double *deviation, size_t *repeats);
void seki_effects_free(struct seki_effects *effects);

#endif
