/* seki-eval - scores candidates: on a supernet, from a table, by trained weights, by cost. */
#include "common/machine_options.h"
#include "common/openmp_waiting.h"
#include "eval.h"

static int check(const struct eval_options *o, struct seki_error *error)
{
    int ways = (o->supernet != NULL) + (o->table != NULL) + (o->weights != NULL);
    if (ways > 1)
        return seki_fail(error, SEKI_BAD_USE, "options",
                         "--supernet, --table and --weights exclude each other");
    if (ways > 0 && o->cost)
        return seki_fail(
            error, SEKI_BAD_USE, "options",
            "--cost alone gives no score; every score comes with params and macs, leave "
            "--cost out");
    if (ways == 0 && !o->cost)
        return seki_fail(error, SEKI_BAD_USE, "options",
                         "one of --supernet, --table, --weights, --cost is needed");
    if ((o->supernet || o->weights) && !o->data)
        return seki_fail(error, SEKI_BAD_USE, "options",
                         "--data is needed: the pictures to score on");
    if (o->table && !o->column)
        return seki_fail(error, SEKI_BAD_USE, "options", "--column is needed: the table's score");
    return 0;
}

/* -1: go on; else the exit status. */
static int parse(struct eval_options *o, const struct seki_log *log, int argc, char **argv,
                 int *first)
{
    const struct seki_option table[] = {
        {.help = "How to score"},
        {"supernet", 's', SEKI_OPTION_FILE, &o->supernet, "FILE",
         "on this supernet (of seki-supernet), on its validation half of --data", NULL, 0, 0, NULL},
        {"table", 'T', SEKI_OPTION_FILE, &o->table, "FILE",
         "from a tab-separated table of genotypes and --column", NULL, 0, 0, NULL},
        {"weights", 'w', SEKI_OPTION_FILE, &o->weights, "FILE",
         "with these trained weights (safetensors, seki-train's or PyTorch's) on --split", NULL, 0,
         0, NULL},
        {"cost", 'c', SEKI_OPTION_FLAG, &o->cost, NULL,
         "params and macs of the evaluation network alone", NULL, 0, 0, NULL},
        {.help = "On what"},
        {"data", 'd', SEKI_OPTION_FILE, &o->data, "PATH", "pictures: CIFAR-10/100 binary or IDX",
         NULL, 0, 0, NULL},
        {"images", 'n', SEKI_OPTION_INTEGER, &o->images, "N",
         "first N pictures of the validation half or the split, 0 for all", NULL, 0, 1e9, NULL},
        {"split", 0, SEKI_OPTION_CHOICE, &o->split, "SPLIT", "split for --weights", "train|test", 0,
         0, NULL},
        {"column", 0, SEKI_OPTION_STRING, &o->column, "NAME",
         "the table's column that is the score", NULL, 0, 0, NULL},
        {"test-column", 0, SEKI_OPTION_STRING, &o->test_column, "NAME",
         "the table's column for metrics.test_accuracy", NULL, 0, 0, NULL},
        {"force", 'f', SEKI_OPTION_FLAG, &o->force, NULL, "score records that have a score again",
         NULL, 0, 0, NULL},
        {.help = "Evaluation network (defaults of darts; nas201: 16 channels, 5 cells a stage)"},
        {"channels", 'C', SEKI_OPTION_INTEGER, &o->channels, "N", "channels of the first stage",
         NULL, 1, 4096, &o->channels_given},
        {"layers", 'L', SEKI_OPTION_INTEGER, &o->layers, "N", "cells; nas201: cells a stage", NULL,
         1, 64, &o->layers_given},
        {"classes", 0, SEKI_OPTION_INTEGER, &o->classes, "N", "classes, where --data does not say",
         NULL, 2, 100000, &o->classes_given},
        {"image-size", 0, SEKI_OPTION_INTEGER, &o->image_size, "N",
         "a picture's side, where --data does not say", NULL, 4, 4096, &o->image_size_given},
        {"mean", 0, SEKI_OPTION_STRING, &o->mean, "R,G,B",
         "mean of the pixels, where --weights does not say", NULL, 0, 0, NULL},
        {"std", 0, SEKI_OPTION_STRING, &o->std, "R,G,B",
         "deviation of the pixels, where --weights does not say", NULL, 0, 0, NULL},
        {.help = "Machine"},
        MACHINE_OPTIONS(o),
        {"quiet", 'q', SEKI_OPTION_FLAG, &o->quiet, NULL, "no progress, no notes", NULL, 0, 0,
         NULL},
        {0},
    };
    const struct seki_program program = {"seki-eval", "score candidates", "[FILE ...]", table, -1};
    struct seki_error error;
    switch (seki_options_parse(&program, argc, argv, stdout, first, &error)) {
    case SEKI_OPTIONS_DONE:
        return 0;
    case SEKI_OPTIONS_WRONG:
        return seki_log_usage(log, &error);
    case SEKI_OPTIONS_RUN:
        break;
    }
    if (machine_listed(o->backend))
        return 0;
    return check(o, &error) < 0 ? seki_log_usage(log, &error) : -1;
}

int main(int argc, char **argv)
{
    struct eval_options o = {.backend = "auto",
                             .precision = "auto",
                             .split = "test",
                             .channels = 36,
                             .layers = 20,
                             .classes = 10,
                             .image_size = 32,
                             .mean = "0.49139968,0.48215827,0.44653124",
                             .std = "0.24703233,0.24348505,0.26158768"};
    struct seki_log log = {"seki-eval", false};
    struct seki_error error;
    openmp_waits_briefly();
    int first, status = parse(&o, &log, argc, argv, &first);
    if (status >= 0)
        return status;
    log.quiet = o.quiet;
    struct evaluator evaluator;
    status = evaluator_open(&evaluator, &o, &error);
    if (status == 0)
        status = stream_run(&evaluator, &log, argv + first, argc - first, &error);
    evaluator_close(&evaluator);
    if (status >= 0)
        return status;
    seki_log_error(&log, "%s", error.message);
    return seki_error_status(&error);
}
