/*
 * statistics.h - what `seki-rank --stats` says of a stream of candidates.
 */
#ifndef SEKI_RANK_STATISTICS_H
#define SEKI_RANK_STATISTICS_H

#include "record/record.h"

/* Shares above which a failure sign is present; the man page has them too. */
#define SYNTAX_ERRORS_ABOVE        0.1
#define MODE_COLLAPSE_ABOVE        0.5
#define PERFORMANCE_COLLAPSE_ABOVE 0.5

struct statistics;
struct statistics *statistics_new(struct seki_error *error);
int statistics_add(struct statistics *statistics, const struct seki_record *record,
                   struct seki_error *error);
/* One JSON object; `top` is the repository as it stands, of at most k. */
int statistics_write(struct statistics *statistics, struct seki_repository *top, int k,
                     struct seki_record *out, struct seki_error *error);
void statistics_free(struct statistics *statistics);

#endif
