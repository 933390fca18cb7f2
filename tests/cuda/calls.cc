/*
 * calls.cc - counts what the stand-in is asked for.
 */
#include "grid.h"

struct stand_in_calls grid_calls;
bool grid_computes = true;

static thread_local int own_depth;

grid_own_memory::grid_own_memory()
{
    own_depth++;
}

grid_own_memory::~grid_own_memory()
{
    own_depth--;
}

/* As <sanitizer/allocator_interface.h> has it, which not every compiler brings. */
extern "C" int __sanitizer_install_malloc_and_free_hooks(
    void (*allocated)(const volatile void *memory, size_t bytes),
    void (*freed)(const volatile void *memory)) __attribute__((weak));

/* In whichever thread. */
static void count_allocation(const volatile void *, size_t)
{
    if (own_depth == 0)
        __atomic_fetch_add(&grid_calls.host_memory, 1, __ATOMIC_RELAXED);
}

static void count_nothing(const volatile void *) {}

struct stand_in_calls stand_in_count(void)
{
    static bool hooked;

    if (!hooked && __sanitizer_install_malloc_and_free_hooks != nullptr)
        __sanitizer_install_malloc_and_free_hooks(count_allocation, count_nothing);
    hooked = true;
    return grid_calls;
}

void stand_in_compute(bool compute)
{
    grid_computes = compute;
}
