/*
 * kernel_times.c - preloaded into a program, tells from CUDA's events what the GPU's work took,
 * kernel by kernel: a JSON line each in the file that KERNEL_TIMES names. It counts from
 * kernel_times_start to kernel_times_stop, which the program calls where it finds them.
 *
 * An event stands before and after each kernel, graph, copy and setting of memory. The GPU is held
 * back until HELD launches are in the stream, or the program waits for it: else a GPU that waits
 * for the host would show the host's time as the kernel's. What two events take with nothing
 * between them is measured beside and told, for the reader to take away. What remains is the
 * kernel's own time and up to the GPU's time of starting it.
 *
 * A graph is timed as a whole, and so is what cuDNN runs, which has a CUDA runtime of its own.
 * Launches into a stream that is being captured are let through: they do not run. For one thread
 * that launches.
 */
#define _GNU_SOURCE /* dladdr */
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define EXPORTED __attribute__((visibility("default")))

enum {
    MOST_SPANS = 4096,
    MOST_KERNELS = 512,
    HELD = 100,        /* of three commands each: a stream takes about a thousand before it waits */
    HELD_AT_MOST = 20, /* milliseconds, should the program wait in a way that is not seen here */
};

/* ---- The runtime's own functions ----------------------------------------------------------- */

#define EACH_FUNCTION(_)                                                                           \
    _(cudaLaunchKernelExC)                                                                         \
    _(cudaGraphLaunch)                                                                             \
    _(cudaMemcpyAsync)                                                                             \
    _(cudaMemsetAsync)                                                                             \
    _(cudaStreamSynchronize)                                                                       \
    _(cudaEventSynchronize)                                                                        \
    _(cudaDeviceSynchronize)                                                                       \
    _(cudaStreamIsCapturing)                                                                       \
    _(cudaLaunchHostFunc)                                                                          \
    _(cudaEventCreateWithFlags)                                                                    \
    _(cudaEventRecord)                                                                             \
    _(cudaEventElapsedTime)                                                                        \
    _(cudaFuncGetName)                                                                             \
    _(cudaGetErrorString)

static struct {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a declaration */
#define MEMBER(name) __typeof__(name) *name;
    EACH_FUNCTION(MEMBER)
#undef MEMBER
    char *(*demangle)(const char *, char *, size_t *, int *);
} real;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "kernel_times: %s: %s\n", what, why);
    abort();
}

static void *find(void *object, const char *name)
{
    void *function = dlsym(object, name);

    if (!function)
        fail(name, dlerror());
    return function;
}

/* In what the caller was linked with: it may have been loaded without showing that to others, so
 * that RTLD_NEXT finds nothing. */
static void *object_of(const void *caller)
{
    Dl_info info;
    void *object = dladdr(caller, &info) ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;

    if (!object)
        fail("a caller's object", "not found");
    return object;
}

static void find_functions(const void *caller)
{
    if (real.cudaLaunchKernelExC)
        return;
    void *object = object_of(caller);
#define FIND(name) *(void **)&real.name = find(object, #name);
    EACH_FUNCTION(FIND)
#undef FIND
    *(void **)&real.demangle = dlsym(object, "__cxa_demangle");
}

static void check(cudaError_t status, const char *what)
{
    if (status != cudaSuccess)
        fail(what, real.cudaGetErrorString(status));
}

/* ---- Holding the GPU back ------------------------------------------------------------------ */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    intptr_t closed, opened; /* how often so far; unequal: the GPU is held */
    int spans;               /* since it was closed */
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void wait_at_gate(void *number)
{
    struct timespec end;
    int status = 0;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += HELD_AT_MOST * 1000000L;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    pthread_mutex_lock(&gate.mutex);
    while (gate.opened < (intptr_t)number && status == 0)
        status = pthread_cond_timedwait(&gate.changed, &gate.mutex, &end);
    pthread_mutex_unlock(&gate.mutex);
}

static void open_gate(void)
{
    pthread_mutex_lock(&gate.mutex);
    gate.opened = gate.closed;
    pthread_cond_signal(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

static void close_gate(cudaStream_t stream)
{
    gate.closed++;
    gate.spans = 0;
    check(real.cudaLaunchHostFunc(stream, wait_at_gate, (void *)gate.closed), "cudaLaunchHostFunc");
}

/* ---- Spans between two events -------------------------------------------------------------- */

struct kernel {
    const void *function; /* NULL: no kernel but what `name` says */
    const char *name;
    long calls;
    double microseconds, launch_microseconds; /* of the GPU; of the host in the call */
};

static struct {
    bool counting;
    long runs;
    struct kernel kernels[MOST_KERNELS];
    int kernel_count;
    struct span {
        struct kernel *kernel;
        cudaEvent_t before, after;
    } spans[MOST_SPANS];
    int span_count;
} times;

static const char EMPTY[] = "nothing", GRAPH[] = "graph", COPY[] = "copy", SET[] = "set memory",
                  CUDNN[] = "cuDNN";

static const char *name_of(const void *function)
{
    const char *name = NULL;
    char *plain;

    check(real.cudaFuncGetName(&name, function), "cudaFuncGetName");
    plain = real.demangle ? real.demangle(name, NULL, NULL, NULL) : NULL;
    return plain ? plain : name;
}

/* Of a kernel's function, or of one of the names above. */
static struct kernel *kernel_of(const void *function, const char *name)
{
    for (int i = 0; i < times.kernel_count; i++)
        if (times.kernels[i].function == function && (function || times.kernels[i].name == name))
            return &times.kernels[i];
    if (times.kernel_count == MOST_KERNELS)
        fail("kernels", "too many");
    times.kernels[times.kernel_count] =
        (struct kernel){function, function ? name_of(function) : name, 0, 0, 0};
    return &times.kernels[times.kernel_count++];
}

/* What was launched is waited for and added up. */
static void collect(void)
{
    open_gate();
    for (int i = 0; i < times.span_count; i++) {
        struct span *span = &times.spans[i];
        float milliseconds;

        check(real.cudaEventSynchronize(span->after), "cudaEventSynchronize");
        check(real.cudaEventElapsedTime(&milliseconds, span->before, span->after),
              "cudaEventElapsedTime");
        span->kernel->calls++;
        span->kernel->microseconds += 1e3 * (double)milliseconds;
    }
    times.span_count = 0;
}

static struct span *begin_span(struct kernel *kernel, cudaStream_t stream)
{
    struct span *span;

    if (times.span_count == MOST_SPANS)
        collect();
    span = &times.spans[times.span_count++];
    span->kernel = kernel;
    if (!span->before) {
        check(real.cudaEventCreateWithFlags(&span->before, cudaEventDefault), "an event");
        check(real.cudaEventCreateWithFlags(&span->after, cudaEventDefault), "an event");
    }
    check(real.cudaEventRecord(span->before, stream), "cudaEventRecord");
    return span;
}

static void end_span(const struct span *span, cudaStream_t stream)
{
    check(real.cudaEventRecord(span->after, stream), "cudaEventRecord");
}

static bool counts(cudaStream_t stream)
{
    enum cudaStreamCaptureStatus status;

    if (!times.counting)
        return false;
    check(real.cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
    return status == cudaStreamCaptureStatusNone;
}

/* Before a launch; NULL: it does not count. */
static struct span *before_launch(const void *function, const char *name, cudaStream_t stream)
{
    if (!counts(stream))
        return NULL;
    if (gate.closed != gate.opened && ++gate.spans > HELD)
        open_gate();
    if (gate.closed == gate.opened) {
        close_gate(stream);
        end_span(begin_span(kernel_of(NULL, EMPTY), stream), stream);
    }
    return begin_span(kernel_of(function, name), stream);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return 1e6 * (double)time.tv_sec + 1e-3 * (double)time.tv_nsec;
}

static cudaError_t after_launch(struct span *span, cudaStream_t stream, double began,
                                cudaError_t status)
{
    if (!span)
        return status;
    span->kernel->launch_microseconds += now() - began;
    end_span(span, stream);
    return status;
}

/* ---- In the place of the runtime's functions ----------------------------------------------- */

EXPORTED cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function,
                                         void **arguments)
{
    find_functions(__builtin_return_address(0));
    struct span *span = before_launch(function, NULL, config->stream);
    const double began = now();

    return after_launch(span, config->stream, began,
                        real.cudaLaunchKernelExC(config, function, arguments));
}

EXPORTED cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream)
{
    find_functions(__builtin_return_address(0));
    struct span *span = before_launch(NULL, GRAPH, stream);
    const double began = now();

    return after_launch(span, stream, began, real.cudaGraphLaunch(graph, stream));
}

EXPORTED cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes,
                                     enum cudaMemcpyKind kind, cudaStream_t stream)
{
    find_functions(__builtin_return_address(0));
    struct span *span = before_launch(NULL, COPY, stream);
    const double began = now();

    return after_launch(span, stream, began, real.cudaMemcpyAsync(to, from, bytes, kind, stream));
}

EXPORTED cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    find_functions(__builtin_return_address(0));
    struct span *span = before_launch(NULL, SET, stream);
    const double began = now();

    return after_launch(span, stream, began, real.cudaMemsetAsync(memory, value, bytes, stream));
}

EXPORTED cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    find_functions(__builtin_return_address(0));
    open_gate();
    return real.cudaStreamSynchronize(stream);
}

EXPORTED cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    find_functions(__builtin_return_address(0));
    open_gate();
    return real.cudaEventSynchronize(event);
}

EXPORTED cudaError_t cudaDeviceSynchronize(void)
{
    find_functions(__builtin_return_address(0));
    open_gate();
    return real.cudaDeviceSynchronize();
}

/* ---- cuDNN ----------------------------------------------------------------------------------- */

typedef void *cudnn_object; /* its handles and descriptors */
static struct {
    int (*set_stream)(cudnn_object handle, cudaStream_t stream);
    int (*execute)(cudnn_object handle, cudnn_object plan, cudnn_object arguments);
    cudaStream_t stream; /* of the handle that was set last */
} cudnn;

EXPORTED int cudnnSetStream(cudnn_object handle, cudaStream_t stream);
EXPORTED int cudnnBackendExecute(cudnn_object handle, cudnn_object plan, cudnn_object arguments);

static void find_cudnn(const void *caller)
{
    find_functions(caller);
    if (cudnn.execute)
        return;
    void *object = object_of(caller);
    *(void **)&cudnn.set_stream = find(object, "cudnnSetStream");
    *(void **)&cudnn.execute = find(object, "cudnnBackendExecute");
}

int cudnnSetStream(cudnn_object handle, cudaStream_t stream)
{
    find_cudnn(__builtin_return_address(0));
    cudnn.stream = stream;
    return cudnn.set_stream(handle, stream);
}

int cudnnBackendExecute(cudnn_object handle, cudnn_object plan, cudnn_object arguments)
{
    find_cudnn(__builtin_return_address(0));
    struct span *span = before_launch(NULL, CUDNN, cudnn.stream);
    const double began = now();
    const int status = cudnn.execute(handle, plan, arguments);

    after_launch(span, cudnn.stream, began, cudaSuccess);
    return status;
}

/* ---- For the program ----------------------------------------------------------------------- */

EXPORTED void kernel_times_start(void);
EXPORTED void kernel_times_stop(int runs);

void kernel_times_start(void)
{
    times.counting = true;
}

/* After so many runs of what is measured, all of which are done. */
void kernel_times_stop(int runs)
{
    collect();
    times.counting = false;
    times.runs += runs;
}

/* Names are C++'s, without a quotation mark or a backslash. */
__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("KERNEL_TIMES");
    FILE *file = path ? fopen(path, "a") : NULL;

    if (!file)
        return;
    for (int i = 0; i < times.kernel_count; i++) {
        const struct kernel *kernel = &times.kernels[i];

        fprintf(file,
                "{\"name\": \"%s\", \"kernel\": %s, \"runs\": %ld, \"calls\": %ld, "
                "\"microseconds\": %.3f, "
                "\"launch_microseconds\": %.3f}\n",
                kernel->name, kernel->function ? "true" : "false", times.runs, kernel->calls,
                kernel->microseconds, kernel->launch_microseconds);
    }
    fclose(file);
}
