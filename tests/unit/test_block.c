/*
 * test_block.c - what follows from a block's spec: shape, parameters, multiply-accumulates, and
 * which specs are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "backend_cases.h"

/* ---- Shapes and counts -------------------------------------------------------------------- */

static const struct {
    const char *comment;
    struct seki_block_spec spec;
    struct seki_shape out;
    size_t parameters, statistics;
    uint64_t macs;
} described[] = {
    {"DARTS stem on CIFAR-10",
     {CONV(3, 1, 1), .in = {1, 3, 32, 32}, .out_channels = 108, .norm = true, .affine = true},
     {1, 108, 32, 32, false},
     3 * 108 * 9 + 2 * 108,
     2 * 108,
     3 * 108 * 9 * 1024},
    {"sep_conv_5x5 of stride 2",
     {SEP_CONV(5, 2, 2), .in = {1, 36, 32, 32}, .out_channels = 36, .affine = true},
     {1, 36, 16, 16, false},
     2 * (36 * 25 + 36 * 36 + 2 * 36),
     4 * 36,
     2 * (36 * 25 + 36 * 36) * 256},
    {"sep_conv_3x3 to other channels: the last pointwise alone widens",
     {SEP_CONV(3, 1, 1), .in = {1, 4, 8, 8}, .out_channels = 6, .affine = true},
     {1, 6, 8, 8, false},
     36 + 16 + 8 + 36 + 24 + 12,
     8 + 12,
     (36 + 16 + 36 + 24) * 64},
    {"dil_conv_5x5 without affine",
     {DIL_CONV(5, 1, 4), .in = {1, 16, 8, 8}, .out_channels = 16},
     {1, 16, 8, 8, false},
     16 * 25 + 256,
     32,
     (16 * 25 + 256) * 64},
    {"FactorizedReduce of an odd picture, of four parts",
     {.kind = SEKI_BLOCK_REDUCE, .in = {4, 16, 7, 5}, .out_channels = 32, .affine = true},
     {1, 32, 4, 3, false},
     64 * 32 + 64,
     64,
     64 * 32 * 12},
    {"1x7 of stride (1, 2)",
     {.kind = SEKI_BLOCK_CONV,
      KERNEL(1, 7),
      STRIDE(1, 2),
      PADDING(0, 3),
      .in = {1, 5, 8, 9},
      .out_channels = 5},
     {1, 5, 8, 5, false},
     5 * 5 * 7,
     0,
     5 * 5 * 7 * 40},
    {"max pool with BN: statistics alone",
     {.kind = SEKI_BLOCK_MAX_POOL, SLIDE(3, 2, 1), .in = {1, 16, 7, 5}, .norm = true},
     {1, 16, 4, 3, false},
     0,
     32,
     0},
    {"auxiliary head's pool: 8x8 to 2x2",
     {.kind = SEKI_BLOCK_AVG_POOL, SLIDE(5, 3, 0), .in = {4, 144, 8, 8}, .relu_first = true},
     {1, 576, 2, 2, false},
     0,
     0,
     0},
    {"BN of parts",
     {.kind = SEKI_BLOCK_NORM, .in = {3, 5, 7, 5}, .affine = true},
     {1, 15, 7, 5, false},
     30,
     30,
     0},
    {"identity", {.kind = SEKI_BLOCK_IDENTITY, .in = {1, 16, 7, 5}}, {1, 16, 7, 5, false}, 0, 0, 0},
    {"none of stride 2",
     {.kind = SEKI_BLOCK_ZERO, STRIDE(2, 2), .in = {1, 16, 7, 6}},
     {1, 16, 4, 3, false},
     0,
     0,
     0},
    {"DARTS_V2's classifier: multiply-accumulates once an image",
     {.kind = SEKI_BLOCK_HEAD, .in = {4, 144, 8, 8}, .out_channels = 10},
     {1, 10, 1, 1, true},
     5760 + 10,
     0,
     5760},
};

static bool same_shape(const struct seki_shape *a, const struct seki_shape *b)
{
    return a->parts == b->parts && a->channels == b->channels && a->height == b->height &&
           a->width == b->width && a->full == b->full;
}

static void test_shape_and_counts_follow_from_the_spec(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof described / sizeof described[0]; i++) {
        struct seki_block_info info;
        struct seki_error error;

        if (seki_block_describe(&described[i].spec, &info, &error) < 0)
            fail_msg("%s: %s", described[i].comment, error.message);
        if (!same_shape(&info.out, &described[i].out))
            fail_msg("%s: the shape is (%d, %d, %d, %d)", described[i].comment, info.out.parts,
                     info.out.channels, info.out.height, info.out.width);
        if (info.parameters != described[i].parameters ||
            info.statistics != described[i].statistics || info.macs != described[i].macs)
            fail_msg("%s: %zu parameters, %zu statistics, %llu macs", described[i].comment,
                     info.parameters, info.statistics, (unsigned long long)info.macs);
    }
}

/* ---- The order of parameters -------------------------------------------------------------- */

static void test_tensors_are_in_order_and_packed(void **state)
{
    static const struct seki_parameter expected[] = {
        {SEKI_DEPTHWISE, 0, 4, {4, 1, 3, 3}, 36, 0},
        {SEKI_WEIGHT, 0, 4, {4, 4, 1, 1}, 16, 36},
        {SEKI_SCALE, 0, 1, {4}, 4, 52},
        {SEKI_SHIFT, 0, 1, {4}, 4, 56},
        {SEKI_DEPTHWISE, 1, 4, {4, 1, 3, 3}, 36, 60},
        {SEKI_WEIGHT, 1, 4, {6, 4, 1, 1}, 24, 96},
        {SEKI_SCALE, 1, 1, {6}, 6, 120},
        {SEKI_SHIFT, 1, 1, {6}, 6, 126},
        {SEKI_RUNNING_MEAN, 0, 1, {4}, 4, 0},
        {SEKI_RUNNING_VARIANCE, 0, 1, {4}, 4, 4},
        {SEKI_RUNNING_MEAN, 1, 1, {6}, 6, 8},
        {SEKI_RUNNING_VARIANCE, 1, 1, {6}, 6, 14},
    };
    struct seki_block_spec spec = {SEP_CONV(3, 1, 1), .in = {1, 4, 8, 8}, .out_channels = 6,
                                   .affine = true};
    struct seki_block_info info;

    (void)state;
    assert_int_equal(seki_block_describe(&spec, &info, NULL), 0);
    assert_int_equal(info.count, sizeof expected / sizeof expected[0]);
    for (int i = 0; i < info.count; i++) {
        const struct seki_parameter *got = &info.tensors[i], *want = &expected[i];

        if (got->role != want->role || got->repeat != want->repeat ||
            got->dimensions != want->dimensions ||
            memcmp(got->size, want->size, sizeof got->size) != 0 || got->count != want->count ||
            got->offset != want->offset)
            fail_msg("tensor %d: role %d, repeat %d, %zu values at %zu", i, (int)got->role,
                     got->repeat, got->count, got->offset);
    }
}

/* ---- Refused ------------------------------------------------------------------------------ */

static const struct {
    const char *comment, *message; /* message: a part of it */
    struct seki_block_spec spec;
} refused[] = {
    {"no such kind", "kind 77", {.kind = (enum seki_block_kind)77, .in = {1, 1, 1, 1}}},
    {"no channels", "channels is 0", {.kind = SEKI_BLOCK_IDENTITY, .in = {1, 0, 1, 1}}},
    {"no parts", "parts is 0", {.kind = SEKI_BLOCK_NORM, .in = {0, 1, 1, 1}}},
    {"negative height", "height is -4", {.kind = SEKI_BLOCK_NORM, .in = {1, 1, -4, 1}}},
    {"an image past memory",
     "too large",
     {.kind = SEKI_BLOCK_NORM, .in = {65536, 65536, 65536, 65536}}},
    {"no out_channels", "out_channels is 0", {CONV(1, 1, 0), .in = {1, 1, 1, 1}}},
    {"no kernel", "kernel height is 0", {CONV(0, 1, 0), .in = {1, 1, 1, 1}, .out_channels = 1}},
    {"no stride", "stride height is 0", {CONV(1, 0, 0), .in = {1, 1, 1, 1}, .out_channels = 1}},
    {"none without a stride", "stride height is 0", {.kind = SEKI_BLOCK_ZERO, .in = {1, 1, 1, 1}}},
    {"negative padding",
     "padding height is -1",
     {CONV(1, 1, -1), .in = {1, 1, 3, 3}, .out_channels = 1}},
    {"kernel larger than the picture",
     "larger than a picture of 2 x 2",
     {CONV(5, 1, 1), .in = {1, 1, 2, 2}, .out_channels = 1}},
    {"dilated kernel larger than the picture",
     "dilation 2",
     {DIL_CONV(3, 1, 0), .in = {1, 1, 4, 4}, .out_channels = 1}},
    {"second repeat too small",
     "larger than a picture of 2 x 2",
     {SEP_CONV(3, 2, 0), .in = {1, 1, 5, 5}, .out_channels = 1}},
    {"auxiliary head of a small picture",
     "larger than a picture of 4 x 4",
     {.kind = SEKI_BLOCK_AVG_POOL, SLIDE(5, 3, 0), .in = {1, 1, 4, 4}}},
    {"a pool's window of padding alone",
     "more than half",
     {.kind = SEKI_BLOCK_MAX_POOL, SLIDE(3, 1, 2), .in = {1, 1, 4, 4}}},
    {"no dilation",
     "dilation is 0",
     {.kind = SEKI_BLOCK_SEPARABLE,
      SLIDE(3, 1, 1),
      .repeats = 1,
      .in = {1, 1, 4, 4},
      .out_channels = 1}},
    {"three repeats",
     "repeats is 3",
     {.kind = SEKI_BLOCK_SEPARABLE,
      SLIDE(3, 1, 1),
      .dilation = 1,
      .repeats = 3,
      .in = {1, 1, 4, 4},
      .out_channels = 1}},
    {"FactorizedReduce to an odd number",
     "even",
     {.kind = SEKI_BLOCK_REDUCE, .in = {1, 3, 4, 4}, .out_channels = 3}},
    {"a weight past memory",
     "too large",
     {CONV(3, 1, 1), .in = {1, 65536, 1, 1}, .out_channels = 65536}},
    {"a result past memory",
     "too large",
     {CONV(1, 1, 0), .in = {1, 1, 32768, 32768}, .out_channels = 2}},
};

static void test_specs_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct seki_block_info info;
        struct seki_error error = {0};

        if (seki_block_describe(&refused[i].spec, &info, &error) == 0)
            fail_msg("%s: was accepted", refused[i].comment);
        assert_int_equal(error.kind, SEKI_BAD_USE);
        assert_string_equal(error.code, "block");
        if (strstr(error.message, refused[i].message) == NULL)
            fail_msg("%s: the message is '%s'", refused[i].comment, error.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape_and_counts_follow_from_the_spec),
        cmocka_unit_test(test_tensors_are_in_order_and_packed),
        cmocka_unit_test(test_specs_that_make_no_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
