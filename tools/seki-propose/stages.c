/* stages.c - which candidates the new ones are made from: none, each of the input's, or the
 * repository's best. */
#include "propose.h"

#include <stdlib.h>
#include <string.h>

#define MAX_REPOSITORY 65536 /* records of the file that are looked at */

void run_random(const struct run *run, const char *purpose, struct seki_random *random)
{
    seki_random_seed(random, run->settings.seed, seki_hash_string(purpose) + run->index);
}

int parent_from(struct run *run, struct seki_record *record, struct parent *parent,
                struct seki_error *error)
{
    parent->record = record;
    if (seki_record_genotype(record, SEKI_STRICT, &parent->genotype, error) < 0)
        return -1;
    if (run->settings.space_given && parent->genotype.space != run->space)
        return seki_fail(error, SEKI_BAD_INPUT, "space", "the genotype is of %s, but --space is %s",
                         seki_space_name(parent->genotype.space), seki_space_name(run->space));
    if (!seki_record_number(record, "score", &parent->score))
        return seki_fail(error, SEKI_BAD_INPUT, "unscored",
                         "the record has no score; pass it through seki-eval first");
    seki_genotype_id(&parent->genotype, parent->id);
    return 0;
}

/* One candidate; the next one has other random numbers. */
static int propose(struct run *run, enum seki_space space, const struct parent *parents, int count,
                   struct seki_error *error)
{
    int result = run->policy != LLM      ? follow_rule(run, space, parents, count, error)
                 : run->settings.dry_run ? show_request(run, space, parents, count, error)
                                         : tasks_add(run, space, parents, count, error);

    run->index++;
    return result;
}

static bool ended(const struct run *run)
{
    return run->open || run->spent || seki_output_gone(run->output);
}

int run_random_policy(struct run *run, struct seki_error *error)
{
    for (long i = 0; i < run->settings.count && !ended(run); i++)
        if (propose(run, run->space, NULL, 0, error) < 0)
            return -1;
    return 0;
}

/* ---- Evolution ---------------------------------------------------------------------------- */

/* A record that is of no use goes out after what was begun before it. */
static int pass_on(struct run *run, struct seki_record *record, struct seki_error *error)
{
    return tasks_finish(run, error) < 0 ? -1 : write_record(run, record, error);
}

static int evolve(struct run *run, struct seki_record *record, const char *place,
                  struct seki_error *error)
{
    struct parent parent;
    struct seki_error why;

    if (seki_record_failed(record))
        return pass_on(run, record, error);
    if (parent_from(run, record, &parent, &why) < 0) {
        seki_fail_within(&why, "%s", place);
        seki_log_error(&run->log, "%s", why.message);
        if (seki_record_fail(record, &why, error) < 0)
            return -1;
        return pass_on(run, record, error);
    }
    if (history_add(run->history, record, error) < 0)
        return -1;
    for (long i = 0; i < run->settings.count && !ended(run); i++)
        if (propose(run, parent.genotype.space, &parent, 1, error) < 0)
            return -1;
    return 0;
}

int run_evolution(struct run *run, char **files, int count, struct seki_error *error)
{
    struct seki_records *records = seki_records_open(files, count, error);
    struct seki_record *record;
    struct seki_error unreadable;
    bool all_read = true;
    int got, result = 0;

    if (records == NULL)
        return -1;
    while (result == 0 && !ended(run)) {
        if (run->tasks != NULL && !seki_records_ready(records)) {
            result = tasks_step(run, seki_records_descriptor(records), error);
            continue;
        }
        got = seki_records_next(records, &record, error);
        if (got == 0)
            break;
        if (got < 0) { /* one file that cannot be read; the others may be */
            seki_log_error(&run->log, "%s", error->message);
            unreadable = *error;
            all_read = false;
            continue;
        }
        result = evolve(run, record, seki_records_place(records), error);
    }
    seki_records_close(records);
    if (result == 0)
        result = tasks_finish(run, error);
    if (result == 0 && !all_read) {
        *error = unreadable;
        return 1; /* said already */
    }
    return result;
}

/* ---- Inspiration -------------------------------------------------------------------------- */

/* The ids of a file of candidates, and its scores. */
static int load_seen(struct run *run, const char *path, struct seki_error *error)
{
    char *names[] = {(char *)path};
    struct seki_records *records = seki_records_open(names, 1, error);
    struct seki_record *record;
    int got, result = 0;

    if (records == NULL)
        return -1;
    while (result == 0 && (got = seki_records_next(records, &record, error)) != 0) {
        result = got < 0 || seen_add_record(run->seen, record, error) < 0 ||
                         history_add(run->history, record, error) < 0
                     ? -1
                     : 0;
        run->seen_wrong += got > 0 && seki_record_has(record, "line");
    }
    seki_records_close(records);
    return result;
}

static int load_repository(struct run *run, struct seki_error *error)
{
    const char *path = run->settings.repository;

    run->repository = seki_repository_new(MAX_REPOSITORY, error);
    if (run->repository == NULL || seki_repository_load(run->repository, path, error) < 0)
        return -1;
    for (int i = 0; i < seki_repository_count(run->repository); i++)
        if (seen_add_record(run->seen, seki_repository_at(run->repository, i), error) < 0)
            return seki_fail_within(error, "%s", path);
    return 0;
}

/* Files that cannot be read as they should are wrong configuration here, whatever is wrong with
 * them. */
int load_known(struct run *run, struct seki_error *error)
{
    run->seen = seen_new(error);
    run->history = history_new(error);
    if (run->seen == NULL || run->history == NULL)
        return -1;
    if ((run->settings.seen != NULL && load_seen(run, run->settings.seen, error) < 0) ||
        (run->settings.repository != NULL && load_repository(run, error) < 0)) {
        error->kind = SEKI_BAD_USE;
        return -1;
    }
    if (run->seen_wrong > 0)
        seki_log_warning(&run->log, "%s: %lu line%s no record, and passed over", run->settings.seen,
                         run->seen_wrong, run->seen_wrong == 1 ? " is" : "s are");
    return 0;
}

static int compare_indices(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Which records of the repository are shown: --draw of the best K, or of K chosen at random; the
 * best first. */
static int draw(const struct run *run, uint32_t *indices)
{
    uint32_t all = (uint32_t)seki_repository_count(run->repository), top, drawn;
    struct seki_random random;

    run_random(run, "draw", &random);
    for (uint32_t i = 0; i < all; i++)
        indices[i] = i;
    if (strcmp(run->settings.pick, "random") == 0)
        seki_random_shuffle(&random, indices, all);
    top = all < (unsigned long)run->settings.top ? all : (uint32_t)run->settings.top;
    drawn = top;
    if (run->settings.draw_given && run->settings.draw < (long)top)
        drawn = (uint32_t)run->settings.draw;
    seki_random_shuffle(&random, indices, top);
    qsort(indices, drawn, sizeof *indices, compare_indices);
    return (int)drawn;
}

static int inspire(struct run *run, uint32_t *indices, struct parent *parents,
                   struct seki_error *error)
{
    int drawn = draw(run, indices);

    for (int i = 0; i < drawn; i++) {
        struct seki_record *record = seki_repository_at(run->repository, (int)indices[i]);

        if (parent_from(run, record, &parents[i], error) < 0)
            return seki_fail_within(error, "%s: record %u", run->settings.repository,
                                    (unsigned)indices[i] + 1);
        if (parents[i].genotype.space != parents[0].genotype.space)
            return seki_fail(error, SEKI_BAD_USE, "space",
                             "%s holds candidates of two spaces; keep a repository for each",
                             run->settings.repository);
    }
    return propose(run, parents[0].genotype.space, parents, drawn, error);
}

int run_inspiration(struct run *run, struct seki_error *error)
{
    int count = seki_repository_count(run->repository), result = 0;
    size_t most = count < run->settings.top ? (size_t)count : (size_t)run->settings.top;
    struct seki_progress progress;
    struct parent *parents;
    uint32_t *indices;
    bool shown = run->policy == LLM && run->settings.count > 1;

    if (count == 0)
        return seki_fail(
            error, SEKI_BAD_USE, "repository",
            "%s holds no scored candidate to be inspired by; score some with seki-eval "
            "and merge them with seki-rank",
            run->settings.repository);
    parents = seki_allocate(most, sizeof *parents, error);
    indices = seki_allocate((size_t)count, sizeof *indices, error);
    if (parents == NULL || indices == NULL)
        result = -1;
    if (shown)
        seki_progress_start(&progress, &run->log, "inspiration", "candidates",
                            (double)run->settings.count);
    for (long i = 0; i < run->settings.count && result == 0 && !ended(run); i++) {
        result = inspire(run, indices, parents, error);
        if (shown)
            seki_progress_set(&progress, (double)run->written);
    }
    if (result == 0)
        result = tasks_finish(run, error);
    if (shown)
        seki_progress_end(&progress);
    free(parents);
    free(indices);
    return result;
}
