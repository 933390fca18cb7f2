/*
 * effects_internal.h - strict genotypes as 64-bit codes, for effects.c.
 *
 * The code of a genotype is exact, the order of a node's inputs apart: two genotypes have one code
 * where they have the same edges, and only there. It has a field of bits for each place that edges
 * stand in: a node of darts, which two edges lead to, or an edge of nas201.
 */
#ifndef SEKI_EFFECTS_INTERNAL_H
#define SEKI_EFFECTS_INTERNAL_H

#include "genotype/genotype.h"

#define SEKI_MAX_PLACES (2 * SEKI_DARTS_NODES)

struct seki_place {
    int cell, node;
    int input;        /* of a nas201 edge; 0 for darts */
    int shift, width; /* of the field, in bits */
    int edge_count; /* edges that can stand there: by input, then operation in the space's order */
    int first;      /* how many edges the places before have together */
};

struct seki_code {
    enum seki_space space;
    const enum seki_op *ops;
    int op_count;
    struct seki_place places[SEKI_MAX_PLACES]; /* by cell and node, then input */
    int place_count;
};

/* A genotype with one edge taken out of a place. */
struct seki_taken {
    uint64_t key; /* equal where all else is equal; keys of different places are not comparable */
    int edge;     /* the edge, 0 .. edge_count - 1 */
};

void seki_code_init(struct seki_code *code, enum seki_space space);
uint64_t seki_code_of(const struct seki_code *code, const struct seki_genotype *genotype);
/* Takes each edge out of a place of the genotype of that code; how many: 2 (darts), 1 (nas201). */
int seki_code_take(const struct seki_code *code, const struct seki_place *place, uint64_t genotype,
                   struct seki_taken taken[2]);
struct seki_edge seki_code_edge(const struct seki_code *code, const struct seki_place *place,
                                int edge);

#endif
