/*
 * block_pool.c - MAX_POOL and AVG_POOL: [ReLU] → pooling → [BN].
 */
#include "nn/cpu/cpu_internal.h"

struct pieces {
    struct cpu_pool pool;
    struct cpu_norm norm; /* its z is the pooling's output */
    struct cpu_norm_state state;
    void *scratch; /* the norm's */
};

/* For backward the gradient of an image's output; then a vector for each column, or for max
 * pooling's backward the row_maxima of kernel_height rows of outputs; and room between the
 * threads'. */
static size_t workspace_bytes(const struct cpu_pool *pool, bool train)
{
    const size_t out = (size_t)pool->out_width, in = (size_t)pool->width;
    const size_t image = (size_t)pool->out_height * out * cpu_panel(pool->channels);
    size_t vectors = in > out ? in : out;

    if (train && pool->maximum && vectors < 3 * out * (size_t)pool->kernel_height)
        vectors = 3 * out * (size_t)pool->kernel_height;
    return (vectors * SEKI_CPU_LANES + (train ? image : 0)) * sizeof(float) + CPU_APART;
}

static struct pieces take(const struct seki_block *block, const struct cpu_plan *plan,
                          struct cpu_arena *saved, struct cpu_arena *scratch)
{
    const struct seki_block_spec *s = &block->spec;
    const int channels = block->in_channels, threads = block->backend->base.threads;
    struct cpu_arena *keep = plan->train ? saved : scratch;
    struct pieces p = {
        .pool = {.images = plan->images,
                 .channels = channels,
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
                 .maximum = s->kind == SEKI_BLOCK_MAX_POOL,
                 .relu = s->relu_first},
        .norm = {.images = plan->images,
                 .channels = channels,
                 .pixels = cpu_pixels(&block->info.out)},
    };

    if (s->norm) {
        const size_t out = (size_t)plan->images * (size_t)channels * p.norm.pixels;
        p.norm.z = cpu_dense(seki_cpu_take_elements(keep, block->backend, out), channels);
        p.state = seki_cpu_norm_take(keep, channels);
        p.scratch = seki_cpu_norm_scratch(scratch, block->backend, channels);
    }
    p.pool.workspace_bytes = workspace_bytes(&p.pool, plan->train);
    p.pool.workspace = seki_cpu_take(scratch, p.pool.workspace_bytes * (size_t)threads);
    return p;
}

static void measure(const struct seki_block *block, const struct cpu_plan *plan,
                    struct cpu_arena *saved, struct cpu_arena *scratch)
{
    take(block, plan, saved, scratch);
}

static int forward(struct seki_block *block, const struct cpu_plan *plan,
                   const struct seki_block_call *call, struct seki_error *error)
{
    const struct cpu_backend *backend = block->backend;
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);

    (void)error;
    p.pool.x = seki_cpu_view(block->backend, &call->x, call->images);
    if (!block->spec.norm) {
        p.pool.y = seki_cpu_view(block->backend, &call->y, call->images);
        p.pool.keep = call->keep;
        p.pool.add = call->add_y;
        seki_cpu_parallel(backend, backend->kernels->pool, &p.pool);
        return 0;
    }
    const struct cpu_norm_parameters parameters = seki_cpu_norm_parameters(block, call, 0, 0);
    p.norm.y = seki_cpu_view(block->backend, &call->y, call->images);
    p.norm.keep = call->keep;
    p.norm.add = call->add_y;
    p.pool.norm = &p.norm;
    p.pool.y = p.norm.z;
    seki_cpu_norm_forward(backend, &p.norm, &parameters, call->mode, &p.state, p.scratch,
                          backend->kernels->pool, &p.pool);
    return 0;
}

static int backward(struct seki_block *block, const struct cpu_plan *plan,
                    const struct seki_block_call *call, struct seki_error *error)
{
    const struct cpu_backend *backend = block->backend;
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);

    (void)error;
    p.pool.x = seki_cpu_view(block->backend, &call->x, call->images);
    p.pool.dx = seki_cpu_view(block->backend, &call->dx, call->images);
    p.pool.add = call->add_dx;
    if (block->spec.norm) {
        const struct cpu_norm_parameters parameters = seki_cpu_norm_parameters(block, call, 0, 0);
        p.norm.dy = seki_cpu_view(block->backend, &call->dy, call->images);
        p.norm.keep = call->keep;
        p.pool.norm = &p.norm;
        seki_cpu_norm_sums(backend, &p.norm, &parameters, &p.state, p.scratch);
    } else {
        p.pool.dy = seki_cpu_view(block->backend, &call->dy, call->images);
        p.pool.keep = call->keep;
    }
    if (call->dx.data != NULL)
        seki_cpu_parallel(backend, backend->kernels->pool_backward, &p.pool);
    return 0;
}

const struct cpu_block_ops seki_cpu_block_pool = {
    .measure = measure, .forward = forward, .backward = backward};
