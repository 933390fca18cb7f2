/*
 * module.c - finds and loads a shared object that holds a backend.
 */
#define _GNU_SOURCE /* readlink, PATH_MAX */
#include <dlfcn.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "nn/nn_internal.h"

/* Beside the folder of the running program, so that a build and an installation are found alike. */
static bool find_beside(const char *file, char *path, size_t size)
{
    char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash;
    int wrote;

    program[length > 0 ? length : 0] = '\0';
    slash = strrchr(program, '/');
    if (slash == NULL)
        return false;
    wrote = snprintf(path, size, "%.*s/../lib/seki/%s", (int)(slash - program), program, file);
    return wrote > 0 && (size_t)wrote < size && access(path, R_OK) == 0;
}

static bool find_module(const char *file, char *path, size_t size)
{
    if (find_beside(file, path, size))
        return true;
#ifdef SEKI_LIBDIR
    if ((size_t)snprintf(path, size, "%s/%s", SEKI_LIBDIR, file) < size && access(path, R_OK) == 0)
        return true;
#endif
    return false;
}

const struct seki_backend_ops *seki_module_load(const char *file, struct seki_error *error)
{
    char path[PATH_MAX];
    void *object;
    const struct seki_module *module;

    if (!find_module(file, path, sizeof path)) {
        seki_fail(error, SEKI_NO_RESOURCE, "backend",
                  "%s is not built: install the CUDA toolkit and cuDNN 9, then run make again",
                  file);
        return NULL;
    }
    object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        seki_fail(error, SEKI_NO_RESOURCE, "backend", "%s cannot be loaded: %s", path, dlerror());
        return NULL;
    }
    module = dlsym(object, "seki_module");
    if (module == NULL || module->ops_bytes != sizeof *module->ops ||
        strcmp(module->version, SEKI_VERSION) != 0) {
        seki_fail(error, SEKI_NO_RESOURCE, "backend",
                  "%s is of another version than this program, run make again", path);
        dlclose(object);
        return NULL;
    }
    return module->ops;
}
