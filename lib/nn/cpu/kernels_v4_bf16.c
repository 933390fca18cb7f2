/*
 * kernels_v4_bf16.c - the kernels for x86-64-v4 with AVX512_BF16: elements are bf16, and the
 * processor has products of their pairs.
 */
#if defined(__x86_64__)

/* System headers first: what follows the pragma is compiled for that machine. */
#include <immintrin.h>
#include <string.h>

#include "nn/backend.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4,avx512bf16"))),                 \
                             apply_to = function)
#else
#pragma GCC target("arch=x86-64-v4", "avx512bf16")
#endif

#define SET      seki_cpu_kernels_v4_bf16
#define SET_NAME "x86-64-v4 with AVX512_BF16"
#define LANES    16
#define BF16     1

/* 16 or 8 floats as bf16, rounded to the nearest. */
#define NARROW_16(x) _mm512_cvtneps_pbh((__m512)(x))
#define NARROW_8(x)  _mm256_cvtneps_pbh((__m256)(x))
/* sum + both products of the pairs in b with the pair a. */
#define DOT(sum, b, a)                                                                             \
    _mm512_dpbf16_ps((__m512)(sum), (__m512bh)(b), (__m512bh)_mm512_set1_epi32((int)(a)))
#include "nn/cpu/kernel_set.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else

typedef int seki_cpu_no_kernels_v4_bf16; /* an empty translation unit is not C */

#endif
