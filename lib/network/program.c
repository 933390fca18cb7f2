/* program.c - the steps that compute a genotype: tensors, and blocks between parts of them. */
#include "network/network_internal.h"

int seki_program_tensor(struct program *program, struct seki_shape shape)
{
    if (program->tensor_count == program->tensor_capacity)
        SEKI_BUG("more tensors than the network's skeleton has room for");
    program->tensors[program->tensor_count] = (struct tensor){.shape = shape};
    return program->tensor_count++;
}

void seki_program_step(struct program *program, int module, int x, int x_part, int x_parts, int y,
                       int y_part, bool add_y)
{
    if (program->step_count == program->step_capacity)
        SEKI_BUG("more steps than the network's skeleton has room for");
    program->steps[program->step_count++] = (struct step){.module = module,
                                                          .x = x,
                                                          .x_part = x_part,
                                                          .x_parts = x_parts,
                                                          .y = y,
                                                          .y_part = y_part,
                                                          .add_y = add_y,
                                                          .keep = -1};
}

void seki_program_common(struct program *program, const int *tensors, int count)
{
    program->common_count = program->step_count;
    for (int i = 0; i < count; i++)
        program->tensors[tensors[i]].held = true;
}

/* Where node `node` of the cell writes: its part of the cell's output, or a tensor of its own. */
static struct state node_state(struct program *program, const struct seki_cell *cell, int node,
                               int out, struct seki_shape shape)
{
    for (int i = 0; i < cell->concat_count; i++)
        if (cell->concat[i] == node)
            return (struct state){out, i};
    return (struct state){seki_program_tensor(program, shape), 0};
}

/* The steps of one edge; true if it has any. */
static bool wire_edge(struct seki_network *network, const struct chain *chain, struct state from,
                      struct state to, bool add)
{
    struct program *program = &network->program;
    for (int i = 0; i < chain->count; i++) {
        const struct module *module = &network->modules[chain->modules[i]];
        bool last = i == chain->count - 1;
        struct state next = to;
        if (!last)
            next = (struct state){seki_program_tensor(program, module->info.out), 0};
        seki_program_step(program, chain->modules[i], from.tensor, from.part, 1, next.tensor,
                          next.part, last && add);
        program->steps[program->step_count - 1].droppable =
            last && !network->supernet && module->spec.kind != SEKI_BLOCK_IDENTITY;
        from = next;
    }
    return chain->count > 0;
}

void seki_wire_nodes(struct seki_network *network, const struct cell_modules *modules,
                     const struct seki_cell *cell, int out, struct state *states)
{
    int edge = 0;
    for (int node = cell->inputs; node < cell->inputs + cell->nodes; node++) {
        states[node] = node_state(&network->program, cell, node, out, modules->state);
        bool written = false;
        for (; edge < cell->edge_count && cell->edges[edge].node == node; edge++) {
            const struct seki_edge *e = &cell->edges[edge];
            const struct chain *chain = &modules->edges[seki_edge_slot(network, cell, edge)][e->op];
            written |= wire_edge(network, chain, states[e->input], states[node], written);
        }
        if (!written)
            seki_program_step(&network->program, modules->zero, -1, 0, 0, states[node].tensor,
                              states[node].part, false);
    }
}
