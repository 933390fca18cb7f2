/* history.c - scored candidates in the order in which they were scored, 48 bytes each, and an index
 * of them by id. */
#include "propose.h"

#include <stdlib.h>
#include <string.h>

/* Edges of a strict genotype: darts has two cells of four nodes with two each. */
#define MAX_PACKED (2 * 2 * SEKI_DARTS_NODES)

struct entry {
    uint64_t id, parent;
    double score;
    bool has_parent;
    unsigned char space;
    unsigned char edges[MAX_PACKED]; /* operation * 8 + input, cell after cell */
};

struct history {
    struct entry *entries;
    size_t count, capacity;
    uint32_t *slots; /* open addressing by id: an entry's index + 1, or 0 */
    size_t slot_count;
    /* All strict genotypes of a space have one shape: a packed one needs operations and inputs
     * alone. */
    struct seki_genotype shapes[2]; /* by space, once it has occurred */
};

/* ---- Ids ---------------------------------------------------------------------------------- */

/* False where the text does not begin with an id. */
static bool read_id(const char *text, size_t length, uint64_t *id)
{
    *id = 0;
    if (length < SEKI_ID_LENGTH)
        return false;
    for (int i = 0; i < SEKI_ID_LENGTH; i++) {
        const char *digits = "0123456789abcdef";
        const char *digit = text[i] != '\0' ? strchr(digits, text[i]) : NULL;

        if (digit == NULL)
            return false;
        *id = *id << 4 | (uint64_t)(digit - digits);
    }
    return true;
}

static void write_id(uint64_t id, char text[SEKI_ID_LENGTH + 1])
{
    for (int i = SEKI_ID_LENGTH; i-- > 0; id >>= 4)
        text[i] = "0123456789abcdef"[id & 15];
    text[SEKI_ID_LENGTH] = '\0';
}

/* The first of a record's `parents`; false where it has none. */
static bool first_parent(const struct seki_record *record, uint64_t *id)
{
    size_t length;
    const char *json = seki_record_json(record, "parents", &length);
    size_t at = 1;

    if (json == NULL || json[0] != '[')
        return false;
    while (at < length && strchr(" \t\r\n", json[at]) != NULL)
        at++;
    return at < length && json[at] == '"' && read_id(json + at + 1, length - at - 1, id) &&
           json[at + 1 + SEKI_ID_LENGTH] == '"'; /* JSON: a string that began ends */
}

/* ---- Entries ------------------------------------------------------------------------------ */

/* Strict: at most MAX_PACKED edges, inputs below 8. */
static void pack(struct history *history, const struct seki_genotype *genotype, struct entry *entry)
{
    int at = 0;

    history->shapes[genotype->space] = *genotype;
    entry->space = (unsigned char)genotype->space;
    for (int c = 0; c < genotype->cell_count; c++) {
        for (int i = 0; i < genotype->cells[c].edge_count && at < MAX_PACKED; i++) {
            const struct seki_edge *edge = &genotype->cells[c].edges[i];

            entry->edges[at++] = (unsigned char)((int)edge->op * 8 + edge->input);
        }
    }
}

static void unpack(const struct history *history, const struct entry *entry,
                   struct seki_genotype *genotype)
{
    int at = 0;

    *genotype = history->shapes[entry->space];
    for (int c = 0; c < genotype->cell_count; c++) {
        for (int i = 0; i < genotype->cells[c].edge_count; i++) {
            struct seki_edge *edge = &genotype->cells[c].edges[i];

            edge->op = (enum seki_op)(entry->edges[at] / 8);
            edge->input = entry->edges[at++] % 8;
        }
    }
}

/* The slot of the id, or the free one where it belongs. Ids are hashes: their low bits spread. */
static uint32_t *find_slot(const struct history *history, uint64_t id)
{
    size_t at = (size_t)id & (history->slot_count - 1);

    while (history->slots[at] != 0 && history->entries[history->slots[at] - 1].id != id)
        at = (at + 1) & (history->slot_count - 1);
    return &history->slots[at];
}

/* At most half of the slots are taken. */
static int grow(struct history *history, struct seki_error *error)
{
    size_t capacity = history->capacity > 0 ? 2 * history->capacity : 256;
    struct entry *entries = NULL;
    uint32_t *slots = NULL;

    if (capacity <= UINT32_MAX / 2)
        entries = realloc(history->entries, capacity * sizeof *entries);
    if (entries == NULL)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory",
                         "out of memory for the scored candidates after %zu of them",
                         history->count);
    history->entries = entries;
    slots = seki_allocate(2 * capacity, sizeof *slots, error);
    if (slots == NULL)
        return -1;
    free(history->slots);
    history->slots = slots;
    history->slot_count = 2 * capacity;
    history->capacity = capacity;
    for (size_t i = 0; i < history->count; i++)
        *find_slot(history, entries[i].id) = (uint32_t)i + 1;
    return 0;
}

struct history *history_new(struct seki_error *error)
{
    struct history *history = seki_allocate(1, sizeof *history, error);

    if (history != NULL && grow(history, error) < 0) {
        history_free(history);
        return NULL;
    }
    return history;
}

void history_free(struct history *history)
{
    if (history == NULL)
        return;
    free(history->entries);
    free(history->slots);
    free(history);
}

/* With this score too: then it is one record that is read twice. */
static bool is_there(const struct history *history, const struct entry *entry)
{
    uint32_t slot = *find_slot(history, entry->id);

    return slot != 0 && history->entries[slot - 1].score == entry->score;
}

int history_add(struct history *history, const struct seki_record *record, struct seki_error *error)
{
    struct entry entry = {0};
    struct seki_genotype genotype;
    struct seki_error ignored;
    char id[SEKI_ID_LENGTH + 1];

    if (seki_record_failed(record) || !seki_record_number(record, "score", &entry.score) ||
        seki_record_genotype(record, SEKI_STRICT, &genotype, &ignored) < 0)
        return 0;
    seki_genotype_id(&genotype, id);
    read_id(id, SEKI_ID_LENGTH, &entry.id);
    if (is_there(history, &entry))
        return 0;
    if (history->count == history->capacity && grow(history, error) < 0)
        return -1;
    entry.has_parent = first_parent(record, &entry.parent);
    pack(history, &genotype, &entry);
    history->entries[history->count] = entry;
    *find_slot(history, entry.id) = (uint32_t)++history->count;
    return 0;
}

/* ---- Asking ------------------------------------------------------------------------------- */

size_t history_count(const struct history *history)
{
    return history->count;
}

void history_at(const struct history *history, size_t index, struct past *past)
{
    const struct entry *entry = &history->entries[index];

    unpack(history, entry, &past->genotype);
    write_id(entry->id, past->id);
    past->parent[0] = '\0';
    if (entry->has_parent)
        write_id(entry->parent, past->parent);
    past->score = entry->score;
}

bool history_find(const struct history *history, const char *id, struct past *past)
{
    uint64_t number;
    uint32_t slot;

    if (!read_id(id, strlen(id), &number))
        return false;
    slot = *find_slot(history, number);
    if (slot == 0)
        return false;
    history_at(history, slot - 1, past);
    return true;
}
