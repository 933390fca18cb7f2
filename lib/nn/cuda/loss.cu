/*
 * loss.cu - cross entropy of a softmax, and the optimiser's step: what is done to logits and to
 * plain arrays.
 */
#include "nn/cuda/sums.cuh"

/* ---- Loss ---------------------------------------------------------------------------------- */

struct loss_shared {
    double loss[THREADS];
    int correct[THREADS];
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
__global__ void __launch_bounds__(THREADS, 1) loss(const cuda_loss call)
{
    begin_kernel();
    loss_shared *sums = shared_memory<loss_shared>();

    sums->loss[threadIdx.x] = 0.0;
    sums->correct[threadIdx.x] = 0;
    for (int image = (int)threadIdx.x; image < call.images; image += THREADS)
        image_loss(call, image, sums);
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    double sum = 0.0;
    long long correct = 0;

    for (int t = 0; t < THREADS; t++) {
        sum += sums->loss[t];
        correct += sums->correct[t];
    }
    *call.loss = sum;
    *call.correct = correct;
}

cudaError_t seki_cuda_loss(const struct cuda_queue *queue, const struct cuda_loss *call)
{
    return launch(queue, loss, dim3(1), sizeof(loss_shared), *call);
}

/* ---- Arrays -------------------------------------------------------------------------------- */

struct sum_shared {
    double sums[THREADS];
    unsigned ended;
};

__global__ void __launch_bounds__(THREADS, 1) gradient_norm(const cuda_sgd call)
{
    begin_kernel();
    sum_shared *shared = shared_memory<sum_shared>();
    double sum = 0.0;

    for (int i = (int)blockIdx.x; i < call.chunks.count; i += (int)gridDim.x) {
        const cuda_chunk chunk = call.chunks.chunks[i];

        for (unsigned j = threadIdx.x; j < chunk.count; j += THREADS) {
            const double g = call.gradients[chunk.first + j];

            sum += g * g;
        }
    }
    shared->sums[threadIdx.x] = sum;
    for (int step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < step)
            shared->sums[threadIdx.x] += shared->sums[threadIdx.x + step];
    }
    if (threadIdx.x == 0)
        call.partial[blockIdx.x] = shared->sums[0];
    if (!last_block(call.counter, gridDim.x, &shared->ended))
        return;
    sum = sum_blocks(
              1, (int)gridDim.x, shared->sums, [=](int i, int) { return call.partial[i]; },
              [](double part) {
                  return two_sums{part, 0.0};
              })
              .first;
    if (threadIdx.x == 0)
        *call.norm = sqrt(sum);
}

__global__ void __launch_bounds__(THREADS, 1) sgd(const cuda_sgd call)
{
    begin_kernel();
    /* The 1e-6 is clip_grad_norm_'s. */
    const double norm = *call.norm + 1e-6;
    const float scale = call.clip > 0.0 && norm > call.clip ? (float)(call.clip / norm) : 1.0f;
    const float rate = *call.rate;

    for (int i = (int)blockIdx.x; i < call.chunks.count; i += (int)gridDim.x) {
        const cuda_chunk chunk = call.chunks.chunks[i];

        for (unsigned j = threadIdx.x; j < chunk.count; j += THREADS) {
            const size_t at = chunk.first + j;
            const float gradient = scale * call.gradients[at] + call.decay * call.weights[at];
            const float momentum = call.momentum * call.momenta[at] + gradient;
            const float step = call.nesterov ? gradient + call.momentum * momentum : momentum;

            call.momenta[at] = momentum;
            call.weights[at] -= rate * step;
        }
    }
}

struct clear_chunks_call {
    cuda_chunks chunks;
    float *array;
};

__global__ void __launch_bounds__(THREADS, 1) clear_chunks(const clear_chunks_call call)
{
    begin_kernel();
    for (int i = (int)blockIdx.x; i < call.chunks.count; i += (int)gridDim.x) {
        const cuda_chunk chunk = call.chunks.chunks[i];

        for (unsigned j = threadIdx.x; j < chunk.count; j += THREADS)
            call.array[chunk.first + j] = 0.0f;
    }
}

/* ---- Sums of parts ------------------------------------------------------------------------- */

/* Of a block: neighbouring numbers, as many as a sector of memory has, and threads that share out
 * the parts of each; loads of a thread that are under way at once. */
enum { PART_NUMBERS = 8, PART_GROUPS = THREADS / PART_NUMBERS, PART_ONCE = 16 };

struct parts_shared {
    float sums[PART_GROUPS][PART_NUMBERS];
};

__global__ void __launch_bounds__(THREADS, 1) add_parts(const cuda_sums sums)
{
    begin_kernel();
    const cuda_parts &call = sums.each[blockIdx.y];
    parts_shared *shared = shared_memory<parts_shared>();
    const int number = (int)threadIdx.x % PART_NUMBERS, group = (int)threadIdx.x / PART_NUMBERS;
    const int count = call.rows * call.columns, i = (int)blockIdx.x * PART_NUMBERS + number;
    float sum = 0.0f;

#pragma unroll 1
    for (int first = i < count ? group : call.parts; first < call.parts;
         first += PART_ONCE * PART_GROUPS) {
        float parts[PART_ONCE];

#pragma unroll
        for (int k = 0; k < PART_ONCE; k++)
            parts[k] =
                call.partial[(size_t)clamp(first + k * PART_GROUPS, call.parts) * (size_t)count +
                             (size_t)i];
#pragma unroll
        for (int k = 0; k < PART_ONCE; k++)
            sum += first + k * PART_GROUPS < call.parts ? parts[k] : 0.0f;
    }
    shared->sums[group][number] = sum;
    __syncthreads();
    if (group != 0 || i >= count)
        return;
    for (int g = 1; g < PART_GROUPS; g++)
        sum += shared->sums[g][number];
    call.to[(i % call.columns) * call.rows + i / call.columns] += sum;
}

/* As many blocks for each as the largest has numbers. */
cudaError_t seki_cuda_add_parts(const struct cuda_queue *queue, const struct cuda_sums *call)
{
    int most = 1;

    for (int i = 0; i < call->count; i++) {
        const int count = call->each[i].rows * call->each[i].columns;

        most = count > most ? count : most;
    }
    return launch(queue, add_parts,
                  dim3((unsigned)((most + PART_NUMBERS - 1) / PART_NUMBERS), (unsigned)call->count),
                  sizeof(parts_shared), *call);
}

static dim3 blocks_of(const cuda_chunks &chunks)
{
    return dim3((unsigned)blocks_for(chunks.count, 1));
}

cudaError_t seki_cuda_sgd(const struct cuda_queue *queue, const struct cuda_sgd *call)
{
    const dim3 blocks = blocks_of(call->chunks);
    const cudaError_t status = launch(queue, gradient_norm, blocks, sizeof(sum_shared), *call);

    return status == cudaSuccess ? launch(queue, sgd, blocks, 0, *call) : status;
}

cudaError_t seki_cuda_clear_chunks(const struct cuda_queue *queue, const struct cuda_chunks *chunks,
                                   float *array)
{
    const clear_chunks_call call = {*chunks, array};

    return launch(queue, clear_chunks, blocks_of(*chunks), 0, call);
}
