/*
 * cuda_runtime.h - what a kernel sees of CUDA C++, on the CPU: a block's threads are fibres that
 * run in a random order from one barrier to the next (grid.cc), one block after the other, blocks
 * in a random order too.
 */
#ifndef STAND_IN_CUDA_RUNTIME_H
#define STAND_IN_CUDA_RUNTIME_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __launch_bounds__(...)

/* ---- Types --------------------------------------------------------------------------------- */

struct dim3 {
    unsigned x, y, z;

    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

struct alignas(8) uint2 {
    unsigned x, y;
};

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
};

/* ---- Where a thread is --------------------------------------------------------------------- */

/* Of the fibre that runs. */
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

/* ---- What threads do together -------------------------------------------------------------- */

void __syncthreads();
void __syncwarp();
void __threadfence();
/* The block's, of which `bytes` at most may be used: more than was asked for at the launch is a
 * mistake. */
void *grid_shared_memory(size_t bytes);
/* The value of lane ^ mask; every lane of the warp calls it. */
unsigned grid_exchange(unsigned value, int mask);

static inline float __shfl_xor_sync(unsigned, float value, int mask)
{
    unsigned bits;

    memcpy(&bits, &value, sizeof(bits));
    bits = grid_exchange(bits, mask);
    memcpy(&value, &bits, sizeof(bits));
    return value;
}

static inline unsigned atomicAdd(unsigned *at, unsigned more)
{
    const unsigned before = *at;

    *at += more;
    return before;
}

static inline float __uint_as_float(unsigned bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline unsigned __float_as_uint(float value)
{
    unsigned bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* ---- Launching ----------------------------------------------------------------------------- */

/* Puts the grid into the stream. */
cudaError_t grid_launch(const cudaLaunchConfig_t *config, std::function<void()> thread);

template <typename Call>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(Call),
                               const Call &call)
{
    return grid_launch(config, [kernel, call]() { kernel(call); });
}

#endif
