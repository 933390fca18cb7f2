/*
 * linear.c - a fully connected layer with bias.
 */
#include "nn/ref/ref_internal.h"

void seki_ref_linear_forward(const struct ref_tensor *x, const float *weight, const float *bias,
                             const struct ref_tensor *y)
{
    for (int n = 0; n < y->images; n++) {
        const float *from = ref_plane(x, n, 0);
        float *to = ref_plane(y, n, 0);

        for (int o = 0; o < y->channels; o++) {
            double sum = bias[o];

            for (int i = 0; i < x->channels; i++)
                sum += (double)weight[(size_t)o * (size_t)x->channels + (size_t)i] * from[i];
            to[o] = (float)sum;
        }
    }
}

static void backward_weight(const struct ref_tensor *x, const struct ref_tensor *dy, float *dweight,
                            float *dbias)
{
    for (int o = 0; o < dy->channels; o++) {
        double bias = 0.0;

        for (int n = 0; n < dy->images; n++)
            bias += ref_plane(dy, n, 0)[o];
        dbias[o] += (float)bias;
        for (int i = 0; i < x->channels; i++) {
            double sum = 0.0;

            for (int n = 0; n < dy->images; n++)
                sum += (double)ref_plane(dy, n, 0)[o] * ref_plane(x, n, 0)[i];
            dweight[(size_t)o * (size_t)x->channels + (size_t)i] += (float)sum;
        }
    }
}

void seki_ref_linear_backward(const struct ref_tensor *x, const float *weight,
                              const struct ref_tensor *dy, const struct ref_tensor *dx,
                              float *dweight, float *dbias)
{
    backward_weight(x, dy, dweight, dbias);
    for (int n = 0; n < dx->images; n++) {
        for (int i = 0; i < dx->channels; i++) {
            double sum = 0.0;

            for (int o = 0; o < dy->channels; o++)
                sum += (double)weight[(size_t)o * (size_t)dx->channels + (size_t)i] *
                       ref_plane(dy, n, 0)[o];
            ref_plane(dx, n, 0)[i] = (float)sum;
        }
    }
}
