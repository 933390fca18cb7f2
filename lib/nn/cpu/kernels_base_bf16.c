/*
 * kernels_base_bf16.c - the kernels of kernels_base.c for elements of bf16: what every machine can
 * compute, and tests hold against others.
 */
#define SET      seki_cpu_kernels_base_bf16
#define SET_NAME "base, bf16"
#define LANES    4
#define BF16     1
#include "nn/cpu/kernel_set.h"
