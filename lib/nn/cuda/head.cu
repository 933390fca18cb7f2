/*
 * head.cu - the classifier: the mean over an image's pixels, then a linear layer with bias, both in
 * floats whatever the type of what is read.
 */
#include "nn/cuda/sums.cuh"

struct head_shared {
    float rows[sum_space<1, 1>::COUNT];
};

/* A block has an image and up to 64 channels (blockIdx.y); its rows of threads share the pixels. */
struct mean_call {
    cuda_head h;
    sharing s;
};

template <typename T> __global__ void __launch_bounds__(THREADS, 1) image_mean(const mean_call call)
{
    begin_kernel();
    const cuda_head &h = call.h;
    head_shared *shared = shared_memory<head_shared>();
    const place<1> at(call.s, h.channels);
    const int image = (int)blockIdx.x;
    float sum[1] = {0.0f};

    for (int p = at.row; p < h.pixels && at.works; p += call.s.rows)
        sum[0] += to_float(*element<const T>(h.x, (long long)image * h.pixels + p, at.channel));
    float *mean = h.mean + (size_t)image * (size_t)h.channels + at.first;
    const float pixels = (float)h.pixels;

    sum_rows<1>(sum, shared->rows, call.s, [=](int, int vector, float all) {
        if (vector < at.count)
            mean[vector] = all / pixels;
    });
}

static __device__ inline float sum_of_warp(float value)
{
    for (int step = 16; step > 0; step /= 2)
        value += __shfl_xor_sync(~0u, value, step);
    return value;
}

/* A warp has a logit. */
__global__ void __launch_bounds__(THREADS, 1) linear(const cuda_head h)
{
    begin_kernel();
    const int i = (int)blockIdx.x * WARPS + (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int image = i / h.classes, k = i % h.classes;
    float sum = 0.0f;

    if (i >= h.images * h.classes)
        return;
    for (int c = lane; c < h.channels; c += 32)
        sum += h.mean[(size_t)image * (size_t)h.channels + (size_t)c] *
               h.weight[(size_t)k * (size_t)h.channels + (size_t)c];
    sum = sum_of_warp(sum);
    if (lane != 0)
        return;
    float value[1] = {(sum + h.bias[k]) * (h.keep != nullptr ? h.keep[image] : 1.0f)};

    give<1>(element<float>(h.y, image, k), value, h.add_y);
}

static __device__ inline float logit_gradient(const cuda_head &h, int image, int k)
{
    return *element<const float>(h.dy, image, k) * (h.keep != nullptr ? h.keep[image] : 1.0f);
}

/* A thread has a weight; that of the last column + 1 a bias. */
__global__ void __launch_bounds__(THREADS, 1) linear_gradient(const cuda_head h)
{
    begin_kernel();
    const int i = (int)(blockIdx.x * THREADS + threadIdx.x);
    const int k = i / (h.channels + 1), c = i % (h.channels + 1);
    float sum = 0.0f;

    if (k >= h.classes)
        return;
    for (int n = 0; n < h.images; n++)
        sum += logit_gradient(h, n, k) *
               (c < h.channels ? h.mean[(size_t)n * (size_t)h.channels + (size_t)c] : 1.0f);
    if (c < h.channels)
        h.dweight[(size_t)k * (size_t)h.channels + (size_t)c] += sum;
    else
        h.dbias[k] += sum;
}

/* A block has an image and up to 64 channels. */
template <typename T>
__global__ void __launch_bounds__(THREADS, 1) mean_gradient(const mean_call call)
{
    begin_kernel();
    const cuda_head &h = call.h;
    const place<1> at(call.s, h.channels);
    const int image = (int)blockIdx.x;
    float value[1] = {0.0f};

    if (!at.works)
        return;
    for (int k = 0; k < h.classes; k++)
        value[0] += logit_gradient(h, image, k) *
                    h.weight[(size_t)k * (size_t)h.channels + (size_t)at.channel];
    value[0] /= (float)h.pixels;
    for (int p = at.row; p < h.pixels; p += call.s.rows)
        give<1>(element<T>(h.dx, (long long)image * h.pixels + p, at.channel), value, h.add_dx);
}

/* ---- Launching ----------------------------------------------------------------------------- */

cudaError_t seki_cuda_head(const struct cuda_queue *queue, enum cuda_type type,
                           const struct cuda_head *h)
{
    const mean_call call = {*h, share_out<1>(h->channels)};
    const dim3 grid((unsigned)h->images, (unsigned)call.s.groups);
    const cudaError_t status =
        type == CUDA_BF16 ? launch(queue, image_mean<bf16>, grid, sizeof(head_shared), call)
                          : launch(queue, image_mean<float>, grid, sizeof(head_shared), call);

    if (status != cudaSuccess)
        return status;
    return launch(queue, linear, dim3((unsigned)((h->images * h->classes + WARPS - 1) / WARPS)), 0,
                  *h);
}

cudaError_t seki_cuda_head_backward(const struct cuda_queue *queue, enum cuda_type type,
                                    const struct cuda_head *h)
{
    const mean_call call = {*h, share_out<1>(h->channels)};
    const dim3 grid((unsigned)h->images, (unsigned)call.s.groups);
    const int weights = h->classes * (h->channels + 1);
    const cudaError_t status =
        launch(queue, linear_gradient, dim3((unsigned)((weights + THREADS - 1) / THREADS)), 0, *h);

    if (status != cudaSuccess || h->dx.data == nullptr)
        return status;
    return type == CUDA_BF16 ? launch(queue, mean_gradient<bf16>, grid, 0, call)
                             : launch(queue, mean_gradient<float>, grid, 0, call);
}
