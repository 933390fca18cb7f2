/* nas201.c - the skeleton of NAS-Bench-201: AutoDL-Projects' cell_infers/tiny_network.py. */
#include "network/network_internal.h"

static int build_searched(struct seki_network *network, int index, struct seki_error *error)
{
    struct cell_modules *cell = &network->cells[index];
    const struct seki_cell *searched = &network->genotype.cells[0];
    struct seki_block_spec spec = seki_spec_simple(SEKI_BLOCK_ZERO, cell->state);
    cell->zero = seki_module_add(network, &spec, &seki_names_plain, error, "cells.%d.zero", index);
    if (cell->zero < 0)
        return -1;
    int op_count;
    const enum seki_op *ops = seki_space_ops(SEKI_NAS201, &op_count);
    for (int edge = 0; edge < searched->edge_count; edge++) {
        const struct seki_edge *e = &searched->edges[edge];
        char prefix[64];
        for (int i = 0; i < op_count; i++) {
            if (network->supernet)
                snprintf(prefix, sizeof prefix, "cells.%d.edges.%d<-%d.%d", index, e->node,
                         e->input, i);
            else if (ops[i] == e->op)
                snprintf(prefix, sizeof prefix, "cells.%d.layers.%d", index, edge);
            else
                continue;
            if (seki_edge_modules(network, ops[i], cell->state, 1, prefix,
                                  &cell->edges[edge][ops[i]], error) < 0)
                return -1;
        }
    }
    return 0;
}

/* ResNetBasicblock of stride 2: two 3x3 convolutions beside a 2x2 average and a 1x1 convolution
 * without BN. */
static int build_residual(struct seki_network *network, int index, struct seki_shape in,
                          struct seki_error *error)
{
    struct cell_modules *cell = &network->cells[index];
    int *modules = cell->residual;
    struct seki_block_spec spec = seki_spec_convolution(in, cell->channels, 3, 2, true);
    modules[0] = seki_module_add(network, &spec, &seki_names_conv, error, "cells.%d.conv_a", index);
    if (modules[0] < 0)
        return -1;
    cell->state = network->modules[modules[0]].info.out;
    spec = seki_spec_convolution(cell->state, cell->channels, 3, 1, true);
    modules[1] = seki_module_add(network, &spec, &seki_names_conv, error, "cells.%d.conv_b", index);
    if (modules[1] < 0)
        return -1;
    spec = seki_spec_pool(SEKI_BLOCK_AVG_POOL, in, 2, 2, 0);
    modules[2] =
        seki_module_add(network, &spec, &seki_names_pool, error, "cells.%d.downsample.0", index);
    if (modules[2] < 0)
        return -1;
    spec =
        seki_spec_convolution(network->modules[modules[2]].info.out, cell->channels, 1, 1, false);
    spec.relu_first = spec.norm = false;
    modules[3] =
        seki_module_add(network, &spec, &seki_names_plain, error, "cells.%d.downsample.1", index);
    return modules[3] < 0 ? -1 : 0;
}

int seki_nas201_build(struct seki_network *network, struct seki_error *error)
{
    const struct seki_network_config *config = &network->config;
    struct seki_shape shape = {1, config->image_channels, config->image_height, config->image_width,
                               false};
    struct seki_block_spec spec = seki_spec_convolution(shape, config->channels, 3, 1, true);
    spec.relu_first = false;
    network->stem = seki_module_add(network, &spec, &seki_names_stem, error, "stem");
    if (network->stem < 0)
        return -1;
    shape = network->modules[network->stem].info.out;
    for (int i = 0; i < network->cell_count; i++) {
        struct cell_modules *cell = &network->cells[i];
        int stage = i / (config->layers + 1);
        bool residual = i % (config->layers + 1) == config->layers;
        cell->kind = residual ? CELL_RESIDUAL : CELL_SEARCHED;
        cell->channels = config->channels << (residual ? stage + 1 : stage);
        cell->state = shape;
        if (residual && (shape.height % 2 || shape.width % 2))
            return seki_fail(
                error, SEKI_BAD_USE, "network",
                "nas201 halves the picture twice, so that its sides must be multiples of 4; "
                "they are %d x %d",
                config->image_height, config->image_width);
        if ((residual ? build_residual(network, i, shape, error)
                      : build_searched(network, i, error)) < 0)
            return -1;
        shape = cell->state;
    }
    spec = seki_spec_simple(SEKI_BLOCK_NORM, shape);
    spec.affine = spec.norm = spec.relu_last = true;
    static const struct module_names last = {.norm = {"0"}};
    network->norm = seki_module_add(network, &spec, &last, error, "lastact");
    if (network->norm < 0)
        return -1;
    spec = seki_spec_head(shape, config->classes);
    network->head = seki_module_add(network, &spec, &seki_names_plain, error, "classifier");
    return network->head < 0 ? -1 : 0;
}

static int wire_to(struct seki_network *network, int module, int x, int y, bool add)
{
    struct program *program = &network->program;
    if (y < 0)
        y = seki_program_tensor(program, network->modules[module].info.out);
    seki_program_step(program, module, x, 0, 1, y, 0, add);
    return y;
}

void seki_nas201_wire(struct seki_network *network, const struct seki_genotype *genotype)
{
    struct program *program = &network->program;
    int x = seki_program_tensor(program, network->modules[network->stem].spec.in);
    x = wire_to(network, network->stem, x, -1, false);
    seki_program_common(program, &x, 1);
    for (int i = 0; i < network->cell_count; i++) {
        const struct cell_modules *modules = &network->cells[i];
        if (modules->kind == CELL_RESIDUAL) {
            int inner = wire_to(network, modules->residual[0], x, -1, false);
            int sum = wire_to(network, modules->residual[1], inner, -1, false);
            inner = wire_to(network, modules->residual[2], x, -1, false);
            x = wire_to(network, modules->residual[3], inner, sum, true);
            continue;
        }
        struct state states[1 + SEKI_MAX_NODES] = {{x, 0}};
        int out = seki_program_tensor(program, modules->state);
        seki_wire_nodes(network, modules, &genotype->cells[0], out, states);
        x = out;
    }
    x = wire_to(network, network->norm, x, -1, false);
    program->logits = wire_to(network, network->head, x, -1, false);
}
