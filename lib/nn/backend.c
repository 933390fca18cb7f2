/*
 * backend.c - finds a backend by its name and opens it.
 */
#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT */
#include "nn/backend.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "nn/nn_internal.h"

/* The fastest first. `ops` NULL: in a shared object. `precision`: what it has unless told. */
static const struct {
    const char *name;
    const struct seki_backend_ops *ops;
    const char *module;
    enum seki_precision precision;
} backends[] = {
    {"cuda", NULL, "seki-cuda.so", SEKI_BF16},
    {"cpu", &seki_backend_cpu, NULL, SEKI_FP32},
    {"ref", &seki_backend_ref, NULL, SEKI_FP32},
    {"cuda-own", NULL, "seki-cuda.so", SEKI_BF16},
#if defined(__x86_64__)
    {"cpu-v4", &seki_backend_cpu_v4, NULL, SEKI_FP32},
    {"cpu-v3", &seki_backend_cpu_v3, NULL, SEKI_FP32},
#endif
    {"cpu-base", &seki_backend_cpu_base, NULL, SEKI_FP32},
};

#define BACKENDS ((int)(sizeof backends / sizeof backends[0]))

const char *seki_backend_name(int index)
{
    return index < BACKENDS ? backends[index].name : NULL;
}

/* The processors that this process may run on, which taskset, cgroups' cpusets and batch systems
 * narrow. */
static int usable_processors(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    /* A machine of more than CPU_SETSIZE processors. */
    long online = sysconf(_SC_NPROCESSORS_ONLN);

    return online > 0 ? (int)online : 1;
}

/* Index of the name, or -1. */
static int find(const char *name, struct seki_error *error)
{
    char names[128] = "auto";

    for (int i = 0; i < BACKENDS; i++) {
        if (strcmp(name, backends[i].name) == 0)
            return i;
        strncat(names, ", ", sizeof names - strlen(names) - 1);
        strncat(names, backends[i].name, sizeof names - strlen(names) - 1);
    }
    return seki_fail(error, SEKI_BAD_USE, "backend", "there is no backend '%s', choose one of: %s",
                     name, names);
}

static struct seki_backend *open_backend(int index, int threads, enum seki_precision precision,
                                         struct seki_error *error)
{
    const struct seki_backend_ops *ops = backends[index].ops;

    if (ops == NULL)
        ops = seki_module_load(backends[index].module, backends[index].name, error);
    if (precision == SEKI_AUTO_PRECISION)
        precision = backends[index].precision;
    return ops != NULL ? ops->open(threads, precision, error) : NULL;
}

/* The first that this machine and this build can; what a device that is there fails at is told. */
static struct seki_backend *open_fastest(int threads, enum seki_precision precision,
                                         struct seki_error *error)
{
    struct seki_error why = {0};
    struct seki_backend *backend = open_backend(0, threads, precision, &why);

    if (backend != NULL)
        return backend;
    if (why.kind == SEKI_NO_RESOURCE && strcmp(why.code, "backend") == 0)
        return open_backend(1, threads, precision, error);
    *error = why;
    return NULL;
}

static const char *const precisions[] = {
    [SEKI_FP32] = "fp32",
    [SEKI_TF32] = "tf32",
    [SEKI_BF16] = "bf16",
    [SEKI_AUTO_PRECISION] = "auto",
};

const char *seki_precision_name(enum seki_precision precision)
{
    return precisions[precision];
}

enum seki_precision seki_precision_named(const char *name)
{
    for (size_t i = 0; i < sizeof precisions / sizeof precisions[0]; i++)
        if (strcmp(name, precisions[i]) == 0)
            return (enum seki_precision)i;
    SEKI_BUG("no precision of that name");
}

struct seki_backend *seki_backend_open(const char *name, int threads, enum seki_precision precision,
                                       struct seki_error *error)
{
    const bool any = strcmp(name, "auto") == 0;
    const int index = any ? 0 : find(name, error);

    if (index < 0)
        return NULL;
    if (threads < 0) {
        seki_fail(error, SEKI_BAD_USE, "backend", "%d threads are not possible, give 0 for all",
                  threads);
        return NULL;
    }
    threads = threads > 0 ? threads : usable_processors();
    return any ? open_fastest(threads, precision, error)
               : open_backend(index, threads, precision, error);
}

void seki_backend_close(struct seki_backend *backend)
{
    if (backend != NULL)
        backend->ops->close(backend);
}
