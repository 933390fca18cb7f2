/*
 * file.c - files that appear whole or not at all.
 *
 * A file is written as PATH.tmp-PID-N beside its place and renamed over it. The writer holds a
 * flock on it all the while, so that a temporary file which nobody holds is known to be a killed
 * writer's, and the next writer of the same path takes it away. (flock is not in POSIX; Linux and
 * the BSDs have it.)
 */
#include "base/base_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct seki_file {
    FILE *stream;
    char *path;      /* where it is to appear, links resolved */
    char *temporary; /* its name until then */
};

/* The folder that path lies in, as a name to open. Freed by the caller; NULL: out of memory. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return strdup(".");
    if (slash == path)
        return strdup("/");
    return strndup(path, (size_t)(slash - path));
}

static void remove_if_stale(const char *name)
{
    struct stat status;
    int descriptor;

    if (lstat(name, &status) < 0 || !S_ISREG(status.st_mode))
        return;
    descriptor = seki_open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (descriptor < 0)
        return;
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0 && seki_names_file(name, descriptor))
        unlink(name);
    close(descriptor);
}

/* Takes away what killed writers of this path left. That it fails is no reason not to write. */
static void remove_stale_temporaries(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    char *folder = folder_of(path);
    DIR *listing = folder ? opendir(folder) : NULL;
    struct seki_buffer name;
    struct dirent *entry;
    size_t length = strlen(base);

    seki_buffer_init(&name, SEKI_MAX_LINE);
    while (listing && (entry = readdir(listing))) {
        if (strncmp(entry->d_name, base, length) != 0 ||
            strncmp(entry->d_name + length, ".tmp-", 5) != 0)
            continue;
        seki_buffer_clear(&name);
        seki_buffer_printf(&name, "%s/%s", folder, entry->d_name);
        if (!name.failed)
            remove_if_stale(name.data);
    }
    seki_buffer_free(&name);
    if (listing)
        closedir(listing);
    free(folder);
}

static char *temporary_name(const char *path, unsigned attempt)
{
    size_t size = strlen(path) + 48;
    char *name = malloc(size);

    if (name)
        snprintf(name, size, "%s.tmp-%ld-%u", path, (long)getpid(), attempt);
    return name;
}

/* Creates and locks the temporary file: sets file->temporary and returns its descriptor. */
static int create_temporary(struct seki_file *file, mode_t mode)
{
    for (unsigned attempt = 0; attempt < 10000; attempt++) {
        struct stat status;
        int descriptor;

        free(file->temporary);
        file->temporary = temporary_name(file->path, attempt);
        if (!file->temporary)
            return -1;
        descriptor = seki_open(file->temporary, O_WRONLY | O_CREAT | O_EXCL, mode);
        if (descriptor < 0 && errno == EEXIST)
            continue;
        if (descriptor < 0)
            return -1;
        while (flock(descriptor, LOCK_EX) < 0 && errno == EINTR)
            ;
        /* Somebody may have taken it for stale between its making and its lock. */
        if (fstat(descriptor, &status) == 0 && status.st_nlink > 0)
            return descriptor;
        close(descriptor);
    }
    errno = EEXIST;
    return -1;
}

/* The mode that the file shall have: that of the file which it replaces, or as umask has it. */
static int check_target(const char *path, mode_t *mode, bool *exists, struct seki_error *error)
{
    struct stat status;

    *mode = 0666;
    *exists = stat(path, &status) == 0;
    if (!*exists)
        return 0;
    if (!S_ISREG(status.st_mode)) /* root could rename a file over /dev/null */
        return seki_fail(error, SEKI_BAD_USE, "file", "%s: is %s, not a file that can be replaced",
                         path, S_ISDIR(status.st_mode) ? "a folder" : "a special file");
    *mode = status.st_mode & 0777;
    return 0;
}

struct seki_file *seki_file_create(const char *path, struct seki_error *error)
{
    struct seki_file *file = seki_allocate(1, sizeof *file, error);
    bool exists;
    mode_t mode;
    int descriptor = -1;

    if (!file)
        return NULL;
    file->path = seki_resolve_link(path, error);
    if (!file->path || check_target(file->path, &mode, &exists, error) < 0)
        goto failed;
    remove_stale_temporaries(file->path);
    descriptor = create_temporary(file, mode);
    if (descriptor < 0) {
        seki_fail_errno(error, "file", "%s: cannot write", path);
        goto failed;
    }
    if (exists)
        (void)fchmod(descriptor, mode); /* beyond what umask let through; not worth failing for */
    file->stream = fdopen(descriptor, "w");
    if (!file->stream) {
        seki_fail_errno(error, "file", "%s: cannot write", path);
        unlink(file->temporary);
        close(descriptor);
        goto failed;
    }
    return file;
failed:
    free(file->temporary);
    free(file->path);
    free(file);
    return NULL;
}

FILE *seki_file_stream(struct seki_file *file)
{
    return file->stream;
}

/* Some file systems cannot fsync a folder: their rename is as durable as it gets. */
static int sync_folder(const char *path)
{
    char *folder = folder_of(path);
    int descriptor = folder ? seki_open(folder, O_RDONLY | O_DIRECTORY, 0) : -1;
    int result = descriptor < 0 ? -1 : fsync(descriptor);

    if (result < 0 && (errno == EINVAL || errno == EACCES))
        result = 0;
    if (descriptor >= 0)
        close(descriptor);
    free(folder);
    return result;
}

int seki_file_commit(struct seki_file *file, struct seki_error *error)
{
    int result = 0;

    errno = 0;
    /* Renamed while open: closing ends the flock, and others would take the file for stale. */
    if (fflush(file->stream) != 0 || ferror(file->stream) || fsync(fileno(file->stream)) < 0 ||
        rename(file->temporary, file->path) < 0) {
        if (errno == 0) /* an earlier write failed, its reason is lost */
            errno = EIO;
        result = seki_fail_errno(error, "file", "%s: cannot write", file->path);
        seki_file_abandon(file);
        return result;
    }
    fclose(file->stream);
    if (sync_folder(file->path) < 0)
        result = seki_fail_errno(error, "file", "%s: cannot sync its folder", file->path);
    free(file->temporary);
    free(file->path);
    free(file);
    return result;
}

void seki_file_abandon(struct seki_file *file)
{
    if (!file)
        return;
    unlink(file->temporary);
    fclose(file->stream);
    free(file->temporary);
    free(file->path);
    free(file);
}

int seki_file_write(const char *path, const void *bytes, size_t count, struct seki_error *error)
{
    struct seki_file *file = seki_file_create(path, error);

    if (!file)
        return -1;
    /* A short write sets the stream's error, which the commit finds. */
    if (count && fwrite(bytes, 1, count, file->stream) != count) {
        seki_fail_errno(error, "file", "%s: cannot write", path);
        seki_file_abandon(file);
        return -1;
    }
    return seki_file_commit(file, error);
}
