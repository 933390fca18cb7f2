/* scorers.c - a candidate's score: on the supernet, from a table, by trained weights; its cost. */
#include "eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Scores already given: the same network under another spelling gets the same ---------- */

#define KNOWN_SCORES 8192 /* a power of two; an older score makes place for a newer one */

struct known_score {
    char id[SEKI_ID_LENGTH + 1];
    struct seki_score score;
};

static struct known_score *known_place(const struct evaluator *evaluator, const char *id)
{
    return &evaluator->known[strtoull(id, NULL, 16) % KNOWN_SCORES];
}

static const struct seki_score *known_score(const struct evaluator *evaluator, const char *id)
{
    const struct known_score *known = known_place(evaluator, id);
    return strcmp(known->id, id) == 0 ? &known->score : NULL;
}

/* What the scoring of candidates on pictures took, for the summary. */
static void count_score(struct evaluator *evaluator, const struct seki_score *score)
{
    evaluator->scored++;
    evaluator->seconds += score->seconds;
    evaluator->pictures += (double)score->images;
}

static void remember(struct evaluator *evaluator, const char *id, const struct seki_score *score)
{
    struct known_score *known = known_place(evaluator, id);
    memcpy(known->id, id, sizeof known->id);
    known->score = *score;
    count_score(evaluator, score);
}

/* ---- Cost --------------------------------------------------------------------------------- */

/* The evaluation network that a genotype's cost is counted on: the field's usual, or as the options
 * say. */
static struct seki_network_config evaluation_network(const struct evaluator *evaluator,
                                                     enum seki_space space)
{
    const struct eval_options *o = evaluator->options;
    const struct seki_dataset *dataset = evaluator->dataset;
    struct seki_network_config config = seki_network_evaluation(space);

    if (o->channels_given)
        config.channels = (int)o->channels;
    if (o->layers_given)
        config.layers = (int)o->layers;
    config.classes = (int)o->classes;
    config.image_height = config.image_width = (int)o->image_size;
    if (!dataset)
        return config;
    config.image_channels = seki_dataset_channels(dataset);
    if (!o->classes_given)
        config.classes = seki_dataset_classes(dataset);
    if (!o->image_size_given) {
        config.image_height = seki_dataset_height(dataset);
        config.image_width = seki_dataset_width(dataset);
    }
    return config;
}

static int set_cost(struct evaluator *evaluator, const struct seki_genotype *genotype,
                    struct seki_record *record, struct seki_error *error)
{
    if (!evaluator->has_last || !seki_genotype_equal(&evaluator->last, genotype)) {
        struct seki_network_config config = evaluation_network(evaluator, genotype->space);
        evaluator->has_last = false;
        if (seki_network_cost(&config, genotype, &evaluator->last_cost, error) < 0)
            return -1;
        evaluator->last = *genotype;
        evaluator->has_last = true;
    }
    if (seki_record_set_number(record, "metrics.params", (double)evaluator->last_cost.parameters,
                               error) < 0)
        return -1;
    return seki_record_set_number(record, "metrics.macs", (double)evaluator->last_cost.macs, error);
}

static int open_cost(struct evaluator *evaluator, struct seki_error *error)
{
    if (!evaluator->options->data)
        return 0;
    evaluator->dataset = seki_dataset_open(evaluator->options->data, error);
    return evaluator->dataset ? 0 : -1;
}

static int score_cost(struct evaluator *evaluator, const struct seki_genotype *genotype,
                      struct seki_record *record, struct seki_error *error)
{
    return set_cost(evaluator, genotype, record, error);
}

const struct scorer_kind scorer_cost = {"cost", SEKI_LAX, false, 1, open_cost, score_cost, NULL};

/* ---- Supernet ----------------------------------------------------------------------------- */

static int open_backend(struct evaluator *evaluator, struct seki_error *error)
{
    const struct eval_options *o = evaluator->options;
    evaluator->dataset = seki_dataset_open(o->data, error);
    if (!evaluator->dataset)
        return -1;
    evaluator->backend =
        seki_backend_open(o->backend, (int)o->threads, seki_precision_named(o->precision), error);
    return evaluator->backend ? 0 : -1;
}

static int open_supernet(struct evaluator *evaluator, struct seki_error *error)
{
    const struct eval_options *o = evaluator->options;
    if (open_backend(evaluator, error) < 0)
        return -1;
    evaluator->known = seki_allocate(KNOWN_SCORES, sizeof *evaluator->known, error);
    if (!evaluator->known)
        return -1;
    evaluator->scorer =
        seki_scorer_open(evaluator->backend, evaluator->dataset, o->supernet, o->images, error);
    return evaluator->scorer ? 0 : -1;
}

static int set_score(struct seki_record *record, const char *accuracy, const char *loss,
                     const struct seki_score *score, struct seki_error *error)
{
    if (!isfinite(score->loss))
        return seki_fail(error, SEKI_BAD_INPUT, "score",
                         "the network's loss is not finite: its weights have diverged");
    if (seki_record_set_number(record, "score", score->accuracy, error) < 0 ||
        seki_record_set_number(record, accuracy, score->accuracy, error) < 0 ||
        seki_record_set_number(record, loss, score->loss, error) < 0 ||
        seki_record_set_number(record, "metrics.images", (double)score->images, error) < 0)
        return -1;
    return seki_record_set_number(record, "metrics.seconds", score->seconds, error);
}

static int score_supernet(struct evaluator *evaluator, const struct seki_genotype *genotype,
                          struct seki_record *record, struct seki_error *error)
{
    char id[SEKI_ID_LENGTH + 1];
    struct seki_score score;
    seki_genotype_id(genotype, id);
    const struct seki_score *known = known_score(evaluator, id);
    if (known) {
        score = *known;
    } else {
        if (seki_scorer_score(evaluator->scorer, genotype, 1, &score, error) < 0)
            return -1;
        remember(evaluator, id, &score);
    }
    if (set_score(record, "metrics.valid_accuracy", "metrics.valid_loss", &score, error) < 0)
        return -1;
    return set_cost(evaluator, genotype, record, error);
}

/* Those that are new, and each function once, by its first spelling. */
static void score_ahead(struct evaluator *evaluator, const struct seki_genotype *genotypes,
                        int count)
{
    struct seki_genotype chosen[SEKI_SCORED_TOGETHER];
    struct seki_score scores[SEKI_SCORED_TOGETHER];
    char ids[SEKI_SCORED_TOGETHER][SEKI_ID_LENGTH + 1];
    int wanted = 0;
    for (int i = 0; i < count; i++) {
        bool seen = genotypes[i].space != seki_scorer_space(evaluator->scorer);
        seki_genotype_id(&genotypes[i], ids[wanted]);
        seen |= known_score(evaluator, ids[wanted]) != NULL;
        for (int j = 0; j < wanted; j++)
            seen |= strcmp(ids[j], ids[wanted]) == 0;
        if (!seen)
            chosen[wanted++] = genotypes[i];
    }
    /* One alone is scored in its turn. */
    if (wanted < 2 || seki_scorer_score(evaluator->scorer, chosen, wanted, scores, NULL) < 0)
        return;
    for (int i = 0; i < wanted; i++)
        remember(evaluator, ids[i], &scores[i]);
}

const struct scorer_kind scorer_supernet = {
    "supernet", SEKI_STRICT, true, MOST_IN_GROUP, open_supernet, score_supernet, score_ahead};

/* ---- Table -------------------------------------------------------------------------------- */

static int open_table(struct evaluator *evaluator, struct seki_error *error)
{
    const struct eval_options *o = evaluator->options;
    evaluator->table = seki_table_open(o->table, o->column, error);
    if (!evaluator->table)
        return -1;
    evaluator->test_column = -1;
    if (!o->test_column)
        return 0;
    evaluator->test_column = seki_table_column(evaluator->table, o->test_column);
    if (evaluator->test_column < 0)
        return seki_fail(error, SEKI_BAD_USE, "table", "%s has no column '%s'", o->table,
                         o->test_column);
    return 0;
}

static int score_table(struct evaluator *evaluator, const struct seki_genotype *genotype,
                       struct seki_record *record, struct seki_error *error)
{
    double value;
    if (seki_table_score(evaluator->table, genotype, &value, error) < 0 ||
        seki_record_set_number(record, "score", value, error) < 0 ||
        seki_record_set_number(record, "metrics.valid_accuracy", value, error) < 0)
        return -1;
    if (evaluator->test_column >= 0 &&
        (seki_table_value(evaluator->table, genotype, evaluator->test_column, &value, error) < 0 ||
         seki_record_set_number(record, "metrics.test_accuracy", value, error) < 0))
        return -1;
    return set_cost(evaluator, genotype, record, error);
}

const struct scorer_kind scorer_table = {"table", SEKI_LAX, true, 1, open_table, score_table, NULL};

/* ---- Trained weights ---------------------------------------------------------------------- */

/* "R,G,B" of --mean and --std. */
static int read_constants(const char *option, const char *text, float *values,
                          struct seki_error *error)
{
    const char *at = text;
    for (int i = 0; i < 3; i++) {
        char *end;
        double value = strtod(at, &end);
        if (end == at || !isfinite(value) || *end != (i == 2 ? '\0' : ','))
            return seki_fail(error, SEKI_BAD_USE, "options",
                             "--%s %.60s: three numbers R,G,B were expected, of pixels in 0..1",
                             option, text);
        values[i] = (float)value;
        at = end + 1;
    }
    return 0;
}

static int open_weights(struct evaluator *evaluator, struct seki_error *error)
{
    const struct eval_options *o = evaluator->options;
    struct seki_normalisation *normalisation = &evaluator->normalisation;
    normalisation->channels = 3;
    if (read_constants("mean", o->mean, normalisation->mean, error) < 0 ||
        read_constants("std", o->std, normalisation->deviation, error) < 0)
        return -1;
    for (int i = 0; i < 3; i++)
        if (!(normalisation->deviation[i] > 0))
            return seki_fail(error, SEKI_BAD_USE, "options", "--std %s: deviations are above 0",
                             o->std);
    /* A file that cannot be read ends the call, not each record. */
    evaluator->weights = seki_checkpoint_open(o->weights, error);
    if (!evaluator->weights)
        return -1;
    const char *kind = seki_checkpoint_text(evaluator->weights, "seki");
    if (kind && strcmp(kind, "supernet") == 0)
        return seki_fail(error, SEKI_BAD_USE, "options",
                         "%s is a supernet: give it with --supernet, or a network that seki-train "
                         "wrote with --weights",
                         o->weights);
    return open_backend(evaluator, error);
}

static int score_weights(struct evaluator *evaluator, const struct seki_genotype *genotype,
                         struct seki_record *record, struct seki_error *error)
{
    const struct eval_options *o = evaluator->options;
    bool test = strcmp(o->split, "test") == 0;
    struct seki_network_config config = evaluation_network(evaluator, genotype->space);
    struct seki_score score;
    if (seki_score_weights(evaluator->backend, evaluator->dataset,
                           test ? SEKI_TEST_SPLIT : SEKI_TRAIN_SPLIT, evaluator->weights, genotype,
                           &config, &evaluator->normalisation, o->images, &score, error) < 0)
        return seki_fail_within(error, "%s", o->weights);
    count_score(evaluator, &score);
    if (set_score(record, test ? "metrics.test_accuracy" : "metrics.train_accuracy",
                  test ? "metrics.test_loss" : "metrics.train_loss", &score, error) < 0)
        return -1;
    return set_cost(evaluator, genotype, record, error);
}

const struct scorer_kind scorer_weights = {"weights",    SEKI_LAX,      true, 1,
                                           open_weights, score_weights, NULL};

/* ---- Any of them -------------------------------------------------------------------------- */

int evaluator_open(struct evaluator *evaluator, const struct eval_options *options,
                   struct seki_error *error)
{
    *evaluator = (struct evaluator){.options = options};
    evaluator->kind = options->supernet  ? &scorer_supernet
                      : options->table   ? &scorer_table
                      : options->weights ? &scorer_weights
                                         : &scorer_cost;
    return evaluator->kind->open(evaluator, error);
}

/* A record that has a score is left as it is, unless it is to be scored again. */
static bool passes(const struct evaluator *evaluator, const struct seki_record *record)
{
    double score;
    return evaluator->kind->passes_scored && !evaluator->options->force &&
           seki_record_number(record, "score", &score);
}

int evaluator_score(struct evaluator *evaluator, struct seki_record *record,
                    struct seki_error *error)
{
    const struct scorer_kind *kind = evaluator->kind;
    struct seki_genotype genotype;
    if (passes(evaluator, record))
        return 0;
    if (seki_record_genotype(record, kind->strictness, &genotype, error) < 0 ||
        seki_record_set_genotype(record, &genotype, error) < 0 ||
        kind->score(evaluator, &genotype, record, error) < 0)
        return -1;
    return kind == &scorer_cost
               ? 0
               : seki_record_set_string(record, "metrics.scorer", kind->name, error);
}

void evaluator_ahead(struct evaluator *evaluator, struct seki_record *const *records, int count)
{
    const struct scorer_kind *kind = evaluator->kind;
    struct seki_genotype genotypes[MOST_IN_GROUP];
    int wanted = 0;
    for (int i = 0; i < count; i++)
        if (!seki_record_failed(records[i]) && !passes(evaluator, records[i]) &&
            seki_record_genotype(records[i], kind->strictness, &genotypes[wanted], NULL) == 0)
            wanted++;
    if (wanted > 1 && kind->ahead)
        kind->ahead(evaluator, genotypes, wanted);
}

void evaluator_close(struct evaluator *evaluator)
{
    seki_scorer_close(evaluator->scorer);
    seki_checkpoint_close(evaluator->weights);
    seki_table_close(evaluator->table);
    seki_backend_close(evaluator->backend);
    seki_dataset_close(evaluator->dataset);
    free(evaluator->known);
}
