/*
 * effects.c - what single edges did to the score, from pairs of candidates that differ in one edge.
 *
 * For each place that edges stand in, and each edge in it, a candidate has a key: its code
 * (effects_internal.h) with that edge taken out. Candidates of equal key are equal in all else, so
 * each two of them are a matched pair; sorting finds them. Keys are exact, so there are no
 * collisions.
 *
 * In a group of m members, member i's differences to the m-1 others have the mean d[i] m/(m-1), d
 * being its score less the group's mean, and the sum of squares about it Q - d[i]^2 m/(m-1), where
 * Q = sum of d^2. So a group costs O(m), not O(m^2).
 */
#include "record/record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "record/effects_internal.h"

/* Bounds what differences, and the squares of so many, can come to. */
#define MAX_SCORE 1e100

#define MAX_EFFECTS (2 * 14 * 7) /* darts: cells, inputs of all nodes, operations */

/* Of a row of numbers, without the numbers. */
struct moments {
    size_t count;
    double mean, squares; /* sum of squared distances from the mean */
};

/* A genotype with its scores. */
struct entry {
    uint64_t code, id;
    struct moments scores;
};

/* A genotype with one edge of a place taken out. */
struct member {
    struct seki_taken taken;
    uint32_t entry;
};

struct seki_effects {
    struct seki_code code;
    struct entry *entries; /* some may be of one code until compact() */
    size_t entry_count, entry_capacity;
    struct moments differences[MAX_EFFECTS]; /* by place and edge */
    struct seki_effect effects[MAX_EFFECTS]; /* those with pairs */
    size_t effect_count;
    struct moments noise; /* count: scores beyond the first of each id; mean: unused */
};

/* ---- Moments ------------------------------------------------------------------------------ */

/* Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
 * variances", 1979. */
static void merge(struct moments *into, const struct moments *other)
{
    double a = (double)into->count, b = (double)other->count;
    double delta = other->mean - into->mean;

    if (other->count == 0)
        return;
    into->count += other->count;
    into->mean += delta * (b / (a + b));
    into->squares += other->squares + delta * delta * (a * b / (a + b));
}

/* ---- Candidates --------------------------------------------------------------------------- */

struct seki_effects *seki_effects_new(enum seki_space space, struct seki_error *error)
{
    struct seki_effects *effects = seki_allocate(1, sizeof *effects, error);

    if (effects == NULL)
        return NULL;
    seki_code_init(&effects->code, space);
    return effects;
}

enum seki_space seki_effects_space(const struct seki_effects *effects)
{
    return effects->code.space;
}

void seki_effects_free(struct seki_effects *effects)
{
    if (effects == NULL)
        return;
    free(effects->entries);
    free(effects);
}

/* By code; the rest makes the order, and so the last digits of a mean, the same everywhere. */
static int by_code(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->code != y->code)
        return x->code < y->code ? -1 : 1;
    if (x->scores.mean != y->scores.mean)
        return x->scores.mean < y->scores.mean ? -1 : 1;
    return (x->scores.count > y->scores.count) - (x->scores.count < y->scores.count);
}

/* Makes one of the entries of each code. */
static void compact(struct seki_effects *e)
{
    size_t kept = 0;

    if (e->entry_count == 0)
        return;
    qsort(e->entries, e->entry_count, sizeof *e->entries, by_code);
    for (size_t i = 1; i < e->entry_count; i++) {
        if (e->entries[i].code == e->entries[kept].code)
            merge(&e->entries[kept].scores, &e->entries[i].scores);
        else
            e->entries[++kept] = e->entries[i];
    }
    e->entry_count = kept + 1;
}

/* Room for one more entry. Only where half are distinct, it grows: so the memory follows the
 * distinct genotypes, and sorting stays O(n log n) over all adds. */
static int make_room(struct seki_effects *e, struct seki_error *error)
{
    size_t capacity = e->entry_capacity ? 2 * e->entry_capacity : 256;
    struct entry *entries;

    if (e->entry_count < e->entry_capacity)
        return 0;
    compact(e);
    if (e->entry_count < e->entry_capacity / 2)
        return 0;
    entries = capacity > UINT32_MAX || capacity > SIZE_MAX / sizeof *entries
                  ? NULL
                  : realloc(e->entries, capacity * sizeof *entries);
    if (entries == NULL)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory",
                         "out of memory for the effects of edges: %zu genotypes are in it",
                         e->entry_count);
    e->entries = entries;
    e->entry_capacity = capacity;
    return 0;
}

int seki_effects_add(struct seki_effects *effects, const struct seki_genotype *genotype,
                     double score, struct seki_error *error)
{
    char id[SEKI_ID_LENGTH + 1];

    if (genotype->space != effects->code.space)
        return seki_fail(error, SEKI_BAD_INPUT, "space",
                         "the genotype is of %s, those before it of %s; edges of two spaces "
                         "cannot be compared",
                         seki_space_name(genotype->space), seki_space_name(effects->code.space));
    if (seki_genotype_validate(genotype, SEKI_STRICT, error) < 0)
        return -1;
    if (!(fabs(score) <= MAX_SCORE))
        return seki_fail(error, SEKI_BAD_INPUT, "score",
                         "a score of %g; expected one of at most %g", score, MAX_SCORE);
    if (make_room(effects, error) < 0)
        return -1;
    seki_genotype_id(genotype, id);
    effects->entries[effects->entry_count++] = (struct entry){
        seki_code_of(&effects->code, genotype), strtoull(id, NULL, 16), {1, score, 0}};
    return 0;
}

/* ---- Effects ------------------------------------------------------------------------------ */

static int by_key(const void *a, const void *b)
{
    const struct seki_taken *x = &((const struct member *)a)->taken,
                            *y = &((const struct member *)b)->taken;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->edge > y->edge) - (x->edge < y->edge);
}

/* Each genotype with each edge of the place taken out, by key; how many. */
static size_t take_out(const struct seki_effects *e, const struct seki_place *place,
                       struct member *members)
{
    size_t count = 0;

    for (size_t i = 0; i < e->entry_count; i++) {
        struct seki_taken taken[2];
        int edges = seki_code_take(&e->code, place, e->entries[i].code, taken);

        for (int k = 0; k < edges; k++)
            members[count++] = (struct member){taken[k], (uint32_t)i};
    }
    if (count > 0) /* else there may be no array */
        qsort(members, count, sizeof *members, by_key);
    return count;
}

/* All pairs of a group; two of its members never have the same edge, as then they were equal. */
static void add_group(const struct seki_effects *e, const struct member *members, size_t count,
                      struct moments *differences)
{
    struct moments group = {0};
    double others = (double)count - 1;

    for (size_t i = 0; i < count; i++)
        merge(&group, &(struct moments){1, e->entries[members[i].entry].scores.mean, 0});
    for (size_t i = 0; i < count; i++) {
        double d = e->entries[members[i].entry].scores.mean - group.mean;
        double mean = d * ((double)count / others);

        merge(&differences[members[i].taken.edge],
              &(struct moments){count - 1, mean, fmax(0, group.squares - d * mean)});
    }
}

static void add_place(struct seki_effects *e, const struct seki_place *place,
                      struct member *members)
{
    size_t count = take_out(e, place, members), to;

    for (size_t from = 0; from < count; from = to) {
        to = from + 1;
        while (to < count && members[to].taken.key == members[from].taken.key)
            to++;
        if (to - from > 1)
            add_group(e, members + from, to - from, &e->differences[place->first]);
    }
}

/* The effects of a place, from the moments of the differences. */
static void finish_place(struct seki_effects *e, const struct seki_place *place)
{
    for (int i = 0; i < place->edge_count; i++) {
        const struct moments *m = &e->differences[place->first + i];
        double pairs = (double)m->count;

        if (m->count == 0)
            continue;
        e->effects[e->effect_count++] = (struct seki_effect){
            .cell = place->cell,
            .edge = seki_code_edge(&e->code, place, i),
            .mean = m->mean,
            .deviation = m->count == 1 ? NAN : sqrt(m->squares / (pairs - 1) / pairs),
            .pairs = m->count,
        };
    }
}

/* ---- Noise -------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return by_code(a, b);
}

/* Sorts the entries by id. */
static void pool_noise(struct seki_effects *e)
{
    size_t to;

    e->noise = (struct moments){0};
    if (e->entry_count > 0)
        qsort(e->entries, e->entry_count, sizeof *e->entries, by_id);
    for (size_t from = 0; from < e->entry_count; from = to) {
        struct moments scores = e->entries[from].scores;

        for (to = from + 1; to < e->entry_count && e->entries[to].id == e->entries[from].id; to++)
            merge(&scores, &e->entries[to].scores);
        e->noise.count += scores.count - 1;
        e->noise.squares += scores.squares;
    }
}

/* ---- Results ------------------------------------------------------------------------------ */

int seki_effects_compute(struct seki_effects *e, struct seki_error *error)
{
    struct member *members = NULL;

    compact(e);
    pool_noise(e);
    if (e->entry_count > 0) {
        members = seki_allocate(e->entry_count, 2 * sizeof *members, error);
        if (members == NULL)
            return -1;
    }
    memset(e->differences, 0, sizeof e->differences);
    e->effect_count = 0;
    for (int i = 0; i < e->code.place_count; i++) {
        add_place(e, &e->code.places[i], members);
        finish_place(e, &e->code.places[i]);
    }
    free(members);
    return 0;
}

size_t seki_effects_count(const struct seki_effects *effects)
{
    return effects->effect_count;
}

const struct seki_effect *seki_effects_at(const struct seki_effects *effects, size_t index)
{
    return &effects->effects[index];
}

const struct seki_effect *seki_effects_find(const struct seki_effects *effects, int cell,
                                            const struct seki_edge *edge)
{
    for (size_t i = 0; i < effects->effect_count; i++) {
        const struct seki_effect *effect = &effects->effects[i];

        if (effect->cell == cell && effect->edge.node == edge->node &&
            effect->edge.input == edge->input && effect->edge.op == edge->op)
            return effect;
    }
    return NULL;
}

bool seki_effects_noise(const struct seki_effects *effects, double *deviation, size_t *repeats)
{
    if (effects->noise.count == 0)
        return false;
    *deviation = sqrt(effects->noise.squares / (double)effects->noise.count);
    *repeats = effects->noise.count;
    return true;
}
