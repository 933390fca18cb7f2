/*
 * depthwise_backward.cu - both gradients of depthwise convolutions, in one walk over the input's
 * pixels: what a strip meets of dy goes into its dx, with the gradient's sums that the BN before it
 * needs, and, times the strip's values, into the taps' sums, which a thread keeps to the end.
 */
#include "nn/cuda/depthwise.cuh"

/* Pixels of a strip: as many as there are registers for, beside the taps' sums. */
template <typename T, int V, typename W> struct length_of_strip {
    enum { PIXELS = V * W::TAPS > 50 || (sizeof(T) == 4 && W::PADDING > 3) ? 2 : 4 };
};

/* The leftmost and rightmost pixels of dy that a strip of the input meets, from that of its first
 * pixel on; strips begin at a multiple of every stride. */
template <typename T, int V, typename W> struct reach {
    enum {
        PIXELS = length_of_strip<T, V, W>::PIXELS,
        BEFORE = (W::SIDE - 1) * W::DILATION - W::PADDING,
        LEFT = -(BEFORE / W::STRIDE),
        RIGHT = (PIXELS - 1 + W::PADDING) / W::STRIDE,
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

/* The strip's pixels in a tensor: the first one, and how many there are. */
template <typename T, int PIXELS> struct strip_pixels {
    T *first;
    unsigned apart; /* bytes */
    int count;

    __device__ strip_pixels(const pixels_of<T> &all, const strip &s, int width)
        : first(all[(int)s.row + s.x]), apart(all.apart),
          count(width - s.x < PIXELS ? width - s.x : PIXELS)
    {
    }

    __device__ T *operator[](int j) const
    {
        return further(first, j, apart);
    }
};

/* 0 for those that there are not. */
template <int V, int PIXELS, typename T>
static __device__ inline void read_strip(const strip_pixels<const T, PIXELS> &from,
                                         raw<V, T> (&to)[PIXELS])
{
#pragma unroll
    for (int j = 0; j < PIXELS; j++) {
        to[j] = {};
        if (j < from.count)
            to[j] = read<V>(from[j]);
    }
}

/* What a strip meets of dy through a row of taps; 0 outside. */
template <typename T, int V, typename W>
static __device__ inline void read_gradients(const cuda_window &w, const pixels_of<const T> &dy,
                                             const strip &s, int ky,
                                             raw<V, T> (&to)[reach<T, V, W>::COLUMNS])
{
    const int y = met_row<W>(w, s.y, ky), x = s.x / W::STRIDE + reach<T, V, W>::LEFT;
    const unsigned width = y < 0 ? 0 : (unsigned)w.out_width;
    /* Not below the first pixel of all: an address is not to be one before the tensor. */
    const T *row = dy[(s.image * w.out_height + (y < 0 ? 0 : y)) * w.out_width];

#pragma unroll
    for (int i = 0; i < reach<T, V, W>::COLUMNS; i++) {
        to[i] = {};
        if ((unsigned)(x + i) < width)
            to[i] = read<V>(further(row, x + i, dy.apart));
    }
}

/* What a row of taps adds to dx of a strip, and the strip to the taps' sums. */
template <typename T, int V, typename W, int PIXELS>
static __device__ inline void add_row(const raw<V, T> (&from)[reach<T, V, W>::COLUMNS],
                                      const float (*weight)[CUDA_GROUP], int channel,
                                      const float (&value)[PIXELS][V], float (&dx)[PIXELS][V],
                                      float (&taps)[W::SIDE * V])
{
    float w[W::SIDE][V];

#pragma unroll
    for (int kx = 0; kx < W::SIDE; kx++)
#pragma unroll
        for (int c = 0; c < V; c++)
            w[kx][c] = weight[kx][channel + c];
#pragma unroll
    for (int right = reach<T, V, W>::LEFT; right <= reach<T, V, W>::RIGHT; right++) {
        float g[V];

        spread<V>(g, from[right - reach<T, V, W>::LEFT]);
#pragma unroll
        for (int j = 0; j < PIXELS; j++)
#pragma unroll
            for (int kx = 0; kx < W::SIDE; kx++)
                if (meets<W>(j, kx, right))
#pragma unroll
                    for (int c = 0; c < V; c++) {
                        dx[j][c] += w[kx][c] * g[c];
                        taps[kx * V + c] += value[j][c] * g[c];
                    }
    }
}

/* dx where it goes. */
template <typename T, int V, int PIXELS>
static __device__ inline void give_strip(const strip_pixels<T, PIXELS> &to, bool add,
                                         const float (&dx)[PIXELS][V])
{
    raw<V, T> there[PIXELS] = {};

    if (add)
#pragma unroll
        for (int j = 0; j < PIXELS; j++)
            if (j < to.count)
                there[j] = read<V>(to[j]);
#pragma unroll
    for (int j = 0; j < PIXELS; j++) {
        float sum[V];

        spread<V>(sum, there[j]);
#pragma unroll
        for (int c = 0; c < V; c++)
            sum[c] += dx[j][c];
        if (j < to.count)
            store<V>(to[j], sum);
    }
}

/* The sums of it that BN needs, but for the factor `inverse`. */
template <typename T, int V, int PIXELS>
static __device__ inline void add_sums(const channels_of_source<V> &f,
                                       const raw<V, T> (&source)[PIXELS],
                                       const float (&dx)[PIXELS][V], cuda_gradient_means (&sums)[V])
{
#pragma unroll
    for (int j = 0; j < PIXELS; j++) {
        float x[V];

        spread<V>(x, source[j]);
#pragma unroll
        for (int c = 0; c < V; c++) {
            sums[c].gradient += dx[j][c];
            sums[c].product += dx[j][c] * (x[c] - f.k[c].mean);
        }
    }
}

/* The walk over the block's share. */
template <typename T, int V, typename W>
static __device__ inline void walk(const depthwise_call &call, const place<V> &at, int first,
                                   int end, const float (*weight)[CUDA_GROUP],
                                   cuda_gradient_means (&sums)[V],
                                   float (&taps)[W::SIDE][W::SIDE * V])
{
    enum { PIXELS = length_of_strip<T, V, W>::PIXELS };
    const cuda_depthwise &d = call.d;
    const cuda_window &w = d.window;
    const channels_of_source<V> f(d.source, at.channel, d.channels);
    const pixels_of<const T> x(d.source.x, at.channel), dy(d.dy, at.channel);
    const pixels_of<T> to(d.dx, at.channel);

#pragma unroll 1
    for (int i = first + at.row; i < end && at.works; i += call.s.rows) {
        const strip s = find_strip<PIXELS>(call, i, w.width);
        const strip_pixels<const T, PIXELS> from(x, s, w.width);
        raw<V, T> source[PIXELS];
        float value[PIXELS][V], dx[PIXELS][V] = {};

        read_strip<V, PIXELS>(from, source);
#pragma unroll
        for (int j = 0; j < PIXELS; j++) {
            spread<V>(value[j], source[j]);
#pragma unroll
            for (int c = 0; c < V; c++) {
                const float there = f(value[j][c], c);

                value[j][c] = j < from.count ? there : 0.0f;
            }
        }
#pragma unroll
        for (int ky = 0; ky < W::SIDE; ky++) {
            raw<V, T> met[reach<T, V, W>::COLUMNS];

            read_gradients<T, V, W>(w, dy, s, ky, met);
            add_row<T, V, W, PIXELS>(met, &weight[ky * W::SIDE], at.vector * V, value, dx,
                                     taps[ky]);
        }
        /* What comes through ReLU; of pixels that there are not, nothing. */
#pragma unroll
        for (int j = 0; j < PIXELS; j++)
#pragma unroll
            for (int c = 0; c < V; c++)
                if (j >= from.count || value[j][c] <= f.floor)
                    dx[j][c] = 0.0f;
        if (f.norm)
            add_sums<T, V, PIXELS>(f, source, dx, sums);
        if (d.dx.data != nullptr)
            give_strip<T, V, PIXELS>({to, s, w.width}, d.add_dx, dx);
    }
#pragma unroll
    for (int c = 0; c < V; c++)
        sums[c].product *= f.k[c].inverse;
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
    cuda_gradient_means sums[V] = {};
    float taps[W::SIDE][W::SIDE * V] = {};

    load_weights<V, W::TAPS>(d, at, shared->weight);
    walk<T, V, W>(call, at, first, end, shared->weight, sums, taps);
#pragma unroll
    for (int ky = 0; ky < W::SIDE; ky++)
        put_taps<V, W::SIDE>(call, at, W::TAPS, ky * W::SIDE, taps[ky], shared->rows);
    if (d.dx.data == nullptr || d.sums.partial == nullptr)
        return;
    put_sums<V>(call, at, sums, shared->means);
    if (last_block(&d.sums.counters[blockIdx.y], gridDim.x, &shared->ended))
        finish_gradient_sums(d.sums, at.first, at.count, (int)gridDim.x, shared->sums);
}

/* ---- Launching ----------------------------------------------------------------------------- */

int seki_cuda_depthwise_blocks(const struct cuda_depthwise *d)
{
    const cuda_window &w = d->window;

    return blocks_for((long long)w.images * w.height * w.width * d->channels, 2048);
}

struct backward {
    /* A thread has registers for the sums of 9 taps of 8 channels, or of 25 of 2. */
    template <typename T, int WIDTH, typename W>
    static cudaError_t sized(const struct cuda_queue *queue, const cuda_depthwise *d)
    {
        enum { V = W::TAPS > 9 ? 2 : WIDTH };
        const sharing s = share_out<V>(d->channels);

        return launch(queue, depthwise_backward<T, V, W>,
                      dim3((unsigned)seki_cuda_depthwise_blocks(d), (unsigned)s.groups),
                      sizeof(depthwise_shared<V, W>),
                      call_of(d, s, true, length_of_strip<T, V, W>::PIXELS));
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
