/*
 * effects_code.c - strict genotypes as 64-bit codes.
 *
 * nas201: 6 fields of 3 bits, the operation's number. darts: the two edges into node n as a number
 * below C(n, 2) * 7^2: 49, 147, 294 and 490 for nodes 2..5, which take 6 + 8 + 9 + 9 bits, so that
 * two cells fill 64. With one edge taken out the field holds the other one as input * 7 + op, below
 * 14, 21, 28 and 35.
 */
#include "record/effects_internal.h"

static void place_nas201(struct seki_code *code)
{
    for (int node = 1; node <= 3; node++) {
        for (int input = 0; input < node; input++) {
            int i = code->place_count++;

            code->places[i] =
                (struct seki_place){0, node, input, 3 * i, 3, code->op_count, i * code->op_count};
        }
    }
}

static void place_darts(struct seki_code *code)
{
    static const int widths[SEKI_DARTS_NODES] = {6, 8, 9, 9};
    int shift = 0, first = 0;

    for (int cell = 0; cell < 2; cell++) {
        for (int i = 0; i < SEKI_DARTS_NODES; i++) {
            int node = 2 + i, edge_count = node * code->op_count;

            code->places[code->place_count++] =
                (struct seki_place){cell, node, 0, shift, widths[i], edge_count, first};
            shift += widths[i];
            first += edge_count;
        }
    }
}

void seki_code_init(struct seki_code *code, enum seki_space space)
{
    *code = (struct seki_code){.space = space};
    code->ops = seki_space_ops(space, &code->op_count);
    if (space == SEKI_NAS201)
        place_nas201(code);
    else
        place_darts(code);
}

static int op_index(const struct seki_code *code, enum seki_op op)
{
    int i = 0;

    while (i < code->op_count && code->ops[i] != op)
        i++;
    if (i == code->op_count)
        SEKI_BUG("a genotype that is not strict has no code");
    return i;
}

/* The pair of inputs a < b is number b (b - 1) / 2 + a. */
static uint64_t pair_field(const struct seki_code *code, const struct seki_edge *a,
                           const struct seki_edge *b)
{
    const struct seki_edge *low = a->input < b->input ? a : b, *high = low == a ? b : a;
    int inputs = high->input * (high->input - 1) / 2 + low->input;

    return (uint64_t)((inputs * code->op_count + op_index(code, low->op)) * code->op_count +
                      op_index(code, high->op));
}

uint64_t seki_code_of(const struct seki_code *code, const struct seki_genotype *genotype)
{
    uint64_t result = 0;

    for (int i = 0; i < code->place_count; i++) {
        const struct seki_place *place = &code->places[i];
        const struct seki_edge *edges = genotype->cells[place->cell].edges;
        uint64_t field;

        if (code->space == SEKI_NAS201)
            field = (uint64_t)op_index(code, edges[i].op);
        else
            field =
                pair_field(code, &edges[2 * (place->node - 2)], &edges[2 * (place->node - 2) + 1]);
        result |= field << place->shift;
    }
    return result;
}

int seki_code_take(const struct seki_code *code, const struct seki_place *place, uint64_t genotype,
                   struct seki_taken taken[2])
{
    uint64_t mask = ((UINT64_C(1) << place->width) - 1) << place->shift;
    int field = (int)((genotype & mask) >> place->shift), ops = code->op_count;
    int inputs = field / (ops * ops), high = 1, low_edge, high_edge;

    if (code->space == SEKI_NAS201) {
        taken[0] = (struct seki_taken){genotype & ~mask, field};
        return 1;
    }
    while (high * (high + 1) / 2 <= inputs)
        high++;
    low_edge = (inputs - high * (high - 1) / 2) * ops + field / ops % ops;
    high_edge = high * ops + field % ops;
    taken[0] =
        (struct seki_taken){(genotype & ~mask) | (uint64_t)high_edge << place->shift, low_edge};
    taken[1] =
        (struct seki_taken){(genotype & ~mask) | (uint64_t)low_edge << place->shift, high_edge};
    return 2;
}

struct seki_edge seki_code_edge(const struct seki_code *code, const struct seki_place *place,
                                int edge)
{
    int input = code->space == SEKI_NAS201 ? place->input : edge / code->op_count;

    return (struct seki_edge){code->ops[edge % code->op_count], input, place->node};
}
