/*
 * block_head.c - HEAD: mean over all pixels → linear with bias.
 */
#include "nn/cpu/cpu_internal.h"

struct pieces {
    float *mean, *dmean;
};

static struct pieces take(const struct seki_block *block, const struct cpu_plan *plan,
                          struct cpu_arena *saved, struct cpu_arena *scratch)
{
    const size_t count = (size_t)plan->images * (size_t)block->in_channels;
    struct pieces p = {.mean = seki_cpu_take_floats(plan->train ? saved : scratch, count)};

    if (plan->train)
        p.dmean = seki_cpu_take_floats(scratch, count);
    return p;
}

static void measure(const struct seki_block *block, const struct cpu_plan *plan,
                    struct cpu_arena *saved, struct cpu_arena *scratch)
{
    take(block, plan, saved, scratch);
}

static struct cpu_head head_of(const struct seki_block *block, const struct seki_block_call *call,
                               const struct pieces *p)
{
    return (struct cpu_head){.images = call->images,
                             .channels = block->in_channels,
                             .classes = block->spec.out_channels,
                             .pixels = cpu_pixels(&block->spec.in),
                             .x = seki_cpu_view(block->backend, &call->x, call->images),
                             .weights = seki_cpu_parameter(block, call, SEKI_WEIGHT, 0),
                             .bias = seki_cpu_parameter(block, call, SEKI_BIAS, 0),
                             .keep = call->keep,
                             .mean = p->mean,
                             .dmean = p->dmean};
}

static int forward(struct seki_block *block, const struct cpu_plan *plan,
                   const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);
    const struct cpu_kernels *kernels = block->backend->kernels;
    struct cpu_head head = head_of(block, call, &p);

    (void)error;
    head.y = seki_cpu_view(block->backend, &call->y, call->images);
    head.add = call->add_y;
    seki_cpu_parallel(block->backend, kernels->head_mean, &head);
    seki_cpu_parallel(block->backend, kernels->head_linear, &head);
    return 0;
}

static int backward(struct seki_block *block, const struct cpu_plan *plan,
                    const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);
    const struct cpu_kernels *kernels = block->backend->kernels;
    struct cpu_head head = head_of(block, call, &p);

    (void)error;
    head.dy = seki_cpu_view(block->backend, &call->dy, call->images);
    head.dweights = seki_cpu_gradient(block, call, SEKI_WEIGHT, 0);
    head.dbias = seki_cpu_gradient(block, call, SEKI_BIAS, 0);
    seki_cpu_parallel(block->backend, kernels->head_dweights, &head);
    if (call->dx.data == NULL)
        return 0;
    head.dx = seki_cpu_view(block->backend, &call->dx, call->images);
    head.add = call->add_dx;
    seki_cpu_parallel(block->backend, kernels->head_dmean, &head);
    seki_cpu_parallel(block->backend, kernels->head_dx, &head);
    return 0;
}

const struct cpu_block_ops seki_cpu_block_head = {
    .wide = true, .measure = measure, .forward = forward, .backward = backward};
