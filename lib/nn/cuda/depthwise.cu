/*
 * depthwise.cu - depthwise convolutions: BN and ReLU of what is read, each channel filtered by
 * itself. A thread has V channels of four pixels of a row, so that what neighbouring pixels share
 * is read and normalised once.
 *
 * Backward, a block goes twice over its share of the input's pixels: for dx with the gradient's
 * sums that the BN before it needs, then for the weights, a row of taps a thread. The second time
 * the pixels lie in the first cache.
 */
#include "nn/cuda/device.cuh"

enum { STRIP = 4 }; /* pixels of a row */

struct depthwise_call {
    cuda_depthwise d;
    sharing s;
    int strips, row_strips; /* of what the threads share out: in all, in a row of pixels */
    int share;              /* strips of a block */
};

/* Weights of the group's channels, a tap after the other; the block's sums. */
template <int V, int TAPS> struct depthwise_shared {
    union {
        float weight[TAPS][CUDA_GROUP];
        double sums[THREADS];
    };
    union {
        float rows[THREADS * V];
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

static __device__ inline strip find_strip(int i, int row_strips, int height, int width)
{
    const int line = i / row_strips, image = line / height;
    strip s;

    s.row = (long long)line * width;
    s.image = image;
    s.y = line - image * height;
    s.x = (i - line * row_strips) * STRIP;
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

template <typename T, int V, typename W>
__global__ void __launch_bounds__(THREADS, 1) depthwise(const depthwise_call call)
{
    const cuda_depthwise &d = call.d;
    const cuda_window &w = d.window;
    depthwise_shared<V, W::TAPS> *shared = shared_memory<depthwise_shared<V, W::TAPS>>();
    const place<V> at(call.s, d.channels);
    const int i = (int)blockIdx.x * call.s.rows + at.row;

    load_weights<V, W::TAPS>(d, at, shared->weight);
    if (!at.works || i >= call.strips)
        return;
    const channels_of_source<V> f(d.source, at.channel, d.channels);
    const strip s = find_strip(i, call.row_strips, w.out_height, w.out_width);
    const long long image = (long long)s.image * w.height;
    float acc[STRIP][V] = {};

#pragma unroll
    for (int ky = 0; ky < W::SIDE; ky++) {
        const int y = s.y * W::STRIDE - W::PADDING + ky * W::DILATION;

        if (y < 0 || y >= w.height)
            continue;
            /* What the strip's pixels see of the row, from the leftmost to the rightmost. */
#pragma unroll
        for (int j = 0; j <= (STRIP - 1) * W::STRIDE + (W::SIDE - 1) * W::DILATION; j++) {
            const int x = s.x * W::STRIDE - W::PADDING + j;
            float value[V];

            if (x < 0 || x >= w.width)
                continue;
            load<V>(value, element<const T>(d.source.x, (image + y) * w.width + x, at.channel));
#pragma unroll
            for (int c = 0; c < V; c++)
                value[c] = f(value[c], c);
#pragma unroll
            for (int kx = 0; kx < W::SIDE; kx++) {
                const int right = j - kx * W::DILATION; /* of the strip's first, in the input */

                if (right < 0 || right % W::STRIDE != 0 || right / W::STRIDE >= STRIP)
                    continue;
#pragma unroll
                for (int c = 0; c < V; c++)
                    acc[right / W::STRIDE][c] +=
                        shared->weight[ky * W::SIDE + kx][at.vector * V + c] * value[c];
            }
        }
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

/* dx of a strip. */
template <typename T, int V, typename W>
static __device__ inline void strip_gradient(const cuda_depthwise &d, const strip &s,
                                             const place<V> &at, const float (*weight)[CUDA_GROUP],
                                             float (&acc)[STRIP][V])
{
    const cuda_window &w = d.window;

#pragma unroll
    for (int ky = 0; ky < W::SIDE; ky++) {
        const int y = met_row<W>(w, s.y, ky);
        const long long row = ((long long)s.image * w.out_height + y) * w.out_width;

        if (y < 0)
            continue;
#pragma unroll
        for (int right = reach<W>::LEFT; right <= reach<W>::RIGHT; right++) {
            const int x = s.x / W::STRIDE + right;
            float g[V];

            if (x < 0 || x >= w.out_width)
                continue;
            load<V>(g, element<const T>(d.dy, row + x, at.channel));
#pragma unroll
            for (int j = 0; j < STRIP; j++)
#pragma unroll
                for (int kx = 0; kx < W::SIDE; kx++)
                    if (meets<W>(j, kx, right))
#pragma unroll
                        for (int c = 0; c < V; c++)
                            acc[j][c] += weight[ky * W::SIDE + kx][at.vector * V + c] * g[c];
        }
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
        const strip s = find_strip(i, call.row_strips, w.height, w.width);
        float acc[STRIP][V] = {};

        strip_gradient<T, V, W>(d, s, at, weight, acc);
#pragma unroll
        for (int j = 0; j < STRIP; j++) {
            float x[V];

            if (s.x + j >= w.width)
                continue;
            load<V>(x, element<const T>(d.source.x, s.row + s.x + j, at.channel));
#pragma unroll
            for (int c = 0; c < V; c++)
                acc[j][c] = f.masked(acc[j][c], x[c], c);
#pragma unroll
            for (int c = 0; c < V; c++) {
                if (!f.norm)
                    continue;
                sums[c].gradient += acc[j][c];
                sums[c].product += acc[j][c] * ((x[c] - f.k[c].mean) * f.k[c].inverse);
            }
            give<V>(element<T>(d.dx, s.row + s.x + j, at.channel), acc[j], d.add_dx);
        }
    }
}

/* A row of taps, of the strips that this thread has. */
template <typename T, int V, typename W>
static __device__ inline void taps_gradient(const depthwise_call &call, const place<V> &at,
                                            int first, int end, int ky, float (&acc)[W::SIDE][V])
{
    const cuda_depthwise &d = call.d;
    const cuda_window &w = d.window;
    const channels_of_source<V> f(d.source, at.channel, d.channels);

    for (int i = first + at.row; i < end && at.works; i += call.s.rows) {
        const strip s = find_strip(i, call.row_strips, w.height, w.width);
        const int y = met_row<W>(w, s.y, ky);
        const long long row = ((long long)s.image * w.out_height + y) * w.out_width;
        float value[STRIP][V] = {};

        if (y < 0)
            continue;
#pragma unroll
        for (int j = 0; j < STRIP; j++) {
            if (s.x + j >= w.width)
                continue;
            load<V>(value[j], element<const T>(d.source.x, s.row + s.x + j, at.channel));
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
            load<V>(g, element<const T>(d.dy, row + x, at.channel));
#pragma unroll
            for (int j = 0; j < STRIP; j++)
#pragma unroll
                for (int kx = 0; kx < W::SIDE; kx++)
                    if (meets<W>(j, kx, right))
#pragma unroll
                        for (int c = 0; c < V; c++)
                            acc[kx][c] += value[j][c] * g[c];
        }
    }
}

template <int V>
static __device__ inline void put_sums(const depthwise_call &call, const place<V> &at,
                                       cuda_gradient_means (&sums)[V], cuda_gradient_means *shared)
{
    merge_rows<V>(sums, shared, call.s, at.row);
#pragma unroll
    for (int c = 0; c < V; c++)
        if (at.row == 0 && at.works && at.vector * V + c < at.count)
            call.d.sums
                .partial[(size_t)blockIdx.x * (size_t)call.d.channels + (size_t)(at.channel + c)] =
                sums[c];
}

template <int V>
static __device__ inline void put_taps(const depthwise_call &call, const place<V> &at, int taps,
                                       int tap, float (&acc)[V], float *shared)
{
    merge_rows<V>(acc, shared, call.s, at.row);
#pragma unroll
    for (int c = 0; c < V; c++)
        if (at.row == 0 && at.works && at.vector * V + c < at.count)
            call.d.partial[((size_t)blockIdx.x * (size_t)taps + (size_t)tap) *
                               (size_t)call.d.channels +
                           (size_t)(at.channel + c)] = acc[c];
}

template <typename T, int V, typename W>
__global__ void __launch_bounds__(THREADS, 1) depthwise_backward(const depthwise_call call)
{
    const cuda_depthwise &d = call.d;
    depthwise_shared<V, W::TAPS> *shared = shared_memory<depthwise_shared<V, W::TAPS>>();
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
        float acc[W::SIDE][V] = {};

        taps_gradient<T, V, W>(call, at, first, end, ky, acc);
#pragma unroll
        for (int kx = 0; kx < W::SIDE; kx++)
            put_taps<V>(call, at, W::TAPS, ky * W::SIDE + kx, acc[kx], shared->rows);
    }
    if (d.dx.data != nullptr && d.sums.partial != nullptr &&
        last_block(&d.sums.counters[blockIdx.y], gridDim.x, &shared->ended))
        finish_gradient_sums(d.sums, at.first, at.count, (int)gridDim.x, shared->sums);
}

/* ---- Kernels of any size: a pixel at a time, a tap at a time ------------------------------- */

template <typename T>
__global__ void __launch_bounds__(THREADS, 1) any_depthwise(const depthwise_call call)
{
    const cuda_depthwise &d = call.d;
    const cuda_window &w = d.window;
    const place<1> at(call.s, d.channels);
    const int taps = w.kernel_height * w.kernel_width;
    const int p = (int)blockIdx.x * call.s.rows + at.row;

    if (!at.works || p >= call.strips)
        return;
    const channels_of_source<1> f(d.source, at.channel, d.channels);
    const int line = p / w.out_width, image = line / w.out_height;
    const int top = (line - image * w.out_height) * w.stride_height - w.padding_height,
              left = (p - line * w.out_width) * w.stride_width - w.padding_width;
    float acc[1] = {0.0f};

    for (int tap = 0; tap < taps; tap++) {
        const int y = top + tap / w.kernel_width * w.dilation,
                  x = left + tap % w.kernel_width * w.dilation;

        if (y < 0 || y >= w.height || x < 0 || x >= w.width)
            continue;
        const long long from = ((long long)image * w.height + y) * w.width + x;

        acc[0] += d.weight[(size_t)at.channel * (size_t)taps + (size_t)tap] *
                  f(to_float(*element<const T>(d.source.x, from, at.channel)), 0);
    }
    store<1>(element<T>(d.y, p, at.channel), acc);
}

/* The pixel of dy that pixel (y, x) of an image meets through a tap, or -1. */
static __device__ inline long long met_pixel(const cuda_window &w, int image, int y, int x, int tap)
{
    const int down = y + w.padding_height - tap / w.kernel_width * w.dilation,
              right = x + w.padding_width - tap % w.kernel_width * w.dilation;

    if (down < 0 || right < 0 || down % w.stride_height != 0 || right % w.stride_width != 0 ||
        down / w.stride_height >= w.out_height || right / w.stride_width >= w.out_width)
        return -1;
    return ((long long)image * w.out_height + down / w.stride_height) * w.out_width +
           right / w.stride_width;
}

struct any_shared {
    union {
        float rows[THREADS];
        cuda_gradient_means means[THREADS];
        double sums[THREADS];
    };
    unsigned ended;
};

template <typename T>
static __device__ inline void any_data_gradient(const depthwise_call &call, const place<1> &at,
                                                int first, int end, cuda_gradient_means (&sums)[1])
{
    const cuda_depthwise &d = call.d;
    const cuda_window &w = d.window;
    const int taps = w.kernel_height * w.kernel_width;
    const channels_of_source<1> f(d.source, at.channel, d.channels);

    for (int p = first + at.row; p < end && at.works; p += call.s.rows) {
        const int line = p / w.width, image = line / w.height;
        float value[1] = {0.0f};

        for (int tap = 0; tap < taps; tap++) {
            const long long from =
                met_pixel(w, image, line - image * w.height, p - line * w.width, tap);

            if (from >= 0)
                value[0] += d.weight[(size_t)at.channel * (size_t)taps + (size_t)tap] *
                            to_float(*element<const T>(d.dy, from, at.channel));
        }
        const float x = to_float(*element<const T>(d.source.x, p, at.channel));

        value[0] = f.masked(value[0], x, 0);
        if (f.norm) {
            sums[0].gradient += value[0];
            sums[0].product += value[0] * ((x - f.k[0].mean) * f.k[0].inverse);
        }
        give<1>(element<T>(d.dx, p, at.channel), value, d.add_dx);
    }
}

template <typename T>
__global__ void __launch_bounds__(THREADS, 1) any_depthwise_backward(const depthwise_call call)
{
    const cuda_depthwise &d = call.d;
    const cuda_window &w = d.window;
    any_shared *shared = shared_memory<any_shared>();
    const place<1> at(call.s, d.channels);
    const int taps = w.kernel_height * w.kernel_width;
    const int first = (int)blockIdx.x * call.share,
              end = call.strips - first < call.share ? call.strips : first + call.share;
    const channels_of_source<1> f(d.source, at.channel, d.channels);

    if (d.dx.data != nullptr) {
        cuda_gradient_means sums[1] = {};

        any_data_gradient<T>(call, at, first, end, sums);
        if (d.sums.partial != nullptr)
            put_sums<1>(call, at, sums, shared->means);
    }
    for (int tap = 0; tap < taps; tap++) {
        float acc[1] = {0.0f};

        for (int p = first + at.row; p < end && at.works; p += call.s.rows) {
            const int line = p / w.width, image = line / w.height;
            const long long from =
                met_pixel(w, image, line - image * w.height, p - line * w.width, tap);

            if (from >= 0)
                acc[0] += f(to_float(*element<const T>(d.source.x, p, at.channel)), 0) *
                          to_float(*element<const T>(d.dy, from, at.channel));
        }
        put_taps<1>(call, at, taps, tap, acc, shared->rows);
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
    depthwise_call call = {*d, s, 0, (width + strip - 1) / strip, 0};

    call.strips = w.images * (backward ? w.height : w.out_height) * call.row_strips;
    const int blocks = backward ? seki_cuda_depthwise_blocks(d) : 1;

    call.share = (call.strips + blocks - 1) / blocks;
    return call;
}

int seki_cuda_depthwise_blocks(const struct cuda_depthwise *d)
{
    const cuda_window &w = d->window;

    return blocks_for((long long)w.images * w.height * w.width * d->channels, 2048);
}

template <typename T, int V, typename W>
static cudaError_t launch_sized(cudaStream_t stream, const cuda_depthwise *d, bool backward)
{
    const sharing s = share_out<V>(d->channels);
    const depthwise_call call = call_of(d, s, backward, STRIP);
    const size_t shared = sizeof(depthwise_shared<V, W::TAPS>);

    if (backward)
        return launch(stream, depthwise_backward<T, V, W>,
                      dim3((unsigned)seki_cuda_depthwise_blocks(d), (unsigned)s.groups), shared,
                      call);
    return launch(stream, depthwise<T, V, W>,
                  dim3((unsigned)((call.strips + s.rows - 1) / s.rows), (unsigned)s.groups), shared,
                  call);
}

template <typename T>
static cudaError_t launch_any(cudaStream_t stream, const cuda_depthwise *d, bool backward)
{
    const sharing s = share_out<1>(d->channels);
    const depthwise_call call = call_of(d, s, backward, 1);

    if (backward)
        return launch(stream, any_depthwise_backward<T>,
                      dim3((unsigned)seki_cuda_depthwise_blocks(d), (unsigned)s.groups),
                      sizeof(any_shared), call);
    return launch(stream, any_depthwise<T>,
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
static cudaError_t launch_wide(cudaStream_t stream, const cuda_depthwise *d, bool backward)
{
    if (is<sliding<3, 1, 1>>(d->window))
        return launch_sized<T, V, sliding<3, 1, 1>>(stream, d, backward);
    if (is<sliding<3, 2, 1>>(d->window))
        return launch_sized<T, V, sliding<3, 2, 1>>(stream, d, backward);
    if (is<sliding<5, 1, 1>>(d->window))
        return launch_sized<T, V, sliding<5, 1, 1>>(stream, d, backward);
    if (is<sliding<5, 2, 1>>(d->window))
        return launch_sized<T, V, sliding<5, 2, 1>>(stream, d, backward);
    if (is<sliding<3, 1, 2>>(d->window))
        return launch_sized<T, V, sliding<3, 1, 2>>(stream, d, backward);
    if (is<sliding<3, 2, 2>>(d->window))
        return launch_sized<T, V, sliding<3, 2, 2>>(stream, d, backward);
    if (is<sliding<5, 1, 2>>(d->window))
        return launch_sized<T, V, sliding<5, 1, 2>>(stream, d, backward);
    if (is<sliding<5, 2, 2>>(d->window))
        return launch_sized<T, V, sliding<5, 2, 2>>(stream, d, backward);
    return launch_any<T>(stream, d, backward);
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

static cudaError_t launch_typed(cudaStream_t stream, enum cuda_type type, const cuda_depthwise *d,
                                bool backward)
{
    if (type == CUDA_BF16) {
        const int width = fitting_width(fit_views<bf16>(d, backward));

        return width == 8   ? launch_wide<bf16, 8>(stream, d, backward)
               : width == 4 ? launch_wide<bf16, 4>(stream, d, backward)
                            : launch_any<bf16>(stream, d, backward);
    }
    return fitting_width(fit_views<float>(d, backward)) == 4
               ? launch_wide<float, 4>(stream, d, backward)
               : launch_any<float>(stream, d, backward);
}

cudaError_t seki_cuda_depthwise(cudaStream_t stream, enum cuda_type type,
                                const struct cuda_depthwise *call)
{
    return launch_typed(stream, type, call, false);
}

cudaError_t seki_cuda_depthwise_backward(cudaStream_t stream, enum cuda_type type,
                                         const struct cuda_depthwise *call)
{
    const int taps = call->window.kernel_height * call->window.kernel_width;
    const cuda_parts sum = {call->partial, call->dweight, seki_cuda_depthwise_blocks(call), taps,
                            call->channels};
    const cudaError_t status = launch_typed(stream, type, call, true);

    return status == cudaSuccess ? seki_cuda_add_parts(stream, &sum) : status;
}
