/*
 * reference_fixture.h - tests/reference: what PyTorch came to, as digests, and the numbers that it
 * started from (tests/reference/README says how both are made).
 *
 * A digest is a row of a fixture's tensor: the L2 norm of the exact tensor (float64); PyTorch's own
 * error in float32; then the exact tensor whole where it has 16 elements at most,
 * else its sums with 16 fixed patterns of signs. For an error vector e, the mean square of such
 * sums estimates |e|^2, so that the distance to the exact tensor is measured without it; a
 * permutation of elements shows like any other error.
 */
#ifndef SEKI_REFERENCE_FIXTURE_H
#define SEKI_REFERENCE_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "network/network_internal.h"
#include "training/training_internal.h"

enum { REFERENCE_PROJECTIONS = 16, REFERENCE_WHOLE = 16, REFERENCE_KEY = 160 };

/* ---- Numbers made from a name --------------------------------------------------------------- */

static inline uint64_t reference_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Element i of the SplitMix64 sequence that starts at `start`. */
static inline uint64_t reference_bits(uint64_t start, size_t i)
{
    return reference_mix(start + (i + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

/* In [-1, 1). */
static inline double reference_unit(uint64_t start, size_t i)
{
    return (double)(reference_bits(start, i) >> 40) * 0x1.0p-23 - 1.0;
}

static inline uint64_t reference_stream(const char *key, const char *name)
{
    char text[REFERENCE_KEY + 96];

    snprintf(text, sizeof text, "%s%s", key, name);
    return seki_hash_string(text);
}

static inline float *reference_uniform(const char *key, const char *name, size_t count,
                                       double scale)
{
    uint64_t start = reference_stream(key, name);
    float *values = calloc(count + 1, sizeof *values);

    assert_non_null(values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(scale * reference_unit(start, i));
    return values;
}

static inline bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);

    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* first_value of values.py: +-1/sqrt(fan in); BN's scale and running variance around 1; the rest
 * around 0, shifts around +-lift where that is not 0. */
static inline void reference_first(const char *key, const struct seki_tensor_entry *entry,
                                   const char *name, double lift, float *values)
{
    uint64_t start = reference_stream(key, name), lifts = seki_hash_string("lift");
    double shift = 0, scale = 0.25;
    bool lifted = false;

    if (entry->dimensions > 1)
        scale = 1.0 / sqrt((double)(entry->count / (size_t)entry->size[0]));
    else if (ends_with(name, "weight") || ends_with(name, "running_var"))
        shift = 1;
    else
        lifted = ends_with(name, "bias") && !ends_with(name, "classifier.bias");
    for (size_t i = 0; i < entry->count; i++) {
        if (lifted)
            shift = reference_unit(lifts, i) > -0.5 ? lift : -lift;
        values[i] = (float)(shift + scale * reference_unit(start, i));
    }
}

/* Fills the network's parameters and statistics; `strip` letters of their names do not count. */
static inline void reference_fill(struct seki_network *network, const char *key, size_t strip,
                                  double lift)
{
    struct seki_backend *b = seki_network_backend(network);
    struct seki_error error;
    float *parameters = calloc(network->parameter_count + 1, sizeof *parameters);
    float *statistics = calloc(network->statistic_count + 1, sizeof *statistics);

    assert_non_null(parameters);
    assert_non_null(statistics);
    for (int i = 0; i < seki_network_tensor_count(network); i++) {
        struct seki_tensor_entry entry;

        seki_network_tensor(network, i, &entry);
        reference_first(key, &entry, entry.name + strip, lift,
                        (entry.statistic ? statistics : parameters) + entry.offset);
    }
    assert_int_equal(b->ops->write(b, network->parameters, parameters,
                                   network->parameter_count * sizeof *parameters, &error),
                     0);
    assert_int_equal(b->ops->write(b, network->statistics, statistics,
                                   network->statistic_count * sizeof *statistics, &error),
                     0);
    free(parameters);
    free(statistics);
}

/* A copy on the host of an array in the backend's memory. */
static inline float *reference_copy(struct seki_backend *b, const float *memory, size_t count)
{
    struct seki_error error;
    float *host = calloc(count + 1, sizeof *host);

    assert_non_null(host);
    assert_int_equal(b->ops->read(b, host, memory, count * sizeof *host, &error), 0);
    return host;
}

/* ---- Fixtures ------------------------------------------------------------------------------- */

/* How far a digest may be from the exact one: the greater of `times` PyTorch's own error and
 * `least`, relative to the exact tensor's norm; and `tiny` beside a tensor that is exactly 0 but
 * for rounding. */
struct reference_tolerance {
    double times, least, tiny;
};

struct reference {
    struct seki_checkpoint *file;
    const char *who;                      /* backend and case, for messages */
    int compared;                         /* rows so far */
    double worst;                         /* error over its tolerance, greatest so far */
    char worst_name[REFERENCE_KEY + 128]; /* where */
};

static inline struct reference reference_open(const char *name)
{
    const char *folder = getenv("SEKI_TESTS") != NULL ? getenv("SEKI_TESTS") : "tests";
    char path[4096];
    struct seki_error error;
    struct reference r = {.who = ""};

    snprintf(path, sizeof path, "%s/reference/%s.safetensors", folder, name);
    r.file = seki_checkpoint_open(path, &error);
    if (r.file == NULL)
        fail_msg("%s; run from the top folder or set SEKI_TESTS", error.message);
    return r;
}

static inline const char *reference_text(const struct reference *r, const char *key)
{
    const char *text = seki_checkpoint_text(r->file, key);

    if (text == NULL)
        fail_msg("the fixture has no %s", key);
    return text;
}

static inline double reference_number(const struct reference *r, const char *key)
{
    return strtod(reference_text(r, key), NULL);
}

/* Row `row` of `rows` of the digests of a tensor of that many elements. */
static inline const float *reference_row(const struct reference *r, const char *prefix,
                                         const char *name, int rows, int row, size_t count)
{
    int width = 2 + (count <= REFERENCE_WHOLE ? (int)count : REFERENCE_PROJECTIONS);
    struct seki_tensor_entry entry = {
        .dimensions = 2, .size = {rows, width}, .count = (size_t)(rows * width)};
    struct seki_error error;
    const float *values;

    assert_true(strlen(name) < sizeof entry.name);
    memcpy(entry.name, name, strlen(name) + 1);
    values = seki_checkpoint_floats(r->file, prefix, &entry, &error);
    if (values == NULL)
        fail_msg("%s: %s", r->who, error.message);
    return values + row * width;
}

/* The distance of values from what a row is of, estimated where it is no whole tensor. */
static inline double reference_distance(const float *row, const double *values, size_t count)
{
    uint64_t signs = 0x5e4b1;
    double sums[REFERENCE_PROJECTIONS] = {0}, square = 0;

    if (count <= REFERENCE_WHOLE) {
        for (size_t i = 0; i < count; i++)
            square += (values[i] - (double)row[2 + i]) * (values[i] - (double)row[2 + i]);
        return sqrt(square);
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = reference_bits(signs, i);

        for (int k = 0; k < REFERENCE_PROJECTIONS; k++)
            sums[k] += bits >> k & 1 ? values[i] : -values[i];
    }
    for (int k = 0; k < REFERENCE_PROJECTIONS; k++)
        square += (sums[k] - (double)row[2 + k]) * (sums[k] - (double)row[2 + k]);
    return sqrt(square / REFERENCE_PROJECTIONS);
}

/* Fails where values are not within the tolerance of a row of the tensor's digests. */
static inline void reference_compare(struct reference *r, const char *prefix, const char *name,
                                     int rows, int row, const double *values, size_t count,
                                     const struct reference_tolerance *tolerance)
{
    const float *digest = reference_row(r, prefix, name, rows, row, count);
    double norm = (double)digest[0], own = (double)digest[1];
    double allowed = fmax(fmax(tolerance->times * own, tolerance->least * norm), tolerance->tiny);
    double distance = reference_distance(digest, values, count);

    r->compared++;
    if (getenv("SEKI_REFERENCE_TRACE") != NULL)
        printf("# %s\t%s%s\t%d\t%g\t%g\t%g\n", r->who, prefix, name, row, norm, own, distance);
    if (!(distance <= allowed))
        fail_msg(
            "%s: %s%s, row %d: %.3g from PyTorch's float64, %.3g is allowed; its norm is %.3g, "
            "PyTorch's own float32 is up to %.3g from it",
            r->who, prefix, name, row, distance, allowed, norm, own);
    if (allowed > 0 && distance / allowed > r->worst) {
        r->worst = distance / allowed;
        snprintf(r->worst_name, sizeof r->worst_name, "%s%s, row %d", prefix, name, row);
    }
}

static inline void reference_compare_floats(struct reference *r, const char *prefix,
                                            const char *name, int rows, int row,
                                            const float *values, size_t count,
                                            const struct reference_tolerance *tolerance)
{
    double *wide = calloc(count + 1, sizeof *wide);

    assert_non_null(wide);
    for (size_t i = 0; i < count; i++)
        wide[i] = (double)values[i];
    reference_compare(r, prefix, name, rows, row, wide, count, tolerance);
    free(wide);
}

static inline void reference_close(struct reference *r)
{
    seki_checkpoint_close(r->file);
}

#endif
