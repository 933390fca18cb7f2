/*
 * tensor.c - tensors: their size, their views, and copies from and to the host's (N, C, H, W).
 */
#include "nn/cuda/cuda_internal.h"

#include <string.h>

size_t seki_cuda_element(const struct cuda_backend *backend)
{
    return backend->type == CUDA_BF16 ? 2 : sizeof(float);
}

static size_t bytes_of(const struct cuda_backend *backend, const struct seki_shape *shape)
{
    return shape->full ? sizeof(float) : seki_cuda_element(backend);
}

struct cuda_view seki_cuda_view(const struct cuda_backend *backend,
                                const struct seki_window *window)
{
    const size_t first = (size_t)window->part * (size_t)window->shape.channels;

    if (window->data == NULL)
        return (struct cuda_view){0};
    return (struct cuda_view){(char *)window->data + first * bytes_of(backend, &window->shape),
                              window->shape.parts * window->shape.channels};
}

size_t seki_cuda_tensor_bytes(const struct seki_backend *backend, const struct seki_shape *shape,
                              int images)
{
    const size_t count = (size_t)images * (size_t)cuda_pixels(shape) * (size_t)shape->parts *
                         (size_t)shape->channels;

    return (count * bytes_of((const struct cuda_backend *)backend, shape) + 63) / 64 * 64;
}

/* Images first..first+count-1 between the window and page-locked floats, which the kernel reaches
 * by itself. */
static int copy_images(struct cuda_backend *backend, const struct seki_window *window, int first,
                       int count, float *plain, bool out, struct seki_error *error)
{
    struct cuda_layout call = {.images = count,
                               .pixels = cuda_pixels(&window->shape),
                               .channels = window->parts * window->shape.channels,
                               .plain = plain,
                               .view = seki_cuda_view(backend, window),
                               .full = window->shape.full,
                               .out = out};

    call.view.data = (char *)call.view.data + (size_t)first * (size_t)call.pixels *
                                                  (size_t)call.view.stride *
                                                  bytes_of(backend, &window->shape);
    return seki_cuda_check(backend, seki_cuda_layout(&backend->queue, backend->type, &call),
                           "a copy of a tensor", error);
}

/* One of from and to is the host's, the other NULL. */
static int copy_tensor(struct cuda_backend *backend, const struct seki_window *window, int images,
                       const float *from, float *to, struct seki_error *error)
{
    const size_t image = (size_t)cuda_pixels(&window->shape) * (size_t)window->parts *
                         (size_t)window->shape.channels;
    const size_t room = backend->ring.section / (image * sizeof(float));
    const int most = room < 1 ? 1 : room < (size_t)images ? (int)room : images;

    for (int first = 0; first < images; first += most) {
        const int count = images - first < most ? images - first : most;
        const size_t offset = (size_t)first * image, bytes = (size_t)count * image * sizeof(float);
        float *plain = seki_cuda_ring_take(backend, bytes, error);

        if (plain == NULL)
            return -1;
        if (from != NULL)
            memcpy(plain, from + offset, bytes);
        if (copy_images(backend, window, first, count, plain, to != NULL, error) < 0)
            return -1;
        if (to == NULL)
            continue;
        if (seki_cuda_wait(backend, error) < 0)
            return -1;
        memcpy(to + offset, plain, bytes);
    }
    return 0;
}

int seki_cuda_tensor_write(struct seki_backend *backend, const struct seki_window *window,
                           int images, const float *host, struct seki_error *error)
{
    return copy_tensor(cuda_backend(backend), window, images, host, NULL, error);
}

int seki_cuda_tensor_read(struct seki_backend *backend, float *host,
                          const struct seki_window *window, int images, struct seki_error *error)
{
    return copy_tensor(cuda_backend(backend), window, images, NULL, host, error);
}

int seki_cuda_backend_pictures(struct seki_backend *base, const struct seki_pictures_call *call,
                               struct seki_error *error)
{
    struct cuda_backend *backend = cuda_backend(base);
    struct cuda_crop *crops =
        seki_cuda_ring_take(backend, (size_t)call->images * sizeof *crops, error);

    if (crops == NULL)
        return -1;
    for (int i = 0; i < call->images; i++) {
        const struct seki_crop *c = &call->crops[i];

        crops[i] = (struct cuda_crop){c->picture, c->shift_y,    c->shift_x,  c->flip,
                                      c->cut_top, c->cut_bottom, c->cut_left, c->cut_right};
    }
    const struct cuda_pictures pictures = {.images = call->images,
                                           .channels = call->x.shape.channels,
                                           .height = call->x.shape.height,
                                           .width = call->x.shape.width,
                                           .bytes = call->bytes,
                                           .values = call->values,
                                           .crops = crops,
                                           .x = seki_cuda_view(backend, &call->x)};

    return seki_cuda_check(backend, seki_cuda_pictures(&backend->queue, backend->type, &pictures),
                           "the batch's pictures", error);
}
