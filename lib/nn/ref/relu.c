/*
 * relu.c - rectified linear unit.
 */
#include "nn/ref/ref_internal.h"

void seki_ref_relu_forward(const struct ref_tensor *x, const struct ref_tensor *y)
{
    for (int n = 0; n < x->images; n++) {
        const float *from = ref_plane(x, n, 0);
        float *to = ref_plane(y, n, 0);

        for (size_t i = 0; i < (size_t)x->channels * ref_pixels(x); i++)
            to[i] = from[i] <= 0.0f ? 0.0f : from[i]; /* NaN <= 0 is false */
    }
}

void seki_ref_relu_backward(const struct ref_tensor *x, const struct ref_tensor *dy,
                            const struct ref_tensor *dx)
{
    for (int n = 0; n < x->images; n++) {
        const float *from = ref_plane(x, n, 0);
        const float *gradient = ref_plane(dy, n, 0);
        float *to = ref_plane(dx, n, 0);

        for (size_t i = 0; i < (size_t)x->channels * ref_pixels(x); i++)
            to[i] = from[i] <= 0.0f ? 0.0f : gradient[i];
    }
}
