/*
 * evidence.c - what the scores of a search say as a whole, in texts for the prompt: what single
 * edges did, promising neighbours of the best that nobody has tried, the worst, the scores' noise.
 */
#include "propose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_EFFECTS    40
#define SHOWN_BEST       3 /* whose neighbours are shown */
#define SHOWN_NEIGHBOURS 5 /* of each of them */
#define SHOWN_WORST      3
#define FEW              3 /* pairs */
#define MIN_REPEATS      5 /* scores beyond the first that make a noise known */

/* ---- Effects --------------------------------------------------------------------------------- */

/* Pointers into one array: equal weights and places are put in its order, of cell, node, input and
 * operation. How much an effect says: its mean in units of what one pair scatters, up to a factor
 * that all share. */
static double weight_of(const struct seki_effect *effect)
{
    return fabs(effect->mean) * sqrt((double)effect->pairs);
}

static int compare_weights(const void *a, const void *b)
{
    const struct seki_effect *x = *(const struct seki_effect *const *)a;
    const struct seki_effect *y = *(const struct seki_effect *const *)b;

    if (weight_of(x) == weight_of(y))
        return (x > y) - (x < y);
    return weight_of(x) < weight_of(y) ? 1 : -1;
}

static int compare_places(const void *a, const void *b)
{
    const struct seki_effect *x = *(const struct seki_effect *const *)a;
    const struct seki_effect *y = *(const struct seki_effect *const *)b;

    return (x > y) - (x < y);
}

static void print_effect(struct seki_buffer *text, enum seki_space space,
                         const struct seki_effect *effect)
{
    const struct seki_edge *edge = &effect->edge;

    if (space == SEKI_NAS201)
        show_line(text, "- from_%d_to_%d %s: %+.3g (%zu)", edge->input, edge->node,
                  seki_op_name(edge->op), effect->mean, effect->pairs);
    else
        show_line(text, "- %s node %d from %d %s: %+.3g (%zu)",
                  effect->cell == SEKI_NORMAL ? "normal" : "reduce", edge->node, edge->input,
                  seki_op_name(edge->op), effect->mean, effect->pairs);
}

static int show_effects(struct evidence *evidence, const struct seki_effects *effects,
                        struct seki_error *error)
{
    size_t count = seki_effects_count(effects),
           shown = count < SHOWN_EFFECTS ? count : SHOWN_EFFECTS;
    const struct seki_effect **order;

    if (count == 0)
        return 0;
    order = seki_allocate(count, sizeof *order, error);
    if (order == NULL)
        return -1;
    for (size_t i = 0; i < count; i++)
        order[i] = seki_effects_at(effects, i);
    qsort(order, count, sizeof *order, compare_weights);
    qsort(order, shown, sizeof *order, compare_places);
    for (size_t i = 0; i < shown; i++)
        print_effect(&evidence->effects, evidence->space, order[i]);
    free(order);
    return 0;
}

/* ---- The best and the worst -------------------------------------------------------------------
 */

/* Puts a candidate among `count` of at most `most`, kept with the first the best by `sign`, each id
 * once. Returns the new count. */
static int keep(struct past *kept, int count, int most, const struct past *past, double sign)
{
    int at = count;

    for (int i = 0; i < count; i++)
        if (strcmp(kept[i].id, past->id) == 0)
            return count;
    while (at > 0 && sign * kept[at - 1].score < sign * past->score)
        at--;
    if (at == most)
        return count;
    if (count < most)
        count++;
    memmove(&kept[at + 1], &kept[at], (size_t)(count - 1 - at) * sizeof *kept);
    kept[at] = *past;
    return count;
}

static int select_past(const struct run *run, enum seki_space space, double sign, int most,
                       struct past *kept)
{
    struct past past;
    int count = 0;

    for (size_t i = 0; i < history_count(run->history); i++) {
        history_at(run->history, i, &past);
        if (past.genotype.space == space)
            count = keep(kept, count, most, &past, sign);
    }
    return count;
}

/* ---- Neighbours nobody has tried ----------------------------------------------------------------
 */

struct promise {
    struct seki_change change;
    double gain; /* by the effects; 0 where they say nothing. Of equals the id, a hash, decides */
    char id[SEKI_ID_LENGTH + 1];
};

static int compare_promises(const void *a, const void *b)
{
    const struct promise *x = a, *y = b;

    return x->gain != y->gain ? (x->gain < y->gain) - (x->gain > y->gain) : strcmp(x->id, y->id);
}

/* Of few pairs less is believed: as if there were FEW more that show no difference. */
static double effect_of(const struct seki_effects *effects, int cell, const struct seki_edge *edge)
{
    const struct seki_effect *effect = seki_effects_find(effects, cell, edge);

    return effect == NULL ? 0
                          : effect->mean * (double)effect->pairs / (double)(effect->pairs + FEW);
}

/* The id of nas201's cell without a path to its output. */
static void find_dead(char dead[SEKI_ID_LENGTH + 1])
{
    struct seki_genotype nothing;

    if (seki_genotype_parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", SEKI_STRICT,
                            &nothing, NULL) < 0)
        SEKI_BUG("the notation of nothing does not read");
    seki_genotype_id(&nothing, dead);
}

static int show_neighbours_of(struct run *run, const struct past *best,
                              const struct seki_effects *effects, struct seki_buffer *text,
                              struct seki_error *error)
{
    int all = seki_genotype_neighbours(&best->genotype), count = 0;
    struct promise *promises = seki_allocate((size_t)all, sizeof *promises, error);
    char genotype[SEKI_GENOTYPE_TEXT], words[128], dead[SEKI_ID_LENGTH + 1];

    if (promises == NULL)
        return -1;
    find_dead(dead);
    for (int i = 0; i < all; i++) {
        struct promise *promise = &promises[count];
        struct seki_genotype neighbour;
        struct past tried;
        char id[SEKI_ID_LENGTH + 1];

        seki_genotype_neighbour(&best->genotype, i, &neighbour, &promise->change);
        seki_genotype_id(&neighbour, id);
        /* by the history, not by what this call has proposed: with several requests at once that
         * would depend on which reply comes first */
        if (strcmp(id, dead) == 0 || history_find(run->history, id, &tried) ||
            check_constraints(run, &neighbour, NULL) < 0)
            continue;
        promise->gain = effect_of(effects, promise->change.cell, &promise->change.after) -
                        effect_of(effects, promise->change.cell, &promise->change.before);
        memcpy(promise->id, id, sizeof id);
        count++;
    }
    qsort(promises, (size_t)count, sizeof *promises, compare_promises);
    seki_genotype_print(&best->genotype, genotype);
    if (count > 0)
        show_line(text, "%s (%.4g)", genotype, best->score);
    for (int i = 0; i < count && i < SHOWN_NEIGHBOURS; i++) {
        show_change(best->genotype.space, &promises[i].change, words, sizeof words);
        show_line(text, "- %s", words);
    }
    free(promises);
    return 0;
}

static int show_neighbours(struct run *run, struct evidence *evidence,
                           const struct seki_effects *effects, struct seki_error *error)
{
    struct past best[SHOWN_BEST];
    int count = 0;

    if (seki_effects_count(effects) > 0) /* else nothing says which are promising */
        count = select_past(run, evidence->space, 1, SHOWN_BEST, best);

    for (int i = 0; i < count; i++)
        if (show_neighbours_of(run, &best[i], effects, &evidence->neighbours, error) < 0)
            return -1;
    return 0;
}

/* Where there are so few scores that the worst are among the best, they tell nothing. */
static void show_worst(const struct run *run, struct evidence *evidence)
{
    struct past worst[SHOWN_WORST];
    char genotype[SEKI_GENOTYPE_TEXT];
    int count;

    if (history_count(run->history) < 2 * SHOWN_WORST)
        return;
    count = select_past(run, evidence->space, -1, SHOWN_WORST, worst);
    for (int i = 0; i < count; i++) {
        seki_genotype_print(&worst[i].genotype, genotype);
        show_line(&evidence->worst, "- %.4g: %s", worst[i].score, genotype);
    }
}

/* ---- All of it --------------------------------------------------------------------------------
 */

static struct seki_effects *compute_effects(const struct run *run, enum seki_space space,
                                            struct seki_error *error)
{
    struct seki_effects *effects = seki_effects_new(space, error);
    struct past past;
    int result = effects == NULL ? -1 : 0;

    for (size_t i = 0; i < history_count(run->history) && result == 0; i++) {
        history_at(run->history, i, &past);
        if (past.genotype.space == space && fabs(past.score) <= 1e100)
            result = seki_effects_add(effects, &past.genotype, past.score, error);
    }
    if (result == 0 && seki_effects_compute(effects, error) == 0)
        return effects;
    seki_effects_free(effects);
    return NULL;
}

static struct evidence *make_evidence(struct run *run, enum seki_space space,
                                      struct seki_error *error)
{
    struct evidence *evidence = seki_allocate(1, sizeof *evidence, error);
    struct seki_effects *effects = compute_effects(run, space, error);
    size_t repeats;
    int result = -1;

    if (evidence != NULL && effects != NULL) {
        evidence->space = space;
        evidence->seen = history_count(run->history);
        seki_buffer_init(&evidence->effects, MAX_EFFECTS);
        seki_buffer_init(&evidence->neighbours, MAX_NEIGHBOURS);
        seki_buffer_init(&evidence->worst, MAX_WORST);
        evidence->noise = run->settings.noise;
        if (!(evidence->noise > 0) &&
            (!seki_effects_noise(effects, &evidence->noise, &repeats) || repeats < MIN_REPEATS))
            evidence->noise = -1;
        show_worst(run, evidence);
        result = show_effects(evidence, effects, error) < 0
                     ? -1
                     : show_neighbours(run, evidence, effects, error);
    }
    seki_effects_free(effects);
    if (result == 0)
        return evidence;
    evidence_free(evidence);
    return NULL;
}

int evidence_update(struct run *run, enum seki_space space, struct seki_error *error)
{
    struct evidence *evidence = run->evidence;

    if (evidence != NULL && evidence->space == space &&
        evidence->seen == history_count(run->history))
        return 0;
    evidence = make_evidence(run, space, error);
    if (evidence == NULL)
        return -1;
    evidence_free(run->evidence);
    run->evidence = evidence;
    return 0;
}

void evidence_free(struct evidence *evidence)
{
    if (evidence == NULL)
        return;
    seki_buffer_free(&evidence->effects);
    seki_buffer_free(&evidence->neighbours);
    seki_buffer_free(&evidence->worst);
    free(evidence);
}
