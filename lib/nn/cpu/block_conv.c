/*
 * block_conv.c - CONV: [ReLU] → convolution → [BN] → [ReLU]. oneDNN's convolution stands between a
 * dense input and a dense output of floats; an input of floats that needs no ReLU is read where it
 * is.
 */
#include "nn/cpu/cpu_internal.h"

struct pieces {
    float *x, *y;   /* the convolution's input and output */
    float *dx, *dy; /* their gradients */
    void *z, *dz;   /* BN's input and its gradient, elements: where those are floats, y and dy */
    struct cpu_norm_state state;
    void *norm, *convolution; /* scratch */
};

static bool elements_are_floats(const struct seki_block *block)
{
    return block->backend->kernels->element == sizeof(float);
}

static bool output_is_kept(const struct seki_block *block)
{
    return block->spec.norm || block->spec.relu_last;
}

static struct pieces take(const struct seki_block *block, const struct cpu_plan *plan,
                          struct cpu_arena *saved, struct cpu_arena *scratch)
{
    const struct seki_block_spec *spec = &block->spec;
    const size_t in = (size_t)plan->images * (size_t)block->in_channels * cpu_pixels(&spec->in);
    const size_t out =
        (size_t)plan->images * (size_t)spec->out_channels * cpu_pixels(&block->info.out);
    const bool apart = spec->norm && !elements_are_floats(block);
    struct cpu_arena *keep = plan->train && output_is_kept(block) ? saved : scratch;
    struct pieces p = {.y = seki_cpu_take_floats(apart ? scratch : keep, out)};

    p.z = apart ? seki_cpu_take_elements(keep, block->backend, out) : p.y;
    if (spec->norm) {
        p.state = seki_cpu_norm_take(keep, spec->out_channels);
        p.norm = seki_cpu_norm_scratch(scratch, block->backend, spec->out_channels);
    }
    p.x = seki_cpu_take_floats(scratch, in);
    if (plan->train) {
        p.dy = seki_cpu_take_floats(scratch, out);
        p.dz = apart ? seki_cpu_take_elements(scratch, block->backend, out) : p.dy;
        p.dx = seki_cpu_take_floats(scratch, in);
    }
    p.convolution = seki_cpu_take(scratch, seki_cpu_convolution_scratch(plan->convolutions[0]));
    return p;
}

static void measure(const struct seki_block *block, const struct cpu_plan *plan,
                    struct cpu_arena *saved, struct cpu_arena *scratch)
{
    take(block, plan, saved, scratch);
}

static int prepare(struct seki_block *block, struct cpu_plan *plan, struct seki_error *error)
{
    const struct seki_block_spec *s = &block->spec;
    const struct cpu_convolution_shape shape = {
        .images = plan->images,
        .in_channels = block->in_channels,
        .out_channels = s->out_channels,
        .height = s->in.height,
        .width = s->in.width,
        .kernel_height = s->kernel_height,
        .kernel_width = s->kernel_width,
        .stride_height = s->stride_height,
        .stride_width = s->stride_width,
        .padding_height = s->padding_height,
        .padding_width = s->padding_width,
        .backward = plan->train,
    };

    plan->convolutions[0] = seki_cpu_convolution_open(block->backend, &shape, error);
    return plan->convolutions[0] != NULL ? 0 : -1;
}

/* A map over this block's input or output pixels. */
static struct cpu_map input_map(const struct seki_block *block, const struct seki_block_call *call)
{
    return (struct cpu_map){.images = call->images,
                            .channels = block->in_channels,
                            .pixels = cpu_pixels(&block->spec.in)};
}

static struct cpu_map output_map(const struct seki_block *block, const struct seki_block_call *call)
{
    return (struct cpu_map){.images = call->images,
                            .channels = block->spec.out_channels,
                            .pixels = cpu_pixels(&block->info.out)};
}

/* Output pixels from floats to elements, or back. */
static void convert(const struct seki_block *block, const struct seki_block_call *call,
                    struct cpu_view from, struct cpu_view to)
{
    struct cpu_map map = output_map(block, call);

    map.x = from;
    map.y = to;
    seki_cpu_parallel(block->backend, block->backend->kernels->map, &map);
}

static struct cpu_norm output_norm(const struct seki_block *block,
                                   const struct seki_block_call *call, void *z)
{
    return (struct cpu_norm){.images = call->images,
                             .channels = block->spec.out_channels,
                             .pixels = cpu_pixels(&block->info.out),
                             .z = cpu_dense(z, block->spec.out_channels),
                             .keep = call->keep,
                             .relu = block->spec.relu_last};
}

/* The convolution's input, dense: x itself, or a copy in `room`. */
static const float *dense_input(const struct seki_block *block, const struct seki_block_call *call,
                                float *room)
{
    struct cpu_map map = input_map(block, call);

    map.x = seki_cpu_view(block->backend, &call->x, call->images);
    if (!block->spec.relu_first && elements_are_floats(block))
        return map.x.data;
    map.y = cpu_full(room, block->in_channels);
    map.relu = block->spec.relu_first;
    seki_cpu_parallel(block->backend, block->backend->kernels->map, &map);
    return room;
}

static int forward(struct seki_block *block, const struct cpu_plan *plan,
                   const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);
    const struct cpu_kernels *kernels = block->backend->kernels;
    const struct cpu_view y = seki_cpu_view(block->backend, &call->y, call->images);
    const bool direct =
        elements_are_floats(block) && !output_is_kept(block) && !call->add_y && call->keep == NULL;

    if (seki_cpu_convolution_forward(block->backend, plan->convolutions[0],
                                     dense_input(block, call, p.x),
                                     seki_cpu_parameter(block, call, SEKI_WEIGHT, 0),
                                     direct ? y.data : p.y, p.convolution, error) < 0)
        return -1;
    if (direct)
        return 0;
    if (!block->spec.norm) {
        struct cpu_map map = output_map(block, call);
        map.x = cpu_full(p.y, block->spec.out_channels);
        map.y = y;
        map.keep = call->keep;
        map.relu = block->spec.relu_last;
        map.add = call->add_y;
        seki_cpu_parallel(block->backend, kernels->map, &map);
        return 0;
    }
    struct cpu_norm_parameters parameters = seki_cpu_norm_parameters(block, call, 0, 0);
    struct cpu_norm norm = output_norm(block, call, p.z);
    if (p.z != p.y)
        convert(block, call, cpu_full(p.y, norm.channels), norm.z);
    norm.y = y;
    norm.add = call->add_y;
    seki_cpu_norm_coefficients(block->backend, &norm, &parameters, call->mode, &p.state, p.norm);
    seki_cpu_parallel(block->backend, kernels->normalise, &norm);
    return 0;
}

/* The gradient of the convolution's output, dense: dy itself, or made in p->dz. */
static const float *output_gradient(const struct seki_block *block,
                                    const struct seki_block_call *call, const struct pieces *p)
{
    const struct cpu_view dy = seki_cpu_view(block->backend, &call->dy, call->images);
    const int channels = block->spec.out_channels;

    if (block->spec.norm) {
        struct cpu_norm_parameters parameters = seki_cpu_norm_parameters(block, call, 0, 0);
        struct cpu_norm norm = output_norm(block, call, p->z);
        norm.dy = dy;
        norm.dz = cpu_dense(p->dz, channels);
        seki_cpu_norm_backward(block->backend, &norm, &parameters, &p->state, p->norm);
        if (p->dz != p->dy)
            convert(block, call, norm.dz, cpu_full(p->dy, channels));
        return p->dy;
    }
    if (elements_are_floats(block) && !block->spec.relu_last && call->keep == NULL)
        return dy.data;
    struct cpu_map map = output_map(block, call);
    map.x = dy;
    map.y = cpu_full(p->dy, channels);
    map.keep = call->keep;
    if (block->spec.relu_last)
        map.mask = cpu_full(p->y, channels);
    seki_cpu_parallel(block->backend, block->backend->kernels->map, &map);
    return p->dy;
}

static int input_gradient(struct seki_block *block, const struct cpu_plan *plan,
                          const struct seki_block_call *call, const struct pieces *p,
                          const float *dy, struct seki_error *error)
{
    struct cpu_map map = input_map(block, call);
    const struct cpu_view dx = seki_cpu_view(block->backend, &call->dx, call->images);
    const bool direct = elements_are_floats(block) && !block->spec.relu_first && !call->add_dx;

    if (seki_cpu_convolution_dx(block->backend, plan->convolutions[0], dy,
                                seki_cpu_parameter(block, call, SEKI_WEIGHT, 0),
                                direct ? dx.data : p->dx, p->convolution, error) < 0)
        return -1;
    if (direct)
        return 0;
    map.x = cpu_full(p->dx, block->in_channels);
    map.y = dx;
    map.add = call->add_dx;
    if (block->spec.relu_first)
        map.mask = seki_cpu_view(block->backend, &call->x, call->images);
    seki_cpu_parallel(block->backend, block->backend->kernels->map, &map);
    return 0;
}

static int backward(struct seki_block *block, const struct cpu_plan *plan,
                    const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);
    const float *dy = output_gradient(block, call, &p);

    if (seki_cpu_convolution_dweights(
            block->backend, plan->convolutions[0], dense_input(block, call, p.x), dy,
            seki_cpu_gradient(block, call, SEKI_WEIGHT, 0), p.convolution, error) < 0)
        return -1;
    return call->dx.data != NULL ? input_gradient(block, plan, call, &p, dy, error) : 0;
}

const struct cpu_block_ops seki_cpu_block_conv = {
    .prepare = prepare, .measure = measure, .forward = forward, .backward = backward};
