/*
 * kernels_v4.c - the kernels for x86-64-v4: AVX-512, vectors of 512 bits.
 */
#if defined(__x86_64__)

/* System headers first: what follows the pragma is compiled for that machine. */
#include <string.h>

#include "nn/backend.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v4")
#endif

#define SET      seki_cpu_kernels_v4
#define SET_NAME "x86-64-v4"
#define LANES    16
#define BF16     0
#include "nn/cpu/kernel_set.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else

typedef int seki_cpu_no_kernels_v4; /* an empty translation unit is not C */

#endif
