/*
 * max_pool.c - the largest pixel under the kernel, inside the picture.
 */
#include "nn/ref/ref_internal.h"

#include <math.h>

/* Index in the plane of the pixel that wins for output (oy, ox). A later NaN replaces an earlier
 * one, as in PyTorch's kernel; in value that makes no difference. */
static int winner(const struct ref_kernel *kernel, const struct ref_tensor *x, const float *plane,
                  int oy, int ox)
{
    int best = -1;

    for (int ky = 0; ky < kernel->height; ky++) {
        int iy = oy * kernel->stride_height - kernel->padding_height + ky;

        if (iy < 0 || iy >= x->height)
            continue;
        for (int kx = 0; kx < kernel->width; kx++) {
            int ix = ox * kernel->stride_width - kernel->padding_width + kx;
            int here = iy * x->width + ix;

            if (ix < 0 || ix >= x->width)
                continue;
            if (best < 0 || plane[here] > plane[best] || isnan(plane[here]))
                best = here;
        }
    }
    return best;
}

void seki_ref_max_pool_forward(const struct ref_kernel *kernel, const struct ref_tensor *x,
                               const struct ref_tensor *y)
{
    for (int n = 0; n < y->images; n++) {
        for (int c = 0; c < y->channels; c++) {
            const float *from = ref_plane(x, n, c);
            float *to = ref_plane(y, n, c);

            for (int oy = 0; oy < y->height; oy++)
                for (int ox = 0; ox < y->width; ox++)
                    to[oy * y->width + ox] = from[winner(kernel, x, from, oy, ox)];
        }
    }
}

void seki_ref_max_pool_backward(const struct ref_kernel *kernel, const struct ref_tensor *x,
                                const struct ref_tensor *dy, const struct ref_tensor *dx)
{
    for (int n = 0; n < dx->images; n++) {
        for (int c = 0; c < dx->channels; c++) {
            const float *from = ref_plane(x, n, c), *gradient = ref_plane(dy, n, c);
            float *to = ref_plane(dx, n, c);

            for (size_t i = 0; i < ref_pixels(dx); i++)
                to[i] = 0.0f;
            for (int oy = 0; oy < dy->height; oy++)
                for (int ox = 0; ox < dy->width; ox++)
                    to[winner(kernel, x, from, oy, ox)] += gradient[oy * dy->width + ox];
        }
    }
}
