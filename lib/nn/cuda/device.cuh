/*
 * device.cuh - what all kernels stand on: elements and vectors of them, BN and ReLU of what is
 * read, how a block shares out its work, launching.
 */
#ifndef SEKI_CUDA_DEVICE_CUH
#define SEKI_CUDA_DEVICE_CUH

#include <cuda_runtime.h>

#include "nn/cuda/kernels.h"

/* Threads of every block. */
enum { THREADS = 128, WARPS = THREADS / 32 };

/* ---- Elements ------------------------------------------------------------------------------ */

struct bf16 {
    uint16_t bits;
};

static __device__ inline float to_float(float value)
{
    return value;
}

static __device__ inline float to_float(bf16 value)
{
    return __uint_as_float((unsigned)value.bits << 16);
}

/* To the nearest, of two equally near to the even one; NaN stays NaN. */
static __device__ inline void put(float value, float *to)
{
    *to = value;
}

static __device__ inline void put(float value, bf16 *to)
{
#ifdef __CUDA_ARCH__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to->bits) : "f"(value));
#else
    unsigned bits = __float_as_uint(value);

    if (value != value)
        to->bits = 0x7fff;
    else
        to->bits = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
#endif
}

/* a / b to two units in the last place, for divisors that are counts: the exact division is a call
 * around which a kernel must put its registers away. */
static __device__ inline float quotient(float a, float b)
{
#ifdef __CUDA_ARCH__
    return __fdividef(a, b);
#else
    return a / b;
#endif
}

/* ---- Whole numbers ------------------------------------------------------------------------- */

/* A divisor that the host knows: a product and a shift in the place of a division, for dividends
 * from 0 to 2^31 - 1 (Granlund, Montgomery 1994). */
struct divisor {
    int value;
    unsigned factor; /* 2^shift / value, rounded up */
    int shift;
};

static inline divisor divisor_of(int value)
{
    divisor d = {value, 0, 31};

    while (1ll << (d.shift - 31) < value)
        d.shift++;
    d.factor = (unsigned)(((1ull << d.shift) + (unsigned)value - 1) / (unsigned)value);
    return d;
}

static __device__ inline int operator/(int dividend, const divisor &d)
{
    return (int)((unsigned long long)(unsigned)dividend * d.factor >> d.shift);
}

static __device__ inline int operator%(int dividend, const divisor &d)
{
    return dividend - dividend / d * d.value;
}

/* Where nothing is used of what is read, it is read from where there is something: all that a
 * thread needs is read at once, without a question in between. */
static __device__ inline int clamp(int i, int size)
{
    return i < 0 ? 0 : i < size ? i : size - 1;
}

/* ---- Vectors ------------------------------------------------------------------------------- */

template <int BYTES> struct word;
template <> struct word<1> {
    typedef unsigned char type;
};
template <> struct word<2> {
    typedef unsigned short type;
};
template <> struct word<4> {
    typedef unsigned type;
};
template <> struct word<8> {
    typedef uint2 type;
};
template <> struct word<16> {
    typedef uint4 type;
};

/* V elements as they lie in memory: what is read before it is needed, and turned into floats then.
 */
template <int V, typename T> struct raw {
    typename word<V *(int)sizeof(T)>::type bytes;
};

/* At an address that is a multiple of their size, in one load. */
template <int V, typename T> static __device__ inline raw<V, T> read(const T *from)
{
    return {*reinterpret_cast<const typename word<V *(int)sizeof(T)>::type *>(from)};
}

template <int V, typename T>
static __device__ inline void spread(float (&to)[V], const raw<V, T> &from)
{
    if constexpr (sizeof(T) == 2 && V % 2 == 0) { /* one operation each */
        unsigned twos[V / 2];

        memcpy(twos, &from.bytes, sizeof(twos));
#pragma unroll
        for (int i = 0; i < V; i += 2) {
            to[i] = __uint_as_float(twos[i / 2] << 16);
            to[i + 1] = __uint_as_float(twos[i / 2] & 0xffff0000u);
        }
    } else {
        T values[V];

        memcpy(values, &from.bytes, sizeof(values));
#pragma unroll
        for (int i = 0; i < V; i++)
            to[i] = to_float(values[i]);
    }
}

/* Two as `put` leaves them, side by side. */
static __device__ inline unsigned pair(float low, float high)
{
    unsigned both;
#ifdef __CUDA_ARCH__
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
#else
    bf16 two[2];

    put(low, &two[0]);
    put(high, &two[1]);
    memcpy(&both, two, sizeof(both));
#endif
    return both;
}

template <int V> static __device__ inline void put_all(float (&to)[V], const float (&from)[V])
{
#pragma unroll
    for (int i = 0; i < V; i++)
        to[i] = from[i];
}

template <int V> static __device__ inline void put_all(bf16 (&to)[V], const float (&from)[V])
{
    if (V % 2 != 0)
        put(from[V - 1], &to[V - 1]);
#pragma unroll
    for (int i = 0; i + 1 < V; i += 2) {
        const unsigned two = pair(from[i], from[i + 1]);

        memcpy(&to[i], &two, sizeof(two));
    }
}

template <typename T, int V> static __device__ inline raw<V, T> gather(const float (&from)[V])
{
    T values[V];
    raw<V, T> whole;

    put_all<V>(values, from);
    memcpy(&whole.bytes, values, sizeof(whole.bytes));
    return whole;
}

template <int V, typename T> static __device__ inline void write(T *to, const raw<V, T> &from)
{
    *reinterpret_cast<typename word<V *(int)sizeof(T)>::type *>(to) = from.bytes;
}

template <int V, typename T> static __device__ inline void load(float (&to)[V], const T *from)
{
    spread<V>(to, read<V>(from));
}

template <int V, typename T> static __device__ inline void store(T *to, const float (&from)[V])
{
    write<V>(to, gather<T>(from));
}

template <typename T>
static __device__ inline T *element(const cuda_view &view, long long pixel, int channel)
{
    return static_cast<T *>(view.data) + pixel * view.stride + channel;
}

/* The same channel of the pixel `count` further. */
template <typename T> static __device__ inline T *further(T *pixel, int count, unsigned apart)
{
    return reinterpret_cast<T *>(const_cast<char *>(reinterpret_cast<const char *>(pixel)) +
                                 (size_t)(unsigned)count * apart);
}

/* The pixels of a view, from a channel on: where many are read, an address is one product. */
template <typename T> struct pixels_of {
    char *first;
    unsigned apart; /* bytes */

    __device__ pixels_of(const cuda_view &view, int channel)
        : first(static_cast<char *>(view.data) + channel * (int)sizeof(T)),
          apart((unsigned)view.stride * (unsigned)sizeof(T))
    {
    }

    __device__ T *operator[](int pixel) const
    {
        return reinterpret_cast<T *>(first + (size_t)(unsigned)pixel * apart);
    }
};

/* to = or += value. */
template <int V, typename T>
static __device__ inline void give(T *to, const float (&value)[V], bool add)
{
    float sum[V];

    if (add)
        load<V>(sum, to);
#pragma unroll
    for (int i = 0; i < V; i++)
        sum[i] = add ? sum[i] + value[i] : value[i];
    store<V>(to, sum);
}

/* ---- BN and ReLU of what is read ----------------------------------------------------------- */

static __device__ inline float normalise(float z, const cuda_coefficients &k)
{
    return (z - k.mean) * k.factor + k.shift;
}

/* No less than `least`; NaN stays NaN. */
static __device__ inline float at_least(float value, float least)
{
#ifdef __CUDA_ARCH__
    float result;

    asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(value), "f"(least));
    return result;
#else
    return value <= least ? least : value;
#endif
}

static __device__ inline float rectify(float value)
{
    return at_least(value, 0.0f);
}

/* The coefficients of V channels, read once for many pixels. Without BN they leave a value as it
 * is, without ReLU its floor is below all: so that nothing is asked of a value. */
template <int V> struct channels_of_source {
    cuda_coefficients k[V];
    bool norm;
    float floor;

    __device__ channels_of_source(const cuda_source &source, int channel, int count)
        : norm(source.coefficients != nullptr), floor(source.relu ? 0.0f : -INFINITY)
    {
#pragma unroll
        for (int i = 0; i < V; i++) {
            k[i] = {0.0f, 1.0f, 1.0f, 0.0f};
            if (norm)
                k[i] = source.coefficients[channel + i < count ? channel + i : 0];
        }
    }

    __device__ float operator()(float x, int i) const
    {
        return at_least(normalise(x, k[i]), floor);
    }

    /* What of a gradient comes through ReLU. */
    __device__ float masked(float gradient, float x, int i) const
    {
        return normalise(x, k[i]) <= floor ? 0.0f : gradient;
    }
};

/* In the same way of a gradient. Where z is not read it must be some number. */
template <int V> struct channels_of_gradient {
    cuda_coefficients k[V];
    cuda_gradient_means means[V];
    float gain[V], floor;
    bool reads_z;

    __device__ channels_of_gradient(const cuda_gradient &gradient, int channel, int count)
        : floor(gradient.relu ? 0.0f : -INFINITY),
          reads_z(gradient.coefficients != nullptr || gradient.relu)
    {
#pragma unroll
        for (int i = 0; i < V; i++) {
            const int at = channel + i < count ? channel + i : 0;

            k[i] = {0.0f, 1.0f, 1.0f, 0.0f};
            means[i] = {0.0f, 0.0f};
            gain[i] = 1.0f;
            if (gradient.coefficients != nullptr)
                k[i] = gradient.coefficients[at];
            if (gradient.means == nullptr)
                continue;
            means[i] = gradient.means[at];
            gain[i] = k[i].factor;
        }
    }

    __device__ float normalised(float z, int i) const
    {
        return (z - k[i].mean) * k[i].inverse;
    }

    /* Of the BN's result. */
    __device__ float after(float dy, float z, int i) const
    {
        return normalise(z, k[i]) <= floor ? 0.0f : dy;
    }

    /* Of z. */
    __device__ float operator()(float dy, float z, int i) const
    {
        return gain[i] *
               (after(dy, z, i) - means[i].gradient - normalised(z, i) * means[i].product);
    }
};

/* What is read of V channels of a pixel: z where it is wanted. */
template <int V, typename T> struct gradient_read {
    raw<V, T> dy, z;
    float keep;
};

template <int V, typename T>
static __device__ inline void read_gradient(const cuda_gradient &gradient, const divisor &pixels,
                                            bool with_z, int pixel, int channel,
                                            gradient_read<V, T> *to)
{
    to->dy = read<V>(pixels_of<const T>(gradient.dy, channel)[pixel]);
    to->z = {};
    if (with_z)
        to->z = read<V>(pixels_of<const T>(gradient.z, channel)[pixel]);
    to->keep = gradient.keep != nullptr ? gradient.keep[pixel / pixels] : 1.0f;
}

/* keep[image] * dy, and z. */
template <int V, typename T>
static __device__ inline void spread_gradient(const gradient_read<V, T> &from, float (&dy)[V],
                                              float (&z)[V])
{
    spread<V>(dy, from.dy);
    spread<V>(z, from.z);
#pragma unroll
    for (int i = 0; i < V; i++)
        dy[i] *= from.keep;
}

/* ---- Shared memory ------------------------------------------------------------------------- */

/* The block's, of which a kernel has one struct. */
template <typename S> static __device__ inline S *shared_memory()
{
#ifdef __CUDACC__
    extern __shared__ uint4 shared_words[];

    return reinterpret_cast<S *>(shared_words);
#else
    return static_cast<S *>(grid_shared_memory(sizeof(S)));
#endif
}

/* ---- How a block shares out pixels and channels -------------------------------------------- */

/* Channels are taken in groups (blockIdx.y), a group V at a time by neighbouring threads; the
 * block's threads beyond have other rows. */
struct sharing {
    int group, groups; /* channels of a group, groups */
    int vectors, rows; /* of a block: vectors of a group, rows at a time */
};

template <int V> static inline sharing share_out(int channels)
{
    sharing s;

    s.groups = (channels + CUDA_GROUP - 1) / CUDA_GROUP;
    s.group = ((channels + s.groups - 1) / s.groups + V - 1) / V * V;
    s.groups = (channels + s.group - 1) / s.group;
    s.vectors = s.group / V;
    s.rows = THREADS / s.vectors;
    return s;
}

/* Where this thread stands in it. */
template <int V> struct place {
    int first; /* channel of the group */
    int count; /* channels of the group */
    int vector, row;
    int channel; /* the thread's first */
    bool works;

    __device__ place(const sharing &s, int channels)
        : first((int)blockIdx.y * s.group),
          count(channels - first < s.group ? channels - first : s.group),
          vector((int)threadIdx.x % s.vectors), row((int)threadIdx.x / s.vectors),
          channel(first + vector * V), works(row < s.rows && vector * V < count)
    {
    }
};

/* The widest vectors that fit channels, strides and addresses. */
struct fitting {
    int element;
    size_t bits; /* of all counts and addresses in elements */
};

static inline void fit(fitting *f, long long count)
{
    f->bits |= (size_t)count;
}

static inline void fit(fitting *f, const cuda_view &view)
{
    if (view.data == nullptr)
        return;
    f->bits |= (size_t)view.stride | (size_t)view.data / (size_t)f->element;
}

static inline int fitting_width(const fitting &f)
{
    const int most = 16 / f.element;

    return f.bits % (size_t)most == 0 ? most : f.bits % 4 == 0 ? 4 : 1;
}

/* ---- One kernel after the other ------------------------------------------------------------- */

/* The first statement of every kernel: what was put on the stream before it is there from here on.
 * Where the device can (cuda_queue.overlapping), the blocks of the kernel behind it are let on from
 * here, too, as there is room, and wait at this place in their turn: so that the device need not
 * run empty between two kernels (programmatic dependent launch). */
static __device__ inline void begin_kernel()
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    cudaGridDependencySynchronize();
    cudaTriggerProgrammaticLaunchCompletion();
#endif
}

/* ---- Launching ----------------------------------------------------------------------------- */

template <typename Call>
static inline cudaError_t launch(const struct cuda_queue *queue, void (*kernel)(Call), dim3 grid,
                                 size_t shared, const Call &call)
{
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute overlap = {};

    config.gridDim = grid;
    config.blockDim = dim3(THREADS);
    config.dynamicSmemBytes = shared;
    config.stream = queue->stream;
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &overlap;
    config.numAttrs = queue->overlapping ? 1 : 0;
    return cudaLaunchKernelEx(&config, kernel, call);
}

/* Blocks of `each` that cover `count`, `most` at most. */
static inline int blocks_for(long long count, long long each, int most = CUDA_BLOCKS)
{
    const long long blocks = (count + each - 1) / each;

    return (int)(blocks < 1 ? 1 : blocks > most ? most : blocks);
}

#endif
