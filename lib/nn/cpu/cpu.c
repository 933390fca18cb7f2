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
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
    if (kernels == &seki_cpu_kernels_v4_bf16)
        return v4 && __builtin_cpu_supports("avx512bf16");
    if (kernels == &seki_cpu_kernels_v4)
        return v4;
    if (kernels == &seki_cpu_kernels_v3)
        return v3;
#endif
    return kernels == &seki_cpu_kernels_base || kernels == &seki_cpu_kernels_base_bf16;
}

/* The sets of a backend in each precision, the widest first; NULL ends them. */
struct sets {
    const struct cpu_kernels *fp32[4], *bf16[4];
};

/* NULL: none in that precision. */
static const struct cpu_kernels *const *sets_in(const struct sets *sets,
                                                enum seki_precision precision)
{
    return precision == SEKI_FP32 ? sets->fp32 : precision == SEKI_BF16 ? sets->bf16 : NULL;
}

/* The first that this machine runs, or the last; NULL: there is none. */
static const struct cpu_kernels *choose(const struct cpu_kernels *const *sets)
{
    if (sets == NULL)
        return NULL;
    while (sets[0] != NULL && sets[1] != NULL && !runs(sets[0]))
        sets++;
    return sets[0];
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

static struct seki_backend *open_with(const struct seki_backend_ops *ops, const struct sets *sets,
                                      int threads, enum seki_precision precision,
                                      struct seki_error *error)
{
    const struct cpu_kernels *kernels = choose(sets_in(sets, precision));
    struct cpu_backend *backend;

    if (kernels == NULL) {
        seki_fail(error, SEKI_BAD_USE, "precision", "%s does not compute in %s, only in fp32%s",
                  ops->name, seki_precision_name(precision),
                  sets->bf16[0] != NULL ? " and bf16" : "");
        return NULL;
    }
    if (!runs(kernels)) {
        seki_fail(error, SEKI_NO_RESOURCE, "backend",
                  "this processor has not all the instructions of %s, which %s needs for %s",
                  kernels->name, ops->name, seki_precision_name(precision));
        return NULL;
    }
    backend = seki_allocate(1, sizeof(*backend), error);
    if (backend == NULL)
        return NULL;
    backend->base.ops = ops;
    backend->base.threads = threads > 0 ? threads : omp_get_num_procs();
    backend->base.precision = precision;
    backend->kernels = kernels;
    if (seki_cpu_dnnl_open(backend, error) < 0) {
        free(backend);
        return NULL;
    }
    return &backend->base;
}

/* A table for each set of kernels, so that tests can ask for one by its name. */
#define TABLE(variable, text, ...)                                                                 \
    static struct seki_backend *variable##_open(int threads, enum seki_precision precision,        \
                                                struct seki_error *error)                          \
    {                                                                                              \
        static const struct sets sets = __VA_ARGS__;                                               \
                                                                                                   \
        return open_with(&(variable), &sets, threads, precision, error);                           \
    }                                                                                              \
    const struct seki_backend_ops variable = {                                                     \
        .name = (text),                                                                            \
        .open = variable##_open,                                                                   \
        .close = cpu_close,                                                                        \
        .memory = seki_cpu_memory,                                                                 \
        .release = seki_cpu_release,                                                               \
        .clear = seki_cpu_clear,                                                                   \
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
        .sgd = seki_cpu_sgd,                                                                       \
    }

#if defined(__x86_64__)
TABLE(seki_backend_cpu, "cpu",
      {.fp32 = {&seki_cpu_kernels_v4, &seki_cpu_kernels_v3, &seki_cpu_kernels_base},
       .bf16 = {&seki_cpu_kernels_v4_bf16}});
TABLE(seki_backend_cpu_v3, "cpu-v3", {.fp32 = {&seki_cpu_kernels_v3}});
TABLE(seki_backend_cpu_v4, "cpu-v4",
      {.fp32 = {&seki_cpu_kernels_v4}, .bf16 = {&seki_cpu_kernels_v4_bf16}});
#else
TABLE(seki_backend_cpu, "cpu", {.fp32 = {&seki_cpu_kernels_base}});
#endif
TABLE(seki_backend_cpu_base, "cpu-base",
      {.fp32 = {&seki_cpu_kernels_base}, .bf16 = {&seki_cpu_kernels_base_bf16}});
