/*
 * genotype_internal.h - what the files of lib/genotype share.
 */
#ifndef SEKI_GENOTYPE_INTERNAL_H
#define SEKI_GENOTYPE_INTERNAL_H

#include "genotype/genotype.h"

#define SEKI_NAS201_NODES 3

/* Whether a genotype of `space`, read with that strictness, may have `op`. */
bool seki_space_has_op(enum seki_space space, enum seki_op op, enum seki_strictness strictness);

/* Where an nas201 edge from state `input` to state `node` stands: 0-1, 0-2, 1-2, 0-3, 1-3, 2-3. */
static inline int seki_nas201_edge(int input, int node)
{
    return node * (node - 1) / 2 + input;
}

/* Inputs that a darts cell's edge `index` could have instead: states before its node but its own
 * and that of the node's other edge, ascending. How many; 0: a node 2 with two distinct inputs. */
int seki_other_inputs(const struct seki_cell *cell, int index, int inputs[SEKI_MAX_NODES + 2]);

#endif
