/*
 * cuda.c - the GPU backend's table, its opening and closing, and what is computed outside of
 * blocks.
 */
#include "nn/cuda/cuda_internal.h"

#include <stdlib.h>

int seki_cuda_check(struct cuda_backend *backend, cudaError_t status, const char *what,
                    struct seki_error *error)
{
    if (backend->failed != cudaSuccess)
        status = backend->failed;
    if (status == cudaSuccess)
        return 0;
    backend->failed = status; /* a device that failed once gives no right number again */
    return seki_fail(error, SEKI_NO_RESOURCE, "device", "the GPU failed at %s: %s%s", what,
                     backend->because != NULL ? "cuDNN: " : "",
                     backend->because != NULL ? backend->because : cudaGetErrorString(status));
}

int seki_cuda_wait(struct cuda_backend *backend, struct seki_error *error)
{
    return seki_cuda_check(backend, cudaStreamSynchronize(backend->queue.stream), "its work",
                           error);
}

/* ---- Opening ------------------------------------------------------------------------------- */

/* The kernels are for compute capability 8.0 and up: bf16 and asynchronous copies began there. */
static int check_device(int *major, struct seki_error *error)
{
    int count = 0, minor = 0;
    cudaError_t status = cudaGetDeviceCount(&count);

    *major = 0;
    if (status != cudaSuccess)
        return seki_fail(error, SEKI_NO_RESOURCE, "backend", "cuda: no GPU can be used: %s",
                         cudaGetErrorString(status));
    if (count == 0)
        return seki_fail(error, SEKI_NO_RESOURCE, "backend", "cuda: this machine has no GPU");
    status = cudaDeviceGetAttribute(major, cudaDevAttrComputeCapabilityMajor, 0);
    if (status == cudaSuccess)
        status = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
    if (status != cudaSuccess || *major < 8)
        return seki_fail(error, SEKI_NO_RESOURCE, "backend",
                         "cuda: the GPU is of compute capability %d.%d, at least 8.0 is needed",
                         *major, minor);
    return 0;
}

static int open_memory(struct cuda_backend *backend, struct seki_error *error)
{
    if (seki_cuda_lanes_open(backend, error) < 0 || seki_cuda_ring_open(backend, error) < 0)
        return -1;
    backend->partial =
        seki_cuda_memory(&backend->base, CUDA_MAX_BLOCKS * sizeof *backend->partial, error);
    return backend->partial != NULL ? 0 : -1;
}

static void cuda_close(struct seki_backend *base)
{
    struct cuda_backend *backend = cuda_backend(base);

    if (backend == NULL)
        return;
    cudaDeviceSynchronize(); /* what is freed may be in use: cudaFree need not wait for that */
    seki_cudnn_close(backend->cudnn);
    cudaFree(backend->partial);
    seki_cuda_ring_close(backend);
    seki_cuda_lanes_close(backend);
    free(backend);
}

static struct seki_backend *open_with(const struct seki_backend_ops *ops, bool with_cudnn,
                                      enum seki_precision precision, struct seki_error *error)
{
    static const enum cuda_type types[] = {
        [SEKI_FP32] = CUDA_FP32, [SEKI_TF32] = CUDA_TF32, [SEKI_BF16] = CUDA_BF16};
    struct cuda_backend *backend;
    int major;

    if (check_device(&major, error) < 0)
        return NULL;
    backend = seki_allocate(1, sizeof *backend, error);
    if (backend == NULL)
        return NULL;
    backend->base.ops = ops;
    backend->base.threads = 1;
    backend->base.precision = precision;
    backend->type = types[precision];
    backend->with_cudnn = with_cudnn;
    /* Where the kernels are compiled for the card: those in PTX are of 8.0, and do not wait. */
    backend->queue.overlapping = major == 9 || major == 10;
    if (open_memory(backend, error) < 0) {
        cuda_close(&backend->base);
        return NULL;
    }
    return &backend->base;
}

/* ---- Outside of blocks --------------------------------------------------------------------- */

int seki_cuda_backend_loss(struct seki_backend *base, const struct seki_loss_call *call,
                           struct seki_error *error)
{
    struct cuda_backend *backend = cuda_backend(base);
    const struct cuda_loss loss = {.images = call->images,
                                   .classes = call->classes,
                                   .logits = seki_cuda_view(backend, &call->logits),
                                   .dlogits = seki_cuda_view(backend, &call->dlogits),
                                   .labels = call->labels,
                                   .weight = call->weight,
                                   .loss = &call->tally->loss,
                                   .correct = &call->tally->correct};

    return seki_cuda_check(backend, seki_cuda_loss(&backend->queue, &loss), "the loss", error);
}

static int count_chunks(const struct seki_range *ranges, int count)
{
    size_t chunks = 0;

    for (int i = 0; i < count; i++)
        chunks += (ranges[i].count + CUDA_CHUNK - 1) / CUDA_CHUNK;
    return (int)chunks;
}

/* The ranges in chunks, in page-locked memory, which the kernels reach by themselves: a
 * recording's own where there is one, since the ring's is filled anew. */
static int put_chunks(struct cuda_backend *backend, const struct seki_range *ranges, int count,
                      struct cuda_chunks *out, struct seki_error *error)
{
    struct cuda_chunk *chunk;

    out->count = count_chunks(ranges, count);
    const size_t bytes = (size_t)out->count * sizeof *out->chunks;

    out->chunks = chunk = backend->recording != NULL ? seki_cuda_record_take(backend, bytes, error)
                                                     : seki_cuda_ring_take(backend, bytes, error);
    if (chunk == NULL)
        return -1;
    for (int i = 0; i < count; i++) {
        for (size_t done = 0; done < ranges[i].count; done += CUDA_CHUNK) {
            const size_t left = ranges[i].count - done;

            *chunk++ = (struct cuda_chunk){ranges[i].offset + done,
                                           (unsigned)(left < CUDA_CHUNK ? left : CUDA_CHUNK)};
        }
    }
    return 0;
}

static int clear_each(struct cuda_backend *backend, float *array, const struct seki_range *ranges,
                      int count, struct seki_error *error)
{
    cudaError_t status = cudaSuccess;

    for (int i = 0; i < count && status == cudaSuccess; i++)
        status = cudaMemsetAsync(array + ranges[i].offset, 0, ranges[i].count * sizeof *array,
                                 backend->queue.stream);
    return seki_cuda_check(backend, status, "clearing an array", error);
}

int seki_cuda_backend_clear(struct seki_backend *base, float *array,
                            const struct seki_range *ranges, int count, struct seki_error *error)
{
    enum { FEW = 2 }; /* then a table of chunks costs more than it saves */
    struct cuda_backend *backend = cuda_backend(base);
    struct cuda_chunks chunks;

    if (count <= FEW)
        return clear_each(backend, array, ranges, count, error);
    if (put_chunks(backend, ranges, count, &chunks, error) < 0)
        return -1;
    return seki_cuda_check(backend, seki_cuda_clear_chunks(&backend->queue, &chunks, array),
                           "clearing an array", error);
}

int seki_cuda_backend_sgd(struct seki_backend *base, const struct seki_sgd_call *call,
                          struct seki_error *error)
{
    struct cuda_backend *backend = cuda_backend(base);
    struct cuda_sgd sgd = {.weights = call->weights,
                           .momenta = call->sgd.momenta,
                           .gradients = call->gradients,
                           .rate = call->sgd.rate,
                           .momentum = call->sgd.momentum,
                           .decay = call->sgd.decay,
                           .nesterov = call->sgd.nesterov,
                           .clip = call->sgd.clip,
                           .partial = backend->partial,
                           .counter = backend->counters,
                           .norm = &call->tally->norm};

    if (put_chunks(backend, call->ranges, call->count, &sgd.chunks, error) < 0)
        return -1;
    return seki_cuda_check(backend, seki_cuda_sgd(&backend->queue, &sgd), "the optimiser's step",
                           error);
}

/* The host's threads have nothing to do. */
#define TABLE(variable, text, with_cudnn)                                                          \
    static struct seki_backend *variable##_open(int threads, enum seki_precision precision,        \
                                                struct seki_error *error)                          \
    {                                                                                              \
        (void)threads;                                                                             \
        return open_with(&(variable), with_cudnn, precision, error);                               \
    }                                                                                              \
    const struct seki_backend_ops variable = {                                                     \
        .name = (text),                                                                            \
        .open = variable##_open,                                                                   \
        .close = cuda_close,                                                                       \
        .memory = seki_cuda_memory,                                                                \
        .release = seki_cuda_release,                                                              \
        .clear = seki_cuda_backend_clear,                                                          \
        .write = seki_cuda_write,                                                                  \
        .read = seki_cuda_read,                                                                    \
        .tensor_bytes = seki_cuda_tensor_bytes,                                                    \
        .tensor_write = seki_cuda_tensor_write,                                                    \
        .tensor_read = seki_cuda_tensor_read,                                                      \
        .pictures = seki_cuda_backend_pictures,                                                    \
        .block_open = seki_cuda_block_open,                                                        \
        .block_close = seki_cuda_block_close,                                                      \
        .block_prepare = seki_cuda_block_prepare,                                                  \
        .forward = seki_cuda_forward,                                                              \
        .backward = seki_cuda_backward,                                                            \
        .loss = seki_cuda_backend_loss,                                                            \
        .sgd = seki_cuda_backend_sgd,                                                              \
        .fork = seki_cuda_fork,                                                                    \
        .lane = seki_cuda_lane,                                                                    \
        .join = seki_cuda_join,                                                                    \
        .record = seki_cuda_record,                                                                \
        .recorded = seki_cuda_recorded,                                                            \
        .replay = seki_cuda_replay,                                                                \
        .forget = seki_cuda_forget,                                                                \
        .copy = seki_cuda_copy,                                                                    \
    }

TABLE(seki_backend_cuda, "cuda", true);
TABLE(seki_backend_cuda_own, "cuda-own", false);

static const struct seki_backend_ops *const tables[] = {&seki_backend_cuda, &seki_backend_cuda_own,
                                                        NULL};

__attribute__((visibility("default"))) extern const struct seki_module seki_module;
const struct seki_module seki_module = {SEKI_VERSION, sizeof **tables, tables};
