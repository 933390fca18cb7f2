/*
 * kernels_v3.c - the kernels for x86-64-v3: AVX2 and FMA.
 */
#if defined(__x86_64__)

/* System headers first: what follows the pragma is compiled for that machine. */
#include <string.h>

#include "nn/backend.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v3")
#endif

#define SET      seki_cpu_kernels_v3
#define SET_NAME "x86-64-v3"
#define LANES    8
#define BF16     0
#include "nn/cpu/kernel_set.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else

typedef int seki_cpu_no_kernels_v3; /* an empty translation unit is not C */

#endif
