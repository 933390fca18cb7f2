/*
 * block_separable.c - SEPARABLE: once or twice ReLU → depthwise → pointwise → BN. Between two
 * repeats the BN is not written out: the second depthwise convolution normalises as it reads.
 */
#include "nn/cpu/cpu_internal.h"

/* One repeat. d: the depthwise convolution's output, z: the pointwise one's. */
struct stage {
    struct cpu_depthwise depthwise;
    int out_channels;
    float *d, *z;
    struct cpu_norm_state state;
};

struct pieces {
    struct stage stages[2];
    float *dz, *dd; /* gradients of z and d, of the larger repeat */
    float *dmiddle; /* of the first repeat's output */
    void *norm, *convolution;
};

static size_t out_pixels(const struct stage *stage)
{
    return (size_t)stage->depthwise.out_height * (size_t)stage->depthwise.out_width;
}

/* The sizes of a repeat. */
static void size_stage(const struct seki_block *block, int images, int repeat,
                       const struct stage *before, struct stage *stage)
{
    const struct seki_block_spec *s = &block->spec;
    struct cpu_depthwise *d = &stage->depthwise;

    *d = (struct cpu_depthwise){
        .images = images,
        .channels = block->in_channels,
        .height = repeat == 0 ? s->in.height : before->depthwise.out_height,
        .width = repeat == 0 ? s->in.width : before->depthwise.out_width,
        .kernel_height = s->kernel_height,
        .kernel_width = s->kernel_width,
        .stride_height = repeat == 0 ? s->stride_height : 1,
        .stride_width = repeat == 0 ? s->stride_width : 1,
        .padding_height = s->padding_height,
        .padding_width = s->padding_width,
        .dilation = s->dilation,
    };
    d->out_height = seki_sliding_size(d->height, d->kernel_height, d->stride_height,
                                      d->padding_height, d->dilation);
    d->out_width = seki_sliding_size(d->width, d->kernel_width, d->stride_width, d->padding_width,
                                     d->dilation);
    stage->out_channels = repeat == s->repeats - 1 ? s->out_channels : block->in_channels;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Scratch that the repeats use one after the other. */
static void take_shared(const struct seki_block *block, const struct cpu_plan *plan,
                        struct cpu_arena *scratch, struct pieces *p)
{
    const size_t images = (size_t)plan->images;
    size_t d = 0, z = 0, channels = 0, convolution = 0;

    for (int i = 0; i < block->spec.repeats; i++) {
        const size_t out = (size_t)p->stages[i].out_channels, pixels = out_pixels(&p->stages[i]);
        channels = larger(channels, out);
        z = larger(z, images * out * pixels);
        d = larger(d, images * (size_t)block->in_channels * pixels);
        convolution = larger(convolution, seki_cpu_convolution_scratch(plan->convolutions[i]));
    }
    p->norm = seki_cpu_norm_scratch(scratch, block->backend, (int)channels);
    p->convolution = seki_cpu_take(scratch, convolution);
    if (plan->train) {
        p->dz = seki_cpu_take_floats(scratch, z);
        p->dd = seki_cpu_take_floats(scratch, d);
        if (block->spec.repeats == 2)
            p->dmiddle = seki_cpu_take_floats(scratch, images * (size_t)block->in_channels *
                                                           out_pixels(&p->stages[0]));
    }
}

static struct pieces take(const struct seki_block *block, const struct cpu_plan *plan,
                          struct cpu_arena *saved, struct cpu_arena *scratch)
{
    struct cpu_arena *keep = plan->train ? saved : scratch;
    struct pieces p = {0};

    for (int i = 0; i < block->spec.repeats; i++) {
        struct stage *stage = &p.stages[i];
        size_stage(block, plan->images, i, &p.stages[0], stage);
        const size_t pixels = (size_t)plan->images * out_pixels(stage);
        stage->d = seki_cpu_take_floats(keep, pixels * (size_t)block->in_channels);
        stage->z = seki_cpu_take_floats(keep, pixels * (size_t)stage->out_channels);
        stage->state = seki_cpu_norm_take(keep, stage->out_channels);
        seki_cpu_depthwise_take(scratch, block->backend, plan->train, &stage->depthwise);
    }
    take_shared(block, plan, scratch, &p);
    return p;
}

static void measure(const struct seki_block *block, const struct cpu_plan *plan,
                    struct cpu_arena *saved, struct cpu_arena *scratch)
{
    take(block, plan, saved, scratch);
}

static int prepare(struct seki_block *block, struct cpu_plan *plan, struct seki_error *error)
{
    struct stage stages[2];

    for (int i = 0; i < block->spec.repeats; i++) {
        size_stage(block, plan->images, i, &stages[0], &stages[i]);
        const struct cpu_convolution_shape shape = {
            .images = plan->images,
            .in_channels = block->in_channels,
            .out_channels = stages[i].out_channels,
            .height = stages[i].depthwise.out_height,
            .width = stages[i].depthwise.out_width,
            .kernel_height = 1,
            .kernel_width = 1,
            .stride_height = 1,
            .stride_width = 1,
            .backward = plan->train,
        };
        plan->convolutions[i] = seki_cpu_convolution_open(block->backend, &shape, error);
        if (plan->convolutions[i] == NULL)
            return -1;
    }
    return 0;
}

/* What a repeat reads: x, or the repeat before it, not yet normalised. */
static void set_input(const struct seki_block_call *call, struct pieces *p, int repeat)
{
    struct cpu_depthwise *d = &p->stages[repeat].depthwise;
    const struct stage *before = &p->stages[0];

    if (repeat == 0) {
        d->x = seki_cpu_view(&call->x);
        return;
    }
    d->x = cpu_dense(before->z, before->out_channels);
    d->mean = before->state.mean;
    d->scale = before->state.scale;
    d->shift = before->state.shift;
}

static struct cpu_norm norm_of(const struct seki_block_call *call, const struct stage *stage)
{
    return (struct cpu_norm){.images = call->images,
                             .channels = stage->out_channels,
                             .pixels = out_pixels(stage),
                             .z = cpu_dense(stage->z, stage->out_channels)};
}

static int forward(struct seki_block *block, const struct cpu_plan *plan,
                   const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);
    struct cpu_norm norm;

    for (int i = 0; i < block->spec.repeats; i++) {
        struct stage *stage = &p.stages[i];
        struct cpu_norm_parameters parameters = seki_cpu_norm_parameters(block, call, i, 0);

        set_input(call, &p, i);
        stage->depthwise.y = stage->d;
        seki_cpu_depthwise_forward(block->backend, &stage->depthwise,
                                   seki_cpu_parameter(block, call, SEKI_DEPTHWISE, i));
        if (seki_cpu_convolution_forward(block->backend, plan->convolutions[i], stage->d,
                                         seki_cpu_parameter(block, call, SEKI_WEIGHT, i), stage->z,
                                         p.convolution, error) < 0)
            return -1;
        norm = norm_of(call, stage);
        seki_cpu_norm_coefficients(block->backend, &norm, &parameters, call->mode, &stage->state,
                                   p.norm);
    }
    norm.y = seki_cpu_view(&call->y);
    norm.keep = call->keep;
    norm.add = call->add_y;
    seki_cpu_parallel(block->backend, block->backend->kernels->normalise, &norm);
    return 0;
}

static int backward_stage(struct seki_block *block, const struct cpu_plan *plan,
                          const struct seki_block_call *call, struct pieces *p, int repeat,
                          struct seki_error *error)
{
    struct stage *stage = &p->stages[repeat];
    struct cpu_norm_parameters parameters = seki_cpu_norm_parameters(block, call, repeat, 0);
    struct cpu_norm norm = norm_of(call, stage);
    const float *weights = seki_cpu_parameter(block, call, SEKI_WEIGHT, repeat);
    const bool last = repeat == block->spec.repeats - 1;

    norm.dy = last ? seki_cpu_view(&call->dy) : cpu_dense(p->dmiddle, stage->out_channels);
    norm.keep = last ? call->keep : NULL;
    norm.dz = cpu_dense(p->dz, stage->out_channels);
    seki_cpu_norm_backward(block->backend, &norm, &parameters, &stage->state, p->norm);
    if (seki_cpu_convolution_dweights(block->backend, plan->convolutions[repeat], stage->d, p->dz,
                                      seki_cpu_gradient(block, call, SEKI_WEIGHT, repeat),
                                      p->convolution, error) < 0 ||
        seki_cpu_convolution_dx(block->backend, plan->convolutions[repeat], p->dz, weights, p->dd,
                                p->convolution, error) < 0)
        return -1;
    set_input(call, p, repeat);
    stage->depthwise.dy = p->dd;
    stage->depthwise.dx =
        repeat == 0 ? seki_cpu_view(&call->dx) : cpu_dense(p->dmiddle, block->in_channels);
    stage->depthwise.add_dx = repeat == 0 && call->add_dx;
    seki_cpu_depthwise_backward(block->backend, &stage->depthwise,
                                seki_cpu_parameter(block, call, SEKI_DEPTHWISE, repeat),
                                seki_cpu_gradient(block, call, SEKI_DEPTHWISE, repeat));
    return 0;
}

static int backward(struct seki_block *block, const struct cpu_plan *plan,
                    const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);

    for (int i = block->spec.repeats - 1; i >= 0; i--)
        if (backward_stage(block, plan, call, &p, i, error) < 0)
            return -1;
    return 0;
}

const struct cpu_block_ops seki_cpu_block_separable = {
    .prepare = prepare, .measure = measure, .forward = forward, .backward = backward};
