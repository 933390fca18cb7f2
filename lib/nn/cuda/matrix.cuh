/*
 * matrix.cuh - products of small matrices, a warp at a time: 16 x 16 times 16 x 8 into 16 x 8.
 *
 * A lane stands for row `quad` and row quad + 8 of the left matrix, for column `quad` of the right
 * one, and for four of the 16 that are summed over, 4 * slot .. 4 * slot + 3. Which four does not
 * matter to a sum, so they are neighbours in memory. The result has the layout of mma.sync
 * m16n8 (PTX ISA, "Matrix fragments for mma.m16n8k16"): rows quad, quad + 8, columns
 * 2 * slot, 2 * slot + 1.
 *
 * CUDA_BF16 and CUDA_TF32 use the tensor cores. CUDA_FP32 exchanges rows through shared memory and
 * multiplies as floats: exact to a float's rounding, at a fraction of the speed.
 */
#ifndef SEKI_CUDA_MATRIX_CUH
#define SEKI_CUDA_MATRIX_CUH

#include "nn/cuda/device.cuh"

enum { SUMMED = 16, COLUMNS = 8, ROWS = 16 };

static __device__ inline int quad()
{
    return (int)(threadIdx.x % 32) / 4;
}

static __device__ inline int slot()
{
    return (int)threadIdx.x % 4;
}

/* Rows of 16 floats in shared memory, far enough apart for a warp to read eight at once. */
enum { STAGE = SUMMED + 4 };
struct stage {
    float row[ROWS][STAGE];
};

/* The left matrix, of which the lane has `upper` (of row quad) and `lower` (of row quad + 8). */
template <int TYPE> struct left;
/* acc += left * right; rows[n * stride + k] is element (k, n) of the right one, k from a multiple
 * of 16 on, 16-byte aligned. */

template <> struct left<CUDA_FP32> {
    float row[2][SUMMED];

    __device__ void set(const float (&upper)[4], const float (&lower)[4], stage *s)
    {
        __syncwarp();
        store<4>(&s->row[quad()][4 * slot()], upper);
        store<4>(&s->row[quad() + 8][4 * slot()], lower);
        __syncwarp();
#pragma unroll
        for (int h = 0; h < 2; h++)
#pragma unroll
            for (int k = 0; k < SUMMED; k += 4) {
                float four[4];

                load<4>(four, &s->row[quad() + 8 * h][k]);
#pragma unroll
                for (int i = 0; i < 4; i++)
                    row[h][k + i] = four[i];
            }
    }

    __device__ void multiply(float (&acc)[4], const float *rows, int stride) const
    {
#pragma unroll
        for (int j = 0; j < 2; j++)
#pragma unroll
            for (int k = 0; k < SUMMED; k += 4) {
                float four[4];

                load<4>(four, &rows[(2 * slot() + j) * stride + k]);
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    acc[j] += row[0][k + i] * four[i];
                    acc[2 + j] += row[1][k + i] * four[i];
                }
            }
    }
};

#ifdef __CUDA_ARCH__

static __device__ inline unsigned pair(float low, float high)
{
    unsigned both;

    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

template <> struct left<CUDA_BF16> {
    unsigned part[4];

    __device__ void set(const float (&upper)[4], const float (&lower)[4], stage *)
    {
        part[0] = pair(upper[0], upper[1]);
        part[1] = pair(lower[0], lower[1]);
        part[2] = pair(upper[2], upper[3]);
        part[3] = pair(lower[2], lower[3]);
    }

    __device__ void multiply(float (&acc)[4], const float *rows, int stride) const
    {
        float four[4];

        load<4>(four, &rows[quad() * stride + 4 * slot()]);
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(acc[0]), "+f"(acc[1]), "+f"(acc[2]), "+f"(acc[3])
            : "r"(part[0]), "r"(part[1]), "r"(part[2]), "r"(part[3]), "r"(pair(four[0], four[1])),
              "r"(pair(four[2], four[3])));
    }
};

static __device__ inline unsigned tf32(float value)
{
    unsigned bits;

    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
}

template <> struct left<CUDA_TF32> {
    unsigned part[2][4];

    __device__ void set(const float (&upper)[4], const float (&lower)[4], stage *)
    {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            part[i][0] = tf32(upper[2 * i]);
            part[i][1] = tf32(lower[2 * i]);
            part[i][2] = tf32(upper[2 * i + 1]);
            part[i][3] = tf32(lower[2 * i + 1]);
        }
    }

    __device__ void multiply(float (&acc)[4], const float *rows, int stride) const
    {
        float four[4];

        load<4>(four, &rows[quad() * stride + 4 * slot()]);
#pragma unroll
        for (int i = 0; i < 2; i++)
            asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                : "+f"(acc[0]), "+f"(acc[1]), "+f"(acc[2]), "+f"(acc[3])
                : "r"(part[i][0]), "r"(part[i][1]), "r"(part[i][2]), "r"(part[i][3]),
                  "r"(tf32(four[2 * i])), "r"(tf32(four[2 * i + 1])));
    }
};

#else /* what the tensor cores do, in C */

static __device__ inline float rounded(float value, int bits)
{
    const unsigned half = 1u << (bits - 1), all = __float_as_uint(value);

    return value != value ? value : __uint_as_float((all + half) & ~(2 * half - 1));
}

template <int BITS> struct left_rounded : left<CUDA_FP32> {
    __device__ void set(const float (&upper)[4], const float (&lower)[4], stage *s)
    {
        float u[4], l[4];

#pragma unroll
        for (int i = 0; i < 4; i++) {
            u[i] = rounded(upper[i], BITS);
            l[i] = rounded(lower[i], BITS);
        }
        left<CUDA_FP32>::set(u, l, s);
    }

    __device__ void multiply(float (&acc)[4], const float *rows, int stride) const
    {
#pragma unroll
        for (int j = 0; j < 2; j++)
#pragma unroll
            for (int k = 0; k < SUMMED; k++) {
                const float right = rounded(rows[(2 * slot() + j) * stride + k], BITS);

                acc[j] += row[0][k] * right;
                acc[2 + j] += row[1][k] * right;
            }
    }
};

template <> struct left<CUDA_BF16> : left_rounded<16> {
};
template <> struct left<CUDA_TF32> : left_rounded<13> {
};

#endif

#endif
