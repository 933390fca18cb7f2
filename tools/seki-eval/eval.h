/* eval.h - the ways to score a candidate, each a constant table of functions over the opened
 * resources. */
#ifndef SEKI_TOOLS_EVAL_H
#define SEKI_TOOLS_EVAL_H

#include "base/base.h"
#include "record/record.h"
#include "training/training.h"

struct eval_options {
    const char *supernet, *table, *column, *test_column, *weights, *data, *split, *backend;
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
    struct seki_table *table;
    int test_column;
    struct seki_normalisation normalisation;
    struct known_score *known; /* scores given on the supernet, by id */
    struct seki_genotype last; /* and its cost: a stream often repeats a genotype */
    struct seki_cost last_cost;
    bool has_last;
};

struct scorer_kind {
    const char *name;                /* metrics.scorer */
    enum seki_strictness strictness; /* of the genotypes that it can score */
    bool passes_scored;              /* a record that has a score is left alone without --force */
    int (*open)(struct evaluator *evaluator, struct seki_error *error);
    int (*score)(struct evaluator *evaluator, const struct seki_genotype *genotype,
                 struct seki_record *record, struct seki_error *error);
};

extern const struct scorer_kind scorer_supernet, scorer_table, scorer_weights, scorer_cost;

/* Opens what the options name. */
int evaluator_open(struct evaluator *evaluator, const struct eval_options *options,
                   struct seki_error *error);
/* Scores one record: sets score and metrics. */
int evaluator_score(struct evaluator *evaluator, struct seki_record *record,
                    struct seki_error *error);
void evaluator_close(struct evaluator *evaluator);

#endif
