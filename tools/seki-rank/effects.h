/*
 * effects.h - what `seki-rank --effects` prints: the effects of single edges, for a person.
 */
#ifndef SEKI_RANK_EFFECTS_H
#define SEKI_RANK_EFFECTS_H

#include "record/record.h"

/* A record with a score. The first one of a strict genotype makes *effects, which is NULL before,
 * for its space; -1 with SEKI_BAD_INPUT: this record is not compared, the others are. */
int effects_add(struct seki_effects **effects, const struct seki_record *record,
                struct seki_error *error);
/* The table, after the last record; effects is NULL where there was none. */
int effects_write(struct seki_effects *effects, struct seki_output *output,
                  struct seki_error *error);

#endif
