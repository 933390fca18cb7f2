/*
 * peak.c - what the machine can do on N threads: multiply-adds on registers (fp32, and vdpbf16ps
 * where there is one), and the bandwidth of STREAM's triad (McCalpin 1995) over three arrays of 64
 * MiB, counted as STREAM does: two reads and one write an element. Prints one JSON object.
 * Usage: peak [THREADS]   (built with -ffp-contract=fast: a * b + c is one instruction)
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define SECONDS     0.2 /* of one kind of measurement */
#define TURNS       20000
#define TRIAD_COUNT ((size_t)16 << 20) /* floats an array */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* TURNS times COUNT independent multiply-adds of vectors, as many as hide their latency and stay in
 * registers. Returns something of the result, so that it is needed. */
/* NOLINTBEGIN(bugprone-macro-parentheses): TARGET is an attribute */
#define MULTIPLY_ADD(NAME, TARGET, BYTES, COUNT)                                                   \
    typedef float NAME##_vector __attribute__((vector_size(BYTES)));                               \
    TARGET static float NAME(void)                                                                 \
    {                                                                                              \
        NAME##_vector sums[COUNT], factor = {0}, term = {0};                                       \
        for (size_t lane = 0; lane < (BYTES) / sizeof(float); lane++) {                            \
            factor[lane] = 0.999f;                                                                 \
            term[lane] = 0.001f;                                                                   \
        }                                                                                          \
        for (int i = 0; i < (COUNT); i++)                                                          \
            sums[i] = term * (float)i;                                                             \
        for (int turn = 0; turn < TURNS; turn++)                                                   \
            _Pragma("GCC unroll 32") for (int i = 0; i < (COUNT); i++) sums[i] =                   \
                sums[i] * factor + term;                                                           \
        for (int i = 1; i < (COUNT); i++)                                                          \
            sums[0] += sums[i];                                                                    \
        return sums[0][0];                                                                         \
    }

/* NOLINTEND(bugprone-macro-parentheses) */

MULTIPLY_ADD(multiply_add_base, , 16, 12)

#if defined(__x86_64__)
MULTIPLY_ADD(multiply_add_v3, __attribute__((target("avx2,fma"))), 32, 12)
MULTIPLY_ADD(multiply_add_v4, __attribute__((target("avx512f"))), 64, 24)

__attribute__((target("avx512f,avx512bf16"))) static float dot_bf16(void)
{
    /* 0x3f80 is 1.0 in bf16, 0x3f00 0.5. */
    __m512i bits = _mm512_set1_epi32(0x3f803f00);
    __m512bh left = (__m512bh)bits, right = (__m512bh)bits;
    __m512 sums[24];
    for (int i = 0; i < 24; i++)
        sums[i] = _mm512_set1_ps((float)i);
    for (int turn = 0; turn < TURNS; turn++)
#pragma GCC unroll 32
        for (int i = 0; i < 24; i++)
            sums[i] = _mm512_dpbf16_ps(sums[i], left, right);
    for (int i = 1; i < 24; i++)
        sums[0] = _mm512_add_ps(sums[0], sums[i]);
    return _mm512_cvtss_f32(sums[0]);
}
#endif

struct rate {
    const char *name;
    float (*run)(void);
    double operations; /* floating-point, of one run */
};

/* GFLOP/s of all threads together: the best of the rounds that fit SECONDS, each between two
 * barriers. */
static double measure_rate(const struct rate *rate, int threads)
{
    static volatile float sink;
    double best = 0, end = now() + SECONDS;
    do {
        double began = now();
#pragma omp parallel num_threads(threads)
        for (int i = 0; i < 20; i++) {
            float result = rate->run();
#pragma omp critical
            sink = sink + result;
        }
        double gflops = 20.0 * rate->operations * threads / (now() - began) / 1e9;
        best = gflops > best ? gflops : best;
    } while (now() < end);
    return best;
}

static struct rate fp32_rate(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return (struct rate){"avx512f", multiply_add_v4, 2.0 * 16 * 24 * TURNS};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (struct rate){"avx2", multiply_add_v3, 2.0 * 8 * 12 * TURNS};
#endif
    return (struct rate){"base", multiply_add_base, 2.0 * 4 * 12 * TURNS};
}

/* GB/s, the best round; 0: no memory. */
static double measure_triad(int threads)
{
    float *a = malloc(3 * TRIAD_COUNT * sizeof *a);
    if (!a)
        return 0;
    float *b = a + TRIAD_COUNT, *c = b + TRIAD_COUNT;
    double best = 0;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t i = 0; i < TRIAD_COUNT; i++) {
        a[i] = 0;
        b[i] = 1;
        c[i] = 2;
    }
    for (int round = 0; round < 20; round++) {
        double began = now();
#pragma omp parallel for simd num_threads(threads) schedule(static)
        for (size_t i = 0; i < TRIAD_COUNT; i++)
            a[i] = b[i] + 0.5f * c[i];
        double rate = 3.0 * TRIAD_COUNT * sizeof *a / (now() - began) / 1e9;
        best = rate > best ? rate : best;
    }
    if (a[TRIAD_COUNT - 1] != 2.0f)
        best = 0;
    free(a);
    return best;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : omp_get_num_procs();
    if (threads < 1) {
        fprintf(stderr, "peak: %s is no number of threads\n", argv[1]);
        return 2;
    }
    struct rate fp32 = fp32_rate();
    printf("{\"threads\": %d, \"instructions\": \"%s\", \"fp32_gflops\": %.1f", threads, fp32.name,
           measure_rate(&fp32, threads));
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bf16")) {
        struct rate bf16 = {"vdpbf16ps", dot_bf16, 2.0 * 32 * 24 * TURNS};
        printf(", \"bf16_gflops\": %.1f", measure_rate(&bf16, threads));
    }
#endif
    double triad = measure_triad(threads);
    if (triad <= 0) {
        fputs("peak: no memory for the triad\n", stderr);
        return 3;
    }
    printf(", \"triad_gbs\": %.1f}\n", triad);
    return 0;
}
