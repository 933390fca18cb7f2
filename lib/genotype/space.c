/*
 * space.c - the names of search spaces and operations, and which space has which.
 */
#include "genotype/genotype.h"

#include <string.h>

#include "genotype/genotype_internal.h"

static const char *const space_names[] = {[SEKI_DARTS] = "darts", [SEKI_NAS201] = "nas201"};

static const char *const op_names[SEKI_OP_COUNT] = {
    [SEKI_NONE] = "none",
    [SEKI_MAX_POOL_3X3] = "max_pool_3x3",
    [SEKI_AVG_POOL_3X3] = "avg_pool_3x3",
    [SEKI_SKIP_CONNECT] = "skip_connect",
    [SEKI_SEP_CONV_3X3] = "sep_conv_3x3",
    [SEKI_SEP_CONV_5X5] = "sep_conv_5x5",
    [SEKI_DIL_CONV_3X3] = "dil_conv_3x3",
    [SEKI_DIL_CONV_5X5] = "dil_conv_5x5",
    [SEKI_SEP_CONV_7X7] = "sep_conv_7x7",
    [SEKI_CONV_7X1_1X7] = "conv_7x1_1x7",
    [SEKI_NOR_CONV_1X1] = "nor_conv_1x1",
    [SEKI_NOR_CONV_3X3] = "nor_conv_3x3",
};

/* DARTS's PRIMITIVES without `none`, which its derived cells never have. */
static const enum seki_op darts_ops[] = {
    SEKI_MAX_POOL_3X3, SEKI_AVG_POOL_3X3, SEKI_SKIP_CONNECT, SEKI_SEP_CONV_3X3,
    SEKI_SEP_CONV_5X5, SEKI_DIL_CONV_3X3, SEKI_DIL_CONV_5X5,
};

/* In the order of NAS-Bench-201's own list. */
static const enum seki_op nas201_ops[] = {
    SEKI_NONE, SEKI_SKIP_CONNECT, SEKI_NOR_CONV_1X1, SEKI_NOR_CONV_3X3, SEKI_AVG_POOL_3X3,
};

const char *seki_space_name(enum seki_space space)
{
    return space_names[space];
}

int seki_space_parse(const char *name, enum seki_space *space, struct seki_error *error)
{
    for (int i = 0; i < (int)(sizeof space_names / sizeof space_names[0]); i++) {
        if (strcmp(name, space_names[i]) == 0) {
            *space = (enum seki_space)i;
            return 0;
        }
    }
    return seki_fail(error, SEKI_BAD_INPUT, "genotype",
                     "space '%.40s' is not known: expected darts or nas201", name);
}

const enum seki_op *seki_space_ops(enum seki_space space, int *count)
{
    if (space == SEKI_DARTS) {
        *count = (int)(sizeof darts_ops / sizeof darts_ops[0]);
        return darts_ops;
    }
    *count = (int)(sizeof nas201_ops / sizeof nas201_ops[0]);
    return nas201_ops;
}

bool seki_space_has_op(enum seki_space space, enum seki_op op, enum seki_strictness strictness)
{
    int count;
    const enum seki_op *ops = seki_space_ops(space, &count);

    for (int i = 0; i < count; i++) {
        if (ops[i] == op)
            return true;
    }
    return strictness == SEKI_LAX && space == SEKI_DARTS &&
           (op == SEKI_NONE || op == SEKI_SEP_CONV_7X7 || op == SEKI_CONV_7X1_1X7);
}

const char *seki_op_name(enum seki_op op)
{
    return op_names[op];
}

int seki_op_parse(const char *name, size_t length)
{
    for (int op = 0; op < SEKI_OP_COUNT; op++) {
        if (strlen(op_names[op]) == length && memcmp(name, op_names[op], length) == 0)
            return op;
    }
    return -1;
}
