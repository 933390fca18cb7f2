/*
 * map.cu - what is done to each value by itself: a block's result from what its last operation
 * left, the gradient on its way back, and the sums of that gradient which BN needs first.
 */
#include "nn/cuda/sums.cuh"

struct map_call {
    cuda_map m;
    sharing s;
    divisor pixels;
};

template <typename T, int V> __global__ void __launch_bounds__(THREADS, 1) map(const map_call call)
{
    begin_kernel();
    const cuda_map &m = call.m;
    const place<V> at(call.s, m.channels);
    const int p = (int)blockIdx.x * call.s.rows + at.row;

    if (!at.works || p >= m.images * m.pixels)
        return;
    const channels_of_source<V> f(m.source, at.channel, m.channels);
    const float keep = m.keep != nullptr ? m.keep[p / call.pixels] : 1.0f;
    float value[V];

    load<V>(value, element<const T>(m.source.x, p, at.channel));
#pragma unroll
    for (int c = 0; c < V; c++)
        value[c] = keep * f(value[c], c);
    give<V>(element<T>(m.y, p, at.channel), value, m.add_y);
}

struct unmap_call {
    cuda_unmap u;
    sharing s;
    divisor pixels;
};

template <typename T, int V>
__global__ void __launch_bounds__(THREADS, 1) unmap(const unmap_call call)
{
    begin_kernel();
    const cuda_unmap &u = call.u;
    const place<V> at(call.s, u.channels);
    const int p = (int)blockIdx.x * call.s.rows + at.row;

    if (!at.works || p >= u.images * u.gradient.pixels)
        return;
    const channels_of_gradient<V> g(u.gradient, at.channel, u.channels);
    gradient_read<V, T> read;
    float dy[V], z[V];

    read_gradient<V, T>(u.gradient, call.pixels, g.reads_z, p, at.channel, &read);
    spread_gradient<V, T>(read, dy, z);
#pragma unroll
    for (int c = 0; c < V; c++)
        dy[c] = g(dy[c], z[c], c);
    give<V>(element<T>(u.y, p, at.channel), dy, u.add_y);
}

template <int V> struct means_shared {
    union {
        cuda_gradient_means means[sum_space<V, V>::COUNT];
        double sums[THREADS];
    };
    unsigned ended;
};

template <typename T, int V>
__global__ void __launch_bounds__(THREADS, 1) gradient_means(const unmap_call call)
{
    begin_kernel();
    enum { AHEAD = 64 / (int)sizeof(raw<V, T>) }; /* pixels, as registers allow */
    const cuda_unmap &u = call.u;
    means_shared<V> *shared = shared_memory<means_shared<V>>();
    const place<V> at(call.s, u.channels);
    const channels_of_gradient<V> g(u.gradient, at.channel, u.channels);
    cuda_gradient_means sums[V] = {};

    const int pixels = u.images * u.gradient.pixels, apart = (int)gridDim.x * call.s.rows;
    const int start = (int)blockIdx.x * call.s.rows + at.row;

#pragma unroll 1
    for (int first = at.works ? start : pixels; first < pixels; first += AHEAD * apart) {
        gradient_read<V, T> ahead[AHEAD];

#pragma unroll
        for (int k = 0; k < AHEAD; k++)
            read_gradient<V, T>(u.gradient, call.pixels, true, clamp(first + k * apart, pixels),
                                at.channel, &ahead[k]);
#pragma unroll
        for (int k = 0; k < AHEAD; k++) {
            float dy[V], z[V];

            spread_gradient<V, T>(ahead[k], dy, z);
#pragma unroll
            for (int c = 0; c < V; c++) {
                const float after = g.after(dy[c], z[c], c),
                            counted = first + k * apart < pixels ? after : 0.0f;

                sums[c].gradient += counted;
                sums[c].product += counted * (z[c] - g.k[c].mean);
            }
        }
    }
#pragma unroll
    for (int c = 0; c < V; c++)
        sums[c].product *= g.k[c].inverse;
    cuda_gradient_means *part = u.sums.partial + (size_t)blockIdx.x * (size_t)u.channels + at.first;

    sum_rows<V>(sums, shared->means, call.s,
                [=](int i, int vector, const cuda_gradient_means &sum) {
                    if (vector * V + i < at.count)
                        part[vector * V + i] = sum;
                });
    if (last_block(&u.sums.counters[blockIdx.y], gridDim.x, &shared->ended))
        finish_gradient_sums(u.sums, at.first, at.count, (int)gridDim.x, shared->sums);
}

/* Coefficients of running statistics. */
__global__ void __launch_bounds__(THREADS, 1) infer(const cuda_moments call)
{
    begin_kernel();
    const int channel = (int)(blockIdx.x * THREADS + threadIdx.x);

    if (channel < call.channels)
        put_coefficients(call, channel, call.running_mean[channel], call.running_variance[channel]);
}

struct clear_call {
    long long rows;
    int channels;
    cuda_view y;
    sharing s;
};

template <typename T, int V>
__global__ void __launch_bounds__(THREADS, 1) clear(const clear_call call)
{
    begin_kernel();
    const place<V> at(call.s, call.channels);
    const long long p = (long long)blockIdx.x * call.s.rows + at.row;
    const float zeros[V] = {};

    if (at.works && p < call.rows)
        store<V>(element<T>(call.y, p, at.channel), zeros);
}

/* ---- Launching ----------------------------------------------------------------------------- */

static unsigned row_blocks(int rows, const sharing &s)
{
    return (unsigned)((rows + s.rows - 1) / s.rows);
}

template <typename T, int V>
static cudaError_t launch_map(const struct cuda_queue *queue, const cuda_map *m)
{
    const map_call call = {*m, share_out<V>(m->channels), divisor_of(m->pixels)};

    return launch(queue, map<T, V>,
                  dim3(row_blocks(m->images * m->pixels, call.s), (unsigned)call.s.groups), 0,
                  call);
}

template <typename T>
static cudaError_t launch_fitting(const struct cuda_queue *queue, const cuda_map *m)
{
    fitting f = {(int)sizeof(T), 0};

    fit(&f, m->channels);
    fit(&f, m->source.x);
    fit(&f, m->y);
    switch (fitting_width(f)) {
    case 8:
        return launch_map<T, 16 / sizeof(T)>(queue, m);
    case 4:
        return launch_map<T, 4>(queue, m);
    default:
        return launch_map<T, 1>(queue, m);
    }
}

cudaError_t seki_cuda_map(const struct cuda_queue *queue, enum cuda_type type,
                          const struct cuda_map *call)
{
    return type == CUDA_BF16 ? launch_fitting<bf16>(queue, call)
                             : launch_fitting<float>(queue, call);
}

int seki_cuda_gradient_blocks(const struct cuda_unmap *u)
{
    return blocks_for((long long)u->images * u->gradient.pixels * u->channels, 8192);
}

template <typename T, int V>
static cudaError_t launch_unmap(const struct cuda_queue *queue, const cuda_unmap *u, bool means)
{
    const unmap_call call = {*u, share_out<V>(u->channels), divisor_of(u->gradient.pixels)};
    const unsigned groups = (unsigned)call.s.groups;

    if (means)
        return launch(queue, gradient_means<T, V>,
                      dim3((unsigned)seki_cuda_gradient_blocks(u), groups), sizeof(means_shared<V>),
                      call);
    return launch(queue, unmap<T, V>,
                  dim3(row_blocks(u->images * u->gradient.pixels, call.s), groups), 0, call);
}

template <typename T>
static cudaError_t launch_fitting(const struct cuda_queue *queue, const cuda_unmap *u, bool means)
{
    fitting f = {(int)sizeof(T), 0};

    fit(&f, u->channels);
    fit(&f, u->gradient.dy);
    fit(&f, u->gradient.z);
    if (!means)
        fit(&f, u->y);
    switch (fitting_width(f)) {
    case 8:
        return launch_unmap<T, 16 / sizeof(T)>(queue, u, means);
    case 4:
        return launch_unmap<T, 4>(queue, u, means);
    default:
        return launch_unmap<T, 1>(queue, u, means);
    }
}

cudaError_t seki_cuda_unmap(const struct cuda_queue *queue, enum cuda_type type,
                            const struct cuda_unmap *call)
{
    return type == CUDA_BF16 ? launch_fitting<bf16>(queue, call, false)
                             : launch_fitting<float>(queue, call, false);
}

cudaError_t seki_cuda_gradient_means(const struct cuda_queue *queue, enum cuda_type type,
                                     const struct cuda_unmap *call)
{
    return type == CUDA_BF16 ? launch_fitting<bf16>(queue, call, true)
                             : launch_fitting<float>(queue, call, true);
}

cudaError_t seki_cuda_infer(const struct cuda_queue *queue, const struct cuda_moments *call)
{
    return launch(queue, infer, dim3((unsigned)((call->channels + THREADS - 1) / THREADS)), 0,
                  *call);
}

template <typename T, int V>
static cudaError_t launch_clear(const struct cuda_queue *queue, size_t rows, int channels,
                                const cuda_view &y)
{
    const clear_call call = {(long long)rows, channels, y, share_out<V>(channels)};
    const size_t blocks = (rows + (size_t)call.s.rows - 1) / (size_t)call.s.rows;

    return launch(queue, clear<T, V>, dim3((unsigned)blocks, (unsigned)call.s.groups), 0, call);
}

template <typename T>
static cudaError_t launch_fitting(const struct cuda_queue *queue, size_t rows, int channels,
                                  const cuda_view &y)
{
    fitting f = {(int)sizeof(T), 0};

    fit(&f, channels);
    fit(&f, y);
    switch (fitting_width(f)) {
    case 8:
        return launch_clear<T, 16 / sizeof(T)>(queue, rows, channels, y);
    case 4:
        return launch_clear<T, 4>(queue, rows, channels, y);
    default:
        return launch_clear<T, 1>(queue, rows, channels, y);
    }
}

cudaError_t seki_cuda_clear(const struct cuda_queue *queue, enum cuda_type type, size_t rows,
                            int channels, struct cuda_view y)
{
    return type == CUDA_BF16 ? launch_fitting<bf16>(queue, rows, channels, y)
                             : launch_fitting<float>(queue, rows, channels, y);
}
