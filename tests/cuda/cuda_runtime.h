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
#include <typeinfo>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __launch_bounds__(...)

/* ---- Types --------------------------------------------------------------------------------- */

struct alignas(8) uint2 {
    unsigned x, y;
};

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

/* ---- Where a thread is --------------------------------------------------------------------- */

/* Of the fibre that runs. */
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

/* ---- What threads do together -------------------------------------------------------------- */

void __syncthreads();
void __syncwarp();
void __threadfence();
/* Every thread of a kernel must have waited for the kernel before it: another may be let on only
 * then. */
void cudaGridDependencySynchronize();
static inline void cudaTriggerProgrammaticLaunchCompletion() {}
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

/* What a thread of a kernel does, with a copy of its arguments. */
typedef std::function<void()> (*grid_thread)(const void *kernel, void **arguments);
/* So that the kernel can be launched by its address. Kernels are named after what they are called
 * with. */
void grid_know(const void *kernel, grid_thread thread, const char *call);

template <typename Call> std::function<void()> grid_thread_of(const void *kernel, void **arguments)
{
    const auto function = reinterpret_cast<void (*)(Call)>(const_cast<void *>(kernel));
    const Call call = *static_cast<Call *>(arguments[0]);

    return [function, call]() { function(call); };
}

/* While there is one, memory of the host is taken for the stand-in, and not counted (calls.h). */
struct grid_own_memory {
    grid_own_memory();
    ~grid_own_memory();
};

template <typename Call>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(Call),
                               const Call &call)
{
    grid_own_memory own;
    const void *const address = reinterpret_cast<const void *>(kernel);
    void *arguments[] = {const_cast<Call *>(&call)};

    grid_know(address, grid_thread_of<Call>, typeid(Call).name());
    return cudaLaunchKernelExC(config, address, arguments);
}

#endif
