/*
 * dense.cu - convolutions over all channels: forward with the moments of what it gives, and the
 * gradient of what it read. A warp has 32 pixels of the result; the weights of a group of up to
 * 64 channels stand in shared memory, of all inputs and taps where there is room, else of some.
 */
#include "nn/cuda/dense_read.cuh"
#include "nn/cuda/dense_write.cuh"

enum { BLOCK_ROWS = WARPS * TILES * ROWS }; /* pixels of a block at a time */

template <int TYPE, int NT, int KIND> struct dense_shared {
    typename factor<TYPE>::type weight[NT * COLUMNS][chunk<TYPE, NT, KIND>::STRIDE];
    chunk_norm<chunk<TYPE, NT, KIND>::SIZE> norm;
    stage stages[WARPS];
    cuda_moment moments[WARPS][NT * COLUMNS];
    double sums[THREADS];
    unsigned ended;
};

/* ---- Products ------------------------------------------------------------------------------ */

/* acc += 16 inputs of all the warp's pixels times their weights. */
template <int TYPE, int NT, int KIND>
static __device__ inline void multiply(const four<TYPE> (&pixels)[TILES][2], int k,
                                       dense_shared<TYPE, NT, KIND> *shared,
                                       float (&acc)[TILES][NT][4])
{
    right<TYPE> weights[NT];

#pragma unroll
    for (int n = 0; n < NT; n++)
        weights[n].set(&shared->weight[n * COLUMNS][k], chunk<TYPE, NT, KIND>::STRIDE, 4);
#pragma unroll
    for (int r = 0; r < TILES; r++) {
        left<TYPE> a;

        a.set(pixels[r][0], pixels[r][1], &shared->stages[threadIdx.x / 32]);
#pragma unroll
        for (int n = 0; n < NT; n++)
            a.multiply(acc[r][n], weights[n]);
    }
}

/* What the inputs of a chunk are multiplied by, and what normalises them. */
template <int TYPE, int NT, bool BACKWARD, int KIND>
static __device__ inline void load_chunk(const cuda_dense &d, int column, int first, int tap,
                                         int taps, dense_shared<TYPE, NT, KIND> *shared)
{
    __syncthreads();
    load_weights<TYPE, NT, BACKWARD, KIND>(d, column, first, tap, taps, shared->weight);
    if (BACKWARD && d.gradient.coefficients != nullptr)
        load_norm(d.gradient.coefficients, d.gradient.means, first, d.outputs, &shared->norm);
    if (!BACKWARD && d.source.coefficients != nullptr)
        load_norm(d.source.coefficients, nullptr, first, d.inputs, &shared->norm);
    __syncthreads();
}

/* What is multiplied. */
template <typename T, int KIND>
static __device__ inline const cuda_source &operand(const cuda_dense &d,
                                                    const dense_pixels<T, false, KIND> &)
{
    return d.source;
}

template <typename T, int KIND>
static __device__ inline const cuda_gradient &operand(const cuda_dense &d,
                                                      const dense_pixels<T, true, KIND> &)
{
    return d.gradient;
}

/* Times 16 inputs that are read before the first of them is used: as many as there are registers
 * for. */
template <typename T, int NT, bool BACKWARD, int KIND> struct ahead_of_use {
    enum {
        MOST = (BACKWARD ? 4 : 8) / (int)sizeof(T),
        STEPS = KIND == SINGLES || (KIND == FOURS && BACKWARD) ? 1
                : KIND == FOURS && MOST > 2                    ? 2
                                                               : MOST,
    };
};

/* Inputs of a tap in shared memory, and whether all taps' find room there. */
static __device__ inline int in_sixteens(int inputs)
{
    return (inputs + SUMMED - 1) / SUMMED * SUMMED;
}

template <int TYPE, int NT, int KIND> static __device__ inline bool finds_room(int taps, int inputs)
{
    return taps * in_sixteens(inputs) <= chunk<TYPE, NT, KIND>::SIZE;
}

/* acc of all the warp's tiles and columns. */
template <typename T, int TYPE, int NT, bool BACKWARD, int KIND>
static __device__ inline void
accumulate(const dense_call &call, int column, const dense_pixel (&pixels)[TILES][2],
           const float (&keep)[TILES][2], bool loaded, dense_shared<TYPE, NT, KIND> *shared,
           float (&acc)[TILES][NT][4])
{
    enum {
        STEPS = ahead_of_use<T, NT, BACKWARD, KIND>::STEPS,
        CHUNK = chunk<TYPE, NT, KIND>::SIZE
    };
    const cuda_dense &d = call.d;
    const int read = BACKWARD ? d.outputs : d.inputs;
    const int taps = KIND == POINTWISE ? 1 : d.window.kernel_height * d.window.kernel_width;
    const bool with_z = d.gradient.coefficients != nullptr || d.gradient.relu;
    const bool together = finds_room<TYPE, NT, KIND>(taps, read);

    for (int tap = 0, ky = 0, kx = 0; tap < taps; tap++) {
        const dense_pixels<T, BACKWARD, KIND> met(call, pixels, ky, kx);
        const int place = together ? tap * in_sixteens(read) : 0;

        kx = kx + 1 < d.window.kernel_width ? kx + 1 : 0;
        ky += kx == 0;

        for (int first = 0; first < read; first += CHUNK) {
            const int width = read - first < CHUNK ? read - first : CHUNK;
            dense_fours<T> ahead[STEPS];

#pragma unroll
            for (int s = 0; s < STEPS; s++)
                if (s * SUMMED < width)
                    met.read(&ahead[s], first + s * SUMMED, with_z);
            if (!loaded && (tap == 0 || !together))
                load_chunk<TYPE, NT, BACKWARD, KIND>(d, column, first, tap, together ? taps : 1,
                                                     shared);
            for (int k = 0; k < width; k += STEPS * SUMMED)
#pragma unroll
                for (int s = 0; s < STEPS; s++) {
                    const int here = k + s * SUMMED, next = here + STEPS * SUMMED;
                    four<TYPE> factors[TILES][2];

                    if (here >= width)
                        continue;
                    become<TYPE>(operand(d, met), shared->norm, here + 4 * slot(), met, keep,
                                 ahead[s], factors);
                    if (next < width)
                        met.read(&ahead[s], first + next, with_z);
                    multiply<TYPE, NT, KIND>(factors, place + here, shared, acc);
                }
        }
    }
}

/* From the lanes' moments to the block's, and to coefficients where it is the last. */
template <int TYPE, int NT, int KIND>
static __device__ inline void end_moments(const cuda_moments &out,
                                          const dense_moments<2 * NT> &lane, int column,
                                          dense_shared<TYPE, NT, KIND> *shared)
{
    const int columns = out.channels - column < NT * COLUMNS ? out.channels - column : NT * COLUMNS;

    warp_moments<NT>(lane, shared->moments[threadIdx.x / 32]);
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

/* ---- The kernel ---------------------------------------------------------------------------- */

/* Blocks that a multiprocessor has registers for. */
template <int TYPE, int NT, bool BACKWARD> struct blocks_at_once {
    enum { COUNT = TYPE == CUDA_BF16 && NT <= 4 ? (NT == 2 ? 4 : 3) - BACKWARD : 2 };
};

template <typename T, int TYPE, int NT, bool BACKWARD, int KIND>
__global__ void __launch_bounds__(THREADS, blocks_at_once<TYPE, NT, BACKWARD>::COUNT)
    dense(const dense_call call)
{
    begin_kernel();
    const cuda_dense &d = call.d;
    const cuda_window &w = d.window;
    dense_shared<TYPE, NT, KIND> *shared = shared_memory<dense_shared<TYPE, NT, KIND>>();
    const int read = BACKWARD ? d.outputs : d.inputs, column = (int)blockIdx.y * NT * COLUMNS;
    const bool once = finds_room<TYPE, NT, KIND>(w.kernel_height * w.kernel_width, read);
    bool loaded = false;
    dense_moments<2 *NT> lane = {};

    for (int tile = (int)blockIdx.x * BLOCK_ROWS; tile < w.images * call.plane.value;
         tile += (int)gridDim.x * BLOCK_ROWS) {
        const int first = tile + (int)threadIdx.x / 32 * TILES * ROWS + quad();
        dense_pixel pixels[TILES][2];
        float acc[TILES][NT][4] = {}, keep[TILES][2];

#pragma unroll
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const int p = first + r * ROWS + 8 * h;

                pixels[r][h] = find_pixel<BACKWARD, KIND>(call, p);
                keep[r][h] = 1.0f;
                if (BACKWARD && d.gradient.keep != nullptr && pixels[r][h].valid)
                    keep[r][h] = d.gradient.keep[p / call.plane];
            }
        accumulate<T, TYPE, NT, BACKWARD, KIND>(call, column, pixels, keep, loaded, shared, acc);
        loaded = once;
        if (BACKWARD)
            write_dx<KIND, T, NT>(d, first, column, acc, pixels);
        else
            write_z<KIND, T, NT>(d, first, column, acc, pixels);
        if (!BACKWARD && d.moments.partial != nullptr)
            add_moments<NT>(&lane, acc, pixels);
    }
    if (!BACKWARD && d.moments.partial != nullptr)
        end_moments<TYPE, NT, KIND>(d.moments, lane, column, shared);
}

/* ---- Launching ----------------------------------------------------------------------------- */

static int rows_of(const cuda_dense *call, bool backward)
{
    const cuda_window &w = call->window;

    return w.images * (backward ? w.height * w.width : w.out_height * w.out_width);
}

int seki_cuda_dense_blocks(const struct cuda_dense *call)
{
    return blocks_for(rows_of(call, false), BLOCK_ROWS,
                      is_pointwise(call->window) ? CUDA_BLOCKS : CUDA_MAX_BLOCKS);
}

/* A gradient leaves no moments to be summed, so there may be a block for all of its pixels; but
 * each has the weights of a window to read. */
static int blocks_of(const cuda_dense *call, bool backward)
{
    enum { MANY = 4096, WITH_WINDOW = 1024 };

    return backward ? blocks_for(rows_of(call, true), BLOCK_ROWS,
                                 is_pointwise(call->window) ? MANY : WITH_WINDOW)
                    : seki_cuda_dense_blocks(call);
}

template <typename T, int TYPE, int NT, bool BACKWARD, int KIND>
static cudaError_t launch_columns(const struct cuda_queue *queue, const dense_call &call)
{
    const int written = BACKWARD ? call.d.inputs : call.d.outputs;
    const unsigned blocks = (unsigned)blocks_of(&call.d, BACKWARD),
                   groups = (unsigned)((written + NT * COLUMNS - 1) / (NT * COLUMNS));

    return launch(queue, dense<T, TYPE, NT, BACKWARD, KIND>, dim3(blocks, groups),
                  sizeof(dense_shared<TYPE, NT, KIND>), call);
}

/* Tiles of 8 columns of a block, an even number up to `most`: as few as share out the columns
 * evenly, and fewer where there would be too few blocks for a card. It follows from the shapes
 * alone. */
static int tiles_of(int written, int blocks, int most)
{
    enum { ENOUGH = 128 };
    const int groups = (written + most * COLUMNS - 1) / (most * COLUMNS);
    const int tiles = ((written + groups - 1) / groups + COLUMNS - 1) / COLUMNS;
    int nt = (tiles + 1) / 2 * 2;

    while (nt > 2 && blocks * ((written + nt * COLUMNS - 1) / (nt * COLUMNS)) < ENOUGH)
        nt = nt > 4 ? 4 : 2;
    return nt;
}

/* As many as there are registers for. */
template <typename T> struct most_tiles {
    enum { COUNT = 16 / (int)sizeof(T) };
};

template <typename T, int TYPE, bool BACKWARD>
static cudaError_t launch_pointwise(const struct cuda_queue *queue, const dense_call &call,
                                    int tiles)
{
    enum { MOST = most_tiles<T>::COUNT };

    switch (tiles) {
    case 2:
        return launch_columns<T, TYPE, 2, BACKWARD, POINTWISE>(queue, call);
    case 4:
        return launch_columns<T, TYPE, 4, BACKWARD, POINTWISE>(queue, call);
    case 6:
        return launch_columns < T, TYPE, MOST < 6 ? MOST : 6, BACKWARD, POINTWISE > (queue, call);
    default:
        return launch_columns<T, TYPE, MOST, BACKWARD, POINTWISE>(queue, call);
    }
}

/* Whether channels may be read and written four at a time. */
template <typename T, bool BACKWARD> static bool has_fours(const cuda_dense *d)
{
    fitting f = {(int)sizeof(T), 0};

    fit(&f, d->inputs);
    fit(&f, d->outputs);
    fit(&f, d->source.x);
    if (BACKWARD) {
        fit(&f, d->gradient.dy);
        fit(&f, d->gradient.z);
        fit(&f, d->dx);
    } else {
        fit(&f, d->z);
    }
    return fitting_width(f) >= 4;
}

template <typename T, int TYPE, bool BACKWARD>
static cudaError_t launch_typed(const struct cuda_queue *queue, const cuda_dense *d)
{
    /* Exact products and a window's gradient leave no registers for more; a window's weights no
     * shared memory. */
    enum { WIDE = TYPE == CUDA_FP32 && BACKWARD ? 2 : 4 };
    const bool pointwise = is_pointwise(d->window) && (size_t)d->weight % 16 == 0;
    const int tiles = tiles_of(BACKWARD ? d->inputs : d->outputs, blocks_of(d, BACKWARD),
                               pointwise ? (int)most_tiles<T>::COUNT : (int)WIDE);
    const dense_call call = dense_call_of(d, BACKWARD);

    if (!has_fours<T, BACKWARD>(d)) /* such are few: of three colours, or of a small test */
        return launch_columns<T, TYPE, 2, BACKWARD, SINGLES>(queue, call);
    if (pointwise)
        return launch_pointwise<T, TYPE, BACKWARD>(queue, call, tiles);
    return tiles == 2 ? launch_columns<T, TYPE, 2, BACKWARD, FOURS>(queue, call)
                      : launch_columns<T, TYPE, WIDE, BACKWARD, FOURS>(queue, call);
}

template <bool BACKWARD>
static cudaError_t launch_dense(const struct cuda_queue *queue, enum cuda_type type,
                                const cuda_dense *call)
{
    switch (type) {
    case CUDA_BF16:
        return launch_typed<bf16, CUDA_BF16, BACKWARD>(queue, call);
    case CUDA_TF32:
        return launch_typed<float, CUDA_TF32, BACKWARD>(queue, call);
    default:
        return launch_typed<float, CUDA_FP32, BACKWARD>(queue, call);
    }
}

cudaError_t seki_cuda_dense(const struct cuda_queue *queue, enum cuda_type type,
                            const struct cuda_dense *call)
{
    return launch_dense<false>(queue, type, call);
}

cudaError_t seki_cuda_dense_data(const struct cuda_queue *queue, enum cuda_type type,
                                 const struct cuda_dense *call)
{
    return launch_dense<true>(queue, type, call);
}
