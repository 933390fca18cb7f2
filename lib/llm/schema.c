/* schema.c - the JSON schema of a reply, made from the search space; a genotype in its form. */
#include "llm/llm.h"
#include "llm/llm_internal.h"

/* Room for a few sentences, and no more: a small model that is free to go on does. */
#define MAX_ANALYSIS 400
#define MAX_STRATEGY 300

/* What the printing functions hand on. */
struct printer {
    enum seki_space space;
    const struct seki_schema_options *options;
    struct seki_buffer *out;
};

static const struct seki_edge *base_edge(const struct printer *printer, int cell, int slot);

/* Whether the operation may stand in a slot: slots are 2 * (node - 2) + which of a darts node's two
 * operations, or the edges of nas201 in the notation's order. */
static bool admitted(const struct printer *printer, int cell, int slot, enum seki_op op)
{
    const struct seki_narrowing *n = printer->options->narrowing;
    const struct seki_edge *edge;

    if (n == NULL)
        return true;
    edge = base_edge(printer, cell, slot);
    if (cell == n->cell && edge == &n->base.cells[cell].edges[n->edge])
        return (n->ops & 1U << op) != 0;
    return edge->op == op;
}

static void print_ops(const struct printer *printer, int cell, int slot)
{
    const char *separator = "";
    int count;
    const enum seki_op *ops = seki_space_ops(printer->space, &count);

    seki_buffer_puts(printer->out, "{\"type\":\"string\",\"enum\":[");
    for (int i = 0; i < count; i++) {
        if (!admitted(printer, cell, slot, ops[i]))
            continue;
        seki_buffer_printf(printer->out, "%s\"%s\"", separator, seki_op_name(ops[i]));
        separator = ",";
    }
    seki_buffer_puts(printer->out, "]}");
}

/* The pairs of distinct states before `node`, the smaller first; the base's alone where narrowed.
 */
static void print_pairs(const struct printer *printer, int cell, int node)
{
    const char *separator = "";
    bool narrowed = printer->options->narrowing != NULL;

    seki_buffer_puts(printer->out, "{\"type\":\"string\",\"enum\":[");
    for (int a = 0; a < node; a++)
        for (int b = a + 1; b < node; b++) {
            if (narrowed && (base_edge(printer, cell, 2 * (node - 2))->input != a ||
                             base_edge(printer, cell, 2 * (node - 2) + 1)->input != b))
                continue;
            seki_buffer_printf(printer->out, "%s\"%d,%d\"", separator, a, b);
            separator = ",";
        }
    seki_buffer_puts(printer->out, "]}");
}

static void print_cell(const struct printer *printer, int cell)
{
    struct seki_buffer *out = printer->out;

    seki_buffer_puts(out, "{\"type\":\"object\",\"properties\":{");
    for (int node = 2; node < 2 + SEKI_DARTS_NODES; node++) {
        seki_buffer_printf(out, "%s\"node_%d\":{\"type\":\"object\",\"properties\":{\"inputs\":",
                           node > 2 ? "," : "", node);
        print_pairs(printer, cell, node);
        seki_buffer_puts(out, ",\"op_1\":");
        print_ops(printer, cell, 2 * (node - 2));
        seki_buffer_puts(out, ",\"op_2\":");
        print_ops(printer, cell, 2 * (node - 2) + 1);
        seki_buffer_puts(out, "},\"required\":[\"inputs\",\"op_1\",\"op_2\"],"
                              "\"additionalProperties\":false}");
    }
    seki_buffer_puts(out, "},\"required\":[");
    for (int node = 2; node < 2 + SEKI_DARTS_NODES; node++)
        seki_buffer_printf(out, "%s\"node_%d\"", node > 2 ? "," : "", node);
    seki_buffer_puts(out, "],\"additionalProperties\":false}");
}

static void print_darts(const struct printer *printer)
{
    seki_buffer_puts(printer->out, "{\"type\":\"object\",\"properties\":{\"normal\":");
    print_cell(printer, SEKI_NORMAL);
    seki_buffer_puts(printer->out, ",\"reduce\":");
    print_cell(printer, SEKI_REDUCE);
    seki_buffer_puts(printer->out,
                     "},\"required\":[\"normal\",\"reduce\"],\"additionalProperties\":false}");
}

const struct seki_edge seki_nas201_edges[SEKI_NAS201_EDGES] = {
    {.input = 0, .node = 1}, {.input = 0, .node = 2}, {.input = 1, .node = 2},
    {.input = 0, .node = 3}, {.input = 1, .node = 3}, {.input = 2, .node = 3},
};

/* The base's edge in a slot; of a darts node the one from the smaller state comes first. */
static const struct seki_edge *base_edge(const struct printer *printer, int cell, int slot)
{
    const struct seki_cell *from = &printer->options->narrowing->base.cells[cell];

    if (printer->space == SEKI_DARTS) {
        const struct seki_edge *edges = &from->edges[slot & ~1];

        return &edges[(slot & 1) != (edges[0].input > edges[1].input)];
    }
    for (int i = 0; i < from->edge_count; i++)
        if (from->edges[i].input == seki_nas201_edges[slot].input &&
            from->edges[i].node == seki_nas201_edges[slot].node)
            return &from->edges[i];
    SEKI_BUG("a nas201 genotype without one of its edges");
}

static void print_nas201(const struct printer *printer)
{
    struct seki_buffer *out = printer->out;
    const struct seki_edge *edges = seki_nas201_edges;

    seki_buffer_puts(out, "{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i < SEKI_NAS201_EDGES; i++) {
        seki_buffer_printf(out, "%s\"from_%d_to_%d\":", i ? "," : "", edges[i].input,
                           edges[i].node);
        print_ops(printer, 0, i);
    }
    seki_buffer_puts(out, "},\"required\":[");
    for (int i = 0; i < SEKI_NAS201_EDGES; i++)
        seki_buffer_printf(out, "%s\"from_%d_to_%d\"", i ? "," : "", edges[i].input, edges[i].node);
    seki_buffer_puts(out, "],\"additionalProperties\":false}");
}

static void print_reason(const char *name, int limit, bool bounded, struct seki_buffer *out)
{
    seki_buffer_printf(out, "\"%s\":{\"type\":\"string\"", name);
    if (bounded)
        seki_buffer_printf(out, ",\"maxLength\":%d", limit);
    seki_buffer_puts(out, "},");
}

int seki_schema_print(enum seki_space space, const struct seki_schema_options *options,
                      struct seki_buffer *out, struct seki_error *error)
{
    const struct printer printer = {.space = space, .options = options, .out = out};

    seki_buffer_puts(out, "{\"type\":\"object\",\"properties\":{");
    if (options->strategy) {
        print_reason("analysis", MAX_ANALYSIS, options->bounded, out);
        print_reason("strategy", MAX_STRATEGY, options->bounded, out);
    }
    seki_buffer_puts(out, "\"genotype\":");
    if (space == SEKI_DARTS)
        print_darts(&printer);
    else
        print_nas201(&printer);
    seki_buffer_printf(out, "},\"required\":[%s\"genotype\"],\"additionalProperties\":false}",
                       options->strategy ? "\"analysis\",\"strategy\"," : "");
    if (out->failed)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "the schema does not fit in memory");
    return 0;
}

/* ---- A genotype in the schema's form -------------------------------------------------------- */

static void print_node(const struct seki_edge *edges, struct seki_buffer *out)
{
    int first = edges[0].input > edges[1].input; /* the smaller state first, as the schema has it */

    seki_buffer_printf(out,
                       "\"node_%d\": {\"inputs\": \"%d,%d\", \"op_1\": \"%s\", \"op_2\": \"%s\"}",
                       edges[0].node, edges[first].input, edges[!first].input,
                       seki_op_name(edges[first].op), seki_op_name(edges[!first].op));
}

static void print_darts_genotype(const struct seki_genotype *genotype, struct seki_buffer *out)
{
    for (int cell = 0; cell < 2; cell++) {
        seki_buffer_puts(out, cell == SEKI_NORMAL ? "\"normal\": {" : ", \"reduce\": {");
        for (int node = 0; node < SEKI_DARTS_NODES; node++) {
            if (node > 0)
                seki_buffer_puts(out, ", ");
            print_node(&genotype->cells[cell].edges[2 * node], out);
        }
        seki_buffer_puts(out, "}");
    }
}

/* By state and input, whatever the order in which the notation had them. */
static void print_nas201_genotype(const struct seki_genotype *genotype, struct seki_buffer *out)
{
    const struct seki_cell *cell = &genotype->cells[0];

    for (int i = 0; i < SEKI_NAS201_EDGES; i++) {
        const struct seki_edge *wanted = &seki_nas201_edges[i];

        for (int j = 0; j < cell->edge_count; j++)
            if (cell->edges[j].input == wanted->input && cell->edges[j].node == wanted->node)
                seki_buffer_printf(out, "%s\"from_%d_to_%d\": \"%s\"", i ? ", " : "", wanted->input,
                                   wanted->node, seki_op_name(cell->edges[j].op));
    }
}

int seki_schema_print_genotype(const struct seki_genotype *genotype, struct seki_buffer *out,
                               struct seki_error *error)
{
    seki_buffer_puts(out, "{");
    if (genotype->space == SEKI_DARTS)
        print_darts_genotype(genotype, out);
    else
        print_nas201_genotype(genotype, out);
    seki_buffer_puts(out, "}");
    if (out->failed)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "the genotype does not fit in memory");
    return 0;
}
