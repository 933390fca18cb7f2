/*
 * backend.c - finds a backend by its name and opens it.
 */
#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT */
#include "nn/backend.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "nn/nn_internal.h"

/* The fastest first: "auto" is the first. */
static const struct seki_backend_ops *const backends[] = {
    &seki_backend_cpu,      &seki_backend_ref,
#if defined(__x86_64__)
    &seki_backend_cpu_v4,   &seki_backend_cpu_v3,
#endif
    &seki_backend_cpu_base,
};

#define BACKENDS (sizeof backends / sizeof backends[0])

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

static const struct seki_backend_ops *find(const char *name, struct seki_error *error)
{
    char names[128] = "auto";

    if (strcmp(name, "auto") == 0)
        return backends[0];
    for (size_t i = 0; i < BACKENDS; i++) {
        if (strcmp(name, backends[i]->name) == 0)
            return backends[i];
        strncat(names, ", ", sizeof names - strlen(names) - 1);
        strncat(names, backends[i]->name, sizeof names - strlen(names) - 1);
    }
    seki_fail(error, SEKI_BAD_USE, "backend",
              "there is no backend '%s' in this build, choose one of: %s", name, names);
    return NULL;
}

static const char *const precisions[] = {[SEKI_FP32] = "fp32", [SEKI_BF16] = "bf16"};

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
    const struct seki_backend_ops *ops = find(name, error);

    if (ops == NULL)
        return NULL;
    if (threads < 0) {
        seki_fail(error, SEKI_BAD_USE, "backend", "%d threads are not possible, give 0 for all",
                  threads);
        return NULL;
    }
    return ops->open(threads > 0 ? threads : usable_processors(), precision, error);
}

void seki_backend_close(struct seki_backend *backend)
{
    if (backend != NULL)
        backend->ops->close(backend);
}
