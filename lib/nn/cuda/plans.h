/*
 * plans.h - cuDNN's convolutions, of bf16: plans, and their running.
 */
#ifndef SEKI_CUDA_PLANS_H
#define SEKI_CUDA_PLANS_H

#include <cudnn.h>
#include <stdbool.h>

#include "base/base.h"
#include "nn/cuda/kernels.h"

/* The first version whose plans are made for the properties of a device (9.8). */
#define CUDNN_OLDEST 90800

/* z = weights * x, or the gradient of x from that of z. */
enum cuda_direction { CUDA_FORWARD, CUDA_DATA };

/* Compared as bytes: ints alone. Tensors are rows of pixels without a gap, weights (outputs, kH,
 * kW, inputs). */
struct cuda_convolution {
    struct cuda_window window;
    int inputs, outputs;
    enum cuda_direction direction;
};

/* What cuDNN is asked is kept with what it answers: nothing says that a plan may outlive it. */
enum { CUDA_MOST_CONFIGS = 16, CUDA_MOST_DESCRIPTORS = 16 + 2 * CUDA_MOST_CONFIGS };
struct cuda_descriptors {
    cudnnBackendDescriptor_t made[CUDA_MOST_DESCRIPTORS];
    int count;
};

struct cuda_plan {
    struct cuda_plan *next;
    struct cuda_convolution convolution;
    struct cuda_descriptors made_of;
    cudnnBackendDescriptor_t plan; /* NULL: none of cuDNN's engines can */
    int64_t engine;                /* cuDNN's number of it */
    size_t workspace;              /* bytes */
};

struct cuda_cudnn;

/* NULL (SEKI_NO_RESOURCE, "backend" or "device"): not in the version that is there, not on this
 * machine. */
struct cuda_cudnn *seki_cudnn_open(int device, struct seki_error *error);
/* Plans alone, for the device of those properties, which need not be there: cuDNN's JSON of them
 * (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION). */
struct cuda_cudnn *seki_cudnn_open_described(const char *json, struct seki_error *error);
void seki_cudnn_close(struct cuda_cudnn *cudnn);

/* Looks for a plan, which may take a while; nothing where it was looked for before. */
int seki_cudnn_make_plan(struct cuda_cudnn *cudnn, const struct cuda_convolution *convolution,
                         struct seki_error *error);
/* What make_plan found; NULL: it was not asked. Of the backend, till it is closed. */
const struct cuda_plan *seki_cudnn_plan(const struct cuda_cudnn *cudnn,
                                        const struct cuda_convolution *convolution);
/* Memory is the device's, 16-byte aligned; forward `pictures` is x and `result` z, which is set; in
 * the other direction `result` is the gradient of z and `pictures` is set. */
cudnnStatus_t seki_cudnn_run(struct cuda_cudnn *cudnn, cudaStream_t stream,
                             const struct cuda_plan *plan, void *pictures, void *weights,
                             void *result, void *workspace);

#endif
