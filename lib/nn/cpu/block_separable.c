/*
 * block_separable.c - SEPARABLE: once or twice ReLU → depthwise → pointwise → BN. Between two
 * repeats the BN is not written out: the second depthwise convolution normalises as it reads, and
 * its backward gathers what the BN's needs.
 */
#include "nn/cpu/cpu_internal.h"

/* One repeat; norm.z is its pointwise convolution's output. */
struct stage {
    struct cpu_depthwise depthwise;
    struct cpu_dense pointwise;
    struct cpu_norm norm;
    struct cpu_norm_state state;
    void *scratch; /* the norm's */
};

struct pieces {
    struct stage stages[2];
    void *dmiddle; /* of the first repeat's output */
};

static size_t out_pixels(const struct cpu_depthwise *d)
{
    return (size_t)d->out_height * (size_t)d->out_width;
}

static void size_depthwise(const struct seki_block *block, int images, int repeat,
                           const struct cpu_depthwise *before, struct cpu_depthwise *d)
{
    const struct seki_block_spec *s = &block->spec;

    *d = (struct cpu_depthwise){
        .images = images,
        .channels = block->in_channels,
        .height = repeat == 0 ? s->in.height : before->out_height,
        .width = repeat == 0 ? s->in.width : before->out_width,
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
}

/* The sizes of a repeat. */
static void size_stage(const struct seki_block *block, int images, int repeat,
                       const struct stage *before, struct stage *stage)
{
    const int out =
        repeat == block->spec.repeats - 1 ? block->spec.out_channels : block->in_channels;
    struct cpu_depthwise *d = &stage->depthwise;

    size_depthwise(block, images, repeat, &before->depthwise, d);
    stage->pointwise = (struct cpu_dense){
        .in_channels = block->in_channels,
        .out_channels = out,
        .height = d->out_height,
        .width = d->out_width,
        .out_height = d->out_height,
        .out_width = d->out_width,
        .kernel_height = 1,
        .kernel_width = 1,
        .step = 1,
    };
    stage->norm = (struct cpu_norm){.images = images, .channels = out, .pixels = out_pixels(d)};
}

static struct pieces take(const struct seki_block *block, const struct cpu_plan *plan,
                          struct cpu_arena *saved, struct cpu_arena *scratch)
{
    struct cpu_arena *keep = plan->train ? saved : scratch;
    const size_t images = (size_t)plan->images, in = (size_t)block->in_channels;
    struct pieces p = {0};

    for (int i = 0; i < block->spec.repeats; i++) {
        struct stage *stage = &p.stages[i];
        size_stage(block, plan->images, i, &p.stages[0], stage);
        const size_t pixels = images * stage->norm.pixels, out = (size_t)stage->norm.channels;
        stage->norm.z =
            cpu_dense(seki_cpu_take_elements(keep, block->backend, pixels * out), (int)out);
        stage->state = seki_cpu_norm_take(keep, (int)out);
        stage->scratch = seki_cpu_norm_scratch(scratch, block->backend, (int)out);
        seki_cpu_depthwise_take(scratch, block->backend, plan->train, &stage->depthwise);
        seki_cpu_dense_take(scratch, block->backend, plan->train, stage->depthwise.out_width,
                            &stage->pointwise);
    }
    if (plan->train && block->spec.repeats == 2)
        p.dmiddle =
            seki_cpu_take_elements(scratch, block->backend, images * p.stages[0].norm.pixels * in);
    return p;
}

static void measure(const struct seki_block *block, const struct cpu_plan *plan,
                    struct cpu_arena *saved, struct cpu_arena *scratch)
{
    take(block, plan, saved, scratch);
}

/* What a repeat reads: x, or the repeat before it, not yet normalised; and where its parts find
 * each other. */
static void connect(const struct seki_block *block, const struct seki_block_call *call,
                    struct pieces *p, int repeat)
{
    struct stage *stage = &p->stages[repeat];
    struct cpu_depthwise *d = &stage->depthwise;

    stage->pointwise.norm = &stage->norm;
    if (repeat == 0) {
        d->x = seki_cpu_view(block->backend, &call->x, call->images);
        return;
    }
    struct stage *before = &p->stages[0];
    seki_cpu_norm_attach(block->backend, &before->norm, &before->state, before->scratch);
    d->x = before->norm.z;
    d->mean = before->norm.mean;
    d->scale = before->norm.scale;
    d->shift = before->norm.shift;
    d->norm_sums = before->norm.sums;
    d->norm_sums_stride = before->norm.sums_stride;
}

static int forward(struct seki_block *block, const struct cpu_plan *plan,
                   const struct seki_block_call *call, struct seki_error *error)
{
    const struct cpu_backend *backend = block->backend;
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);

    (void)error;
    for (int i = 0; i < block->spec.repeats; i++) {
        struct stage *stage = &p.stages[i];
        const struct cpu_norm_parameters parameters = seki_cpu_norm_parameters(block, call, i, 0);
        const struct cpu_separable separable = {&stage->depthwise, &stage->pointwise};

        connect(block, call, &p, i);
        seki_cpu_depthwise_weights(&stage->depthwise,
                                   seki_cpu_parameter(block, call, SEKI_DEPTHWISE, i), false);
        seki_cpu_dense_pack(backend, &stage->pointwise,
                            seki_cpu_parameter(block, call, SEKI_WEIGHT, i));
        /* The second depthwise convolution normalises what the first repeat leaves. */
        if (i == block->spec.repeats - 1) {
            stage->norm.y = seki_cpu_view(block->backend, &call->y, call->images);
            stage->norm.keep = call->keep;
            stage->norm.add = call->add_y;
        }
        seki_cpu_norm_forward(backend, &stage->norm, &parameters, call->mode, &stage->state,
                              stage->scratch, backend->kernels->separable, &separable);
    }
    return 0;
}

static void backward_stage(struct seki_block *block, const struct seki_block_call *call,
                           struct pieces *p, int repeat)
{
    const struct cpu_backend *backend = block->backend;
    const struct cpu_norm_parameters parameters = seki_cpu_norm_parameters(block, call, repeat, 0);
    struct stage *stage = &p->stages[repeat];
    struct cpu_depthwise *d = &stage->depthwise;
    struct cpu_norm *norm = &stage->norm;

    connect(block, call, p, repeat);
    if (repeat == block->spec.repeats - 1) {
        norm->dy = seki_cpu_view(block->backend, &call->dy, call->images);
        norm->keep = call->keep;
        seki_cpu_norm_sums(backend, norm, &parameters, &stage->state, stage->scratch);
    } else {
        norm->dy = cpu_dense(p->dmiddle, norm->channels);
        seki_cpu_norm_gradients(backend, norm, &parameters, &stage->state);
    }
    d->dx = repeat == 0 ? seki_cpu_view(block->backend, &call->dx, call->images)
                        : cpu_dense(p->dmiddle, d->channels);
    d->add_dx = repeat == 0 && call->add_dx;
    seki_cpu_depthwise_weights(d, seki_cpu_parameter(block, call, SEKI_DEPTHWISE, repeat), false);
    seki_cpu_depthwise_weights(d, seki_cpu_parameter(block, call, SEKI_DEPTHWISE, repeat), true);
    seki_cpu_dense_pack_back(backend, &stage->pointwise,
                             seki_cpu_parameter(block, call, SEKI_WEIGHT, repeat));
    const struct cpu_separable separable = {d, &stage->pointwise};
    seki_cpu_parallel(backend, backend->kernels->separable_backward, &separable);
    seki_cpu_dense_gradient(backend, &stage->pointwise,
                            seki_cpu_gradient(block, call, SEKI_WEIGHT, repeat));
    seki_cpu_depthwise_gradient(backend, d, seki_cpu_gradient(block, call, SEKI_DEPTHWISE, repeat));
}

static int backward(struct seki_block *block, const struct cpu_plan *plan,
                    const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);

    (void)error;
    for (int i = block->spec.repeats - 1; i >= 0; i--)
        backward_stage(block, call, &p, i);
    return 0;
}

const struct cpu_block_ops seki_cpu_block_separable = {
    .measure = measure, .forward = forward, .backward = backward};
