/*
 * cpu.c - the CPU backend's table, its opening and closing, its threads.
 */
#include "nn/cpu/cpu_internal.h"

#include <omp.h>
#include <stdlib.h>

/* Whether this processor runs a set. */
static bool runs(const struct cpu_kernels *kernels)
{
#if defined(__x86_64__)
    /* The extensions of x86-64-v3 and v4 over v2 (System V ABI, x86-64 supplement, section 3.1.1).
     */
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2");
    if (kernels == &seki_cpu_kernels_v4)
        return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    if (kernels == &seki_cpu_kernels_v3)
        return v3;
#endif
    return kernels == &seki_cpu_kernels_base;
}

/* The widest first. */
static const struct cpu_kernels *const sets[] = {
#if defined(__x86_64__)
    &seki_cpu_kernels_v4,
    &seki_cpu_kernels_v3,
#endif
    &seki_cpu_kernels_base,
};

const struct cpu_kernels *seki_cpu_kernels(void)
{
    size_t best = 0;

    while (best + 1 < sizeof(sets) / sizeof(sets[0]) && !runs(sets[best]))
        best++;
    return sets[best];
}

void seki_cpu_parallel(const struct cpu_backend *backend, cpu_kernel *work, const void *call)
{
    const int parts = backend->base.threads;

    if (parts == 1) {
        work(call, 0, 1);
        return;
    }
    /* OpenMP may give fewer threads than asked for; the parts stay the same. */
#pragma omp parallel for schedule(static, 1) num_threads(parts)
    for (int part = 0; part < parts; part++)
        work(call, part, parts);
}

int seki_cpu_threads_enter(const struct cpu_backend *backend)
{
    int before = omp_get_max_threads();

    omp_set_num_threads(backend->base.threads);
    return before;
}

void seki_cpu_threads_leave(int before)
{
    omp_set_num_threads(before);
}

static void cpu_close(struct seki_backend *base)
{
    struct cpu_backend *backend = cpu_backend(base);

    if (backend == NULL)
        return;
    seki_cpu_dnnl_close(backend);
    free(backend);
}

static struct seki_backend *open_with(const struct seki_backend_ops *ops,
                                      const struct cpu_kernels *kernels, int threads,
                                      struct seki_error *error)
{
    struct cpu_backend *backend;

    if (!runs(kernels)) {
        seki_fail(error, SEKI_NO_RESOURCE, "backend",
                  "this processor has not all the instructions of %s, which %s needs",
                  kernels->name, ops->name);
        return NULL;
    }
    backend = seki_allocate(1, sizeof(*backend), error);
    if (backend == NULL)
        return NULL;
    backend->base.ops = ops;
    backend->base.threads = threads > 0 ? threads : omp_get_num_procs();
    backend->kernels = kernels;
    if (seki_cpu_dnnl_open(backend, error) < 0) {
        free(backend);
        return NULL;
    }
    return &backend->base;
}

/* A table for each set of kernels, so that tests can ask for one by its name. */
#define TABLE(variable, text, set)                                                                 \
    static struct seki_backend *variable##_open(int threads, struct seki_error *error)             \
    {                                                                                              \
        return open_with(&(variable), set, threads, error);                                        \
    }                                                                                              \
    const struct seki_backend_ops variable = {                                                     \
        .name = (text),                                                                            \
        .open = variable##_open,                                                                   \
        .close = cpu_close,                                                                        \
        .memory = seki_cpu_memory,                                                                 \
        .release = seki_cpu_release,                                                               \
        .zero = seki_cpu_zero,                                                                     \
        .write = seki_cpu_write,                                                                   \
        .read = seki_cpu_read,                                                                     \
        .tensor_bytes = seki_cpu_tensor_bytes,                                                     \
        .tensor_write = seki_cpu_tensor_write,                                                     \
        .tensor_read = seki_cpu_tensor_read,                                                       \
        .block_open = seki_cpu_block_open,                                                         \
        .block_close = seki_cpu_block_close,                                                       \
        .block_prepare = seki_cpu_block_prepare,                                                   \
        .forward = seki_cpu_forward,                                                               \
        .backward = seki_cpu_backward,                                                             \
        .loss = seki_cpu_loss,                                                                     \
        .square_sum = seki_cpu_square_sum,                                                         \
        .sgd = seki_cpu_sgd,                                                                       \
    }

TABLE(seki_backend_cpu, "cpu", seki_cpu_kernels());
TABLE(seki_backend_cpu_base, "cpu-base", &seki_cpu_kernels_base);
#if defined(__x86_64__)
TABLE(seki_backend_cpu_v3, "cpu-v3", &seki_cpu_kernels_v3);
TABLE(seki_backend_cpu_v4, "cpu-v4", &seki_cpu_kernels_v4);
#endif
