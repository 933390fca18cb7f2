/*
 * ref.c - the table of functions of the readable backend: its memory, its tensors, its blocks.
 */
#include "nn/ref/ref_internal.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT ((size_t)64)

static struct seki_backend *ref_open(int threads, enum seki_precision precision,
                                     struct seki_error *error)
{
    struct seki_backend *backend;

    (void)threads; /* always one */
    if (precision != SEKI_FP32) {
        seki_fail(error, SEKI_BAD_USE, "precision", "ref does not compute in %s, only in fp32",
                  seki_precision_name(precision));
        return NULL;
    }
    backend = seki_allocate(1, sizeof *backend, error);
    if (backend == NULL)
        return NULL;
    backend->ops = &seki_backend_ref;
    backend->threads = 1;
    return backend;
}

static void ref_close(struct seki_backend *backend)
{
    free(backend);
}

/* ---- Memory ------------------------------------------------------------------------------ */

static void *ref_memory(struct seki_backend *backend, size_t bytes, struct seki_error *error)
{
    (void)backend;
    if (bytes > SIZE_MAX - ALIGNMENT) {
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "%zu bytes are not possible", bytes);
        return NULL;
    }
    size_t padded = bytes > 0 ? (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
    void *memory = aligned_alloc(ALIGNMENT, padded);

    if (memory == NULL) {
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "%zu bytes are not to be had", bytes);
        return NULL;
    }
    return memset(memory, 0, padded);
}

static void ref_release(struct seki_backend *backend, void *memory)
{
    (void)backend;
    free(memory);
}

static int ref_clear(struct seki_backend *backend, float *array, const struct seki_range *ranges,
                     int count, struct seki_error *error)
{
    (void)backend;
    (void)error;
    seki_clear_on_host(array, ranges, count);
    return 0;
}

static int ref_write(struct seki_backend *backend, void *memory, const void *host, size_t bytes,
                     struct seki_error *error)
{
    (void)backend;
    (void)error;
    memcpy(memory, host, bytes);
    return 0;
}

static int ref_read(struct seki_backend *backend, void *host, const void *memory, size_t bytes,
                    struct seki_error *error)
{
    (void)backend;
    (void)error;
    memcpy(host, memory, bytes);
    return 0;
}

/* ---- Tensors ------------------------------------------------------------------------------ */

static size_t ref_tensor_bytes(const struct seki_backend *backend, const struct seki_shape *shape,
                               int images)
{
    size_t floats = (size_t)images * (size_t)shape->parts * (size_t)shape->channels *
                    (size_t)shape->height * (size_t)shape->width;

    (void)backend;
    return (floats * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static int ref_tensor_write(struct seki_backend *backend, const struct seki_window *window,
                            int images, const float *host, struct seki_error *error)
{
    struct ref_tensor tensor = seki_ref_from_window(window, images);
    size_t count = (size_t)tensor.channels * ref_pixels(&tensor);

    (void)backend;
    (void)error;
    for (int n = 0; n < images; n++)
        memcpy(ref_plane(&tensor, n, 0), host + (size_t)n * count, count * sizeof(float));
    return 0;
}

static int ref_tensor_read(struct seki_backend *backend, float *host,
                           const struct seki_window *window, int images, struct seki_error *error)
{
    struct ref_tensor tensor = seki_ref_from_window(window, images);
    size_t count = (size_t)tensor.channels * ref_pixels(&tensor);

    (void)backend;
    (void)error;
    for (int n = 0; n < images; n++)
        memcpy(host + (size_t)n * count, ref_plane(&tensor, n, 0), count * sizeof(float));
    return 0;
}

/* ---- Blocks ------------------------------------------------------------------------------- */

static const struct ref_block_ops *const block_ops[] = {
    [SEKI_BLOCK_CONV] = &seki_ref_block_conv,
    [SEKI_BLOCK_SEPARABLE] = &seki_ref_block_separable,
    [SEKI_BLOCK_REDUCE] = &seki_ref_block_reduce,
    [SEKI_BLOCK_MAX_POOL] = &seki_ref_block_pool,
    [SEKI_BLOCK_AVG_POOL] = &seki_ref_block_pool,
    [SEKI_BLOCK_NORM] = &seki_ref_block_norm,
    [SEKI_BLOCK_IDENTITY] = &seki_ref_block_identity,
    [SEKI_BLOCK_ZERO] = &seki_ref_block_zero,
    [SEKI_BLOCK_HEAD] = &seki_ref_block_head,
};

static struct seki_block *ref_block_open(struct seki_backend *backend,
                                         const struct seki_block_spec *spec,
                                         struct seki_error *error)
{
    struct seki_block_info info;

    (void)backend;
    if (seki_block_describe(spec, &info, error) < 0)
        return NULL;
    struct seki_block *block = seki_allocate(1, sizeof *block, error);

    if (block == NULL)
        return NULL;
    block->ops = block_ops[spec->kind];
    block->spec = *spec;
    block->info = info;
    return block;
}

static void ref_block_close(struct seki_block *block)
{
    free(block);
}

static int ref_block_prepare(struct seki_block *block, int images, enum seki_mode mode,
                             size_t *saved, size_t *scratch, struct seki_error *error)
{
    struct ref_memory memory = {.train = mode == SEKI_MODE_TRAIN};

    if (images < 1)
        return seki_fail(error, SEKI_BAD_USE, "block", "%d images are not possible", images);
    block->ops->measure(block, images, &memory);
    if (memory.saved.used == SIZE_MAX || memory.scratch.used == SIZE_MAX)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory",
                         "%d images take more than there are addresses", images);
    *saved = memory.saved.used;
    *scratch = memory.scratch.used;
    return 0;
}

static bool fits(const struct seki_window *window, int channels, const struct seki_shape *shape)
{
    return window->data != NULL && window->part >= 0 && window->parts >= 1 &&
           window->parts <= window->shape.parts - window->part &&
           window->parts * window->shape.channels == channels &&
           window->shape.height == shape->height && window->shape.width == shape->width;
}

/* A caller's mistake here would be an oracle's wrong answer. */
static void check_windows(const struct seki_block *block, const struct seki_window *in,
                          const struct seki_window *out)
{
    const struct seki_shape *x = &block->spec.in, *y = &block->info.out;

    if (in->data != NULL && !fits(in, x->parts * x->channels, x))
        SEKI_BUG("a block's input window has not the shape of its spec");
    if (!fits(out, y->channels, y))
        SEKI_BUG("a block's output window has not the shape of its spec");
}

static struct ref_memory memory_of(const struct seki_block_call *call)
{
    return (struct ref_memory){
        .saved = {.base = call->saved},
        .scratch = {.base = call->scratch},
        .train = call->mode == SEKI_MODE_TRAIN,
    };
}

static int ref_forward(struct seki_block *block, const struct seki_block_call *call,
                       struct seki_error *error)
{
    struct ref_memory memory = memory_of(call);

    (void)error;
    check_windows(block, &call->x, &call->y);
    block->ops->forward(block, call, &memory);
    return 0;
}

static int ref_backward(struct seki_block *block, const struct seki_block_call *call,
                        struct seki_error *error)
{
    struct ref_memory memory = memory_of(call);

    (void)error;
    if (call->mode != SEKI_MODE_TRAIN)
        SEKI_BUG("backward was called in a mode that saves nothing");
    check_windows(block, &call->dx, &call->dy);
    block->ops->backward(block, call, &memory);
    return 0;
}

const struct seki_backend_ops seki_backend_ref = {
    .name = "ref",
    .open = ref_open,
    .close = ref_close,
    .memory = ref_memory,
    .release = ref_release,
    .clear = ref_clear,
    .write = ref_write,
    .read = ref_read,
    .tensor_bytes = ref_tensor_bytes,
    .tensor_write = ref_tensor_write,
    .tensor_read = ref_tensor_read,
    .block_open = ref_block_open,
    .block_close = ref_block_close,
    .block_prepare = ref_block_prepare,
    .forward = ref_forward,
    .backward = ref_backward,
    .loss = seki_ref_loss,
    .sgd = seki_ref_sgd,
};
