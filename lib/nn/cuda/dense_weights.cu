/*
 * dense_weights.cu - the gradient of a dense convolution's weights: for a tap, SIDE outputs and
 * SIDE inputs (16, or 32 where there are more), the sum over a share of the pixels. A warp has 16
 * pixels at a time and all SIDE x SIDE; the shares' sums are added by a kernel of its own.
 */
#include "nn/cuda/matrix.cuh"

/* Turned on the way into shared memory: what is summed over, the pixels, must be neighbours. */
template <int SIDE> struct weights_stage {
    float outputs[SIDE][STAGE];
    float inputs[SIDE][STAGE];
    stage left;
};

template <int SIDE> struct weights_shared {
    union {
        weights_stage<SIDE> stages[WARPS];
        float sums[WARPS][SIDE][SIDE + 1];
    };
};

struct weights_call {
    cuda_dense d;
    bool fours;
    int splits, share; /* shares of the pixels, pixels of one */
    int groups_out, groups_in;
};

/* Four channels of f(x) under a tap of output pixel p. */
template <typename T>
static __device__ inline void read_input(const weights_call &call, const channels_of_source<4> &f,
                                         int channel, int p, int ky, int kx, float (&to)[4])
{
    const cuda_window &w = call.d.window;
    const int plane = w.out_height * w.out_width, image = p / plane, rest = p - image * plane;
    const int y = rest / w.out_width * w.stride_height - w.padding_height + ky;
    const int x = rest % w.out_width * w.stride_width - w.padding_width + kx;

#pragma unroll
    for (int i = 0; i < 4; i++)
        to[i] = 0.0f;
    if (y < 0 || y >= w.height || x < 0 || x >= w.width)
        return;
    const int pixel = (image * w.height + y) * w.width + x;

#pragma unroll
    for (int i = 0; i < 4; i++)
        if (!call.fours && channel + i < call.d.inputs)
            to[i] = f(to_float(*element<const T>(call.d.source.x, pixel, channel + i)), i);
    if (!call.fours || channel >= call.d.inputs)
        return;
    load<4>(to, element<const T>(call.d.source.x, pixel, channel));
#pragma unroll
    for (int i = 0; i < 4; i++)
        to[i] = f(to[i], i);
}

/* Four channels of the gradient of output pixel p. */
template <typename T>
static __device__ inline void read_gradient(const weights_call &call,
                                            const channels_of_gradient<4> &f, int channel, int p,
                                            float (&to)[4])
{
    const cuda_gradient &g = call.d.gradient;
    const float keep = g.keep != nullptr ? g.keep[p / g.pixels] : 1.0f;
    float z[4] = {0.0f, 0.0f, 0.0f, 0.0f};

#pragma unroll
    for (int i = 0; i < 4; i++)
        to[i] = 0.0f;
    if (channel >= call.d.outputs)
        return;
    if (call.fours) {
        load<4>(to, element<const T>(g.dy, p, channel));
        if (f.reads_z())
            load<4>(z, element<const T>(g.z, p, channel));
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (channel + i >= call.d.outputs)
            continue;
        if (!call.fours) {
            to[i] = to_float(*element<const T>(g.dy, p, channel + i));
            if (f.reads_z())
                z[i] = to_float(*element<const T>(g.z, p, channel + i));
        }
        to[i] = f(keep * to[i], z[i], i);
    }
}

/* SIDE / 4 lanes read a pixel's channels, several pixels at a time. */
template <typename T, int SIDE>
static __device__ inline void fill(const weights_call &call, const channels_of_gradient<4> &g,
                                   const channels_of_source<4> &f, int out, int in, int first,
                                   int end, int ky, int kx, weights_stage<SIDE> *s)
{
    enum { LANES = SIDE / 4 };
    const int lane = (int)threadIdx.x % 32, channel = lane % LANES * 4;

    for (int i = lane / LANES; i < SUMMED; i += 32 / LANES) {
        float dz[4] = {0.0f, 0.0f, 0.0f, 0.0f}, a[4] = {0.0f, 0.0f, 0.0f, 0.0f};

        if (first + i < end) {
            read_gradient<T>(call, g, out + channel, first + i, dz);
            read_input<T>(call, f, in + channel, first + i, ky, kx, a);
        }
#pragma unroll
        for (int c = 0; c < 4; c++) {
            s->outputs[channel + c][i] = dz[c];
            s->inputs[channel + c][i] = a[c];
        }
    }
}

template <typename T, int TYPE, int SIDE>
__global__ void __launch_bounds__(THREADS, 1) dense_weights(const weights_call call)
{
    const cuda_dense &d = call.d;
    const cuda_window &w = d.window;
    weights_shared<SIDE> *shared = shared_memory<weights_shared<SIDE>>();
    const int warp = (int)threadIdx.x / 32, taps = w.kernel_height * w.kernel_width;
    const int in = (int)blockIdx.y % call.groups_in * SIDE,
              out = (int)blockIdx.y / call.groups_in % call.groups_out * SIDE,
              tap = (int)blockIdx.y / (call.groups_in * call.groups_out);
    const int ky = tap / w.kernel_width, kx = tap % w.kernel_width;
    const int rows = w.images * w.out_height * w.out_width;
    const int first = (int)blockIdx.x * call.share,
              end = rows - first < call.share ? rows : first + call.share;
    const int channel = (int)threadIdx.x % (SIDE / 4) * 4;
    const channels_of_gradient<4> g(d.gradient, out + channel, d.outputs);
    const channels_of_source<4> f(d.source, in + channel, d.inputs);
    weights_stage<SIDE> *s = &shared->stages[warp];
    float acc[SIDE / ROWS][SIDE / COLUMNS][4] = {};

    for (int p = first + warp * SUMMED; p < end; p += WARPS * SUMMED) {
        __syncwarp();
        fill<T, SIDE>(call, g, f, out, in, p, end, ky, kx, s);
        __syncwarp();
#pragma unroll
        for (int m = 0; m < SIDE / ROWS; m++) {
            float upper[4], lower[4];
            left<TYPE> a;

            load<4>(upper, &s->outputs[m * ROWS + quad()][4 * slot()]);
            load<4>(lower, &s->outputs[m * ROWS + quad() + 8][4 * slot()]);
            a.set(upper, lower, &s->left);
#pragma unroll
            for (int n = 0; n < SIDE / COLUMNS; n++)
                a.multiply(acc[m][n], s->inputs[n * COLUMNS], STAGE);
        }
    }
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

/* As many shares as give CUDA_MAX_BLOCKS blocks in all, of no fewer pixels than the warps take at a
 * time. */
int seki_cuda_dense_splits(const struct cuda_dense *call)
{
    const int tiles = sides(call, call->outputs) * sides(call, call->inputs) *
                      call->window.kernel_height * call->window.kernel_width;
    const int most = tiles < CUDA_MAX_BLOCKS ? CUDA_MAX_BLOCKS / tiles : 1;
    const int blocks = blocks_for(rows_of(call), WARPS * SUMMED);

    return blocks < most ? blocks : most;
}

template <typename T, int TYPE, int SIDE>
static cudaError_t launch_sums(cudaStream_t stream, const weights_call &call)
{
    const cuda_window &w = call.d.window;
    const unsigned tiles =
        (unsigned)(call.groups_out * call.groups_in * w.kernel_height * w.kernel_width);

    return launch(stream, dense_weights<T, TYPE, SIDE>, dim3((unsigned)call.splits, tiles),
                  sizeof(weights_shared<SIDE>), call);
}

template <typename T, int TYPE>
static cudaError_t launch_typed(cudaStream_t stream, const cuda_dense *d)
{
    const int taps = d->window.kernel_height * d->window.kernel_width;
    weights_call call = {
        *d, false, seki_cuda_dense_splits(d), 0, sides(d, d->outputs), sides(d, d->inputs)};
    const cuda_parts sum = {d->partial, d->dweight, call.splits, 1, d->outputs * d->inputs * taps};
    fitting f = {(int)sizeof(T), 0};

    fit(&f, d->inputs);
    fit(&f, d->outputs);
    fit(&f, d->source.x);
    fit(&f, d->gradient.dy);
    fit(&f, d->gradient.z);
    call.fours = fitting_width(f) >= 4;
    call.share = (rows_of(d) + call.splits - 1) / call.splits;
    const cudaError_t status = side_of(d) == 16 ? launch_sums<T, TYPE, 16>(stream, call)
                                                : launch_sums<T, TYPE, 32>(stream, call);

    if (status != cudaSuccess)
        return status;
    return seki_cuda_add_parts(stream, &sum);
}

cudaError_t seki_cuda_dense_weights(cudaStream_t stream, enum cuda_type type,
                                    const struct cuda_dense *call)
{
    switch (type) {
    case CUDA_BF16:
        return launch_typed<bf16, CUDA_BF16>(stream, call);
    case CUDA_TF32:
        return launch_typed<float, CUDA_TF32>(stream, call);
    default:
        return launch_typed<float, CUDA_FP32>(stream, call);
    }
}
