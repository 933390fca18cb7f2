/*
 * lanes.c - work beside other work, on streams of its own, and work that comes again, as a graph of
 * kernels which the device runs at one word.
 */
#include <stdlib.h>

#include "nn/cuda/cuda_internal.h"

int seki_cuda_lanes_open(struct cuda_backend *backend, struct seki_error *error)
{
    for (int i = 0; i < SEKI_MAX_LANES; i++) {
        struct cuda_lane *lane = &backend->lanes[i];

        if (seki_cuda_check(backend,
                            cudaStreamCreateWithFlags(&lane->stream, cudaStreamNonBlocking),
                            "a stream", error) < 0 ||
            seki_cuda_check(backend,
                            cudaEventCreateWithFlags(&lane->reached, cudaEventDisableTiming),
                            "an event", error) < 0)
            return -1;
    }
    seki_cuda_lane(&backend->base, 0);
    for (int i = 0; i < SEKI_MAX_LANES; i++) {
        backend->lanes[i].counters =
            seki_cuda_memory(&backend->base, CUDA_COUNTERS * sizeof(unsigned), error);
        if (backend->lanes[i].counters == NULL)
            return -1;
    }
    seki_cuda_lane(&backend->base, 0);
    return 0;
}

void seki_cuda_lanes_close(struct cuda_backend *backend)
{
    for (int i = 0; i < SEKI_MAX_LANES; i++) {
        struct cuda_lane *lane = &backend->lanes[i];

        cudaFree(lane->counters);
        if (lane->reached != NULL)
            cudaEventDestroy(lane->reached);
        if (lane->stream != NULL)
            cudaStreamDestroy(lane->stream);
    }
}

/* ---- Lanes --------------------------------------------------------------------------------- */

void seki_cuda_lane(struct seki_backend *base, int lane)
{
    struct cuda_backend *backend = cuda_backend(base);

    backend->queue.stream = backend->lanes[lane].stream;
    backend->counters = backend->lanes[lane].counters;
}

int seki_cuda_fork(struct seki_backend *base, int lanes, struct seki_error *error)
{
    struct cuda_backend *backend = cuda_backend(base);
    struct cuda_lane *first = &backend->lanes[0];

    if (seki_cuda_check(backend, cudaEventRecord(first->reached, first->stream), "an event",
                        error) < 0)
        return -1;
    backend->forked = lanes - 1;
    for (int i = 1; i < lanes; i++)
        if (seki_cuda_check(backend,
                            cudaStreamWaitEvent(backend->lanes[i].stream, first->reached, 0),
                            "an event", error) < 0)
            return -1;
    return 0;
}

int seki_cuda_join(struct seki_backend *base, struct seki_error *error)
{
    struct cuda_backend *backend = cuda_backend(base);
    const int lanes = backend->forked;

    seki_cuda_lane(base, 0);
    backend->forked = 0;
    for (int i = 1; i <= lanes; i++) {
        struct cuda_lane *lane = &backend->lanes[i];

        if (seki_cuda_check(backend, cudaEventRecord(lane->reached, lane->stream), "an event",
                            error) < 0 ||
            seki_cuda_check(backend, cudaStreamWaitEvent(backend->queue.stream, lane->reached, 0),
                            "an event", error) < 0)
            return -1;
    }
    return 0;
}

/* ---- Recordings ---------------------------------------------------------------------------- */

/* Page-locked memory of a recording: what is given of it comes after this. */
struct kept {
    struct kept *next;
};
enum { KEPT_BEFORE = 64 }; /* bytes */

struct seki_recording {
    cudaGraphExec_t graph;
    struct kept *kept;
};

int seki_cuda_record(struct seki_backend *base, struct seki_error *error)
{
    struct cuda_backend *backend = cuda_backend(base);
    struct seki_recording *recording = seki_allocate(1, sizeof *recording, error);

    if (recording == NULL)
        return -1;
    /* Relaxed: page-locked memory may be taken meanwhile. */
    if (seki_cuda_check(backend,
                        cudaStreamBeginCapture(backend->queue.stream, cudaStreamCaptureModeRelaxed),
                        "recording", error) < 0) {
        free(recording);
        return -1;
    }
    backend->recording = recording;
    return 0;
}

void *seki_cuda_record_take(struct cuda_backend *backend, size_t bytes, struct seki_error *error)
{
    struct kept *kept = NULL;

    if (seki_cuda_check(backend,
                        cudaHostAlloc((void **)&kept, KEPT_BEFORE + bytes, cudaHostAllocDefault),
                        "page-locked memory", error) < 0)
        return NULL;
    kept->next = backend->recording->kept;
    backend->recording->kept = kept;
    return (char *)kept + KEPT_BEFORE;
}

/* Made ready now, so that no replay allocates. */
static int make_ready(struct cuda_backend *backend, cudaGraph_t graph,
                      struct seki_recording *recording, struct seki_error *error)
{
    int status = seki_cuda_check(backend, cudaGraphInstantiate(&recording->graph, graph, 0),
                                 "a graph", error);

    if (status == 0)
        status = seki_cuda_check(backend, cudaGraphUpload(recording->graph, backend->queue.stream),
                                 "a graph", error);
    return status;
}

struct seki_recording *seki_cuda_recorded(struct seki_backend *base, struct seki_error *error)
{
    struct cuda_backend *backend = cuda_backend(base);
    cudaGraph_t graph = NULL;
    struct seki_recording *recording = backend->recording;
    int status;

    backend->recording = NULL;
    status = seki_cuda_check(backend, cudaStreamEndCapture(backend->queue.stream, &graph),
                             "recording", error);
    if (status == 0)
        status = make_ready(backend, graph, recording, error);
    if (graph != NULL)
        cudaGraphDestroy(graph);
    if (status < 0) {
        seki_cuda_forget(recording);
        return NULL;
    }
    return recording;
}

int seki_cuda_replay(struct seki_backend *base, struct seki_recording *recording,
                     struct seki_error *error)
{
    struct cuda_backend *backend = cuda_backend(base);

    return seki_cuda_check(backend, cudaGraphLaunch(recording->graph, backend->queue.stream),
                           "a graph", error);
}

void seki_cuda_forget(struct seki_recording *recording)
{
    if (recording->kept != NULL)
        cudaDeviceSynchronize(); /* a replay may still read it */
    while (recording->kept != NULL) {
        struct kept *kept = recording->kept;

        recording->kept = kept->next;
        cudaFreeHost(kept);
    }
    if (recording->graph != NULL)
        cudaGraphExecDestroy(recording->graph);
    free(recording);
}
