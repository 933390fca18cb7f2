/*
 * rules.c - candidates that need no model.
 *
 * random: uniform over the space.
 * mutate: a mutation of one of the parents given; with --population, of the best of a tournament
 *         among the last P scored candidates: regularised evolution (Real et al. 2019, "Regularized
 *         Evolution for Image Classifier Architecture Search", algorithm 1).
 * local:  local search that moves to the first neighbour that is better, with random restarts
 *         (White et al. 2021, "Exploring the Loss Landscape in Neural Architecture Search", the
 *         variant that queries until lower).
 *
 * A candidate follows from the seed, its index in the call and the history alone: there is no state
 * that a search which is cut short would lose.
 */
#include "propose.h"

#include <stdlib.h>
#include <string.h>

/* Draws until one is new; a small space may be all seen, or all around a parent. */
#define MAX_DRAWS 1000

struct draw {
    struct seki_genotype genotype;
    char id[SEKI_ID_LENGTH + 1];
    struct parent parent;
    bool has_parent;
};

/* One candidate on its way. */
struct search {
    struct run *run;
    enum seki_space space;
    const struct parent *given; /* by the stage */
    int given_count;
    size_t *population; /* the last P scored ones of the space, the latest first */
    long alive;         /* how many these are */
    struct seki_random random;
    struct draw draw;      /* the last one */
    struct draw refused;   /* the last one that was new but outside the bounds, */
    struct seki_error why; /* and by how much */
    int refusals;
};

/* ---- Which draws are taken ----------------------------------------------------------------- */

static bool is_known(const struct search *search)
{
    struct past past;

    return seen_has(search->run->seen, search->draw.id) ||
           history_find(search->run->history, search->draw.id, &past) ||
           (search->draw.has_parent && strcmp(search->draw.id, search->draw.parent.id) == 0);
}

/* 1: the genotype drawn is new and within the bounds; 0: it is not; -1: that cannot be told. */
static int judge(struct search *search, struct seki_error *error)
{
    struct seki_error why;

    seki_genotype_id(&search->draw.genotype, search->draw.id);
    if (is_known(search))
        return 0;
    if (check_constraints(search->run, &search->draw.genotype, &why) == 0)
        return 1;
    if (why.kind != SEKI_BAD_INPUT) { /* no such network: the settings are wrong */
        *error = why;
        return -1;
    }
    search->refused = search->draw;
    search->why = why;
    search->refusals++;
    return 0;
}

static void draw_uniform(struct search *search)
{
    search->draw.has_parent = false;
    seki_genotype_sample(search->space, &search->random, &search->draw.genotype);
}

static void set_parent(struct search *search, const struct past *past)
{
    search->draw.parent = (struct parent){.genotype = past->genotype, .score = past->score};
    memcpy(search->draw.parent.id, past->id, sizeof past->id);
    search->draw.has_parent = true;
}

/* ---- Regularised evolution ----------------------------------------------------------------- */

/* The population is a queue: of all that were scored in this space, the last P live. */
static int find_population(struct search *search, struct seki_error *error)
{
    const struct history *history = search->run->history;
    long most = search->run->settings.population;
    size_t count = history_count(history);
    struct past past;

    if ((size_t)most > count)
        return 0; /* it is not yet whole */
    search->population = seki_allocate((size_t)most, sizeof *search->population, error);
    if (search->population == NULL)
        return -1;
    while (count-- > 0 && search->alive < most) {
        history_at(history, count, &past);
        if (past.genotype.space == search->space)
            search->population[search->alive++] = count;
    }
    return 0;
}

/* One of the population, each with the same chance. */
static void draw_member(struct search *search, struct past *past)
{
    uint32_t drawn = seki_random_below(&search->random, (uint32_t)search->alive);

    history_at(search->run->history, search->population[drawn], past);
}

/* The best of so many draws with replacement, the first of equals, is the parent. */
static void draw_tournament(struct search *search)
{
    struct past best, past;

    draw_member(search, &best);
    for (long i = 1; i < search->run->settings.tournament; i++) {
        draw_member(search, &past);
        if (past.score > best.score)
            best = past;
    }
    set_parent(search, &best);
    seki_genotype_mutate(&best.genotype, &search->random, &search->draw.genotype);
}

static void draw_mutation(struct search *search)
{
    if (search->run->settings.population == 0) {
        search->draw.parent =
            search->given[seki_random_below(&search->random, (uint32_t)search->given_count)];
        search->draw.has_parent = true;
        seki_genotype_mutate(&search->draw.parent.genotype, &search->random,
                             &search->draw.genotype);
    } else if (search->alive < search->run->settings.population) {
        draw_uniform(search);
    } else {
        draw_tournament(search);
    }
}

/* ---- Local search -------------------------------------------------------------------------- */

/* The best that was scored since the last restart, which is a candidate without a parent; the
 * earliest of equals. False where nothing is scored in this space. */
static bool find_current(const struct search *search, struct past *current)
{
    const struct history *history = search->run->history;
    struct past past;
    bool found = false;

    for (size_t i = history_count(history); i-- > 0;) {
        history_at(history, i, &past);
        if (past.genotype.space != search->space)
            continue;
        if (!found || past.score >= current->score)
            *current = past;
        found = true;
        if (past.parent[0] == '\0')
            break;
    }
    return found;
}

/* One of the current one's neighbours that are new and within the bounds, each with the same
 * chance: the first such one in a random order. As judge; 0 too where there is no current one. */
static int draw_neighbour(struct search *search, struct seki_error *error)
{
    struct past current;
    uint32_t *order, count;
    int taken = 0;

    if (!find_current(search, &current))
        return 0;
    count = (uint32_t)seki_genotype_neighbours(&current.genotype);
    order = seki_allocate(count, sizeof *order, error);
    if (order == NULL)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    seki_random_shuffle(&search->random, order, count);
    set_parent(search, &current);
    for (uint32_t i = 0; i < count && taken == 0; i++) {
        seki_genotype_neighbour(&current.genotype, (int)order[i], &search->draw.genotype, NULL);
        taken = judge(search, error);
    }
    free(order);
    return taken;
}

/* ---- A candidate --------------------------------------------------------------------------- */

/* As judge, after up to MAX_DRAWS of them. */
static int draw_new(struct search *search, struct seki_error *error)
{
    int taken = 0;

    if (search->run->policy == LOCAL)
        taken = draw_neighbour(search, error);
    else if (search->run->policy == MUTATE && search->run->settings.population > 0 &&
             find_population(search, error) < 0)
        return -1;
    if (taken == 0)
        search->refusals = 0; /* those of neighbours are no draws */
    for (int i = 0; i < MAX_DRAWS && taken == 0; i++) {
        if (search->run->policy == MUTATE)
            draw_mutation(search);
        else
            draw_uniform(search);
        taken = judge(search, error);
    }
    return taken;
}

/* Why none of the draws was taken. The bounds are named where they refused any: they are what the
 * caller can change. */
static void explain(struct search *search, struct seki_error *why)
{
    if (search->refusals == 0) {
        seki_fail(why, SEKI_BAD_INPUT, "duplicate",
                  "none of %d draws is new; the last, %s, has been proposed or scored already",
                  MAX_DRAWS, search->draw.id);
        return;
    }
    search->draw = search->refused;
    *why = search->why;
    seki_fail_within(why, "of %d draws %d are known already and %d outside the bounds, the last",
                     MAX_DRAWS, MAX_DRAWS - search->refusals, search->refusals);
}

int follow_rule(struct run *run, enum seki_space space, const struct parent *parents, int count,
                struct seki_error *error)
{
    struct search search = {.run = run, .space = space, .given = parents, .given_count = count};
    struct candidate candidate = {.space = space, .genotype = &search.draw.genotype};
    struct seki_error why;
    int taken;

    run_random(run, run->settings.policy_name, &search.random);
    taken = draw_new(&search, error);
    free(search.population);
    if (taken < 0)
        return -1;
    if (taken == 0) {
        explain(&search, &why);
        candidate.error = &why;
    } else if (seen_add(run->seen, search.draw.id, error) < 0) {
        return -1;
    }
    if (search.draw.has_parent) {
        candidate.parents = &search.draw.parent;
        candidate.parent_count = 1;
    }
    return write_candidate(run, &candidate, error);
}
