/*
 * repository.c - the k best candidates, best first, one for each id.
 */
#include "record/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "record/record_internal.h"

struct entry {
    struct seki_record *record;
    double score;
    char id[SEKI_ID_LENGTH + 1];
};

struct seki_repository {
    struct entry *entries; /* room for k, by falling score; of equal scores the earlier first */
    int count, k;
};

struct seki_repository *seki_repository_new(int k, struct seki_error *error)
{
    struct seki_repository *repository;

    if (k < 1) {
        seki_fail(error, SEKI_BAD_USE, "use", "k is %d; a repository keeps at least 1", k);
        return NULL;
    }
    repository = seki_allocate(1, sizeof *repository, error);
    if (repository == NULL)
        return NULL;
    repository->entries = seki_allocate((size_t)k, sizeof *repository->entries, error);
    repository->k = k;
    if (repository->entries == NULL) {
        free(repository);
        return NULL;
    }
    return repository;
}

void seki_repository_free(struct seki_repository *repository)
{
    if (repository == NULL)
        return;
    for (int i = 0; i < repository->count; i++)
        seki_record_free(repository->entries[i].record);
    free(repository->entries);
    free(repository);
}

int seki_repository_count(const struct seki_repository *repository)
{
    return repository->count;
}

struct seki_record *seki_repository_at(struct seki_repository *repository, int index)
{
    return repository->entries[index].record;
}

/* ---- Adding ------------------------------------------------------------------------------- */

/* Where a new candidate of that score belongs: behind all that are as good. */
static int position(const struct seki_repository *repository, double score)
{
    int low = 0, high = repository->count;

    while (low < high) {
        int middle = low + (high - low) / 2;

        if (repository->entries[middle].score >= score)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int find_id(const struct seki_repository *repository, const char *id)
{
    for (int i = 0; i < repository->count; i++) {
        if (memcmp(repository->entries[i].id, id, SEKI_ID_LENGTH) == 0)
            return i;
    }
    return -1;
}

static void take_out(struct seki_repository *repository, int index)
{
    struct entry *at = &repository->entries[index];

    seki_record_free(at->record);
    repository->count--;
    memmove(at, at + 1, (size_t)(repository->count - index) * sizeof *at);
}

static bool has_string(const struct seki_record *record, const char *path, const char *value)
{
    const char *found = seki_record_string(record, path);

    return found != NULL && strcmp(found, value) == 0;
}

/* A copy whose space, genotype and id are there and canonical; left as it came where they are. */
static struct seki_record *canonical_copy(const struct seki_record *record,
                                          const struct seki_genotype *genotype, const char *id,
                                          struct seki_error *error)
{
    struct seki_record *copy = seki_record_copy(record, error);
    char text[SEKI_GENOTYPE_TEXT];

    if (copy == NULL)
        return NULL;
    seki_genotype_print(genotype, text);
    if (has_string(copy, "id", id) && has_string(copy, "genotype", text) &&
        has_string(copy, "space", seki_space_name(genotype->space)))
        return copy;
    if (seki_record_set_genotype(copy, genotype, error) == 0)
        return copy;
    seki_record_free(copy);
    return NULL;
}

static int insert(struct seki_repository *repository, const struct entry *entry)
{
    int at = position(repository, entry->score);
    struct entry *place;

    if (repository->count == repository->k)
        take_out(repository, repository->count - 1);
    place = &repository->entries[at];
    memmove(place + 1, place, (size_t)(repository->count - at) * sizeof *place);
    *place = *entry;
    repository->count++;
    return 1;
}

int seki_repository_add(struct seki_repository *repository, const struct seki_record *record,
                        struct seki_error *error)
{
    struct seki_genotype genotype;
    struct entry entry;
    int same;

    if (seki_record_failed(record))
        return seki_fail(error, SEKI_BAD_INPUT, "repository", "the record has an error");
    if (!seki_record_number(record, "score", &entry.score))
        return seki_fail(error, SEKI_BAD_INPUT, "repository",
                         "the record has no score; seki-eval gives one");
    if (seki_record_genotype(record, SEKI_LAX, &genotype, error) < 0)
        return -1;
    if (position(repository, entry.score) == repository->k)
        return 0; /* worse than all k, or as good and later */
    seki_genotype_id(&genotype, entry.id);
    same = find_id(repository, entry.id);
    if (same >= 0 && repository->entries[same].score >= entry.score)
        return 0;
    entry.record = canonical_copy(record, &genotype, entry.id, error);
    if (entry.record == NULL)
        return -1;
    if (same >= 0)
        take_out(repository, same);
    return insert(repository, &entry);
}

/* ---- The file ----------------------------------------------------------------------------- */

static int add_line(struct seki_repository *repository, const struct seki_records *records,
                    const struct seki_record *record, struct seki_error *error)
{
    const char *message = seki_record_string(record, "error.message");

    /* A line that is no record: the message names the place already. */
    if (message != NULL && seki_record_has(record, "line"))
        return seki_fail(error, SEKI_BAD_INPUT, "repository", "%s; mend or remove that line",
                         message);
    if (seki_repository_add(repository, record, error) < 0)
        return seki_fail_within(error, "%s", seki_records_place(records));
    return 0;
}

int seki_repository_load(struct seki_repository *repository, const char *path,
                         struct seki_error *error)
{
    char *names[] = {(char *)path};
    struct seki_records *records;
    struct seki_record *record;
    struct stat status;
    int got;

    if (stat(path, &status) < 0)
        return errno == ENOENT ? 0 : seki_fail_errno(error, "repository", "%s: cannot read", path);
    if (!S_ISREG(status.st_mode))
        return seki_fail(error, SEKI_NO_RESOURCE, "repository",
                         "%s: is not a regular file, which a repository must be", path);
    records = seki_records_open(names, 1, error);
    if (records == NULL)
        return -1;
    while ((got = seki_records_next(records, &record, error)) > 0) {
        if (add_line(repository, records, record, error) < 0) {
            got = -1;
            break;
        }
    }
    seki_records_close(records);
    return got;
}

int seki_repository_save(struct seki_repository *repository, const char *path,
                         struct seki_error *error)
{
    struct seki_file *file = seki_file_create(path, error);

    if (file == NULL)
        return -1;
    for (int i = 0; i < repository->count; i++) {
        size_t length;
        const char *text = seki_record_text(repository->entries[i].record, &length, error);

        fwrite(text, 1, length, seki_file_stream(file));
        putc('\n', seki_file_stream(file)); /* a failed write shows in the commit */
    }
    return seki_file_commit(file, error);
}
