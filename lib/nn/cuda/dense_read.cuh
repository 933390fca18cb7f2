/*
 * dense_read.cuh - what a dense convolution multiplies: which pixels meet through a tap, their
 * channels as they lie in memory, what becomes of those, and the weights in shared memory.
 *
 * A kernel of these networks waits for memory more than it computes. So a lane first reads all that
 * it needs next, and only then uses the first of it.
 */
#ifndef SEKI_CUDA_DENSE_READ_CUH
#define SEKI_CUDA_DENSE_READ_CUH

#include "nn/cuda/matrix.cuh"

enum { TILES = 2 }; /* of 16 pixels, a warp */

/* What a kernel is made for. */
enum {
    POINTWISE, /* a pixel meets that of the same number alone; channels and weights in fours */
    FOURS,     /* any window; channels in fours */
    SINGLES,   /* any */
};

struct dense_call {
    cuda_dense d;
    divisor width, height, plane; /* of what is written */
    divisor stride_height, stride_width;
};

static inline dense_call dense_call_of(const cuda_dense *d, bool backward)
{
    const cuda_window &w = d->window;
    const int height = backward ? w.height : w.out_height, width = backward ? w.width : w.out_width;

    return {*d,
            divisor_of(width),
            divisor_of(height),
            divisor_of(height * width),
            divisor_of(w.stride_height),
            divisor_of(w.stride_width)};
}

static inline bool is_pointwise(const cuda_window &w)
{
    return w.kernel_height == 1 && w.kernel_width == 1 && w.stride_height == 1 &&
           w.stride_width == 1 && w.padding_height == 0 && w.padding_width == 0;
}

/* ---- Pixels -------------------------------------------------------------------------------- */

/* A pixel of what is written. */
struct dense_pixel {
    bool valid;
    int base; /* of what is read: its image's first pixel; POINTWISE the one that is met */
    int y, x;
};

/* What is written has the result's pixels forward, the input's backward. */
template <bool BACKWARD, int KIND>
static __device__ inline dense_pixel find_pixel(const dense_call &call, int p)
{
    const cuda_window &w = call.d.window;
    const int read = BACKWARD ? w.out_height * w.out_width : w.height * w.width;
    dense_pixel pixel = {p < w.images * call.plane.value, p, 0, 0};

    if (KIND == POINTWISE)
        return pixel;
    const int line = p / call.width, image = line / call.height;

    pixel.base = image * read;
    pixel.y = line - image * call.height.value;
    pixel.x = p - line * call.width.value;
    return pixel;
}

/* The pixel that it meets through tap (ky, kx), or -1. */
template <bool BACKWARD, int KIND>
static __device__ inline int met(const dense_call &call, const dense_pixel &pixel, int ky, int kx)
{
    const cuda_window &w = call.d.window;

    if (!pixel.valid)
        return -1;
    if (KIND == POINTWISE)
        return pixel.base;
    if (!BACKWARD) {
        const int y = pixel.y * w.stride_height - w.padding_height + ky;
        const int x = pixel.x * w.stride_width - w.padding_width + kx;

        if (y < 0 || y >= w.height || x < 0 || x >= w.width)
            return -1;
        return pixel.base + y * w.width + x;
    }
    const int y = pixel.y + w.padding_height - ky, x = pixel.x + w.padding_width - kx;

    if (y < 0 || x < 0)
        return -1;
    const int out_y = y / call.stride_height, out_x = x / call.stride_width;

    if (out_y * w.stride_height != y || out_x * w.stride_width != x || out_y >= w.out_height ||
        out_x >= w.out_width)
        return -1;
    return pixel.base + out_y * w.out_width + out_x;
}

/* ---- Channels as they lie in memory -------------------------------------------------------- */

/* The four channels at `from`, of which there are `count` and more; 0 for those that there are not.
 */
template <int KIND, typename T>
static __device__ inline raw<4, T> read_four(const T *from, int count)
{
    raw<4, T> whole = {};

    if (KIND != SINGLES && count > 0)
        whole = read<4>(from);
    if (KIND == SINGLES) {
        T values[4] = {};

#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < count)
                values[i] = from[i];
        memcpy(&whole.bytes, values, sizeof(values));
    }
    return whole;
}

/* Of the pixels of a lane, four channels each: of what is multiplied, and of z backward. */
template <typename T> struct dense_fours {
    raw<4, T> x[TILES][2], z[TILES][2];
};

/* The pixels of a lane that lie under a tap. */
template <typename T, bool BACKWARD, int KIND> struct dense_pixels {
    const T *x[TILES][2], *z[TILES][2]; /* the lane's first channel */
    int channels[TILES][2];             /* 0 outside of the picture */

    __device__ dense_pixels(const dense_call &call, const dense_pixel (&pixels)[TILES][2], int ky,
                            int kx)
    {
        const cuda_dense &d = call.d;
        const pixels_of<const T> all(BACKWARD ? d.gradient.dy : d.source.x, 4 * slot()),
            all_z(d.gradient.z, 4 * slot());

#pragma unroll
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const int at = met<BACKWARD, KIND>(call, pixels[r][h], ky, kx);

                channels[r][h] = KIND != POINTWISE && at < 0 ? 0 : BACKWARD ? d.outputs : d.inputs;
                x[r][h] = all[at < 0 ? 0 : at];
                if (BACKWARD)
                    z[r][h] = all_z[at < 0 ? 0 : at];
            }
    }

    /* Whether there is a pixel. POINTWISE nobody asks for what those give that are not valid. */
    __device__ bool inside(int r, int h) const
    {
        return KIND == POINTWISE || channels[r][h] != 0;
    }

    __device__ void read(dense_fours<T> *fours, int first, bool with_z) const
    {
        const int channel = first + 4 * slot();

#pragma unroll
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                fours->x[r][h] = read_four<KIND>(x[r][h] + first, channels[r][h] - channel);
        if (BACKWARD && with_z)
#pragma unroll
            for (int r = 0; r < TILES; r++)
#pragma unroll
                for (int h = 0; h < 2; h++)
                    fours->z[r][h] = read_four<KIND>(z[r][h] + first, channels[r][h] - channel);
    }
};

/* ---- What becomes of them ------------------------------------------------------------------ */

/* Inputs in shared memory at a time, of all taps side by side where there is room: 20 KiB and less.
 * A row is 32 bytes of bf16, or 64 of floats, more than a multiple of 128, or 32 less: lanes that
 * read neighbouring rows then meet other banks. */
template <int TYPE, int NT, int KIND> struct chunk {
    enum {
        EACH = (int)sizeof(typename factor<TYPE>::type),
        SIZE = (KIND == POINTWISE ? 256
                : NT <= 2         ? 1152
                : EACH == 2       ? 576
                                  : 512) /
               EACH,
        STRIDE = SIZE + 16,
    };
};

/* Of each channel of a chunk, 0 past the last one. Forward f(x) = [ReLU] (x - mean) * factor +
 * shift; backward, through that ReLU, dz = gain * (g - offset - (z - mean) * slope). */
template <int CHUNK> struct chunk_norm {
    float mean[CHUNK], factor[CHUNK], shift[CHUNK], gain[CHUNK], offset[CHUNK], slope[CHUNK];
};

template <int CHUNK>
static __device__ inline void load_norm(const cuda_coefficients *coefficients,
                                        const cuda_gradient_means *means, int first, int channels,
                                        chunk_norm<CHUNK> *norm)
{
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < CHUNK; i += THREADS) {
        const bool there = first + i < channels;
        cuda_coefficients k = {0.0f, 0.0f, 0.0f, 0.0f};
        cuda_gradient_means m = {0.0f, 0.0f};

        if (there)
            k = coefficients[first + i];
        if (there && means != nullptr)
            m = means[first + i];
        norm->mean[i] = k.mean;
        norm->factor[i] = k.factor;
        norm->shift[i] = k.shift;
        norm->gain[i] = means != nullptr ? k.factor : 1.0f;
        norm->offset[i] = m.gradient;
        norm->slope[i] = k.inverse * m.product;
    }
}

/* Two of bf16 that are less than 0 become 0. */
static __device__ inline unsigned rectify_pair(unsigned two)
{
#ifdef __CUDA_ARCH__
    unsigned result;

    asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(result) : "r"(two), "r"(0u));
    return result;
#else
    const float low = __uint_as_float(two << 16), high = __uint_as_float(two & 0xffff0000u);

    return pair(rectify(low), rectify(high));
#endif
}

/* Without BN what lies in memory is what is multiplied, but for ReLU and rounding. */
template <int TYPE> static __device__ inline four<TYPE> rectified(raw<4, bf16> x, bool relu)
{
    if (relu) {
        x.bytes.x = rectify_pair(x.bytes.x);
        x.bytes.y = rectify_pair(x.bytes.y);
    }
    return x;
}

template <int TYPE> static __device__ inline four<TYPE> rectified(const raw<4, float> &x, bool relu)
{
    float values[4];

    spread<4>(values, x);
#pragma unroll
    for (int i = 0; i < 4; i++)
        values[i] = relu ? rectify(values[i]) : values[i];
    return four_of<TYPE>(values);
}

/* f(x) of channels k..k+3 of the chunk. */
template <int TYPE, typename T, int KIND, int CHUNK>
static __device__ inline void become(const cuda_source &source, const chunk_norm<CHUNK> &norm,
                                     int k, const dense_pixels<T, false, KIND> &met,
                                     const float (&)[TILES][2], dense_fours<T> &from,
                                     four<TYPE> (&to)[TILES][2])
{
    float mean[4], factor[4], shift[4];

    if (source.coefficients == nullptr) {
#pragma unroll
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                to[r][h] = rectified<TYPE>(from.x[r][h], source.relu);
        return;
    }
    load<4>(mean, &norm.mean[k]);
    load<4>(factor, &norm.factor[k]);
    load<4>(shift, &norm.shift[k]);
#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float x[4];

            spread<4>(x, from.x[r][h]);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const float value = (x[i] - mean[i]) * factor[i] + shift[i];

                x[i] = !met.inside(r, h) ? 0.0f : source.relu ? rectify(value) : value;
            }
            to[r][h] = four_of<TYPE>(x);
        }
}

/* What of the gradient comes through the ReLU behind the BN, if there is a BN. */
template <typename T, int CHUNK>
static __device__ inline void mask(const chunk_norm<CHUNK> &norm, int k, bool with_norm,
                                   dense_fours<T> &fours)
{
    float mean[4] = {0.0f, 0.0f, 0.0f, 0.0f}, factor[4] = {1.0f, 1.0f, 1.0f, 1.0f},
          shift[4] = {0.0f, 0.0f, 0.0f, 0.0f};

    if (with_norm) {
        load<4>(mean, &norm.mean[k]);
        load<4>(factor, &norm.factor[k]);
        load<4>(shift, &norm.shift[k]);
    }
#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float g[4], z[4];

            spread<4>(g, fours.x[r][h]);
            spread<4>(z, fours.z[r][h]);
#pragma unroll
            for (int i = 0; i < 4; i++)
                g[i] = (z[i] - mean[i]) * factor[i] + shift[i] <= 0.0f ? 0.0f : g[i];
            fours.x[r][h] = gather<T>(g);
        }
}

/* In the same way the gradient of z. */
template <int TYPE, typename T, int KIND, int CHUNK>
static __device__ inline void become(const cuda_gradient &gradient, const chunk_norm<CHUNK> &norm,
                                     int k, const dense_pixels<T, true, KIND> &met,
                                     const float (&keep)[TILES][2], dense_fours<T> &from,
                                     four<TYPE> (&to)[TILES][2])
{
    float mean[4], gain[4], offset[4], slope[4];

    if (gradient.relu)
        mask(norm, k, gradient.coefficients != nullptr, from);
    if (gradient.coefficients != nullptr) {
        load<4>(mean, &norm.mean[k]);
        load<4>(gain, &norm.gain[k]);
        load<4>(offset, &norm.offset[k]);
        load<4>(slope, &norm.slope[k]);
    }
#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float g[4], z[4];

            spread<4>(g, from.x[r][h]);
            spread<4>(z, from.z[r][h]);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                g[i] *= keep[r][h];
                if (gradient.coefficients != nullptr)
                    g[i] = gain[i] * (g[i] - offset[i] - (z[i] - mean[i]) * slope[i]);
                if (!met.inside(r, h))
                    g[i] = 0.0f;
            }
            to[r][h] = four_of<TYPE>(g);
        }
}

/* ---- Weights ------------------------------------------------------------------------------- */

/* The row of shared memory where the weights of a group's column lie. Of every 16 columns a lane
 * gets four of two products, 2 * slot and 2 * slot + 1 of each; they are to be neighbours. */
static __device__ inline unsigned row_of(unsigned column)
{
    return column / 16 * 16 + column / 2 % 2 * 8 + column / 4 % 4 * 2 + column % 2;
}

/* Where the inputs' weights lie, in memory and in shared memory. */
template <int TYPE, int STRIDE> struct dense_weight {
    const float *from;        /* of the first column, the first input and the first tap */
    unsigned column, input;   /* apart in memory */
    unsigned columns, inputs; /* that there are; 0 past them */
    unsigned taps;            /* side by side in memory, and in shared memory in sixteens */
    typename factor<TYPE>::type (*to)[STRIDE];
};

/* The first column and the first input of a square. */
struct square_place {
    unsigned column, input;
};

template <int NT> static __device__ inline square_place square_of(unsigned i)
{
    return {i / 8 % NT * COLUMNS + i % 2 * 4, i / 8 / NT * SUMMED + i / 2 % 4 * 4};
}

/* Squares of four inputs and four columns: fours in memory are of an output, fours in shared memory
 * of a column. Neighbouring threads read whole sectors. */
template <int TYPE, int NT, bool BACKWARD, int STRIDE>
static __device__ inline void load_squares(const dense_weight<TYPE, STRIDE> &w)
{
    enum { ONCE = NT < 8 ? 2 : 1 }; /* squares that are under way at once, as registers allow */
    const unsigned count = NT * 8 * ((w.inputs + SUMMED - 1) / SUMMED);

#pragma unroll 1
    for (unsigned first = threadIdx.x; first < count; first += ONCE * THREADS) {
        float square[ONCE][4][4] = {};

#pragma unroll
        for (unsigned s = 0; s < ONCE; s++) {
            const square_place at = square_of<NT>(first + s * THREADS);
            const float *from = w.from + at.column * w.column + at.input * w.input;

#pragma unroll
            for (unsigned j = 0; j < 4; j++)
                if (at.column < w.columns && at.input < w.inputs)
                    load<4>(square[s][j], from + j * (BACKWARD ? w.input : w.column));
        }
#pragma unroll
        for (unsigned s = 0; s < ONCE; s++) {
            const square_place at = square_of<NT>(first + s * THREADS);

#pragma unroll
            for (unsigned j = 0; j < 4; j++) {
                float inputs[4];

#pragma unroll
                for (int l = 0; l < 4; l++)
                    inputs[l] = BACKWARD ? square[s][l][j] : square[s][j][l];
                if (first + s * THREADS < count)
                    write<4>(&w.to[row_of(at.column) + row_of(j)][at.input], four_of<TYPE>(inputs));
            }
        }
    }
}

/* The same, a weight at a time, of several taps. */
template <int TYPE, int NT, int STRIDE>
static __device__ inline void load_singles(const dense_weight<TYPE, STRIDE> &w)
{
    const unsigned sixteens = (w.inputs + SUMMED - 1) / SUMMED;

#pragma unroll 1
    for (unsigned i = threadIdx.x; i < NT * 32 * sixteens; i += THREADS) {
        const unsigned n = i / 4 % (NT * COLUMNS), k = i / 4 / (NT * COLUMNS) * SUMMED + i % 4 * 4;
        const float *from = w.from + n * w.column + k * w.input;

#pragma unroll 4
        for (unsigned tap = 0; tap < w.taps; tap++) {
            float inputs[4] = {};

#pragma unroll
            for (unsigned j = 0; j < 4; j++)
                if (n < w.columns && k + j < w.inputs)
                    inputs[j] = from[j * w.input + tap];
            write<4>(&w.to[row_of(n)][tap * sixteens * SUMMED + k], four_of<TYPE>(inputs));
        }
    }
}

/* Inputs first..first+SIZE-1 of `taps` taps from `tap` on, for the columns from `column` on. */
template <int TYPE, int NT, bool BACKWARD, int KIND>
static __device__ inline void
load_weights(const cuda_dense &d, int column, int first, int tap, int taps,
             typename factor<TYPE>::type (*to)[chunk<TYPE, NT, KIND>::STRIDE])
{
    const unsigned all = (unsigned)(d.window.kernel_height * d.window.kernel_width),
                   output = (unsigned)d.inputs * all;
    const unsigned rest = (unsigned)((BACKWARD ? d.outputs : d.inputs) - first),
                   most = chunk<TYPE, NT, KIND>::SIZE;
    dense_weight<TYPE, chunk<TYPE, NT, KIND>::STRIDE> w;

    w.column = BACKWARD ? all : output;
    w.input = BACKWARD ? output : all;
    w.from = d.weight + (unsigned)column * w.column + (unsigned)first * w.input + (unsigned)tap;
    w.columns = (unsigned)((BACKWARD ? d.inputs : d.outputs) - column);
    w.inputs = rest < most ? rest : most;
    w.taps = (unsigned)taps;
    w.to = to;
    if (KIND == POINTWISE)
        load_squares<TYPE, NT, BACKWARD>(w);
    else
        load_singles<TYPE, NT>(w);
}

#endif
