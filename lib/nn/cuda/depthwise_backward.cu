/*
 * depthwise_backward.cu - both gradients of depthwise convolutions. A block goes twice over its
 * share of the input's pixels: for dx with the gradient's sums that the BN before it needs, then
 * for the weights, a row of taps a time. The second time the pixels lie in the first cache.
 */
#include "nn/cuda/depthwise.cuh"

/* The leftmost and rightmost pixels of dy that a strip of the input meets, from that of its first
 * pixel on; strips begin at a multiple of every stride. */
template <typename W> struct reach {
    enum {
        BEFORE = (W::SIDE - 1) * W::DILATION - W::PADDING,
        LEFT = -(BEFORE / W::STRIDE),
        RIGHT = (STRIP - 1 + W::PADDING) / W::STRIDE,
        COLUMNS = RIGHT - LEFT + 1,
    };
};

/* Whether pixel j of the strip meets dy at `right` through tap kx. */
template <typename W> static __device__ inline bool meets(int j, int kx, int right)
{
    return j + W::PADDING - kx * W::DILATION == right * W::STRIDE;
}

/* The row of dy that row y of the input meets through tap ky, or -1. */
template <typename W> static __device__ inline int met_row(const cuda_window &w, int y, int ky)
{
    const int distance = y + W::PADDING - ky * W::DILATION;

    if (distance < 0 || distance % W::STRIDE != 0 || distance / W::STRIDE >= w.out_height)
        return -1;
    return distance / W::STRIDE;
}

/* What a strip meets of dy through a row of taps. */
template <typename T, int V, typename W>
static __device__ inline void read_gradients(const cuda_depthwise &d, const strip &s, int channel,
                                             int ky, raw<V, T> (&to)[reach<W>::COLUMNS])
{
    const cuda_window &w = d.window;
    const int y = met_row<W>(w, s.y, ky);
    const long long row = ((long long)s.image * w.out_height + (y < 0 ? 0 : y)) * w.out_width;

#pragma unroll
    for (int i = 0; i < reach<W>::COLUMNS; i++)
        to[i] = read<V>(element<const T>(
            d.dy, row + clamp(s.x / W::STRIDE + reach<W>::LEFT + i, w.out_width), channel));
}

/* The strip's pixels in `view`. */
template <typename T, int V>
static __device__ inline void read_strip(const cuda_view &view, const strip &s, int width,
                                         int channel, raw<V, T> (&to)[STRIP])
{
#pragma unroll
    for (int j = 0; j < STRIP; j++)
        to[j] = read<V>(element<const T>(view, s.row + clamp(s.x + j, width), channel));
}

/* What a row of taps adds to dx of a strip. */
template <typename T, int V, typename W>
static __device__ inline void
add_gradients(const cuda_window &w, const strip &s, const raw<V, T> (&from)[reach<W>::COLUMNS],
              const float (*weight)[CUDA_GROUP], int channel, float (&acc)[STRIP][V])
{
#pragma unroll
    for (int right = reach<W>::LEFT; right <= reach<W>::RIGHT; right++) {
        const int x = s.x / W::STRIDE + right;
        float g[V];

        if (x < 0 || x >= w.out_width)
            continue;
        spread<V>(g, from[right - reach<W>::LEFT]);
#pragma unroll
        for (int j = 0; j < STRIP; j++)
#pragma unroll
            for (int kx = 0; kx < W::SIDE; kx++)
                if (meets<W>(j, kx, right))
#pragma unroll
                    for (int c = 0; c < V; c++)
                        acc[j][c] += weight[kx][channel + c] * g[c];
    }
}

/* dx of a strip. */
template <typename T, int V, typename W>
static __device__ inline void strip_gradient(const cuda_depthwise &d, const strip &s,
                                             const place<V> &at, const float (*weight)[CUDA_GROUP],
                                             float (&acc)[STRIP][V])
{
    enum {
        ROWS = reach<W>::COLUMNS * W::SIDE < 40 ? 2 : 1
    }; /* of dy at a time, as registers allow */
    raw<V, T> ahead[ROWS][reach<W>::COLUMNS];

#pragma unroll
    for (int ky = 1 - ROWS; ky < W::SIDE; ky++) {
        if (ky + ROWS - 1 < W::SIDE)
            read_gradients<T, V, W>(d, s, at.channel, ky + ROWS - 1, ahead[(ky + ROWS - 1) % ROWS]);
        if (ky >= 0 && met_row<W>(d.window, s.y, ky) >= 0)
            add_gradients<T, V, W>(d.window, s, ahead[ky % ROWS], &weight[ky * W::SIDE],
                                   at.vector * V, acc);
    }
}

/* dx of the block's share, and the sums of it that the BN before it needs. */
template <typename T, int V, typename W>
static __device__ inline void data_gradient(const depthwise_call &call, const place<V> &at,
                                            int first, int end, const float (*weight)[CUDA_GROUP],
                                            cuda_gradient_means (&sums)[V])
{
    const cuda_depthwise &d = call.d;
    const cuda_window &w = d.window;
    const channels_of_source<V> f(d.source, at.channel, d.channels);

    for (int i = first + at.row; i < end && at.works; i += call.s.rows) {
        const strip s = find_strip(call, i, w.width);
        raw<V, T> source[STRIP], there[STRIP];
        float acc[STRIP][V] = {};

        read_strip<T, V>(d.source.x, s, w.width, at.channel, source);
        strip_gradient<T, V, W>(d, s, at, weight, acc);
        if (d.add_dx)
            read_strip<T, V>(d.dx, s, w.width, at.channel, there);
#pragma unroll
        for (int j = 0; j < STRIP; j++) {
            float x[V], sum[V];

            if (s.x + j >= w.width)
                continue;
            spread<V>(x, source[j]);
            spread<V>(sum, there[j]);
#pragma unroll
            for (int c = 0; c < V; c++)
                acc[j][c] = f.masked(acc[j][c], x[c], c);
#pragma unroll
            for (int c = 0; c < V; c++) {
                if (f.norm) {
                    sums[c].gradient += acc[j][c];
                    sums[c].product += acc[j][c] * ((x[c] - f.k[c].mean) * f.k[c].inverse);
                }
                sum[c] = d.add_dx ? sum[c] + acc[j][c] : acc[j][c];
            }
            store<V>(element<T>(d.dx, s.row + s.x + j, at.channel), sum);
        }
    }
}

/* A row of taps, of the strips that this thread has: channel c of tap kx in acc[kx * V + c]. */
template <typename T, int V, typename W>
static __device__ inline void taps_gradient(const depthwise_call &call, const place<V> &at,
                                            int first, int end, int ky, float (&acc)[W::SIDE * V])
{
    const cuda_depthwise &d = call.d;
    const cuda_window &w = d.window;
    const channels_of_source<V> f(d.source, at.channel, d.channels);

    for (int i = first + at.row; i < end && at.works; i += call.s.rows) {
        const strip s = find_strip(call, i, w.width);
        raw<V, T> source[STRIP], gradients[reach<W>::COLUMNS];
        float value[STRIP][V] = {};

        if (met_row<W>(w, s.y, ky) < 0)
            continue;
        read_strip<T, V>(d.source.x, s, w.width, at.channel, source);
        read_gradients<T, V, W>(d, s, at.channel, ky, gradients);
#pragma unroll
        for (int j = 0; j < STRIP; j++) {
            if (s.x + j >= w.width)
                continue;
            spread<V>(value[j], source[j]);
#pragma unroll
            for (int c = 0; c < V; c++)
                value[j][c] = f(value[j][c], c);
        }
#pragma unroll
        for (int right = reach<W>::LEFT; right <= reach<W>::RIGHT; right++) {
            const int x = s.x / W::STRIDE + right;
            float g[V];

            if (x < 0 || x >= w.out_width)
                continue;
            spread<V>(g, gradients[right - reach<W>::LEFT]);
#pragma unroll
            for (int j = 0; j < STRIP; j++)
#pragma unroll
                for (int kx = 0; kx < W::SIDE; kx++)
                    if (meets<W>(j, kx, right))
#pragma unroll
                        for (int c = 0; c < V; c++)
                            acc[kx * V + c] += value[j][c] * g[c];
        }
    }
}

template <typename T, int V, typename W>
__global__ void __launch_bounds__(THREADS, 2) depthwise_backward(const depthwise_call call)
{
    begin_kernel();
    const cuda_depthwise &d = call.d;
    depthwise_shared<V, W> *shared = shared_memory<depthwise_shared<V, W>>();
    const place<V> at(call.s, d.channels);
    const int first = (int)blockIdx.x * call.share,
              end = call.strips - first < call.share ? call.strips : first + call.share;

    if (d.dx.data != nullptr) {
        cuda_gradient_means sums[V] = {};

        load_weights<V, W::TAPS>(d, at, shared->weight);
        data_gradient<T, V, W>(call, at, first, end, shared->weight, sums);
        if (d.sums.partial != nullptr)
            put_sums<V>(call, at, sums, shared->means);
    }
#pragma unroll
    for (int ky = 0; ky < W::SIDE; ky++) {
        float acc[W::SIDE * V] = {};

        taps_gradient<T, V, W>(call, at, first, end, ky, acc);
        put_taps<V, W::SIDE>(call, at, W::TAPS, ky * W::SIDE, acc, shared->rows);
    }
    if (d.dx.data != nullptr && d.sums.partial != nullptr &&
        last_block(&d.sums.counters[blockIdx.y], gridDim.x, &shared->ended))
        finish_gradient_sums(d.sums, at.first, at.count, (int)gridDim.x, shared->sums);
}

/* ---- Launching ----------------------------------------------------------------------------- */

int seki_cuda_depthwise_blocks(const struct cuda_depthwise *d)
{
    const cuda_window &w = d->window;

    return blocks_for((long long)w.images * w.height * w.width * d->channels, 2048);
}

struct backward {
    template <typename T, int V, typename W>
    static cudaError_t sized(const struct cuda_queue *queue, const cuda_depthwise *d)
    {
        const sharing s = share_out<V>(d->channels);

        return launch(queue, depthwise_backward<T, V, W>,
                      dim3((unsigned)seki_cuda_depthwise_blocks(d), (unsigned)s.groups),
                      sizeof(depthwise_shared<V, W>), call_of(d, s, true, STRIP));
    }

    template <typename T>
    static cudaError_t any(const struct cuda_queue *queue, const cuda_depthwise *d)
    {
        const sharing s = share_out<1>(d->channels);

        return launch(queue, any_depthwise_backward<T>,
                      dim3((unsigned)seki_cuda_depthwise_blocks(d), (unsigned)s.groups),
                      sizeof(any_shared), call_of(d, s, true, 1));
    }

    static void fit_views(fitting *f, const cuda_depthwise *d)
    {
        fit(f, d->dy);
        fit(f, d->dx);
    }
};

cudaError_t seki_cuda_depthwise_backward(const struct cuda_queue *queue, enum cuda_type type,
                                         const struct cuda_depthwise *call)
{
    return launch_typed<backward>(queue, type, call);
}

struct cuda_parts seki_cuda_depthwise_parts(const struct cuda_depthwise *call)
{
    const int taps = call->window.kernel_height * call->window.kernel_width;

    return {call->partial, call->dweight, seki_cuda_depthwise_blocks(call), taps, call->channels};
}
