/*
 * block_reduce.c - REDUCE, the FactorizedReduce of DARTS: two halves, each ReLU of every second
 * pixel → 1x1 convolution → its channels' BN; the second begins at pixel (1, 1).
 */
#include "nn/cpu/cpu_internal.h"

struct half {
    struct cpu_dense pointwise;
    struct cpu_norm norm;
    struct cpu_norm_state state;
    void *scratch; /* the norm's */
};

struct pieces {
    struct half halves[2];
};

static int half_channels(const struct seki_block *block)
{
    return block->spec.out_channels / 2;
}

static struct half take_half(const struct seki_block *block, const struct cpu_plan *plan, int odd,
                             struct cpu_arena *saved, struct cpu_arena *scratch)
{
    struct cpu_arena *keep = plan->train ? saved : scratch;
    const struct seki_shape *in = &block->spec.in, *out = &block->info.out;
    const int channels = half_channels(block);
    struct half half = {
        .pointwise = {.in_channels = block->in_channels,
                      .out_channels = channels,
                      .height = in->height,
                      .width = in->width,
                      .out_height = out->height,
                      .out_width = out->width,
                      .kernel_height = 1,
                      .kernel_width = 1,
                      .step = 2,
                      .odd = odd,
                      .relu = true},
        .norm = {.images = plan->images, .channels = channels, .pixels = cpu_pixels(out)},
    };
    const size_t pixels = (size_t)plan->images * half.norm.pixels;

    half.norm.z = cpu_dense(seki_cpu_take_elements(keep, block->backend, pixels * (size_t)channels),
                            channels);
    half.state = seki_cpu_norm_take(keep, channels);
    half.scratch = seki_cpu_norm_scratch(scratch, block->backend, channels);
    seki_cpu_dense_take(scratch, block->backend, plan->train, 0, &half.pointwise);
    return half;
}

static struct pieces take(const struct seki_block *block, const struct cpu_plan *plan,
                          struct cpu_arena *saved, struct cpu_arena *scratch)
{
    struct pieces p;

    for (int odd = 0; odd < 2; odd++)
        p.halves[odd] = take_half(block, plan, odd, saved, scratch);
    return p;
}

static void measure(const struct seki_block *block, const struct cpu_plan *plan,
                    struct cpu_arena *saved, struct cpu_arena *scratch)
{
    take(block, plan, saved, scratch);
}

static const float *weights_of(const struct seki_block *block, const struct seki_block_call *call,
                               int odd)
{
    return seki_cpu_parameter(block, call, odd ? SEKI_WEIGHT_ODD : SEKI_WEIGHT, 0);
}

/* The channels of a half in the block's output. */
static struct cpu_view half_view(const struct seki_block *block, const struct seki_block_call *call,
                                 const struct seki_window *window, int odd)
{
    const struct cpu_view view = seki_cpu_view(block->backend, window, call->images);

    return cpu_view_from(block->backend, view, (size_t)(odd * half_channels(block)));
}

static void forward_half(struct seki_block *block, const struct seki_block_call *call,
                         struct half *half, int odd)
{
    const struct cpu_backend *backend = block->backend;
    const struct cpu_norm_parameters parameters =
        seki_cpu_norm_parameters(block, call, 0, odd * half_channels(block));

    half->norm.y = half_view(block, call, &call->y, odd);
    half->norm.keep = call->keep;
    half->norm.add = call->add_y;
    half->pointwise.norm = &half->norm;
    half->pointwise.x = seki_cpu_view(block->backend, &call->x, call->images);
    seki_cpu_dense_pack(backend, &half->pointwise, weights_of(block, call, odd));
    seki_cpu_norm_forward(backend, &half->norm, &parameters, call->mode, &half->state,
                          half->scratch, backend->kernels->pointwise, &half->pointwise);
}

static int forward(struct seki_block *block, const struct cpu_plan *plan,
                   const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);

    (void)error;
    for (int odd = 0; odd < 2; odd++)
        forward_half(block, call, &p.halves[odd], odd);
    return 0;
}

/* dx = 0: half of the pixels are in neither picture. */
static void clear_dx(const struct seki_block *block, const struct seki_block_call *call)
{
    struct cpu_map map = {.images = call->images,
                          .channels = block->spec.in.channels,
                          .pixels = cpu_pixels(&block->spec.in),
                          .y = seki_cpu_view(block->backend, &call->dx, call->images)};

    for (int part = 0; part < block->spec.in.parts; part++) {
        seki_cpu_parallel(block->backend, block->backend->kernels->map, &map);
        map.y = cpu_view_from(block->backend, map.y, map.y.apart);
    }
}

static void backward_half(struct seki_block *block, const struct seki_block_call *call,
                          struct half *half, int odd)
{
    const struct cpu_backend *backend = block->backend;
    const struct cpu_norm_parameters parameters =
        seki_cpu_norm_parameters(block, call, 0, odd * half_channels(block));
    const enum seki_parameter_role role = odd ? SEKI_WEIGHT_ODD : SEKI_WEIGHT;

    half->norm.dy = half_view(block, call, &call->dy, odd);
    half->norm.keep = call->keep;
    half->pointwise.norm = &half->norm;
    half->pointwise.x = seki_cpu_view(block->backend, &call->x, call->images);
    half->pointwise.dx = seki_cpu_view(block->backend, &call->dx, call->images);
    half->pointwise.add_dx = call->add_dx;
    seki_cpu_norm_sums(backend, &half->norm, &parameters, &half->state, half->scratch);
    seki_cpu_dense_pack_back(backend, &half->pointwise, weights_of(block, call, odd));
    seki_cpu_parallel(backend, backend->kernels->pointwise_backward, &half->pointwise);
    seki_cpu_dense_gradient(backend, &half->pointwise, seki_cpu_gradient(block, call, role, 0));
}

static int backward(struct seki_block *block, const struct cpu_plan *plan,
                    const struct seki_block_call *call, struct seki_error *error)
{
    struct cpu_arena saved = {call->saved, 0}, scratch = {call->scratch, 0};
    struct pieces p = take(block, plan, &saved, &scratch);

    (void)error;
    if (call->dx.data != NULL && !call->add_dx)
        clear_dx(block, call);
    for (int odd = 0; odd < 2; odd++)
        backward_half(block, call, &p.halves[odd], odd);
    return 0;
}

const struct cpu_block_ops seki_cpu_block_reduce = {
    .wide = true, .measure = measure, .forward = forward, .backward = backward};
