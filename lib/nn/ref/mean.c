/*
 * mean.c - the mean of a channel over all its pixels (global average pooling).
 */
#include "nn/ref/ref_internal.h"

void seki_ref_mean_forward(const struct ref_tensor *x, const struct ref_tensor *y)
{
    for (int n = 0; n < x->images; n++) {
        for (int c = 0; c < x->channels; c++) {
            const float *from = ref_plane(x, n, c);
            double sum = 0.0;

            for (size_t i = 0; i < ref_pixels(x); i++)
                sum += from[i];
            *ref_plane(y, n, c) = (float)(sum / (double)ref_pixels(x));
        }
    }
}

void seki_ref_mean_backward(const struct ref_tensor *dy, const struct ref_tensor *dx)
{
    for (int n = 0; n < dx->images; n++) {
        for (int c = 0; c < dx->channels; c++) {
            float share = *ref_plane(dy, n, c) / (float)ref_pixels(dx);
            float *to = ref_plane(dx, n, c);

            for (size_t i = 0; i < ref_pixels(dx); i++)
                to[i] = share;
        }
    }
}
