/*
 * block_pointwise.c - CONV of 1x1 with stride 1 and BN: [ReLU] → convolution → BN → [ReLU]. All
 * other CONV are block_conv.c's.
 */
#include "nn/cpu/cpu_internal.h"

struct pieces {
    struct cpu_pointwise pointwise;
    struct cpu_norm norm;
    struct cpu_norm_state state;
    void *scratch; /* the norm's */
};

static struct pieces take(const struct seki_block *block, const struct cpu_plan *plan,
                          struct cpu_arena *saved, struct cpu_arena *scratch)
{
    const struct seki_block_spec *s = &block->spec;
    struct cpu_arena *keep = plan->train ? saved : scratch;
    struct pieces p = {
        .pointwise = {.in_channels = block->in_channels,
                      .out_channels = s->out_channels,
                      .height = s->in.height,
                      .width = s->in.width,
                      .out_height = s->in.height,
                      .out_width = s->in.width,
                      .step = 1,
                      .relu = s->relu_first},
        .norm = {.images = plan->images,
                 .channels = s->out_channels,
                 .pixels = cpu_pixels(&s->in),
                 .relu = s->relu_last},
    };
    const size_t pixels = (size_t)plan->images * p.norm.pixels;

    p.norm.z =
        cpu_dense(seki_cpu_take_elements(keep, block->backend, pixels * (size_t)s->out_channels),
                  s->out_channels);
    p.state = seki_cpu_norm_take(keep, s->out_channels);
    p.scratch = seki_cpu_norm_scratch(scratch, block->backend, s->out_channels);
    seki_cpu_pointwise_take(scratch, block->backend, plan->train, 0, &p.pointwise);
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
    p.pointwise.norm = &p.norm;
    p.pointwise.x = seki_cpu_view(block->backend, &call->x, call->images);
    seki_cpu_pointwise_pack(backend, &p.pointwise, seki_cpu_parameter(block, call, SEKI_WEIGHT, 0));
    seki_cpu_norm_forward(backend, &p.norm, &parameters, call->mode, &p.state, p.scratch,
                          backend->kernels->pointwise, &p.pointwise);
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
    p.pointwise.norm = &p.norm;
    p.pointwise.x = seki_cpu_view(block->backend, &call->x, call->images);
    p.pointwise.dx = seki_cpu_view(block->backend, &call->dx, call->images);
    p.pointwise.add_dx = call->add_dx;
    seki_cpu_norm_sums(backend, &p.norm, &parameters, &p.state, p.scratch);
    seki_cpu_pointwise_pack_back(backend, &p.pointwise,
                                 seki_cpu_parameter(block, call, SEKI_WEIGHT, 0));
    seki_cpu_parallel(backend, backend->kernels->pointwise_backward, &p.pointwise);
    seki_cpu_pointwise_gradient(backend, &p.pointwise,
                                seki_cpu_gradient(block, call, SEKI_WEIGHT, 0));
    return 0;
}

const struct cpu_block_ops seki_cpu_block_pointwise = {
    .wide = true, .measure = measure, .forward = forward, .backward = backward};
