/*
 * norm.c - batch normalisation (Ioffe, Szegedy 2015, arXiv 1502.03167, algorithm 1 and section 3).
 */
#include "nn/ref/ref_internal.h"

#include <math.h>

struct moments {
    double mean, variance; /* variance of the population: divided by n */
};

/* Of channel c over all images and pixels. */
static struct moments moments_of(const struct ref_tensor *x, int c)
{
    double count = (double)x->images * (double)ref_pixels(x), sum = 0.0, squares = 0.0;

    for (int n = 0; n < x->images; n++)
        for (size_t i = 0; i < ref_pixels(x); i++)
            sum += ref_plane(x, n, c)[i];
    double mean = sum / count;

    for (int n = 0; n < x->images; n++) {
        for (size_t i = 0; i < ref_pixels(x); i++) {
            double distance = ref_plane(x, n, c)[i] - mean;

            squares += distance * distance;
        }
    }
    return (struct moments){mean, squares / count};
}

static float moved(float running, double batch)
{
    return (float)((1.0 - (double)SEKI_NORM_MOMENTUM) * running +
                   (double)SEKI_NORM_MOMENTUM * batch);
}

/* The running variance is of the sample: divided by n - 1. A single value has none; it counts as 0.
 */
static void update_running(const struct ref_norm *norm, const struct ref_tensor *x, int c,
                           const struct moments *batch)
{
    double count = (double)x->images * (double)ref_pixels(x);
    double unbiased = count > 1.0 ? batch->variance * count / (count - 1.0) : batch->variance;

    norm->running_mean[c] = moved(norm->running_mean[c], batch->mean);
    norm->running_variance[c] = moved(norm->running_variance[c], unbiased);
}

static struct moments choose_moments(const struct ref_norm *norm, enum seki_mode mode,
                                     const struct ref_tensor *x, int c)
{
    if (mode == SEKI_MODE_INFER)
        return (struct moments){norm->running_mean[c], norm->running_variance[c]};
    struct moments batch = moments_of(x, c);

    if (mode == SEKI_MODE_TRAIN)
        update_running(norm, x, c, &batch);
    return batch;
}

void seki_ref_norm_forward(const struct ref_norm *norm, enum seki_mode mode,
                           const struct ref_tensor *x, const struct ref_tensor *y)
{
    for (int c = 0; c < x->channels; c++) {
        struct moments moments = choose_moments(norm, mode, x, c);
        double inverse = 1.0 / sqrt(moments.variance + (double)SEKI_NORM_EPSILON);
        double scale = norm->scale != NULL ? norm->scale[c] : 1.0;
        double shift = norm->shift != NULL ? norm->shift[c] : 0.0;

        norm->statistics[2 * c] = moments.mean;
        norm->statistics[2 * c + 1] = inverse;
        for (int n = 0; n < x->images; n++) {
            const float *from = ref_plane(x, n, c);
            float *to = ref_plane(y, n, c);

            for (size_t i = 0; i < ref_pixels(x); i++)
                to[i] = (float)(scale * (from[i] - moments.mean) * inverse + shift);
        }
    }
}

/*
 * With xhat = (x - mean) / deviation over n values of a channel:
 *   dshift = sum dy,  dscale = sum dy xhat,
 *   dx = scale / deviation * (dy - dshift / n - xhat * dscale / n).
 */
void seki_ref_norm_backward(const struct ref_norm *norm, const struct ref_tensor *x,
                            const struct ref_tensor *dy, const struct ref_tensor *dx)
{
    double count = (double)x->images * (double)ref_pixels(x);

    for (int c = 0; c < x->channels; c++) {
        double mean = norm->statistics[2 * c], inverse = norm->statistics[2 * c + 1];
        double scale = norm->scale != NULL ? norm->scale[c] : 1.0;
        double dscale = 0.0, dshift = 0.0;

        for (int n = 0; n < x->images; n++) {
            const float *from = ref_plane(x, n, c), *gradient = ref_plane(dy, n, c);

            for (size_t i = 0; i < ref_pixels(x); i++) {
                dshift += gradient[i];
                dscale += gradient[i] * (from[i] - mean) * inverse;
            }
        }
        for (int n = 0; n < x->images; n++) {
            const float *from = ref_plane(x, n, c), *gradient = ref_plane(dy, n, c);
            float *to = ref_plane(dx, n, c);

            for (size_t i = 0; i < ref_pixels(x); i++) {
                double xhat = (from[i] - mean) * inverse;

                to[i] = (float)(scale * inverse *
                                (gradient[i] - dshift / count - xhat * dscale / count));
            }
        }
        if (norm->dscale != NULL)
            norm->dscale[c] += (float)dscale;
        if (norm->dshift != NULL)
            norm->dshift[c] += (float)dshift;
    }
}
