/*
 * block_conv.c - [ReLU] -> convolution -> [BN] -> [ReLU].
 */
#include "nn/ref/ref_internal.h"

struct tensors {
    struct ref_tensor activated;  /* ReLU of x, where the block begins with one */
    struct ref_tensor convolved;  /* saved */
    double *statistics;           /* saved, with BN */
    struct ref_tensor normalised; /* saved, with BN; otherwise it is convolved */
    struct ref_tensor result;     /* ReLU of it, where the block ends with one; otherwise it */
    struct ref_tensor gradient;   /* of the result, then of what stands before it, in place */
    struct ref_tensor dx;
};

static struct tensors plan(const struct seki_block *block, int images, struct ref_memory *memory)
{
    const struct seki_block_spec *spec = &block->spec;
    const struct seki_shape *in = &spec->in, *out = &block->info.out;
    struct tensors t = {0};

    t.dx = seki_ref_scratch(memory, images, in->parts * in->channels, in->height, in->width);
    if (spec->relu_first)
        t.activated = seki_ref_scratch_like(memory, &t.dx);
    t.convolved = seki_ref_saved(memory, images, out->channels, out->height, out->width);
    t.normalised = t.convolved;
    if (spec->norm) {
        t.statistics = seki_ref_saved_statistics(memory, out->channels);
        t.normalised = seki_ref_saved(memory, images, out->channels, out->height, out->width);
    }
    t.result = spec->relu_last ? seki_ref_scratch_like(memory, &t.normalised) : t.normalised;
    t.gradient = seki_ref_scratch_like(memory, &t.normalised);
    return t;
}

static void measure(const struct seki_block *block, int images, struct ref_memory *memory)
{
    plan(block, images, memory);
}

/* What the convolution sees: x, or ReLU of it. */
static struct ref_tensor input_of(const struct seki_block *block,
                                  const struct seki_block_call *call, const struct tensors *t)
{
    struct ref_tensor x = seki_ref_from_window(&call->x, call->images);

    if (!block->spec.relu_first)
        return x;
    seki_ref_relu_forward(&x, &t->activated);
    return t->activated;
}

static void forward(const struct seki_block *block, const struct seki_block_call *call,
                    struct ref_memory *memory)
{
    const struct seki_block_spec *spec = &block->spec;
    struct tensors t = plan(block, call->images, memory);
    struct ref_kernel kernel = seki_ref_kernel_of(spec);
    struct ref_tensor input = input_of(block, call, &t);

    seki_ref_convolution_forward(&kernel, &input, seki_ref_parameter(block, call, SEKI_WEIGHT, 0),
                                 &t.convolved);
    if (spec->norm) {
        struct ref_norm norm = seki_ref_norm_of(block, call, 0, t.statistics);

        seki_ref_norm_forward(&norm, call->mode, &t.convolved, &t.normalised);
    }
    if (spec->relu_last)
        seki_ref_relu_forward(&t.normalised, &t.result);
    seki_ref_give_result(call, &t.result);
}

static void backward(const struct seki_block *block, const struct seki_block_call *call,
                     struct ref_memory *memory)
{
    const struct seki_block_spec *spec = &block->spec;
    struct tensors t = plan(block, call->images, memory);
    struct ref_kernel kernel = seki_ref_kernel_of(spec);
    struct ref_tensor x = seki_ref_from_window(&call->x, call->images);
    struct ref_tensor input = input_of(block, call, &t);

    seki_ref_take_gradient(call, &t.gradient);
    if (spec->relu_last)
        seki_ref_relu_backward(&t.normalised, &t.gradient, &t.gradient);
    if (spec->norm) {
        struct ref_norm norm = seki_ref_norm_of(block, call, 0, t.statistics);

        seki_ref_norm_backward(&norm, &t.convolved, &t.gradient, &t.gradient);
    }
    seki_ref_convolution_backward(&kernel, &input, seki_ref_parameter(block, call, SEKI_WEIGHT, 0),
                                  &t.gradient, call->dx.data != NULL ? &t.dx : NULL,
                                  seki_ref_gradient(block, call, SEKI_WEIGHT, 0));
    if (spec->relu_first && call->dx.data != NULL)
        seki_ref_relu_backward(&x, &t.dx, &t.dx);
    seki_ref_give_gradient(call, &t.dx);
}

const struct ref_block_ops seki_ref_block_conv = {measure, forward, backward};
