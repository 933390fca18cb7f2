/*
 * genotype.h - search spaces and the architectures in them: parse, print, validate, identity,
 * sampling, mutation.
 *
 * A genotype is a plain value: it is copied by assignment, and nothing in it is to be freed.
 *
 * Spaces. `darts` (Liu et al. 2019): two cells, normal and reduce; states 0 and 1 are the outputs
 * of the cell before the last and of the last cell, the nodes follow as states 2, 3, …; a node is
 * the sum of two edges; the cell's output is the concatenation of the nodes that `concat` names.
 * `nas201` (Dong, Yang 2020): one cell; state 0 is its input, the nodes are states 1..3, each the
 * sum of one edge from every earlier state; the cell's output is state 3.
 */
#ifndef SEKI_GENOTYPE_H
#define SEKI_GENOTYPE_H

#include "base/base.h"

enum seki_space { SEKI_DARTS, SEKI_NAS201 };

/* Operations by the names that the field's code uses. The first eight are DARTS's in the order
 * of its PRIMITIVES; two more occur in published DARTS-style genotypes (NASNet, AmoebaNet); then
 * those which only nas201 has. nas201 uses none, skip_connect and avg_pool_3x3 too. */
enum seki_op {
    SEKI_NONE,
    SEKI_MAX_POOL_3X3,
    SEKI_AVG_POOL_3X3,
    SEKI_SKIP_CONNECT,
    SEKI_SEP_CONV_3X3,
    SEKI_SEP_CONV_5X5,
    SEKI_DIL_CONV_3X3,
    SEKI_DIL_CONV_5X5,
    SEKI_SEP_CONV_7X7,
    SEKI_CONV_7X1_1X7,
    SEKI_NOR_CONV_1X1,
    SEKI_NOR_CONV_3X3,
    SEKI_OP_COUNT
};

enum { SEKI_NORMAL, SEKI_REDUCE }; /* indices of a DARTS genotype's cells */

#define SEKI_MAX_NODES    16
#define SEKI_MAX_EDGES    (2 * SEKI_MAX_NODES)
#define SEKI_DARTS_NODES  4 /* nodes a cell in a search */
#define SEKI_NAS201_EDGES 6

struct seki_edge {
    enum seki_op op;
    int input; /* state it reads, < node */
    int node;  /* state it adds to */
};

struct seki_cell {
    int inputs; /* states that are the cell's inputs: 2 (darts) or 1 (nas201) */
    int nodes;  /* states inputs .. inputs + nodes - 1 */
    int edge_count;
    struct seki_edge edges[SEKI_MAX_EDGES]; /* by node, in the notation's order */
    int concat_count;
    int concat[SEKI_MAX_NODES]; /* nodes, in the notation's order; nas201: state 3 alone */
};

struct seki_genotype {
    enum seki_space space;
    int cell_count; /* 2 (darts) or 1 (nas201) */
    struct seki_cell cells[2];
};

/* What a parser accepts. */
enum seki_strictness {
    SEKI_STRICT, /* what a search proposes: darts: 4 nodes, the space's eight operations without
                  * `none`, two distinct inputs a node, all nodes concatenated in order. nas201: any
                  * of its 15,625 strings */
    SEKI_LAX,    /* what PyTorch's model reads besides: repeated inputs, `none`, 1..16 nodes, any
                  * nodes concatenated in any order, each once, sep_conv_7x7, conv_7x1_1x7 */
};

#define SEKI_ID_LENGTH     16
#define SEKI_GENOTYPE_TEXT 4096 /* room for any genotype printed, with its NUL */

const char *seki_space_name(enum seki_space space);
int seki_space_parse(const char *name, enum seki_space *space, struct seki_error *error);
/* Operations that a search in this space draws from, in its canonical order. */
const enum seki_op *seki_space_ops(enum seki_space space, int *count);
const char *seki_op_name(enum seki_op op);
/* The operation of that name, or -1. */
int seki_op_parse(const char *name, size_t length);

/*
 * Reads either notation from `text` (darts: the Python literal, either kind of quote, any spacing,
 * lists or tuples, `range(2, 6)`; nas201: |op~0|+|op~0|op~1|+|op~0|op~1|op~2|) and validates it.
 * The whole text must be a genotype, white space apart. Errors (SEKI_BAD_INPUT, "genotype") name
 * cell, node and input, or the column where the notation breaks.
 */
int seki_genotype_parse(const char *text, enum seki_strictness strictness,
                        struct seki_genotype *genotype, struct seki_error *error);
/* Validates a genotype that was put together otherwise (a reply's JSON). */
int seki_genotype_validate(const struct seki_genotype *genotype, enum seki_strictness strictness,
                           struct seki_error *error);
/* The canonical notation, which parses to an equal genotype. */
void seki_genotype_print(const struct seki_genotype *genotype, char text[SEKI_GENOTYPE_TEXT]);
bool seki_genotype_equal(const struct seki_genotype *a, const struct seki_genotype *b);

/*
 * 16 hex digits, equal for genotypes that compute the same function: order of a node's inputs,
 * renumbered nodes, `none`, dead parts make no difference; an operation on zero is zero;
 * skip_connect is read as identity where it is one (sums flattened and sorted), which in a
 * reduction cell's edges from its inputs, of stride 2, it is not. The order of a concatenation's
 * parts makes none either: the next layer's weights follow it. Whether a value used twice is one
 * node, or two nodes alike with weights of their own, makes no difference, as in NAS-Bench-201's
 * own rule. All of nas201 has 4,930 ids.
 */
void seki_genotype_id(const struct seki_genotype *genotype, char id[SEKI_ID_LENGTH + 1]);
/* NAS-Bench-201's own, coarser rule (to_unique_str with consider_zero=True; 6,466 classes in the
 * whole space): its string for this genotype, for comparison with that benchmark. */
void seki_nas201_unique_string(const struct seki_genotype *genotype, char text[SEKI_GENOTYPE_TEXT]);

/* Uniform over the strict genotypes of the space. */
void seki_genotype_sample(enum seki_space space, struct seki_random *random,
                          struct seki_genotype *genotype);
/* Changes one operation or, in darts, one input, to a different value; equal chance for either kind
 * (Real et al. 2019: hidden state or op mutation); strict stays strict. nas201: one operation. */
void seki_genotype_mutate(const struct seki_genotype *parent, struct seki_random *random,
                          struct seki_genotype *child);

/* ---- One edge apart ----------------------------------------------------------------------- */

/* An edge of a cell replaced by another one into the same node. */
struct seki_change {
    int cell;
    struct seki_edge before, after;
};

/* How many strict genotypes differ from a strict one in one edge: it has another operation or, in
 * darts, another input. No two of them are equal. nas201: 24; darts: 120. */
int seki_genotype_neighbours(const struct seki_genotype *genotype);
/* The index-th of them, 0 .. neighbours - 1: by cell, edge, then operations in the space's order,
 * then inputs ascending. What has changed goes into *change, which may be NULL. */
void seki_genotype_neighbour(const struct seki_genotype *genotype, int index,
                             struct seki_genotype *neighbour, struct seki_change *change);
/*
 * The edges by which two genotypes of one shape (space, cells, nodes) differ, strict or not; the
 * order of a node's inputs makes no difference. Within a node equal edges are matched first, then
 * edges with equal input, then the others in order. Returns how many there are, of which the first
 * `max` are filled in, by cell and node; -1 where the shapes differ. Concatenations are not
 * compared.
 */
int seki_genotype_changes(const struct seki_genotype *a, const struct seki_genotype *b,
                          struct seki_change *changes, int max);

#endif
