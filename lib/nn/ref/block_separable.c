/*
 * block_separable.c - once or twice: ReLU -> depthwise convolution -> pointwise convolution -> BN
 * (sep_conv, dil_conv; cnn/operations.py of quark0/darts).
 */
#include "nn/ref/ref_internal.h"

/* One repeat. */
struct stage {
    struct ref_kernel depthwise, pointwise;
    struct ref_tensor activated;  /* ReLU of its input */
    struct ref_tensor filtered;   /* saved: after the depthwise convolution */
    struct ref_tensor mixed;      /* saved: after the pointwise one */
    struct ref_tensor normalised; /* saved: the next one's input, or the block's result */
    double *statistics;           /* saved */
    struct ref_tensor gradient;   /* of normalised, then of mixed */
    struct ref_tensor dfiltered;
    struct ref_tensor
        dx; /* of activated, then of its input; unused in the first where nobody asks */
};

enum { MAX_REPEATS = 2 };

static void plan_kernels(const struct seki_block_spec *spec, int repeat, int channels,
                         struct stage *stage)
{
    stage->depthwise = seki_ref_kernel_of(spec);
    stage->depthwise.dilation = spec->dilation;
    stage->depthwise.groups = channels;
    if (repeat > 0)
        stage->depthwise.stride_height = stage->depthwise.stride_width = 1;
    stage->pointwise = (struct ref_kernel){
        .height = 1, .width = 1, .stride_height = 1, .stride_width = 1, .dilation = 1, .groups = 1};
}

static void plan(const struct seki_block *block, int images, struct ref_memory *memory,
                 struct stage stages[MAX_REPEATS])
{
    const struct seki_block_spec *spec = &block->spec;
    int channels = spec->in.parts * spec->in.channels; /* every repeat but the last keeps them */
    int height = spec->in.height, width = spec->in.width;

    for (int r = 0; r < spec->repeats; r++) {
        struct stage *s = &stages[r];
        int out = r == spec->repeats - 1 ? spec->out_channels : channels;

        plan_kernels(spec, r, channels, s);
        s->activated = seki_ref_scratch(memory, images, channels, height, width);
        s->dx = seki_ref_scratch(memory, images, channels, height, width);
        height = seki_sliding_size(height, s->depthwise.height, s->depthwise.stride_height,
                                   s->depthwise.padding_height, spec->dilation);
        width = seki_sliding_size(width, s->depthwise.width, s->depthwise.stride_width,
                                  s->depthwise.padding_width, spec->dilation);
        s->filtered = seki_ref_saved(memory, images, channels, height, width);
        s->dfiltered = seki_ref_scratch_like(memory, &s->filtered);
        s->mixed = seki_ref_saved(memory, images, out, height, width);
        s->normalised = seki_ref_saved(memory, images, out, height, width);
        s->statistics = seki_ref_saved_statistics(memory, out);
        s->gradient = seki_ref_scratch_like(memory, &s->normalised);
    }
}

static void measure(const struct seki_block *block, int images, struct ref_memory *memory)
{
    struct stage stages[MAX_REPEATS] = {0};

    plan(block, images, memory, stages);
}

static void forward(const struct seki_block *block, const struct seki_block_call *call,
                    struct ref_memory *memory)
{
    struct stage stages[MAX_REPEATS] = {0};
    struct ref_tensor input = seki_ref_from_window(&call->x, call->images);

    plan(block, call->images, memory, stages);
    for (int r = 0; r < block->spec.repeats; r++) {
        struct stage *s = &stages[r];
        struct ref_norm norm = seki_ref_norm_of(block, call, r, s->statistics);

        seki_ref_relu_forward(&input, &s->activated);
        seki_ref_convolution_forward(&s->depthwise, &s->activated,
                                     seki_ref_parameter(block, call, SEKI_DEPTHWISE, r),
                                     &s->filtered);
        seki_ref_convolution_forward(&s->pointwise, &s->filtered,
                                     seki_ref_parameter(block, call, SEKI_WEIGHT, r), &s->mixed);
        seki_ref_norm_forward(&norm, call->mode, &s->mixed, &s->normalised);
        input = s->normalised;
    }
    seki_ref_give_result(call, &input);
}

/* From the gradient of the stage's result to that of its input, s->dx. */
static void stage_backward(const struct seki_block *block, const struct seki_block_call *call,
                           const struct stage *s, int repeat, const struct ref_tensor *input,
                           bool want_dx)
{
    struct ref_norm norm = seki_ref_norm_of(block, call, repeat, s->statistics);

    seki_ref_norm_backward(&norm, &s->mixed, &s->gradient, &s->gradient);
    seki_ref_convolution_backward(
        &s->pointwise, &s->filtered, seki_ref_parameter(block, call, SEKI_WEIGHT, repeat),
        &s->gradient, &s->dfiltered, seki_ref_gradient(block, call, SEKI_WEIGHT, repeat));
    seki_ref_relu_forward(input, &s->activated);
    seki_ref_convolution_backward(&s->depthwise, &s->activated,
                                  seki_ref_parameter(block, call, SEKI_DEPTHWISE, repeat),
                                  &s->dfiltered, want_dx ? &s->dx : NULL,
                                  seki_ref_gradient(block, call, SEKI_DEPTHWISE, repeat));
    if (want_dx)
        seki_ref_relu_backward(input, &s->dx, &s->dx);
}

static void backward(const struct seki_block *block, const struct seki_block_call *call,
                     struct ref_memory *memory)
{
    struct stage stages[MAX_REPEATS] = {0};
    struct ref_tensor x = seki_ref_from_window(&call->x, call->images);
    int last = block->spec.repeats - 1;

    plan(block, call->images, memory, stages);
    seki_ref_take_gradient(call, &stages[last].gradient);
    for (int r = last; r > 0; r--) {
        stage_backward(block, call, &stages[r], r, &stages[r - 1].normalised, true);
        stages[r - 1].gradient = stages[r].dx;
    }
    stage_backward(block, call, &stages[0], 0, &x, call->dx.data != NULL);
    seki_ref_give_gradient(call, &stages[0].dx);
}

const struct ref_block_ops seki_ref_block_separable = {measure, forward, backward};
