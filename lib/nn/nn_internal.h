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

/* -1 (SEKI_BAD_INPUT, "label"): a label on the host that is no class. */
int seki_check_labels(const struct seki_loss_call *call, struct seki_error *error);

#endif
