/*
 * width_head.h - template: the classifier's loops over W channels.
 */

/* x: the image's, this channel's first. */
static void V(head_mean)(const struct cpu_head *h, size_t image, int channel, const element *x)
{
    V(vector) sum = {0};

    for (size_t i = 0; i < h->pixels; i++)
        sum += V(fetch)(x + i * h->x.stride);
    V(store)(h->mean + image * (size_t)h->channels + channel, sum * (1.0f / (float)h->pixels));
}

static float V(head_dot)(const float *a, const float *b)
{
    return V(total)(V(load)(a) * V(load)(b));
}

/* dmean of one image: sum over the classes of dy * weights, keep and 1 / pixels in it. */
static void V(head_dmean)(const struct cpu_head *h, size_t image, int channel)
{
    const float *dy = (const float *)h->dy.data + image * h->dy.stride;
    V(vector) sum = {0};

    for (int k = 0; k < h->classes; k++)
        sum += V(load)(h->weights + (size_t)k * (size_t)h->channels + channel) * dy[k];
    sum *= (h->keep != NULL ? h->keep[image] : 1.0f) / (float)h->pixels;
    V(store)(h->dmean + image * (size_t)h->channels + channel, sum);
}

static void V(head_dweights)(const struct cpu_head *h, int class, int channel)
{
    V(vector) sum = {0};

    for (size_t n = 0; n < (size_t)h->images; n++) {
        float dy = ((const float *)h->dy.data)[n * h->dy.stride + (size_t) class];
        if (h->keep != NULL)
            dy *= h->keep[n];
        sum += V(load)(h->mean + n * (size_t)h->channels + channel) * dy;
    }
    float *dweights = h->dweights + (size_t) class * (size_t)h->channels + channel;
    V(store)(dweights, V(load)(dweights) + sum);
}

static void V(head_dx)(const struct cpu_head *h, size_t image, int channel, element *dx)
{
    const V(vector) g = V(load)(h->dmean + image * (size_t)h->channels + channel);

    for (size_t i = 0; i < h->pixels; i++)
        V(put)(dx + i * h->dx.stride, g, h->add);
}
