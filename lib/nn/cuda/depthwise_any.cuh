/*
 * depthwise_any.cuh - depthwise convolutions of any kernel, a pixel at a time and a tap at a time;
 * and what they share with those of depthwise.cuh: the call, and where sums of a block go.
 */
#ifndef SEKI_CUDA_DEPTHWISE_ANY_CUH
#define SEKI_CUDA_DEPTHWISE_ANY_CUH

#include "nn/cuda/sums.cuh"

struct depthwise_call {
    cuda_depthwise d;
    sharing s;
    int strips;                 /* of what the threads share out */
    divisor row_strips, height; /* strips in a row of pixels, rows of an image */
    int share;                  /* strips of a block */
};

/* ---- Sums of a block ----------------------------------------------------------------------- */

template <int V>
static __device__ inline void put_sums(const depthwise_call &call, const place<V> &at,
                                       cuda_gradient_means (&sums)[V], cuda_gradient_means *shared)
{
    cuda_gradient_means *part =
        call.d.sums.partial + (size_t)blockIdx.x * (size_t)call.d.channels + at.first;

    sum_rows<V>(sums, shared, call.s, [=](int i, int vector, const cuda_gradient_means &sum) {
        if (vector * V + i < at.count)
            part[vector * V + i] = sum;
    });
}

/* The block's sums of TAPS taps from `tap` on. */
template <int V, int TAPS>
static __device__ inline void put_taps(const depthwise_call &call, const place<V> &at, int taps,
                                       int tap, float (&acc)[TAPS * V], float *shared)
{
    const int channels = call.d.channels;
    float *part = call.d.partial +
                  ((size_t)blockIdx.x * (size_t)taps + (size_t)tap) * (size_t)channels + at.first;

    sum_rows<TAPS * V>(acc, shared, call.s, [=](int i, int vector, float sum) {
        if (vector * V + i % V < at.count)
            part[i / V * channels + vector * V + i % V] = sum;
    });
}

/* ---- Forward and backward ------------------------------------------------------------------ */

template <typename T>
__global__ void __launch_bounds__(THREADS, 1) any_depthwise(const depthwise_call call)
{
    begin_kernel();
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
        float rows[sum_space<1, 1>::COUNT];
        cuda_gradient_means means[sum_space<1, 1>::COUNT];
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
    begin_kernel();
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
        put_taps<1, 1>(call, at, taps, tap, acc, shared->rows);
    }
    if (d.dx.data != nullptr && d.sums.partial != nullptr &&
        last_block(&d.sums.counters[blockIdx.y], gridDim.x, &shared->ended))
        finish_gradient_sums(d.sums, at.first, at.count, (int)gridDim.x, shared->sums);
}

#endif
