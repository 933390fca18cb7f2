/*
 * sample.c - uniform sampling of strict genotypes, and mutation.
 */
#include "genotype/genotype.h"

#include <string.h>

#include "genotype/genotype_internal.h"

static enum seki_op random_op(enum seki_space space, struct seki_random *random)
{
    int count;
    const enum seki_op *ops = seki_space_ops(space, &count);

    return ops[seki_random_below(random, (uint32_t)count)];
}

/* Each pair of distinct inputs has the same chance, listed with the smaller first; each operation
 * too: one of prod over i = 2..5 of C(i,2) * 7^2 = 180 * 49^4 cells. */
static void sample_darts_cell(struct seki_random *random, struct seki_cell *cell)
{
    cell->inputs = 2;
    cell->nodes = cell->concat_count = SEKI_DARTS_NODES;
    cell->edge_count = 2 * SEKI_DARTS_NODES;
    for (int i = 0; i < SEKI_DARTS_NODES; i++) {
        int node = 2 + i;
        int a = (int)seki_random_below(random, (uint32_t)node);
        int b = (int)seki_random_below(random, (uint32_t)node - 1);

        if (b >= a)
            b++;
        cell->concat[i] = node;
        cell->edges[2 * i] = (struct seki_edge){random_op(SEKI_DARTS, random), a < b ? a : b, node};
        cell->edges[2 * i + 1] =
            (struct seki_edge){random_op(SEKI_DARTS, random), a < b ? b : a, node};
    }
}

static void sample_nas201_cell(struct seki_random *random, struct seki_cell *cell)
{
    cell->inputs = 1;
    cell->nodes = cell->concat[0] = SEKI_NAS201_NODES;
    cell->concat_count = 1;
    cell->edge_count = SEKI_NAS201_EDGES;
    for (int node = 1; node <= SEKI_NAS201_NODES; node++) {
        for (int input = 0; input < node; input++) {
            cell->edges[seki_nas201_edge(input, node)] =
                (struct seki_edge){random_op(SEKI_NAS201, random), input, node};
        }
    }
}

void seki_genotype_sample(enum seki_space space, struct seki_random *random,
                          struct seki_genotype *genotype)
{
    memset(genotype, 0, sizeof *genotype);
    genotype->space = space;
    if (space == SEKI_NAS201) {
        genotype->cell_count = 1;
        sample_nas201_cell(random, &genotype->cells[0]);
        return;
    }
    genotype->cell_count = 2;
    sample_darts_cell(random, &genotype->cells[SEKI_NORMAL]);
    sample_darts_cell(random, &genotype->cells[SEKI_REDUCE]);
}

/* One of the inputs that can change, each with the same chance; false where none can (a cell of
 * node 2 alone, whose two distinct inputs are all there are). */
static bool mutate_input(struct seki_genotype *genotype, struct seki_random *random)
{
    struct {
        struct seki_cell *cell;
        int index;
    } open[2 * SEKI_MAX_EDGES];
    int inputs[SEKI_MAX_NODES + 2], count = 0, chosen, choices;

    for (int c = 0; c < genotype->cell_count; c++) {
        for (int i = 0; i < genotype->cells[c].edge_count; i++) {
            if (seki_other_inputs(&genotype->cells[c], i, inputs) == 0)
                continue;
            open[count].cell = &genotype->cells[c];
            open[count].index = i;
            count++;
        }
    }
    if (count == 0)
        return false;
    chosen = (int)seki_random_below(random, (uint32_t)count);
    choices = seki_other_inputs(open[chosen].cell, open[chosen].index, inputs);
    open[chosen].cell->edges[open[chosen].index].input =
        inputs[seki_random_below(random, (uint32_t)choices)];
    return true;
}

static void mutate_op(struct seki_genotype *genotype, struct seki_random *random)
{
    struct seki_cell *cell =
        &genotype->cells[seki_random_below(random, (uint32_t)genotype->cell_count)];
    struct seki_edge *edge = &cell->edges[seki_random_below(random, (uint32_t)cell->edge_count)];
    enum seki_op op;

    do {
        op = random_op(genotype->space, random);
    } while (op == edge->op);
    edge->op = op;
}

void seki_genotype_mutate(const struct seki_genotype *parent, struct seki_random *random,
                          struct seki_genotype *child)
{
    *child = *parent;
    if (parent->space == SEKI_DARTS && seki_random_below(random, 2) == 1 &&
        mutate_input(child, random))
        return;
    mutate_op(child, random);
}
