/*
 * width_pooling.h - template: pooling of W channels of one image. A window is a square of rows and
 * columns, so its sum or maximum goes over rows into `row`, as wide as the picture, and then along
 * that.
 */

static void V(max_pool)(const struct cpu_pool *p, int image, int channel, element *y,
                        size_t y_stride, float keep, bool add, char *workspace)
{
    V(vector) *row = (V(vector) *)workspace;
    const size_t pixel = p->x.stride, line = (size_t)p->width * pixel;
    const element *x =
        (const element *)p->x.data + (size_t)image * (size_t)p->height * line + channel;
    const bool relu = p->relu;

    for (int i = 0; i < p->out_height; i++) {
        const struct span rows =
            pool_span(i, p->stride_height, p->padding_height, p->kernel_height, p->height);
        const element *at = x + (size_t)rows.first * line;
        for (int j = 0; j < p->width; j++)
            row[j] = V(fetch)(at + (size_t)j * pixel);
        for (int k = rows.first + 1; k < rows.end; k++) {
            at += line;
            for (int j = 0; j < p->width; j++) {
                __builtin_prefetch(at + line + (size_t)j * pixel);
                row[j] = V(maximum)(row[j], V(fetch)(at + (size_t)j * pixel));
            }
        }
        for (int j = 0; relu && j < p->width; j++)
            row[j] = V(relu)(row[j]);
        for (int j = 0; j < p->out_width; j++, y += y_stride) {
            const struct span columns =
                pool_span(j, p->stride_width, p->padding_width, p->kernel_width, p->width);
            V(vector) most = row[columns.first];
            if (columns.end - columns.first == 3)
                most = V(maximum)(V(maximum)(most, row[columns.first + 1]), row[columns.first + 2]);
            else
                for (int k = columns.first + 1; k < columns.end; k++)
                    most = V(maximum)(most, row[k]);
            V(put)(y, keep * most, add);
        }
    }
}

/* dX of max pooling goes along rows first: which of the columns of an output's window is the
 * greatest of the row (`column`, as its distance from the window's first), how great (`most`). Then
 * over rows: an output's gradient goes to the first row that has the greatest, `gradient`, and from
 * there to that column. The first of equals wins in either direction, so it is the first in scan
 * order. */
struct V(row_maxima) {
    V(vector) most, gradient;
    V(mask) column;
};

/* Of the columns first .. end-1 of a row; COUNT if it is constant and not 0. */
static inline __attribute__((always_inline)) void
V(find_row_maximum)(const element *x, size_t pixel, int count, const int COUNT, int first_tap,
                    bool relu, struct V(row_maxima) * to)
{
    const V(mask) none = {0};
    V(vector) most = relu ? V(relu)(V(fetch)(x)) : V(fetch)(x);
    V(mask) column = none + first_tap;

    for (int k = 1; k < (COUNT != 0 ? COUNT : count); k++) {
        V(vector) value = V(fetch)(x + (size_t)k * pixel);
        value = relu ? V(relu)(value) : value;
        V(mask) take = V(wins)(most, value);
        most = V(select)(take, value, most);
        column = V(choose)(take, none + (first_tap + k), column);
    }
    to->most = most;
    to->column = column;
    to->gradient = (V(vector)){0};
}

static void V(find_row_maxima)(const struct cpu_pool *p, const element *row,
                               struct V(row_maxima) * to)
{
    const size_t pixel = p->x.stride;
    const bool relu = p->relu;

    for (int j = 0; j < p->out_width; j++) {
        const struct span columns =
            pool_span(j, p->stride_width, p->padding_width, p->kernel_width, p->width);
        const int tap = columns.first - j * p->stride_width + p->padding_width;
        const element *x = row + (size_t)columns.first * pixel;
        if (columns.end - columns.first == 3)
            V(find_row_maximum)(x, pixel, 3, 3, tap, relu, to + j);
        else
            V(find_row_maximum)(x, pixel, columns.end - columns.first, 0, tap, relu, to + j);
    }
}

/* The gradients of a row of outputs go to the rows that won. */
static inline __attribute__((always_inline)) void
V(share_gradients)(struct V(row_maxima) *const *rows, int count, const int COUNT, int columns,
                   const float *dy, size_t dy_stride)
{
    for (int j = 0; j < columns; j++) {
        const V(vector) g = V(load)(dy + (size_t)j * dy_stride);
        V(vector) most = rows[0][j].most;
        V(mask) winner = {0};
        const V(mask) none = {0};
        for (int r = 1; r < (COUNT != 0 ? COUNT : count); r++) {
            V(mask) take = V(wins)(most, rows[r][j].most);
            most = V(select)(take, rows[r][j].most, most);
            winner = V(choose)(take, none + r, winner);
        }
        for (int r = 0; r < (COUNT != 0 ? COUNT : count); r++)
            rows[r][j].gradient += V(keep)(V(equals)(winner, r), g);
    }
}

/* dx (+)= a row of inputs' gradients: all outputs that they won; from NULL: none looks at the row.
 */
static void V(put_row_gradients)(const struct cpu_pool *p, const struct V(row_maxima) * from,
                                 size_t pixel, int channel, float keep)
{
    const element *x = elements(&p->x, pixel, channel);
    element *dx = elements(&p->dx, pixel, channel);
    const bool relu = p->relu, add = p->add;

    for (int c = 0; c < p->width; c++, x += p->x.stride, dx += p->dx.stride) {
        const struct span outputs =
            pool_outputs(c, p->stride_width, p->padding_width, p->kernel_width, p->out_width);
        int tap = c + p->padding_width - outputs.first * p->stride_width;
        V(vector) sum = {0};
        if (from != NULL && p->stride_width == 1 && outputs.end - outputs.first == 3) {
            UNROLL(3)
            for (int j = 0; j < 3; j++) {
                const struct V(row_maxima) *at = from + outputs.first + j;
                sum += V(keep)(V(equals)(at->column, tap - j), at->gradient);
            }
        } else if (from != NULL) {
            for (int j = outputs.first; j < outputs.end; j++, tap -= p->stride_width)
                sum += V(keep)(V(equals)(from[j].column, tap), from[j].gradient);
        }
        sum *= keep;
        V(put)(dx, relu ? V(where_positive)(V(fetch)(x), sum) : sum, add);
    }
}

static void V(max_pool_backward)(const struct cpu_pool *p, int image, int channel, const float *dy,
                                 size_t dy_stride, float keep, char *workspace)
{
    struct V(row_maxima) *ring = (struct V(row_maxima) *)workspace, *rows[MAX_KERNEL];
    const size_t first = (size_t)image * (size_t)p->height * (size_t)p->width;
    const size_t columns = (size_t)p->out_width;
    int found = 0, put = 0;

    for (int i = 0; i < p->out_height; i++, dy += columns * dy_stride) {
        const struct span span =
            pool_span(i, p->stride_height, p->padding_height, p->kernel_height, p->height);
        for (; put < span.first; put++)
            V(put_row_gradients)
        (p, put < found ? ring + (size_t)(put % p->kernel_height) * columns : NULL,
         first + (size_t)put * (size_t)p->width, channel, keep);
        found = found < span.first ? span.first : found;
        for (int r = span.first; r < span.end; r++)
            rows[r - span.first] = ring + (size_t)(r % p->kernel_height) * columns;
        for (; found < span.end; found++)
            V(find_row_maxima)
        (p, elements(&p->x, first + (size_t)found * (size_t)p->width, channel),
         rows[found - span.first]);
        if (span.end - span.first == 3)
            V(share_gradients)(rows, 3, 3, p->out_width, dy, dy_stride);
        else
            V(share_gradients)
        (rows, span.end - span.first, 0, p->out_width, dy, dy_stride);
    }
    for (; put < p->height; put++)
        V(put_row_gradients)
    (p, put < found ? ring + (size_t)(put % p->kernel_height) * columns : NULL,
     first + (size_t)put * (size_t)p->width, channel, keep);
}

static void V(average_pool)(const struct cpu_pool *p, int image, int channel, element *y,
                            size_t y_stride, float keep, bool add, char *workspace)
{
    V(vector) *row = (V(vector) *)workspace;
    const size_t pixel = p->x.stride, line = (size_t)p->width * pixel;
    const element *x =
        (const element *)p->x.data + (size_t)image * (size_t)p->height * line + channel;
    const bool relu = p->relu;

    for (int i = 0; i < p->out_height; i++) {
        const struct span rows =
            pool_span(i, p->stride_height, p->padding_height, p->kernel_height, p->height);
        memset(row, 0, (size_t)p->width * sizeof(*row));
        for (int k = rows.first; k < rows.end; k++) {
            const element *at = x + (size_t)k * line;
            for (int j = 0; j < p->width; j++) {
                __builtin_prefetch(at + line + (size_t)j * pixel);
                V(vector) value = V(fetch)(at + (size_t)j * pixel);
                row[j] += relu ? V(relu)(value) : value;
            }
        }
        const float share = keep * pool_reciprocal(rows.end - rows.first);
        for (int j = 0; j < p->out_width; j++, y += y_stride) {
            const struct span columns =
                pool_span(j, p->stride_width, p->padding_width, p->kernel_width, p->width);
            V(vector) sum = row[columns.first];
            if (columns.end - columns.first == 3)
                sum += row[columns.first + 1] + row[columns.first + 2];
            else
                for (int k = columns.first + 1; k < columns.end; k++)
                    sum += row[k];
            V(put)(y, sum * (share * pool_reciprocal(columns.end - columns.first)), add);
        }
    }
}

/* Every input gathers its share of the outputs whose windows it lies in. */
static void V(average_pool_backward)(const struct cpu_pool *p, int image, int channel,
                                     const float *dy, size_t dy_stride, float keep, char *workspace)
{
    V(vector) *row = (V(vector) *)workspace; /* out_width sums over the outputs above each other */
    const size_t pixels = (size_t)p->height * (size_t)p->width;
    const size_t line = (size_t)p->out_width * dy_stride;
    const element *x = elements(&p->x, (size_t)image * pixels, channel);
    element *dx = elements(&p->dx, (size_t)image * pixels, channel);

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
                row[j] += V(load)(from + (size_t)j * dy_stride) * share;
        }
        for (int j = 0; j < p->out_width; j++)
            row[j] *= pool_share(j, p->stride_width, p->padding_width, p->kernel_width, p->width);
        for (int j = 0; j < p->width; j++, x += p->x.stride, dx += p->dx.stride) {
            const struct span columns =
                pool_outputs(j, p->stride_width, p->padding_width, p->kernel_width, p->out_width);
            V(vector) sum = {0};
            if (columns.end - columns.first == 3)
                sum = row[columns.first] + row[columns.first + 1] + row[columns.first + 2];
            else
                for (int k = columns.first; k < columns.end; k++)
                    sum += row[k];
            V(put)(dx, p->relu ? V(where_positive)(V(fetch)(x), sum) : sum, p->add);
        }
    }
}
