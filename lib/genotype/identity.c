/*
 * identity.c - the id: equal for genotypes that compute the same function of their inputs.
 *
 * Each state's value is a sum of terms, kept as a sorted multiset: a cell's input, or an operation
 * on a sum. `none` and an operation on the empty sum contribute no term; skip_connect of stride 1
 * contributes the terms of its source. The terms are named by 64-bit hashes built from their parts
 * (a Merkle tree), so that an expression whose written form would be exponential in the
 * number of nodes stays small. Two terms with equal names are two operations with weights of their
 * own, hence a count for each. Whether a value that is used twice is one node or two nodes alike
 * makes no difference to the id, which is NAS-Bench-201's view too.
 *
 * The hash of a row of words w1, w2, …: h = seed; for each, h = mix(h ^ w), with mix a bijection
 * that ends in SplitMix64's finaliser (Steele, Lea, Flood 2014). Operations enter by the FNV-1a
 * hash of their name, so that ids do not depend on the enumeration's order. Ids are kept in files:
 * a change of anything here changes them all; tests/unit/test_identity.c pins some.
 */
#include "genotype/genotype.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "genotype/genotype_internal.h"

/* Distinct terms of one sum: the edges' operations and the cell's inputs. */
#define MAX_TERMS (SEKI_MAX_EDGES + 2)

struct term {
    uint64_t name;
    uint64_t count; /* at most 2^16: a chain of 16 nodes doubles it each time */
};

struct sum {
    int length;
    struct term terms[MAX_TERMS]; /* by name, ascending */
};

static uint64_t mix(uint64_t hash, uint64_t word)
{
    uint64_t z = (hash ^ word) + UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void add_term(struct sum *sum, uint64_t name, uint64_t count)
{
    int at = sum->length;

    while (at > 0 && sum->terms[at - 1].name >= name)
        at--;
    if (at < sum->length && sum->terms[at].name == name) {
        sum->terms[at].count += count;
        return;
    }
    if (sum->length == MAX_TERMS)
        SEKI_BUG("a sum has more terms than a cell has edges");
    for (int i = sum->length; i > at; i--)
        sum->terms[i] = sum->terms[i - 1];
    sum->terms[at] = (struct term){name, count};
    sum->length++;
}

static uint64_t sum_hash(const struct sum *sum)
{
    uint64_t hash = seki_hash_string("sum");

    for (int i = 0; i < sum->length; i++)
        hash = mix(mix(hash, sum->terms[i].name), sum->terms[i].count);
    return mix(hash, (uint64_t)sum->length);
}

static void add_edge(struct sum *sums, const struct seki_edge *edge, bool identity_skip)
{
    const struct sum *source = &sums[edge->input];
    struct sum *target = &sums[edge->node];

    if (edge->op == SEKI_NONE || source->length == 0)
        return;
    if (edge->op == SEKI_SKIP_CONNECT && identity_skip) {
        for (int i = 0; i < source->length; i++)
            add_term(target, source->terms[i].name, source->terms[i].count);
        return;
    }
    add_term(target, mix(seki_hash_string(seki_op_name(edge->op)), sum_hash(source)), 1);
}

static int compare_words(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* The parts of a concatenation are hashed in sorted order; a part that is zero still has its width.
 */
static uint64_t cell_hash(const struct seki_cell *cell, bool reduction)
{
    struct sum sums[SEKI_MAX_NODES + 2] = {0};
    uint64_t parts[SEKI_MAX_NODES] = {0}, hash = seki_hash_string(reduction ? "reduce" : "normal");

    for (int state = 0; state < cell->inputs; state++)
        add_term(&sums[state], mix(seki_hash_string("input"), (uint64_t)state), 1);
    for (int i = 0; i < cell->edge_count; i++) {
        /* A reduction's edges from the cell's inputs have stride 2: FactorizedReduce. */
        bool identity = !(reduction && cell->edges[i].input < cell->inputs);

        add_edge(sums, &cell->edges[i], identity);
    }
    for (int i = 0; i < cell->concat_count; i++)
        parts[i] = sum_hash(&sums[cell->concat[i]]);
    qsort(parts, (size_t)cell->concat_count, sizeof parts[0], compare_words);
    for (int i = 0; i < cell->concat_count; i++)
        hash = mix(hash, parts[i]);
    return mix(hash, (uint64_t)cell->concat_count);
}

void seki_genotype_id(const struct seki_genotype *genotype, char id[SEKI_ID_LENGTH + 1])
{
    uint64_t hash = seki_hash_string(seki_space_name(genotype->space));

    for (int i = 0; i < genotype->cell_count; i++)
        hash = mix(hash, cell_hash(&genotype->cells[i], i == SEKI_REDUCE));
    snprintf(id, SEKI_ID_LENGTH + 1, "%016" PRIx64, hash);
}
