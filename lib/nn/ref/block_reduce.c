/*
 * block_reduce.c - FactorizedReduce (cnn/operations.py of quark0/darts): ReLU -> half of the
 * channels from the pixels of even row and column, half from those of odd row and column -> BN over
 * both.
 */
#include "nn/ref/ref_internal.h"

/* A 1x1 convolution of stride 2; the second sees the picture without its first row and column, and
 * zeros after the last of an odd picture. */
static const struct ref_kernel even = {1, 1, 2, 2, 0, 0, 1, 1};
static const struct ref_kernel odd = {1, 1, 2, 2, -1, -1, 1, 1};

struct tensors {
    struct ref_tensor activated;
    struct ref_tensor convolved; /* saved */
    double *statistics;          /* saved */
    struct ref_tensor result;
    struct ref_tensor gradient; /* of the result, then of convolved */
    struct ref_tensor dx, dx_odd;
};

static struct tensors plan(const struct seki_block *block, int images, struct ref_memory *memory)
{
    const struct seki_shape *in = &block->spec.in, *out = &block->info.out;
    struct tensors t;

    t.activated = seki_ref_scratch(memory, images, in->parts * in->channels, in->height, in->width);
    t.convolved = seki_ref_saved(memory, images, out->channels, out->height, out->width);
    t.statistics = seki_ref_saved_statistics(memory, out->channels);
    t.result = seki_ref_scratch_like(memory, &t.convolved);
    t.gradient = seki_ref_scratch_like(memory, &t.convolved);
    t.dx = seki_ref_scratch_like(memory, &t.activated);
    t.dx_odd = seki_ref_scratch_like(memory, &t.activated);
    return t;
}

static void measure(const struct seki_block *block, int images, struct ref_memory *memory)
{
    plan(block, images, memory);
}

static void forward(const struct seki_block *block, const struct seki_block_call *call,
                    struct ref_memory *memory)
{
    struct tensors t = plan(block, call->images, memory);
    struct ref_norm norm = seki_ref_norm_of(block, call, 0, t.statistics);
    struct ref_tensor x = seki_ref_from_window(&call->x, call->images);
    int half = block->spec.out_channels / 2;
    struct ref_tensor first = seki_ref_channels(&t.convolved, 0, half);
    struct ref_tensor second = seki_ref_channels(&t.convolved, half, half);

    seki_ref_relu_forward(&x, &t.activated);
    seki_ref_convolution_forward(&even, &t.activated,
                                 seki_ref_parameter(block, call, SEKI_WEIGHT, 0), &first);
    seki_ref_convolution_forward(&odd, &t.activated,
                                 seki_ref_parameter(block, call, SEKI_WEIGHT_ODD, 0), &second);
    seki_ref_norm_forward(&norm, call->mode, &t.convolved, &t.result);
    seki_ref_give_result(call, &t.result);
}

/* Both convolutions saw the same picture: their gradients add up. */
static void add_to(const struct ref_tensor *dx, const struct ref_tensor *more)
{
    size_t count = (size_t)dx->images * dx->image_stride;

    for (size_t i = 0; i < count; i++)
        dx->data[i] += more->data[i];
}

static void backward(const struct seki_block *block, const struct seki_block_call *call,
                     struct ref_memory *memory)
{
    struct tensors t = plan(block, call->images, memory);
    struct ref_norm norm = seki_ref_norm_of(block, call, 0, t.statistics);
    struct ref_tensor x = seki_ref_from_window(&call->x, call->images);
    int half = block->spec.out_channels / 2;
    struct ref_tensor first = seki_ref_channels(&t.gradient, 0, half);
    struct ref_tensor second = seki_ref_channels(&t.gradient, half, half);
    bool want_dx = call->dx.data != NULL;

    seki_ref_take_gradient(call, &t.gradient);
    seki_ref_norm_backward(&norm, &t.convolved, &t.gradient, &t.gradient);
    seki_ref_relu_forward(&x, &t.activated);
    seki_ref_convolution_backward(
        &even, &t.activated, seki_ref_parameter(block, call, SEKI_WEIGHT, 0), &first,
        want_dx ? &t.dx : NULL, seki_ref_gradient(block, call, SEKI_WEIGHT, 0));
    seki_ref_convolution_backward(
        &odd, &t.activated, seki_ref_parameter(block, call, SEKI_WEIGHT_ODD, 0), &second,
        want_dx ? &t.dx_odd : NULL, seki_ref_gradient(block, call, SEKI_WEIGHT_ODD, 0));
    if (want_dx) {
        add_to(&t.dx, &t.dx_odd);
        seki_ref_relu_backward(&x, &t.dx, &t.dx);
    }
    seki_ref_give_gradient(call, &t.dx);
}

const struct ref_block_ops seki_ref_block_reduce = {measure, forward, backward};
