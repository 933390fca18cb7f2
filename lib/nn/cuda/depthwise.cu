/*
 * depthwise.cu - depthwise convolutions: BN and ReLU of what is read, each channel filtered by
 * itself. A thread has V channels of four pixels of a row, so that what neighbouring pixels share
 * is read and normalised once.
 *
 * Backward, a block goes twice over its share of the input's pixels: for dx with the gradient's
 * sums that the BN before it needs, then for the weights, a row of taps a thread. The second time
 * the pixels lie in the first cache.
 */
#include "nn/cuda/depthwise_any.cuh"

enum { STRIP = 4 }; /* pixels of a row */

/* Weights of the group's channels, a tap after the other; the block's sums. */
template <int V, typename W> struct depthwise_shared {
    union {
        float weight[W::TAPS][CUDA_GROUP];
        double sums[THREADS];
    };
    union {
        float rows[THREADS * V * W::SIDE];
        cuda_gradient_means means[THREADS * V];
    };
    unsigned ended;
};

/* K taps a side, stride S, dilation D, padded so that stride 1 keeps the size. */
template <int K, int S, int D> struct sliding {
    enum { TAPS = K * K, SIDE = K, STRIDE = S, DILATION = D, PADDING = D * (K - 1) / 2 };
};

/* The beginning of a strip. */
struct strip {
    long long row; /* first pixel of its row of pixels */
    int image, y, x;
};

static __device__ inline strip find_strip(const depthwise_call &call, int i, int width)
{
    const int line = i / call.row_strips, image = line / call.height;
    strip s;

    s.row = (long long)line * width;
    s.image = image;
    s.y = line - image * call.height.value;
    s.x = (i - line * call.row_strips.value) * STRIP;
    return s;
}

template <int V, int TAPS>
static __device__ inline void load_weights(const cuda_depthwise &d, const place<V> &at,
                                           float (*weight)[CUDA_GROUP])
{
    for (int i = (int)threadIdx.x; i < TAPS * at.count; i += THREADS) {
        const int c = i / TAPS, tap = i % TAPS;

        weight[tap][c] = d.weight[(size_t)(at.first + c) * TAPS + (size_t)tap];
    }
    __syncthreads();
}

/* ---- Forward ------------------------------------------------------------------------------- */

/* What the strip's pixels see of a row, from the leftmost to the rightmost. */
template <typename W> struct sight {
    enum { COLUMNS = (STRIP - 1) * W::STRIDE + (W::SIDE - 1) * W::DILATION + 1 };
};

/* Which of the strip's pixels sees column j through tap kx, or -1. */
template <typename W> static __device__ inline int sees(int j, int kx)
{
    const int right = j - kx * W::DILATION;

    return right < 0 || right % W::STRIDE != 0 || right / W::STRIDE >= STRIP ? -1
                                                                             : right / W::STRIDE;
}

template <typename W> static __device__ inline bool seen(int j)
{
    bool any = false;

#pragma unroll
    for (int kx = 0; kx < W::SIDE; kx++)
        any = any || sees<W>(j, kx) >= 0;
    return any;
}

template <typename T, int V, typename W>
static __device__ inline void read_row(const cuda_depthwise &d, const strip &s, int channel, int ky,
                                       raw<V, T> (&to)[sight<W>::COLUMNS])
{
    const cuda_window &w = d.window;
    const int y = clamp(s.y * W::STRIDE - W::PADDING + ky * W::DILATION, w.height),
              left = s.x * W::STRIDE - W::PADDING;
    const long long row = ((long long)s.image * w.height + y) * w.width;

#pragma unroll
    for (int j = 0; j < sight<W>::COLUMNS; j++)
        if (seen<W>(j))
            to[j] = read<V>(element<const T>(d.source.x, row + clamp(left + j, w.width), channel));
}

template <typename T, int V, typename W>
static __device__ inline void add_row(const cuda_window &w, const channels_of_source<V> &f,
                                      const raw<V, T> (&from)[sight<W>::COLUMNS], int left,
                                      const float (*weight)[CUDA_GROUP], int channel,
                                      float (&acc)[STRIP][V])
{
#pragma unroll
    for (int j = 0; j < sight<W>::COLUMNS; j++) {
        float value[V];

        if (!seen<W>(j) || left + j < 0 || left + j >= w.width)
            continue;
        spread<V>(value, from[j]);
#pragma unroll
        for (int c = 0; c < V; c++)
            value[c] = f(value[c], c);
#pragma unroll
        for (int kx = 0; kx < W::SIDE; kx++)
            if (sees<W>(j, kx) >= 0)
#pragma unroll
                for (int c = 0; c < V; c++)
                    acc[sees<W>(j, kx)][c] += weight[kx][channel + c] * value[c];
    }
}

template <typename T, int V, typename W>
__global__ void __launch_bounds__(THREADS, 2) depthwise(const depthwise_call call)
{
    begin_kernel();
    const cuda_depthwise &d = call.d;
    const cuda_window &w = d.window;
    depthwise_shared<V, W> *shared = shared_memory<depthwise_shared<V, W>>();
    const place<V> at(call.s, d.channels);
    const int i = (int)blockIdx.x * call.s.rows + at.row;

    load_weights<V, W::TAPS>(d, at, shared->weight);
    if (!at.works || i >= call.strips)
        return;
    const channels_of_source<V> f(d.source, at.channel, d.channels);
    const strip s = find_strip(call, i, w.out_width);
    raw<V, T> ahead[2][sight<W>::COLUMNS];
    float acc[STRIP][V] = {};

    read_row<T, V, W>(d, s, at.channel, 0, ahead[0]);
#pragma unroll
    for (int ky = 0; ky < W::SIDE; ky++) {
        const int y = s.y * W::STRIDE - W::PADDING + ky * W::DILATION;

        if (ky + 1 < W::SIDE)
            read_row<T, V, W>(d, s, at.channel, ky + 1, ahead[(ky + 1) % 2]);
        if (y >= 0 && y < w.height)
            add_row<T, V, W>(w, f, ahead[ky % 2], s.x * W::STRIDE - W::PADDING,
                             &shared->weight[ky * W::SIDE], at.vector * V, acc);
    }
#pragma unroll
    for (int j = 0; j < STRIP; j++)
        if (s.x + j < w.out_width)
            store<V>(element<T>(d.y, s.row + s.x + j, at.channel), acc[j]);
}

/* ---- Backward ------------------------------------------------------------------------------ */

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

/* Strips are shared out the same way whatever kernel works on them, so that the caller knows how
 * many blocks leave sums. */
static depthwise_call call_of(const cuda_depthwise *d, const sharing &s, bool backward, int strip)
{
    const cuda_window &w = d->window;
    const int width = backward ? w.width : w.out_width;
    const int height = backward ? w.height : w.out_height, row = (width + strip - 1) / strip;
    const int blocks = backward ? seki_cuda_depthwise_blocks(d) : 1;
    depthwise_call call = {*d, s, w.images * height * row, divisor_of(row), divisor_of(height), 0};

    call.share = (call.strips + blocks - 1) / blocks;
    return call;
}

int seki_cuda_depthwise_blocks(const struct cuda_depthwise *d)
{
    const cuda_window &w = d->window;

    return blocks_for((long long)w.images * w.height * w.width * d->channels, 2048);
}

template <typename T, int V, typename W>
static cudaError_t launch_sized(const struct cuda_queue *queue, const cuda_depthwise *d,
                                bool backward)
{
    const sharing s = share_out<V>(d->channels);
    const depthwise_call call = call_of(d, s, backward, STRIP);
    const size_t shared = sizeof(depthwise_shared<V, W>);

    if (backward)
        return launch(queue, depthwise_backward<T, V, W>,
                      dim3((unsigned)seki_cuda_depthwise_blocks(d), (unsigned)s.groups), shared,
                      call);
    return launch(queue, depthwise<T, V, W>,
                  dim3((unsigned)((call.strips + s.rows - 1) / s.rows), (unsigned)s.groups), shared,
                  call);
}

template <typename T>
static cudaError_t launch_any(const struct cuda_queue *queue, const cuda_depthwise *d,
                              bool backward)
{
    const sharing s = share_out<1>(d->channels);
    const depthwise_call call = call_of(d, s, backward, 1);

    if (backward)
        return launch(queue, any_depthwise_backward<T>,
                      dim3((unsigned)seki_cuda_depthwise_blocks(d), (unsigned)s.groups),
                      sizeof(any_shared), call);
    return launch(queue, any_depthwise<T>,
                  dim3((unsigned)((call.strips + s.rows - 1) / s.rows), (unsigned)s.groups), 0,
                  call);
}

/* Whether the window is that of W. */
template <typename W> static bool is(const cuda_window &w)
{
    return w.kernel_height == W::SIDE && w.kernel_width == W::SIDE &&
           w.stride_height == W::STRIDE && w.stride_width == W::STRIDE &&
           w.dilation == W::DILATION && w.padding_height == W::PADDING &&
           w.padding_width == W::PADDING;
}

template <typename T, int V>
static cudaError_t launch_wide(const struct cuda_queue *queue, const cuda_depthwise *d,
                               bool backward)
{
    if (is<sliding<3, 1, 1>>(d->window))
        return launch_sized<T, V, sliding<3, 1, 1>>(queue, d, backward);
    if (is<sliding<3, 2, 1>>(d->window))
        return launch_sized<T, V, sliding<3, 2, 1>>(queue, d, backward);
    if (is<sliding<5, 1, 1>>(d->window))
        return launch_sized<T, V, sliding<5, 1, 1>>(queue, d, backward);
    if (is<sliding<5, 2, 1>>(d->window))
        return launch_sized<T, V, sliding<5, 2, 1>>(queue, d, backward);
    if (is<sliding<3, 1, 2>>(d->window))
        return launch_sized<T, V, sliding<3, 1, 2>>(queue, d, backward);
    if (is<sliding<3, 2, 2>>(d->window))
        return launch_sized<T, V, sliding<3, 2, 2>>(queue, d, backward);
    if (is<sliding<5, 1, 2>>(d->window))
        return launch_sized<T, V, sliding<5, 1, 2>>(queue, d, backward);
    if (is<sliding<5, 2, 2>>(d->window))
        return launch_sized<T, V, sliding<5, 2, 2>>(queue, d, backward);
    return launch_any<T>(queue, d, backward);
}

template <typename T> static fitting fit_views(const cuda_depthwise *d, bool backward)
{
    fitting f = {(int)sizeof(T), 0};

    fit(&f, d->channels);
    fit(&f, d->source.x);
    if (backward) {
        fit(&f, d->dy);
        fit(&f, d->dx);
    } else {
        fit(&f, d->y);
    }
    return f;
}

static cudaError_t launch_typed(const struct cuda_queue *queue, enum cuda_type type,
                                const cuda_depthwise *d, bool backward)
{
    if (type == CUDA_BF16) {
        const int width = fitting_width(fit_views<bf16>(d, backward));

        return width == 8   ? launch_wide<bf16, 8>(queue, d, backward)
               : width == 4 ? launch_wide<bf16, 4>(queue, d, backward)
                            : launch_any<bf16>(queue, d, backward);
    }
    return fitting_width(fit_views<float>(d, backward)) == 4
               ? launch_wide<float, 4>(queue, d, backward)
               : launch_any<float>(queue, d, backward);
}

cudaError_t seki_cuda_depthwise(const struct cuda_queue *queue, enum cuda_type type,
                                const struct cuda_depthwise *call)
{
    return launch_typed(queue, type, call, false);
}

cudaError_t seki_cuda_depthwise_backward(const struct cuda_queue *queue, enum cuda_type type,
                                         const struct cuda_depthwise *call)
{
    return launch_typed(queue, type, call, true);
}

struct cuda_parts seki_cuda_depthwise_parts(const struct cuda_depthwise *call)
{
    const int taps = call->window.kernel_height * call->window.kernel_width;

    return {call->partial, call->dweight, seki_cuda_depthwise_blocks(call), taps, call->channels};
}
