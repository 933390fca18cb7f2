/*
 * dense_weights.cu - the gradient of a dense convolution's weights: outputs times columns, a column
 * being an input under a tap, summed over a share of the pixels. A block turns each of its share's
 * gradients and inputs once, into shared memory, where what is summed over, the pixels, must be
 * neighbours; its warps share out the products. The shares' sums are added by a kernel of its own.
 */
#include "nn/cuda/dense_read.cuh"

/* Products of a block: DOWN of its warps below each other, the others beside these, each with M x N
 * products of 16 outputs and 8 columns. Pixels that are turned at a time, in fours. */
template <int DOWN_, int M_, int N_, int FOURS_> struct weights_tile {
    enum {
        DOWN = DOWN_,
        ACROSS = WARPS / DOWN,
        M = M_,
        N = N_,
        OUTPUTS = DOWN * M * ROWS,
        WIDTH = ACROSS * N * COLUMNS,
        PIXELS = FOURS_,
    };
};

/* Four pixels of a channel are neighbours; lanes that read neighbouring fours meet other banks. */
template <int TYPE, typename TILE> struct weights_shared {
    enum { OUTPUTS = TILE::OUTPUTS + 4, WIDTH = TILE::WIDTH + 4 };
    typename factor<TYPE>::type outputs[TILE::PIXELS][OUTPUTS][4];
    typename factor<TYPE>::type columns[TILE::PIXELS][WIDTH][4];
    stage left[WARPS];
};

struct weights_call {
    dense_call dense;
    divisor inputs;                      /* of a tap */
    int share;                           /* pixels of a block */
    int fours;                           /* of pixels, turned at a time */
    int outputs, columns, column_groups; /* outputs and columns of a block, in fours */
};

/* Where a thread stands among those that turn a row of channels: four channels, and every rows-th
 * four of pixels from `row` on. */
struct weights_place {
    int rows, row, channel; /* channel: of the block's */
    bool works;

    __device__ weights_place(int channels, int there, int fours)
        : rows(THREADS / (channels / 4)), row((int)threadIdx.x / (channels / 4)),
          channel((int)threadIdx.x % (channels / 4) * 4),
          works(row < rows && row < fours && channel < there)
    {
    }
};

/* Four pixels of four channels become four channels of four pixels. */
template <int TYPE>
static __device__ inline void turn(const raw<4, bf16> (&pixels)[4], raw<4, bf16> (&channels)[4])
{
#pragma unroll
    for (int two = 0; two < 2; two++) {
        unsigned words[4];

#pragma unroll
        for (int j = 0; j < 4; j++)
            words[j] = two == 0 ? pixels[j].bytes.x : pixels[j].bytes.y;
        channels[2 * two].bytes.x = (words[0] & 0xffffu) | words[1] << 16;
        channels[2 * two].bytes.y = (words[2] & 0xffffu) | words[3] << 16;
        channels[2 * two + 1].bytes.x = words[0] >> 16 | (words[1] & 0xffff0000u);
        channels[2 * two + 1].bytes.y = words[2] >> 16 | (words[3] & 0xffff0000u);
    }
}

template <int TYPE>
static __device__ inline void turn(const raw<4, float> (&pixels)[4], raw<4, float> (&channels)[4])
{
    float values[4][4];

#pragma unroll
    for (int j = 0; j < 4; j++)
        spread<4>(values[j], pixels[j]);
#pragma unroll
    for (int i = 0; i < 4; i++)
        channels[i] = gather<float>({values[0][i], values[1][i], values[2][i], values[3][i]});
}

/* ---- Gradients of what the convolution gave ------------------------------------------------- */

template <typename T> struct weights_gradients {
    raw<4, T> dy[4], z[4];
};

/* dz = gain * (g - offset - (z - mean) * slope). */
struct weights_norm {
    float mean[4], gain[4], offset[4], slope[4];

    __device__ weights_norm(const cuda_gradient &g, int channel, int channels)
    {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int at = channel + i < channels ? channel + i : 0;

            mean[i] = offset[i] = slope[i] = 0.0f;
            gain[i] = 1.0f;
            if (g.coefficients == nullptr || g.means == nullptr)
                continue;
            mean[i] = g.coefficients[at].mean;
            gain[i] = g.coefficients[at].factor;
            offset[i] = g.means[at].gradient;
            slope[i] = g.coefficients[at].inverse * g.means[at].product;
        }
    }
};

/* Pixels p .. p+3, and again the last one where there are no more. */
template <int KIND, typename T>
static __device__ inline void read_gradients(const cuda_dense &d, int channel, int p, int end,
                                             weights_gradients<T> *to)
{
    const pixels_of<const T> dy(d.gradient.dy, channel), z(d.gradient.z, channel);
    const int there = KIND == SINGLES ? d.outputs - channel : 4;

#pragma unroll
    for (int j = 0; j < 4; j++)
        to->dy[j] = read_four<KIND>(dy[p + j < end ? p + j : end - 1], there);
    if (d.gradient.coefficients != nullptr || d.gradient.relu)
#pragma unroll
        for (int j = 0; j < 4; j++)
            to->z[j] = read_four<KIND>(z[p + j < end ? p + j : end - 1], there);
}

/* What comes through the ReLU behind the BN, if there is a BN. */
static __device__ inline void mask(const cuda_gradient &g, int channel, int channels,
                                   const float (&z)[4], float (&dy)[4])
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int at = channel + i < channels ? channel + i : 0;
        const float value = g.coefficients != nullptr ? normalise(z[i], g.coefficients[at]) : z[i];

        dy[i] = value <= 0.0f ? 0.0f : dy[i];
    }
}

template <int TYPE, typename T>
static __device__ inline void
put_gradients(const weights_call &call, const weights_norm &norm, int channel, int p, int end,
              const weights_gradients<T> &from, typename factor<TYPE>::type (*to)[4])
{
    const cuda_dense &d = call.dense.d;
    float value[4][4], keep[4] = {1.0f, 1.0f, 1.0f, 1.0f};

    if (d.gradient.keep != nullptr)
#pragma unroll
        for (int j = 0; j < 4; j++)
            keep[j] = d.gradient.keep[(p + j < end ? p + j : end - 1) / call.dense.plane];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        float dy[4], z[4];

        spread<4>(dy, from.dy[j]);
        spread<4>(z, from.z[j]);
#pragma unroll
        for (int i = 0; i < 4; i++)
            dy[i] *= keep[j];
        if (d.gradient.relu)
            mask(d.gradient, channel, d.outputs, z, dy);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float dz =
                norm.gain[i] * (dy[i] - norm.offset[i] - (z[i] - norm.mean[i]) * norm.slope[i]);

            value[i][j] = p + j < end ? dz : 0.0f;
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        write<4>(to[i], four_of<TYPE>(value[i]));
}

/* ---- Inputs under the taps ------------------------------------------------------------------ */

/* Four columns: of a tap and four inputs, or SINGLES each by itself. */
template <int KIND> struct weights_columns {
    enum { EACH = KIND == SINGLES ? 4 : 1 };
    int ky[EACH], kx[EACH], input[EACH]; /* input -1: no column */

    __device__ weights_columns(const weights_call &call, int first)
    {
        const cuda_window &w = call.dense.d.window;

#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const int tap = (first + i) / call.inputs;

            ky[i] = tap / w.kernel_width;
            kx[i] = tap % w.kernel_width;
            input[i] = ky[i] < w.kernel_height ? first + i - tap * call.inputs.value : -1;
        }
    }
};

template <typename T> struct weights_inputs {
    raw<4, T> x[4];
    unsigned inside; /* bit 4 * j + i: pixel j lies under column i's tap */
};

/* A pixel of the result, and from it to the next one. */
struct weights_pixel {
    int image, y, x;

    __device__ weights_pixel(const dense_call &call, int p)
    {
        const int line = p / call.width;

        image = line / call.height;
        y = line - image * call.height.value;
        x = p - line * call.width.value;
    }

    __device__ void next(const dense_call &call)
    {
        const bool row = ++x == call.width.value;

        x = row ? 0 : x;
        y += row;
        const bool picture = y == call.height.value;

        y = picture ? 0 : y;
        image += picture;
    }
};

/* The input's pixel under a tap, or -1. */
static __device__ inline int under(const cuda_window &w, const weights_pixel &pixel, int ky, int kx)
{
    const int y = pixel.y * w.stride_height - w.padding_height + ky,
              x = pixel.x * w.stride_width - w.padding_width + kx;

    if (y < 0 || y >= w.height || x < 0 || x >= w.width)
        return -1;
    return (pixel.image * w.height + y) * w.width + x;
}

template <int KIND, typename T>
static __device__ inline void read_inputs(const dense_call &call,
                                          const weights_columns<KIND> &columns, int p, int end,
                                          weights_inputs<T> *to)
{
    const cuda_dense &d = call.d;
    const pixels_of<const T> x(d.source.x, KIND == SINGLES ? 0 : columns.input[0]);

    to->inside = 0xffffu;
    if (KIND == POINTWISE) {
#pragma unroll
        for (int j = 0; j < 4; j++)
            to->x[j] = read<4>(x[p + j < end ? p + j : end - 1]);
        return;
    }
    weights_pixel pixel(call, p < end ? p : end - 1);

    to->inside = 0;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        T values[4] = {};

#pragma unroll
        for (int i = 0; i < weights_columns<KIND>::EACH; i++) {
            const int at = p + j < end && columns.input[i] >= 0
                               ? under(d.window, pixel, columns.ky[i], columns.kx[i])
                               : -1;

            to->inside |= (at < 0 ? 0u : KIND == SINGLES ? 1u : 0xfu) << (4 * j + i);
            if (KIND == SINGLES && at >= 0)
                values[i] = x[at][columns.input[i]];
            if (KIND == FOURS)
                to->x[j] = read_four<KIND>(x[at < 0 ? 0 : at], at < 0 ? 0 : 4);
        }
        if (KIND == SINGLES)
            memcpy(&to->x[j].bytes, values, sizeof(values));
        pixel.next(call);
    }
}

/* f(x) of a pixel where there is a BN; outside of the picture is 0. */
template <int TYPE, int KIND, typename T>
static __device__ inline four<TYPE> normalised(const cuda_source &source,
                                               const weights_columns<KIND> &columns,
                                               const raw<4, T> &from, unsigned inside)
{
    float value[4];

    spread<4>(value, from);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int input =
            KIND == SINGLES ? columns.input[i % weights_columns<KIND>::EACH] : columns.input[0] + i;
        const float f = normalise(value[i], source.coefficients[input < 0 ? 0 : input]);

        value[i] = (inside >> i & 1u) == 0 ? 0.0f : source.relu ? rectify(f) : f;
    }
    return four_of<TYPE>(value);
}

template <int TYPE, int KIND, typename T>
static __device__ inline void
put_inputs(const cuda_source &source, const weights_columns<KIND> &columns,
           const weights_inputs<T> &from, typename factor<TYPE>::type (*to)[4])
{
    four<TYPE> pixels[4], turned[4];

#pragma unroll
    for (int j = 0; j < 4; j++)
        pixels[j] = source.coefficients == nullptr
                        ? rectified<TYPE>(from.x[j], source.relu)
                        : normalised<TYPE>(source, columns, from.x[j], from.inside >> 4 * j);
    turn<TYPE>(pixels, turned);
#pragma unroll
    for (int i = 0; i < 4; i++)
        write<4>(to[i], turned[i]);
}

/* ---- Products ------------------------------------------------------------------------------- */

/* The last few fours of pixels of 16, where there are fewer: 0 from the beginning on. */
template <int TYPE, typename TILE>
static __device__ inline void clear_rest(int fours, weights_shared<TYPE, TILE> *s)
{
    enum {
        OUTPUTS = weights_shared<TYPE, TILE>::OUTPUTS,
        WIDTH = weights_shared<TYPE, TILE>::WIDTH
    };
    const four<TYPE> nothing = {};

    for (int k = fours; k < TILE::PIXELS && k % 4 != 0; k++) {
        for (int i = (int)threadIdx.x; i < OUTPUTS; i += THREADS)
            write<4>(s->outputs[k][i], nothing);
        for (int i = (int)threadIdx.x; i < WIDTH; i += THREADS)
            write<4>(s->columns[k][i], nothing);
    }
}

/* acc += the products of what is in shared memory. */
template <int TYPE, typename TILE>
static __device__ inline void multiply(const weights_call &call, weights_shared<TYPE, TILE> *s,
                                       float (&acc)[TILE::M][TILE::N][4])
{
    enum { WIDTH = weights_shared<TYPE, TILE>::WIDTH };
    const int warp = (int)threadIdx.x / 32, down = warp / TILE::ACROSS,
              across = warp % TILE::ACROSS;

#pragma unroll 2
    for (int k = 0; k < call.fours; k += 4) {
        right<TYPE> b[TILE::N] = {};

#pragma unroll
        for (int n = 0; n < TILE::N; n++) {
            const int column = (across + n * TILE::ACROSS) * COLUMNS;

            b[n].set(s->columns[k][column], 4, 4 * WIDTH);
        }
#pragma unroll
        for (int m = 0; m < TILE::M; m++) {
            const int output = (down + m * TILE::DOWN) * ROWS;
            left<TYPE> a;

            a.set(read<4>(s->outputs[k + slot()][output + quad()]),
                  read<4>(s->outputs[k + slot()][output + quad() + 8]), &s->left[warp]);
#pragma unroll
            for (int n = 0; n < TILE::N; n++)
                a.multiply(acc[m][n], b[n]);
        }
    }
}

/* The block's part. */
template <typename TILE>
static __device__ inline void write_part(const weights_call &call, int out, int column,
                                         const float (&acc)[TILE::M][TILE::N][4])
{
    const cuda_dense &d = call.dense.d;
    const int warp = (int)threadIdx.x / 32, taps = d.window.kernel_height * d.window.kernel_width;
    float *part = d.partial + (size_t)blockIdx.x * (size_t)(d.outputs * d.inputs * taps);

#pragma unroll
    for (int n = 0; n < TILE::N; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int c = (warp % TILE::ACROSS + n * TILE::ACROSS) * COLUMNS + 2 * slot() + i,
                      tap = (column + c) / call.inputs,
                      input = column + c - tap * call.inputs.value;

            if (c >= call.columns || tap >= taps)
                continue;
#pragma unroll
            for (int m = 0; m < TILE::M; m++)
#pragma unroll
                for (int h = 0; h < 2; h++) {
                    const int o = (warp / TILE::ACROSS + m * TILE::DOWN) * ROWS + quad() + 8 * h;

                    if (o < call.outputs && out + o < d.outputs)
                        part[((out + o) * d.inputs + input) * taps + tap] = acc[m][n][2 * h + i];
                }
        }
}

/* What a thread turns first of the pixels from p on: it is under way while those before are
 * multiplied. */
template <int KIND, typename T>
static __device__ inline void
read_first(const weights_call &call, const weights_place &o, const weights_place &c,
           const weights_columns<KIND> &columns, int out, int p, int end,
           weights_gradients<T> *gradients, weights_inputs<T> *inputs)
{
    if (p >= end)
        return;
    if (o.works)
        read_gradients<KIND>(call.dense.d, out + o.channel, p + 4 * o.row, end, gradients);
    if (c.works)
        read_inputs<KIND>(call.dense, columns, p + 4 * c.row, end, inputs);
}

template <typename T, int TYPE, typename TILE, int KIND>
__global__ void __launch_bounds__(THREADS, sizeof(T) == 2 && TILE::M < 3 ? 3 : 2)
    dense_weights(const weights_call call)
{
    begin_kernel();
    const cuda_dense &d = call.dense.d;
    const cuda_window &w = d.window;
    weights_shared<TYPE, TILE> *s = shared_memory<weights_shared<TYPE, TILE>>();
    const int out = (int)blockIdx.y / call.column_groups * call.outputs,
              column = (int)blockIdx.y % call.column_groups * call.columns;
    const int rows = w.images * call.dense.plane.value, first = (int)blockIdx.x * call.share,
              end = rows - first < call.share ? rows : first + call.share;
    const weights_place o(call.outputs, d.outputs - out, call.fours),
        c(call.columns, d.inputs * w.kernel_height * w.kernel_width - column, call.fours);
    const weights_norm norm(d.gradient, out + o.channel, d.outputs);
    const weights_columns<KIND> columns(call, column + c.channel);
    float acc[TILE::M][TILE::N][4] = {};
    weights_gradients<T> gradients = {};
    weights_inputs<T> inputs = {};

    clear_rest(call.fours, s);
    read_first<KIND>(call, o, c, columns, out, first, end, &gradients, &inputs);
    for (int p = first; p < end; p += 4 * call.fours) {
        __syncthreads();
        for (int k = o.row; k < call.fours && o.works; k += o.rows) {
            if (k != o.row)
                read_gradients<KIND>(d, out + o.channel, p + 4 * k, end, &gradients);
            put_gradients<TYPE>(call, norm, out + o.channel, p + 4 * k, end, gradients,
                                &s->outputs[k][o.channel]);
        }
        for (int k = c.row; k < call.fours && c.works; k += c.rows) {
            if (k != c.row)
                read_inputs<KIND>(call.dense, columns, p + 4 * k, end, &inputs);
            put_inputs<TYPE>(d.source, columns, inputs, &s->columns[k][c.channel]);
        }
        __syncthreads();
        read_first<KIND>(call, o, c, columns, out, p + 4 * call.fours, end, &gradients, &inputs);
        multiply<TYPE, TILE>(call, s, acc);
    }
    write_part<TILE>(call, out, column, acc);
}

/* ---- Launching ----------------------------------------------------------------------------- */

/* How outputs and columns are shared out among blocks: as evenly as tiles of OUTPUTS x COLUMNS
 * allow. */
struct weights_groups {
    int output_groups, column_groups, outputs, columns; /* of a block, in fours */
};

static int even_share(int count, int groups)
{
    return ((count + groups - 1) / groups + 3) / 4 * 4;
}

static weights_groups groups_of(const cuda_dense *d, int most_outputs, int most_columns)
{
    const int columns = d->inputs * d->window.kernel_height * d->window.kernel_width;
    weights_groups g;

    g.output_groups = (d->outputs + most_outputs - 1) / most_outputs;
    g.column_groups = (columns + most_columns - 1) / most_columns;
    g.outputs = even_share(d->outputs, g.output_groups);
    g.columns = even_share(columns, g.column_groups);
    return g;
}

/* Tiles of few outputs and few columns, of few outputs, and of more. */
template <int FOURS_> using small_tile = weights_tile<1, 1, 1, FOURS_>;
template <int FOURS_> using wide_tile = weights_tile<1, 1, 5, FOURS_>;
template <int FOURS_> using tile_of_32 = weights_tile<2, 1, 5, FOURS_>;
template <int FOURS_> using tile_of_64 = weights_tile<2, 2, 5, FOURS_>;
template <int FOURS_> using tile_of_96 = weights_tile<2, 3, 5, FOURS_>;

/* Of what they are called for, so that the caller knows how many leave parts: whatever tiles work
 * on them. */
static int tiles_at_best(const cuda_dense *d)
{
    const weights_groups g = d->outputs <= 16 ? groups_of(d, 16, 160) : groups_of(d, 96, 80);

    return g.output_groups * g.column_groups;
}

static int rows_of(const cuda_dense *call)
{
    return call->window.images * call->window.out_height * call->window.out_width;
}

/* As many shares as give FEW blocks in all, of no fewer pixels than are turned at a time; where
 * tiles are small, of which a multiprocessor has room for more, up to MANY, of no fewer than twice
 * as many: what a block leaves is written and read once more. */
int seki_cuda_dense_splits(const struct cuda_dense *call)
{
    enum { FEW = 256, MANY = 384, PIXELS = 64, SMALL = 64 };
    const int tiles = tiles_at_best(call), rows = rows_of(call);
    const int few = blocks_for(rows, PIXELS, tiles < FEW ? FEW / tiles : 1),
              many = blocks_for(rows, 2 * PIXELS, tiles < MANY ? MANY / tiles : 1);

    return call->outputs > SMALL || few > many ? few : many;
}

template <typename T, int TYPE, typename TILE, int KIND>
static cudaError_t launch_tile(const struct cuda_queue *queue, const cuda_dense *d)
{
    const int splits = seki_cuda_dense_splits(d);
    const weights_groups g = groups_of(d, TILE::OUTPUTS, TILE::WIDTH);
    weights_call call = {dense_call_of(d, false),
                         divisor_of(d->inputs),
                         (rows_of(d) + splits - 1) / splits,
                         TILE::PIXELS,
                         g.outputs,
                         g.columns,
                         g.column_groups};
    const int threads = THREADS / (g.outputs / 4); /* of four outputs */

    if (threads < TILE::PIXELS)
        call.fours = TILE::PIXELS / threads * threads;
    return launch(queue, dense_weights<T, TYPE, TILE, KIND>,
                  dim3((unsigned)splits, (unsigned)(g.output_groups * g.column_groups)),
                  sizeof(weights_shared<TYPE, TILE>), call);
}

/* Floats leave no room for the larger tiles, and single channels are few. */
template <typename T, int TYPE, int KIND>
static cudaError_t launch_kind(const struct cuda_queue *queue, const cuda_dense *d)
{
    enum { PIXELS = 32 / (int)sizeof(T) }; /* in fours */
    const int columns = d->inputs * d->window.kernel_height * d->window.kernel_width;

    if (d->outputs <= 16 && columns <= 32)
        return launch_tile<T, TYPE, small_tile<2 * PIXELS>, KIND>(queue, d);
    if constexpr (sizeof(T) == 2 && KIND != SINGLES) {
        if (d->outputs <= 16)
            return launch_tile<T, TYPE, wide_tile<PIXELS>, KIND>(queue, d);
        if (d->outputs > 64)
            return launch_tile<T, TYPE, tile_of_96<PIXELS>, KIND>(queue, d);
        if (d->outputs > 32)
            return launch_tile<T, TYPE, tile_of_64<PIXELS>, KIND>(queue, d);
    }
    return launch_tile<T, TYPE, tile_of_32<PIXELS>, KIND>(queue, d);
}

/* Whether channels may be read four at a time. */
template <typename T> static bool has_fours(const cuda_dense *d)
{
    fitting f = {(int)sizeof(T), 0};

    fit(&f, d->inputs);
    fit(&f, d->outputs);
    fit(&f, d->source.x);
    fit(&f, d->gradient.dy);
    fit(&f, d->gradient.z);
    return fitting_width(f) >= 4;
}

template <typename T, int TYPE>
static cudaError_t launch_typed(const struct cuda_queue *queue, const cuda_dense *d)
{
    if (!has_fours<T>(d))
        return launch_kind<T, TYPE, SINGLES>(queue, d);
    return is_pointwise(d->window) ? launch_kind<T, TYPE, POINTWISE>(queue, d)
                                   : launch_kind<T, TYPE, FOURS>(queue, d);
}

struct cuda_parts seki_cuda_dense_parts(const struct cuda_dense *call)
{
    const int taps = call->window.kernel_height * call->window.kernel_width;

    return {call->partial, call->dweight, seki_cuda_dense_splits(call), 1,
            call->outputs * call->inputs * taps};
}

cudaError_t seki_cuda_dense_weights(const struct cuda_queue *queue, enum cuda_type type,
                                    const struct cuda_dense *call)
{
    switch (type) {
    case CUDA_BF16:
        return launch_typed<bf16, CUDA_BF16>(queue, call);
    case CUDA_TF32:
        return launch_typed<float, CUDA_TF32>(queue, call);
    default:
        return launch_typed<float, CUDA_FP32>(queue, call);
    }
}
