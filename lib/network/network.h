/*
 * network.h - a genotype becomes a network on a backend: the final network, the supernet, and what
 * they cost.
 *
 * darts:  the CIFAR network of DARTS (Liu et al. 2019, pt.darts cnn/model.py, model_search.py):
 * stem, `layers` cells, reduction cells at layers/3 and 2*layers/3, an auxiliary head while
 * training. nas201: the macro skeleton of NAS-Bench-201 (Dong, Yang 2020): three stages of `layers`
 * cells, a residual block of stride 2 between them.
 *
 * A network holds its parameters, gradients and running statistics in the backend's memory. Of the
 * supernet each step uses the modules of one selected genotype; the rest is neither read nor
 * written.
 *
 *     network = seki_network_open(backend, &config, &genotype, &error);    // NULL genotype: the
 * supernet seki_network_initialise(network, seed, &error); seki_network_prepare(network, 64,
 * SEKI_MODE_TRAIN, &error);          // nothing is allocated after this
 *     seki_network_select(network, &genotype, &error);                     // supernet only
 *     seki_network_step(network, &batch, 0, &drop_path, &sgd, &result, &error);
 */
#ifndef SEKI_NETWORK_H
#define SEKI_NETWORK_H

#include "base/base.h"
#include "genotype/genotype.h"
#include "nn/backend.h"

struct seki_network_config {
    enum seki_space space;
    int channels; /* of the first stage: darts 36 (final), 16 (supernet); nas201 16 */
    int layers;   /* darts: cells, 20 (final), 8 (supernet); nas201: cells a stage, 5 */
    int classes;
    int image_channels, image_height, image_width;
    bool auxiliary; /* darts final network: the auxiliary head, live while training */
};

struct seki_network;

/*
 * With a genotype (read lax): its network, with affine normalisation. Without: the supernet of the
 * space, one set of weights for each cell, edge and operation, normalisation without scale and
 * shift inside cells, one after pools too in darts. backend NULL: a description only, for cost and
 * names. SEKI_BAD_USE ("network"): the picture is too small or the sizes make no sense.
 */
struct seki_network *seki_network_open(struct seki_backend *backend,
                                       const struct seki_network_config *config,
                                       const struct seki_genotype *genotype,
                                       struct seki_error *error);
void seki_network_close(struct seki_network *network);
const struct seki_network_config *seki_network_get_config(const struct seki_network *network);
struct seki_backend *seki_network_backend(struct seki_network *network);

/* As PyTorch initialises: convolutions and linear uniform in +-1/sqrt(fan in), scale 1, shift 0,
 * running mean 0, variance 1. What a parameter gets follows from the seed and its name alone. */
int seki_network_initialise(struct seki_network *network, uint64_t seed, struct seki_error *error);

/* Readies every module for batches of that size in that mode and reserves the memory for
 * activations: for the supernet that of its heaviest genotype. */
int seki_network_prepare(struct seki_network *network, int images, enum seki_mode mode,
                         struct seki_error *error);

/* Supernet: the genotype (strict) that the next calls compute. */
int seki_network_select(struct seki_network *network, const struct seki_genotype *genotype,
                        struct seki_error *error);

struct seki_batch {
    int images;
    const float *pictures; /* images x C x H x W, normalised, on the host */
    const int32_t *labels; /* images */
    /* or, where the backend makes its batches by itself (ops->pictures), in its memory: */
    const uint8_t *bytes;
    const float *values;
    const struct seki_crop *crops;
};

/* Drop path (Larsson et al. 2017), as DARTS has it: the output of every edge but an identity is,
 * with `probability`, dropped for an image, else divided by 1 - probability. */
struct seki_drop_path {
    double probability;
    uint64_t seed, step; /* the masks follow from these */
};

struct seki_batch_result {
    double loss;    /* sum of the images' cross entropy; the auxiliary head's not included */
    long correct;   /* top-1 */
    double norm;    /* seki_network_step: of the gradient, before clipping */
    double seconds; /* seki_network_score: what this genotype took, its share of what all have in
                     * common included */
};

/*
 * Forward, loss (plus auxiliary_weight times the auxiliary head's), backward. Leaves the mean
 * loss's gradient in the gradients of the selected modules. drop_path NULL: none. A label outside
 * 0 .. classes-1 is refused (SEKI_BAD_INPUT, "label").
 */
int seki_network_gradients(struct seki_network *network, const struct seki_batch *batch,
                           double auxiliary_weight, const struct seki_drop_path *drop_path,
                           struct seki_batch_result *result, struct seki_error *error);
/* The same, and a step of SGD on those modules: all of a training step. result NULL: it is not
 * waited for, and seki_network_collect tells it. */
int seki_network_step(struct seki_network *network, const struct seki_batch *batch,
                      double auxiliary_weight, const struct seki_drop_path *drop_path,
                      const struct seki_sgd *sgd, struct seki_batch_result *result,
                      struct seki_error *error);
/* So many steps without a result are due to be collected, at most SEKI_MAX_PENDING. */
#define SEKI_MAX_PENDING 64
int seki_network_pending(const struct seki_network *network);
/* Waits for them, and tells in their order what they came to: tallies[seki_network_pending]. */
int seki_network_collect(struct seki_network *network, struct seki_tally *tallies,
                         struct seki_error *error);
/* Forward and loss in mode SCORE or INFER. logits (images x classes, on the host) may be NULL. */
int seki_network_evaluate(struct seki_network *network, const struct seki_batch *batch,
                          enum seki_mode mode, float *logits, struct seki_batch_result *result,
                          struct seki_error *error);
/*
 * Supernet: forward and loss of several genotypes on one batch in mode SCORE. What no genotype
 * enters, the stem and the first preprocessings, is computed once. results[i] is, to the bit, what
 * seki_network_evaluate gives with genotypes[i] selected. Selects the last.
 */
int seki_network_score(struct seki_network *network, const struct seki_batch *batch,
                       const struct seki_genotype *genotypes, int count,
                       struct seki_batch_result *results, struct seki_error *error);
/* Bytes reserved for activations. */
size_t seki_network_activation_bytes(const struct seki_network *network);

/* ---- Parameters --------------------------------------------------------------------------- */

/* In the backend's memory; `count` floats each. */
float *seki_network_parameters(struct seki_network *network, size_t *count);
float *seki_network_gradient_array(struct seki_network *network);
float *seki_network_statistics(struct seki_network *network, size_t *count);
/* What the last gradients or step wrote, in ascending order. */
const struct seki_range *seki_network_active(const struct seki_network *network, int *count);

/* A named tensor, by PyTorch's name and shape: "cells.3._ops.1.op.1.weight". */
struct seki_tensor_entry {
    char name[96];
    int dimensions;
    int size[4];
    size_t count;
    bool statistic; /* offset is into the statistics, else into the parameters */
    bool auxiliary;
    size_t offset; /* in floats */
};
int seki_network_tensor_count(const struct seki_network *network);
void seki_network_tensor(const struct seki_network *network, int index,
                         struct seki_tensor_entry *entry);

/* ---- Cost --------------------------------------------------------------------------------- */

/* The field's usual network to compare architectures by: CIFAR-10's pictures and classes; darts 36
 * channels, 20 cells (Liu et al. 2019); nas201 16 channels, 5 cells a stage (Dong, Yang 2020). */
struct seki_network_config seki_network_evaluation(enum seki_space space);

struct seki_cost {
    uint64_t parameters; /* trained numbers, the auxiliary head's not counted */
    uint64_t macs;       /* multiply-accumulates of convolutions and linear, one picture */
};
/* Of the network with this genotype, as PyTorch counts it: every operation in the genotype, also
 * one that nothing uses. */
int seki_network_cost(const struct seki_network_config *config,
                      const struct seki_genotype *genotype, struct seki_cost *cost,
                      struct seki_error *error);

#endif
