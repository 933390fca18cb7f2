/*
 * dense_write.cuh - what becomes of a dense convolution's products: z, rounded as it is kept, and
 * its moments; dx, through ReLU and added to what is there.
 */
#ifndef SEKI_CUDA_DENSE_WRITE_CUH
#define SEKI_CUDA_DENSE_WRITE_CUH

#include "nn/cuda/dense_read.cuh"
#include "nn/cuda/sums.cuh"

/* ---- Results ------------------------------------------------------------------------------- */

/* Of every two products of 8 columns a lane has four neighbours: this is the first of them. */
static __device__ inline int first_column(int two)
{
    return two * 2 * COLUMNS + 4 * slot();
}

template <int NT>
static __device__ inline void take_four(float (&to)[4], const float (&acc)[NT][4], int two, int h)
{
#pragma unroll
    for (int i = 0; i < 4; i++)
        to[i] = acc[2 * two + i / 2][2 * h + i % 2];
}

/* The four channels at `to`, of which there are `count` and more. */
template <int KIND, typename T>
static __device__ inline void write_four(T *to, const raw<4, T> &value, int count)
{
    T values[4];

    if (KIND != SINGLES && count > 0)
        write<4>(to, value);
    memcpy(values, &value.bytes, sizeof(values));
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (KIND == SINGLES && i < count)
            to[i] = values[i];
}

/* acc becomes what is left of it in z: moments are of what is normalised. */
template <int KIND, typename T, int NT>
static __device__ inline void write_z(const cuda_dense &d, int row, int column,
                                      float (&acc)[TILES][NT][4],
                                      const dense_pixel (&pixels)[TILES][2])
{
#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int h = 0; h < 2; h++)
#pragma unroll
            for (int two = 0; two < NT / 2; two++) {
                const int channel = column + first_column(two);
                float value[4];

                take_four<NT>(value, acc[r], two, h);
                const raw<4, T> kept = gather<T>(value);

                write_four<KIND>(element<T>(d.z, row + r * ROWS + 8 * h, channel), kept,
                                 pixels[r][h].valid ? d.outputs - channel : 0);
                spread<4>(value, kept);
#pragma unroll
                for (int i = 0; i < 4; i++)
                    acc[r][2 * two + i / 2][2 * h + i % 2] = value[i];
            }
}

/* What is there already of a tile's pixels and the lane's columns. */
template <typename T, int NT> struct dense_there {
    raw<4, T> x[2][NT / 2], dx[2][NT / 2];
};

template <int KIND, typename T, int NT>
static __device__ inline void read_there(const cuda_view &view, int row, int column, int channels,
                                         const dense_pixel (&pixels)[2], raw<4, T> (&to)[2][NT / 2])
{
#pragma unroll
    for (int h = 0; h < 2; h++)
#pragma unroll
        for (int two = 0; two < NT / 2; two++) {
            const int channel = column + first_column(two);

            to[h][two] = read_four<KIND>(element<const T>(view, row + 8 * h, channel),
                                         pixels[h].valid ? channels - channel : 0);
        }
}

template <int KIND, typename T, int NT>
static __device__ inline void write_tile(const cuda_dense &d, int row, int column,
                                         const float (&acc)[NT][4], const dense_pixel (&pixels)[2],
                                         const dense_there<T, NT> &there)
{
#pragma unroll
    for (int two = 0; two < NT / 2; two++) {
        const int channel = column + first_column(two);
        const channels_of_source<4> f(d.source, channel, d.inputs);

#pragma unroll
        for (int h = 0; h < 2; h++) {
            float value[4], x[4], dx[4];

            take_four<NT>(value, acc, two, h);
            spread<4>(x, there.x[h][two]);
            spread<4>(dx, there.dx[h][two]);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                value[i] = f.masked(value[i], x[i], i);
                value[i] = d.add_dx ? dx[i] + value[i] : value[i];
            }
            write_four<KIND>(element<T>(d.dx, row + 8 * h, channel), gather<T>(value),
                             pixels[h].valid ? d.inputs - channel : 0);
        }
    }
}

template <int KIND, typename T, int NT>
static __device__ inline void write_dx(const cuda_dense &d, int row, int column,
                                       const float (&acc)[TILES][NT][4],
                                       const dense_pixel (&pixels)[TILES][2])
{
    enum { ONCE = NT * (int)sizeof(T) > 16 ? 1 : TILES }; /* tiles, as registers allow */

#pragma unroll
    for (int first = 0; first < TILES; first += ONCE) {
        dense_there<T, NT> there[ONCE];

#pragma unroll
        for (int r = 0; r < ONCE; r++) {
            if (d.source.relu)
                read_there<KIND, T, NT>(d.source.x, row + (first + r) * ROWS, column, d.inputs,
                                        pixels[first + r], there[r].x);
            if (d.add_dx)
                read_there<KIND, T, NT>(d.dx, row + (first + r) * ROWS, column, d.inputs,
                                        pixels[first + r], there[r].dx);
        }
#pragma unroll
        for (int r = 0; r < ONCE; r++)
            write_tile<KIND, T, NT>(d, row + (first + r) * ROWS, column, acc[first + r],
                                    pixels[first + r], there[r]);
    }
}

/* ---- Moments ------------------------------------------------------------------------------- */

/* Of COUNT columns, each of as many values. */
template <int COUNT> struct dense_moments {
    float count;
    float mean[COUNT], squares[COUNT];
};

/* Column i of the other's, `from` merged into `to`, of which `share` values are the other's. */
static __device__ inline void merge_column(float *mean, float *squares, float other_mean,
                                           float other_squares, float count, float share)
{
    const float distance = other_mean - *mean;

    *squares += other_squares + distance * distance * count * share;
    *mean += distance * share;
}

/* Those of a tile's values more; what is not valid is some other pixel's, or 0. */
template <int NT>
static __device__ inline void add_moments(dense_moments<2 * NT> *sum,
                                          const float (&acc)[TILES][NT][4],
                                          const dense_pixel (&pixels)[TILES][2])
{
    float there[TILES][2], count = 0.0f;

#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            there[r][h] = pixels[r][h].valid ? 1.0f : 0.0f;
            count += there[r][h];
        }
    if (count == 0.0f)
        return;
    const float each = quotient(1.0f, count), share = quotient(count, sum->count + count);

#pragma unroll
    for (int i = 0; i < 2 * NT; i++) {
        float mean = 0.0f, squares = 0.0f;

#pragma unroll
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                mean += acc[r][i / 2][2 * h + i % 2] * there[r][h];
        mean *= each;
#pragma unroll
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const float distance = acc[r][i / 2][2 * h + i % 2] - mean;

                squares += distance * distance * there[r][h];
            }
        merge_column(&sum->mean[i], &sum->squares[i], mean, squares, sum->count, share);
    }
    sum->count += count;
}

/* Two lanes STEP apart merge their moments; each goes on with one half of the columns, the one with
 * the higher number with the second. Where they are odd in number both have all. */
template <int STEP, int COUNT, int LEFT>
static __device__ inline void share_moments(const dense_moments<COUNT> &from,
                                            dense_moments<LEFT> *to)
{
    const bool second = LEFT < COUNT && (threadIdx.x & STEP) != 0;
    const float more = __shfl_xor_sync(~0u, from.count, STEP);

    to->count = from.count + more;
    const float share = more == 0.0f ? 0.0f : quotient(more, to->count);

#pragma unroll
    for (int i = 0; i < LEFT; i++) {
        const int other = LEFT < COUNT ? i + LEFT : i;
        const float mean = __shfl_xor_sync(~0u, second ? from.mean[i] : from.mean[other], STEP);
        const float squares =
            __shfl_xor_sync(~0u, second ? from.squares[i] : from.squares[other], STEP);

        to->mean[i] = second ? from.mean[other] : from.mean[i];
        to->squares[i] = second ? from.squares[other] : from.squares[i];
        merge_column(&to->mean[i], &to->squares[i], mean, squares, from.count, share);
    }
}

/* The warp's moments, from those of its lanes. */
template <int NT>
static __device__ inline void warp_moments(const dense_moments<2 * NT> &lane, cuda_moment *to)
{
    enum { HALF = NT, QUARTER = NT / 2, LAST = QUARTER % 2 == 0 ? QUARTER / 2 : QUARTER };
    dense_moments<HALF> half;
    dense_moments<QUARTER> quarter;
    dense_moments<LAST> last;
    int first = (threadIdx.x & 4 ? HALF : 0) + (threadIdx.x & 8 ? QUARTER : 0);

    share_moments<4>(lane, &half);
    share_moments<8>(half, &quarter);
    share_moments<16>(quarter, &last);
    if ((threadIdx.x & 16) != 0) {
        if (LAST == QUARTER)
            return;
        first += LAST;
    }
#pragma unroll
    for (int i = 0; i < LAST; i++) {
        const int column = first + i;

        to[first_column(column / 4) + column % 4] = {last.count, last.mean[i], last.squares[i]};
    }
}

#endif
