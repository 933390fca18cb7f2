/*
 * effects.c - the effects of single edges as a table of text, best first at each position.
 */
#include "effects.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int effects_add(struct seki_effects **effects, const struct seki_record *record,
                struct seki_error *error)
{
    struct seki_genotype genotype;
    double score;

    if (!seki_record_number(record, "score", &score))
        return seki_fail(error, SEKI_BAD_INPUT, "score", "the record has no score");
    if (seki_record_genotype(record, SEKI_STRICT, &genotype, error) < 0)
        return -1;
    if (*effects == NULL)
        *effects = seki_effects_new(genotype.space, error);
    return *effects == NULL ? -1 : seki_effects_add(*effects, &genotype, score, error);
}

/* ---- Rows --------------------------------------------------------------------------------- */

enum { EDGE, OPERATION, MEAN, ERROR, PAIRS, COLUMNS };

struct row {
    char columns[COLUMNS][128];
};

/* By cell, node and input; then the best mean first, of equal ones in the order that they had. */
static int by_place_then_mean(const void *a, const void *b)
{
    const struct seki_effect *x = *(const struct seki_effect *const *)a;
    const struct seki_effect *y = *(const struct seki_effect *const *)b;

    if (x->cell != y->cell)
        return x->cell - y->cell;
    if (x->edge.node != y->edge.node)
        return x->edge.node - y->edge.node;
    if (x->edge.input != y->edge.input)
        return x->edge.input - y->edge.input;
    if (x->mean != y->mean)
        return x->mean > y->mean ? -1 : 1;
    return (x > y) - (x < y); /* places in one array */
}

/* Decimals that show four digits of the greatest mean; scores may be percent or a loss's. */
static int decimals(const struct seki_effects *effects)
{
    double greatest = 0;

    for (size_t i = 0; i < seki_effects_count(effects); i++)
        greatest = fmax(greatest, fabs(seki_effects_at(effects, i)->mean));
    return greatest > 0 ? (int)fmin(fmax(3 - floor(log10(greatest)), 0), 12) : 3;
}

static void fill_row(const struct seki_effect *effect, bool one_cell, int digits, struct row *row)
{
    const struct seki_edge *edge = &effect->edge;
    size_t size = sizeof row->columns[0];

    if (one_cell)
        snprintf(row->columns[EDGE], size, "from_%d_to_%d", edge->input, edge->node);
    else
        snprintf(row->columns[EDGE], size, "%s node %d <- state %d",
                 effect->cell == SEKI_NORMAL ? "normal" : "reduce", edge->node, edge->input);
    snprintf(row->columns[OPERATION], size, "%s", seki_op_name(edge->op));
    snprintf(row->columns[MEAN], size, "%+.*f", digits, effect->mean);
    if (isnan(effect->deviation))
        snprintf(row->columns[ERROR], size, "-");
    else
        snprintf(row->columns[ERROR], size, "%.*f", digits, effect->deviation);
    snprintf(row->columns[PAIRS], size, "%zu", effect->pairs);
}

static int write_rows(const struct row *rows, size_t count, struct seki_output *output,
                      struct seki_error *error)
{
    int widths[COLUMNS] = {0}, result = 0;
    struct seki_buffer line;

    for (size_t i = 0; i < count; i++) {
        for (int c = 0; c < COLUMNS; c++)
            widths[c] = (int)fmax(widths[c], (double)strlen(rows[i].columns[c]));
    }
    seki_buffer_init(&line, sizeof rows[0] + 64);
    for (size_t i = 0; result == 0 && i < count && !seki_output_gone(output); i++) {
        seki_buffer_clear(&line);
        for (int c = 0; c < COLUMNS; c++) /* names to the left, numbers to the right */
            seki_buffer_printf(&line, "%s%*s", c == 0 ? "" : "  ",
                               c <= OPERATION ? -widths[c] : widths[c], rows[i].columns[c]);
        result = line.failed ? seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory")
                             : seki_output_line(output, line.data, line.length, error);
    }
    seki_buffer_free(&line);
    return result;
}

static int write_table(const struct seki_effects *effects, struct seki_output *output,
                       struct seki_error *error)
{
    static const struct row head = {{"edge", "operation", "difference", "error", "pairs"}};
    size_t count = seki_effects_count(effects);
    const struct seki_effect **sorted = seki_allocate(count, sizeof *sorted, error);
    struct row *rows = seki_allocate(count + 1, sizeof *rows, error);
    bool one_cell = seki_effects_space(effects) == SEKI_NAS201;
    int result = -1;

    if (sorted != NULL && rows != NULL) {
        for (size_t i = 0; i < count; i++)
            sorted[i] = seki_effects_at(effects, i);
        qsort(sorted, count, sizeof *sorted, by_place_then_mean);
        rows[0] = head;
        for (size_t i = 0; i < count; i++)
            fill_row(sorted[i], one_cell, decimals(effects), &rows[i + 1]);
        result = write_rows(rows, count + 1, output, error);
    }
    free(sorted);
    free(rows);
    return result;
}

/* ---- All of it ---------------------------------------------------------------------------- */

static int write_text(struct seki_output *output, const char *text, struct seki_error *error)
{
    return seki_output_gone(output) ? 0 : seki_output_line(output, text, strlen(text), error);
}

static int write_noise(const struct seki_effects *effects, struct seki_output *output,
                       struct seki_error *error)
{
    char text[256];
    double deviation;
    size_t repeats;

    if (!seki_effects_noise(effects, &deviation, &repeats))
        return 0;
    snprintf(text, sizeof text,
             "noise: standard deviation %.4g of a score, from %zu repeated score%s", deviation,
             repeats, repeats == 1 ? "" : "s");
    return write_text(output, text, error);
}

int effects_write(struct seki_effects *effects, struct seki_output *output,
                  struct seki_error *error)
{
    int result;

    if (effects != NULL && seki_effects_compute(effects, error) < 0)
        return -1;
    if (effects != NULL && seki_effects_count(effects) > 0)
        result = write_table(effects, output, error);
    else
        result = write_text(
            output, "no matched pairs: no two scored candidates differ in one edge alone", error);
    return result == 0 && effects != NULL ? write_noise(effects, output, error) : result;
}
