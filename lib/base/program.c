/*
 * program.c - what lies beside the running program.
 */
#define _GNU_SOURCE /* readlink, PATH_MAX */
#include "base/base.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

bool seki_beside_program(const char *place, char *path, size_t size)
{
    char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash;
    int wrote;

    program[length > 0 ? length : 0] = '\0';
    slash = strrchr(program, '/');
    if (slash == NULL)
        return false;
    wrote = snprintf(path, size, "%.*s/%s", (int)(slash - program), program, place);
    return wrote > 0 && (size_t)wrote < size && access(path, F_OK) == 0;
}
