/*
 * block.c - what the kinds of block have in common: their parameters, and the two ends of a call.
 */
#include "nn/ref/ref_internal.h"

static const struct seki_parameter *find(const struct seki_block *block,
                                         enum seki_parameter_role role, int repeat)
{
    return seki_block_parameter(&block->info, role, repeat);
}

const float *seki_ref_parameter(const struct seki_block *block, const struct seki_block_call *call,
                                enum seki_parameter_role role, int repeat)
{
    const struct seki_parameter *parameter = find(block, role, repeat);

    return parameter != NULL ? call->parameters + parameter->offset : NULL;
}

float *seki_ref_gradient(const struct seki_block *block, const struct seki_block_call *call,
                         enum seki_parameter_role role, int repeat)
{
    const struct seki_parameter *parameter = find(block, role, repeat);

    return parameter != NULL && call->gradients != NULL ? call->gradients + parameter->offset
                                                        : NULL;
}

static float *statistic(const struct seki_block *block, const struct seki_block_call *call,
                        enum seki_parameter_role role, int repeat)
{
    const struct seki_parameter *parameter = find(block, role, repeat);

    return parameter != NULL && call->statistics != NULL ? call->statistics + parameter->offset
                                                         : NULL;
}

struct ref_norm seki_ref_norm_of(const struct seki_block *block, const struct seki_block_call *call,
                                 int repeat, double *statistics)
{
    return (struct ref_norm){
        .scale = seki_ref_parameter(block, call, SEKI_SCALE, repeat),
        .shift = seki_ref_parameter(block, call, SEKI_SHIFT, repeat),
        .dscale = seki_ref_gradient(block, call, SEKI_SCALE, repeat),
        .dshift = seki_ref_gradient(block, call, SEKI_SHIFT, repeat),
        .running_mean = statistic(block, call, SEKI_RUNNING_MEAN, repeat),
        .running_variance = statistic(block, call, SEKI_RUNNING_VARIANCE, repeat),
        .statistics = statistics,
    };
}

struct ref_kernel seki_ref_kernel_of(const struct seki_block_spec *spec)
{
    return (struct ref_kernel){
        .height = spec->kernel_height,
        .width = spec->kernel_width,
        .stride_height = spec->stride_height,
        .stride_width = spec->stride_width,
        .padding_height = spec->padding_height,
        .padding_width = spec->padding_width,
        .dilation = 1,
        .groups = 1,
    };
}

/* to = or += factor[image] * from */
static void deliver(const struct ref_tensor *from, const float *factor, bool add,
                    const struct ref_tensor *to)
{
    for (int n = 0; n < from->images; n++) {
        const float *values = ref_plane(from, n, 0);
        float *out = ref_plane(to, n, 0);
        float times = factor != NULL ? factor[n] : 1.0f;

        for (size_t i = 0; i < (size_t)from->channels * ref_pixels(from); i++)
            out[i] = (add ? out[i] : 0.0f) + times * values[i];
    }
}

void seki_ref_give_result(const struct seki_block_call *call, const struct ref_tensor *result)
{
    struct ref_tensor y = seki_ref_from_window(&call->y, call->images);

    deliver(result, call->keep, call->add_y, &y);
}

void seki_ref_take_gradient(const struct seki_block_call *call, const struct ref_tensor *gradient)
{
    struct ref_tensor dy = seki_ref_from_window(&call->dy, call->images);

    deliver(&dy, call->keep, false, gradient);
}

void seki_ref_give_gradient(const struct seki_block_call *call, const struct ref_tensor *gradient)
{
    if (call->dx.data == NULL)
        return;
    struct ref_tensor dx = seki_ref_from_window(&call->dx, call->images);

    deliver(gradient, NULL, call->add_dx, &dx);
}
