/*
 * test_backend_ref.c - `ref`, what the other backends are held against: its gradients against
 * finite differences, its values against numbers worked out by hand.
 */
#include "backend_rig.h"

/* ---- Finite differences ------------------------------------------------------------------- */

/* The loss is sum(dy * y) in double precision, so that its gradients are what backward gives for
 * dy. */
static double loss_of(struct rig *rig, const struct values *inputs)
{
    struct values v = values_copy(inputs);
    double sum = 0.0;

    rig_forward(rig, &v);
    for (size_t i = 0; i < v.count[Y]; i++)
        sum += (double)v.array[DY][i] * v.array[Y][i];
    values_free(&v);
    return sum;
}

/*
 * A central difference of step 2^-10 errs by step^2 / 6 times a third derivative (BN over few
 * values has large ones), and by rounding: y is in single precision, so the loss is known to about
 * 1e-6. Both stay under 1 % of the largest gradient of the tensor. With larger steps a ReLU behind
 * a BN, of which every value moves with a parameter, switches on both sides.
 */
#define STEP      (1.0f / 1024.0f)
#define TOLERANCE 1e-2

/*
 * Where a ReLU or a maximum switches within the step, the difference over that side is of no use;
 * the other side still is, to first order.
 */
static double distance_to_difference(struct rig *rig, struct values *inputs, float *value,
                                     double gradient)
{
    float middle = *value;
    double here = loss_of(rig, inputs);

    *value = middle + STEP;
    double after = (loss_of(rig, inputs) - here) / ((double)*value - middle);

    *value = middle - STEP;
    double before = (here - loss_of(rig, inputs)) / ((double)middle - *value);

    *value = middle;
    return fmin(fabs((after + before) / 2.0 - gradient),
                fmin(fabs(after - gradient), fabs(before - gradient)));
}

/* Of `count` values and their gradients, up to 24 that are spread over all. */
static void check_gradients(struct rig *rig, struct values *inputs, float *values,
                            const double *gradients, size_t count, const char *what)
{
    enum { CHECKS = 24 };
    size_t stride = count / CHECKS + 1;
    double scale = 0.1;

    for (size_t i = 0; i < count; i++)
        scale = fmax(scale, fabs(gradients[i]));
    for (size_t i = count > 1 ? stride / 2 : 0; i < count; i += stride) {
        double d = distance_to_difference(rig, inputs, &values[i], gradients[i]);

        if (!(d <= TOLERANCE * scale))
            fail_msg("%s: the gradient of %s[%zu] is %g, a finite difference %g from it; at most "
                     "%g is allowed",
                     rig->c->comment, what, i, gradients[i], d, TOLERANCE * scale);
    }
}

/* What backward added. */
static double *added(const struct values *after, const struct values *before, int array,
                     bool added_to)
{
    double *difference = calloc(after->count[array] + 1, sizeof(double));

    assert_non_null(difference);
    for (size_t i = 0; i < after->count[array]; i++)
        difference[i] =
            (double)after->array[array][i] - (added_to ? (double)before->array[array][i] : 0.0);
    return difference;
}

static void check_case(struct seki_backend *ref, const struct block_case *c, uint64_t seed)
{
    struct rig rig = rig_open(ref, c, SEKI_MODE_TRAIN);
    struct seki_block_info info;
    struct seki_error error;

    assert_int_equal(seki_block_describe(&c->spec, &info, &error), 0);
    struct values inputs = values_new(c, &info, seed), outputs = values_copy(&inputs);

    rig_run(&rig, &outputs);
    double *dx = added(&outputs, &inputs, DX, c->add_dx);
    double *gradients = added(&outputs, &inputs, GRADIENTS, true);

    if (!c->no_dx)
        check_gradients(&rig, &inputs, inputs.array[X], dx, inputs.count[X], "x");
    for (int i = 0; i < info.count; i++) {
        const struct seki_parameter *t = &info.tensors[i];
        char what[64];

        if (t->role == SEKI_RUNNING_MEAN || t->role == SEKI_RUNNING_VARIANCE)
            continue;
        snprintf(what, sizeof what, "tensor %d (role %d, repeat %d)", i, (int)t->role, t->repeat);
        check_gradients(&rig, &inputs, inputs.array[PARAMETERS] + t->offset, gradients + t->offset,
                        t->count, what);
    }
    free(dx);
    free(gradients);
    values_free(&inputs);
    values_free(&outputs);
    rig_close(&rig);
}

static void test_gradients_are_those_of_finite_differences(void **state)
{
    struct seki_backend *ref = open_backend("ref");

    (void)state;
    for (size_t i = 0; i < BLOCK_CASES; i++)
        if (!block_cases[i].coarse)
            check_case(ref, &block_cases[i], 400 + i);
    seki_backend_close(ref);
}

/* ---- By hand ------------------------------------------------------------------------------ */

/* A case of few values, written out. NULL: not looked at, or none. */
struct worked_case {
    struct block_case c;
    enum seki_mode mode;
    const float *x, *parameters, *statistics, *y_before, *dy; /* inputs */
    const float *y, *dx, *gradients, *statistics_after;
};

#define FLOATS(...) ((const float[]){__VA_ARGS__})

static const struct worked_case worked_cases[] = {
    {.c = {"a picture of equals: each maximum is the first pixel under the kernel",
           {.kind = SEKI_BLOCK_MAX_POOL, SLIDE(3, 1, 1), .in = {1, 1, 3, 3}},
           .images = 1},
     .x = FLOATS(2, 2, 2, 2, 2, 2, 2, 2, 2),
     .dy = FLOATS(1, 2, 4, 8, 16, 32, 64, 128, 256),
     .y = FLOATS(2, 2, 2, 2, 2, 2, 2, 2, 2),
     .dx = FLOATS(1 + 2 + 8 + 16, 4 + 32, 0, 64 + 128, 256, 0, 0, 0, 0)},
    {.c = {"a maximum below 0: padding does not count as 0",
           {.kind = SEKI_BLOCK_MAX_POOL, SLIDE(3, 2, 1), .in = {1, 1, 2, 3}},
           .images = 1},
     .x = FLOATS(-5, -6, -7, -2, -3, -4),
     .dy = FLOATS(1, 10),
     .y = FLOATS(-2, -3),
     .dx = FLOATS(0, 0, 0, 1, 10, 0)},
    {.c = {"a mean leaves padding out of the count",
           {.kind = SEKI_BLOCK_AVG_POOL, SLIDE(3, 2, 1), .in = {1, 1, 3, 3}},
           .images = 1},
     .x = FLOATS(1, 2, 3, 4, 5, 6, 7, 8, 9),
     .dy = FLOATS(4, 8, 12, 16),
     .y = FLOATS(3, 4, 6, 7),
     .dx = FLOATS(1, 1 + 2, 2, 1 + 3, 1 + 2 + 3 + 4, 2 + 4, 3, 3 + 4, 4)},
    {.c = {"FactorizedReduce of 3x3: the second half sees the odd pixels, then zeros",
           {.kind = SEKI_BLOCK_REDUCE, .in = {1, 1, 3, 3}, .out_channels = 2},
           .images = 1},
     .mode = SEKI_MODE_INFER,
     .x = FLOATS(1, 2, 3, 4, 5, 6, 7, 8, -9),
     .parameters = FLOATS(1, 10),
     .statistics = FLOATS(0, 0, 1 - SEKI_NORM_EPSILON, 1 - SEKI_NORM_EPSILON),
     .y = FLOATS(1, 3, 7, 0, 50, 0, 0, 0)},
    {.c = {"running statistics move by a tenth, to the variance over n - 1",
           {.kind = SEKI_BLOCK_NORM, .in = {1, 1, 1, 2}},
           .images = 2},
     .x = FLOATS(1, 3, 5, 7),
     .statistics = FLOATS(10, 20),
     .statistics_after = FLOATS(9 + 0.4f, 18 + 2.0f / 3.0f),
     .dy = FLOATS(0, 0, 0, 0),
     .y = FLOATS(-1.3416394f, -0.44721314f, 0.44721314f, 1.3416394f),
     .dx = FLOATS(0, 0, 0, 0)},
    {.c = {"convolution: the kernel is not turned, taps outside of the picture see 0",
           {.kind = SEKI_BLOCK_CONV,
            KERNEL(1, 3),
            STRIDE(1, 1),
            PADDING(0, 1),
            .in = {1, 1, 1, 3},
            .out_channels = 1,
            .relu_first = true},
           .images = 1},
     .x = FLOATS(1, -2, 3),
     .parameters = FLOATS(1, 2, 3),
     .dy = FLOATS(1, 10, 100),
     .y = FLOATS(2, 10, 6),
     .dx = FLOATS(12, 0, 230),
     .gradients = FLOATS(10, 301, 30)},
    {.c = {"convolution: weights are (out, in, 1, 1)",
           {CONV(1, 1, 0), .in = {1, 2, 1, 1}, .out_channels = 2, .relu_last = true},
           .images = 1},
     .x = FLOATS(1, 10),
     .parameters = FLOATS(1, 2, 3, -4),
     .dy = FLOATS(5, 7),
     .y = FLOATS(21, 0),
     .dx = FLOATS(5, 10),
     .gradients = FLOATS(5, 50, 0, 0)},
    {.c = {"dil_conv: taps two pixels apart, each channel its own kernel, then pointwise",
           {.kind = SEKI_BLOCK_SEPARABLE,
            KERNEL(1, 3),
            STRIDE(1, 1),
            PADDING(0, 2),
            .dilation = 2,
            .repeats = 1,
            .in = {1, 2, 1, 5},
            .out_channels = 1},
           .images = 1},
     .mode = SEKI_MODE_INFER,
     .x = FLOATS(1, 2, 3, 4, 5, 1, 0, 0, 0, 0),
     .parameters = FLOATS(1, 10, 100, 1, 1, 1, 1, 1000),
     .statistics = FLOATS(0, 1 - SEKI_NORM_EPSILON),
     .y = FLOATS(1310, 420, 1531, 42, 53)},
    {.c = {"sep_conv: the stride is in the first repeat, ReLU before each, none after the last",
           {.kind = SEKI_BLOCK_SEPARABLE,
            KERNEL(1, 1),
            STRIDE(1, 2),
            .dilation = 1,
            .repeats = 2,
            .in = {1, 1, 1, 4},
            .out_channels = 1},
           .images = 1},
     .mode = SEKI_MODE_INFER,
     .x = FLOATS(1, 2, 3, 4),
     .parameters = FLOATS(2, 3, 2, -1),
     .statistics = FLOATS(10, 1 - SEKI_NORM_EPSILON, 0, 1 - SEKI_NORM_EPSILON),
     .y = FLOATS(0, -16)},
    {.c = {"scoring: the batch's statistics, while the running ones stay",
           {.kind = SEKI_BLOCK_NORM, .in = {1, 1, 1, 2}},
           .images = 2},
     .mode = SEKI_MODE_SCORE,
     .x = FLOATS(1, 3, 5, 7),
     .statistics = FLOATS(10, 20),
     .statistics_after = FLOATS(10, 20),
     .y = FLOATS(-1.3416394f, -0.44721314f, 0.44721314f, 1.3416394f)},
    {.c = {"add_y: to what is there",
           {.kind = SEKI_BLOCK_IDENTITY, .in = {1, 1, 1, 2}},
           .images = 1,
           .add_y = true},
     .x = FLOATS(1, 2),
     .y_before = FLOATS(10, 20),
     .dy = FLOATS(3, 4),
     .y = FLOATS(11, 22),
     .dx = FLOATS(3, 4)},
    {.c = {"inference: y = scale * (x - mean) / deviation + shift, then ReLU",
           {.kind = SEKI_BLOCK_NORM, .in = {1, 2, 1, 1}, .affine = true, .relu_last = true},
           .images = 2},
     .mode = SEKI_MODE_INFER,
     .x = FLOATS(5, 1, -5, 9),
     .parameters = FLOATS(2, 3, 0.5f, 0.25f),
     .statistics = FLOATS(1, 1, 4 - SEKI_NORM_EPSILON, 16 - SEKI_NORM_EPSILON),
     .statistics_after = FLOATS(1, 1, 4 - SEKI_NORM_EPSILON, 16 - SEKI_NORM_EPSILON),
     .y = FLOATS(4.5f, 0.25f, 0, 6.25f)},
    {.c = {"drop path: forward and backward take each image's factor",
           {.kind = SEKI_BLOCK_CONV, SLIDE(1, 1, 0), .in = {1, 1, 1, 2}, .out_channels = 1},
           .images = 2,
           .keep = true},
     .x = FLOATS(1, 2, 3, 4),
     .parameters = FLOATS(4),
     .dy = FLOATS(2, 4, 6, 8),
     .y = FLOATS(5, 10, 0, 0),
     .dx = FLOATS(10, 20, 0, 0),
     .gradients = FLOATS(1.25f * (2 + 8))},
    {.c = {"a classifier: means, weights, bias",
           {.kind = SEKI_BLOCK_HEAD, .in = {2, 1, 1, 2}, .out_channels = 2},
           .images = 1},
     .x = FLOATS(1, 3, 10, 20),
     .parameters = FLOATS(1, 2, 3, 4, 100, 200),
     .dy = FLOATS(1, 10),
     .y = FLOATS(132, 266),
     .dx = FLOATS(15.5f, 15.5f, 21, 21),
     .gradients = FLOATS(2, 15, 20, 150, 1, 10)},
};

static void put(struct values *v, int array, const float *from)
{
    for (size_t i = 0; i < v->count[array]; i++)
        v->array[array][i] = from != NULL ? from[i] : 0.0f;
}

static void assert_worked(const struct values *v, int array, const float *expected,
                          const char *what, const char *comment)
{
    for (size_t i = 0; i < v->count[array] && expected != NULL; i++)
        if (!(fabsf(v->array[array][i] - expected[i]) <= 1e-5f * fmaxf(1.0f, fabsf(expected[i]))))
            fail_msg("%s: %s[%zu] is %.9g, expected %.9g", comment, what, i,
                     (double)v->array[array][i], (double)expected[i]);
}

static void test_values_are_those_worked_out_by_hand(void **state)
{
    struct seki_backend *ref = open_backend("ref");

    (void)state;
    for (size_t i = 0; i < sizeof worked_cases / sizeof worked_cases[0]; i++) {
        const struct worked_case *w = &worked_cases[i];
        struct rig rig = rig_open(ref, &w->c, w->mode);
        struct seki_block_info info;
        struct seki_error error;

        assert_int_equal(seki_block_describe(&w->c.spec, &info, &error), 0);
        struct values v = values_new(&w->c, &info, 1);

        put(&v, X, w->x);
        put(&v, PARAMETERS, w->parameters);
        put(&v, STATISTICS, w->statistics);
        put(&v, Y, w->y_before);
        put(&v, DY, w->dy);
        put(&v, GRADIENTS, NULL);
        rig_run(&rig, &v);
        assert_worked(&v, Y, w->y, "y", w->c.comment);
        assert_worked(&v, DX, w->dx, "dx", w->c.comment);
        assert_worked(&v, GRADIENTS, w->gradients, "gradients", w->c.comment);
        assert_worked(&v, STATISTICS, w->statistics_after, "statistics", w->c.comment);
        values_free(&v);
        rig_close(&rig);
    }
    seki_backend_close(ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_are_those_of_finite_differences),
        cmocka_unit_test(test_values_are_those_worked_out_by_hand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
