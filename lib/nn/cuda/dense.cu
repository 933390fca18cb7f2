/*
 * dense.cu - convolutions over all channels: forward with the moments of what it gives, and the
 * gradient of what it read. A warp has 32 pixels of the result; the weights of a group of 64
 * channels stand in shared memory, 64 inputs of one tap at a time.
 */
#include "nn/cuda/matrix.cuh"

enum {
    TILES = 2,                         /* of 16 pixels, a warp */
    BLOCK_ROWS = WARPS * TILES * ROWS, /* pixels of a block at a time */
    CHUNK = 64,                        /* inputs in shared memory at a time */
    CHUNK_STRIDE = CHUNK + 16,
};

template <int NT> struct dense_shared {
    float weight[NT * COLUMNS][CHUNK_STRIDE];
    stage stages[WARPS];
    cuda_moment moments[WARPS][NT * COLUMNS];
    double sums[THREADS];
    unsigned ended;
};

struct dense_call {
    cuda_dense d;
    bool fours; /* channels may be read four at a time */
};

/* A pixel of what is written. */
struct dense_pixel {
    int image_base; /* of what is read: its image's first pixel */
    int y, x;
    bool valid;
};

/* What is written has the result's pixels forward, the input's backward. */
template <bool BACKWARD>
static __device__ inline dense_pixel find_pixel(const cuda_window &w, int p)
{
    const int height = BACKWARD ? w.height : w.out_height, width = BACKWARD ? w.width : w.out_width;
    const int image = p / (height * width), rest = p - image * height * width;
    const int read = BACKWARD ? w.out_height * w.out_width : w.height * w.width;
    dense_pixel pixel;

    pixel.image_base = image * read;
    pixel.y = rest / width;
    pixel.x = rest - pixel.y * width;
    pixel.valid = p < w.images * height * width;
    return pixel;
}

/* The pixel that it meets through tap (ky, kx), or -1. */
template <bool BACKWARD>
static __device__ inline int met(const cuda_window &w, const dense_pixel &pixel, int ky, int kx)
{
    if (!pixel.valid)
        return -1;
    if (!BACKWARD) {
        const int y = pixel.y * w.stride_height - w.padding_height + ky;
        const int x = pixel.x * w.stride_width - w.padding_width + kx;

        if (y < 0 || y >= w.height || x < 0 || x >= w.width)
            return -1;
        return pixel.image_base + y * w.width + x;
    }
    const int y = pixel.y + w.padding_height - ky, x = pixel.x + w.padding_width - kx;

    if (y < 0 || x < 0 || y % w.stride_height != 0 || x % w.stride_width != 0)
        return -1;
    if (y / w.stride_height >= w.out_height || x / w.stride_width >= w.out_width)
        return -1;
    return pixel.image_base + y / w.stride_height * w.out_width + x / w.stride_width;
}

/* Channels channel..channel+3 of a pixel, 0 where there are none. */
template <typename T>
static __device__ inline void load_four(float (&to)[4], const cuda_view &view, int pixel,
                                        int channel, int channels, bool fours)
{
    if (fours && channel < channels) {
        load<4>(to, element<const T>(view, pixel, channel));
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        to[i] = channel + i < channels ? to_float(*element<const T>(view, pixel, channel + i)) : 0;
}

/* What is multiplied: f(x) forward, the gradient of z backward; 0 outside of the picture and past
 * the last channel. */
template <typename T, bool BACKWARD> struct dense_reader;

template <typename T> struct dense_reader<T, false> {
    const dense_call &call;
    const int channel;
    const channels_of_source<4> f;

    __device__ dense_reader(const dense_call &c, int first)
        : call(c), channel(first), f(c.d.source, first, c.d.inputs)
    {
    }

    __device__ void operator()(float (&to)[4], int pixel) const
    {
        if (pixel < 0) {
#pragma unroll
            for (int i = 0; i < 4; i++)
                to[i] = 0.0f;
            return;
        }
        load_four<T>(to, call.d.source.x, pixel, channel, call.d.inputs, call.fours);
#pragma unroll
        for (int i = 0; i < 4; i++)
            to[i] = channel + i < call.d.inputs ? f(to[i], i) : 0.0f;
    }
};

template <typename T> struct dense_reader<T, true> {
    const dense_call &call;
    const int channel;
    const channels_of_gradient<4> f;

    __device__ dense_reader(const dense_call &c, int first)
        : call(c), channel(first), f(c.d.gradient, first, c.d.outputs)
    {
    }

    __device__ void operator()(float (&to)[4], int pixel) const
    {
        const cuda_gradient &g = call.d.gradient;
        const int channels = call.d.outputs;
        float z[4] = {0.0f, 0.0f, 0.0f, 0.0f};

        if (pixel < 0) {
#pragma unroll
            for (int i = 0; i < 4; i++)
                to[i] = 0.0f;
            return;
        }
        load_four<T>(to, g.dy, pixel, channel, channels, call.fours);
        if (f.reads_z())
            load_four<T>(z, g.z, pixel, channel, channels, call.fours);
        const float keep = g.keep != nullptr ? g.keep[pixel / g.pixels] : 1.0f;

#pragma unroll
        for (int i = 0; i < 4; i++)
            to[i] = channel + i < channels ? f(keep * to[i], z[i], i) : 0.0f;
    }
};

/* Inputs first..first+CHUNK-1 of a tap, for the columns from `column` on. */
template <int NT, bool BACKWARD>
static __device__ inline void load_weights(const cuda_dense &d, int column, int first, int tap,
                                           dense_shared<NT> *shared)
{
    const int read = BACKWARD ? d.outputs : d.inputs, written = BACKWARD ? d.inputs : d.outputs;
    const int taps = d.window.kernel_height * d.window.kernel_width;

    const int rest = (read - first + SUMMED - 1) / SUMMED * SUMMED,
              width = rest < CHUNK ? rest : CHUNK;

    for (int i = (int)threadIdx.x; i < NT * COLUMNS * width; i += THREADS) {
        const int n = i / width, k = i - n * width;
        const bool there = column + n < written && first + k < read;
        const size_t o = (size_t)(BACKWARD ? first + k : column + n),
                     c = (size_t)(BACKWARD ? column + n : first + k);

        shared->weight[n][k] =
            there ? d.weight[(o * (size_t)d.inputs + c) * (size_t)taps + (size_t)tap] : 0.0f;
    }
}

/* acc of all the warp's tiles and columns. */
template <typename T, int TYPE, int NT, bool BACKWARD>
static __device__ inline void accumulate(const dense_call &call, int column,
                                         const dense_pixel (&pixels)[TILES][2], bool loaded,
                                         dense_shared<NT> *shared, float (&acc)[TILES][NT][4])
{
    const cuda_dense &d = call.d;
    const int read = BACKWARD ? d.outputs : d.inputs;
    const int taps = d.window.kernel_height * d.window.kernel_width;

    for (int tap = 0; tap < taps; tap++) {
        const int ky = tap / d.window.kernel_width, kx = tap % d.window.kernel_width;
        int at[TILES][2];

#pragma unroll
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                at[r][h] = met<BACKWARD>(d.window, pixels[r][h], ky, kx);
        for (int first = 0; first < read; first += CHUNK) {
            if (!loaded) {
                __syncthreads();
                load_weights<NT, BACKWARD>(d, column, first, tap, shared);
                __syncthreads();
            }
            for (int k = 0; k < CHUNK && first + k < read; k += SUMMED) {
                const dense_reader<T, BACKWARD> reader(call, first + k + 4 * slot());

#pragma unroll
                for (int r = 0; r < TILES; r++) {
                    float upper[4], lower[4];
                    left<TYPE> a;

                    reader(upper, at[r][0]);
                    reader(lower, at[r][1]);
                    a.set(upper, lower, &shared->stages[threadIdx.x / 32]);
#pragma unroll
                    for (int n = 0; n < NT; n++)
                        a.multiply(acc[r][n], &shared->weight[n * COLUMNS][k], CHUNK_STRIDE);
                }
            }
        }
    }
}

/* The moments of the lane's values in one column, TILES * 2 at most. */
template <typename T, int NT>
static __device__ inline cuda_moment moments_of(const float (&acc)[TILES][NT][4],
                                                const dense_pixel (&pixels)[TILES][2], int n, int j)
{
    cuda_moment m = {0.0f, 0.0f, 0.0f};

#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int h = 0; h < 2; h++)
            if (pixels[r][h].valid) {
                m.count += 1.0f;
                m.mean += kept<T>(acc[r][n][2 * h + j]);
            }
    if (m.count > 0.0f)
        m.mean = quotient(m.mean, m.count);
#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int h = 0; h < 2; h++)
            if (pixels[r][h].valid) {
                const float distance = kept<T>(acc[r][n][2 * h + j]) - m.mean;

                m.squares += distance * distance;
            }
    return m;
}

/* From the lanes' moments to the block's, and to coefficients where it is the last. */
template <int NT>
static __device__ inline void end_moments(const cuda_moments &out, cuda_moment (&lane)[NT][2],
                                          int column, dense_shared<NT> *shared)
{
    const int columns = out.channels - column < NT * COLUMNS ? out.channels - column : NT * COLUMNS;

#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            for (int step = 4; step < 32; step *= 2) {
                const cuda_moment other = {__shfl_xor_sync(~0u, lane[n][j].count, step),
                                           __shfl_xor_sync(~0u, lane[n][j].mean, step),
                                           __shfl_xor_sync(~0u, lane[n][j].squares, step)};

                merge(&lane[n][j], other);
            }
            if (quad() == 0)
                shared->moments[threadIdx.x / 32][n * COLUMNS + 2 * slot() + j] = lane[n][j];
        }
    __syncthreads();
    if ((int)threadIdx.x < columns) {
        cuda_moment sum = shared->moments[0][threadIdx.x];

        for (int w = 1; w < WARPS; w++)
            merge(&sum, shared->moments[w][threadIdx.x]);
        out.partial[(size_t)blockIdx.x * (size_t)out.channels + (size_t)column + threadIdx.x] = sum;
    }
    if (last_block(&out.counters[blockIdx.y], gridDim.x, &shared->ended))
        finish_moments(out, column, columns, (int)gridDim.x, shared->sums);
}

template <typename T, int NT>
static __device__ inline void write_z(const cuda_dense &d, int row, int column,
                                      const float (&acc)[NT][4], const dense_pixel (&pixels)[2])
{
#pragma unroll
    for (int h = 0; h < 2; h++)
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int j = 0; j < 2; j++) {
                const int channel = column + n * COLUMNS + 2 * slot() + j;

                if (pixels[h].valid && channel < d.outputs)
                    put(acc[n][2 * h + j], element<T>(d.z, row + 8 * h, channel));
            }
}

template <typename T, int NT>
static __device__ inline void write_dx(const cuda_dense &d, int row, int column,
                                       const float (&acc)[NT][4], const dense_pixel (&pixels)[2])
{
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const int channel = column + n * COLUMNS + 2 * slot() + j;

            if (channel >= d.inputs)
                continue;
            const channels_of_source<1> f(d.source, channel, d.inputs);

#pragma unroll
            for (int h = 0; h < 2; h++) {
                if (!pixels[h].valid)
                    continue;
                T *to = element<T>(d.dx, row + 8 * h, channel);
                float value = acc[n][2 * h + j];

                if (d.source.relu)
                    value = f.masked(
                        value, to_float(*element<const T>(d.source.x, row + 8 * h, channel)), 0);
                put(d.add_dx ? to_float(*to) + value : value, to);
            }
        }
}

template <typename T, int TYPE, int NT, bool BACKWARD>
__global__ void __launch_bounds__(THREADS, 1) dense(const dense_call call)
{
    const cuda_dense &d = call.d;
    const cuda_window &w = d.window;
    dense_shared<NT> *shared = shared_memory<dense_shared<NT>>();
    const int rows = w.images * (BACKWARD ? w.height * w.width : w.out_height * w.out_width);
    const int read = BACKWARD ? d.outputs : d.inputs, column = (int)blockIdx.y * NT * COLUMNS;
    const bool once = w.kernel_height * w.kernel_width == 1 && read <= CHUNK;
    cuda_moment lane[NT][2] = {};

    if (once) {
        load_weights<NT, BACKWARD>(d, column, 0, 0, shared);
        __syncthreads();
    }
    for (int tile = (int)blockIdx.x * BLOCK_ROWS; tile < rows;
         tile += (int)gridDim.x * BLOCK_ROWS) {
        const int first = tile + (int)threadIdx.x / 32 * TILES * ROWS + quad();
        dense_pixel pixels[TILES][2];
        float acc[TILES][NT][4] = {};

#pragma unroll
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                pixels[r][h] = find_pixel<BACKWARD>(w, first + r * ROWS + 8 * h);
        accumulate<T, TYPE, NT, BACKWARD>(call, column, pixels, once, shared, acc);
#pragma unroll
        for (int r = 0; r < TILES; r++) {
            if (BACKWARD)
                write_dx<T, NT>(d, first + r * ROWS, column, acc[r], pixels[r]);
            else
                write_z<T, NT>(d, first + r * ROWS, column, acc[r], pixels[r]);
        }
        if (!BACKWARD && d.moments.partial != nullptr)
#pragma unroll
            for (int n = 0; n < NT; n++)
#pragma unroll
                for (int j = 0; j < 2; j++)
                    merge(&lane[n][j], moments_of<T, NT>(acc, pixels, n, j));
    }
    if (!BACKWARD && d.moments.partial != nullptr)
        end_moments<NT>(d.moments, lane, column, shared);
}

/* ---- Launching ----------------------------------------------------------------------------- */

static int rows_of(const cuda_dense *call, bool backward)
{
    const cuda_window &w = call->window;

    return w.images * (backward ? w.height * w.width : w.out_height * w.out_width);
}

int seki_cuda_dense_blocks(const struct cuda_dense *call)
{
    return blocks_for(rows_of(call, false), BLOCK_ROWS);
}

template <typename T, int TYPE, int NT, bool BACKWARD>
static cudaError_t launch_columns(cudaStream_t stream, const dense_call &call)
{
    const int written = BACKWARD ? call.d.inputs : call.d.outputs;
    const unsigned blocks = (unsigned)blocks_for(rows_of(&call.d, BACKWARD), BLOCK_ROWS),
                   groups = (unsigned)((written + NT * COLUMNS - 1) / (NT * COLUMNS));

    return launch(stream, dense<T, TYPE, NT, BACKWARD>, dim3(blocks, groups),
                  sizeof(dense_shared<NT>), call);
}

/* Tiles of 8 columns of a block: as few as share out the columns evenly among groups of 64, and
 * fewer where there would be too few blocks for a card. It follows from the shapes alone. */
static int tiles_of(int written, int blocks)
{
    enum { ENOUGH = 128 };
    const int groups = (written + CUDA_GROUP - 1) / CUDA_GROUP;
    const int tiles = ((written + groups - 1) / groups + COLUMNS - 1) / COLUMNS;
    int nt = tiles <= 2 ? 2 : tiles <= 4 ? 4 : tiles <= 6 ? tiles : 8;

    while (nt > 2 && blocks * ((written + nt * COLUMNS - 1) / (nt * COLUMNS)) < ENOUGH)
        nt = nt > 4 ? 4 : 2;
    return nt;
}

template <typename T, int TYPE, bool BACKWARD>
static cudaError_t launch_typed(cudaStream_t stream, const cuda_dense *d)
{
    const int written = BACKWARD ? d->inputs : d->outputs;
    fitting f = {(int)sizeof(T), 0};
    dense_call call = {*d, false};

    if (BACKWARD) {
        fit(&f, d->outputs);
        fit(&f, d->gradient.dy);
        fit(&f, d->gradient.z);
    } else {
        fit(&f, d->inputs);
        fit(&f, d->source.x);
    }
    call.fours = fitting_width(f) >= 4;
    switch (tiles_of(written, blocks_for(rows_of(d, BACKWARD), BLOCK_ROWS))) {
    case 2:
        return launch_columns<T, TYPE, 2, BACKWARD>(stream, call);
    case 4:
        return launch_columns<T, TYPE, 4, BACKWARD>(stream, call);
    case 5:
        return launch_columns<T, TYPE, 5, BACKWARD>(stream, call);
    case 6:
        return launch_columns<T, TYPE, 6, BACKWARD>(stream, call);
    default:
        return launch_columns<T, TYPE, 8, BACKWARD>(stream, call);
    }
}

template <bool BACKWARD>
static cudaError_t launch_dense(cudaStream_t stream, enum cuda_type type, const cuda_dense *call)
{
    switch (type) {
    case CUDA_BF16:
        return launch_typed<bf16, CUDA_BF16, BACKWARD>(stream, call);
    case CUDA_TF32:
        return launch_typed<float, CUDA_TF32, BACKWARD>(stream, call);
    default:
        return launch_typed<float, CUDA_FP32, BACKWARD>(stream, call);
    }
}

cudaError_t seki_cuda_dense(cudaStream_t stream, enum cuda_type type, const struct cuda_dense *call)
{
    return launch_dense<false>(stream, type, call);
}

cudaError_t seki_cuda_dense_data(cudaStream_t stream, enum cuda_type type,
                                 const struct cuda_dense *call)
{
    return launch_dense<true>(stream, type, call);
}
