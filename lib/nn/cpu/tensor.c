/*
 * tensor.c - tensors: their size, and copies between the host's (N, C, H, W) and the backend's (N,
 * H, W, C).
 */
#include "nn/cpu/cpu_internal.h"

static size_t element_bytes(const struct cpu_backend *backend, const struct seki_shape *shape)
{
    return shape->full ? sizeof(float) : backend->kernels->element;
}

struct cpu_view seki_cpu_view(const struct cpu_backend *backend, const struct seki_window *window,
                              int images)
{
    const size_t channels = (size_t)window->shape.channels;
    const size_t apart = (size_t)images * cpu_pixels(&window->shape) * channels;
    const size_t bytes = element_bytes(backend, &window->shape);

    if (window->data == NULL)
        return (struct cpu_view){0};
    return (struct cpu_view){(char *)window->data + (size_t)window->part * apart * bytes, channels,
                             apart, bytes == sizeof(float)};
}

size_t seki_cpu_tensor_bytes(const struct seki_backend *backend, const struct seki_shape *shape,
                             int images)
{
    const size_t count =
        (size_t)images * (size_t)shape->parts * (size_t)shape->channels * cpu_pixels(shape);

    return (count * element_bytes((const struct cpu_backend *)backend, shape) + 63) / 64 * 64;
}

struct copy {
    struct cpu_view view;
    size_t planes, channels, pixels; /* planes: images * channels */
    const float *from;               /* host, written into the view */
    float *to;                       /* or host, read out of it */
};

static float read_element(const struct cpu_view *view, size_t i)
{
    return view->full ? ((const float *)view->data)[i]
                      : cpu_bf16_to_float(((const uint16_t *)view->data)[i]);
}

static void write_element(const struct cpu_view *view, size_t i, float value)
{
    if (view->full)
        ((float *)view->data)[i] = value;
    else
        ((uint16_t *)view->data)[i] = cpu_bf16_from_float(value);
}

static void copy_part(const void *call, int part, int parts)
{
    const struct copy *copy = call;
    const size_t end = cpu_first(copy->planes, part + 1, parts), stride = copy->view.stride;

    for (size_t p = cpu_first(copy->planes, part, parts); p < end; p++) {
        size_t image = p / copy->channels, channel = p % copy->channels;
        const size_t first =
            channel / stride * copy->view.apart + image * copy->pixels * stride + channel % stride;
        const size_t host = p * copy->pixels;
        for (size_t i = 0; i < copy->pixels; i++) {
            if (copy->from != NULL)
                write_element(&copy->view, first + i * stride, copy->from[host + i]);
            else
                copy->to[host + i] = read_element(&copy->view, first + i * stride);
        }
    }
}

static void copy_tensor(struct seki_backend *backend, const struct seki_window *window, int images,
                        const float *from, float *to)
{
    struct copy copy = {.view = seki_cpu_view(cpu_backend(backend), window, images),
                        .channels = (size_t)window->parts * (size_t)window->shape.channels,
                        .pixels = cpu_pixels(&window->shape),
                        .from = from,
                        .to = to};

    copy.planes = (size_t)images * copy.channels;
    seki_cpu_parallel(cpu_backend(backend), copy_part, &copy);
}

int seki_cpu_tensor_write(struct seki_backend *backend, const struct seki_window *window,
                          int images, const float *host, struct seki_error *error)
{
    (void)error;
    copy_tensor(backend, window, images, host, NULL);
    return 0;
}

int seki_cpu_tensor_read(struct seki_backend *backend, float *host,
                         const struct seki_window *window, int images, struct seki_error *error)
{
    (void)error;
    copy_tensor(backend, window, images, NULL, host);
    return 0;
}
