/*
 * neighbour.c - genotypes that are one edge apart, and the edges by which two genotypes differ.
 */
#include "genotype/genotype.h"

#include "genotype/genotype_internal.h"

/* ---- Neighbours --------------------------------------------------------------------------- */

int seki_other_inputs(const struct seki_cell *cell, int index, int inputs[SEKI_MAX_NODES + 2])
{
    const struct seki_edge *edge = &cell->edges[index];
    int sibling = cell->edges[index ^ 1].input; /* a darts node has edges 2i and 2i + 1 */
    int count = 0;

    for (int state = 0; state < edge->node; state++) {
        if (state != edge->input && state != sibling)
            inputs[count++] = state;
    }
    return count;
}

/* Edges that could stand in the place of edge `index` of the cell; how many. */
static int other_edges(enum seki_space space, const struct seki_cell *cell, int index,
                       struct seki_edge others[SEKI_OP_COUNT + SEKI_MAX_NODES + 2])
{
    const struct seki_edge *edge = &cell->edges[index];
    int inputs[SEKI_MAX_NODES + 2], op_count, input_count, count = 0;
    const enum seki_op *ops = seki_space_ops(space, &op_count);

    for (int i = 0; i < op_count; i++) {
        if (ops[i] != edge->op)
            others[count++] = (struct seki_edge){ops[i], edge->input, edge->node};
    }
    input_count = space == SEKI_DARTS ? seki_other_inputs(cell, index, inputs) : 0;
    for (int i = 0; i < input_count; i++)
        others[count++] = (struct seki_edge){edge->op, inputs[i], edge->node};
    return count;
}

int seki_genotype_neighbours(const struct seki_genotype *genotype)
{
    struct seki_edge others[SEKI_OP_COUNT + SEKI_MAX_NODES + 2];
    int count = 0;

    for (int c = 0; c < genotype->cell_count; c++) {
        for (int i = 0; i < genotype->cells[c].edge_count; i++)
            count += other_edges(genotype->space, &genotype->cells[c], i, others);
    }
    return count;
}

void seki_genotype_neighbour(const struct seki_genotype *genotype, int index,
                             struct seki_genotype *neighbour, struct seki_change *change)
{
    struct seki_edge others[SEKI_OP_COUNT + SEKI_MAX_NODES + 2];

    for (int c = 0; index >= 0 && c < genotype->cell_count; c++) {
        const struct seki_cell *cell = &genotype->cells[c];

        for (int i = 0; i < cell->edge_count; i++) {
            int count = other_edges(genotype->space, cell, i, others);

            if (index >= count) {
                index -= count;
                continue;
            }
            if (change != NULL)
                *change = (struct seki_change){c, cell->edges[i], others[index]};
            *neighbour = *genotype;
            neighbour->cells[c].edges[i] = others[index];
            return;
        }
    }
    SEKI_BUG("a neighbour's index is not below the number of neighbours");
}

/* ---- Differences -------------------------------------------------------------------------- */

static bool same_shape(const struct seki_genotype *a, const struct seki_genotype *b)
{
    if (a->space != b->space || a->cell_count != b->cell_count)
        return false;
    for (int c = 0; c < a->cell_count; c++) {
        const struct seki_cell *x = &a->cells[c], *y = &b->cells[c];

        if (x->inputs != y->inputs || x->nodes != y->nodes || x->edge_count != y->edge_count)
            return false;
        for (int i = 0; i < x->edge_count; i++) {
            if (x->edges[i].node != y->edges[i].node)
                return false;
        }
    }
    return true;
}

/* What two edges into one node must have in common to be matched, in the order of the attempts. */
enum likeness { EQUAL, EQUAL_INPUT, ANY, LIKENESS_COUNT };

static bool alike(const struct seki_edge *a, const struct seki_edge *b, enum likeness likeness)
{
    return likeness == ANY || (a->input == b->input && (likeness != EQUAL || a->op == b->op));
}

/* partner[i]: the edge of b that edge i of a is matched with, for the edges from .. to - 1, which
 * lead to one node. */
static void match_node(const struct seki_cell *a, const struct seki_cell *b, int from, int to,
                       int partner[SEKI_MAX_EDGES])
{
    bool taken[SEKI_MAX_EDGES] = {false};

    for (int i = from; i < to; i++)
        partner[i] = -1;
    for (int likeness = 0; likeness < LIKENESS_COUNT; likeness++) {
        for (int i = from; i < to; i++) {
            for (int j = from; partner[i] < 0 && j < to; j++) {
                if (taken[j] || !alike(&a->edges[i], &b->edges[j], (enum likeness)likeness))
                    continue;
                partner[i] = j;
                taken[j] = true;
            }
        }
    }
}

static void match_cell(const struct seki_cell *a, const struct seki_cell *b,
                       int partner[SEKI_MAX_EDGES])
{
    int to;

    for (int from = 0; from < a->edge_count; from = to) {
        to = from + 1;
        while (to < a->edge_count && a->edges[to].node == a->edges[from].node)
            to++;
        match_node(a, b, from, to, partner);
    }
}

int seki_genotype_changes(const struct seki_genotype *a, const struct seki_genotype *b,
                          struct seki_change *changes, int max)
{
    int partner[SEKI_MAX_EDGES], count = 0;

    if (!same_shape(a, b))
        return -1;
    for (int c = 0; c < a->cell_count; c++) {
        match_cell(&a->cells[c], &b->cells[c], partner);
        for (int i = 0; i < a->cells[c].edge_count; i++) {
            const struct seki_edge *before = &a->cells[c].edges[i];
            const struct seki_edge *after = &b->cells[c].edges[partner[i]];

            if (alike(before, after, EQUAL))
                continue;
            if (count < max)
                changes[count] = (struct seki_change){c, *before, *after};
            count++;
        }
    }
    return count;
}
