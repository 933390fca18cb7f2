/* darts.c - the skeleton of DARTS's networks: pt.darts cnn/model.py (final), cnn/model_search.py
 * (supernet). */
#include "network/network_internal.h"

/* Edges of a cell that get modules, each with the operations that it gets. */
static int build_edges(struct seki_network *network, int index, struct cell_modules *cell,
                       struct seki_shape input, struct seki_error *error)
{
    const struct seki_cell *searched = &network->genotype.cells[cell->type];
    int op_count;
    const enum seki_op *ops = seki_space_ops(SEKI_DARTS, &op_count);
    for (int edge = 0; edge < searched->edge_count; edge++) {
        const struct seki_edge *e = &searched->edges[edge];
        bool from_input = e->input < searched->inputs;
        int stride = cell->type == SEKI_REDUCE && from_input ? 2 : 1;
        struct seki_shape in = from_input ? input : cell->state;
        char prefix[64];
        if (!network->supernet) {
            snprintf(prefix, sizeof prefix, "cells.%d._ops.%d", index, edge);
            if (seki_edge_modules(network, e->op, in, stride, prefix, &cell->edges[edge][e->op],
                                  error) < 0)
                return -1;
            continue;
        }
        int slot = seki_edge_slot(network, searched, edge);
        for (int i = 0; i < op_count; i++) {
            snprintf(prefix, sizeof prefix, "cells.%d._ops.%d._ops.%d", index, slot, (int)ops[i]);
            if (seki_edge_modules(network, ops[i], in, stride, prefix, &cell->edges[slot][ops[i]],
                                  error) < 0)
                return -1;
        }
    }
    return 0;
}

/* s0, s1: shapes of the outputs of the two cells before. */
static int build_cell(struct seki_network *network, int index, struct seki_shape s0,
                      struct seki_shape s1, bool after_reduction, struct seki_error *error)
{
    struct cell_modules *cell = &network->cells[index];
    bool affine = !network->supernet;
    struct seki_shape state = {1, cell->channels, s1.height, s1.width, false};
    cell->state = state;
    if (cell->type == SEKI_REDUCE) {
        cell->state.height = (state.height + 1) / 2;
        cell->state.width = (state.width + 1) / 2;
    }
    struct seki_block_spec spec = after_reduction
                                      ? seki_spec_reduce(s0, cell->channels, affine)
                                      : seki_spec_convolution(s0, cell->channels, 1, 1, affine);
    cell->preprocess[0] =
        seki_module_add(network, &spec, after_reduction ? &seki_names_reduce : &seki_names_conv,
                        error, "cells.%d.preprocess0", index);
    if (cell->preprocess[0] < 0)
        return -1;
    spec = seki_spec_convolution(s1, cell->channels, 1, 1, affine);
    cell->preprocess[1] =
        seki_module_add(network, &spec, &seki_names_conv, error, "cells.%d.preprocess1", index);
    if (cell->preprocess[1] < 0)
        return -1;
    spec = seki_spec_simple(SEKI_BLOCK_ZERO, cell->state);
    cell->zero = seki_module_add(network, &spec, &seki_names_plain, error, "cells.%d.zero", index);
    if (cell->zero < 0)
        return -1;
    return build_edges(network, index, cell, state, error);
}

#define AUXILIARY_SIDE 8 /* the least that leaves its 2x2 convolution 2 x 2 */

/* pt.darts AuxiliaryHeadCIFAR: ReLU, average over 5x5 with stride 3, 1x1 to 128, 2x2 to 768,
 * linear. */
static int build_auxiliary(struct seki_network *network, struct seki_shape in,
                           struct seki_error *error)
{
    if (in.height < AUXILIARY_SIDE || in.width < AUXILIARY_SIDE)
        return seki_fail(error, SEKI_BAD_USE, "network",
                         "the auxiliary head needs %d x %d at the second reduction, pictures of "
                         "%d x %d leave %d x %d: train without it (auxiliary weight 0)",
                         AUXILIARY_SIDE, AUXILIARY_SIDE, network->config.image_height,
                         network->config.image_width, in.height, in.width);
    struct seki_block_spec spec = seki_spec_pool(SEKI_BLOCK_AVG_POOL, in, 5, 3, 0);
    spec.relu_first = true;
    const char *prefix = "auxiliary_head.features";
    static const struct module_names first = {.weight = {"2"}, .norm = {"3"}};
    static const struct module_names second = {.weight = {"5"}, .norm = {"6"}};
    int *modules = network->auxiliary;
    modules[0] = seki_module_add(network, &spec, &seki_names_pool, error, "%s", prefix);
    if (modules[0] < 0)
        return -1;
    spec = seki_spec_convolution(network->modules[modules[0]].info.out, 128, 1, 1, true);
    spec.relu_first = false;
    spec.relu_last = true;
    modules[1] = seki_module_add(network, &spec, &first, error, "%s", prefix);
    if (modules[1] < 0)
        return -1;
    spec = seki_spec_convolution(network->modules[modules[1]].info.out, 768, 2, 1, true);
    spec.padding_height = spec.padding_width = 0;
    spec.relu_first = false;
    spec.relu_last = true;
    modules[2] = seki_module_add(network, &spec, &second, error, "%s", prefix);
    if (modules[2] < 0)
        return -1;
    spec = seki_spec_head(network->modules[modules[2]].info.out, network->config.classes);
    modules[3] =
        seki_module_add(network, &spec, &seki_names_plain, error, "auxiliary_head.classifier");
    if (modules[3] < 0)
        return -1;
    for (int i = 0; i < 4; i++)
        network->modules[modules[i]].auxiliary = true;
    return 0;
}

static bool is_reduction(const struct seki_network *network, int cell)
{
    int layers = network->config.layers;
    return cell == layers / 3 || cell == 2 * layers / 3;
}

static int build_stem(struct seki_network *network, struct seki_error *error)
{
    const struct seki_network_config *config = &network->config;
    struct seki_shape image = {1, config->image_channels, config->image_height, config->image_width,
                               false};
    struct seki_block_spec spec = seki_spec_convolution(image, 3 * config->channels, 3, 1, true);
    spec.relu_first = false;
    network->stem = seki_module_add(network, &spec, &seki_names_stem, error, "stem");
    return network->stem < 0 ? -1 : 0;
}

int seki_darts_build(struct seki_network *network, struct seki_error *error)
{
    const struct seki_network_config *config = &network->config;
    if (build_stem(network, error) < 0)
        return -1;
    struct seki_shape s0 = network->modules[network->stem].info.out, s1 = s0;
    int channels = config->channels;
    bool after_reduction = false;
    for (int i = 0; i < network->cell_count; i++) {
        struct cell_modules *cell = &network->cells[i];
        bool reduction = is_reduction(network, i);
        if (reduction)
            channels *= 2;
        cell->type = reduction ? SEKI_REDUCE : SEKI_NORMAL;
        cell->channels = channels;
        if (build_cell(network, i, s0, s1, after_reduction, error) < 0)
            return -1;
        struct seki_shape out = cell->state;
        out.parts = network->genotype.cells[cell->type].concat_count;
        s0 = s1;
        s1 = out;
        after_reduction = reduction;
        if (config->auxiliary && i == 2 * config->layers / 3 &&
            build_auxiliary(network, out, error) < 0)
            return -1;
    }
    struct seki_block_spec spec = seki_spec_head(s1, config->classes);
    network->head = seki_module_add(network, &spec, &seki_names_plain, error, "classifier");
    return network->head < 0 ? -1 : 0;
}

static void wire_auxiliary(struct seki_network *network, int tensor)
{
    struct program *program = &network->program;
    for (int i = 0; i < 4; i++) {
        const struct module *module = &network->modules[network->auxiliary[i]];
        int next = seki_program_tensor(program, module->info.out);
        seki_program_step(program, network->auxiliary[i], tensor, 0,
                          program->tensors[tensor].shape.parts, next, 0, false);
        program->steps[program->step_count - 1].auxiliary = true;
        tensor = next;
    }
    program->auxiliary_logits = tensor;
}

/* A step over a whole tensor to a new one. */
static int wire_whole(struct seki_network *network, int module, int tensor)
{
    struct program *program = &network->program;
    int next = seki_program_tensor(program, network->modules[module].info.out);
    seki_program_step(program, module, tensor, 0, program->tensors[tensor].shape.parts, next, 0,
                      false);
    return next;
}

/* Each output is preprocessed for the two cells that read it at once: it is large, and so lives (in
 * backward its gradient) no longer than it must. */
void seki_darts_wire(struct seki_network *network, const struct seki_genotype *genotype)
{
    struct program *program = &network->program;
    int image = seki_program_tensor(program, network->modules[network->stem].spec.in);
    int last = wire_whole(network, network->stem, image);
    int input = wire_whole(network, network->cells[0].preprocess[0], last);
    for (int i = 0; i < network->cell_count; i++) {
        const struct cell_modules *modules = &network->cells[i];
        const struct seki_cell *cell = &genotype->cells[modules->type];
        struct state states[2 + SEKI_MAX_NODES];
        bool more = i + 1 < network->cell_count;
        int inputs[3] = {input, wire_whole(network, modules->preprocess[1], last)};
        if (more)
            inputs[2] = wire_whole(network, modules[1].preprocess[0], last);
        if (i == 0)
            seki_program_common(program, inputs, more ? 3 : 2);
        states[0] = (struct state){inputs[0], 0};
        states[1] = (struct state){inputs[1], 0};
        struct seki_shape shape = modules->state;
        shape.parts = cell->concat_count;
        last = seki_program_tensor(program, shape);
        seki_wire_nodes(network, modules, cell, last, states);
        input = inputs[2];
        if (network->config.auxiliary && i == 2 * network->config.layers / 3)
            wire_auxiliary(network, last);
    }
    program->logits = wire_whole(network, network->head, last);
}
