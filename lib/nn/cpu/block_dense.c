/*
 * block_dense.c - CONV of up to 3x3 with stride 1 and BN: [ReLU] → convolution → BN → [ReLU]. All
 * others are block_conv.c's.
 */
#include "nn/cpu/cpu_internal.h"

struct pieces {
    struct cpu_dense dense;
    struct cpu_norm norm;
    struct cpu_norm_state state;
    void *scratch; /* the norm's */
};

static bool is_pointwise(const struct seki_block *block)
{
    return block->ops == &seki_cpu_block_pointwise;
}

static struct pieces take(const struct seki_block *block, const struct cpu_plan *plan,
                          struct cpu_arena *saved, struct cpu_arena *scratch)
{
    const struct seki_block_spec *s = &block->spec;
    struct cpu_arena *keep = plan->train ? saved : scratch;
    struct pieces p = {
        .dense = {.in_channels = block->in_channels,
                  .out_channels = s->out_channels,
                  .height = s->in.height,
                  .width = s->in.width,
                  .out_height = block->info.out.height,
                  .out_width = block->info.out.width,
                  .kernel_height = s->kernel_height,
                  .kernel_width = s->kernel_width,
                  .padding_height = s->padding_height,
                  .padding_width = s->padding_width,
                  .step = 1,
                  .relu = s->relu_first},
        .norm = {.images = plan->images,
                 .channels = s->out_channels,
                 .pixels = cpu_pixels(&block->info.out),
                 .relu = s->relu_last},
    };
    const size_t pixels = (size_t)plan->images * p.norm.pixels;

    p.norm.z =
        cpu_dense(seki_cpu_take_elements(keep, block->backend, pixels * (size_t)s->out_channels),
                  s->out_channels);
    p.state = seki_cpu_norm_take(keep, s->out_channels);
    p.scratch = seki_cpu_norm_scratch(scratch, block->backend, s->out_channels);
    seki_cpu_dense_take(scratch, block->backend, plan->train, 0, &p.dense);
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
    const struct cpu_norm_parameters parameters = seki_cpu_norm_parameters(block, call, 0, 0);

    (void)error;
    p.norm.y = seki_cpu_view(block->backend, &call->y, call->images);
    p.norm.keep = call->keep;
    p.norm.add = call->add_y;
    p.dense.norm = &p.norm;
    p.dense.x = seki_cpu_view(block->backend, &call->x, call->images);
    seki_cpu_dense_pack(backend, &p.dense, seki_cpu_parameter(block, call, SEKI_WEIGHT, 0));
    seki_cpu_norm_forward(
        backend, &p.norm, &parameters, call->mode, &p.state, p.scratch,
        is_pointwise(block) ? backend->kernels->pointwise : backend->kernels->dense, &p.dense);
    return 0;
}

static int backward(struct seki_block *block, const struct cpu_plan *plan,
                    const struct seki_block_call *call, struct seki_error *error)
{
    const struct cpu_backend *backend = block->backend;
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);
    const struct cpu_norm_parameters parameters = seki_cpu_norm_parameters(block, call, 0, 0);

    (void)error;
    p.norm.dy = seki_cpu_view(block->backend, &call->dy, call->images);
    p.norm.keep = call->keep;
    p.dense.norm = &p.norm;
    p.dense.x = seki_cpu_view(block->backend, &call->x, call->images);
    p.dense.dx = seki_cpu_view(block->backend, &call->dx, call->images);
    p.dense.add_dx = call->add_dx;
    seki_cpu_norm_sums(backend, &p.norm, &parameters, &p.state, p.scratch);
    seki_cpu_dense_pack_back(backend, &p.dense, seki_cpu_parameter(block, call, SEKI_WEIGHT, 0));
    seki_cpu_parallel(backend,
                      is_pointwise(block) ? backend->kernels->pointwise_backward
                                          : backend->kernels->dense_backward,
                      &p.dense);
    seki_cpu_dense_gradient(backend, &p.dense, seki_cpu_gradient(block, call, SEKI_WEIGHT, 0));
    return 0;
}

const struct cpu_block_ops seki_cpu_block_pointwise = {
    .wide = true, .measure = measure, .forward = forward, .backward = backward};

const struct cpu_block_ops seki_cpu_block_dense = {
    .measure = measure, .forward = forward, .backward = backward};
