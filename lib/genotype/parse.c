/*
 * parse.c - reads the two notations: for darts the Python literal that DARTS code prints, for
 * nas201 its architecture string. One pass over the text with a cursor; the numbers and names are
 * checked against the space by seki_genotype_validate afterwards.
 */
#include "genotype/genotype.h"

#include <string.h>

#include "genotype/genotype_internal.h"

struct cursor {
    const char *text, *at;
    struct seki_error *error;
};

static int broken(const struct cursor *c, const char *expected)
{
    char found[24] = "the end";

    if (c->at[0] != '\0') {
        size_t length = strnlen(c->at, 16);

        found[0] = '\'';
        memcpy(found + 1, c->at, length);
        memcpy(found + 1 + length, "'", 2);
    }
    return seki_fail(c->error, SEKI_BAD_INPUT, "genotype", "column %zu: expected %s, found %s",
                     (size_t)(c->at - c->text) + 1, expected, found);
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static bool is_word(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_';
}

static void skip_space(struct cursor *c)
{
    while (is_space(*c->at))
        c->at++;
}

/* Takes `byte` if it is next, white space before it passed over. */
static bool take(struct cursor *c, char byte)
{
    skip_space(c);
    if (*c->at != byte)
        return false;
    c->at++;
    return true;
}

static int need(struct cursor *c, char byte)
{
    char expected[] = {'\'', byte, '\'', '\0'};

    return take(c, byte) ? 0 : broken(c, expected);
}

/* A decimal number of at most three digits, which is more than any state has. */
static int take_number(struct cursor *c, const char *what, int *value)
{
    int digits = 0;

    skip_space(c);
    *value = 0;
    while (c->at[digits] >= '0' && c->at[digits] <= '9' && digits < 4) {
        *value = *value * 10 + (c->at[digits] - '0');
        digits++;
    }
    if (digits == 0 || digits > 3 || (digits > 1 && c->at[0] == '0'))
        return broken(c, what);
    c->at += digits;
    return 0;
}

static int take_op(struct cursor *c, enum seki_op *op)
{
    size_t length = 0;
    int found;

    while (is_word(c->at[length]))
        length++;
    found = seki_op_parse(c->at, length);
    if (found < 0)
        return broken(c, "the name of an operation");
    *op = (enum seki_op)found;
    c->at += length;
    return 0;
}

/* The bracket that closes a Python list or tuple, or 0 where none is opened. */
static char take_opening(struct cursor *c)
{
    if (take(c, '['))
        return ']';
    return take(c, '(') ? ')' : '\0';
}

/* ('sep_conv_3x3', 1) */
static int take_pair(struct cursor *c, struct seki_edge *edge)
{
    char closing = take_opening(c), quote;

    if (closing == '\0')
        return broken(c, "a pair ('operation', input)");
    skip_space(c);
    quote = *c->at;
    if (quote != '\'' && quote != '"')
        return broken(c, "a quoted operation");
    c->at++;
    if (take_op(c, &edge->op) < 0)
        return -1;
    if (*c->at != quote)
        return broken(c, "the closing quote of the operation");
    c->at++;
    if (need(c, ',') < 0 || take_number(c, "the number of an input", &edge->input) < 0)
        return -1;
    take(c, ',');
    return need(c, closing);
}

static int take_pairs(struct cursor *c, struct seki_cell *cell)
{
    char closing = take_opening(c);

    if (closing == '\0')
        return broken(c, "a list of pairs ('operation', input)");
    while (!take(c, closing)) {
        struct seki_edge *edge = &cell->edges[cell->edge_count];

        if (cell->edge_count == SEKI_MAX_EDGES)
            return seki_fail(c->error, SEKI_BAD_INPUT, "genotype",
                             "column %zu: a cell has more than %d pairs",
                             (size_t)(c->at - c->text) + 1, SEKI_MAX_EDGES);
        if (take_pair(c, edge) < 0)
            return -1;
        edge->node = 2 + cell->edge_count / 2;
        cell->edge_count++;
        if (!take(c, ',') && *c->at != closing)
            return broken(c, "',' or the end of the list");
    }
    if (cell->edge_count % 2 != 0)
        return seki_fail(c->error, SEKI_BAD_INPUT, "genotype",
                         "column %zu: %d pairs are read, but each node takes two",
                         (size_t)(c->at - c->text), cell->edge_count);
    cell->nodes = cell->edge_count / 2;
    return 0;
}

static int add_concat(struct cursor *c, struct seki_cell *cell, int state)
{
    if (cell->concat_count == SEKI_MAX_NODES)
        return seki_fail(c->error, SEKI_BAD_INPUT, "genotype",
                         "column %zu: more than %d nodes are concatenated",
                         (size_t)(c->at - c->text) + 1, SEKI_MAX_NODES);
    cell->concat[cell->concat_count++] = state;
    return 0;
}

/* range(2, 6), as P-DARTS and others print it */
static int take_range(struct cursor *c, struct seki_cell *cell)
{
    int first, end;

    c->at += strlen("range");
    if (need(c, '(') < 0 || take_number(c, "the first node", &first) < 0 || need(c, ',') < 0 ||
        take_number(c, "the node after the last", &end) < 0 || need(c, ')') < 0)
        return -1;
    for (int state = first; state < end; state++) {
        if (add_concat(c, cell, state) < 0)
            return -1;
    }
    return 0;
}

static int take_concat(struct cursor *c, struct seki_cell *cell)
{
    char closing;

    skip_space(c);
    if (strncmp(c->at, "range", 5) == 0 && !is_word(c->at[5]))
        return take_range(c, cell);
    closing = take_opening(c);
    if (closing == '\0')
        return broken(c, "a list of nodes such as [2, 3, 4, 5], or range(2, 6)");
    while (!take(c, closing)) {
        int state;

        if (take_number(c, "the number of a node", &state) < 0 || add_concat(c, cell, state) < 0)
            return -1;
        if (!take(c, ',') && *c->at != closing)
            return broken(c, "',' or the end of the list");
    }
    return 0;
}

/* normal=… and the three others, in any order as Python has it, each once. */
static int take_field(struct cursor *c, struct seki_genotype *genotype, bool seen[4])
{
    static const char *const names[] = {"normal", "normal_concat", "reduce", "reduce_concat"};
    size_t length = 0;
    int field = 0;

    skip_space(c);
    while (is_word(c->at[length]))
        length++;
    while (field < 4 &&
           !(strlen(names[field]) == length && memcmp(c->at, names[field], length) == 0))
        field++;
    if (field == 4)
        return broken(c, "normal=, normal_concat=, reduce= or reduce_concat=");
    if (seen[field])
        return broken(c, "each field once");
    seen[field] = true;
    c->at += length;
    if (need(c, '=') < 0)
        return -1;
    return field % 2 == 0 ? take_pairs(c, &genotype->cells[field / 2])
                          : take_concat(c, &genotype->cells[field / 2]);
}

static int take_darts(struct cursor *c, struct seki_genotype *genotype)
{
    bool seen[4] = {false};

    genotype->space = SEKI_DARTS;
    genotype->cell_count = 2;
    genotype->cells[0].inputs = genotype->cells[1].inputs = 2;
    c->at += strlen("Genotype");
    if (need(c, '(') < 0)
        return -1;
    do {
        skip_space(c);
        if (*c->at == ')')
            break; /* the trailing comma that Python allows */
        if (take_field(c, genotype, seen) < 0)
            return -1;
    } while (take(c, ','));
    if (!(seen[0] && seen[1] && seen[2] && seen[3]))
        return broken(c, "the fields normal, normal_concat, reduce and reduce_concat");
    return need(c, ')');
}

/* |op~0|op~1|: every earlier state once; the order is free, as NAS-Bench-201's reader has it. */
static int take_nas201_node(struct cursor *c, struct seki_cell *cell, int node)
{
    bool seen[SEKI_NAS201_NODES] = {false};

    if (need(c, '|') < 0)
        return -1;
    for (int i = 0; i < node; i++) {
        struct seki_edge edge = {.node = node};

        skip_space(c);
        if (take_op(c, &edge.op) < 0 || need(c, '~') < 0 ||
            take_number(c, "the number of an input", &edge.input) < 0)
            return -1;
        if (edge.input >= node)
            return seki_fail(c->error, SEKI_BAD_INPUT, "genotype",
                             "node %d takes input %d, but only 0..%d exist", node, edge.input,
                             node - 1);
        if (seen[edge.input])
            return seki_fail(c->error, SEKI_BAD_INPUT, "genotype",
                             "node %d takes input %d twice; expected each of 0..%d once", node,
                             edge.input, node - 1);
        seen[edge.input] = true;
        cell->edges[seki_nas201_edge(edge.input, node)] = edge;
        if (need(c, '|') < 0)
            return -1;
    }
    return 0;
}

static int take_nas201(struct cursor *c, struct seki_genotype *genotype)
{
    struct seki_cell *cell = &genotype->cells[0];

    genotype->space = SEKI_NAS201;
    genotype->cell_count = 1;
    cell->inputs = 1;
    cell->nodes = SEKI_NAS201_NODES;
    cell->edge_count = SEKI_NAS201_EDGES;
    cell->concat_count = 1;
    cell->concat[0] = SEKI_NAS201_NODES;
    for (int node = 1; node <= SEKI_NAS201_NODES; node++) {
        if ((node > 1 && need(c, '+') < 0) || take_nas201_node(c, cell, node) < 0)
            return -1;
    }
    return 0;
}

int seki_genotype_parse(const char *text, enum seki_strictness strictness,
                        struct seki_genotype *genotype, struct seki_error *error)
{
    struct cursor c = {text, text, error};
    struct seki_genotype read = {0};
    int result;

    skip_space(&c);
    if (*c.at == '|')
        result = take_nas201(&c, &read);
    else if (strncmp(c.at, "Genotype", 8) == 0)
        result = take_darts(&c, &read);
    else
        result = broken(&c, "Genotype(normal=…) of darts or |op~0|+|…| of nas201");
    if (result < 0)
        return -1;
    skip_space(&c);
    if (*c.at != '\0')
        return broken(&c, "nothing after the genotype");
    if (seki_genotype_validate(&read, strictness, error) < 0)
        return -1;
    *genotype = read;
    return 0;
}
