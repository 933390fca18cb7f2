/*
 * training_options.h - the options that seki-supernet and seki-train have in common: the recipe,
 * the machine. The defaults of a recipe depend on the search space, which is known only after the
 * command line; so an option that was given replaces the recipe's value, and one that was not
 * leaves it.
 */
#ifndef SEKI_TOOLS_TRAINING_OPTIONS_H
#define SEKI_TOOLS_TRAINING_OPTIONS_H

#include "machine_options.h"
#include "training/training.h"

struct training_options {
    const char *data, *output, *backend, *precision;
    long channels, layers, images, threads;
    long epochs, batch, save_every;
    double rate, rate_end, momentum, decay, clip;
    bool resume, quiet, verbose;
    uint64_t seed;
    bool channels_given, layers_given, epochs_given, batch_given, rate_given, rate_end_given,
        momentum_given, decay_given, clip_given;
};

#define TRAINING_OPTIONS_FILES(o, what)                                                            \
    {"data",     'd',    SEKI_OPTION_FILE,                                                         \
     &(o)->data, "PATH", "pictures: CIFAR-10/100 binary or IDX",                                   \
     NULL,       0,      0,                                                                        \
     NULL},                                                                                        \
        {"output", 'o', SEKI_OPTION_FILE, &(o)->output, "FILE", what, NULL, 0, 0, NULL},           \
        {"resume",     'r',  SEKI_OPTION_FLAG,                                                     \
         &(o)->resume, NULL, "go on from FILE, where it exists",                                   \
         NULL,         0,    0,                                                                    \
         NULL},                                                                                    \
    {                                                                                              \
        "save-every", 0, SEKI_OPTION_INTEGER, &(o)->save_every, "N",                               \
            "save FILE every N steps of an epoch too, 0 for once a minute", NULL, 0, 1e9, NULL     \
    }

#define TRAINING_OPTIONS_RECIPE(o)                                                                 \
    {"epochs", 'e', SEKI_OPTION_INTEGER, &(o)->epochs, "N", "epochs", NULL,                        \
     1,        1e6, &(o)->epochs_given},                                                           \
        {"channels",                                                                               \
         'C',                                                                                      \
         SEKI_OPTION_INTEGER,                                                                      \
         &(o)->channels,                                                                           \
         "N",                                                                                      \
         "channels of the first stage",                                                            \
         NULL,                                                                                     \
         1,                                                                                        \
         4096,                                                                                     \
         &(o)->channels_given},                                                                    \
        {"layers",                                                                                 \
         'L',                                                                                      \
         SEKI_OPTION_INTEGER,                                                                      \
         &(o)->layers,                                                                             \
         "N",                                                                                      \
         "cells; nas201: cells a stage",                                                           \
         NULL,                                                                                     \
         1,                                                                                        \
         64,                                                                                       \
         &(o)->layers_given},                                                                      \
        {"batch", 'b',   SEKI_OPTION_INTEGER, &(o)->batch, "N", "pictures a step", NULL,           \
         2,       65536, &(o)->batch_given},                                                       \
        {"lr", 0,   SEKI_OPTION_NUMBER, &(o)->rate, "X", "learning rate at the beginning", NULL,   \
         0,    1e3, &(o)->rate_given},                                                             \
        {"lr-end",                                                                                 \
         0,                                                                                        \
         SEKI_OPTION_NUMBER,                                                                       \
         &(o)->rate_end,                                                                           \
         "X",                                                                                      \
         "learning rate at the end of its cosine",                                                 \
         NULL,                                                                                     \
         0,                                                                                        \
         1e3,                                                                                      \
         &(o)->rate_end_given},                                                                    \
        {"momentum", 0, SEKI_OPTION_NUMBER,  &(o)->momentum, "X", "momentum of SGD", NULL,         \
         0,          1, &(o)->momentum_given},                                                     \
        {"weight-decay",   0, SEKI_OPTION_NUMBER, &(o)->decay, "X", "weight decay", NULL, 0, 1,    \
         &(o)->decay_given},                                                                       \
    {                                                                                              \
        "clip", 0, SEKI_OPTION_NUMBER, &(o)->clip, "X",                                            \
            "largest norm of the gradient, 0 for no clipping", NULL, 0, 1e9, &(o)->clip_given      \
    }

#define TRAINING_OPTIONS_MACHINE(o)                                                                \
    MACHINE_OPTIONS(o),                                                                            \
        {"seed", 0,   SEKI_OPTION_SEED, &(o)->seed, "N", "seed of all that is random", NULL, 0,    \
         0,      NULL},                                                                            \
        {"verbose",     'v',  SEKI_OPTION_FLAG,                                                    \
         &(o)->verbose, NULL, "say what computes, and what memory it takes",                       \
         NULL,          0,    0,                                                                   \
         NULL},                                                                                    \
    {                                                                                              \
        "quiet", 'q', SEKI_OPTION_FLAG, &(o)->quiet, NULL, "no progress, no notes", NULL, 0, 0,    \
            NULL                                                                                   \
    }

/* What --help shows as defaults. */
struct training_options training_options_default(const struct seki_recipe *recipe, int channels,
                                                 int layers);
/* Options that were given go into settings, which hold the space's defaults. */
void training_options_apply(const struct training_options *o,
                            struct seki_training_settings *settings);

#endif
