/*
 * depthwise.cuh - what depthwise convolutions of a search's windows have in common, forward and
 * backward: strips of pixels, the weights in shared memory, which kernel is launched. A thread has
 * V channels of a strip of pixels of a row, so that what neighbouring pixels share is read and
 * normalised once.
 */
#ifndef SEKI_CUDA_DEPTHWISE_CUH
#define SEKI_CUDA_DEPTHWISE_CUH

#include "nn/cuda/depthwise_any.cuh"

enum { STRIP = 4 }; /* pixels, forward */

/* Weights of the group's channels, a tap after the other; the block's sums. */
template <int V, typename W> struct depthwise_shared {
    union {
        float weight[W::TAPS][CUDA_GROUP];
        double sums[THREADS];
    };
    union {
        float rows[sum_space<V * W::SIDE, V>::COUNT];
        cuda_gradient_means means[sum_space<V, V>::COUNT];
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

template <int PIXELS>
static __device__ inline strip find_strip(const depthwise_call &call, int i, int width)
{
    const int line = i / call.row_strips, image = line / call.height;
    strip s;

    s.row = (long long)line * width;
    s.image = image;
    s.y = line - image * call.height.value;
    s.x = (i - line * call.row_strips.value) * PIXELS;
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

/* Whether the window is that of W. */
template <typename W> static bool is(const cuda_window &w)
{
    return w.kernel_height == W::SIDE && w.kernel_width == W::SIDE &&
           w.stride_height == W::STRIDE && w.stride_width == W::STRIDE &&
           w.dilation == W::DILATION && w.padding_height == W::PADDING &&
           w.padding_width == W::PADDING;
}

/* DIRECTION has sized<T, V, W> for windows of W, any<T> for all others, and its views. */
template <typename DIRECTION, typename T, int V>
static cudaError_t launch_wide(const struct cuda_queue *queue, const cuda_depthwise *d)
{
    if (is<sliding<3, 1, 1>>(d->window))
        return DIRECTION::template sized<T, V, sliding<3, 1, 1>>(queue, d);
    if (is<sliding<3, 2, 1>>(d->window))
        return DIRECTION::template sized<T, V, sliding<3, 2, 1>>(queue, d);
    if (is<sliding<5, 1, 1>>(d->window))
        return DIRECTION::template sized<T, V, sliding<5, 1, 1>>(queue, d);
    if (is<sliding<5, 2, 1>>(d->window))
        return DIRECTION::template sized<T, V, sliding<5, 2, 1>>(queue, d);
    if (is<sliding<3, 1, 2>>(d->window))
        return DIRECTION::template sized<T, V, sliding<3, 1, 2>>(queue, d);
    if (is<sliding<3, 2, 2>>(d->window))
        return DIRECTION::template sized<T, V, sliding<3, 2, 2>>(queue, d);
    if (is<sliding<5, 1, 2>>(d->window))
        return DIRECTION::template sized<T, V, sliding<5, 1, 2>>(queue, d);
    if (is<sliding<5, 2, 2>>(d->window))
        return DIRECTION::template sized<T, V, sliding<5, 2, 2>>(queue, d);
    return DIRECTION::template any<T>(queue, d);
}

template <typename DIRECTION, typename T> static int width_of(const cuda_depthwise *d)
{
    fitting f = {(int)sizeof(T), 0};

    fit(&f, d->channels);
    fit(&f, d->source.x);
    DIRECTION::fit_views(&f, d);
    return fitting_width(f);
}

template <typename DIRECTION>
static cudaError_t launch_typed(const struct cuda_queue *queue, enum cuda_type type,
                                const cuda_depthwise *d)
{
    if (type == CUDA_BF16) {
        const int width = width_of<DIRECTION, bf16>(d);

        return width == 8   ? launch_wide<DIRECTION, bf16, 8>(queue, d)
               : width == 4 ? launch_wide<DIRECTION, bf16, 4>(queue, d)
                            : DIRECTION::template any<bf16>(queue, d);
    }
    return width_of<DIRECTION, float>(d) == 4 ? launch_wide<DIRECTION, float, 4>(queue, d)
                                              : DIRECTION::template any<float>(queue, d);
}

#endif
