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

/* ---- What is multiplied -------------------------------------------------------------------- */

/* Of CUDA_TF32 floats that are rounded already. */
template <int TYPE> struct factor {
    typedef float type;
};
template <> struct factor<CUDA_BF16> {
    typedef bf16 type;
};
/* A lane's four of a row or column. */
template <int TYPE> using four = raw<4, typename factor<TYPE>::type>;

/* A float rounded to the 10 bits that CUDA_TF32 multiplies. */
static __device__ inline float tf32(float value)
{
    unsigned bits;
#ifdef __CUDA_ARCH__
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
#else
    const unsigned half = 1u << 12;

    bits = __float_as_uint(value);
    if (value == value)
        bits = (bits + half) & ~(2 * half - 1);
#endif
    return __uint_as_float(bits);
}

template <int TYPE> static __device__ inline four<TYPE> four_of(const float (&values)[4])
{
    float rounded[4];

#pragma unroll
    for (int i = 0; i < 4; i++)
        rounded[i] = TYPE == CUDA_TF32 ? tf32(values[i]) : values[i];
    return gather<typename factor<TYPE>::type>(rounded);
}

/* ---- As floats ----------------------------------------------------------------------------- */

/* Rows of 16 floats in shared memory, far enough apart for a warp to read eight at once. */
enum { STAGE = SUMMED + 4 };
struct stage {
    float row[ROWS][STAGE];
};

/* Columns of the right matrix: columns[n * column + k / 4 * fours + k % 4] is element (k, n), k
 * from a multiple of 16 on, fours aligned. */
template <typename T> struct whole_columns {
    const T *columns;
    int column, fours;

    __device__ void set(const T *from, int column_apart, int fours_apart)
    {
        columns = from;
        column = column_apart;
        fours = fours_apart;
    }
};

template <typename T> struct whole_rows {
    float row[2][SUMMED];

    __device__ void set(const raw<4, T> &upper, const raw<4, T> &lower, stage *s)
    {
        float high[4], low[4];

        spread<4>(high, upper);
        spread<4>(low, lower);
        __syncwarp();
        store<4>(&s->row[quad()][4 * slot()], high);
        store<4>(&s->row[quad() + 8][4 * slot()], low);
        __syncwarp();
#pragma unroll
        for (int h = 0; h < 2; h++)
#pragma unroll
            for (int k = 0; k < SUMMED; k += 4) {
                float values[4];

                load<4>(values, &s->row[quad() + 8 * h][k]);
#pragma unroll
                for (int i = 0; i < 4; i++)
                    row[h][k + i] = values[i];
            }
    }

    __device__ void multiply(float (&acc)[4], const whole_columns<T> &right) const
    {
#pragma unroll
        for (int j = 0; j < 2; j++)
#pragma unroll
            for (int k = 0; k < SUMMED; k += 4) {
                float values[4];

                load<4>(values,
                        &right.columns[(2 * slot() + j) * right.column + k / 4 * right.fours]);
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    acc[j] += row[0][k + i] * values[i];
                    acc[2 + j] += row[1][k + i] * values[i];
                }
            }
    }
};

/* ---- The matrices -------------------------------------------------------------------------- */

/* set: the lane's four of row quad, and of row quad + 8. multiply: acc += left * right. */
template <int TYPE> struct left : whole_rows<typename factor<TYPE>::type> {
};
template <int TYPE> struct right : whole_columns<typename factor<TYPE>::type> {
};

#ifdef __CUDA_ARCH__ /* elsewhere the above does what the tensor cores do */

template <int TYPE> struct lane_column {
    four<TYPE> part;

    __device__ void set(const typename factor<TYPE>::type *columns, int column, int fours)
    {
        part = read<4>(&columns[quad() * column + slot() * fours]);
    }
};
template <> struct right<CUDA_BF16> : lane_column<CUDA_BF16> {
};
template <> struct right<CUDA_TF32> : lane_column<CUDA_TF32> {
};

template <> struct left<CUDA_BF16> {
    uint2 upper, lower;

    __device__ void set(const four<CUDA_BF16> &high, const four<CUDA_BF16> &low, stage *)
    {
        upper = high.bytes;
        lower = low.bytes;
    }

    __device__ void multiply(float (&acc)[4], const right<CUDA_BF16> &r) const
    {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(acc[0]), "+f"(acc[1]), "+f"(acc[2]), "+f"(acc[3])
            : "r"(upper.x), "r"(lower.x), "r"(upper.y), "r"(lower.y), "r"(r.part.bytes.x),
              "r"(r.part.bytes.y));
    }
};

static __device__ inline void multiply_tf32(float (&acc)[4], const unsigned (&left)[4], unsigned b0,
                                            unsigned b1)
{
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(acc[0]), "+f"(acc[1]), "+f"(acc[2]), "+f"(acc[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(b0), "r"(b1));
}

template <> struct left<CUDA_TF32> {
    uint4 upper, lower;

    __device__ void set(const four<CUDA_TF32> &high, const four<CUDA_TF32> &low, stage *)
    {
        upper = high.bytes;
        lower = low.bytes;
    }

    __device__ void multiply(float (&acc)[4], const right<CUDA_TF32> &r) const
    {
        multiply_tf32(acc, {upper.x, lower.x, upper.y, lower.y}, r.part.bytes.x, r.part.bytes.y);
        multiply_tf32(acc, {upper.z, lower.z, upper.w, lower.w}, r.part.bytes.z, r.part.bytes.w);
    }
};

#endif

#endif
