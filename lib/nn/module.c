/*
 * module.c - finds and loads a shared object that holds a backend.
 */
#define _GNU_SOURCE /* PATH_MAX */
#include <dlfcn.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "nn/nn_internal.h"

static bool find_module(const char *file, char *path, size_t size)
{
    char place[64];

    /* So that a build and an installation are found alike. */
    snprintf(place, sizeof place, "../lib/seki/%s", file);
    if (seki_beside_program(place, path, size))
        return true;
#ifdef SEKI_LIBDIR
    if ((size_t)snprintf(path, size, "%s/%s", SEKI_LIBDIR, file) < size && access(path, R_OK) == 0)
        return true;
#endif
    return false;
}

const struct seki_backend_ops *seki_module_load(const char *file, const char *name,
                                                struct seki_error *error)
{
    char path[PATH_MAX];
    void *object;
    const struct seki_module *module;

    if (!find_module(file, path, sizeof path)) {
        seki_fail(error, SEKI_NO_RESOURCE, "backend",
                  "%s is not built: install the CUDA toolkit and cuDNN 9.8 or later, then run "
                  "make again",
                  file);
        return NULL;
    }
    object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        seki_fail(error, SEKI_NO_RESOURCE, "backend", "%s cannot be loaded: %s", path, dlerror());
        return NULL;
    }
    module = dlsym(object, "seki_module");
    if (module == NULL || module->ops_bytes != sizeof **module->ops ||
        strcmp(module->version, SEKI_VERSION) != 0) {
        seki_fail(error, SEKI_NO_RESOURCE, "backend",
                  "%s is of another version than this program, run make again", path);
        dlclose(object);
        return NULL;
    }
    for (const struct seki_backend_ops *const *ops = module->ops; *ops != NULL; ops++)
        if (strcmp((*ops)->name, name) == 0)
            return *ops;
    SEKI_BUG("a backend that its shared object does not have");
}
