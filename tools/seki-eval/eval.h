/* eval.h - the ways to score a candidate, each a constant table of functions over the opened
 * resources. */
#ifndef SEKI_TOOLS_EVAL_H
#define SEKI_TOOLS_EVAL_H

#include "base/base.h"
#include "record/record.h"
#include "training/training.h"

struct eval_options {
    const char *supernet, *table, *column, *test_column, *weights, *data, *split, *backend,
        *precision;
    const char *mean, *std;
    bool cost, force, quiet;
    long images, threads, channels, layers, classes, image_size;
    bool channels_given, layers_given, classes_given, image_size_given;
};

/* What is open while records are scored. */
struct evaluator {
    const struct eval_options *options;
    const struct scorer_kind *kind;
    struct seki_backend *backend;
    struct seki_dataset *dataset;
    struct seki_scorer *scorer;
    struct seki_checkpoint *weights;
    struct seki_table *table;
    int test_column;
    struct seki_normalisation normalisation;
    struct known_score *known; /* scores given on the supernet, by id */
    struct seki_genotype last; /* and its cost: a stream often repeats a genotype */
    struct seki_cost last_cost;
    bool has_last;
    long scored; /* candidates scored on pictures, what that took, how many pictures */
    double seconds, pictures;
};

#define MOST_IN_GROUP SEKI_SCORED_TOGETHER

struct scorer_kind {
    const char *name;                /* metrics.scorer */
    enum seki_strictness strictness; /* of the genotypes that it can score */
    bool passes_scored;              /* a record that has a score is left alone without --force */
    int group;                       /* so many records at most gain by being scored together */
    int (*open)(struct evaluator *evaluator, struct seki_error *error);
    int (*score)(struct evaluator *evaluator, const struct seki_genotype *genotype,
                 struct seki_record *record, struct seki_error *error);
    /* group > 1: gets genotypes[0..count-1], in its strictness, scored ahead of `score`, together.
     * What fails here fails there again, where it is told. */
    void (*ahead)(struct evaluator *evaluator, const struct seki_genotype *genotypes, int count);
};

extern const struct scorer_kind scorer_supernet, scorer_table, scorer_weights, scorer_cost;

/* Opens what the options name. */
int evaluator_open(struct evaluator *evaluator, const struct eval_options *options,
                   struct seki_error *error);
/* Scores one record: sets score and metrics. */
int evaluator_score(struct evaluator *evaluator, struct seki_record *record,
                    struct seki_error *error);
/* To be called before those `count` records, MOST_IN_GROUP at most, are scored one by one. */
void evaluator_ahead(struct evaluator *evaluator, struct seki_record *const *records, int count);
void evaluator_close(struct evaluator *evaluator);

/* stream.c: all records of the files named. Returns the exit status, or -1 with *error. */
int stream_run(struct evaluator *evaluator, const struct seki_log *log, char **names, int count,
               struct seki_error *error);

#endif
