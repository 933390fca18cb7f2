/*
 * block.c - what follows from a block's spec alone, without a backend: the shape it gives, its
 * parameters and statistics, its multiply-accumulates.
 */
#include "nn/backend.h"

#include "nn/nn_internal.h"

/* Floats of one image of a tensor, and of one parameter tensor. With it no sum of products here
 * passes 64 bits, and an index into one image fits an int. */
#define MAX_ELEMENTS ((uint64_t)1 << 30)

static const char *const kind_names[] = {
    [SEKI_BLOCK_CONV] = "convolution",         [SEKI_BLOCK_SEPARABLE] = "separable convolution",
    [SEKI_BLOCK_REDUCE] = "reduction",         [SEKI_BLOCK_MAX_POOL] = "max pooling",
    [SEKI_BLOCK_AVG_POOL] = "average pooling", [SEKI_BLOCK_NORM] = "normalisation",
    [SEKI_BLOCK_IDENTITY] = "identity",        [SEKI_BLOCK_ZERO] = "zero",
    [SEKI_BLOCK_HEAD] = "classifier",
};

#define KINDS (sizeof kind_names / sizeof kind_names[0])

static const char *kind_name(const struct seki_block_spec *spec)
{
    return kind_names[spec->kind];
}

int seki_sliding_size(int size, int kernel, int stride, int padding, int dilation)
{
    int64_t extent = (int64_t)(kernel - 1) * dilation + 1;
    int64_t room = (int64_t)size + 2 * (int64_t)padding - extent;

    return room < 0 ? 0 : (int)(room / stride + 1);
}

const struct seki_parameter *seki_block_parameter(const struct seki_block_info *info,
                                                  enum seki_parameter_role role, int repeat)
{
    for (int i = 0; i < info->count; i++)
        if (info->tensors[i].role == role && info->tensors[i].repeat == repeat)
            return &info->tensors[i];
    return NULL;
}

/* ---- Checks of a spec -------------------------------------------------------------------- */

static int require(const struct seki_block_spec *spec, const char *what, int value, int minimum,
                   struct seki_error *error)
{
    enum { LARGEST = 1 << 16 };

    if (value >= minimum && value <= LARGEST)
        return 0;
    return seki_fail(error, SEKI_BAD_USE, "block", "%s: %s is %d, expected %d to %d",
                     kind_name(spec), what, value, minimum, LARGEST);
}

static int require_elements(const struct seki_block_spec *spec, const struct seki_shape *shape,
                            struct seki_error *error)
{
    uint64_t channels = (uint64_t)shape->parts * (uint64_t)shape->channels;
    uint64_t pixels = (uint64_t)shape->height * (uint64_t)shape->width;

    /* Both factors are below 2^33, so only their product can be too large for 64 bits. */
    if (channels <= MAX_ELEMENTS && pixels <= MAX_ELEMENTS / channels)
        return 0;
    return seki_fail(
        error, SEKI_BAD_USE, "block",
        "%s: an image of %d x %d channels of %d x %d pixels is too large, at most %llu "
        "values are possible",
        kind_name(spec), shape->parts, shape->channels, shape->height, shape->width,
        (unsigned long long)MAX_ELEMENTS);
}

static bool slides(const struct seki_block_spec *spec)
{
    return spec->kind == SEKI_BLOCK_CONV || spec->kind == SEKI_BLOCK_SEPARABLE ||
           spec->kind == SEKI_BLOCK_MAX_POOL || spec->kind == SEKI_BLOCK_AVG_POOL;
}

static bool pools(const struct seki_block_spec *spec)
{
    return spec->kind == SEKI_BLOCK_MAX_POOL || spec->kind == SEKI_BLOCK_AVG_POOL;
}

static bool chooses_channels(const struct seki_block_spec *spec)
{
    return spec->kind == SEKI_BLOCK_CONV || spec->kind == SEKI_BLOCK_SEPARABLE ||
           spec->kind == SEKI_BLOCK_REDUCE || spec->kind == SEKI_BLOCK_HEAD;
}

static int check_kernel(const struct seki_block_spec *spec, struct seki_error *error)
{
    if (require(spec, "kernel height", spec->kernel_height, 1, error) < 0 ||
        require(spec, "kernel width", spec->kernel_width, 1, error) < 0 ||
        require(spec, "padding height", spec->padding_height, 0, error) < 0 ||
        require(spec, "padding width", spec->padding_width, 0, error) < 0)
        return -1;
    /* As PyTorch: otherwise a window could hold nothing but padding. */
    if (pools(spec) && (spec->padding_height > spec->kernel_height / 2 ||
                        spec->padding_width > spec->kernel_width / 2))
        return seki_fail(error, SEKI_BAD_USE, "block",
                         "%s: padding %d x %d is more than half of the kernel %d x %d",
                         kind_name(spec), spec->padding_height, spec->padding_width,
                         spec->kernel_height, spec->kernel_width);
    return 0;
}

static int check_spec(const struct seki_block_spec *spec, struct seki_error *error)
{
    if ((unsigned)spec->kind >= KINDS)
        return seki_fail(error, SEKI_BAD_USE, "block", "there is no block of kind %d",
                         (int)spec->kind);
    if (require(spec, "parts", spec->in.parts, 1, error) < 0 ||
        require(spec, "channels", spec->in.channels, 1, error) < 0 ||
        require(spec, "height", spec->in.height, 1, error) < 0 ||
        require(spec, "width", spec->in.width, 1, error) < 0 ||
        require_elements(spec, &spec->in, error) < 0)
        return -1;
    if (chooses_channels(spec) && require(spec, "out_channels", spec->out_channels, 1, error) < 0)
        return -1;
    if (slides(spec) && check_kernel(spec, error) < 0)
        return -1;
    if ((slides(spec) || spec->kind == SEKI_BLOCK_ZERO) &&
        (require(spec, "stride height", spec->stride_height, 1, error) < 0 ||
         require(spec, "stride width", spec->stride_width, 1, error) < 0))
        return -1;
    if (spec->kind == SEKI_BLOCK_SEPARABLE) {
        if (require(spec, "dilation", spec->dilation, 1, error) < 0)
            return -1;
        if (spec->repeats != 1 && spec->repeats != 2)
            return seki_fail(error, SEKI_BAD_USE, "block", "%s: repeats is %d, expected 1 or 2",
                             kind_name(spec), spec->repeats);
    }
    if (spec->kind == SEKI_BLOCK_REDUCE && spec->out_channels % 2 != 0)
        return seki_fail(
            error, SEKI_BAD_USE, "block",
            "%s: out_channels is %d, expected an even number, half for each of its two "
            "convolutions",
            kind_name(spec), spec->out_channels);
    return 0;
}

/* ---- The parameters ---------------------------------------------------------------------- */

/* Appends a tensor; `sizes` ends at the first 0 or after four. */
static int add(struct seki_block_info *info, const struct seki_block_spec *spec,
               enum seki_parameter_role role, int repeat, const int sizes[4],
               struct seki_error *error)
{
    bool running = role == SEKI_RUNNING_MEAN || role == SEKI_RUNNING_VARIANCE;
    size_t *total = running ? &info->statistics : &info->parameters;
    struct seki_parameter *tensor = &info->tensors[info->count];
    uint64_t count = 1;

    *tensor = (struct seki_parameter){.role = role, .repeat = repeat, .offset = *total};
    for (int i = 0; i < 4 && sizes[i] > 0; i++) {
        tensor->size[i] = sizes[i];
        tensor->dimensions++;
        count *= (uint64_t)sizes[i]; /* at most 2^30 * 2^16 */
        if (count > MAX_ELEMENTS)
            return seki_fail(
                error, SEKI_BAD_USE, "block",
                "%s: a weight of %d x %d x %d x %d is too large, at most %llu values are "
                "possible",
                kind_name(spec), sizes[0], sizes[1], sizes[2], sizes[3],
                (unsigned long long)MAX_ELEMENTS);
    }
    tensor->count = (size_t)count;
    *total += tensor->count;
    info->count++;
    return 0;
}

static int add_affine(struct seki_block_info *info, const struct seki_block_spec *spec, int repeat,
                      int channels, struct seki_error *error)
{
    const int sizes[4] = {channels};

    if (!spec->affine)
        return 0;
    if (add(info, spec, SEKI_SCALE, repeat, sizes, error) < 0)
        return -1;
    return add(info, spec, SEKI_SHIFT, repeat, sizes, error);
}

static int add_statistics(struct seki_block_info *info, const struct seki_block_spec *spec,
                          int repeat, int channels, struct seki_error *error)
{
    const int sizes[4] = {channels};

    if (add(info, spec, SEKI_RUNNING_MEAN, repeat, sizes, error) < 0)
        return -1;
    return add(info, spec, SEKI_RUNNING_VARIANCE, repeat, sizes, error);
}

/* BN of a block that has one. */
static int add_norm(struct seki_block_info *info, const struct seki_block_spec *spec, int channels,
                    struct seki_error *error)
{
    if (add_affine(info, spec, 0, channels, error) < 0)
        return -1;
    return add_statistics(info, spec, 0, channels, error);
}

/* ---- The kinds of block ------------------------------------------------------------------ */

/* Kernel, stride and padding over *shape, which becomes the shape after it. */
static int slide(const struct seki_block_spec *spec, int stride_height, int stride_width,
                 struct seki_shape *shape, struct seki_error *error)
{
    int dilation = spec->kind == SEKI_BLOCK_SEPARABLE ? spec->dilation : 1;
    int height = seki_sliding_size(shape->height, spec->kernel_height, stride_height,
                                   spec->padding_height, dilation);
    int width = seki_sliding_size(shape->width, spec->kernel_width, stride_width,
                                  spec->padding_width, dilation);

    if (height == 0 || width == 0)
        return seki_fail(
            error, SEKI_BAD_USE, "block",
            "%s: a kernel of %d x %d, dilation %d, is larger than a picture of %d x %d "
            "with padding %d x %d",
            kind_name(spec), spec->kernel_height, spec->kernel_width, dilation, shape->height,
            shape->width, spec->padding_height, spec->padding_width);
    shape->height = height;
    shape->width = width;
    return require_elements(spec, shape, error);
}

static void count_macs(struct seki_block_info *info, const struct seki_shape *out)
{
    uint64_t pixels = (uint64_t)out->height * (uint64_t)out->width;

    info->macs += info->tensors[info->count - 1].count * pixels;
}

static int describe_conv(const struct seki_block_spec *spec, int in, struct seki_block_info *info,
                         struct seki_error *error)
{
    const int sizes[4] = {spec->out_channels, in, spec->kernel_height, spec->kernel_width};

    info->out.channels = spec->out_channels;
    if (slide(spec, spec->stride_height, spec->stride_width, &info->out, error) < 0 ||
        add(info, spec, SEKI_WEIGHT, 0, sizes, error) < 0)
        return -1;
    count_macs(info, &info->out);
    return spec->norm ? add_norm(info, spec, spec->out_channels, error) : 0;
}

/* Every repeat but the last keeps the channels (cnn/operations.py of quark0/darts). */
static int describe_separable(const struct seki_block_spec *spec, int in,
                              struct seki_block_info *info, struct seki_error *error)
{
    for (int repeat = 0; repeat < spec->repeats; repeat++) {
        int out = repeat == spec->repeats - 1 ? spec->out_channels : in;
        const int depthwise[4] = {in, 1, spec->kernel_height, spec->kernel_width};
        const int pointwise[4] = {out, in, 1, 1};
        int stride_height = repeat == 0 ? spec->stride_height : 1;
        int stride_width = repeat == 0 ? spec->stride_width : 1;

        if (slide(spec, stride_height, stride_width, &info->out, error) < 0 ||
            add(info, spec, SEKI_DEPTHWISE, repeat, depthwise, error) < 0)
            return -1;
        count_macs(info, &info->out);
        if (add(info, spec, SEKI_WEIGHT, repeat, pointwise, error) < 0)
            return -1;
        count_macs(info, &info->out);
        if (add_affine(info, spec, repeat, out, error) < 0)
            return -1;
    }
    info->out.channels = spec->out_channels;
    for (int repeat = 0; repeat < spec->repeats; repeat++) {
        int out = repeat == spec->repeats - 1 ? spec->out_channels : in;

        if (add_statistics(info, spec, repeat, out, error) < 0)
            return -1;
    }
    return 0;
}

static int describe_reduce(const struct seki_block_spec *spec, int in, struct seki_block_info *info,
                           struct seki_error *error)
{
    const int sizes[4] = {spec->out_channels / 2, in, 1, 1};

    info->out.channels = spec->out_channels;
    info->out.height = (info->out.height + 1) / 2;
    info->out.width = (info->out.width + 1) / 2;
    if (add(info, spec, SEKI_WEIGHT, 0, sizes, error) < 0)
        return -1;
    count_macs(info, &info->out);
    if (add(info, spec, SEKI_WEIGHT_ODD, 0, sizes, error) < 0)
        return -1;
    count_macs(info, &info->out);
    return add_norm(info, spec, spec->out_channels, error);
}

static int describe_head(const struct seki_block_spec *spec, int in, struct seki_block_info *info,
                         struct seki_error *error)
{
    const int weight[4] = {spec->out_channels, in}, bias[4] = {spec->out_channels};

    info->out = (struct seki_shape){1, spec->out_channels, 1, 1, .full = true};
    if (add(info, spec, SEKI_WEIGHT, 0, weight, error) < 0)
        return -1;
    count_macs(info, &info->out);
    return add(info, spec, SEKI_BIAS, 0, bias, error);
}

static int describe_pool(const struct seki_block_spec *spec, int in, struct seki_block_info *info,
                         struct seki_error *error)
{
    if (slide(spec, spec->stride_height, spec->stride_width, &info->out, error) < 0)
        return -1;
    return spec->norm ? add_norm(info, spec, in, error) : 0;
}

static void describe_zero(const struct seki_block_spec *spec, struct seki_block_info *info)
{
    info->out.height = (info->out.height - 1) / spec->stride_height + 1;
    info->out.width = (info->out.width - 1) / spec->stride_width + 1;
}

int seki_block_describe(const struct seki_block_spec *spec, struct seki_block_info *info,
                        struct seki_error *error)
{
    if (check_spec(spec, error) < 0)
        return -1;
    int in = spec->in.parts * spec->in.channels;

    *info = (struct seki_block_info){.out = {1, in, spec->in.height, spec->in.width}};
    switch (spec->kind) {
    case SEKI_BLOCK_CONV:
        if (describe_conv(spec, in, info, error) < 0)
            return -1;
        break;
    case SEKI_BLOCK_SEPARABLE:
        if (describe_separable(spec, in, info, error) < 0)
            return -1;
        break;
    case SEKI_BLOCK_REDUCE:
        if (describe_reduce(spec, in, info, error) < 0)
            return -1;
        break;
    case SEKI_BLOCK_MAX_POOL:
    case SEKI_BLOCK_AVG_POOL:
        if (describe_pool(spec, in, info, error) < 0)
            return -1;
        break;
    case SEKI_BLOCK_NORM:
        if (add_norm(info, spec, in, error) < 0)
            return -1;
        break;
    case SEKI_BLOCK_ZERO:
        describe_zero(spec, info);
        break;
    case SEKI_BLOCK_HEAD:
        if (describe_head(spec, in, info, error) < 0)
            return -1;
        break;
    case SEKI_BLOCK_IDENTITY:
        break;
    }
    return require_elements(spec, &info->out, error);
}
