/*
 * validate.c - which genotypes a search may propose (strict) and which the published models read
 * besides (lax). The messages go to people and, in a repair request, to a language model: they name
 * the cell, the node and the input by the numbers that the notation has.
 */
#include "genotype/genotype.h"

#include <stdio.h>
#include <string.h>

#include "genotype/genotype_internal.h"

struct context {
    const struct seki_genotype *genotype;
    const struct seki_cell *cell;
    const char *name; /* "normal cell: ", "reduce cell: ", "" for nas201 */
    enum seki_strictness strictness;
    struct seki_error *error;
};

#define CODE SEKI_BAD_INPUT, "genotype"

/* "none, skip_connect, …" */
static void list_ops(enum seki_space space, char *text, size_t size)
{
    int count;
    const enum seki_op *ops = seki_space_ops(space, &count);
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < count && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s", i == 0 ? "" : ", ",
                                 seki_op_name(ops[i]));
    }
}

static int check_op(const struct context *c, const struct seki_edge *edge)
{
    char names[256];

    if ((int)edge->op < 0 || edge->op >= SEKI_OP_COUNT)
        return seki_fail(c->error, CODE,
                         "%snode %d has an operation of number %d, which does not exist", c->name,
                         edge->node, (int)edge->op);
    if (seki_space_has_op(c->genotype->space, edge->op, c->strictness))
        return 0;
    list_ops(c->genotype->space, names, sizeof names);
    return seki_fail(c->error, CODE, "%snode %d has operation %s; a %s genotype has one of %s",
                     c->name, edge->node, seki_op_name(edge->op),
                     seki_space_name(c->genotype->space), names);
}

static int check_edge(const struct context *c, int index, int node)
{
    const struct seki_edge *edge = &c->cell->edges[index];

    if (edge->node != node)
        return seki_fail(c->error, CODE, "%sedge %d leads to node %d, but it belongs to node %d",
                         c->name, index, edge->node, node);
    if (edge->input < 0 || edge->input >= node)
        return seki_fail(c->error, CODE, "%snode %d takes input %d, but only 0..%d exist", c->name,
                         node, edge->input, node - 1);
    return check_op(c, edge);
}

static int check_concat(const struct context *c)
{
    const struct seki_cell *cell = c->cell;
    int last = cell->inputs + cell->nodes - 1;
    bool seen[SEKI_MAX_NODES + 2] = {false};

    if (cell->concat_count < 1 || cell->concat_count > cell->nodes)
        return seki_fail(c->error, CODE, "%s%d nodes are concatenated; expected 1 to %d", c->name,
                         cell->concat_count, cell->nodes);
    for (int i = 0; i < cell->concat_count; i++) {
        int state = cell->concat[i];

        if (state < cell->inputs || state > last)
            return seki_fail(c->error, CODE, "%snode %d is concatenated, but only %d..%d exist",
                             c->name, state, cell->inputs, last);
        if (seen[state])
            return seki_fail(c->error, CODE, "%snode %d is concatenated twice", c->name, state);
        seen[state] = true;
    }
    return 0;
}

static int check_darts_strict(const struct context *c)
{
    const struct seki_cell *cell = c->cell;

    for (int i = 0; i < cell->nodes; i++) {
        if (cell->edges[2 * i].input == cell->edges[2 * i + 1].input)
            return seki_fail(c->error, CODE,
                             "%snode %d takes input %d twice; expected two distinct inputs",
                             c->name, cell->inputs + i, cell->edges[2 * i].input);
    }
    for (int i = 0; i < SEKI_DARTS_NODES; i++) {
        if (cell->concat_count != SEKI_DARTS_NODES || cell->concat[i] != 2 + i)
            return seki_fail(c->error, CODE,
                             "%sexpected all nodes concatenated in order: [2, 3, 4, 5]", c->name);
    }
    return 0;
}

static int check_darts_cell(const struct context *c)
{
    const struct seki_cell *cell = c->cell;

    if (cell->inputs != 2)
        return seki_fail(c->error, CODE, "%shas %d inputs; expected 2", c->name, cell->inputs);
    if (cell->nodes < 1 || cell->nodes > SEKI_MAX_NODES)
        return seki_fail(c->error, CODE, "%shas %d nodes; expected 1 to %d", c->name, cell->nodes,
                         SEKI_MAX_NODES);
    if (c->strictness == SEKI_STRICT && cell->nodes != SEKI_DARTS_NODES)
        return seki_fail(c->error, CODE, "%shas %d nodes; expected %d, which are %d pairs", c->name,
                         cell->nodes, SEKI_DARTS_NODES, 2 * SEKI_DARTS_NODES);
    if (cell->edge_count != 2 * cell->nodes)
        return seki_fail(c->error, CODE, "%shas %d edges; expected two for each of %d nodes",
                         c->name, cell->edge_count, cell->nodes);
    for (int i = 0; i < cell->edge_count; i++) {
        if (check_edge(c, i, 2 + i / 2) < 0)
            return -1;
    }
    if (c->strictness == SEKI_STRICT && check_darts_strict(c) < 0)
        return -1;
    return check_concat(c);
}

static int check_nas201_cell(const struct context *c)
{
    const struct seki_cell *cell = c->cell;

    if (cell->inputs != 1 || cell->nodes != SEKI_NAS201_NODES ||
        cell->edge_count != SEKI_NAS201_EDGES || cell->concat_count != 1 || cell->concat[0] != 3)
        return seki_fail(c->error, CODE, "a nas201 cell has 1 input, 3 nodes and 6 edges");
    for (int node = 1; node <= SEKI_NAS201_NODES; node++) {
        for (int input = 0; input < node; input++) {
            int index = seki_nas201_edge(input, node);

            if (check_edge(c, index, node) < 0)
                return -1;
            if (cell->edges[index].input != input)
                return seki_fail(c->error, CODE, "node %d takes input %d where input %d belongs",
                                 node, cell->edges[index].input, input);
        }
    }
    return 0;
}

int seki_genotype_validate(const struct seki_genotype *genotype, enum seki_strictness strictness,
                           struct seki_error *error)
{
    static const char *const names[] = {"normal cell: ", "reduce cell: "};
    struct context c = {genotype, NULL, "", strictness, error};

    if (genotype->space == SEKI_NAS201) {
        c.cell = &genotype->cells[0];
        if (genotype->cell_count != 1)
            return seki_fail(error, CODE, "a nas201 genotype has one cell, not %d",
                             genotype->cell_count);
        return check_nas201_cell(&c);
    }
    if (genotype->space != SEKI_DARTS || genotype->cell_count != 2)
        return seki_fail(error, CODE, "a darts genotype has two cells, not %d",
                         genotype->cell_count);
    for (int i = 0; i < 2; i++) {
        c.cell = &genotype->cells[i];
        c.name = names[i];
        if (check_darts_cell(&c) < 0)
            return -1;
    }
    return 0;
}

static bool cell_equal(const struct seki_cell *a, const struct seki_cell *b)
{
    if (a->inputs != b->inputs || a->nodes != b->nodes || a->edge_count != b->edge_count ||
        a->concat_count != b->concat_count)
        return false;
    for (int i = 0; i < a->edge_count; i++) {
        if (a->edges[i].op != b->edges[i].op || a->edges[i].input != b->edges[i].input ||
            a->edges[i].node != b->edges[i].node)
            return false;
    }
    return memcmp(a->concat, b->concat, (size_t)a->concat_count * sizeof a->concat[0]) == 0;
}

bool seki_genotype_equal(const struct seki_genotype *a, const struct seki_genotype *b)
{
    if (a->space != b->space || a->cell_count != b->cell_count)
        return false;
    for (int i = 0; i < a->cell_count; i++) {
        if (!cell_equal(&a->cells[i], &b->cells[i]))
            return false;
    }
    return true;
}
