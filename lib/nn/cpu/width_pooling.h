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

/* Gives the gradient of an output to the first input in scan order that equals it, NaN equalling
 * NaN. */
static inline void V(give_to_maximum)(const struct cpu_pool *p, const float *x, float *dx,
                                      V(vector) most, V(vector) g, const struct span *rows,
                                      const struct span *columns)
{
    const V(vector) zero = {0};
    V(mask) open = zero == zero;

    for (int i = rows->first; i < rows->end; i++) {
        size_t at = (size_t)i * (size_t)p->width + (size_t)columns->first;
        for (int j = columns->first; j < columns->end; j++, at++) {
            V(vector) value = V(load)(x + at * p->x.stride);
            V(vector) seen = p->relu ? V(relu)(value) : value;
            V(mask) hit = open & ((seen == most) | (seen != seen));
            open &= ~hit;
            if (p->relu)
                hit &= value > 0;
            V(store)(dx + at * p->dx.stride, V(load)(dx + at * p->dx.stride) + V(keep)(hit, g));
        }
    }
}

/* Adds to dx. */
static void V(max_pool_backward)(const struct cpu_pool *p, int image, int channel, char *workspace)
{
    const size_t pixels = (size_t)p->height * (size_t)p->width;
    const size_t first_out = (size_t)image * (size_t)p->out_height * (size_t)p->out_width;
    const float *x = p->x.data + (size_t)image * pixels * p->x.stride + channel;
    const float *y = p->y.data + first_out * p->y.stride + channel;
    const float *dy = p->dy.data + first_out * p->dy.stride + channel;
    float *dx = p->dx.data + (size_t)image * pixels * p->dx.stride + channel;
    const float keep = p->keep != NULL ? p->keep[image] : 1.0f;
    const V(vector) zero = {0};

    (void)workspace;
    for (size_t i = 0; !p->add && i < pixels; i++)
        V(store)(dx + i * p->dx.stride, zero);
    for (int i = 0; i < p->out_height; i++) {
        const struct span rows =
            pool_span(i, p->stride_height, p->padding_height, p->kernel_height, p->height);
        for (int j = 0; j < p->out_width; j++, y += p->y.stride, dy += p->dy.stride) {
            const struct span columns =
                pool_span(j, p->stride_width, p->padding_width, p->kernel_width, p->width);
            V(give_to_maximum)(p, x, dx, V(load)(y), keep * V(load)(dy), &rows, &columns);
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
        for (int j = 0; j < p->out_width; j++) {
            V(vector) sum = {0};
            for (int k = rows.first; k < rows.end; k++)
                sum +=
                    V(load)(dy + (size_t)k * line + (size_t)j * p->dy.stride) *
                    pool_share(k, p->stride_height, p->padding_height, p->kernel_height, p->height);
            row[j] =
                sum * pool_share(j, p->stride_width, p->padding_width, p->kernel_width, p->width);
        }
        for (int j = 0; j < p->width; j++, x += p->x.stride, dx += p->dx.stride) {
            const struct span columns =
                pool_outputs(j, p->stride_width, p->padding_width, p->kernel_width, p->out_width);
            V(vector) sum = {0};
            for (int k = columns.first; k < columns.end; k++)
                sum += row[k];
            sum *= keep;
            V(put)(dx, p->relu ? V(where_positive)(V(load)(x), sum) : sum, p->add);
        }
    }
}
