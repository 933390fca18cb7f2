/*
 * backend_compare.h - what every backend is held to on every block of backend_cases.h: it agrees
 * with `ref`, a call repeats to the byte, NaN comes through.
 */
#ifndef SEKI_BACKEND_COMPARE_H
#define SEKI_BACKEND_COMPARE_H

#include "backend_rig.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Largest difference, relative to the largest value that is expected, or to 1 where all are
 * smaller: inputs are of order 1, and sums that cancel keep the rounding of their terms. */
static inline double largest_distance(const float *got, const float *expected, size_t count)
{
    double most = 0.0, scale = 1.0;

    for (size_t i = 0; i < count; i++) {
        if (isnan(got[i]) || isnan(expected[i]))
            return INFINITY;
        most = fmax(most, fabs((double)got[i] - expected[i]));
        scale = fmax(scale, fabs((double)expected[i]));
    }
    return most / scale;
}

/* Length of the difference, relative to that of what is expected, or to that of as many 0.1. */
static inline double mean_distance(const float *got, const float *expected, size_t count)
{
    double difference = 0.0, length = 0.0;

    for (size_t i = 0; i < count; i++) {
        difference += ((double)got[i] - expected[i]) * ((double)got[i] - expected[i]);
        length += (double)expected[i] * expected[i];
    }
    return count > 0 ? sqrt(difference / fmax(length, 0.01 * (double)count)) : 0.0;
}

struct bound {
    double (*distance)(const float *got, const float *expected, size_t count);
    double most;
};

/* `flipped`: of a gradient through a ReLU whose input is rounded. Where that moves a value over 0,
 * ReLU lets a wrong gradient through. `settled`: inputs are such that it moves none. */
struct tolerance {
    struct bound forward, gradient, flipped;
    bool settled;
};

/* fp32: single precision against sums in double precision; a gradient passes through up to four
 * convolutions and two BN.
 * bf16: a value keeps 8 bits, so each rounding is off by up to 2^-9 of it, 0.001 in the mean, and
 * what goes through a block is rounded up to five times. A few values that flip between two
 * convolutions are 0.15 of what the first of two repeats learns from these small pictures. Single
 * values may be off altogether, so what is bounded is the mean.
 * tf32: of what is multiplied 11 bits are kept. */
static const struct tolerance from_ref[] = {
    [SEKI_FP32] = {{largest_distance, 5e-6}, {largest_distance, 2e-5}, {largest_distance, 2e-5}},
    [SEKI_TF32] = {{mean_distance, 0.002}, {mean_distance, 0.006}, {mean_distance, 0.05}},
    [SEKI_BF16] = {{mean_distance, 0.01}, {mean_distance, 0.03}, {mean_distance, 0.15}},
};

static inline const struct bound *gradient_bound(const struct tolerance *tolerance,
                                                 const struct block_case *c, int repeat)
{
    const bool between_repeats =
        c->spec.kind == SEKI_BLOCK_SEPARABLE && repeat < c->spec.repeats - 1;

    return between_repeats || (c->flips && !tolerance->settled) ? &tolerance->flipped
                                                                : &tolerance->gradient;
}

static inline void assert_near(const struct values *got, const struct values *expected, int array,
                               const struct bound *bound, const char *what, const char *comment)
{
    double d = bound->distance(got->array[array], expected->array[array], got->count[array]);

    if (!(d <= bound->most))
        fail_msg("%s: %s is off by %g, at most %g is allowed", comment, what, d, bound->most);
}

/* A parameter tensor at a time: their sizes differ. */
static inline void assert_gradients_near(const struct values *got, const struct values *expected,
                                         const struct block_case *c,
                                         const struct seki_block_info *info,
                                         const struct tolerance *tolerance, const char *comment)
{
    for (int i = 0; i < info->count; i++) {
        const struct seki_parameter *t = &info->tensors[i];
        const struct bound *bound = gradient_bound(tolerance, c, t->repeat);

        if (t->role == SEKI_RUNNING_MEAN || t->role == SEKI_RUNNING_VARIANCE)
            continue;
        double d = bound->distance(got->array[GRADIENTS] + t->offset,
                                   expected->array[GRADIENTS] + t->offset, t->count);

        if (!(d <= bound->most))
            fail_msg("%s: the gradient of tensor %d (role %d, repeat %d) is off by %g, at most %g "
                     "is allowed",
                     comment, i, (int)t->role, t->repeat, d, bound->most);
    }
}

static inline struct values run(struct seki_backend *backend, const struct block_case *c,
                                enum seki_mode mode, const struct values *inputs)
{
    struct rig rig = rig_open(backend, c, mode);
    struct values v = values_copy(inputs);

    rig_run(&rig, &v);
    rig_close(&rig);
    return v;
}

/* To what bf16 holds, so that both sides begin with the same values. */
static inline void round_inputs(struct values *v)
{
    const int arrays[] = {X, Y, DX, DY};

    for (size_t a = 0; a < COUNT(arrays); a++)
        for (size_t i = 0; i < v->count[arrays[a]]; i++)
            v->array[arrays[a]][i] = (float)(rint(v->array[arrays[a]][i] * 64.0) / 64.0);
}

/* ---- Inputs that settle what a ReLU lets through -------------------------------------------- */

/* The block up to the ReLU that stands between its convolutions, or at its end; false: it has none.
 */
static inline bool up_to_relu(const struct block_case *c, struct block_case *before)
{
    const enum seki_block_kind kind = c->spec.kind;
    const bool between = kind == SEKI_BLOCK_SEPARABLE && c->spec.repeats > 1;

    *before = *c;
    before->add_y = before->keep = false;
    before->spec.relu_last = false;
    if (between) {
        before->spec.repeats = 1;
        before->spec.out_channels = c->spec.in.parts * c->spec.in.channels;
    }
    return between || (c->spec.relu_last && (kind == SEKI_BLOCK_CONV || kind == SEKI_BLOCK_NORM));
}

/* What that block makes of the inputs of the whole one, of which its own are the first. */
static inline struct values run_before(struct seki_backend *backend,
                                       const struct block_case *before, enum seki_mode mode,
                                       const struct values *inputs)
{
    const int arrays[] = {X, PARAMETERS, STATISTICS};
    struct seki_block_info info;
    struct seki_error error;

    assert_int_equal(seki_block_describe(&before->spec, &info, &error), 0);
    struct values v = values_new(before, &info, 0);
    struct rig rig = rig_open(backend, before, mode);

    for (size_t a = 0; a < COUNT(arrays); a++) {
        assert_true(v.count[arrays[a]] <= inputs->count[arrays[a]]);
        memcpy(v.array[arrays[a]], inputs->array[arrays[a]], v.count[arrays[a]] * sizeof(float));
    }
    rig_forward(&rig, &v);
    rig_close(&rig);
    return v;
}

/* Whether ReLU lets the same values through on both sides. */
static inline bool settles(struct seki_backend *known, struct seki_backend *other,
                           const struct block_case *before, enum seki_mode mode,
                           const struct values *inputs)
{
    struct values a = run_before(known, before, mode, inputs),
                  b = run_before(other, before, mode, inputs);
    bool same = true;

    for (size_t i = 0; i < a.count[Y]; i++)
        same = same && (a.array[Y][i] > 0.0f) == (b.array[Y][i] > 0.0f);
    values_free(&a);
    values_free(&b);
    return same;
}

static inline struct values new_inputs(struct seki_backend *known, struct seki_backend *other,
                                       const struct tolerance *tolerance,
                                       const struct block_case *c, enum seki_mode mode,
                                       uint64_t seed)
{
    enum { ATTEMPTS = 200, APART = 1000000 };
    struct seki_block_info info;
    struct seki_error error;
    struct block_case before;
    const bool asked = tolerance->settled && mode == SEKI_MODE_TRAIN && up_to_relu(c, &before);

    assert_int_equal(seki_block_describe(&c->spec, &info, &error), 0);
    for (uint64_t attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct values inputs = values_new(c, &info, seed + attempt * APART);

        if (other->precision == SEKI_BF16)
            round_inputs(&inputs);
        if (!asked || settles(known, other, &before, mode, &inputs))
            return inputs;
        values_free(&inputs);
    }
    fail_msg("%s: no inputs are found whose signs rounding leaves as they are", c->comment);
    return (struct values){0};
}

/* ---- Comparing ------------------------------------------------------------------------------ */

/* Both sides of the same inputs; `known` is the one that is relied on. */
static inline void compare(struct seki_backend *known, struct seki_backend *other,
                           const struct tolerance *tolerance, const struct block_case *c,
                           enum seki_mode mode, uint64_t seed)
{
    static const char *const modes[] = {"train", "score", "infer"};
    struct seki_block_info info;
    struct seki_error error;
    char comment[512];

    assert_int_equal(seki_block_describe(&c->spec, &info, &error), 0);
    snprintf(comment, sizeof comment, "%s, %s, beside %s, %s: %s", other->ops->name,
             seki_precision_name(other->precision), known->ops->name, modes[mode], c->comment);
    struct values inputs = new_inputs(known, other, tolerance, c, mode, seed);
    struct values expected = run(known, c, mode, &inputs), got = run(other, c, mode, &inputs);

    assert_near(&got, &expected, Y, &tolerance->forward, "y", comment);
    assert_near(&got, &expected, STATISTICS, &tolerance->forward, "a running statistic", comment);
    if (mode == SEKI_MODE_TRAIN) {
        if (!c->no_dx)
            assert_near(&got, &expected, DX, gradient_bound(tolerance, c, 0), "dx", comment);
        assert_gradients_near(&got, &expected, c, &info, tolerance, comment);
    }
    values_free(&inputs);
    values_free(&expected);
    values_free(&got);
}

static inline void agrees_with_ref(struct seki_backend *ref, struct seki_backend *other)
{
    for (size_t i = 0; i < BLOCK_CASES; i++)
        for (int mode = SEKI_MODE_TRAIN; mode <= SEKI_MODE_INFER; mode++)
            compare(ref, other, &from_ref[other->precision], &block_cases[i], (enum seki_mode)mode,
                    100 + i);
}

static inline void repeats_to_the_byte(struct seki_backend *backend)
{
    for (size_t i = 0; i < BLOCK_CASES; i++) {
        const struct block_case *c = &block_cases[i];
        struct rig rig = rig_open(backend, c, SEKI_MODE_TRAIN);
        struct seki_block_info info;
        struct seki_error error;

        assert_int_equal(seki_block_describe(&c->spec, &info, &error), 0);
        struct values inputs = values_new(c, &info, 200 + i);
        struct values first = values_copy(&inputs), second = values_copy(&inputs);

        rig_run(&rig, &first);
        rig_run(&rig, &second);
        for (int a = 0; a < ARRAYS; a++)
            if (!same_bytes(&first, &second, a))
                fail_msg("%s, %s: %s: array %d differs in a second call", backend->ops->name,
                         seki_precision_name(backend->precision), c->comment, a);
        values_free(&inputs);
        values_free(&first);
        values_free(&second);
        rig_close(&rig);
    }
}

static inline size_t count_nans(const float *values, size_t count)
{
    size_t nans = 0;

    for (size_t i = 0; i < count; i++)
        nans += isnan(values[i]) ? 1 : 0;
    return nans;
}

/* NaN in one pixel comes out wherever ref has it, and ref has it somewhere. */
static inline void check_nan(struct seki_backend *ref, struct seki_backend *backend,
                             const struct block_case *c, enum seki_mode mode)
{
    struct seki_block_info info;
    struct seki_error error;

    assert_int_equal(seki_block_describe(&c->spec, &info, &error), 0);
    struct values inputs = values_new(c, &info, 300);

    inputs.array[X][0] = NAN;
    struct rig rigs[] = {rig_open(ref, c, mode), rig_open(backend, c, mode)};
    struct values expected = values_copy(&inputs), got = values_copy(&inputs);

    rig_forward(&rigs[0], &expected);
    rig_forward(&rigs[1], &got);
    assert_true(count_nans(expected.array[Y], expected.count[Y]) > 0);
    for (size_t i = 0; i < got.count[Y]; i++)
        if (isnan(expected.array[Y][i]) && !isnan(got.array[Y][i]))
            fail_msg("%s: %s: y[%zu] is %g, expected NaN", backend->ops->name, c->comment, i,
                     (double)got.array[Y][i]);
    values_free(&inputs);
    values_free(&expected);
    values_free(&got);
    rig_close(&rigs[0]);
    rig_close(&rigs[1]);
}

static inline void lets_nan_through(struct seki_backend *ref, struct seki_backend *backend)
{
    for (size_t i = 0; i < BLOCK_CASES; i++)
        for (int mode = SEKI_MODE_TRAIN; mode <= SEKI_MODE_INFER; mode++)
            if (block_cases[i].spec.kind != SEKI_BLOCK_ZERO)
                check_nan(ref, backend, &block_cases[i], (enum seki_mode)mode);
}

#endif
