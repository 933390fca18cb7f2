/*
 * block_pool.c - MAX_POOL and AVG_POOL: [ReLU] → pooling → [BN].
 */
#include "nn/cpu/cpu_internal.h"

struct pieces {
    float *z; /* the pooling's output, dense; NULL: it is written to y */
    struct cpu_norm_state state;
    float *dz;
    void *norm;
    char *workspace;
    size_t workspace_bytes;
};

static bool is_max(const struct seki_block *block)
{
    return block->spec.kind == SEKI_BLOCK_MAX_POOL;
}

/* A vector for each pixel of a row, or for max pooling's backward of the output; and room between
 * the threads'. */
static size_t workspace_bytes(const struct seki_block *block, bool train)
{
    const size_t in = (size_t)block->spec.in.width, out = (size_t)block->info.out.width;
    size_t vectors = in > out ? in : out;

    if (train && is_max(block) && vectors < cpu_pixels(&block->info.out))
        vectors = cpu_pixels(&block->info.out);
    return vectors * SEKI_CPU_LANES * sizeof(float) + 512;
}

static struct pieces take(const struct seki_block *block, const struct cpu_plan *plan,
                          struct cpu_arena *saved, struct cpu_arena *scratch)
{
    const int channels = block->in_channels, threads = block->backend->base.threads;
    const size_t out = (size_t)plan->images * (size_t)channels * cpu_pixels(&block->info.out);
    struct cpu_arena *keep = plan->train ? saved : scratch;
    struct pieces p = {0};

    if (block->spec.norm || is_max(block))
        p.z = seki_cpu_take_floats(keep, out);
    if (block->spec.norm) {
        p.state = seki_cpu_norm_take(keep, channels);
        p.norm = seki_cpu_norm_scratch(scratch, block->backend, channels);
        if (plan->train)
            p.dz = seki_cpu_take_floats(scratch, out);
    }
    p.workspace_bytes = workspace_bytes(block, plan->train);
    p.workspace = seki_cpu_take(scratch, p.workspace_bytes * (size_t)threads);
    return p;
}

static void measure(const struct seki_block *block, const struct cpu_plan *plan,
                    struct cpu_arena *saved, struct cpu_arena *scratch)
{
    take(block, plan, saved, scratch);
}

static struct cpu_pool pool_of(const struct seki_block *block, const struct seki_block_call *call,
                               const struct pieces *p)
{
    const struct seki_block_spec *s = &block->spec;

    return (struct cpu_pool){
        .images = call->images,
        .channels = block->in_channels,
        .height = s->in.height,
        .width = s->in.width,
        .out_height = block->info.out.height,
        .out_width = block->info.out.width,
        .kernel_height = s->kernel_height,
        .kernel_width = s->kernel_width,
        .stride_height = s->stride_height,
        .stride_width = s->stride_width,
        .padding_height = s->padding_height,
        .padding_width = s->padding_width,
        .relu = s->relu_first,
        .x = seki_cpu_view(&call->x),
        .workspace = p->workspace,
        .workspace_bytes = p->workspace_bytes,
    };
}

static struct cpu_norm norm_of(const struct seki_block *block, const struct seki_block_call *call,
                               float *z)
{
    return (struct cpu_norm){.images = call->images,
                             .channels = block->in_channels,
                             .pixels = cpu_pixels(&block->info.out),
                             .z = cpu_dense(z, block->in_channels),
                             .keep = call->keep};
}

static int forward(struct seki_block *block, const struct cpu_plan *plan,
                   const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);
    const struct cpu_kernels *kernels = block->backend->kernels;
    struct cpu_pool pool = pool_of(block, call, &p);

    (void)error;
    if (p.z == NULL) {
        pool.y = seki_cpu_view(&call->y);
        pool.keep = call->keep;
        pool.add = call->add_y;
    } else {
        pool.y = cpu_dense(p.z, block->in_channels);
    }
    seki_cpu_parallel(block->backend, is_max(block) ? kernels->max_pool : kernels->average_pool,
                      &pool);
    if (block->spec.norm) {
        struct cpu_norm_parameters parameters = seki_cpu_norm_parameters(block, call, 0, 0);
        struct cpu_norm norm = norm_of(block, call, p.z);
        norm.y = seki_cpu_view(&call->y);
        norm.add = call->add_y;
        seki_cpu_norm_coefficients(block->backend, &norm, &parameters, call->mode, &p.state,
                                   p.norm);
        seki_cpu_parallel(block->backend, kernels->normalise, &norm);
    } else if (p.z != NULL) {
        struct cpu_map map = {.images = call->images,
                              .channels = block->in_channels,
                              .pixels = cpu_pixels(&block->info.out),
                              .x = pool.y,
                              .y = seki_cpu_view(&call->y),
                              .keep = call->keep,
                              .add = call->add_y};
        seki_cpu_parallel(block->backend, kernels->map, &map);
    }
    return 0;
}

static int backward(struct seki_block *block, const struct cpu_plan *plan,
                    const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);
    const struct cpu_kernels *kernels = block->backend->kernels;
    struct cpu_pool pool = pool_of(block, call, &p);

    (void)error;
    pool.dy = seki_cpu_view(&call->dy);
    pool.keep = call->keep;
    if (block->spec.norm) {
        struct cpu_norm_parameters parameters = seki_cpu_norm_parameters(block, call, 0, 0);
        struct cpu_norm norm = norm_of(block, call, p.z);
        norm.dy = pool.dy;
        norm.dz = cpu_dense(p.dz, block->in_channels);
        seki_cpu_norm_backward(block->backend, &norm, &parameters, &p.state, p.norm);
        pool.dy = norm.dz;
        pool.keep = NULL; /* it is in dz */
    }
    if (call->dx.data == NULL)
        return 0;
    pool.dx = seki_cpu_view(&call->dx);
    pool.add = call->add_dx;
    if (is_max(block))
        pool.y = cpu_dense(p.z, block->in_channels);
    seki_cpu_parallel(block->backend,
                      is_max(block) ? kernels->max_pool_backward : kernels->average_pool_backward,
                      &pool);
    return 0;
}

const struct cpu_block_ops seki_cpu_block_pool = {
    .measure = measure, .forward = forward, .backward = backward};
