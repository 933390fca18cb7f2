/*
 * avg_pool.c - the mean of the pixels under the kernel that are inside the picture.
 */
#include "nn/ref/ref_internal.h"

/* Rows first_row .. last_row-1 and columns likewise are under the kernel at one output. */
struct field {
    int first_row, last_row, first_column, last_column;
};

static struct field field_of(const struct ref_kernel *kernel, int height, int width, int oy, int ox)
{
    int top = oy * kernel->stride_height - kernel->padding_height;
    int left = ox * kernel->stride_width - kernel->padding_width;
    int bottom = top + kernel->height, right = left + kernel->width;

    return (struct field){top > 0 ? top : 0, bottom < height ? bottom : height, left > 0 ? left : 0,
                          right < width ? right : width};
}

static int pixels_in(const struct field *field)
{
    return (field->last_row - field->first_row) * (field->last_column - field->first_column);
}

static float mean_of(const struct field *field, const float *plane, int width)
{
    double sum = 0.0;

    for (int iy = field->first_row; iy < field->last_row; iy++)
        for (int ix = field->first_column; ix < field->last_column; ix++)
            sum += plane[iy * width + ix];
    return (float)(sum / pixels_in(field));
}

void seki_ref_avg_pool_forward(const struct ref_kernel *kernel, const struct ref_tensor *x,
                               const struct ref_tensor *y)
{
    for (int n = 0; n < y->images; n++) {
        for (int c = 0; c < y->channels; c++) {
            const float *from = ref_plane(x, n, c);
            float *to = ref_plane(y, n, c);

            for (int oy = 0; oy < y->height; oy++) {
                for (int ox = 0; ox < y->width; ox++) {
                    struct field field = field_of(kernel, x->height, x->width, oy, ox);

                    to[oy * y->width + ox] = mean_of(&field, from, x->width);
                }
            }
        }
    }
}

static void spread(const struct field *field, float gradient, float *plane, int width)
{
    float share = gradient / (float)pixels_in(field);

    for (int iy = field->first_row; iy < field->last_row; iy++)
        for (int ix = field->first_column; ix < field->last_column; ix++)
            plane[iy * width + ix] += share;
}

void seki_ref_avg_pool_backward(const struct ref_kernel *kernel, const struct ref_tensor *dy,
                                const struct ref_tensor *dx)
{
    for (int n = 0; n < dx->images; n++) {
        for (int c = 0; c < dx->channels; c++) {
            const float *gradient = ref_plane(dy, n, c);
            float *to = ref_plane(dx, n, c);

            for (size_t i = 0; i < ref_pixels(dx); i++)
                to[i] = 0.0f;
            for (int oy = 0; oy < dy->height; oy++) {
                for (int ox = 0; ox < dy->width; ox++) {
                    struct field field = field_of(kernel, dx->height, dx->width, oy, ox);

                    spread(&field, gradient[oy * dy->width + ox], to, dx->width);
                }
            }
        }
    }
}
