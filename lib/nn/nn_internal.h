/*
 * nn_internal.h - what the backends share among themselves and with backend.c.
 */
#ifndef SEKI_NN_INTERNAL_H
#define SEKI_NN_INTERNAL_H

#include "nn/backend.h"

/* The backends of this build, fastest first in backend.c's list. */
extern const struct seki_backend_ops seki_backend_cpu;
extern const struct seki_backend_ops seki_backend_ref;
/* The CPU backend held to one set of instructions; open fails where the processor lacks them. */
extern const struct seki_backend_ops seki_backend_cpu_base;
#if defined(__x86_64__)
extern const struct seki_backend_ops seki_backend_cpu_v3, seki_backend_cpu_v4;
#endif
/* In the shared object seki-cuda.so; the second does without cuDNN. */
extern const struct seki_backend_ops seki_backend_cuda, seki_backend_cuda_own;

/* What a shared object with backends shows, as its only symbol: seki_module. Both numbers are
 * those of the sources that it was built from. */
struct seki_module {
    const char *version;                       /* SEKI_VERSION */
    size_t ops_bytes;                          /* sizeof **ops */
    const struct seki_backend_ops *const *ops; /* NULL past the last */
};

/* The backend `name` in the shared object `file` ("seki-cuda.so"), which lies in ../lib/seki beside
 * the program's folder, or where SEKI_LIBDIR says. It stays loaded. NULL (SEKI_NO_RESOURCE,
 * "backend"): not there, or not of this build. */
const struct seki_backend_ops *seki_module_load(const char *file, const char *name,
                                                struct seki_error *error);

/* Pixels along one axis that a convolution or pooling gives; 0 where the dilated kernel is larger
 * than the padded picture. */
int seki_sliding_size(int size, int kernel, int stride, int padding, int dilation);

/* The tensor of that role and repeat; NULL where the block has none. */
const struct seki_parameter *seki_block_parameter(const struct seki_block_info *info,
                                                  enum seki_parameter_role role, int repeat);

/* The largest of logits on the host: of equals the first; NaN wins over numbers, as in
 * torch.argmax.
 */
int seki_largest(const float *values, int count);

/* SGD on one run of numbers; g = scale * gradient + decay * w. */
struct seki_sgd_factors {
    float rate, momentum, decay, scale;
    bool nesterov;
};
/* What a backend on the host does of a step for one range. */
struct seki_sgd_parts {
    double (*square_sum)(struct seki_backend *backend, const float *values, size_t count);
    void (*sgd)(struct seki_backend *backend, float *weights, const float *gradients,
                float *momenta, size_t count, const struct seki_sgd_factors *sgd);
};
void seki_sgd_on_host(struct seki_backend *backend, const struct seki_sgd_call *call,
                      const struct seki_sgd_parts *parts);
void seki_clear_on_host(float *array, const struct seki_range *ranges, int count);

#endif
