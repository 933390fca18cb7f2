/*
 * block.c - blocks: opened for a spec, measured for numbers of images, called; and what the kinds
 * of block have in common.
 */
#include "nn/cuda/cuda_internal.h"

#include <stdlib.h>

static const struct cuda_block_ops *const ops_of_kind[] = {
    [SEKI_BLOCK_CONV] = &seki_cuda_block_conv,
    [SEKI_BLOCK_SEPARABLE] = &seki_cuda_block_separable,
    [SEKI_BLOCK_REDUCE] = &seki_cuda_block_reduce,
    [SEKI_BLOCK_MAX_POOL] = &seki_cuda_block_pool,
    [SEKI_BLOCK_AVG_POOL] = &seki_cuda_block_pool,
    [SEKI_BLOCK_NORM] = &seki_cuda_block_norm,
    [SEKI_BLOCK_IDENTITY] = &seki_cuda_block_identity,
    [SEKI_BLOCK_ZERO] = &seki_cuda_block_zero,
    [SEKI_BLOCK_HEAD] = &seki_cuda_block_head,
};

/* Which tap of a maximum won is a byte. */
enum { MOST_TAPS = 255 };

/* The weights' gradient has a row of blocks for a tile of outputs and of inputs under taps, of
 * which the smallest for many is 32 x 80. */
enum { MOST_TILES = 65535, TILE_OUTPUTS = 32, TILE_COLUMNS = 80 };

static int check_channels(const struct seki_block_spec *spec, const struct seki_block_info *info,
                          struct seki_error *error)
{
    const bool convolves = spec->kind == SEKI_BLOCK_CONV || spec->kind == SEKI_BLOCK_SEPARABLE ||
                           spec->kind == SEKI_BLOCK_REDUCE;
    const int in = spec->in.parts * spec->in.channels, out = info->out.channels;
    const long long taps =
        spec->kind == SEKI_BLOCK_CONV ? (long long)spec->kernel_height * spec->kernel_width : 1;
    const long long tiles =
        ((in * taps + TILE_COLUMNS - 1) / TILE_COLUMNS) * ((out + TILE_OUTPUTS - 1) / TILE_OUTPUTS);

    if (!convolves || tiles <= MOST_TILES)
        return 0;
    return seki_fail(error, SEKI_BAD_USE, "backend",
                     "cuda: a convolution of %d to %d channels has %lld tiles of %d x %d weights, "
                     "at most %d can be computed; take fewer channels",
                     in, out, tiles, TILE_OUTPUTS, TILE_COLUMNS, MOST_TILES);
}

static int check_able(const struct seki_block_spec *spec, struct seki_error *error)
{
    if (spec->kind == SEKI_BLOCK_MAX_POOL && spec->kernel_height * spec->kernel_width > MOST_TAPS)
        return seki_fail(error, SEKI_BAD_USE, "backend",
                         "cuda: a maximum over %d x %d is too large, at most %d pixels can be "
                         "computed",
                         spec->kernel_height, spec->kernel_width, MOST_TAPS);
    return 0;
}

struct seki_block *seki_cuda_block_open(struct seki_backend *backend,
                                        const struct seki_block_spec *spec,
                                        struct seki_error *error)
{
    struct seki_block_info info;
    struct seki_block *block;

    if (seki_block_describe(spec, &info, error) < 0 || check_able(spec, error) < 0 ||
        check_channels(spec, &info, error) < 0)
        return NULL;
    block = seki_allocate(1, sizeof *block, error);
    if (block == NULL)
        return NULL;
    block->backend = cuda_backend(backend);
    block->ops = ops_of_kind[spec->kind];
    block->spec = *spec;
    block->info = info;
    block->in_channels = spec->in.parts * spec->in.channels;
    return block;
}

void seki_cuda_block_close(struct seki_block *block)
{
    free(block);
}

/* Kernels count the pixels of a batch, and the values of a layout, in 31 bits. */
static int check_images(const struct seki_block *block, int images, struct seki_error *error)
{
    const int in = cuda_pixels(&block->spec.in), out = cuda_pixels(&block->info.out);
    const int most = (INT32_MAX - CUDA_BEYOND) / (in > out ? in : out);

    if (images >= 1 && images <= most)
        return 0;
    return seki_fail(error, SEKI_BAD_USE, "backend", "cuda: %d pictures, expected 1 to %d", images,
                     most);
}

int seki_cuda_block_prepare(struct seki_block *block, int images, enum seki_mode mode,
                            size_t *saved, size_t *scratch, struct seki_error *error)
{
    struct cuda_work work = {.images = images, .train = mode == SEKI_MODE_TRAIN};

    if (check_images(block, images, error) < 0)
        return -1;
    if (block->ops->prepare != NULL && block->ops->prepare(block, images, mode, error) < 0)
        return -1;
    block->ops->measure(block, &work);
    *saved = work.saved.used;
    *scratch = work.scratch.used;
    return 0;
}

static struct cuda_work work_of(const struct seki_block_call *call)
{
    return (struct cuda_work){.call = call,
                              .images = call->images,
                              .train = call->mode == SEKI_MODE_TRAIN,
                              .saved = {call->saved, 0},
                              .scratch = {call->scratch, 0}};
}

int seki_cuda_forward(struct seki_block *block, const struct seki_block_call *call,
                      struct seki_error *error)
{
    struct cuda_work work = work_of(call);

    return seki_cuda_check(block->backend, block->ops->forward(block, &work), "a forward pass",
                           error);
}

int seki_cuda_backward(struct seki_block *block, const struct seki_block_call *call,
                       struct seki_error *error)
{
    struct cuda_work work = work_of(call);

    if (call->mode != SEKI_MODE_TRAIN)
        SEKI_BUG("backward was called in a mode that saves nothing");
    cudaError_t status = block->ops->backward(block, &work);

    if (status == cudaSuccess && work.sums.count > 0)
        status = seki_cuda_add_parts(&block->backend->queue, &work.sums);
    return seki_cuda_check(block->backend, status, "a backward pass", error);
}

void seki_cuda_sum_later(struct cuda_work *work, struct cuda_parts parts)
{
    work->sums.each[work->sums.count++] = parts;
}

/* ---- Parameters ---------------------------------------------------------------------------- */

const float *seki_cuda_parameter(const struct seki_block *block, const struct cuda_work *work,
                                 enum seki_parameter_role role, int repeat)
{
    const struct seki_parameter *p = seki_block_parameter(&block->info, role, repeat);

    return p != NULL ? work->call->parameters + p->offset : NULL;
}

float *seki_cuda_gradient(const struct seki_block *block, const struct cuda_work *work,
                          enum seki_parameter_role role, int repeat)
{
    const struct seki_parameter *p = seki_block_parameter(&block->info, role, repeat);

    return p != NULL && work->call->gradients != NULL ? work->call->gradients + p->offset : NULL;
}

float *seki_cuda_statistic(const struct seki_block *block, const struct cuda_work *work,
                           enum seki_parameter_role role, int repeat)
{
    const struct seki_parameter *p = seki_block_parameter(&block->info, role, repeat);

    return p != NULL ? work->call->statistics + p->offset : NULL;
}

struct cuda_window seki_cuda_window(const struct seki_block *block, int images)
{
    const struct seki_block_spec *spec = &block->spec;

    return (struct cuda_window){.images = images,
                                .height = spec->in.height,
                                .width = spec->in.width,
                                .out_height = block->info.out.height,
                                .out_width = block->info.out.width,
                                .kernel_height = spec->kernel_height,
                                .kernel_width = spec->kernel_width,
                                .stride_height = spec->stride_height,
                                .stride_width = spec->stride_width,
                                .padding_height = spec->padding_height,
                                .padding_width = spec->padding_width,
                                .dilation = 1};
}

/* ---- The ends of a call -------------------------------------------------------------------- */

cudaError_t seki_cuda_give(const struct seki_block *block, const struct cuda_work *work,
                           const struct cuda_source *source)
{
    const struct cuda_map map = {.images = work->images,
                                 .pixels = cuda_pixels(&block->info.out),
                                 .channels = block->info.out.channels,
                                 .source = *source,
                                 .keep = work->call->keep,
                                 .y = seki_cuda_view(block->backend, &work->call->y),
                                 .add_y = work->call->add_y};

    return seki_cuda_map(&block->backend->queue, block->backend->type, &map);
}

struct cuda_gradient seki_cuda_gradient_of(const struct seki_block *block,
                                           const struct cuda_work *work, struct cuda_view z,
                                           const struct cuda_norm *norm, bool relu)
{
    return (struct cuda_gradient){.dy = seki_cuda_view(block->backend, &work->call->dy),
                                  .keep = work->call->keep,
                                  .pixels = cuda_pixels(&block->info.out),
                                  .z = z,
                                  .coefficients = norm != NULL ? norm->coefficients : NULL,
                                  .relu = relu};
}
