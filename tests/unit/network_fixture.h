/*
 * network_fixture.h - small networks on a backend that is watched: what each call of its loss came
 * to, how much memory was asked for, which blocks got a drop path mask.
 */
#ifndef SEKI_NETWORK_FIXTURE_H
#define SEKI_NETWORK_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "genotype/genotype.h"
#include "genotype_fixture.h"
#include "network/network_internal.h"

#define NAS201_MIXED                                                                               \
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"

/* Every operation of a search, on every kind of edge. */
#define DARTS_MIXED                                                                                \
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_3x3', 0), "             \
    "('max_pool_3x3', 2), ('sep_conv_5x5', 1), ('avg_pool_3x3', 3), ('dil_conv_5x5', 2), "         \
    "('skip_connect', 0)], normal_concat=[2, 3, 4, 5], reduce=[('sep_conv_3x3', 0), "              \
    "('skip_connect', 1), ('max_pool_3x3', 0), ('dil_conv_5x5', 1), ('avg_pool_3x3', 1), "         \
    "('skip_connect', 2), ('sep_conv_5x5', 3), ('dil_conv_3x3', 0)], "                             \
    "reduce_concat=[2, 3, 4, 5])"

/* What only a lax reader takes: repeated inputs, none, a node of nothing, concats of some nodes in
 * another order, an unread node, operations of NASNet. */
#define DARTS_LAX                                                                                  \
    "Genotype(normal=[('conv_7x1_1x7', 0), ('conv_7x1_1x7', 0), ('none', 1), ('none', 2), "        \
    "('sep_conv_7x7', 3), ('skip_connect', 1), ('max_pool_3x3', 2), ('none', 0)], "                \
    "normal_concat=[4, 2, 3], reduce=[('conv_7x1_1x7', 1), ('max_pool_3x3', 1), "                  \
    "('sep_conv_7x7', 0), ('skip_connect', 2)], reduce_concat=[3])"

/* ---- A watched backend ---------------------------------------------------------------------- */

static struct {
    const struct seki_backend_ops *ops; /* the backend's own */
    struct seki_backend_ops watched;
    double objective;   /* what the gradients are of: weighted mean losses, summed */
    int memory_calls;   /* since this was last set to 0 */
    int forwards;       /* forward calls */
    int masked;         /* of those, with a mask */
    int mask_values[3]; /* in those: zeros, kept, others */
    float kept;         /* the factor of a kept image */
} watch;

static inline int watch_loss(struct seki_backend *backend, const struct seki_loss_call *call,
                             struct seki_error *error)
{
    struct seki_tally tally = {0};
    int status = watch.ops->loss(backend, call, error);

    if (status == 0)
        status = backend->ops->read(backend, &tally, call->tally, sizeof tally, error);
    watch.objective += (double)call->weight * tally.loss / call->images;
    return status;
}

static inline void *watch_memory(struct seki_backend *backend, size_t bytes,
                                 struct seki_error *error)
{
    watch.memory_calls++;
    return watch.ops->memory(backend, bytes, error);
}

static inline int watch_forward(struct seki_block *block, const struct seki_block_call *call,
                                struct seki_error *error)
{
    watch.forwards++;
    watch.masked += call->keep != NULL;
    for (int i = 0; call->keep != NULL && i < call->images; i++)
        watch.mask_values[call->keep[i] == 0.0f ? 0 : call->keep[i] == watch.kept ? 1 : 2]++;
    return watch.ops->forward(block, call, error);
}

/* One at a time is watched. */
static inline struct seki_backend *watched_backend(const char *name)
{
    struct seki_error error;
    struct seki_backend *backend = seki_backend_open(name, 1, SEKI_FP32, &error);

    assert_non_null(backend);
    memset(&watch, 0, sizeof watch);
    watch.ops = backend->ops;
    watch.watched = *backend->ops;
    watch.watched.loss = watch_loss;
    watch.watched.memory = watch_memory;
    watch.watched.forward = watch_forward;
    backend->ops = &watch.watched;
    return backend;
}

/* ---- Batches -------------------------------------------------------------------------------- */

struct host_batch {
    struct seki_batch batch;
    float *pictures;
    int32_t *labels;
};

/* Normal noise, labels that take turns. */
static inline struct host_batch batch_new(const struct seki_network_config *config, int images,
                                          uint64_t seed)
{
    size_t count = (size_t)images * (size_t)config->image_channels * (size_t)config->image_height *
                   (size_t)config->image_width;
    struct host_batch made = {.pictures = calloc(count, sizeof(float)),
                              .labels = calloc((size_t)images, sizeof(int32_t))};
    struct seki_random random;

    assert_non_null(made.pictures);
    assert_non_null(made.labels);
    seki_random_seed(&random, seed, 1);
    for (size_t i = 0; i < count; i++)
        made.pictures[i] = (float)seki_random_normal(&random);
    for (int i = 0; i < images; i++)
        made.labels[i] = i % config->classes;
    made.batch =
        (struct seki_batch){.images = images, .pictures = made.pictures, .labels = made.labels};
    return made;
}

static inline void batch_free(struct host_batch *made)
{
    free(made->pictures);
    free(made->labels);
}

/* ---- Networks ------------------------------------------------------------------------------- */

static inline struct seki_network_config small_config(enum seki_space space, int channels,
                                                      int layers, int side)
{
    return (struct seki_network_config){.space = space,
                                        .channels = channels,
                                        .layers = layers,
                                        .classes = 3,
                                        .image_channels = 2,
                                        .image_height = side,
                                        .image_width = side};
}

/* genotype NULL: the supernet. */
static inline struct seki_network *network_new(struct seki_backend *backend,
                                               const struct seki_network_config *config,
                                               const struct seki_genotype *genotype)
{
    struct seki_error error;
    struct seki_network *network = seki_network_open(backend, config, genotype, &error);

    if (!network)
        fail_msg("%s", error.message);
    assert_int_equal(seki_network_initialise(network, 3, &error), 0);
    return network;
}

/* Gradients of the batch; returns what they are gradients of. */
static inline double gradients_of(struct seki_network *network, const struct host_batch *batch,
                                  double auxiliary, const struct seki_drop_path *drop_path)
{
    struct seki_batch_result result;
    struct seki_error error;

    watch.objective = 0;
    if (seki_network_gradients(network, &batch->batch, auxiliary, drop_path, &result, &error) < 0)
        fail_msg("%s", error.message);
    return watch.objective;
}

enum network_array { PARAMETER_ARRAY, GRADIENT_ARRAY };

/* A copy on the host; freed by the caller. */
static inline float *copy_array(struct seki_network *network, enum network_array which,
                                size_t *count)
{
    struct seki_backend *backend = seki_network_backend(network);
    struct seki_error error;
    const float *memory = seki_network_parameters(network, count);
    float *host = calloc(*count, sizeof *host);

    assert_non_null(host);
    if (which == GRADIENT_ARRAY)
        memory = seki_network_gradient_array(network);
    assert_int_equal(backend->ops->read(backend, host, memory, *count * sizeof *host, &error), 0);
    return host;
}

static inline void put_array(struct seki_network *network, enum network_array which,
                             const float *host)
{
    struct seki_backend *backend = seki_network_backend(network);
    struct seki_error error;
    size_t count;
    float *memory = seki_network_parameters(network, &count);

    if (which == GRADIENT_ARRAY)
        memory = seki_network_gradient_array(network);
    assert_int_equal(backend->ops->write(backend, memory, host, count * sizeof *host, &error), 0);
}

static inline bool is_active(const struct seki_network *network, size_t at)
{
    int count;
    const struct seki_range *active = seki_network_active(network, &count);

    for (int i = 0; i < count; i++)
        if (at >= active[i].offset && at < active[i].offset + active[i].count)
            return true;
    return false;
}

static inline double norm_of(const float *values, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * values[i];
    return sqrt(sum);
}

#endif
