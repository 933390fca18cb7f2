/*
 * dot.c - a genotype as a digraph in DOT, drawn as the field's papers draw cells: from the two
 * input states on the left to the concatenation on the right (Liu et al. 2019, figures 4 and 5), or
 * NAS-Bench-201's four states (Dong, Yang 2020, figure 1). All names come from the tables of
 * operations: nothing of a record's text is drawn.
 */
#include "draw.h"

#define FONT "fontname=\"Helvetica\""

/* How an edge looks, by what its operation is. */
static const char *edge_style(enum seki_op op)
{
    switch (op) {
    case SEKI_NONE:
        return "color=\"#b8b8b8\", fontcolor=\"#8a8a8a\", style=dotted";
    case SEKI_SKIP_CONNECT:
        return "color=\"#5a5a5a\", fontcolor=\"#5a5a5a\", style=dashed";
    case SEKI_MAX_POOL_3X3:
    case SEKI_AVG_POOL_3X3:
        return "color=\"#2f7d4f\", fontcolor=\"#2f7d4f\"";
    default:
        return "color=\"#1f5a99\", fontcolor=\"#1f5a99\"";
    }
}

static bool is_concatenated(const struct seki_cell *cell, int state)
{
    for (int i = 0; i < cell->concat_count; i++) {
        if (cell->concat[i] == state)
            return true;
    }
    return false;
}

static bool is_read(const struct seki_cell *cell, int state)
{
    for (int i = 0; i < cell->edge_count; i++) {
        if (cell->edges[i].input == state)
            return true;
    }
    return false;
}

/* `prefix` keeps the two cells' nodes apart. */
static void put_darts_states(struct seki_buffer *out, const char *prefix,
                             const struct seki_cell *cell)
{
    seki_buffer_printf(out,
                       "    %s0 [label=<<I>c</I><SUB>k-2</SUB>>, fillcolor=\"#dcebd8\"];\n"
                       "    %s1 [label=<<I>c</I><SUB>k-1</SUB>>, fillcolor=\"#dcebd8\"];\n"
                       "    %sk [label=<<I>c</I><SUB>k</SUB>>, fillcolor=\"#f5e7c4\"];\n",
                       prefix, prefix, prefix);
    for (int i = 0; i < cell->nodes; i++) {
        int state = cell->inputs + i;
        bool dead = !is_concatenated(cell, state) && !is_read(cell, state);

        seki_buffer_printf(out, "    %s%d [label=\"%d\", fillcolor=\"#d9e6f2\"%s];\n", prefix,
                           state, i, dead ? ", style=\"filled,dashed\"" : "");
    }
}

static void put_nas201_states(struct seki_buffer *out, const char *prefix,
                              const struct seki_cell *cell)
{
    int last = cell->inputs + cell->nodes - 1;

    for (int state = 0; state <= last; state++) {
        const char *fill = state == 0 ? "#dcebd8" : state == last ? "#f5e7c4" : "#d9e6f2";

        seki_buffer_printf(out, "    %s%d [label=\"%d\", fillcolor=\"%s\"];\n", prefix, state,
                           state, fill);
    }
}

static void put_edges(struct seki_buffer *out, const char *prefix, const struct seki_cell *cell)
{
    for (int i = 0; i < cell->edge_count; i++) {
        const struct seki_edge *edge = &cell->edges[i];

        seki_buffer_printf(out, "    %s%d -> %s%d [label=\" %s \", %s];\n", prefix, edge->input,
                           prefix, edge->node, seki_op_name(edge->op), edge_style(edge->op));
    }
}

static void put_cell(struct seki_buffer *out, const char *prefix, const char *title,
                     enum seki_space space, const struct seki_cell *cell)
{
    seki_buffer_printf(out, "  subgraph cluster_%s {\n    label=\"%s\"; margin=12;\n", prefix,
                       title);
    if (space == SEKI_NAS201)
        put_nas201_states(out, prefix, cell);
    else
        put_darts_states(out, prefix, cell);
    put_edges(out, prefix, cell);
    for (int i = 0; space == SEKI_DARTS && i < cell->concat_count; i++)
        seki_buffer_printf(out, "    %s%d -> %sk [color=\"#9a9a9a\"];\n", prefix, cell->concat[i],
                           prefix);
    seki_buffer_puts(out, "  }\n");
}

int draw_dot(const struct seki_genotype *genotype, enum which_cell which, struct seki_buffer *out,
             struct seki_error *error)
{
    char id[SEKI_ID_LENGTH + 1];

    if (genotype->space == SEKI_NAS201 && which == REDUCE_CELL)
        return seki_fail(error, SEKI_BAD_INPUT, "cell",
                         "a nas201 genotype has one cell and no reduction cell");
    seki_genotype_id(genotype, id);
    seki_buffer_printf(out,
                       "digraph \"%s\" {\n"
                       "  rankdir=LR; nodesep=0.3; ranksep=0.4; bgcolor=\"transparent\";\n"
                       "  graph [" FONT ", fontsize=13, color=\"#d0d0d0\", labeljust=l];\n"
                       "  node [" FONT ", fontsize=13, shape=box, style=filled, color=\"#4a4a4a\", "
                       "height=0.35, width=0.4, margin=\"0.09,0.04\"];\n"
                       "  edge [" FONT ", fontsize=10, arrowsize=0.6];\n",
                       id);
    if (genotype->space == SEKI_NAS201) {
        put_cell(out, "n", "cell", SEKI_NAS201, &genotype->cells[0]);
    } else {
        /* From left to right, dot puts what comes later higher up. */
        if (which != NORMAL_CELL)
            put_cell(out, "r", "reduction cell", SEKI_DARTS, &genotype->cells[SEKI_REDUCE]);
        if (which != REDUCE_CELL)
            put_cell(out, "n", "normal cell", SEKI_DARTS, &genotype->cells[SEKI_NORMAL]);
    }
    if (seki_buffer_puts(out, "}\n") < 0 || out->failed)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    return 0;
}
