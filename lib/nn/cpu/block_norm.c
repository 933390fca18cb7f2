/*
 * block_norm.c - NORM: BN → [ReLU], straight from window to window.
 */
#include "nn/cpu/cpu_internal.h"

struct pieces {
    struct cpu_norm_state state;
    void *scratch;
};

static struct pieces take(const struct seki_block *block, bool train, struct cpu_arena *saved,
                          struct cpu_arena *scratch)
{
    return (struct pieces){
        .state = seki_cpu_norm_take(train ? saved : scratch, block->in_channels),
        .scratch = seki_cpu_norm_scratch(scratch, block->backend, block->in_channels),
    };
}

static void measure(const struct seki_block *block, const struct cpu_plan *plan,
                    struct cpu_arena *saved, struct cpu_arena *scratch)
{
    take(block, plan->train, saved, scratch);
}

static struct cpu_norm norm_of(const struct seki_block *block, const struct seki_block_call *call)
{
    return (struct cpu_norm){.images = call->images,
                             .channels = block->in_channels,
                             .pixels = cpu_pixels(&block->spec.in),
                             .z = seki_cpu_view(block->backend, &call->x, call->images),
                             .keep = call->keep,
                             .relu = block->spec.relu_last};
}

static int forward(struct seki_block *block, const struct cpu_plan *plan,
                   const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces pieces = take(block, plan->train, &saved, &scratch);
    struct cpu_norm_parameters parameters = seki_cpu_norm_parameters(block, call, 0, 0);
    struct cpu_norm norm = norm_of(block, call);

    (void)error;
    norm.y = seki_cpu_view(block->backend, &call->y, call->images);
    norm.add = call->add_y;
    seki_cpu_norm_coefficients(block->backend, &norm, &parameters, call->mode, &pieces.state,
                               pieces.scratch);
    seki_cpu_parallel(block->backend, block->backend->kernels->normalise, &norm);
    return 0;
}

static int backward(struct seki_block *block, const struct cpu_plan *plan,
                    const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces pieces = take(block, plan->train, &saved, &scratch);
    struct cpu_norm_parameters parameters = seki_cpu_norm_parameters(block, call, 0, 0);
    struct cpu_norm norm = norm_of(block, call);

    (void)error;
    norm.dy = seki_cpu_view(block->backend, &call->dy, call->images);
    norm.dz = seki_cpu_view(block->backend, &call->dx, call->images);
    norm.add = call->add_dx;
    seki_cpu_norm_backward(block->backend, &norm, &parameters, &pieces.state, pieces.scratch);
    return 0;
}

const struct cpu_block_ops seki_cpu_block_norm = {
    .measure = measure, .forward = forward, .backward = backward};
