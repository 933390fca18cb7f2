/*
 * depthwise.cu - depthwise convolutions: BN and ReLU of what is read, each channel filtered by
 * itself.
 */
#include "nn/cuda/depthwise.cuh"

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
static __device__ inline void read_row(const cuda_window &w, const pixels_of<const T> &x,
                                       const strip &s, int ky, raw<V, T> (&to)[sight<W>::COLUMNS])
{
    const int y = clamp(s.y * W::STRIDE - W::PADDING + ky * W::DILATION, w.height),
              left = s.x * W::STRIDE - W::PADDING;
    const T *row = x[(s.image * w.height + y) * w.width];

#pragma unroll
    for (int j = 0; j < sight<W>::COLUMNS; j++)
        if (seen<W>(j))
            to[j] = read<V>(further(row, clamp(left + j, w.width), x.apart));
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

        if (!seen<W>(j))
            continue;
        spread<V>(value, from[j]);
#pragma unroll
        for (int c = 0; c < V; c++) {
            const float there = f(value[c], c);

            value[c] = (unsigned)(left + j) < (unsigned)w.width ? there : 0.0f;
        }
#pragma unroll
        for (int kx = 0; kx < W::SIDE; kx++)
            if (sees<W>(j, kx) >= 0)
#pragma unroll
                for (int c = 0; c < V; c++)
                    acc[sees<W>(j, kx)][c] += weight[kx][channel + c] * value[c];
    }
}

/* Blocks that a multiprocessor has registers for. */
template <typename T, int V, typename W> struct blocks_at_once {
    enum { COUNT = (V * (int)sizeof(T) == 16 ? 3 : 4) - (W::TAPS > 9) };
};

template <typename T, int V, typename W>
__global__ void __launch_bounds__(THREADS, blocks_at_once<T, V, W>::COUNT)
    depthwise(const depthwise_call call)
{
    begin_kernel();
    const cuda_depthwise &d = call.d;
    const cuda_window &w = d.window;
    depthwise_shared<V, W> *shared = shared_memory<depthwise_shared<V, W>>();
    const place<V> at(call.s, d.channels);
    const int i = (int)blockIdx.x * call.s.rows + at.row;
    const bool works = at.works && i < call.strips;
    const strip s = find_strip<STRIP>(call, works ? i : 0, w.out_width);
    const pixels_of<const T> x(d.source.x, works ? at.channel : 0);
    enum { ROWS = sight<W>::COLUMNS * V * (int)sizeof(T) > 128 ? 1 : 2 }; /* as registers allow */
    raw<V, T> ahead[ROWS][sight<W>::COLUMNS];
    float acc[STRIP][V] = {};

    if (ROWS > 1)
        read_row<T, V, W>(w, x, s, 0, ahead[0]);
    load_weights<V, W::TAPS>(d, at, shared->weight);
    if (!works)
        return;
    const channels_of_source<V> f(d.source, at.channel, d.channels);

#pragma unroll
    for (int ky = 0; ky < W::SIDE; ky++) {
        const int y = s.y * W::STRIDE - W::PADDING + ky * W::DILATION;

        if (ky + ROWS - 1 < W::SIDE)
            read_row<T, V, W>(w, x, s, ky + ROWS - 1, ahead[(ky + ROWS - 1) % ROWS]);
        if (y >= 0 && y < w.height)
            add_row<T, V, W>(w, f, ahead[ky % ROWS], s.x * W::STRIDE - W::PADDING,
                             &shared->weight[ky * W::SIDE], at.vector * V, acc);
    }
#pragma unroll
    for (int j = 0; j < STRIP; j++)
        if (s.x + j < w.out_width)
            store<V>(element<T>(d.y, s.row + s.x + j, at.channel), acc[j]);
}

/* ---- Launching ----------------------------------------------------------------------------- */

struct forward {
    template <typename T, int V, typename W>
    static cudaError_t sized(const struct cuda_queue *queue, const cuda_depthwise *d)
    {
        const sharing s = share_out<V>(d->channels);
        const depthwise_call call = call_of(d, s, false, STRIP);

        return launch(queue, depthwise<T, V, W>,
                      dim3((unsigned)((call.strips + s.rows - 1) / s.rows), (unsigned)s.groups),
                      sizeof(depthwise_shared<V, W>), call);
    }

    template <typename T>
    static cudaError_t any(const struct cuda_queue *queue, const cuda_depthwise *d)
    {
        const sharing s = share_out<1>(d->channels);
        const depthwise_call call = call_of(d, s, false, 1);

        return launch(queue, any_depthwise<T>,
                      dim3((unsigned)((call.strips + s.rows - 1) / s.rows), (unsigned)s.groups), 0,
                      call);
    }

    static void fit_views(fitting *f, const cuda_depthwise *d)
    {
        fit(f, d->y);
    }
};

cudaError_t seki_cuda_depthwise(const struct cuda_queue *queue, enum cuda_type type,
                                const struct cuda_depthwise *call)
{
    return launch_typed<forward>(queue, type, call);
}
