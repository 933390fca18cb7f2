/*
 * width_pooling.h - template: pooling of W channels of one image. A window is a square of rows and
 * columns, so its sum or maximum goes over rows into `row`, as wide as the picture, and then along
 * that.
 */

static void V(max_pool)(const struct cpu_pool *p, int image, int channel, char *workspace)
{
    V(vector) *row = (V(vector) *)workspace;
    const size_t line = (size_t)p->width * p->x.stride;
    const float *x = p->x.data + (size_t)image * (size_t)p->height * line + channel;
    float *y = p->y.data + channel +
               (size_t)image * (size_t)p->out_height * (size_t)p->out_width * p->y.stride;
    const bool relu = p->relu;

    for (int i = 0; i < p->out_height; i++) {
        const struct span rows =
            pool_span(i, p->stride_height, p->padding_height, p->kernel_height, p->height);
        for (int j = 0; j < p->width; j++) {
            const float *at = x + (size_t)rows.first * line + (size_t)j * p->x.stride;
            V(vector) most = V(load)(at);
            for (int k = rows.first + 1; k < rows.end; k++)
                most = V(maximum)(most, V(load)(at += line));
            row[j] = relu ? V(relu)(most) : most;
        }
        for (int j = 0; j < p->out_width; j++, y += p->y.stride) {
            const struct span columns =
                pool_span(j, p->stride_width, p->padding_width, p->kernel_width, p->width);
            V(vector) most = row[columns.first];
            for (int k = columns.first + 1; k < columns.end; k++)
                most = V(maximum)(most, row[k]);
            V(store)(y, most);
        }
    }
}

/* Which of rows x columns inputs from x on is the maximum `most`, as its tap's number: the first in
 * scan order that equals it, NaN equalling NaN. Looking from the last to the first leaves the
 * first. */
static inline __attribute__((always_inline)) V(mask)
    V(winner)(const float *x, size_t pixel, size_t line, V(vector) most, const int rows,
              const int columns, int first_tap, int kernel_width, bool relu)
{
    V(mask) winner = {0};
    const V(mask) none = {0};

#pragma GCC unroll 3
    for (int i = rows - 1; i >= 0; i--)
#pragma GCC unroll 3
        for (int j = columns - 1; j >= 0; j--) {
            V(vector) value = V(load)(x + (size_t)i * line + (size_t)j * pixel);
            V(mask) tap = none + (first_tap + i * kernel_width + j);
            value = relu ? V(relu)(value) : value;
            winner = V(choose)(V(same)(value, most), tap, winner);
        }
    return winner;
}

/* The winners of one image. */
static void V(find_winners)(const struct cpu_pool *p, const float *x, const float *y,
                            V(mask) * winners)
{
    const size_t pixel = p->x.stride, line = (size_t)p->width * pixel;
    const bool relu = p->relu;

    for (int i = 0; i < p->out_height; i++) {
        const struct span rows =
            pool_span(i, p->stride_height, p->padding_height, p->kernel_height, p->height);
        const int row_tap =
            (rows.first - i * p->stride_height + p->padding_height) * p->kernel_width;
        for (int j = 0; j < p->out_width; j++, y += p->y.stride) {
            const struct span columns =
                pool_span(j, p->stride_width, p->padding_width, p->kernel_width, p->width);
            const int tap = row_tap + columns.first - j * p->stride_width + p->padding_width;
            const float *at = x + (size_t)rows.first * line + (size_t)columns.first * pixel;
            const int height = rows.end - rows.first, width = columns.end - columns.first;
            if (height == 3 && width == 3)
                *winners++ =
                    V(winner)(at, pixel, line, V(load)(y), 3, 3, tap, p->kernel_width, relu);
            else
                *winners++ = V(winner)(at, pixel, line, V(load)(y), height, width, tap,
                                       p->kernel_width, relu);
        }
    }
}

/* The sum of the gradients of the outputs that an input won, among rows x columns of them; it is
 * tap `tap` of the first one. */
static inline __attribute__((always_inline)) V(vector)
    V(won)(const V(mask) * winners, const float *dy, size_t pixel, int out_width, const int rows,
           const int columns, int tap, int row_step, const int column_step)
{
    V(vector) sum = {0};

#pragma GCC unroll 3
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < columns; j++) {
            const size_t at = (size_t)i * (size_t)out_width + (size_t)j;
            sum += V(keep)(V(equals)(winners[at], tap - i * row_step - j * column_step),
                           V(load)(dy + at * pixel));
        }
    return sum;
}

/* Every input gathers the gradients of the outputs that it won. */
static void V(max_pool_backward)(const struct cpu_pool *p, int image, int channel, char *workspace)
{
    V(mask) *winners = (V(mask) *)workspace; /* out_height * out_width */
    const size_t pixels = (size_t)p->height * (size_t)p->width;
    const size_t line = (size_t)p->out_width, out = (size_t)image * (size_t)p->out_height * line;
    const float *x = p->x.data + (size_t)image * pixels * p->x.stride + channel;
    const float *dy = p->dy.data + out * p->dy.stride + channel;
    float *dx = p->dx.data + (size_t)image * pixels * p->dx.stride + channel;
    const float keep = p->keep != NULL ? p->keep[image] : 1.0f;

    const int row_step = p->stride_height * p->kernel_width;

    V(find_winners)(p, x, p->y.data + out * p->y.stride + channel, winners);
    for (int i = 0; i < p->height; i++) {
        const struct span rows =
            pool_outputs(i, p->stride_height, p->padding_height, p->kernel_height, p->out_height);
        const int row_tap =
            (i + p->padding_height - rows.first * p->stride_height) * p->kernel_width;
        for (int j = 0; j < p->width; j++, x += p->x.stride, dx += p->dx.stride) {
            const struct span columns =
                pool_outputs(j, p->stride_width, p->padding_width, p->kernel_width, p->out_width);
            const int height = rows.end - rows.first, width = columns.end - columns.first;
            const size_t at = (size_t)rows.first * line + (size_t)columns.first;
            const int tap = row_tap + j + p->padding_width - columns.first * p->stride_width;
            V(vector) sum;
            if (height == 3 && width == 3)
                sum = V(won)(winners + at, dy + at * p->dy.stride, p->dy.stride, p->out_width, 3, 3,
                             tap, row_step, p->stride_width);
            else
                sum = V(won)(winners + at, dy + at * p->dy.stride, p->dy.stride, p->out_width,
                             height, width, tap, row_step, p->stride_width);
            sum *= keep;
            V(put)(dx, p->relu ? V(where_positive)(V(load)(x), sum) : sum, p->add);
        }
    }
}

static void V(average_pool)(const struct cpu_pool *p, int image, int channel, char *workspace)
{
    V(vector) *row = (V(vector) *)workspace;
    const size_t line = (size_t)p->width * p->x.stride;
    const float *x = p->x.data + (size_t)image * (size_t)p->height * line + channel;
    float *y = p->y.data + channel +
               (size_t)image * (size_t)p->out_height * (size_t)p->out_width * p->y.stride;
    const float keep = p->keep != NULL ? p->keep[image] : 1.0f;
    const bool relu = p->relu, add = p->add;

    for (int i = 0; i < p->out_height; i++) {
        const struct span rows =
            pool_span(i, p->stride_height, p->padding_height, p->kernel_height, p->height);
        for (int j = 0; j < p->width; j++) {
            const float *at = x + (size_t)rows.first * line + (size_t)j * p->x.stride;
            V(vector) sum = {0};
            for (int k = rows.first; k < rows.end; k++, at += line)
                sum += relu ? V(relu)(V(load)(at)) : V(load)(at);
            row[j] = sum;
        }
        for (int j = 0; j < p->out_width; j++, y += p->y.stride) {
            const struct span columns =
                pool_span(j, p->stride_width, p->padding_width, p->kernel_width, p->width);
            const int count = (rows.end - rows.first) * (columns.end - columns.first);
            V(vector) sum = row[columns.first];
            for (int k = columns.first + 1; k < columns.end; k++)
                sum += row[k];
            V(put)(y, sum * (keep / (float)count), add);
        }
    }
}

/* Every input gathers its share of the outputs whose windows it lies in. */
static void V(average_pool_backward)(const struct cpu_pool *p, int image, int channel,
                                     char *workspace)
{
    V(vector) *row = (V(vector) *)workspace; /* out_width sums over the outputs above each other */
    const size_t pixels = (size_t)p->height * (size_t)p->width;
    const size_t line = (size_t)p->out_width * p->dy.stride;
    const float *x = p->x.data + (size_t)image * pixels * p->x.stride + channel;
    const float *dy = p->dy.data + (size_t)image * (size_t)p->out_height * line + channel;
    float *dx = p->dx.data + (size_t)image * pixels * p->dx.stride + channel;
    const float keep = p->keep != NULL ? p->keep[image] : 1.0f;

    for (int i = 0; i < p->height; i++) {
        const struct span rows =
            pool_outputs(i, p->stride_height, p->padding_height, p->kernel_height, p->out_height);
        for (int j = 0; j < p->out_width; j++)
            row[j] = (V(vector)){0};
        for (int k = rows.first; k < rows.end; k++) {
            const float *from = dy + (size_t)k * line;
            const float share = keep * pool_share(k, p->stride_height, p->padding_height,
                                                  p->kernel_height, p->height);
            for (int j = 0; j < p->out_width; j++)
                row[j] += V(load)(from + (size_t)j * p->dy.stride) * share;
        }
        for (int j = 0; j < p->out_width; j++)
            row[j] *= pool_share(j, p->stride_width, p->padding_width, p->kernel_width, p->width);
        for (int j = 0; j < p->width; j++, x += p->x.stride, dx += p->dx.stride) {
            const struct span columns =
                pool_outputs(j, p->stride_width, p->padding_width, p->kernel_width, p->out_width);
            V(vector) sum = {0};
            for (int k = columns.first; k < columns.end; k++)
                sum += row[k];
            V(put)(dx, p->relu ? V(where_positive)(V(load)(x), sum) : sum, p->add);
        }
    }
}
