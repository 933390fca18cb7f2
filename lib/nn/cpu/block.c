/*
 * block.c - blocks: opened for a spec, made ready for numbers of images, called.
 */
#include "nn/cpu/cpu_internal.h"

#include <stdlib.h>

static const struct cpu_block_ops *const ops_of_kind[] = {
    [SEKI_BLOCK_CONV] = &seki_cpu_block_conv,
    [SEKI_BLOCK_SEPARABLE] = &seki_cpu_block_separable,
    [SEKI_BLOCK_REDUCE] = &seki_cpu_block_reduce,
    [SEKI_BLOCK_MAX_POOL] = &seki_cpu_block_pool,
    [SEKI_BLOCK_AVG_POOL] = &seki_cpu_block_pool,
    [SEKI_BLOCK_NORM] = &seki_cpu_block_norm,
    [SEKI_BLOCK_IDENTITY] = &seki_cpu_block_copy,
    [SEKI_BLOCK_ZERO] = &seki_cpu_block_copy,
    [SEKI_BLOCK_HEAD] = &seki_cpu_block_head,
};

/* Small convolutions of stride 1 with a normalisation behind them have kernels of their own. */
static const struct cpu_block_ops *ops_of(const struct seki_block_spec *spec)
{
    const int height = spec->kernel_height, width = spec->kernel_width;

    if (spec->kind != SEKI_BLOCK_CONV || !spec->norm || spec->stride_height != 1 ||
        spec->stride_width != 1 || height * width > CPU_MAX_TAPS ||
        spec->padding_height >= height || spec->padding_width >= width)
        return ops_of_kind[spec->kind];
    return height * width == 1 ? &seki_cpu_block_pointwise : &seki_cpu_block_dense;
}

static int check_able(const struct seki_block_spec *spec, struct seki_error *error)
{
    if (spec->kind == SEKI_BLOCK_MAX_POOL &&
        (spec->kernel_height > SEKI_CPU_MAX_KERNEL || spec->kernel_width > SEKI_CPU_MAX_KERNEL))
        return seki_fail(error, SEKI_BAD_USE, "backend",
                         "cpu: a maximum over %d x %d is too large, at most %d x %d can be "
                         "computed",
                         spec->kernel_height, spec->kernel_width, SEKI_CPU_MAX_KERNEL,
                         SEKI_CPU_MAX_KERNEL);
    return 0;
}

struct seki_block *seki_cpu_block_open(struct seki_backend *backend,
                                       const struct seki_block_spec *spec, struct seki_error *error)
{
    struct seki_block_info info;
    struct seki_block *block;

    if (seki_block_describe(spec, &info, error) < 0 || check_able(spec, error) < 0)
        return NULL;
    block = seki_allocate(1, sizeof(*block), error);
    if (block == NULL)
        return NULL;
    block->backend = cpu_backend(backend);
    block->ops = ops_of(spec);
    block->spec = *spec;
    block->info = info;
    block->in_channels = spec->in.parts * spec->in.channels;
    return block;
}

static void free_plan(struct seki_block *block, struct cpu_plan *plan)
{
    for (int i = 0; i < 2; i++)
        seki_cpu_convolution_close(block->backend, plan->convolutions[i]);
    free(plan);
}

void seki_cpu_block_close(struct seki_block *block)
{
    if (block == NULL)
        return;
    while (block->plans != NULL) {
        struct cpu_plan *plan = block->plans;
        block->plans = plan->next;
        free_plan(block, plan);
    }
    free(block);
}

static struct cpu_plan *find_plan(const struct seki_block *block, int images, bool train)
{
    struct cpu_plan *plan = block->plans;

    while (plan != NULL && (plan->images != images || plan->train != train))
        plan = plan->next;
    return plan;
}

/* ---- x of several parts, for blocks that take one ------------------------------------------ */

static bool narrow(const struct seki_block *block)
{
    return block->spec.in.parts > 1 && !block->ops->wide;
}

/* x and dx of all parts as one, and the call with them. */
struct joined {
    struct seki_block_call call;
    void *x, *dx;
};

static struct joined take_joined(const struct seki_block *block, const struct cpu_plan *plan,
                                 struct cpu_arena *scratch)
{
    const size_t count =
        (size_t)plan->images * (size_t)block->in_channels * cpu_pixels(&block->spec.in);
    struct joined j = {.x = seki_cpu_take_elements(scratch, block->backend, count)};

    if (plan->train)
        j.dx = seki_cpu_take_elements(scratch, block->backend, count);
    return j;
}

static struct joined join(const struct seki_block *block, const struct cpu_plan *plan,
                          const struct seki_block_call *call)
{
    struct cpu_arena scratch = {call->scratch, plan->scratch};
    struct joined j = take_joined(block, plan, &scratch);
    struct seki_window window = {NULL, block->spec.in, 0, 1};
    struct cpu_map map = {.images = call->images,
                          .channels = block->spec.in.channels,
                          .pixels = cpu_pixels(&block->spec.in),
                          .x = seki_cpu_view(block->backend, &call->x, call->images),
                          .y = cpu_dense(j.x, block->in_channels)};

    window.shape.parts = 1;
    window.shape.channels = block->in_channels;
    j.call = *call;
    j.call.x = j.call.dx = window;
    j.call.x.data = j.x;
    j.call.dx.data = call->dx.data != NULL ? j.dx : NULL;
    j.call.add_dx = false;
    for (int part = 0; part < block->spec.in.parts; part++) {
        seki_cpu_parallel(block->backend, block->backend->kernels->map, &map);
        map.x = cpu_view_from(block->backend, map.x, map.x.apart);
        map.y = cpu_view_from(block->backend, map.y, (size_t)block->spec.in.channels);
    }
    return j;
}

static void part_gradient(const struct seki_block *block, const struct seki_block_call *call,
                          const struct joined *j)
{
    struct cpu_map map = {.images = call->images,
                          .channels = block->spec.in.channels,
                          .pixels = cpu_pixels(&block->spec.in),
                          .x = cpu_dense(j->dx, block->in_channels),
                          .y = seki_cpu_view(block->backend, &call->dx, call->images),
                          .add = call->add_dx};

    for (int part = 0; part < block->spec.in.parts; part++) {
        seki_cpu_parallel(block->backend, block->backend->kernels->map, &map);
        map.x = cpu_view_from(block->backend, map.x, (size_t)block->spec.in.channels);
        map.y = cpu_view_from(block->backend, map.y, map.y.apart);
    }
}

/* ---- Plans and calls ----------------------------------------------------------------------- */

static struct cpu_plan *make_plan(struct seki_block *block, int images, bool train,
                                  struct seki_error *error)
{
    struct cpu_arena saved = {0}, scratch = {0};
    struct cpu_plan *plan = seki_allocate(1, sizeof(*plan), error);
    int threads, result = 0;

    if (plan == NULL)
        return NULL;
    plan->images = images;
    plan->train = train;
    if (block->ops->prepare != NULL) {
        threads = seki_cpu_threads_enter(block->backend);
        result = block->ops->prepare(block, plan, error);
        seki_cpu_threads_leave(threads);
    }
    if (result < 0) {
        free_plan(block, plan);
        return NULL;
    }
    block->ops->measure(block, plan, &saved, &scratch);
    plan->saved = saved.used;
    plan->scratch = scratch.used;
    plan->next = block->plans;
    block->plans = plan;
    return plan;
}

int seki_cpu_block_prepare(struct seki_block *block, int images, enum seki_mode mode, size_t *saved,
                           size_t *scratch, struct seki_error *error)
{
    const bool train = mode == SEKI_MODE_TRAIN;
    struct cpu_plan *plan = find_plan(block, images, train);

    if (images < 1)
        return seki_fail(error, SEKI_BAD_USE, "backend", "cpu: %d pictures, expected 1 or more",
                         images);
    if (plan == NULL)
        plan = make_plan(block, images, train, error);
    if (plan == NULL)
        return -1;
    struct cpu_arena all = {NULL, plan->scratch};
    if (narrow(block))
        take_joined(block, plan, &all);
    *saved = plan->saved;
    *scratch = all.used;
    return 0;
}

int seki_cpu_forward(struct seki_block *block, const struct seki_block_call *call,
                     struct seki_error *error)
{
    struct cpu_plan *plan = find_plan(block, call->images, call->mode == SEKI_MODE_TRAIN);
    int threads, result;

    if (plan == NULL)
        SEKI_BUG("forward of a block that was not prepared for this");
    threads = seki_cpu_threads_enter(block->backend);
    if (narrow(block)) {
        const struct joined j = join(block, plan, call);
        result = block->ops->forward(block, plan, &j.call, error);
    } else {
        result = block->ops->forward(block, plan, call, error);
    }
    seki_cpu_threads_leave(threads);
    return result;
}

int seki_cpu_backward(struct seki_block *block, const struct seki_block_call *call,
                      struct seki_error *error)
{
    struct cpu_plan *plan = find_plan(block, call->images, true);
    int threads, result;

    if (plan == NULL || call->mode != SEKI_MODE_TRAIN)
        SEKI_BUG("backward of a block that was not prepared for this");
    threads = seki_cpu_threads_enter(block->backend);
    if (narrow(block)) {
        const struct joined j = join(block, plan, call);
        result = block->ops->backward(block, plan, &j.call, error);
        if (result == 0 && call->dx.data != NULL)
            part_gradient(block, call, &j);
    } else {
        result = block->ops->backward(block, plan, call, error);
    }
    seki_cpu_threads_leave(threads);
    return result;
}

const float *seki_cpu_parameter(const struct seki_block *block, const struct seki_block_call *call,
                                enum seki_parameter_role role, int repeat)
{
    const struct seki_parameter *p = seki_block_parameter(&block->info, role, repeat);

    return p != NULL ? call->parameters + p->offset : NULL;
}

float *seki_cpu_gradient(const struct seki_block *block, const struct seki_block_call *call,
                         enum seki_parameter_role role, int repeat)
{
    const struct seki_parameter *p = seki_block_parameter(&block->info, role, repeat);

    return p != NULL && call->gradients != NULL ? call->gradients + p->offset : NULL;
}

float *seki_cpu_statistic(const struct seki_block *block, const struct seki_block_call *call,
                          enum seki_parameter_role role, int repeat)
{
    const struct seki_parameter *p = seki_block_parameter(&block->info, role, repeat);

    return p != NULL ? call->statistics + p->offset : NULL;
}
