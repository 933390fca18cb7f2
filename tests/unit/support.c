/*
 * support.c - what several unit tests share: a scratch folder, small files.
 */
#include "support.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

int support_make_folder(void **state)
{
    const char *parent = getenv("TMPDIR");
    char *folder = malloc(4096);

    if (!folder)
        return -1;
    snprintf(folder, 4096, "%s/seki-test-XXXXXX", parent && *parent ? parent : "/tmp");
    *state = folder;
    return mkdtemp(folder) ? 0 : -1;
}

/* Removes a folder of files and folders, `depth` deep at most. */
static int remove_tree(const char *folder, int depth)
{
    DIR *listing = opendir(folder);
    struct dirent *entry;
    char path[8192];
    struct stat status;

    while (listing && (entry = readdir(listing))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (lstat(path, &status) == 0 && S_ISDIR(status.st_mode) && depth > 0)
            remove_tree(path, depth - 1);
        else
            unlink(path);
    }
    if (listing)
        closedir(listing);
    return rmdir(folder);
}

int support_remove_folder(void **state)
{
    int result = remove_tree(*state, 4);

    free(*state);
    *state = NULL;
    return result;
}

char *support_path(void **state, const char *name)
{
    static char paths[4][8192];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof *paths, "%s/%s", (const char *)*state, name);
    return path;
}

void support_write(const char *path, const void *bytes, size_t count)
{
    FILE *stream = fopen(path, "wb");

    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, count, stream), count);
    assert_int_equal(fclose(stream), 0);
}

char *support_read(const char *path, size_t *count)
{
    FILE *stream = fopen(path, "rb");
    struct stat status;
    char *text;
    size_t got;

    if (!stream)
        return NULL;
    assert_int_equal(fstat(fileno(stream), &status), 0);
    text = malloc((size_t)status.st_size + 1);
    assert_non_null(text);
    got = fread(text, 1, (size_t)status.st_size, stream);
    text[got] = '\0';
    fclose(stream);
    if (count)
        *count = got;
    return text;
}

int support_count_entries(const char *folder)
{
    DIR *listing = opendir(folder);
    struct dirent *entry;
    int count = 0;

    assert_non_null(listing);
    while ((entry = readdir(listing)))
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(listing);
    return count;
}
