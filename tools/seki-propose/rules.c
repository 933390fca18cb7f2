/* rules.c - candidates that need no model: uniform random ones, and mutations. */
#include "propose.h"

#include <string.h>

/* Draws until one is new; a small space may be all seen, or all around a parent. */
#define MAX_DRAWS 1000

int follow_rule(struct run *run, enum seki_space space, const struct parent *parents, int count,
                struct seki_error *error)
{
    struct seki_genotype genotype;
    struct seki_random random;
    struct seki_error why;
    char id[SEKI_ID_LENGTH + 1];
    int parent = 0;
    bool new = false;
    struct candidate candidate = {.space = space, .genotype = &genotype};

    run_random(run, run->settings.policy_name, &random);
    for (int i = 0; i < MAX_DRAWS && !new; i++) {
        if (run->policy == RANDOM) {
            seki_genotype_sample(space, &random, &genotype);
        } else {
            parent = (int)seki_random_below(&random, (uint32_t)count);
            seki_genotype_mutate(&parents[parent].genotype, &random, &genotype);
        }
        seki_genotype_id(&genotype, id);
        new = !seen_has(run->seen, id) &&
              (run->policy == RANDOM || strcmp(id, parents[parent].id) != 0);
    }
    if (run->policy == MUTATE) {
        candidate.parents = &parents[parent];
        candidate.parent_count = 1;
    }
    if (!new) {
        seki_fail(&why, SEKI_BAD_INPUT, "duplicate",
                  "none of %d draws is new; the last, %s, has been proposed or scored already",
                  MAX_DRAWS, id);
        candidate.error = &why;
    } else if (seen_add(run->seen, id, error) < 0) {
        return -1;
    }
    return write_candidate(run, &candidate, error);
}
