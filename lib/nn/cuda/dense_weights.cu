/*
 * dense_weights.cu - the gradient of a dense convolution's weights: for a tap, SIDE outputs and
 * SIDE inputs (16, or 32 where there are more), the sum over a share of the pixels. A warp has some
 * pixels at a time and all SIDE x SIDE; the shares' sums are added by a kernel of its own.
 */
#include "nn/cuda/dense_read.cuh"

/* A lane reads four channels of four pixels that follow each other, and turns them on the way into
 * shared memory: what is summed over, the pixels, must be neighbours. */
template <int SIDE> struct sharing_of_warp {
    enum { LANES = SIDE / 4, PIXELS = 32 / LANES * 4 };
};

template <int TYPE, int SIDE> struct weights_stage {
    enum { LINE = sharing_of_warp<SIDE>::PIXELS + 4 };
    typename factor<TYPE>::type outputs[SIDE][LINE], inputs[SIDE][LINE];
    stage left;
};

template <int TYPE, int SIDE> struct weights_shared {
    union {
        weights_stage<TYPE, SIDE> stages[WARPS];
        float sums[WARPS][SIDE][SIDE + 1];
    };
};

struct weights_call {
    dense_call dense;
    int splits, share; /* shares of the pixels, pixels of one */
    int groups_out, groups_in;
};

/* What a lane reads at a time, as it lies in memory. */
template <typename T> struct weights_fours {
    raw<4, T> dy[4], z[4], x[4];
    float keep[4];
    bool there[4], inside[4]; /* of the result; under the tap */
};

/* Where a lane reads. */
struct weights_place {
    int output, input; /* its first channels */
    int ky, kx;
    int end; /* of its block's pixels */
};

template <typename T, int KIND>
static __device__ inline void read_fours(const dense_call &call, const weights_place &at, int first,
                                         weights_fours<T> *fours)
{
    const cuda_dense &d = call.d;
    const cuda_gradient &g = d.gradient;

#pragma unroll
    for (int j = 0; j < 4; j++) {
        const int p = first + j, last = p < at.end ? p : 0;
        const dense_pixel pixel = find_pixel<false, KIND>(call, last);
        const int under = met<false, KIND>(d.window, pixel, at.ky, at.kx);

        fours->there[j] = p < at.end;
        fours->inside[j] = p < at.end && under >= 0;
        fours->dy[j] = read_four<KIND>(element<const T>(g.dy, last, at.output),
                                       fours->there[j] ? d.outputs - at.output : 0);
        fours->x[j] = read_four<KIND>(element<const T>(d.source.x, under < 0 ? 0 : under, at.input),
                                      fours->inside[j] ? d.inputs - at.input : 0);
    }
    if (g.coefficients != nullptr || g.relu)
#pragma unroll
        for (int j = 0; j < 4; j++)
            fours->z[j] =
                read_four<KIND>(element<const T>(g.z, fours->there[j] ? first + j : 0, at.output),
                                fours->there[j] ? d.outputs - at.output : 0);
    if (g.keep != nullptr)
#pragma unroll
        for (int j = 0; j < 4; j++)
            fours->keep[j] = g.keep[(fours->there[j] ? first + j : 0) / call.plane];
}

/* value[i][j]: channel i of the lane's pixel j. */
template <int TYPE, int LINE>
static __device__ inline void put_four(const float (&value)[4][4], int channel, int pixel,
                                       typename factor<TYPE>::type (*to)[LINE])
{
#pragma unroll
    for (int i = 0; i < 4; i++)
        write<4>(&to[channel + i][pixel], four_of<TYPE>(value[i]));
}

template <int TYPE, int SIDE, typename T>
static __device__ inline void
put_fours(const weights_fours<T> &fours, const channels_of_gradient<4> &g, bool with_keep,
          const channels_of_source<4> &f, weights_stage<TYPE, SIDE> *s)
{
    enum { LANES = sharing_of_warp<SIDE>::LANES };
    const int lane = (int)threadIdx.x % 32, channel = lane % LANES * 4, pixel = lane / LANES * 4;
    float value[4][4];

#pragma unroll
    for (int j = 0; j < 4; j++) {
        float dy[4], z[4];

        spread<4>(dy, fours.dy[j]);
        spread<4>(z, fours.z[j]);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float dz = g(with_keep ? fours.keep[j] * dy[i] : dy[i], z[i], i);

            value[i][j] = fours.there[j] ? dz : 0.0f;
        }
    }
    put_four<TYPE>(value, channel, pixel, s->outputs);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        float x[4];

        spread<4>(x, fours.x[j]);
#pragma unroll
        for (int i = 0; i < 4; i++)
            value[i][j] = fours.inside[j] ? f(x[i], i) : 0.0f;
    }
    put_four<TYPE>(value, channel, pixel, s->inputs);
}

/* acc += the products of what is in shared memory. */
template <int TYPE, int SIDE>
static __device__ inline void multiply(weights_stage<TYPE, SIDE> *s,
                                       float (&acc)[SIDE / ROWS][SIDE / COLUMNS][4])
{
    enum { LINE = weights_stage<TYPE, SIDE>::LINE, PIXELS = sharing_of_warp<SIDE>::PIXELS };

#pragma unroll
    for (int k = 0; k < PIXELS; k += SUMMED)
#pragma unroll
        for (int m = 0; m < SIDE / ROWS; m++) {
            left<TYPE> a;

            a.set(read<4>(&s->outputs[m * ROWS + quad()][k + 4 * slot()]),
                  read<4>(&s->outputs[m * ROWS + quad() + 8][k + 4 * slot()]), &s->left);
#pragma unroll
            for (int n = 0; n < SIDE / COLUMNS; n++) {
                right<TYPE> b;

                b.set(&s->inputs[n * COLUMNS][k], LINE);
                a.multiply(acc[m][n], b);
            }
        }
}

/* The sum of the warps' products, into the block's part. */
template <int TYPE, int SIDE>
static __device__ inline void write_part(const cuda_dense &d, int out, int in, int tap,
                                         const float (&acc)[SIDE / ROWS][SIDE / COLUMNS][4],
                                         weights_shared<TYPE, SIDE> *shared)
{
    const int warp = (int)threadIdx.x / 32, taps = d.window.kernel_height * d.window.kernel_width;

    __syncthreads();
#pragma unroll
    for (int m = 0; m < SIDE / ROWS; m++)
#pragma unroll
        for (int n = 0; n < SIDE / COLUMNS; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                shared
                    ->sums[warp][m * ROWS + quad() + i / 2 * 8][n * COLUMNS + 2 * slot() + i % 2] =
                    acc[m][n][i];
    __syncthreads();
#pragma unroll
    for (int i = (int)threadIdx.x; i < SIDE * SIDE; i += THREADS) {
        const int o = i / SIDE, c = i % SIDE;
        float sum = 0.0f;

        if (out + o >= d.outputs || in + c >= d.inputs)
            continue;
        for (int v = 0; v < WARPS; v++)
            sum += shared->sums[v][o][c];
        d.partial[(((size_t)blockIdx.x * (size_t)d.outputs + (size_t)(out + o)) * (size_t)d.inputs +
                   (size_t)(in + c)) *
                      (size_t)taps +
                  (size_t)tap] = sum;
    }
}

template <typename T, int TYPE, int SIDE, int KIND>
__global__ void __launch_bounds__(THREADS, TYPE == CUDA_BF16 ? 3 : 2)
    dense_weights(const weights_call call)
{
    begin_kernel();
    enum { LANES = sharing_of_warp<SIDE>::LANES, PIXELS = sharing_of_warp<SIDE>::PIXELS };
    const cuda_dense &d = call.dense.d;
    const cuda_window &w = d.window;
    weights_shared<TYPE, SIDE> *shared = shared_memory<weights_shared<TYPE, SIDE>>();
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int in = (int)blockIdx.y % call.groups_in * SIDE,
              out = (int)blockIdx.y / call.groups_in % call.groups_out * SIDE,
              tap = (int)blockIdx.y / (call.groups_in * call.groups_out);
    const int rows = w.images * call.dense.plane.value, first = (int)blockIdx.x * call.share,
              end = rows - first < call.share ? rows : first + call.share;
    const int channel = lane % LANES * 4;
    const weights_place at = {out + channel, in + channel, tap / w.kernel_width,
                              tap % w.kernel_width, end};
    const channels_of_gradient<4> g(d.gradient, out + channel, d.outputs);
    const channels_of_source<4> f(d.source, in + channel, d.inputs);
    weights_stage<TYPE, SIDE> *s = &shared->stages[warp];
    float acc[SIDE / ROWS][SIDE / COLUMNS][4] = {};
    int p = first + warp * PIXELS;
    weights_fours<T> ahead = {};

    read_fours<T, KIND>(call.dense, at, p + lane / LANES * 4, &ahead);
    for (; p < end; p += WARPS * PIXELS) {
        __syncwarp();
        put_fours<TYPE, SIDE>(ahead, g, d.gradient.keep != nullptr, f, s);
        __syncwarp();
        read_fours<T, KIND>(call.dense, at, p + WARPS * PIXELS + lane / LANES * 4, &ahead);
        multiply<TYPE, SIDE>(s, acc);
    }
    write_part<TYPE, SIDE>(d, out, in, tap, acc, shared);
}

/* ---- Launching ----------------------------------------------------------------------------- */

static int side_of(const cuda_dense *call)
{
    return call->outputs <= 16 && call->inputs <= 16 ? 16 : 32;
}

static int sides(const cuda_dense *call, int channels)
{
    return (channels + side_of(call) - 1) / side_of(call);
}

static int rows_of(const cuda_dense *call)
{
    return call->window.images * call->window.out_height * call->window.out_width;
}

/* As many shares as give FEW blocks in all, of no fewer pixels than the warps take at a time; up to
 * MANY, of no fewer than four times as many: what a block leaves is written and read once more. */
int seki_cuda_dense_splits(const struct cuda_dense *call)
{
    enum { FEW = 256, MANY = 1024, PIXELS = WARPS * SUMMED };
    const int tiles = sides(call, call->outputs) * sides(call, call->inputs) *
                      call->window.kernel_height * call->window.kernel_width;
    const int rows = rows_of(call);
    const int few = blocks_for(rows, PIXELS, tiles < FEW ? FEW / tiles : 1),
              many = blocks_for(rows, 4 * PIXELS, tiles < MANY ? MANY / tiles : 1);

    return few < many ? many : few;
}

template <typename T, int TYPE, int SIDE, int KIND>
static cudaError_t launch_kind(const struct cuda_queue *queue, const weights_call &call)
{
    const cuda_window &w = call.dense.d.window;
    const unsigned tiles =
        (unsigned)(call.groups_out * call.groups_in * w.kernel_height * w.kernel_width);

    return launch(queue, dense_weights<T, TYPE, SIDE, KIND>, dim3((unsigned)call.splits, tiles),
                  sizeof(weights_shared<TYPE, SIDE>), call);
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

template <typename T, int TYPE, int SIDE>
static cudaError_t launch_sums(const struct cuda_queue *queue, const weights_call &call)
{
    const cuda_dense *d = &call.dense.d;

    if (!has_fours<T>(d))
        return launch_kind<T, TYPE, SIDE, SINGLES>(queue, call);
    return is_pointwise(d->window) ? launch_kind<T, TYPE, SIDE, POINTWISE>(queue, call)
                                   : launch_kind<T, TYPE, SIDE, FOURS>(queue, call);
}

template <typename T, int TYPE>
static cudaError_t launch_typed(const struct cuda_queue *queue, const cuda_dense *d)
{
    const int splits = seki_cuda_dense_splits(d);
    const weights_call call = {dense_call_of(d, false), splits, (rows_of(d) + splits - 1) / splits,
                               sides(d, d->outputs), sides(d, d->inputs)};

    return side_of(d) == 16 ? launch_sums<T, TYPE, 16>(queue, call)
                            : launch_sums<T, TYPE, 32>(queue, call);
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
