/*
 * memory.c - the device's memory, and the way of bytes between it and the host.
 */
#include "nn/cuda/cuda_internal.h"

#include <string.h>

#define SECTION   ((size_t)2 << 20)
#define ALIGNMENT ((size_t)256)

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* ---- The ring ------------------------------------------------------------------------------ */

static int make_sections(struct cuda_backend *backend, size_t section, struct seki_error *error)
{
    struct cuda_ring *ring = &backend->ring;

    ring->section = section;
    ring->used = 0;
    ring->current = 0;
    return seki_cuda_check(
        backend,
        cudaHostAlloc((void **)&ring->memory, CUDA_SECTIONS * section, cudaHostAllocDefault),
        "page-locked memory", error);
}

int seki_cuda_ring_open(struct cuda_backend *backend, struct seki_error *error)
{
    for (int i = 0; i < CUDA_SECTIONS; i++)
        if (seki_cuda_check(
                backend, cudaEventCreateWithFlags(&backend->ring.passed[i], cudaEventDisableTiming),
                "an event", error) < 0)
            return -1;
    return make_sections(backend, SECTION, error);
}

void seki_cuda_ring_close(struct cuda_backend *backend)
{
    for (int i = 0; i < CUDA_SECTIONS; i++)
        if (backend->ring.passed[i] != NULL)
            cudaEventDestroy(backend->ring.passed[i]);
    cudaFreeHost(backend->ring.memory);
}

/* Larger sections: for pictures of which one fills more than one. */
static int widen(struct cuda_backend *backend, size_t bytes, struct seki_error *error)
{
    char *before = backend->ring.memory;

    if (seki_cuda_wait(backend, error) < 0)
        return -1;
    backend->ring.memory = NULL;
    cudaFreeHost(before);
    return make_sections(backend, bytes, error);
}

static int next_section(struct cuda_backend *backend, struct seki_error *error)
{
    struct cuda_ring *ring = &backend->ring;

    if (seki_cuda_check(backend,
                        cudaEventRecord(ring->passed[ring->current], backend->queue.stream),
                        "an event", error) < 0)
        return -1;
    ring->current = (ring->current + 1) % CUDA_SECTIONS;
    ring->used = 0;
    return seki_cuda_check(backend, cudaEventSynchronize(ring->passed[ring->current]),
                           "the device's work", error);
}

void *seki_cuda_ring_take(struct cuda_backend *backend, size_t bytes, struct seki_error *error)
{
    struct cuda_ring *ring = &backend->ring;

    if (bytes > ring->section && widen(backend, aligned(bytes), error) < 0)
        return NULL;
    if (bytes > ring->section - ring->used && next_section(backend, error) < 0)
        return NULL;
    void *piece = ring->memory + (size_t)ring->current * ring->section + ring->used;

    ring->used +=
        aligned(bytes) < ring->section - ring->used ? aligned(bytes) : ring->section - ring->used;
    return piece;
}

/* ---- Memory -------------------------------------------------------------------------------- */

void *seki_cuda_memory(struct seki_backend *base, size_t bytes, struct seki_error *error)
{
    struct cuda_backend *backend = cuda_backend(base);
    void *memory = NULL;
    cudaError_t status = cudaMalloc(&memory, bytes > 0 ? bytes : 1);

    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError(); /* it is told here, and is no fault of later calls */
        seki_fail(error, SEKI_NO_RESOURCE, "memory",
                  "the GPU has no %zu bytes left: close what else uses it, or take a smaller batch",
                  bytes);
        return NULL;
    }
    if (seki_cuda_check(backend, status, "memory", error) < 0)
        return NULL;
    if (seki_cuda_check(backend, cudaMemsetAsync(memory, 0, bytes, backend->queue.stream), "memory",
                        error) < 0) {
        cudaFree(memory);
        return NULL;
    }
    return memory;
}

void seki_cuda_release(struct seki_backend *base, void *memory)
{
    struct cuda_backend *backend = cuda_backend(base);
    cudaError_t status;

    if (memory == NULL)
        return;
    /* cudaFree need not wait for work that uses it. */
    status = cudaDeviceSynchronize();
    if (status == cudaSuccess)
        status = cudaFree(memory);
    if (backend->failed == cudaSuccess)
        backend->failed = status;
}

int seki_cuda_write(struct seki_backend *base, void *memory, const void *host, size_t bytes,
                    struct seki_error *error)
{
    struct cuda_backend *backend = cuda_backend(base);

    for (size_t done = 0; done < bytes;) {
        size_t count = bytes - done < SECTION ? bytes - done : SECTION;
        void *piece = seki_cuda_ring_take(backend, count, error);

        if (piece == NULL)
            return -1;
        memcpy(piece, (const char *)host + done, count);
        if (seki_cuda_check(backend,
                            cudaMemcpyAsync((char *)memory + done, piece, count,
                                            cudaMemcpyHostToDevice, backend->queue.stream),
                            "a copy to the device", error) < 0)
            return -1;
        done += count;
    }
    return 0;
}

int seki_cuda_read(struct seki_backend *base, void *host, const void *memory, size_t bytes,
                   struct seki_error *error)
{
    struct cuda_backend *backend = cuda_backend(base);

    for (size_t done = 0; done < bytes;) {
        size_t count = bytes - done < SECTION ? bytes - done : SECTION;
        void *piece = seki_cuda_ring_take(backend, count, error);

        if (piece == NULL)
            return -1;
        if (seki_cuda_check(backend,
                            cudaMemcpyAsync(piece, (const char *)memory + done, count,
                                            cudaMemcpyDeviceToHost, backend->queue.stream),
                            "a copy from the device", error) < 0 ||
            seki_cuda_wait(backend, error) < 0)
            return -1;
        memcpy((char *)host + done, piece, count);
        done += count;
    }
    return 0;
}

int seki_cuda_copy(struct seki_backend *base, void *to, const void *from, size_t bytes,
                   struct seki_error *error)
{
    struct cuda_backend *backend = cuda_backend(base);

    return seki_cuda_check(
        backend, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, backend->queue.stream),
        "a copy on the device", error);
}

/* ---- Memory of a call ---------------------------------------------------------------------- */

/* A tensor of the block's that does not fit into addresses was refused when it was described. */
void *seki_cuda_take(struct cuda_arena *arena, size_t count, size_t size)
{
    void *piece = arena->base != NULL ? arena->base + arena->used : NULL;

    arena->used += (count * size + 63) / 64 * 64;
    return piece;
}

struct cuda_view seki_cuda_take_rows(struct cuda_arena *arena, const struct cuda_backend *backend,
                                     size_t rows, int channels)
{
    return (struct cuda_view){
        seki_cuda_take(arena, rows * (size_t)channels, seki_cuda_element(backend)), channels};
}
