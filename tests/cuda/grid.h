/*
 * grid.h - how the stand-in's parts know each other.
 */
#ifndef STAND_IN_GRID_H
#define STAND_IN_GRID_H

#include "calls.h"
#include "cuda_runtime.h"

extern struct stand_in_calls grid_calls;
extern bool grid_computes; /* whether kernels are run */

/* Runs all blocks of a grid, now. */
void grid_run(dim3 grid, dim3 block, size_t shared, const std::function<void()> &thread);
/* Puts work that is no kernel of ours into the stream, which counts as one. */
void grid_put(cudaStream_t stream, std::function<void()> work);
/* Whether those bytes are all of one piece of the device's memory. */
bool grid_on_device(const void *memory, size_t bytes);
/* Of the process's own sequence: 0 .. bound-1. */
unsigned grid_random(unsigned bound);
/* A mistake in what is tested: says so and ends the process. */
[[noreturn]] void grid_mistake(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
