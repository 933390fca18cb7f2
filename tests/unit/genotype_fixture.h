/*
 * genotype_fixture.h - genotypes that several tests use.
 */
#ifndef GENOTYPE_FIXTURE_H
#define GENOTYPE_FIXTURE_H

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

#define DARTS_V2_NORMAL                                                                            \
    "normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), " \
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)]"
#define DARTS_V2_REDUCE                                                                            \
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), " \
    "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)]"
#define DARTS_V2                                                                                   \
    "Genotype(" DARTS_V2_NORMAL ", normal_concat=[2, 3, 4, 5], " DARTS_V2_REDUCE                   \
    ", reduce_concat=[2, 3, 4, 5])"

static inline struct seki_genotype parse(const char *text, enum seki_strictness strictness)
{
    struct seki_genotype genotype;
    struct seki_error error;

    if (seki_genotype_parse(text, strictness, &genotype, &error) < 0)
        fail_msg("%s\n%s", text, error.message);
    return genotype;
}

/* A darts genotype whose reduce cell is always the same and whose normal cell is given. */
static inline struct seki_genotype normal_cell(const char *pairs, const char *concat)
{
    char text[2048];

    snprintf(text, sizeof text,
             "Genotype(normal=[%s], normal_concat=%s, " DARTS_V2_REDUCE
             ", reduce_concat=[2, 3, 4, 5])",
             pairs, concat);
    return parse(text, SEKI_LAX);
}

/* The index-th of nas201's 15,625. */
#define NAS201_SIZE 15625

static inline struct seki_genotype nas201_at(int index)
{
    int count;
    const enum seki_op *ops = seki_space_ops(SEKI_NAS201, &count);
    struct seki_genotype genotype = {.space = SEKI_NAS201, .cell_count = 1};
    struct seki_cell *cell = &genotype.cells[0];

    cell->inputs = cell->concat_count = 1;
    cell->nodes = cell->concat[0] = 3;
    cell->edge_count = SEKI_NAS201_EDGES;
    for (int node = 1, edge = 0; node <= 3; node++) {
        for (int input = 0; input < node; input++, edge++) {
            cell->edges[edge] = (struct seki_edge){ops[index % count], input, node};
            index /= count;
        }
    }
    return genotype;
}

#endif
