/* seen.c - the set of ids that are not to be proposed again: 8 bytes each, open addressing. */
#include "propose.h"

#include <stdlib.h>

struct seen {
    uint64_t *slots; /* 0: free */
    size_t capacity; /* a power of two */
    size_t count;
    bool zero; /* the id of sixteen zeros */
};

static uint64_t number_of(const char *id)
{
    return strtoull(id, NULL, 16);
}

struct seen *seen_new(struct seki_error *error)
{
    struct seen *seen = seki_allocate(1, sizeof *seen, error);

    if (seen == NULL)
        return NULL;
    seen->capacity = 256;
    seen->slots = seki_allocate(seen->capacity, sizeof *seen->slots, error);
    if (seen->slots == NULL) {
        free(seen);
        return NULL;
    }
    return seen;
}

void seen_free(struct seen *seen)
{
    if (seen == NULL)
        return;
    free(seen->slots);
    free(seen);
}

/* The slot that holds the number, or the free one where it belongs. Ids are hashes: their low bits
 * spread. */
static uint64_t *find(uint64_t *slots, size_t capacity, uint64_t number)
{
    size_t at = (size_t)number & (capacity - 1);

    while (slots[at] != 0 && slots[at] != number)
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

bool seen_has(const struct seen *seen, const char *id)
{
    uint64_t number = number_of(id);

    return number == 0 ? seen->zero : *find(seen->slots, seen->capacity, number) != 0;
}

static int grow(struct seen *seen, struct seki_error *error)
{
    size_t capacity = 2 * seen->capacity;
    uint64_t *slots = seki_allocate(capacity, sizeof *slots, error);

    if (slots == NULL)
        return -1;
    for (size_t i = 0; i < seen->capacity; i++)
        if (seen->slots[i] != 0)
            *find(slots, capacity, seen->slots[i]) = seen->slots[i];
    free(seen->slots);
    seen->slots = slots;
    seen->capacity = capacity;
    return 0;
}

int seen_add(struct seen *seen, const char *id, struct seki_error *error)
{
    uint64_t number = number_of(id), *slot;

    if (number == 0) {
        seen->zero = true;
        return 0;
    }
    if (2 * seen->count >= seen->capacity && grow(seen, error) < 0)
        return -1;
    slot = find(seen->slots, seen->capacity, number);
    seen->count += *slot == 0;
    *slot = number;
    return 0;
}

/* A record that was never got (it has an error and no genotype) has no id. */
int seen_add_record(struct seen *seen, const struct seki_record *record, struct seki_error *error)
{
    struct seki_genotype genotype;
    struct seki_error ignored;
    char id[SEKI_ID_LENGTH + 1];

    if (seki_record_genotype(record, SEKI_LAX, &genotype, &ignored) < 0)
        return 0;
    seki_genotype_id(&genotype, id);
    return seen_add(seen, id, error);
}
