/*
 * block_reduce.c - REDUCE, the FactorizedReduce of DARTS: two halves, each ReLU of every second
 * pixel → 1x1 convolution → its channels' BN; the second begins at pixel (1, 1).
 */
#include "nn/cpu/cpu_internal.h"

struct half {
    float *z;
    struct cpu_norm_state state;
};

struct pieces {
    struct half halves[2];
    float *x; /* a quarter of x, dense; then its gradient */
    float *dz;
    void *norm, *convolution;
};

static int half_channels(const struct seki_block *block)
{
    return block->spec.out_channels / 2;
}

static struct pieces take(const struct seki_block *block, const struct cpu_plan *plan,
                          struct cpu_arena *saved, struct cpu_arena *scratch)
{
    const size_t pixels = (size_t)plan->images * cpu_pixels(&block->info.out);
    const int channels = half_channels(block);
    struct cpu_arena *keep = plan->train ? saved : scratch;
    struct pieces p = {0};

    for (int odd = 0; odd < 2; odd++) {
        p.halves[odd].z = seki_cpu_take_floats(keep, pixels * (size_t)channels);
        p.halves[odd].state = seki_cpu_norm_take(keep, channels);
    }
    p.x = seki_cpu_take_floats(scratch, pixels * (size_t)block->in_channels);
    if (plan->train)
        p.dz = seki_cpu_take_floats(scratch, pixels * (size_t)channels);
    p.norm = seki_cpu_norm_scratch(scratch, block->backend, channels);
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
    const struct cpu_convolution_shape shape = {
        .images = plan->images,
        .in_channels = block->in_channels,
        .out_channels = half_channels(block),
        .height = block->info.out.height,
        .width = block->info.out.width,
        .kernel_height = 1,
        .kernel_width = 1,
        .stride_height = 1,
        .stride_width = 1,
        .backward = plan->train,
    };

    plan->convolutions[0] = seki_cpu_convolution_open(block->backend, &shape, error);
    return plan->convolutions[0] != NULL ? 0 : -1;
}

static const float *weights_of(const struct seki_block *block, const struct seki_block_call *call,
                               int odd)
{
    return seki_cpu_parameter(block, call, odd ? SEKI_WEIGHT_ODD : SEKI_WEIGHT, 0);
}

static struct cpu_subsample subsample_of(const struct seki_block *block,
                                         const struct seki_block_call *call, int odd, float *y)
{
    return (struct cpu_subsample){.images = call->images,
                                  .channels = block->in_channels,
                                  .height = block->spec.in.height,
                                  .width = block->spec.in.width,
                                  .out_height = block->info.out.height,
                                  .out_width = block->info.out.width,
                                  .odd = odd,
                                  .y = y};
}

static struct cpu_norm norm_of(const struct seki_block *block, const struct seki_block_call *call,
                               float *z)
{
    return (struct cpu_norm){.images = call->images,
                             .channels = half_channels(block),
                             .pixels = cpu_pixels(&block->info.out),
                             .z = cpu_dense(z, half_channels(block)),
                             .keep = call->keep};
}

/* The channels of a half in the block's output. */
static struct cpu_view half_view(const struct seki_block *block, const struct seki_window *window,
                                 int odd)
{
    struct cpu_view view = seki_cpu_view(window);

    view.data += odd * half_channels(block);
    return view;
}

static void subsample_input(const struct seki_block *block, const struct seki_block_call *call,
                            int odd, float *to)
{
    struct cpu_subsample subsample = subsample_of(block, call, odd, to);

    subsample.x = seki_cpu_view(&call->x);
    seki_cpu_parallel(block->backend, block->backend->kernels->subsample, &subsample);
}

static int forward(struct seki_block *block, const struct cpu_plan *plan,
                   const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);

    for (int odd = 0; odd < 2; odd++) {
        struct half *half = &p.halves[odd];
        struct cpu_norm_parameters parameters =
            seki_cpu_norm_parameters(block, call, 0, odd * half_channels(block));
        struct cpu_norm norm = norm_of(block, call, half->z);

        subsample_input(block, call, odd, p.x);
        if (seki_cpu_convolution_forward(block->backend, plan->convolutions[0], p.x,
                                         weights_of(block, call, odd), half->z, p.convolution,
                                         error) < 0)
            return -1;
        norm.y = half_view(block, &call->y, odd);
        norm.add = call->add_y;
        seki_cpu_norm_coefficients(block->backend, &norm, &parameters, call->mode, &half->state,
                                   p.norm);
        seki_cpu_parallel(block->backend, block->backend->kernels->normalise, &norm);
    }
    return 0;
}

/* dx = 0: half of the pixels are in neither picture. */
static void clear_dx(const struct seki_block *block, const struct seki_block_call *call)
{
    struct cpu_map map = {.images = call->images,
                          .channels = block->in_channels,
                          .pixels = cpu_pixels(&block->spec.in),
                          .y = seki_cpu_view(&call->dx)};

    seki_cpu_parallel(block->backend, block->backend->kernels->map, &map);
}

static int backward_half(struct seki_block *block, const struct cpu_plan *plan,
                         const struct seki_block_call *call, const struct pieces *p, int odd,
                         struct seki_error *error)
{
    const struct half *half = &p->halves[odd];
    struct cpu_norm_parameters parameters =
        seki_cpu_norm_parameters(block, call, 0, odd * half_channels(block));
    struct cpu_norm norm = norm_of(block, call, half->z);
    struct cpu_subsample subsample = subsample_of(block, call, odd, p->x);
    float *dweights = seki_cpu_gradient(block, call, odd ? SEKI_WEIGHT_ODD : SEKI_WEIGHT, 0);

    norm.dy = half_view(block, &call->dy, odd);
    norm.dz = cpu_dense(p->dz, half_channels(block));
    seki_cpu_norm_backward(block->backend, &norm, &parameters, &half->state, p->norm);
    subsample_input(block, call, odd, p->x);
    if (seki_cpu_convolution_dweights(block->backend, plan->convolutions[0], p->x, p->dz, dweights,
                                      p->convolution, error) < 0)
        return -1;
    if (call->dx.data == NULL)
        return 0;
    if (seki_cpu_convolution_dx(block->backend, plan->convolutions[0], p->dz,
                                weights_of(block, call, odd), p->x, p->convolution, error) < 0)
        return -1;
    subsample.x = seki_cpu_view(&call->dx);
    subsample.mask = seki_cpu_view(&call->x);
    subsample.add = call->add_dx;
    seki_cpu_parallel(block->backend, block->backend->kernels->subsample_backward, &subsample);
    return 0;
}

static int backward(struct seki_block *block, const struct cpu_plan *plan,
                    const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);

    if (call->dx.data != NULL && !call->add_dx)
        clear_dx(block, call);
    for (int odd = 0; odd < 2; odd++)
        if (backward_half(block, plan, call, &p, odd, error) < 0)
            return -1;
    return 0;
}

const struct cpu_block_ops seki_cpu_block_reduce = {
    .prepare = prepare, .measure = measure, .forward = forward, .backward = backward};
