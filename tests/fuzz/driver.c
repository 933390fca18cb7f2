/*
 * driver.c - a plain main for the fuzz targets, where no fuzzing engine is at hand: the files of
 * the corpus, and copies of them with random changes, the same on every run, go through
 * LLVMFuzzerTestOneInput. With an engine (clang -fsanitize=fuzzer) this file is left out.
 *
 *     fuzz_idx [-m CHANGED_COPIES_OF_EACH] FILE|FOLDER ...
 */
#include "base/base.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MOST_BYTES ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

struct run {
    long copies, inputs;
};

/* Changes, drops or doubles a few bytes of buffer[0..length); gives the new length, at most 2
 * length. */
static size_t change(uint8_t *buffer, size_t length, struct seki_random *random)
{
    static const uint8_t telling[] = {0, 1, '0', '7', ' ', 0x7f, 0x80, 0xff};
    size_t most = 2 * length;
    for (uint32_t i = 0, changes = 1 + seki_random_below(random, 6); i < changes && length > 0;
         i++) {
        size_t at = seki_random_below(random, (uint32_t)length);
        size_t count = 1 + seki_random_below(random, (uint32_t)(length - at));
        switch (seki_random_below(random, 6)) {
        case 0:
            buffer[at] = (uint8_t)seki_random_next(random);
            break;
        case 1:
            buffer[at] ^= (uint8_t)(1U << seki_random_below(random, 8));
            break;
        case 2:
        case 3:
            buffer[at] = telling[seki_random_below(random, sizeof(telling))];
            break;
        case 4:
            memmove(buffer + at, buffer + at + count, length - at - count);
            length -= count;
            break;
        default:
            if (length + count > most)
                break;
            memmove(buffer + at + count, buffer + at, length - at);
            length += count;
        }
    }
    return length;
}

/* Exactly `length` bytes, so that a sanitizer sees a read past their end. */
static void run_input(struct run *run, const void *bytes, size_t length)
{
    uint8_t *exact = malloc(length > 0 ? length : 1);
    if (!exact)
        abort();
    if (length > 0)
        memcpy(exact, bytes, length);
    LLVMFuzzerTestOneInput(exact, length);
    free(exact);
    run->inputs++;
}

static int run_file(struct run *run, const char *path)
{
    struct seki_buffer file;
    struct seki_random random;
    struct seki_error error;
    if (seki_file_read(path, MOST_BYTES, &file, &error) < 0) {
        fprintf(stderr, "%s\n", error.message);
        return -1;
    }
    const char *slash = strrchr(path, '/');
    seki_random_seed(&random, 1, seki_hash_string(slash ? slash + 1 : path));
    run_input(run, file.data, file.length);
    uint8_t *copy = malloc(2 * file.length + 1);
    if (!copy)
        abort();
    for (long i = 0; i < run->copies; i++) {
        memcpy(copy, file.data, file.length);
        run_input(run, copy, change(copy, file.length, &random));
    }
    free(copy);
    seki_buffer_free(&file);
    return 0;
}

static int run_path(struct run *run, const char *path)
{
    struct dirent **entries;
    struct stat status;
    int result = 0;
    if (stat(path, &status) < 0 || !S_ISDIR(status.st_mode))
        return run_file(run, path);
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        perror(path);
        return -1;
    }
    for (int i = 0; i < count; i++) {
        char inner[4096];
        int length = snprintf(inner, sizeof(inner), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' &&
            (length < 0 || (size_t)length >= sizeof(inner) || run_path(run, inner) < 0))
            result = -1;
        free(entries[i]);
    }
    free(entries);
    return result;
}

int main(int argc, char **argv)
{
    struct run run = {0, 0};
    int status = 0, first = 1;
    if (argc > 2 && strcmp(argv[1], "-m") == 0) {
        run.copies = strtol(argv[2], NULL, 10);
        first = 3;
    }
    for (int i = first; i < argc; i++)
        if (run_path(&run, argv[i]) < 0)
            status = 1;
    if (run.inputs == 0) {
        fprintf(stderr, "%s: no input: name files or folders of a corpus\n", argv[0]);
        return 1;
    }
    printf("%s: %ld inputs\n", argv[0], run.inputs);
    return status;
}
