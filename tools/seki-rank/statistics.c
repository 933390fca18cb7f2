/*
 * statistics.c - counts and shares over a stream of candidates, the three signs of a search that
 * fails, and how well the score ranks by test accuracy.
 */
#include "statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "growing.h"

struct skips {
    size_t genotypes, operations, skips;
};

struct statistics {
    size_t records, scored, failed, unscored, invalid, valid;
    size_t refused; /* proposals given up as known already, of which no genotype is in the record */
    struct id_set ids;
    struct skips skips;
    struct numbers scores;
    struct numbers paired_scores, test_accuracies; /* of records that have both */
};

struct statistics *statistics_new(struct seki_error *error)
{
    return seki_allocate(1, sizeof(struct statistics), error);
}

void statistics_free(struct statistics *statistics)
{
    if (statistics == NULL)
        return;
    free(statistics->ids.slots);
    free(statistics->scores.values);
    free(statistics->paired_scores.values);
    free(statistics->test_accuracies.values);
    free(statistics);
}

/* ---- Adding ------------------------------------------------------------------------------- */

static void count_skips(struct skips *skips, const struct seki_genotype *genotype)
{
    skips->genotypes++;
    for (int c = 0; c < genotype->cell_count; c++) {
        const struct seki_cell *cell = &genotype->cells[c];

        skips->operations += (size_t)cell->edge_count;
        for (int i = 0; i < cell->edge_count; i++)
            skips->skips += cell->edges[i].op == SEKI_SKIP_CONNECT;
    }
}

/* Whether the error says that what was proposed is no genotype, not that a network or a disk
 * failed. */
static bool is_syntax_error(const char *code)
{
    static const char *const codes[] = {"genotype", "json",   "empty", "truncated",
                                        "refusal",  "length", "nul"};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (strcmp(code, codes[i]) == 0)
            return true;
    }
    return false;
}

static void add_failure(struct statistics *s, const struct seki_record *record, bool valid)
{
    const char *code = seki_record_string(record, "error.code");

    s->failed++;
    if (code == NULL)
        return;
    s->invalid += is_syntax_error(code);
    s->refused += !valid && strcmp(code, "duplicate") == 0;
}

static int add_genotype(struct statistics *s, const struct seki_genotype *genotype,
                        struct seki_error *error)
{
    char id[SEKI_ID_LENGTH + 1];

    s->valid++;
    count_skips(&s->skips, genotype);
    seki_genotype_id(genotype, id);
    return id_set_add(&s->ids, strtoull(id, NULL, 16), error) < 0 ? -1 : 0;
}

static int add_score(struct statistics *s, const struct seki_record *record, double score,
                     struct seki_error *error)
{
    double test;

    s->scored++;
    if (numbers_add(&s->scores, score, error) < 0)
        return -1;
    if (!seki_record_number(record, "metrics.test_accuracy", &test))
        return 0;
    if (numbers_add(&s->paired_scores, score, error) < 0 ||
        numbers_add(&s->test_accuracies, test, error) < 0)
        return -1;
    return 0;
}

int statistics_add(struct statistics *s, const struct seki_record *record, struct seki_error *error)
{
    bool failed = seki_record_failed(record);
    struct seki_genotype genotype;
    bool valid = seki_record_genotype(record, SEKI_LAX, &genotype, NULL) == 0;
    double score;

    s->records++;
    if (valid && add_genotype(s, &genotype, error) < 0)
        return -1;
    if (failed) {
        add_failure(s, record, valid);
        return 0;
    }
    if (!valid) {
        s->failed++;
        s->invalid++;
        return 0;
    }
    if (seki_record_number(record, "score", &score))
        return add_score(s, record, score, error);
    s->unscored++;
    return 0;
}

/* ---- Writing ------------------------------------------------------------------------------ */

/* A number, or null where it is not defined (0 of 0). */
static int put(struct seki_record *out, const char *path, double value, struct seki_error *error)
{
    return isnan(value) ? seki_record_set_json(out, path, "null", error)
                        : seki_record_set_number(out, path, value, error);
}

struct figure {
    const char *path;
    double value;
};

static int put_all(struct seki_record *out, const struct figure *figures, size_t count,
                   struct seki_error *error)
{
    for (size_t i = 0; i < count; i++) {
        if (put(out, figures[i].path, figures[i].value, error) < 0)
            return -1;
    }
    return 0;
}

#define PUT_ALL(out, figures, error)                                                               \
    put_all(out, figures, sizeof(figures) / sizeof(figures)[0], error)

static double share(size_t part, size_t whole)
{
    return whole > 0 ? (double)part / (double)whole : NAN;
}

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sorts the scores. */
static int write_scores(struct statistics *s, struct seki_record *out, struct seki_error *error)
{
    const double *values = s->scores.values;
    size_t n = s->scores.count;
    double mean = 0, square = 0;

    if (n == 0)
        return seki_record_set_json(out, "score", "null", error);
    qsort(s->scores.values, n, sizeof *values, compare_numbers);
    for (size_t i = 0; i < n; i++)
        mean += values[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        square += (values[i] - mean) * (values[i] - mean) / (double)n;
    const struct figure figures[] = {
        {"score.min", values[0]},
        {"score.median", values[(n - 1) / 2] / 2 + values[n / 2] / 2},
        {"score.mean", mean},
        {"score.max", values[n - 1]},
        {"score.deviation", sqrt(square)},
    };
    return PUT_ALL(out, figures, error);
}

static int write_correlation(const struct statistics *s, struct seki_record *out,
                             struct seki_error *error)
{
    struct seki_correlation found;
    size_t n = s->paired_scores.count;

    if (seki_correlate(s->paired_scores.values, s->test_accuracies.values, n, &found, error) < 0)
        return -1;
    const struct figure figures[] = {
        {"correlation.pairs", (double)n},
        {"correlation.kendall_tau", found.kendall_tau},
        {"correlation.spearman_rho", found.spearman_rho},
        {"correlation.pearson_r", found.pearson_r},
    };
    return PUT_ALL(out, figures, error);
}

/* {"present": …, "share": …, "threshold": …} */
static int write_sign(struct seki_record *out, const char *name, double value, double threshold,
                      struct seki_error *error)
{
    char path[64];

    snprintf(path, sizeof path, "%s.present", name);
    if (seki_record_set_json(out, path, value > threshold ? "true" : "false", error) < 0)
        return -1;
    snprintf(path, sizeof path, "%s.share", name);
    if (put(out, path, value, error) < 0)
        return -1;
    snprintf(path, sizeof path, "%s.threshold", name);
    return put(out, path, threshold, error);
}

static struct skips top_skips(struct seki_repository *top)
{
    struct skips skips = {0};

    for (int i = 0; i < seki_repository_count(top); i++) {
        struct seki_genotype genotype;

        if (seki_record_genotype(seki_repository_at(top, i), SEKI_LAX, &genotype, NULL) == 0)
            count_skips(&skips, &genotype);
    }
    return skips;
}

int statistics_write(struct statistics *s, struct seki_repository *top, int k,
                     struct seki_record *out, struct seki_error *error)
{
    struct skips best = top_skips(top);
    size_t distinct = id_set_count(&s->ids);
    double invalid = share(s->invalid, s->records);
    double duplicate = share(s->valid - distinct + s->refused, s->valid + s->refused);
    const struct figure counts[] = {
        {"records", (double)s->records},
        {"scored", (double)s->scored},
        {"unscored", (double)s->unscored},
        {"failed", (double)s->failed},
        {"invalid", (double)s->invalid},
        {"distinct", (double)distinct},
        {"invalid_share", invalid},
        {"duplicate_share", duplicate},
        {"top.k", k},
        {"top.count", seki_repository_count(top)},
    };
    const struct figure skips[] = {
        {"skip_connect.share", share(s->skips.skips, s->skips.operations)},
        {"skip_connect.mean", share(s->skips.skips, s->skips.genotypes)},
        {"skip_connect.top_share", share(best.skips, best.operations)},
        {"skip_connect.top_mean", share(best.skips, best.genotypes)},
    };

    if (PUT_ALL(out, counts, error) < 0 || write_scores(s, out, error) < 0 ||
        PUT_ALL(out, skips, error) < 0 || write_correlation(s, out, error) < 0)
        return -1;
    if (write_sign(out, "syntax_errors", invalid, SYNTAX_ERRORS_ABOVE, error) < 0 ||
        write_sign(out, "mode_collapse", duplicate, MODE_COLLAPSE_ABOVE, error) < 0)
        return -1;
    return write_sign(out, "performance_collapse", share(best.skips, best.operations),
                      PERFORMANCE_COLLAPSE_ABOVE, error);
}
