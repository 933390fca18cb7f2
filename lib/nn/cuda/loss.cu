/*
 * loss.cu - cross entropy of a softmax, and the optimiser's step: what is done to logits and to
 * plain arrays.
 */
#include "nn/cuda/device.cuh"

/* ---- Loss ---------------------------------------------------------------------------------- */

struct loss_shared {
    double loss[THREADS];
    int correct[THREADS], wrong[THREADS];
};

/* Of equals the first; NaN above all. */
static __device__ inline int largest(const float *values, int count)
{
    int best = 0;

    for (int i = 1; i < count && values[best] == values[best]; i++)
        if (values[i] > values[best] || values[i] != values[i])
            best = i;
    return best;
}

static __device__ inline void image_loss(const cuda_loss &call, int image, loss_shared *sums)
{
    const float *values = element<const float>(call.logits, image, 0);
    const int label = call.labels[image], best = largest(values, call.classes);
    double sum = 0.0;

    if (label < 0 || label >= call.classes) {
        if (sums->wrong[threadIdx.x] < 0)
            sums->wrong[threadIdx.x] = image;
        return;
    }
    for (int k = 0; k < call.classes; k++)
        sum += exp((double)values[k] - (double)values[best]);
    sums->loss[threadIdx.x] += (double)values[best] + log(sum) - (double)values[label];
    sums->correct[threadIdx.x] += best == label;
    for (int k = 0; k < call.classes && call.dlogits.data != nullptr; k++) {
        const double softmax = exp((double)values[k] - (double)values[best]) / sum;

        *element<float>(call.dlogits, image, k) =
            (float)((softmax - (k == label)) * (double)call.weight / call.images);
    }
}

/* One block: a batch has a few thousand logits. */
__global__ void __launch_bounds__(THREADS) loss(const cuda_loss call)
{
    loss_shared *sums = shared_memory<loss_shared>();

    sums->loss[threadIdx.x] = 0.0;
    sums->correct[threadIdx.x] = 0;
    sums->wrong[threadIdx.x] = -1;
    for (int image = (int)threadIdx.x; image < call.images; image += THREADS)
        image_loss(call, image, sums);
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    cuda_loss_result result = {0.0, 0, -1};

    for (int t = 0; t < THREADS; t++) {
        result.loss += sums->loss[t];
        result.correct += sums->correct[t];
        if (sums->wrong[t] >= 0 && (result.wrong_label < 0 || sums->wrong[t] < result.wrong_label))
            result.wrong_label = sums->wrong[t];
    }
    *call.result = result;
}

cudaError_t seki_cuda_loss(cudaStream_t stream, const struct cuda_loss *call)
{
    return launch(stream, loss, dim3(1), sizeof(loss_shared), *call);
}

/* ---- Arrays -------------------------------------------------------------------------------- */

struct sum_shared {
    double sums[THREADS];
    unsigned ended;
};

__global__ void __launch_bounds__(THREADS) square_sum(const cuda_array call)
{
    sum_shared *shared = shared_memory<sum_shared>();
    double sum = 0.0;

    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < call.count;
         i += (size_t)gridDim.x * THREADS)
        sum += (double)call.values[i] * (double)call.values[i];
    shared->sums[threadIdx.x] = sum;
    for (int step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < step)
            shared->sums[threadIdx.x] += shared->sums[threadIdx.x + step];
    }
    if (threadIdx.x == 0)
        call.partial[blockIdx.x] = shared->sums[0];
    if (!last_block(call.counter, gridDim.x, &shared->ended) || threadIdx.x != 0)
        return;
    sum = 0.0;
    for (unsigned b = 0; b < gridDim.x; b++)
        sum += call.partial[b];
    *call.sum = sum;
}

__global__ void __launch_bounds__(THREADS) sgd(const cuda_array call)
{
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < call.count;
         i += (size_t)gridDim.x * THREADS) {
        const float gradient = call.scale * call.values[i] + call.decay * call.weights[i];
        const float momentum = call.momentum * call.momenta[i] + gradient;
        const float step = call.nesterov ? gradient + call.momentum * momentum : momentum;

        call.momenta[i] = momentum;
        call.weights[i] -= call.rate * step;
    }
}

cudaError_t seki_cuda_square_sum(cudaStream_t stream, const struct cuda_array *call)
{
    return launch(stream, square_sum, dim3((unsigned)blocks_for((long long)call->count, 1024)),
                  sizeof(sum_shared), *call);
}

cudaError_t seki_cuda_sgd(cudaStream_t stream, const struct cuda_array *call)
{
    return launch(stream, sgd, dim3((unsigned)blocks_for((long long)call->count, 512)), 0, *call);
}

/* ---- Tensors in and out -------------------------------------------------------------------- */

template <typename T, bool OUT>
__global__ void __launch_bounds__(THREADS) layout(const cuda_layout call)
{
    const long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
    const long long plane = i / call.pixels, pixel = i % call.pixels;
    const long long image = plane / call.channels;
    const int channel = (int)(plane % call.channels);

    if (image >= call.images)
        return;
    T *at = element<T>(call.view, image * call.pixels + pixel, channel);

    if (OUT)
        call.plain[i] = to_float(*at);
    else
        put(call.plain[i], at);
}

cudaError_t seki_cuda_layout(cudaStream_t stream, enum cuda_type type,
                             const struct cuda_layout *call)
{
    const long long count = (long long)call->images * call->pixels * call->channels;
    const dim3 grid((unsigned)((count + THREADS - 1) / THREADS));

    if (type == CUDA_BF16 && !call->full)
        return call->out ? launch(stream, layout<bf16, true>, grid, 0, *call)
                         : launch(stream, layout<bf16, false>, grid, 0, *call);
    return call->out ? launch(stream, layout<float, true>, grid, 0, *call)
                     : launch(stream, layout<float, false>, grid, 0, *call);
}
