/*
 * sums.cuh - sums over a block's rows, and over the blocks of a grid by the one that ends last:
 * BN's moments and what they become, and the means of gradients. Always in the same order.
 */
#ifndef SEKI_CUDA_SUMS_CUH
#define SEKI_CUDA_SUMS_CUH

#include "nn/cuda/device.cuh"

/* ---- Sums over a block's rows -------------------------------------------------------------- */

static __device__ inline void merge(float *sum, const float &more)
{
    *sum += more;
}

static __device__ inline void merge(cuda_gradient_means *sum, const cuda_gradient_means &more)
{
    sum->gradient += more.gradient;
    sum->product += more.product;
}

/* Chan, Golub, LeVeque 1979: moments of two sets from those of each. */
static __device__ inline void merge(cuda_moment *sum, const cuda_moment &more)
{
    const float count = sum->count + more.count;

    if (more.count == 0.0f)
        return;
    const float distance = more.mean - sum->mean, share = quotient(more.count, count);

    sum->squares += more.squares + distance * distance * sum->count * share;
    sum->mean += distance * share;
    sum->count = count;
}

/* Numbers of shared memory for V values a thread, of up to CUDA_GROUP / EACH threads in a row. */
template <int V, int EACH> struct sum_space {
    enum { COUNT = V * (THREADS + CUDA_GROUP / EACH) };
};

/* The sums over the rows of V values of each thread, in an order that is always the same:
 * give(i, vector, sum) is called for value i of each vector, by one thread. Every thread of the
 * block calls it; `shared` may be used again after the next __syncthreads. */
template <int V, typename Item, typename F>
static __device__ inline void sum_rows(const Item (&value)[V], Item *shared, const sharing &s,
                                       F give)
{
    enum { APART = 4 };                    /* sums that do not wait for each other */
    const int apart = THREADS + s.vectors; /* neighbours begin in other banks */

    __syncthreads();
#pragma unroll
    for (int i = 0; i < V; i++)
        shared[i * apart + (int)threadIdx.x] = value[i];
    __syncthreads();
#pragma unroll 1
    for (int o = (int)threadIdx.x; o < V * s.vectors; o += THREADS) {
        const int i = o / s.vectors;
        const Item *column = &shared[o + i * THREADS];
        Item sums[APART] = {};
        int r = 0;

#pragma unroll 1
        for (; r + APART <= s.rows; r += APART)
#pragma unroll
            for (int k = 0; k < APART; k++)
                merge(&sums[k], column[(r + k) * s.vectors]);
#pragma unroll 1
        for (; r < s.rows; r++)
            merge(&sums[0], column[r * s.vectors]);
        merge(&sums[0], sums[1]);
        merge(&sums[2], sums[3]);
        merge(&sums[0], sums[2]);
        give(i, o - i * s.vectors, sums[0]);
    }
}

/* ---- Sums over the blocks of a grid -------------------------------------------------------- */

/* Whether this block is the last of `blocks` to get here; then it sees what the others have
 * written, and the counter is ready for the next grid. Every thread calls it. */
static __device__ inline bool last_block(unsigned *counter, unsigned blocks, unsigned *shared)
{
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        *shared = atomicAdd(counter, 1u);
        __threadfence();
        if (*shared == blocks - 1)
            *counter = 0;
    }
    __syncthreads();
    return *shared == blocks - 1;
}

struct two_sums {
    double first, second;
};

/* From each thread's share to the whole, of threads 0..count-1. shared: THREADS doubles. */
static __device__ inline double sum_threads(double sum, int count, double *shared)
{
    const int parts = THREADS / count;

    __syncthreads();
    shared[threadIdx.x] = sum;
    __syncthreads();
    sum = 0.0;
    for (int i = 0; i < parts && (int)threadIdx.x < count; i++)
        sum += shared[i * count + (int)threadIdx.x];
    return sum;
}

/* Sums of use(read(i, channel)) over i of 0..blocks-1 for each of the group's channels, all threads
 * at work; the threads 0..count-1 get their channel's. A whole kernel waits for these loads: as
 * many as there are registers for are under way at once, the last ones too. shared: THREADS
 * doubles. */
template <typename R, typename U>
static __device__ inline two_sums sum_blocks(int count, int blocks, double *shared, R read, U use)
{
    enum { ONCE = sizeof(decltype(read(0, 0))) > 8 ? 16 : 32 };
    const int parts = THREADS / count, c = (int)threadIdx.x % count;
    const int part = (int)threadIdx.x / count;
    two_sums sums = {0.0, 0.0};

#pragma unroll 1
    for (int first = part < parts ? part : blocks; first < blocks; first += ONCE * parts) {
        decltype(read(0, 0)) items[ONCE];

#pragma unroll
        for (int k = 0; k < ONCE; k++)
            items[k] = read(clamp(first + k * parts, blocks), c);
#pragma unroll
        for (int k = 0; k < ONCE; k++) {
            const two_sums more = use(items[k]);

            sums.first += first + k * parts < blocks ? more.first : 0.0;
            sums.second += first + k * parts < blocks ? more.second : 0.0;
        }
    }
    sums.first = sum_threads(sums.first, count, shared);
    sums.second = sum_threads(sums.second, count, shared);
    return sums;
}

static __device__ inline void move(float *running, double momentum, double batch)
{
    *running = (float)((1.0 - momentum) * *running + momentum * batch);
}

static __device__ inline void put_coefficients(const cuda_moments &m, int channel, double mean,
                                               double variance)
{
    const double inverse = 1.0 / sqrt(variance + (double)m.epsilon);
    const float scale = m.scale != nullptr ? m.scale[channel] : 1.0f;

    m.coefficients[channel] = {(float)mean, (float)inverse, (float)(inverse * scale),
                               m.shift != nullptr ? m.shift[channel] : 0.0f};
}

/* Moments of the group's channels from all blocks', by distances from the first block's mean, so
 * that no large numbers are taken from each other. Of the last block all threads call it. */
static __device__ inline void finish_moments(const cuda_moments &m, int first, int count,
                                             int blocks, double *shared)
{
    const cuda_moment *partial = m.partial + first;
    const int channels = m.channels;
    const double n = (double)m.count;
    const double near = partial[(int)threadIdx.x % count].mean;
    const two_sums sums = sum_blocks(
        count, blocks, shared, [=](int i, int c) { return partial[(size_t)i * channels + c]; },
        [=](const cuda_moment &p) {
            const double distance = p.mean - near;

            return two_sums{p.count * distance, p.squares + p.count * distance * distance};
        });
    const double shift = sums.first / n, mean = near + shift;
    const double squares = sums.second - n * shift * shift;

    if ((int)threadIdx.x >= count)
        return;
    const int channel = first + (int)threadIdx.x;
    /* What rounding left below nothing is nothing; NaN stays NaN. */
    const double variance = squares > 0.0 ? squares / n : squares * 0.0;

    put_coefficients(m, channel, mean, variance);
    if (m.running_mean == nullptr)
        return;
    move(&m.running_mean[channel], m.momentum, mean);
    move(&m.running_variance[channel], m.momentum, n > 1.0 ? variance * n / (n - 1.0) : variance);
}

static __device__ inline void finish_gradient_sums(const cuda_gradient_sums &s, int first,
                                                   int count, int blocks, double *shared)
{
    const cuda_gradient_means *partial = s.partial + first;
    const int channels = s.channels;
    const two_sums sums = sum_blocks(
        count, blocks, shared, [=](int i, int c) { return partial[(size_t)i * channels + c]; },
        [](const cuda_gradient_means &p) {
            return two_sums{(double)p.gradient, (double)p.product};
        });
    const double gradient = sums.first, product = sums.second;

    if ((int)threadIdx.x >= count)
        return;
    const int channel = first + (int)threadIdx.x;

    s.means[channel] = {(float)(gradient / (double)s.count), (float)(product / (double)s.count)};
    if (s.dscale != nullptr)
        s.dscale[channel] += (float)product;
    if (s.dshift != nullptr)
        s.dshift[channel] += (float)gradient;
}

#endif
