/*
 * print.c - the canonical notation, to the byte what PyTorch DARTS code prints (repr of the
 * namedtuple) and what NAS-Bench-201 uses as an architecture's string.
 */
#include "genotype/genotype.h"

#include <stdio.h>
#include <string.h>

#include "genotype/genotype_internal.h"

struct writer {
    char *text;
    size_t used;
};

static void put(struct writer *w, const char *string)
{
    size_t length = strlen(string);

    if (w->used + length >= SEKI_GENOTYPE_TEXT)
        SEKI_BUG("a genotype that was not validated is longer than SEKI_GENOTYPE_TEXT");
    memcpy(w->text + w->used, string, length + 1);
    w->used += length;
}

static void put_number(struct writer *w, int value)
{
    char digits[16];

    snprintf(digits, sizeof digits, "%d", value);
    put(w, digits);
}

static void put_darts_cell(struct writer *w, const char *name, const struct seki_cell *cell)
{
    put(w, name);
    put(w, "=[");
    for (int i = 0; i < cell->edge_count; i++) {
        put(w, i == 0 ? "('" : ", ('");
        put(w, seki_op_name(cell->edges[i].op));
        put(w, "', ");
        put_number(w, cell->edges[i].input);
        put(w, ")");
    }
    put(w, "], ");
    put(w, name);
    put(w, "_concat=[");
    for (int i = 0; i < cell->concat_count; i++) {
        put(w, i == 0 ? "" : ", ");
        put_number(w, cell->concat[i]);
    }
    put(w, "]");
}

static void put_nas201_cell(struct writer *w, const struct seki_cell *cell)
{
    for (int node = 1; node <= SEKI_NAS201_NODES; node++) {
        put(w, node == 1 ? "|" : "+|");
        for (int input = 0; input < node; input++) {
            put(w, seki_op_name(cell->edges[seki_nas201_edge(input, node)].op));
            put(w, "~");
            put_number(w, input);
            put(w, "|");
        }
    }
}

void seki_genotype_print(const struct seki_genotype *genotype, char text[SEKI_GENOTYPE_TEXT])
{
    struct writer w = {text, 0};

    text[0] = '\0';
    if (genotype->space == SEKI_NAS201) {
        put_nas201_cell(&w, &genotype->cells[0]);
        return;
    }
    put(&w, "Genotype(");
    put_darts_cell(&w, "normal", &genotype->cells[SEKI_NORMAL]);
    put(&w, ", ");
    put_darts_cell(&w, "reduce", &genotype->cells[SEKI_REDUCE]);
    put(&w, ")");
}
