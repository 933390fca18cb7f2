/*
 * pool.cu - maximum and average over a window, with the moments that the BN behind it needs. A
 * thread has V channels of a pixel. A maximum keeps which tap won, a byte a value, so that backward
 * need not look for it.
 */
#include "nn/cuda/sums.cuh"

struct pool_call {
    cuda_pool p;
    sharing s;
    int rows;              /* pixels of what is written */
    divisor width, height; /* of its images */
    divisor stride_height, stride_width;
};

template <int V> struct pool_shared {
    cuda_moment moments[sum_space<V, V>::COUNT];
    double sums[THREADS];
    unsigned ended;
};

/* Pixel i of what is written: of its image, and where. */
struct pool_pixel {
    int image, y, x;
};

static __device__ inline pool_pixel find_pixel(const pool_call &call, int i)
{
    const int line = i / call.width, image = line / call.height;
    const pool_pixel p = {image, line - image * call.height.value, i - line * call.width.value};

    return p;
}

/* Pixels of the input inside the picture that output (y, x) sees. */
static __device__ inline int pixels_seen(const cuda_window &w, int y, int x)
{
    const int top = y * w.stride_height - w.padding_height,
              left = x * w.stride_width - w.padding_width;
    const int bottom = top + w.kernel_height, right = left + w.kernel_width;

    return ((bottom < w.height ? bottom : w.height) - (top > 0 ? top : 0)) *
           ((right < w.width ? right : w.width) - (left > 0 ? left : 0));
}

/* Taps a side of a window that kernels are made for, all of whose taps are read before the first is
 * used; SIDE 0: any, one after the other. */
enum { COMMON_SIDE = 3 };
template <int SIDE> struct taps_ahead {
    enum { COUNT = SIDE > 0 ? SIDE *SIDE : 1 };
};

template <int SIDE> static __device__ inline int taps_of(const cuda_window &w)
{
    return SIDE > 0 ? SIDE * SIDE : w.kernel_height * w.kernel_width;
}

template <int SIDE> static __device__ inline int width_of(const cuda_window &w)
{
    return SIDE > 0 ? SIDE : w.kernel_width;
}

/* ---- Forward ------------------------------------------------------------------------------- */

/* The larger one; NaN above all, the first of two. */
static __device__ inline float larger(float a, float b)
{
#ifdef __CUDA_ARCH__
    return at_least(a, b);
#else
    return a == a && (b > a || b != b) ? b : a;
#endif
}

/* A maximum, and the first tap that has it: 0 only where there is no other. */
template <int V> struct pool_maximum {
    float value[V];
    int winner[V];

    __device__ pool_maximum(int first)
    {
#pragma unroll
        for (int c = 0; c < V; c++) {
            value[c] = -INFINITY;
            winner[c] = first;
        }
    }

    __device__ void add(float v, bool inside, int tap, int c)
    {
        const float most = larger(value[c], inside ? v : -INFINITY);

        winner[c] = __float_as_uint(most) != __float_as_uint(value[c]) ? tap : winner[c];
        value[c] = most;
    }
};

template <int V> struct pool_sum {
    float value[V];

    __device__ pool_sum(int)
    {
#pragma unroll
        for (int c = 0; c < V; c++)
            value[c] = 0.0f;
    }

    __device__ void add(float v, bool inside, int, int c)
    {
        value[c] += inside ? v : 0.0f;
    }
};

/* All taps' pixels, in their order. */
template <typename T, int V, int SIDE, typename RESULT>
static __device__ inline RESULT pool_taps(const cuda_pool &p, const channels_of_source<V> &f,
                                          const pool_pixel &o, int channel)
{
    enum { AHEAD = taps_ahead<SIDE>::COUNT };
    const cuda_window &w = p.window;
    const pixels_of<const T> all(p.source.x, channel);
    const int top = o.y * w.stride_height - w.padding_height,
              left = o.x * w.stride_width - w.padding_width;
    RESULT result((top < 0 ? -top : 0) * width_of<SIDE>(w) + (left < 0 ? -left : 0));

    for (int first = 0; first < taps_of<SIDE>(w); first += AHEAD) {
        raw<V, T> ahead[AHEAD];
        bool inside[AHEAD];

#pragma unroll
        for (int t = 0; t < AHEAD; t++) {
            const int y = top + (first + t) / width_of<SIDE>(w),
                      x = left + (first + t) % width_of<SIDE>(w);

            inside[t] = (unsigned)y < (unsigned)w.height && (unsigned)x < (unsigned)w.width;
            ahead[t] = {};
            if (inside[t])
                ahead[t] = read<V>(all[(o.image * w.height + y) * w.width + x]);
        }
#pragma unroll
        for (int t = 0; t < AHEAD; t++) {
            float seen[V];

            spread<V>(seen, ahead[t]);
#pragma unroll
            for (int c = 0; c < V; c++)
                result.add(f(seen[c], c), inside[t], first + t, c);
        }
    }
    return result;
}

template <typename T, int V, int SIDE>
static __device__ inline void pool_pixel_values(const cuda_pool &p, const channels_of_source<V> &f,
                                                const pool_pixel &o, int channel, float (&value)[V],
                                                uint8_t (&winner)[V])
{
    if (p.maximum) {
        const pool_maximum<V> result = pool_taps<T, V, SIDE, pool_maximum<V>>(p, f, o, channel);

#pragma unroll
        for (int c = 0; c < V; c++) {
            value[c] = result.value[c];
            winner[c] = (uint8_t)result.winner[c];
        }
        return;
    }
    const pool_sum<V> result = pool_taps<T, V, SIDE, pool_sum<V>>(p, f, o, channel);
    const float count = (float)pixels_seen(p.window, o.y, o.x);

#pragma unroll
    for (int c = 0; c < V; c++) {
        value[c] = quotient(result.value[c], count);
        winner[c] = 0;
    }
}

/* Moments of values that come one after the other, by their distances from the first: of what is
 * normalised that is near enough to the mean for no digits to be lost. */
template <int V> struct coming_moments {
    float count, first[V], sum[V], squares[V];

    __device__ void add(const float (&value)[V])
    {
#pragma unroll
        for (int c = 0; c < V; c++) {
            first[c] = count == 0.0f ? value[c] : first[c];
            const float distance = value[c] - first[c];

            sum[c] += distance;
            squares[c] += distance * distance;
        }
        count += 1.0f;
    }

    __device__ void get(cuda_moment (&to)[V]) const
    {
#pragma unroll
        for (int c = 0; c < V; c++) {
            const float shift = count == 0.0f ? 0.0f : quotient(sum[c], count);

            to[c] = {count, first[c] + shift, at_least(squares[c] - sum[c] * shift, 0.0f)};
        }
    }
};

template <int V>
static __device__ inline void end_moments(const cuda_moments &out, const sharing &s,
                                          const place<V> &at, const coming_moments<V> &moments,
                                          cuda_moment *shared, double *doubles, unsigned *ended)
{
    cuda_moment sum[V];

    moments.get(sum);
    cuda_moment *part = out.partial + (size_t)blockIdx.x * (size_t)out.channels + at.first;

    sum_rows<V>(sum, shared, s, [=](int i, int vector, const cuda_moment &all) {
        if (vector * V + i < at.count)
            part[vector * V + i] = all;
    });
    if (last_block(&out.counters[blockIdx.y], gridDim.x, ended))
        finish_moments(out, at.first, at.count, (int)gridDim.x, doubles);
}

template <typename T, int V, int SIDE>
__global__ void __launch_bounds__(THREADS, 1) pool(const pool_call call)
{
    begin_kernel();
    const cuda_pool &p = call.p;
    pool_shared<V> *shared = shared_memory<pool_shared<V>>();
    const place<V> at(call.s, p.channels);
    const channels_of_source<V> f(p.source, at.channel, p.channels);
    coming_moments<V> sum = {};

    for (int i = (int)blockIdx.x * call.s.rows + at.row; i < call.rows && at.works;
         i += (int)gridDim.x * call.s.rows) {
        const pool_pixel o = find_pixel(call, i);
        float value[V];
        uint8_t winner[V];

        pool_pixel_values<T, V, SIDE>(p, f, o, at.channel, value, winner);
        store<V>(element<T>(p.z, i, at.channel), value);
        if (p.winners != nullptr) {
            raw<V, uint8_t> winners;

            memcpy(&winners.bytes, winner, V);
            write<V>(&p.winners[(size_t)i * (size_t)p.channels + (size_t)at.channel], winners);
        }
        if (p.moments.partial != nullptr) {
            spread<V>(value, gather<T>(value));
            sum.add(value);
        }
    }
    if (p.moments.partial != nullptr)
        end_moments<V>(p.moments, call.s, at, sum, shared->moments, shared->sums, &shared->ended);
}

/* ---- Backward ------------------------------------------------------------------------------ */

/* The pixel of the result that pixel q of the input meets through a tap; image -1: none. */
static __device__ inline pool_pixel met(const pool_call &call, const pool_pixel &q, int ky, int kx)
{
    const cuda_window &w = call.p.window;
    const int down = q.y + w.padding_height - ky, right = q.x + w.padding_width - kx;
    const pool_pixel o = {q.image, (down < 0 ? 0 : down) / call.stride_height,
                          (right < 0 ? 0 : right) / call.stride_width};
    const bool there = down >= 0 && right >= 0 && o.y * w.stride_height == down &&
                       o.x * w.stride_width == right && o.y < w.out_height && o.x < w.out_width;
    const pool_pixel none = {-1, 0, 0};

    return there ? o : none;
}

/* What a thread reads of one of the result's pixels. */
template <typename T, int V> struct pool_read {
    pool_pixel o;
    raw<V, T> dy, z;
    float keep;
    raw<V, uint8_t> winners;
};

template <typename T, int V>
static __device__ inline void read_pixel(const cuda_pool &p, bool with_z, int channel,
                                         pool_read<T, V> *to)
{
    const cuda_window &w = p.window;
    const cuda_gradient &g = p.gradient;
    const int from = (to->o.image * w.out_height + to->o.y) * w.out_width + to->o.x;

    if (to->o.image < 0)
        return;
    to->dy = read<V>(pixels_of<const T>(g.dy, channel)[from]);
    to->z = {};
    if (with_z)
        to->z = read<V>(pixels_of<const T>(g.z, channel)[from]);
    to->keep = g.keep != nullptr ? g.keep[to->o.image] : 1.0f;
    if (p.maximum)
        to->winners = read<V>(&p.winners[(size_t)from * (size_t)p.channels + (size_t)channel]);
}

template <typename T, int V, int SIDE>
__global__ void __launch_bounds__(THREADS, 4) pool_backward(const pool_call call)
{
    begin_kernel();
    enum { AHEAD = SIDE > 0 ? SIDE : 1 }; /* a row, as registers allow */
    const cuda_pool &p = call.p;
    const cuda_window &w = p.window;
    const place<V> at(call.s, p.channels);
    const channels_of_source<V> f(p.source, at.channel, p.channels);
    const channels_of_gradient<V> g(p.gradient, at.channel, p.channels);
    const int i = (int)blockIdx.x * call.s.rows + at.row;

    if (!at.works || i >= call.rows)
        return;
    const pool_pixel q = find_pixel(call, i);
    float acc[V] = {};

    for (int first = 0; first < taps_of<SIDE>(w); first += AHEAD) {
        pool_read<T, V> ahead[AHEAD];

#pragma unroll
        for (int t = 0; t < AHEAD; t++) {
            ahead[t].o =
                met(call, q, (first + t) / width_of<SIDE>(w), (first + t) % width_of<SIDE>(w));
            read_pixel<T, V>(p, g.reads_z, at.channel, &ahead[t]);
        }
#pragma unroll
        for (int t = 0; t < AHEAD; t++) {
            const pool_pixel &o = ahead[t].o;
            uint8_t winner[V];
            float dy[V], z[V];

            if (o.image < 0)
                continue;
            const float share = p.maximum ? 1.0f : quotient(1.0f, (float)pixels_seen(w, o.y, o.x));

            spread<V>(dy, ahead[t].dy);
            spread<V>(z, ahead[t].z);
            memcpy(winner, &ahead[t].winners.bytes, V);
#pragma unroll
            for (int c = 0; c < V; c++) {
                const float dz = g(ahead[t].keep * dy[c], z[c], c);

                if (!p.maximum || winner[c] == (uint8_t)(first + t))
                    acc[c] += share * dz;
            }
        }
    }
    if (p.source.relu) {
        float x[V];

        load<V>(x, element<const T>(p.source.x, i, at.channel));
#pragma unroll
        for (int c = 0; c < V; c++)
            acc[c] = f.masked(acc[c], x[c], c);
    }
    give<V>(element<T>(p.dx, i, at.channel), acc, p.add_dx);
}

/* ---- Moments alone ------------------------------------------------------------------------- */

struct measure_call {
    cuda_measure m;
    sharing s;
};

template <typename T, int V>
__global__ void __launch_bounds__(THREADS, 1) measure(const measure_call call)
{
    begin_kernel();
    const cuda_measure &m = call.m;
    pool_shared<V> *shared = shared_memory<pool_shared<V>>();
    const place<V> at(call.s, m.channels);
    coming_moments<V> sum = {};

    for (int i = (int)blockIdx.x * call.s.rows + at.row; i < m.rows && at.works;
         i += (int)gridDim.x * call.s.rows) {
        float value[V];

        load<V>(value, element<const T>(m.x, i, at.channel));
        sum.add(value);
    }
    end_moments<V>(m.moments, call.s, at, sum, shared->moments, shared->sums, &shared->ended);
}

/* ---- Launching ----------------------------------------------------------------------------- */

static int rows_of(const cuda_pool *p, bool backward)
{
    const cuda_window &w = p->window;

    return w.images * (backward ? w.height * w.width : w.out_height * w.out_width);
}

int seki_cuda_pool_blocks(const struct cuda_pool *p)
{
    return blocks_for((long long)rows_of(p, false) * p->channels, 4096);
}

template <typename T, int V, int SIDE>
static cudaError_t launch_sized(const struct cuda_queue *queue, const cuda_pool *p, bool backward)
{
    const cuda_window &w = p->window;
    const pool_call call = {*p,
                            share_out<V>(p->channels),
                            rows_of(p, backward),
                            divisor_of(backward ? w.width : w.out_width),
                            divisor_of(backward ? w.height : w.out_height),
                            divisor_of(w.stride_height),
                            divisor_of(w.stride_width)};
    const unsigned all = (unsigned)((call.rows + call.s.rows - 1) / call.s.rows),
                   groups = (unsigned)call.s.groups;

    if (backward)
        return launch(queue, pool_backward<T, V, SIDE>, dim3(all, groups), 0, call);
    return launch(queue, pool<T, V, SIDE>, dim3((unsigned)seki_cuda_pool_blocks(p), groups),
                  sizeof(pool_shared<V>), call);
}

template <typename T, int V>
static cudaError_t launch_pool(const struct cuda_queue *queue, const cuda_pool *p, bool backward)
{
    return p->window.kernel_height == COMMON_SIDE && p->window.kernel_width == COMMON_SIDE
               ? launch_sized<T, V, COMMON_SIDE>(queue, p, backward)
               : launch_sized<T, V, 0>(queue, p, backward);
}

template <typename T>
static cudaError_t launch_fitting(const struct cuda_queue *queue, const cuda_pool *p, bool backward)
{
    fitting f = {(int)sizeof(T), 0};

    fit(&f, p->channels);
    fit(&f, p->source.x);
    if (backward) {
        fit(&f, p->gradient.dy);
        fit(&f, p->gradient.z);
        fit(&f, p->dx);
    } else {
        fit(&f, p->z);
    }
    return fitting_width(f) >= 4 ? launch_pool<T, 4>(queue, p, backward)
                                 : launch_pool<T, 1>(queue, p, backward);
}

cudaError_t seki_cuda_pool(const struct cuda_queue *queue, enum cuda_type type,
                           const struct cuda_pool *call)
{
    return type == CUDA_BF16 ? launch_fitting<bf16>(queue, call, false)
                             : launch_fitting<float>(queue, call, false);
}

cudaError_t seki_cuda_pool_backward(const struct cuda_queue *queue, enum cuda_type type,
                                    const struct cuda_pool *call)
{
    return type == CUDA_BF16 ? launch_fitting<bf16>(queue, call, true)
                             : launch_fitting<float>(queue, call, true);
}

int seki_cuda_measure_blocks(const struct cuda_measure *m)
{
    return blocks_for((long long)m->rows * m->channels, 8192);
}

template <typename T, int V>
static cudaError_t launch_measure(const struct cuda_queue *queue, const cuda_measure *m)
{
    const measure_call call = {*m, share_out<V>(m->channels)};

    return launch(queue, measure<T, V>,
                  dim3((unsigned)seki_cuda_measure_blocks(m), (unsigned)call.s.groups),
                  sizeof(pool_shared<V>), call);
}

template <typename T>
static cudaError_t launch_measure_fitting(const struct cuda_queue *queue, const cuda_measure *m)
{
    fitting f = {(int)sizeof(T), 0};

    fit(&f, m->channels);
    fit(&f, m->x);
    return fitting_width(f) >= 4 ? launch_measure<T, 4>(queue, m) : launch_measure<T, 1>(queue, m);
}

cudaError_t seki_cuda_measure(const struct cuda_queue *queue, enum cuda_type type,
                              const struct cuda_measure *call)
{
    return type == CUDA_BF16 ? launch_measure_fitting<bf16>(queue, call)
                             : launch_measure_fitting<float>(queue, call);
}
