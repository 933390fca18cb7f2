/*
 * grid.cc - runs the threads of a block as fibres. A fibre runs until it comes to a barrier, of its
 * warp or of the block, or to its end; which one is next is drawn at random. What a barrier should
 * have kept apart is so met in many orders.
 */
#include "grid.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <sys/mman.h>
#include <vector>

#if defined(STAND_IN_SANITIZED)
#include <sanitizer/common_interface_defs.h>
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

enum { WARP = 32, MOST_THREADS = 1024 };
static const size_t STACK = (size_t)128 << 10;

/* ---- Fibres -------------------------------------------------------------------------------- */

struct fibre {
    dim3 thread;
    void *stack_pointer;
    char *stack;
    int warp;
    bool ended, waited;
    unsigned exchanges; /* how many so far: the two halves of the warp's slots take turns */
};

struct warp_state {
    int threads, waiting, ended;
    unsigned slots[2][WARP];
};

static struct {
    std::vector<fibre> fibres;
    std::vector<int> ready;
    std::vector<int> at_barrier;
    std::vector<std::vector<int>> at_warp;
    std::vector<warp_state> warps;
    const std::function<void()> *thread;
    fibre *current;
    int ended;
    char *shared;
    size_t shared_bytes;
    void *scheduler; /* its stack pointer */
    const void *scheduler_stack;
    size_t scheduler_size;
} block;

unsigned grid_random(unsigned bound)
{
    static uint64_t state = 0x9e3779b97f4a7c15u;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 32) * bound >> 32);
}

void grid_mistake(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    fputs("the stand-in for CUDA: ", stderr);
    vfprintf(stderr, format, list);
    fputs("\n", stderr);
    va_end(list);
    abort();
}

/* Saves what a call must leave as it was, changes to the other stack, and takes it from there. */
extern "C" void grid_switch(void **save, void *to);
#if defined(__x86_64__)
asm(".text\n"
    ".globl grid_switch\n"
    ".type grid_switch, @function\n"
    "grid_switch:\n"
    "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n"
    "    pushq %r13\n    pushq %r14\n    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n    popq %r14\n    popq %r13\n"
    "    popq %r12\n    popq %rbx\n    popq %rbp\n"
    "    ret\n"
    ".size grid_switch, . - grid_switch\n"
    ".section .note.GNU-stack,\"\",@progbits\n"
    ".text\n");
enum { SAVED = 6 };
#elif defined(__aarch64__)
asm(".text\n"
    ".globl grid_switch\n"
    ".type grid_switch, %function\n"
    "grid_switch:\n"
    "    stp x19, x20, [sp, #-160]!\n"
    "    stp x21, x22, [sp, #16]\n    stp x23, x24, [sp, #32]\n"
    "    stp x25, x26, [sp, #48]\n    stp x27, x28, [sp, #64]\n"
    "    stp x29, x30, [sp, #80]\n"
    "    stp d8, d9, [sp, #96]\n    stp d10, d11, [sp, #112]\n"
    "    stp d12, d13, [sp, #128]\n    stp d14, d15, [sp, #144]\n"
    "    mov x9, sp\n    str x9, [x0]\n    mov sp, x1\n"
    "    ldp x21, x22, [sp, #16]\n    ldp x23, x24, [sp, #32]\n"
    "    ldp x25, x26, [sp, #48]\n    ldp x27, x28, [sp, #64]\n"
    "    ldp x29, x30, [sp, #80]\n"
    "    ldp d8, d9, [sp, #96]\n    ldp d10, d11, [sp, #112]\n"
    "    ldp d12, d13, [sp, #128]\n    ldp d14, d15, [sp, #144]\n"
    "    ldp x19, x20, [sp], #160\n"
    "    ret\n");
enum { SAVED = 20 };
#else
#error "the stand-in for CUDA has no change of stacks for this processor"
#endif

static void to_scheduler(fibre *self)
{
#if defined(STAND_IN_SANITIZED)
    void *fake;

    __sanitizer_start_switch_fiber(&fake, block.scheduler_stack, block.scheduler_size);
#endif
    grid_switch(&self->stack_pointer, block.scheduler);
#if defined(STAND_IN_SANITIZED)
    __sanitizer_finish_switch_fiber(fake, &block.scheduler_stack, &block.scheduler_size);
#endif
}

static void to_fibre(fibre *next)
{
#if defined(STAND_IN_SANITIZED)
    void *fake;

    __sanitizer_start_switch_fiber(&fake, next->stack, STACK);
#endif
    block.current = next;
    threadIdx = next->thread;
    grid_switch(&block.scheduler, next->stack_pointer);
#if defined(STAND_IN_SANITIZED)
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

/* A fibre is a thread of one block after the other. */
static void fibre_main()
{
#if defined(STAND_IN_SANITIZED)
    __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_stack, &block.scheduler_size);
#endif
    for (;;) {
        fibre *self = block.current;

        (*block.thread)();
        if (!self->waited)
            grid_mistake("a thread that has not waited for the kernel before its own");
        self->ended = true;
        to_scheduler(self);
    }
}

static void make_fibre(fibre *f)
{
    void *memory = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        grid_mistake("no memory for a thread's stack");
    f->stack = static_cast<char *>(memory);
    uintptr_t top = ((uintptr_t)f->stack + STACK) & ~(uintptr_t)15;
    void **frame = reinterpret_cast<void **>(top);

#if defined(__x86_64__)
    *--frame = nullptr; /* a return address of fibre_main's own: its stack is then aligned */
    *--frame = reinterpret_cast<void *>(fibre_main);
    for (int i = 0; i < SAVED; i++)
        *--frame = nullptr;
#else
    frame -= SAVED;
    for (int i = 0; i < SAVED; i++)
        frame[i] = nullptr;
    frame[11] = reinterpret_cast<void *>(fibre_main); /* x30 */
#endif
    f->stack_pointer = frame;
}

/* ---- Barriers ------------------------------------------------------------------------------ */

static void release(std::vector<int> *waiting)
{
    for (int i : *waiting)
        block.ready.push_back(i);
    waiting->clear();
}

static int index_of(const fibre *f)
{
    return (int)(f - block.fibres.data());
}

void __syncthreads()
{
    fibre *self = block.current;

    block.at_barrier.push_back(index_of(self));
    if (block.at_barrier.size() == (size_t)blockDim.x)
        release(&block.at_barrier);
    to_scheduler(self);
}

void __syncwarp()
{
    fibre *self = block.current;
    std::vector<int> *waiting = &block.at_warp[(size_t)self->warp];

    waiting->push_back(index_of(self));
    if (waiting->size() == (size_t)block.warps[(size_t)self->warp].threads)
        release(waiting);
    to_scheduler(self);
}

void __threadfence() {}

void cudaGridDependencySynchronize()
{
    block.current->waited = true;
}

unsigned grid_exchange(unsigned value, int mask)
{
    fibre *self = block.current;
    const int lane = (int)self->thread.x % WARP;
    unsigned *slots = block.warps[(size_t)self->warp].slots[self->exchanges++ % 2];

    slots[lane] = value;
    __syncwarp();
    return slots[lane ^ mask];
}

void *grid_shared_memory(size_t bytes)
{
    if (bytes > block.shared_bytes)
        grid_mistake("a kernel uses %zu bytes of shared memory, launched with %zu", bytes,
                     block.shared_bytes);
    return block.shared;
}

/* ---- Blocks -------------------------------------------------------------------------------- */

static void prepare(int threads)
{
    if (block.fibres.empty()) {
        block.fibres.resize(MOST_THREADS);
        for (fibre &f : block.fibres)
            make_fibre(&f);
    }
    block.warps.assign((size_t)((threads + WARP - 1) / WARP), warp_state());
    block.at_warp.assign(block.warps.size(), std::vector<int>());
    block.at_barrier.clear();
    block.ready.clear();
    block.ended = 0;
    for (int i = 0; i < threads; i++) {
        fibre *f = &block.fibres[(size_t)i];

        f->thread = dim3((unsigned)i, 0, 0);
        f->warp = i / WARP;
        f->ended = f->waited = false;
        f->exchanges = 0;
        block.warps[(size_t)f->warp].threads++;
        block.ready.push_back(i);
    }
}

static void run_block(dim3 index, int threads)
{
    prepare(threads);
    blockIdx = index;
    while (block.ended < threads) {
        if (block.ready.empty())
            grid_mistake("threads of a block wait for each other at different barriers: %d have "
                         "ended, %zu are at __syncthreads",
                         block.ended, block.at_barrier.size());
        const size_t drawn = grid_random((unsigned)block.ready.size());
        const int next = block.ready[drawn];

        block.ready[drawn] = block.ready.back();
        block.ready.pop_back();
        to_fibre(&block.fibres[(size_t)next]);
        if (block.fibres[(size_t)next].ended)
            block.ended++;
    }
}

void grid_run(dim3 grid, dim3 threads, size_t shared, const std::function<void()> &thread)
{
    const unsigned count = grid.x * grid.y * grid.z;
    std::vector<unsigned> order(count);

    gridDim = grid;
    blockDim = threads;
    block.thread = &thread;
    /* Of its own for each grid: what is written past its end is seen by the address sanitizer. */
    block.shared = static_cast<char *>(operator new(shared, std::align_val_t(16)));
    block.shared_bytes = shared;
    memset(block.shared, 0xff, shared);
    for (unsigned i = 0; i < count; i++) {
        const unsigned other = grid_random(i + 1);

        order[i] = order[other];
        order[other] = i;
    }
    for (unsigned i : order)
        run_block(dim3(i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y), (int)threads.x);
    operator delete(block.shared, std::align_val_t(16));
}
