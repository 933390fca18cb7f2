/* network.c - a network from its opening to its closing: modules, memory, the selected program. */
#include "network/network_internal.h"

#include <stdlib.h>

/* A cell with every edge that the supernet has, so that one builder serves both kinds of network.
 */
static void full_cell(struct seki_cell *cell, int inputs, int nodes)
{
    *cell = (struct seki_cell){.inputs = inputs, .nodes = nodes};
    for (int node = inputs; node < inputs + nodes; node++)
        for (int input = 0; input < node; input++)
            cell->edges[cell->edge_count++] = (struct seki_edge){SEKI_SKIP_CONNECT, input, node};
    if (inputs == 1)
        cell->concat[cell->concat_count++] = nodes;
    else
        for (int node = inputs; node < inputs + nodes; node++)
            cell->concat[cell->concat_count++] = node;
}

static void full_genotype(enum seki_space space, struct seki_genotype *genotype)
{
    *genotype = (struct seki_genotype){.space = space, .cell_count = space == SEKI_DARTS ? 2 : 1};
    for (int i = 0; i < genotype->cell_count; i++)
        full_cell(&genotype->cells[i], space == SEKI_DARTS ? 2 : 1,
                  space == SEKI_DARTS ? SEKI_DARTS_NODES : 3);
}

static int check_config(const struct seki_network_config *config, struct seki_error *error)
{
    if (config->channels < 1 || config->channels > 4096)
        return seki_fail(error, SEKI_BAD_USE, "network", "%d channels: 1 to 4096 are possible",
                         config->channels);
    if (config->space == SEKI_DARTS && config->channels % 2)
        return seki_fail(error, SEKI_BAD_USE, "network",
                         "%d channels: a factorized reduction halves them, give an even number",
                         config->channels);
    if (config->layers < 1 || config->layers > 64)
        return seki_fail(error, SEKI_BAD_USE, "network", "%d layers: 1 to 64 are possible",
                         config->layers);
    if (config->classes < 2 || config->classes > 100000)
        return seki_fail(error, SEKI_BAD_USE, "network", "%d classes: 2 to 100000 are possible",
                         config->classes);
    if (config->image_height < 4 || config->image_width < 4 || config->image_height > 4096 ||
        config->image_width > 4096)
        return seki_fail(error, SEKI_BAD_USE, "network",
                         "pictures of %d x %d: 4 x 4 to 4096 x 4096 are possible",
                         config->image_height, config->image_width);
    return 0;
}

/* Room for the largest program: what any genotype can need follows from the number of cells. */
static int reserve_program(struct seki_network *network, struct seki_error *error)
{
    struct program *program = &network->program;
    int per_cell = MAX_CHAIN * SEKI_MAX_EDGES + SEKI_MAX_NODES + 8;
    program->step_capacity = program->tensor_capacity = network->cell_count * per_cell + 16;
    network->item_capacity = 2 * program->tensor_capacity + program->step_capacity;
    program->steps = seki_allocate((size_t)program->step_capacity, sizeof *program->steps, error);
    program->tensors =
        seki_allocate((size_t)program->tensor_capacity, sizeof *program->tensors, error);
    network->items = seki_allocate((size_t)network->item_capacity, sizeof *network->items, error);
    network->order = seki_allocate((size_t)network->item_capacity, sizeof *network->order, error);
    network->active = seki_allocate((size_t)program->step_capacity, sizeof *network->active, error);
    return program->steps && program->tensors && network->items && network->order && network->active
               ? 0
               : -1;
}

static int build(struct seki_network *network, struct seki_error *error)
{
    const struct seki_network_config *config = &network->config;
    bool darts = config->space == SEKI_DARTS;
    network->cell_count = darts ? config->layers : 3 * config->layers + 2;
    network->cells = seki_allocate((size_t)network->cell_count, sizeof *network->cells, error);
    if (!network->cells || (network->backend && reserve_program(network, error) < 0))
        return -1;
    return darts ? seki_darts_build(network, error) : seki_nas201_build(network, error);
}

static int reserve_parameters(struct seki_network *network, struct seki_error *error)
{
    struct seki_backend *backend = network->backend;
    const struct seki_backend_ops *ops = backend->ops;
    network->parameters = ops->memory(backend, network->parameter_count * sizeof(float), error);
    network->gradients = ops->memory(backend, network->parameter_count * sizeof(float), error);
    network->statistics = ops->memory(backend, network->statistic_count * sizeof(float), error);
    network->tallies = ops->memory(backend, TALLIES * sizeof *network->tallies, error);
    return network->parameters && network->gradients && network->statistics && network->tallies
               ? 0
               : -1;
}

static void wire(struct seki_network *network, const struct seki_genotype *genotype)
{
    struct program *program = &network->program;
    program->tensor_count = program->step_count = program->common_count = program->images = 0;
    program->auxiliary_logits = -1;
    if (network->config.space == SEKI_DARTS)
        seki_darts_wire(network, genotype);
    else
        seki_nas201_wire(network, genotype);
    network->selected = true;
}

struct seki_network *seki_network_open(struct seki_backend *backend,
                                       const struct seki_network_config *config,
                                       const struct seki_genotype *genotype,
                                       struct seki_error *error)
{
    if (check_config(config, error) < 0)
        return NULL;
    if (genotype && genotype->space != config->space) {
        seki_fail(error, SEKI_BAD_USE, "network", "a genotype of %s in a network of %s",
                  seki_space_name(genotype->space), seki_space_name(config->space));
        return NULL;
    }
    struct seki_network *network = seki_allocate(1, sizeof *network, error);
    if (!network)
        return NULL;
    network->backend = backend;
    network->config = *config;
    network->supernet = !genotype;
    network->config.auxiliary = config->auxiliary && genotype && config->space == SEKI_DARTS;
    if (genotype)
        network->genotype = *genotype;
    else
        full_genotype(config->space, &network->genotype);
    if (build(network, error) < 0 || (backend && reserve_parameters(network, error) < 0)) {
        seki_network_close(network);
        return NULL;
    }
    if (backend && genotype)
        wire(network, genotype);
    return network;
}

void seki_network_close(struct seki_network *network)
{
    if (!network)
        return;
    if (network->backend) {
        const struct seki_backend_ops *ops = network->backend->ops;
        for (int i = 0; i < network->module_count; i++)
            ops->block_close(network->modules[i].block);
        void *memories[] = {network->parameters, network->gradients, network->statistics,
                            network->arena,      network->scratch,   network->labels,
                            network->keep,       network->tallies};
        seki_forget_recordings(network);
        for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
            ops->release(network->backend, memories[i]);
        for (int lane = 1; lane < SEKI_MAX_LANES; lane++)
            ops->release(network->backend, network->lane_memory[lane]);
    }
    free(network->keep_host);
    free(network->modules);
    free(network->cells);
    free(network->program.steps);
    free(network->program.tensors);
    free(network->items);
    free(network->order);
    free(network->active);
    free(network);
}

const struct seki_network_config *seki_network_get_config(const struct seki_network *network)
{
    return &network->config;
}

struct seki_backend *seki_network_backend(struct seki_network *network)
{
    return network->backend;
}

int seki_network_select(struct seki_network *network, const struct seki_genotype *genotype,
                        struct seki_error *error)
{
    if (!network->supernet)
        SEKI_BUG("a final network's genotype cannot be changed");
    if (genotype->space != network->config.space)
        return seki_fail(error, SEKI_BAD_INPUT, "space",
                         "the supernet is of space %s, the genotype of %s",
                         seki_space_name(network->config.space), seki_space_name(genotype->space));
    if (seki_genotype_validate(genotype, SEKI_STRICT, error) < 0)
        return -1;
    wire(network, genotype);
    return 0;
}

/* The genotypes whose activations take the most: separable convolutions twice over (darts), 3x3
 * ones (nas201); every node from the cell's inputs, or from the states before it. */
static void heaviest_genotype(enum seki_space space, bool near, struct seki_genotype *genotype)
{
    full_genotype(space, genotype);
    for (int i = 0; i < genotype->cell_count; i++) {
        struct seki_cell *cell = &genotype->cells[i];
        int kept = 0;
        for (int edge = 0; edge < cell->edge_count; edge++) {
            struct seki_edge e = cell->edges[edge];
            e.op = space == SEKI_DARTS ? SEKI_SEP_CONV_5X5 : SEKI_NOR_CONV_3X3;
            if (space == SEKI_NAS201 || (near ? e.input >= e.node - 2 : e.input < 2))
                cell->edges[kept++] = e;
        }
        cell->edge_count = kept;
    }
}

static int reserve_batch(struct seki_network *network, int images, struct seki_error *error)
{
    if (images <= network->max_images)
        return 0;
    struct seki_backend *backend = network->backend;
    const struct seki_backend_ops *ops = backend->ops;
    int rows = network->supernet ? 1 : network->program.step_count;
    seki_forget_recordings(network);
    ops->release(backend, network->labels);
    ops->release(backend, network->keep);
    free(network->keep_host);
    network->max_images = 0;
    network->labels = ops->memory(backend, (size_t)images * sizeof *network->labels, error);
    network->keep = ops->memory(backend, (size_t)images * (size_t)rows * sizeof(float), error);
    network->keep_host = seki_allocate((size_t)images * (size_t)rows, sizeof(float), error);
    if (!network->labels || !network->keep || !network->keep_host)
        return -1;
    network->keep_rows = rows;
    network->max_images = images;
    return 0;
}

/* Of all modules; *scratch gets the most that one needs. */
static int prepare_blocks(struct seki_network *network, int images, enum seki_mode mode,
                          size_t *scratch, struct seki_error *error)
{
    for (int i = 0; i < network->module_count; i++) {
        size_t saved, needed;
        if (network->backend->ops->block_prepare(network->modules[i].block, images, mode, &saved,
                                                 &needed, error) < 0)
            return -1;
        if (needed > *scratch)
            *scratch = needed;
    }
    return 0;
}

int seki_network_prepare(struct seki_network *network, int images, enum seki_mode mode,
                         struct seki_error *error)
{
    network->prepared_images = 0;
    if (reserve_batch(network, images, error) < 0)
        return -1;
    if (!network->supernet)
        return seki_schedule(network, images, mode, error) < 0
                   ? -1
                   : seki_reserve_program(network, error);
    size_t scratch = 0, arena = 0;
    if (prepare_blocks(network, images, mode, &scratch, error) < 0)
        return -1;
    for (int near = 0; near < 2; near++) {
        struct seki_genotype heaviest;
        heaviest_genotype(network->config.space, near, &heaviest);
        wire(network, &heaviest);
        if (seki_schedule(network, images, mode, error) < 0)
            return -1;
        if (network->program.arena_bytes > arena)
            arena = network->program.arena_bytes;
    }
    network->selected = false;
    if (seki_reserve(network, &network->arena, &network->arena_bytes, arena, error) < 0 ||
        seki_reserve(network, &network->scratch, &network->scratch_bytes, scratch, error) < 0)
        return -1;
    network->prepared_images = images;
    network->prepared_mode = mode;
    return 0;
}

size_t seki_network_activation_bytes(const struct seki_network *network)
{
    return network->arena_bytes + network->scratch_bytes;
}

float *seki_network_parameters(struct seki_network *network, size_t *count)
{
    *count = network->parameter_count;
    return network->parameters;
}

float *seki_network_gradient_array(struct seki_network *network)
{
    return network->gradients;
}

float *seki_network_statistics(struct seki_network *network, size_t *count)
{
    *count = network->statistic_count;
    return network->statistics;
}

const struct seki_range *seki_network_active(const struct seki_network *network, int *count)
{
    *count = network->active_count;
    return network->active;
}
