/* ban.c - operations that are taken from the schema, so that a reply is another one than before. */
#include "llm/llm.h"
#include "llm/llm_internal.h"

/* The operation that a strict genotype has in a slot of the schema. */
static enum seki_op op_in(const struct seki_genotype *genotype, int cell, int slot)
{
    const struct seki_cell *from = &genotype->cells[cell];
    const struct seki_edge *edges;
    bool swapped;

    if (genotype->space == SEKI_NAS201) {
        const struct seki_edge *wanted = &seki_nas201_edges[slot];

        for (int i = 0; i < from->edge_count; i++)
            if (from->edges[i].input == wanted->input && from->edges[i].node == wanted->node)
                return from->edges[i].op;
        SEKI_BUG("a nas201 genotype without one of its edges");
    }
    edges = &from->edges[slot & ~1];
    swapped = edges[0].input > edges[1].input; /* the smaller state first, as the schema has it */
    return edges[(slot & 1) != swapped].op;
}

int seki_ban_draw(const struct seki_genotype *genotype, const struct seki_ban *bans, int count,
                  struct seki_random *random, struct seki_ban *ban)
{
    struct seki_ban free[2 * SEKI_MAX_EDGES];
    uint32_t free_count = 0;

    for (int cell = 0; cell < genotype->cell_count; cell++) {
        for (int slot = 0; slot < genotype->cells[cell].edge_count; slot++) {
            bool taken = false;

            for (int i = 0; i < count; i++)
                taken |= bans[i].cell == cell && bans[i].slot == slot;
            if (!taken)
                free[free_count++] = (struct seki_ban){cell, slot, op_in(genotype, cell, slot)};
        }
    }
    if (free_count == 0)
        return 0;
    *ban = free[seki_random_below(random, free_count)];
    return 1;
}

void seki_ban_print(enum seki_space space, const struct seki_ban *ban, char *text, size_t size)
{
    if (space == SEKI_NAS201)
        snprintf(text, size, "from_%d_to_%d must not be %s this time",
                 seki_nas201_edges[ban->slot].input, seki_nas201_edges[ban->slot].node,
                 seki_op_name(ban->op));
    else
        snprintf(text, size, "op_%d of node_%d in the %s cell must not be %s this time",
                 ban->slot % 2 + 1, ban->slot / 2 + 2,
                 ban->cell == SEKI_NORMAL ? "normal" : "reduction", seki_op_name(ban->op));
}
