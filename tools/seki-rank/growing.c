/*
 * growing.c - numbers in a row, and a set of 64-bit ids, which are hashes already.
 */
#include "growing.h"

#include <stdlib.h>

static int out_of_memory(struct seki_error *error)
{
    return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory for the statistics");
}

int numbers_add(struct numbers *numbers, double value, struct seki_error *error)
{
    if (numbers->count == numbers->capacity) {
        size_t capacity = numbers->capacity ? 2 * numbers->capacity : 256;
        double *values = capacity > SIZE_MAX / sizeof *values
                             ? NULL
                             : realloc(numbers->values, capacity * sizeof *values);

        if (values == NULL)
            return out_of_memory(error);
        numbers->values = values;
        numbers->capacity = capacity;
    }
    numbers->values[numbers->count++] = value;
    return 0;
}

static size_t find(const struct id_set *set, uint64_t id)
{
    size_t slot = (size_t)id & (set->slot_count - 1);

    while (set->slots[slot] != 0 && set->slots[slot] != id)
        slot = (slot + 1) & (set->slot_count - 1);
    return slot;
}

/* At most half of the slots are taken. */
static int grow(struct id_set *set, struct seki_error *error)
{
    struct id_set larger = {.slot_count = set->slot_count ? 2 * set->slot_count : 1024};

    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (larger.slots == NULL)
        return out_of_memory(error);
    for (size_t i = 0; i < set->slot_count; i++) {
        if (set->slots[i] != 0)
            larger.slots[find(&larger, set->slots[i])] = set->slots[i];
    }
    free(set->slots);
    set->slots = larger.slots;
    set->slot_count = larger.slot_count;
    return 0;
}

int id_set_add(struct id_set *set, uint64_t id, struct seki_error *error)
{
    size_t slot;
    bool known = set->has_zero;

    if (id == 0) {
        set->has_zero = true;
        return known ? 0 : 1;
    }
    if (2 * set->count >= set->slot_count && grow(set, error) < 0)
        return -1;
    slot = find(set, id);
    if (set->slots[slot] != 0)
        return 0;
    set->slots[slot] = id;
    set->count++;
    return 1;
}

size_t id_set_count(const struct id_set *set)
{
    return set->count + (set->has_zero ? 1 : 0);
}
