/*
 * convolution.c - convolution with groups, stride, padding and dilation, as sums over the taps of
 * the kernel.
 */
#include "nn/ref/ref_internal.h"

/* Sizes that forward and backward share. */
struct geometry {
    int inputs, outputs; /* channels of one group */
    int taps;            /* of one kernel */
};

static struct geometry geometry_of(const struct ref_kernel *kernel, const struct ref_tensor *x,
                                   const struct ref_tensor *y)
{
    return (struct geometry){x->channels / kernel->groups, y->channels / kernel->groups,
                             kernel->height * kernel->width};
}

/* The kernel from input channel i of its group to output channel o. */
static size_t kernel_offset(const struct geometry *g, int o, int i)
{
    return ((size_t)o * (size_t)g->inputs + (size_t)i) * (size_t)g->taps;
}

/* Sum over the kernel's taps inside the picture, around output pixel (oy, ox). */
static double correlate(const struct ref_kernel *kernel, const float *weight,
                        const struct ref_tensor *x, const float *plane, int oy, int ox)
{
    double sum = 0.0;

    for (int ky = 0; ky < kernel->height; ky++) {
        int iy = oy * kernel->stride_height - kernel->padding_height + ky * kernel->dilation;

        if (iy < 0 || iy >= x->height)
            continue;
        for (int kx = 0; kx < kernel->width; kx++) {
            int ix = ox * kernel->stride_width - kernel->padding_width + kx * kernel->dilation;

            if (ix >= 0 && ix < x->width)
                sum += (double)weight[ky * kernel->width + kx] * plane[iy * x->width + ix];
        }
    }
    return sum;
}

void seki_ref_convolution_forward(const struct ref_kernel *kernel, const struct ref_tensor *x,
                                  const float *weight, const struct ref_tensor *y)
{
    struct geometry g = geometry_of(kernel, x, y);

    for (int n = 0; n < y->images; n++) {
        for (int o = 0; o < y->channels; o++) {
            int first = o / g.outputs * g.inputs; /* input channel of o's group */
            float *to = ref_plane(y, n, o);

            for (int oy = 0; oy < y->height; oy++) {
                for (int ox = 0; ox < y->width; ox++) {
                    double sum = 0.0;

                    for (int i = 0; i < g.inputs; i++)
                        sum += correlate(kernel, weight + kernel_offset(&g, o, i), x,
                                         ref_plane(x, n, first + i), oy, ox);
                    to[oy * y->width + ox] = (float)sum;
                }
            }
        }
    }
}

/* The output row or column whose tap `tap` sees input `input`; -1 where none does. */
static int output_of(int input, int tap, int stride, int padding, int dilation, int outputs)
{
    int distance = input + padding - tap * dilation;

    if (distance < 0 || distance % stride != 0 || distance / stride >= outputs)
        return -1;
    return distance / stride;
}

/* Sum over all outputs of the group that saw input pixel (iy, ix) of its input channel i. */
static double gather(const struct ref_kernel *kernel, const struct geometry *g, const float *weight,
                     const struct ref_tensor *dy, int n, int group, int i, int iy, int ix)
{
    double sum = 0.0;

    for (int ky = 0; ky < kernel->height; ky++) {
        int oy = output_of(iy, ky, kernel->stride_height, kernel->padding_height, kernel->dilation,
                           dy->height);

        for (int kx = 0; kx < kernel->width && oy >= 0; kx++) {
            int ox = output_of(ix, kx, kernel->stride_width, kernel->padding_width,
                               kernel->dilation, dy->width);

            for (int o = group * g->outputs; o < (group + 1) * g->outputs && ox >= 0; o++)
                sum += (double)weight[kernel_offset(g, o, i) + (size_t)(ky * kernel->width + kx)] *
                       ref_plane(dy, n, o)[oy * dy->width + ox];
        }
    }
    return sum;
}

static void backward_data(const struct ref_kernel *kernel, const struct geometry *g,
                          const float *weight, const struct ref_tensor *dy,
                          const struct ref_tensor *dx)
{
    for (int n = 0; n < dx->images; n++) {
        for (int c = 0; c < dx->channels; c++) {
            float *to = ref_plane(dx, n, c);

            for (int iy = 0; iy < dx->height; iy++)
                for (int ix = 0; ix < dx->width; ix++)
                    to[iy * dx->width + ix] = (float)gather(kernel, g, weight, dy, n, c / g->inputs,
                                                            c % g->inputs, iy, ix);
        }
    }
}

/* Sum over all images and output pixels of dy times the input pixel that tap (ky, kx) saw. */
static double gather_weight(const struct ref_kernel *kernel, const struct ref_tensor *x,
                            const struct ref_tensor *dy, int o, int c, int ky, int kx)
{
    double sum = 0.0;

    for (int n = 0; n < dy->images; n++) {
        const float *from = ref_plane(x, n, c), *gradient = ref_plane(dy, n, o);

        for (int oy = 0; oy < dy->height; oy++) {
            int iy = oy * kernel->stride_height - kernel->padding_height + ky * kernel->dilation;

            if (iy < 0 || iy >= x->height)
                continue;
            for (int ox = 0; ox < dy->width; ox++) {
                int ix = ox * kernel->stride_width - kernel->padding_width + kx * kernel->dilation;

                if (ix >= 0 && ix < x->width)
                    sum += (double)gradient[oy * dy->width + ox] * from[iy * x->width + ix];
            }
        }
    }
    return sum;
}

void seki_ref_convolution_backward(const struct ref_kernel *kernel, const struct ref_tensor *x,
                                   const float *weight, const struct ref_tensor *dy,
                                   const struct ref_tensor *dx, float *dweight)
{
    struct geometry g = geometry_of(kernel, x, dy);

    if (dx != NULL)
        backward_data(kernel, &g, weight, dy, dx);
    for (int o = 0; o < dy->channels; o++) {
        int first = o / g.outputs * g.inputs;

        for (int i = 0; i < g.inputs; i++) {
            float *to = dweight + kernel_offset(&g, o, i);

            for (int ky = 0; ky < kernel->height; ky++)
                for (int kx = 0; kx < kernel->width; kx++)
                    to[ky * kernel->width + kx] +=
                        (float)gather_weight(kernel, x, dy, o, first + i, ky, kx);
        }
    }
}
