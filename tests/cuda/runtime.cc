/*
 * runtime.cc - the stand-in's memory, streams, kernels and events.
 */
#include "grid.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <map>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

/* ---- The device's memory ------------------------------------------------------------------- */

struct piece {
    char *pages;
    size_t page_bytes; /* without the page behind that nobody may touch */
    size_t bytes;
};

static std::map<char *, piece> device, locked; /* by address */
static cudaError_t last_error = cudaSuccess;

static cudaError_t fail(cudaError_t error)
{
    last_error = error;
    return error;
}

static void protect(int protection)
{
    for (const auto &entry : device)
        if (mprotect(entry.second.pages, entry.second.page_bytes, protection) != 0)
            grid_mistake("memory cannot be protected");
}

/* Ends at the last page's end but for what an alignment of 256 bytes takes, as cudaMalloc gives. */
static char *map_piece(size_t bytes, piece *p)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), rounded = (bytes + 255) / 256 * 256;

    p->page_bytes = (rounded + page - 1) / page * page;
    p->bytes = bytes;
    void *memory = mmap(nullptr, p->page_bytes + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return nullptr;
    p->pages = static_cast<char *>(memory);
    if (mprotect(p->pages + p->page_bytes, page, PROT_NONE) != 0)
        return nullptr;
    memset(p->pages, 0xff, p->page_bytes);
    return p->pages + p->page_bytes - rounded;
}

static void unmap_piece(const piece &p)
{
    munmap(p.pages, p.page_bytes + (size_t)sysconf(_SC_PAGESIZE));
}

static bool inside(const std::map<char *, piece> &pieces, const void *memory, size_t bytes)
{
    char *address = static_cast<char *>(const_cast<void *>(memory));
    auto after = pieces.upper_bound(address);

    if (after == pieces.begin())
        return false;
    --after;
    return (size_t)(address - after->first) + bytes <= after->second.bytes;
}

/* ---- Streams and events -------------------------------------------------------------------- */

struct CUevent_st {
    unsigned long recorded, passed; /* how often */
    bool timing;
    std::chrono::steady_clock::time_point time; /* when it was last passed */
};

struct work {
    std::function<void()> run; /* or */
    cudaEvent_t record, wait;  /* an event: */
    unsigned long number;      /* its recording */
    bool kernel;
};

struct CUgraph_st {
    std::vector<work> works;
};

struct CUgraphExec_st {
    std::vector<work> works;
};

struct CUstream_st {
    std::deque<work> queue;
    cudaGraph_t capture; /* where work goes instead */
    enum cudaStreamCaptureMode mode;
};

static std::vector<cudaStream_t> streams;

static bool can_run(const CUstream_st *stream)
{
    if (stream->queue.empty())
        return false;
    const work &next = stream->queue.front();

    return next.wait == nullptr || next.wait->passed >= next.number;
}

static void run_one(CUstream_st *stream)
{
    const work next = stream->queue.front();

    stream->queue.pop_front();
    if (next.record != nullptr) {
        next.record->passed = std::max(next.record->passed, next.number);
        next.record->time = std::chrono::steady_clock::now();
    } else if (next.wait == nullptr)
        next.run();
}

/* Until `done`: of the streams that can go on, one drawn at random, a piece of work at a time. */
static void run_until(const std::function<bool()> &done)
{
    grid_own_memory own;

    protect(PROT_READ | PROT_WRITE);
    while (!done()) {
        std::vector<cudaStream_t> able;

        for (cudaStream_t stream : streams)
            if (can_run(stream))
                able.push_back(stream);
        if (able.empty())
            grid_mistake("what is waited for is in no stream");
        else
            run_one(able[grid_random((unsigned)able.size())]);
    }
    protect(PROT_NONE);
}

static void put(cudaStream_t stream, const work &next)
{
    grid_own_memory own;

    if (stream == nullptr)
        grid_mistake("work for the default stream: the backend has its own");
    if (stream->capture != nullptr) {
        stream->capture->works.push_back(next);
        return;
    }
    stream->queue.push_back(next);
    grid_calls.kernels += next.kernel ? 1 : 0;
}

void grid_put(cudaStream_t stream, std::function<void()> run)
{
    grid_own_memory own;

    if (stream->capture == nullptr)
        grid_calls.launches++;
    put(stream, {[run]() {
                     if (grid_computes)
                         run();
                 },
                 nullptr, nullptr, 0, true});
}

bool grid_on_device(const void *memory, size_t bytes)
{
    return inside(device, memory, bytes);
}

static void finish_all()
{
    run_until([]() {
        return std::all_of(streams.begin(), streams.end(),
                           [](cudaStream_t stream) { return stream->queue.empty(); });
    });
}

/* ---- Kernels ------------------------------------------------------------------------------- */

struct known_kernel {
    grid_thread thread;
    std::string name; /* as a compiler mangles that of a function without parameters */
};

static std::map<const void *, known_kernel> kernels;

void grid_know(const void *kernel, grid_thread thread, const char *call)
{
    if (kernels.count(kernel) == 0)
        kernels[kernel] = {thread, std::string("_Z") + call + "v"};
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *kernel,
                                void **arguments)
{
    grid_own_memory own;
    const dim3 grid = config->gridDim, block = config->blockDim;
    const size_t shared = config->dynamicSmemBytes;
    const auto known = kernels.find(kernel);

    if (known == kernels.end())
        return fail(cudaErrorInvalidDeviceFunction);
    /* The limits of every device of compute capability 8.0 and up. */
    if (grid.x < 1 || grid.x > 0x7fffffff || grid.y < 1 || grid.y > 65535 || grid.z != 1 ||
        block.x < 1 || block.x > 1024 || block.y != 1 || block.z != 1 || shared > 48 * 1024)
        return fail(cudaErrorInvalidConfiguration);
    const std::function<void()> thread = known->second.thread(kernel, arguments);

    if (config->stream != nullptr && config->stream->capture == nullptr)
        grid_calls.launches++;
    put(config->stream, {[=]() {
                             if (grid_computes)
                                 grid_run(grid, block, shared, thread);
                         },
                         nullptr, nullptr, 0, true});
    return cudaSuccess;
}

cudaError_t cudaFuncGetName(const char **name, const void *kernel)
{
    const auto known = kernels.find(kernel);

    if (known == kernels.end())
        return fail(cudaErrorInvalidDeviceFunction);
    *name = known->second.name.c_str();
    return cudaSuccess;
}

/* ---- The functions ------------------------------------------------------------------------- */

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
        return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    default:
        return "unspecified";
    }
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = last_error;

    last_error = cudaSuccess;
    return error;
}

/* STAND_IN_DEVICES: how many there are, 1; STAND_IN_MEMORY: bytes of the device, no limit. */
static long from_environment(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text != nullptr ? strtol(text, nullptr, 10) : otherwise;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    const long devices = from_environment("STAND_IN_DEVICES", 1);

    *count = devices > 0 ? (int)devices : 0;
    return devices < 0    ? fail(cudaErrorInsufficientDriver)
           : devices == 0 ? fail(cudaErrorNoDevice)
                          : cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    if (device != 0)
        return fail(cudaErrorInvalidValue);
    *value = attribute == cudaDevAttrComputeCapabilityMajor
                 ? (int)from_environment("STAND_IN_CAPABILITY", 9)
                 : 0;
    return cudaSuccess;
}

static void not_in_capture(const char *what);

/* What frees need not wait for what still uses it: the caller must have. */
static void not_in_use(const char *what)
{
    for (cudaStream_t stream : streams)
        if (!stream->queue.empty())
            grid_mistake("%s while work is left in a stream", what);
}

cudaError_t cudaDeviceSynchronize(void)
{
    not_in_capture("waiting for the device");
    grid_calls.waits++;
    finish_all();
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    const long limit = from_environment("STAND_IN_MEMORY", 0);
    size_t used = bytes;
    grid_own_memory own;
    piece p;

    not_in_capture("cudaMalloc");
    grid_calls.device_memory++;
    if (bytes > (size_t)1 << 40)
        return fail(cudaErrorMemoryAllocation);
    for (const auto &entry : device)
        used += entry.second.bytes;
    if (limit > 0 && used > (size_t)limit)
        return fail(cudaErrorMemoryAllocation);
    *memory = map_piece(bytes, &p);
    if (*memory == nullptr)
        return fail(cudaErrorMemoryAllocation);
    mprotect(p.pages, p.page_bytes, PROT_NONE);
    device[static_cast<char *>(*memory)] = p;
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory)
{
    if (memory == nullptr)
        return cudaSuccess;
    const auto entry = device.find(static_cast<char *>(memory));

    if (entry == device.end())
        return fail(cudaErrorInvalidValue);
    not_in_use("cudaFree");
    grid_calls.device_memory++;
    unmap_piece(entry->second);
    device.erase(entry);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned)
{
    grid_own_memory own;
    piece p;

    for (cudaStream_t stream : streams)
        if (stream->capture != nullptr && stream->mode != cudaStreamCaptureModeRelaxed)
            grid_mistake("cudaHostAlloc while a stream is recorded, and not in the relaxed mode");
    grid_calls.locked_memory++;
    *memory = map_piece(bytes, &p);
    if (*memory == nullptr)
        return fail(cudaErrorMemoryAllocation);
    locked[static_cast<char *>(*memory)] = p;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *memory)
{
    if (memory == nullptr)
        return cudaSuccess;
    const auto entry = locked.find(static_cast<char *>(memory));

    if (entry == locked.end())
        return fail(cudaErrorInvalidValue);
    not_in_use("cudaFreeHost");
    grid_calls.locked_memory++;
    unmap_piece(entry->second);
    locked.erase(entry);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    grid_own_memory own;

    if (bytes > 0 && !inside(device, memory, bytes))
        grid_mistake("%zu bytes are set that are not the device's", bytes);
    put(stream, {[=]() { memset(memory, value, bytes); }, nullptr, nullptr, 0, false});
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    const bool to_device = kind != cudaMemcpyDeviceToHost,
               from_device = kind != cudaMemcpyHostToDevice;
    grid_own_memory own;

    grid_calls.copies_back += to_device ? 0 : 1;
    if (bytes > 0 && (!inside(to_device ? device : locked, to, bytes) ||
                      !inside(from_device ? device : locked, from, bytes)))
        grid_mistake("a copy of %zu bytes leaves the device's or page-locked memory", bytes);
    put(stream, {[=]() { memcpy(to, from, bytes); }, nullptr, nullptr, 0, false});
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    *stream = new CUstream_st();
    streams.push_back(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    cudaStreamSynchronize(stream);
    streams.erase(std::find(streams.begin(), streams.end(), stream));
    delete stream;
    return cudaSuccess;
}

/* What may not be done while a stream records. */
static void not_in_capture(const char *what)
{
    for (cudaStream_t stream : streams)
        if (stream->capture != nullptr)
            grid_mistake("%s while a stream is recorded", what);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    not_in_capture("waiting for a stream");
    grid_calls.waits++;
    run_until([=]() { return stream->queue.empty(); });
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    *event = new CUevent_st();
    (*event)->timing = (flags & cudaEventDisableTiming) == 0;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    cudaEventSynchronize(event);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    put(stream, {nullptr, event, nullptr, ++event->recorded, false});
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    put(stream, {nullptr, nullptr, event, event->recorded, false});
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    not_in_capture("waiting for an event");
    const unsigned long number = event->recorded;

    if (event->passed >= number)
        return cudaSuccess;
    grid_calls.waits++;
    run_until([=]() { return event->passed >= number; });
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end)
{
    if (!start->timing || !end->timing || start->recorded == 0 || end->recorded == 0)
        return fail(cudaErrorInvalidResourceHandle);
    if (start->passed < start->recorded || end->passed < end->recorded)
        return fail(cudaErrorNotReady);
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data)
{
    put(stream, {[=]() { function(data); }, nullptr, nullptr, 0, false});
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    not_in_capture("recording");
    stream->mode = mode;
    stream->capture = new CUgraph_st;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    if (stream->capture == nullptr)
        return fail(cudaErrorInvalidValue);
    *graph = stream->capture;
    stream->capture = nullptr;
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    *status =
        stream->capture != nullptr ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long)
{
    grid_calls.graphs_made++;
    *executable = new CUgraphExec_st{graph->works};
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t)
{
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream)
{
    grid_calls.launches++;
    for (const work &next : executable->works)
        put(stream, next);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable)
{
    /* What of it is still to run is freed when it has run. */
    delete executable;
    return cudaSuccess;
}
