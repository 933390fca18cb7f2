/*
 * pictures.cu - a batch from pictures that lie on the device as bytes: cropped, mirrored,
 * normalised by a table, a square cut out; and tensors from and to the host's order.
 */
#include "nn/cuda/device.cuh"

struct pictures_shared {
    cuda_crop crop;
};

/* A block has a picture. Its crop is read once: it lies in the host's memory. */
template <typename T>
__global__ void __launch_bounds__(THREADS, 1) pictures(const cuda_pictures call)
{
    begin_kernel();
    pictures_shared *shared = shared_memory<pictures_shared>();
    const int image = (int)blockIdx.x, plane = call.height * call.width;

    if (threadIdx.x == 0)
        shared->crop = call.crops[image];
    __syncthreads();
    const cuda_crop crop = shared->crop;
    const uint8_t *bytes = call.bytes + (size_t)crop.picture * (size_t)(call.channels * plane);

    for (int i = (int)threadIdx.x; i < plane; i += THREADS) {
        const int y = i / call.width, x = i - y * call.width;
        const int from_y = y + crop.shift_y,
                  from_x = (crop.flip ? call.width - 1 - x : x) + crop.shift_x;
        const bool cut =
            y >= crop.cut_top && y < crop.cut_bottom && x >= crop.cut_left && x < crop.cut_right;
        const bool inside =
            from_y >= 0 && from_y < call.height && from_x >= 0 && from_x < call.width;

        for (int c = 0; c < call.channels; c++) {
            const int byte = inside ? bytes[c * plane + from_y * call.width + from_x] : 0;

            put(cut ? 0.0f : call.values[c * 256 + byte],
                element<T>(call.x, (long long)image * plane + i, c));
        }
    }
}

cudaError_t seki_cuda_pictures(const struct cuda_queue *queue, enum cuda_type type,
                               const struct cuda_pictures *call)
{
    const dim3 grid((unsigned)call->images);

    return type == CUDA_BF16 ? launch(queue, pictures<bf16>, grid, sizeof(pictures_shared), *call)
                             : launch(queue, pictures<float>, grid, sizeof(pictures_shared), *call);
}

/* ---- Tensors in and out -------------------------------------------------------------------- */

template <typename T, bool OUT>
__global__ void __launch_bounds__(THREADS, 1) layout(const cuda_layout call)
{
    begin_kernel();
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

cudaError_t seki_cuda_layout(const struct cuda_queue *queue, enum cuda_type type,
                             const struct cuda_layout *call)
{
    const long long count = (long long)call->images * call->pixels * call->channels;
    const dim3 grid((unsigned)((count + THREADS - 1) / THREADS));

    if (type == CUDA_BF16 && !call->full)
        return call->out ? launch(queue, layout<bf16, true>, grid, 0, *call)
                         : launch(queue, layout<bf16, false>, grid, 0, *call);
    return call->out ? launch(queue, layout<float, true>, grid, 0, *call)
                     : launch(queue, layout<float, false>, grid, 0, *call);
}
