/* lead.c - a model that gives back what is known is led to what is untried. */
#include "propose.h"

/* The untried operations of one edge of a base, drawn at random among the edges that have any. */
static bool narrow_to(const struct run *run, const struct seki_genotype *base,
                      struct seki_random *random, struct seki_narrowing *narrowing)
{
    unsigned ops[2][SEKI_MAX_EDGES] = {{0}};
    int edges = 0, chosen;
    struct seki_genotype neighbour = *base;
    char id[SEKI_ID_LENGTH + 1];
    int count;
    const enum seki_op *all = seki_space_ops(base->space, &count);

    for (int c = 0; c < base->cell_count; c++) {
        for (int e = 0; e < base->cells[c].edge_count; e++) {
            struct seki_edge *edge = &neighbour.cells[c].edges[e];

            for (int i = 0; i < count; i++) {
                edge->op = all[i];
                seki_genotype_id(&neighbour, id);
                if (!seen_has(run->seen, id) && check_constraints(run, &neighbour, NULL) == 0)
                    ops[c][e] |= 1U << all[i];
            }
            edge->op = base->cells[c].edges[e].op;
            ops[c][e] &= ~(1U << edge->op);
            edges += ops[c][e] != 0;
        }
    }
    if (edges == 0)
        return false;
    chosen = (int)seki_random_below(random, (uint32_t)edges);
    for (int c = 0; c < base->cell_count; c++)
        for (int e = 0; e < base->cells[c].edge_count; e++)
            if (ops[c][e] != 0 && chosen-- == 0)
                *narrowing = (struct seki_narrowing){*base, c, e, ops[c][e]};
    return true;
}

/* A model that was told once that a reply is known, and gives another known one, is led: to a
 * neighbour of a parent, or where all of those are tried, of what it gave itself. */
void lead_task(const struct run *run, struct task *task)
{
    struct seki_narrowing narrowing;
    struct seki_random random;

    if (++task->duplicates < 2)
        return;
    seki_random_seed(&random, run->settings.seed,
                     seki_hash_string("narrow") + task->number +
                         ((uint64_t)task->duplicates << 32));
    for (int i = 0; i < task->parent_count; i++) {
        if (narrow_to(run, &task->parents[i].genotype, &random, &narrowing)) {
            seki_chat_narrow(task->chat, &narrowing);
            return;
        }
    }
    if (narrow_to(run, &seki_chat_reply(task->chat)->genotype, &random, &narrowing))
        seki_chat_narrow(task->chat, &narrowing);
}
