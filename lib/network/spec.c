/* spec.c - the blocks of the operations, as pt.darts cnn/operations.py and NAS-Bench-201's
 * cell_operations.py have them. */
#include "network/network_internal.h"

struct seki_block_spec seki_spec_simple(enum seki_block_kind kind, struct seki_shape in)
{
    return (struct seki_block_spec){.kind = kind,
                                    .in = in,
                                    .out_channels = in.parts * in.channels,
                                    .kernel_height = 1,
                                    .kernel_width = 1,
                                    .stride_height = 1,
                                    .stride_width = 1,
                                    .dilation = 1,
                                    .repeats = 1};
}

struct seki_block_spec seki_spec_convolution(struct seki_shape in, int out, int kernel, int stride,
                                             bool affine)
{
    struct seki_block_spec spec = seki_spec_simple(SEKI_BLOCK_CONV, in);
    spec.out_channels = out;
    spec.kernel_height = spec.kernel_width = kernel;
    spec.stride_height = spec.stride_width = stride;
    spec.padding_height = spec.padding_width = kernel / 2;
    spec.relu_first = true;
    spec.norm = true;
    spec.affine = affine;
    return spec;
}

struct seki_block_spec seki_spec_reduce(struct seki_shape in, int out, bool affine)
{
    struct seki_block_spec spec = seki_spec_simple(SEKI_BLOCK_REDUCE, in);
    spec.out_channels = out;
    spec.stride_height = spec.stride_width = 2;
    spec.relu_first = true;
    spec.norm = true;
    spec.affine = affine;
    return spec;
}

struct seki_block_spec seki_spec_pool(enum seki_block_kind kind, struct seki_shape in, int kernel,
                                      int stride, int padding)
{
    struct seki_block_spec spec = seki_spec_simple(kind, in);
    spec.kernel_height = spec.kernel_width = kernel;
    spec.stride_height = spec.stride_width = stride;
    spec.padding_height = spec.padding_width = padding;
    return spec;
}

struct seki_block_spec seki_spec_head(struct seki_shape in, int classes)
{
    struct seki_block_spec spec = seki_spec_simple(SEKI_BLOCK_HEAD, in);
    spec.out_channels = classes;
    return spec;
}

static struct seki_block_spec spec_separable(struct seki_shape in, int kernel, int stride,
                                             int dilation, int repeats, bool affine)
{
    struct seki_block_spec spec = seki_spec_simple(SEKI_BLOCK_SEPARABLE, in);
    spec.kernel_height = spec.kernel_width = kernel;
    spec.stride_height = spec.stride_width = stride;
    spec.padding_height = spec.padding_width = dilation * (kernel / 2);
    spec.dilation = dilation;
    spec.repeats = repeats;
    spec.relu_first = true;
    spec.norm = true;
    spec.affine = affine;
    return spec;
}

/* conv_7x1_1x7: ReLU → 1x7 with stride (1, s) → 7x1 with stride (s, 1) → BN. */
static int edge_conv_7x1_1x7(struct seki_network *network, struct seki_shape in, int stride,
                             bool affine, const char *prefix, struct chain *chain,
                             struct seki_error *error)
{
    struct seki_block_spec wide = seki_spec_convolution(in, in.channels, 1, 1, affine);
    wide.kernel_width = 7;
    wide.padding_width = 3;
    wide.stride_width = stride;
    wide.norm = wide.affine = false;
    chain->modules[0] =
        seki_module_add(network, &wide, &seki_names_sequential_first, error, "%s", prefix);
    if (chain->modules[0] < 0)
        return -1;
    in.width = (in.width + stride - 1) / stride;
    struct seki_block_spec tall = seki_spec_convolution(in, in.channels, 1, 1, affine);
    tall.kernel_height = 7;
    tall.padding_height = 3;
    tall.stride_height = stride;
    tall.relu_first = false;
    chain->modules[1] =
        seki_module_add(network, &tall, &seki_names_sequential_second, error, "%s", prefix);
    if (chain->modules[1] < 0)
        return -1;
    chain->count = 2;
    return 0;
}

/* The block of an operation other than none and conv_7x1_1x7, and how its tensors are named. */
static struct seki_block_spec spec_operation(const struct seki_network *network, enum seki_op op,
                                             struct seki_shape in, int stride,
                                             const struct module_names **names)
{
    bool affine = !network->supernet;
    bool pool_norm = network->supernet && network->config.space == SEKI_DARTS;
    struct seki_block_spec spec;
    *names = &seki_names_separable;
    switch (op) {
    case SEKI_MAX_POOL_3X3:
    case SEKI_AVG_POOL_3X3:
        spec = seki_spec_pool(op == SEKI_MAX_POOL_3X3 ? SEKI_BLOCK_MAX_POOL : SEKI_BLOCK_AVG_POOL,
                              in, 3, stride, 1);
        spec.norm = pool_norm;
        *names = &seki_names_pool;
        return spec;
    case SEKI_SKIP_CONNECT:
        *names = &seki_names_reduce;
        return stride == 1 ? seki_spec_simple(SEKI_BLOCK_IDENTITY, in)
                           : seki_spec_reduce(in, in.channels, affine);
    case SEKI_SEP_CONV_3X3:
        return spec_separable(in, 3, stride, 1, 2, affine);
    case SEKI_SEP_CONV_5X5:
        return spec_separable(in, 5, stride, 1, 2, affine);
    case SEKI_SEP_CONV_7X7:
        return spec_separable(in, 7, stride, 1, 2, affine);
    case SEKI_DIL_CONV_3X3:
        return spec_separable(in, 3, stride, 2, 1, affine);
    case SEKI_DIL_CONV_5X5:
        return spec_separable(in, 5, stride, 2, 1, affine);
    case SEKI_NOR_CONV_1X1:
    case SEKI_NOR_CONV_3X3:
        *names = &seki_names_conv;
        return seki_spec_convolution(in, in.channels, op == SEKI_NOR_CONV_1X1 ? 1 : 3, stride,
                                     affine);
    case SEKI_NONE:
    case SEKI_CONV_7X1_1X7:
    case SEKI_OP_COUNT:
        break;
    }
    SEKI_BUG("an operation without a block");
}

int seki_edge_modules(struct seki_network *network, enum seki_op op, struct seki_shape in,
                      int stride, const char *prefix, struct chain *chain, struct seki_error *error)
{
    chain->count = 0;
    if (op == SEKI_NONE)
        return 0;
    if (op == SEKI_CONV_7X1_1X7)
        return edge_conv_7x1_1x7(network, in, stride, !network->supernet, prefix, chain, error);
    const struct module_names *names;
    struct seki_block_spec spec = spec_operation(network, op, in, stride, &names);
    chain->modules[0] = seki_module_add(network, &spec, names, error, "%s", prefix);
    if (chain->modules[0] < 0)
        return -1;
    chain->count = 1;
    return 0;
}

int seki_edge_slot(const struct seki_network *network, const struct seki_cell *cell, int edge)
{
    if (!network->supernet)
        return edge;
    /* Edges into nodes before this one come first: node n of darts has n + 2 of them, of nas201 n
     * + 1. */
    int node = cell->edges[edge].node - cell->inputs;
    return node * (node - 1) / 2 + node * cell->inputs + cell->edges[edge].input;
}
