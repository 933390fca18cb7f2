/*
 * backend_values.h - what goes into a block of a case and comes out of it, as arrays on the host.
 */
#ifndef SEKI_BACKEND_VALUES_H
#define SEKI_BACKEND_VALUES_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend_cases.h"

/* Inputs and outputs of a case. A run replaces y, dx, gradients, statistics by what the backend
 * made of them. */
enum { X, Y, DX, DY, PARAMETERS, GRADIENTS, STATISTICS, KEEP, ARRAYS };

struct values {
    size_t count[ARRAYS];
    float *array[ARRAYS];
};

static inline void random_normal(float *values, size_t count, float scale,
                                 struct seki_random *random)
{
    for (size_t i = 0; i < count; i++)
        values[i] = scale * (float)seki_random_normal(random);
}

/* Weights of fan-in size, scales around 1, all else around 0. */
static inline void random_parameters(const struct seki_block_info *info, struct values *values,
                                     struct seki_random *random)
{
    for (int i = 0; i < info->count; i++) {
        const struct seki_parameter *tensor = &info->tensors[i];
        bool running = tensor->role == SEKI_RUNNING_MEAN || tensor->role == SEKI_RUNNING_VARIANCE;
        float *to = values->array[running ? STATISTICS : PARAMETERS] + tensor->offset;
        float fan_in = (float)(tensor->count / (size_t)tensor->size[0]);

        random_normal(to, tensor->count, tensor->dimensions > 1 ? 1.0f / sqrtf(fan_in) : 0.3f,
                      random);
        for (size_t j = 0; j < tensor->count; j++)
            if (tensor->role == SEKI_SCALE || tensor->role == SEKI_RUNNING_VARIANCE)
                to[j] = 0.5f + fabsf(to[j]);
    }
}

static inline struct values values_new(const struct block_case *c,
                                       const struct seki_block_info *info, uint64_t seed)
{
    const struct seki_shape *in = &c->spec.in, *out = &info->out;
    size_t x = (size_t)(c->images * in->parts * in->channels * in->height * in->width);
    size_t y = (size_t)(c->images * out->channels * out->height * out->width);
    struct values v = {.count = {[X] = x,
                                 [Y] = y,
                                 [DX] = x,
                                 [DY] = y,
                                 [PARAMETERS] = info->parameters,
                                 [GRADIENTS] = info->parameters,
                                 [STATISTICS] = info->statistics,
                                 [KEEP] = (size_t)c->images}};
    struct seki_random random;

    seki_random_seed(&random, seed, 1);
    for (int a = 0; a < ARRAYS; a++) {
        v.array[a] = calloc(v.count[a] + 1, sizeof(float));
        assert_non_null(v.array[a]);
        random_normal(v.array[a], v.count[a], 1.0f, &random);
    }
    random_parameters(info, &v, &random);
    for (size_t i = 0; i < x && c->coarse; i++)
        v.array[X][i] = (float)seki_random_below(&random, 3) - 1.0f;
    for (int n = 0; n < c->images; n++)
        v.array[KEEP][n] = n % 2 == 0 ? 1.25f : 0.0f;
    return v;
}

static inline struct values values_copy(const struct values *from)
{
    struct values to = *from;

    for (int a = 0; a < ARRAYS; a++) {
        to.array[a] = calloc(from->count[a] + 1, sizeof(float));
        assert_non_null(to.array[a]);
        memcpy(to.array[a], from->array[a], from->count[a] * sizeof(float));
    }
    return to;
}

static inline void values_free(struct values *values)
{
    for (int a = 0; a < ARRAYS; a++)
        free(values->array[a]);
}

static inline bool same_bytes(const struct values *a, const struct values *b, int array)
{
    return memcmp(a->array[array], b->array[array], a->count[array] * sizeof(float)) == 0;
}

#endif
