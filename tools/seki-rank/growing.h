/*
 * growing.h - the memory that `seki-rank --stats` needs: numbers in a row, and a set of ids.
 */
#ifndef SEKI_RANK_GROWING_H
#define SEKI_RANK_GROWING_H

#include "base/base.h"

struct numbers {
    double *values;
    size_t count, capacity;
};

int numbers_add(struct numbers *numbers, double value, struct seki_error *error);

struct id_set {
    uint64_t *slots; /* open addressing; 0 is an empty slot */
    size_t count, slot_count;
    bool has_zero;
};

/* 1: it is new; 0: it is there; -1: out of memory. */
int id_set_add(struct id_set *set, uint64_t id, struct seki_error *error);
size_t id_set_count(const struct id_set *set);

#endif
