/*
 * unique_string.c - the rule by which NAS-Bench-201 itself counts isomorphic cells:
 * Structure.to_unique_str with consider_zero=True of the AutoDL-Projects code (Dong, Yang 2020,
 * section 2.1: 6,466 of 15,625). It replaces skip_connect by its source's string and `none` by '#',
 * and sorts each node's terms, but neither drops zero terms nor flattens sums; seki_genotype_id
 * does both.
 */
#include "genotype/genotype.h"

#include <string.h>

#include "genotype/genotype_internal.h"

/* Node 3 holds at most node 0's string 4 times, wrapped: under 200 bytes. */
#define UNIQUE_TEXT 512

static void append(char *text, const char *string)
{
    size_t used = strlen(text), length = strlen(string);

    if (used + length >= UNIQUE_TEXT)
        SEKI_BUG("a unique string is longer than its bound");
    memcpy(text + used, string, length + 1);
}

static void term_string(const char *source, enum seki_op op, char term[UNIQUE_TEXT])
{
    term[0] = '\0';
    if (op == SEKI_NONE || strcmp(source, "#") == 0) {
        append(term, "#");
    } else if (op == SEKI_SKIP_CONNECT) {
        append(term, source);
    } else {
        append(term, "(");
        append(term, source);
        append(term, ")@");
        append(term, seki_op_name(op));
    }
}

/* The order of Python's sorted(): by bytes, as all names are ASCII. */
static void sort_terms(char terms[][UNIQUE_TEXT], int count)
{
    char held[UNIQUE_TEXT];

    for (int i = 1; i < count; i++) {
        for (int j = i; j > 0 && strcmp(terms[j - 1], terms[j]) > 0; j--) {
            memcpy(held, terms[j], UNIQUE_TEXT);
            memcpy(terms[j], terms[j - 1], UNIQUE_TEXT);
            memcpy(terms[j - 1], held, UNIQUE_TEXT);
        }
    }
}

void seki_nas201_unique_string(const struct seki_genotype *genotype, char text[SEKI_GENOTYPE_TEXT])
{
    const struct seki_cell *cell = &genotype->cells[0];
    char states[SEKI_NAS201_NODES + 1][UNIQUE_TEXT] = {"0"};
    char terms[SEKI_NAS201_NODES][UNIQUE_TEXT];

    if (genotype->space != SEKI_NAS201)
        SEKI_BUG("the unique string is of the nas201 space");
    for (int node = 1; node <= SEKI_NAS201_NODES; node++) {
        for (int input = 0; input < node; input++)
            term_string(states[input], cell->edges[seki_nas201_edge(input, node)].op, terms[input]);
        sort_terms(terms, node);
        for (int i = 0; i < node; i++) {
            append(states[node], i == 0 ? "" : "+");
            append(states[node], terms[i]);
        }
    }
    memcpy(text, states[SEKI_NAS201_NODES], UNIQUE_TEXT);
}
