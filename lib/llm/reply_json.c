/* reply_json.c - the schema's JSON in a reply: finding it in prose, reading its genotype. */
#include "llm/llm.h"
#include "llm/llm_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TRIES 64 /* places where an object may begin; bounds the work on hostile text */

/* ---- Finding it --------------------------------------------------------------------------- */

static bool speaks_of_architecture(const json_t *object)
{
    return json_object_get(object, "genotype") != NULL ||
           (json_object_get(object, "normal") != NULL &&
            json_object_get(object, "reduce") != NULL) ||
           json_object_get(object, "from_0_to_1") != NULL;
}

/* A brace that begins an object rather than a set in prose. */
static const char *next_object(const char *at, const char *end)
{
    while (at < end && (at = memchr(at, '{', (size_t)(end - at))) != NULL) {
        const char *inside = at + 1;

        while (inside < end && strchr(" \t\r\n", *inside) != NULL && *inside != '\0')
            inside++;
        if (inside < end && *inside == '"')
            return at;
        at++;
    }
    return NULL;
}

json_t *seki_json_find(const char *text, size_t length, bool *broken, char *why, size_t size)
{
    const char *at = text, *end = text + length;
    json_t *found = NULL;

    *broken = false;
    for (int tries = 0; tries < MAX_TRIES && (at = next_object(at, end)) != NULL; tries++) {
        json_error_t where;
        json_t *object = json_loadb(at, (size_t)(end - at), JSON_DISABLE_EOF_CHECK, &where);

        if (object == NULL) {
            if (!*broken)
                snprintf(why, size, "line %d, column %d: %.120s", where.line, where.column,
                         where.text);
            *broken = true;
            at++;
            continue;
        }
        at += where.position > 0 ? where.position : 1;
        if (speaks_of_architecture(object)) {
            json_decref(found);
            found = object;
        } else {
            json_decref(object);
        }
    }
    return found;
}

/* ---- Reading it --------------------------------------------------------------------------- */

static int read_op(const json_t *object, const char *name, const char *where, enum seki_op *op,
                   struct seki_error *error)
{
    const json_t *value = json_object_get(object, name);
    int found;

    if (!json_is_string(value))
        return seki_fail(error, SEKI_BAD_INPUT, "genotype",
                         "%s: expected `%s`, an operation's name", where, name);
    found = seki_op_parse(json_string_value(value), json_string_length(value));
    if (found < 0)
        return seki_fail(error, SEKI_BAD_INPUT, "genotype",
                         "%s: %s: no operation is called \"%.60s\"", where, name,
                         json_string_value(value));
    *op = (enum seki_op)found;
    return 0;
}

/* "0,2", or [0, 2]. */
static int read_inputs(const json_t *node, const char *where, int inputs[2],
                       struct seki_error *error)
{
    const json_t *value = json_object_get(node, "inputs");
    const char *text = json_string_value(value);
    int used = 0;

    if (json_is_array(value) && json_array_size(value) == 2 &&
        json_is_integer(json_array_get(value, 0)) && json_is_integer(json_array_get(value, 1))) {
        for (size_t i = 0; i < 2; i++) {
            json_int_t input = json_integer_value(json_array_get(value, i));

            inputs[i] = input < 0 || input > SEKI_MAX_NODES ? -1 : (int)input;
        }
        return 0;
    }
    if (text != NULL && sscanf(text, " %2d , %2d %n", &inputs[0], &inputs[1], &used) == 2 &&
        used > 0 && text[used] == '\0')
        return 0;
    return seki_fail(error, SEKI_BAD_INPUT, "genotype",
                     "%s: expected `inputs` with two different earlier states, as \"0,1\"", where);
}

static int read_cell(const json_t *genotype, const char *name, struct seki_cell *cell,
                     struct seki_error *error)
{
    const json_t *object = json_object_get(genotype, name);

    memset(cell, 0, sizeof *cell);
    cell->inputs = 2;
    cell->nodes = cell->concat_count = SEKI_DARTS_NODES;
    cell->edge_count = 2 * SEKI_DARTS_NODES;
    for (int i = 0; i < SEKI_DARTS_NODES; i++) {
        struct seki_edge *edges = &cell->edges[2 * i];
        char key[24], where[64];
        const json_t *node;
        int inputs[2] = {-1, -1};

        snprintf(key, sizeof key, "node_%d", i + 2);
        snprintf(where, sizeof where, "%s cell: %s", name, key);
        node = json_object_get(object, key);
        if (!json_is_object(node))
            return seki_fail(error, SEKI_BAD_INPUT, "genotype",
                             "%s: expected an object with `inputs`, `op_1` and `op_2`", where);
        if (read_inputs(node, where, inputs, error) < 0 ||
            read_op(node, "op_1", where, &edges[0].op, error) < 0 ||
            read_op(node, "op_2", where, &edges[1].op, error) < 0)
            return -1;
        for (int j = 0; j < 2; j++) {
            edges[j].input = inputs[j];
            edges[j].node = i + 2;
        }
        cell->concat[i] = i + 2;
    }
    return 0;
}

static int read_nas201(const json_t *object, struct seki_cell *cell, struct seki_error *error)
{
    memset(cell, 0, sizeof *cell);
    cell->inputs = 1;
    cell->nodes = 3;
    cell->edge_count = SEKI_NAS201_EDGES;
    cell->concat_count = 1;
    cell->concat[0] = 3;
    for (int i = 0; i < SEKI_NAS201_EDGES; i++) {
        char key[24];

        cell->edges[i] = seki_nas201_edges[i];
        snprintf(key, sizeof key, "from_%d_to_%d", cell->edges[i].input, cell->edges[i].node);
        if (read_op(object, key, "genotype", &cell->edges[i].op, error) < 0)
            return -1;
    }
    return 0;
}

/* The notation in a string of the JSON. */
static int read_notation(const json_t *value, enum seki_space space, struct seki_genotype *genotype,
                         struct seki_error *error)
{
    size_t length = json_string_length(value), begin;
    char *copy = seki_text_spoken(json_string_value(value), &length, error);
    int found;

    if (copy == NULL)
        return -1;
    seki_text_plain(copy, &length);
    found = seki_text_genotype(copy, length, space, genotype, &begin, error);
    if (found == 0)
        seki_fail(error, SEKI_BAD_INPUT, "genotype",
                  "`genotype` is a string, but no architecture of the space %s",
                  seki_space_name(space));
    free(copy);
    return found > 0 ? 0 : -1;
}

int seki_json_genotype(const json_t *object, enum seki_space space, struct seki_genotype *genotype,
                       struct seki_error *error)
{
    const json_t *value = json_object_get(object, "genotype");

    if (value == NULL)
        value = object;
    if (json_is_string(value))
        return read_notation(value, space, genotype, error);
    memset(genotype, 0, sizeof *genotype);
    genotype->space = space;
    if (space == SEKI_DARTS) {
        genotype->cell_count = 2;
        if (read_cell(value, "normal", &genotype->cells[SEKI_NORMAL], error) < 0 ||
            read_cell(value, "reduce", &genotype->cells[SEKI_REDUCE], error) < 0)
            return -1;
    } else {
        genotype->cell_count = 1;
        if (read_nas201(value, &genotype->cells[0], error) < 0)
            return -1;
    }
    return seki_genotype_validate(genotype, SEKI_STRICT, error);
}
