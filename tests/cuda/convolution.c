/*
 * convolution.c - convolutions of the stand-in's cuDNN: tensors become `ref`'s, and its result bf16
 * again.
 */
#include "convolution.h"

#include <stdlib.h>
#include <string.h>

#include "nn/ref/ref_internal.h"

/* ---- bf16 ---------------------------------------------------------------------------------- */

static float from_bf16(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float value;

    memcpy(&value, &wide, sizeof value);
    return value;
}

/* To the nearest, of two the even one. */
static uint16_t to_bf16(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return value != value ? 0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* ---- Tensors ------------------------------------------------------------------------------- */

static struct ref_tensor tensor_new(int images, int channels, int height, int width)
{
    struct ref_tensor tensor = {.images = images,
                                .channels = channels,
                                .height = height,
                                .width = width,
                                .image_stride = (size_t)(channels * height * width)};

    tensor.data = calloc((size_t)images * tensor.image_stride, sizeof *tensor.data);
    if (tensor.data == NULL)
        abort();
    return tensor;
}

/* Where a value of the tensor lies among bf16 whose channels are side by side. */
static size_t packed(const struct ref_tensor *t, int image, int channel, size_t pixel)
{
    return ((size_t)image * ref_pixels(t) + pixel) * (size_t)t->channels + (size_t)channel;
}

static void unpack(const struct ref_tensor *t, const uint16_t *from)
{
    for (int n = 0; n < t->images; n++)
        for (int c = 0; c < t->channels; c++)
            for (size_t i = 0; i < ref_pixels(t); i++)
                ref_plane(t, n, c)[i] = from_bf16(from[packed(t, n, c, i)]);
}

static void pack(const struct ref_tensor *t, uint16_t *to)
{
    for (int n = 0; n < t->images; n++)
        for (int c = 0; c < t->channels; c++)
            for (size_t i = 0; i < ref_pixels(t); i++)
                to[packed(t, n, c, i)] = to_bf16(ref_plane(t, n, c)[i]);
}

/* ---- Convolutions -------------------------------------------------------------------------- */

struct operands {
    struct ref_kernel kernel;
    struct ref_tensor x, w, y;
};

static struct operands operands_new(const struct stand_in_convolution *call)
{
    struct operands o = {
        .kernel = {.height = call->kernel[0],
                   .width = call->kernel[1],
                   .stride_height = call->stride[0],
                   .stride_width = call->stride[1],
                   .padding_height = call->padding[0],
                   .padding_width = call->padding[1],
                   .dilation = call->dilation,
                   .groups = 1},
        .x = tensor_new(call->images, call->channels, call->height, call->width),
        .w = tensor_new(call->out_channels, call->channels, call->kernel[0], call->kernel[1]),
        .y = tensor_new(call->images, call->out_channels, call->out_height, call->out_width)};

    unpack(&o.w, call->w);
    return o;
}

static void operands_free(struct operands *o)
{
    free(o->x.data);
    free(o->w.data);
    free(o->y.data);
}

void stand_in_convolution_forward(const struct stand_in_convolution *call)
{
    struct operands o = operands_new(call);

    unpack(&o.x, call->x);
    seki_ref_convolution_forward(&o.kernel, &o.x, o.w.data, &o.y);
    pack(&o.y, call->y);
    operands_free(&o);
}

void stand_in_convolution_data(const struct stand_in_convolution *call)
{
    struct operands o = operands_new(call);
    struct ref_tensor dweight =
        tensor_new(o.w.images, o.w.channels, o.kernel.height, o.kernel.width);
    struct ref_tensor dx = tensor_new(o.x.images, o.x.channels, o.x.height, o.x.width);

    unpack(&o.y, call->y);
    seki_ref_convolution_backward(&o.kernel, &o.x, o.w.data, &o.y, &dx, dweight.data);
    pack(&dx, call->x);
    free(dx.data);
    free(dweight.data);
    operands_free(&o);
}
