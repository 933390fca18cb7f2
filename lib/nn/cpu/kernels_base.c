/*
 * kernels_base.c - the kernels for every machine that the compiler's flags allow: SSE2 on x86-64,
 * NEON on AArch64.
 */
#define SET      seki_cpu_kernels_base
#define SET_NAME "base"
#define LANES    4
#define BF16     0
#include "nn/cpu/kernel_set.h"
