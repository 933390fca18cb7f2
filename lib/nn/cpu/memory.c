/*
 * memory.c - the memory that the backend gives out. In a virtual machine the first touch of a page
 * can cost ten microseconds, so large pieces are mapped with all their pages at once.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, MADV_POPULATE_WRITE */
#include "nn/cpu/cpu_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT ((size_t)64)
#define PAGE      ((size_t)4096)
/* From this size on pieces are mapped on their own. */
#define LARGE ((size_t)1 << 20)

/* Stands right before a piece. */
struct header {
    void *base;
    size_t mapped; /* bytes to unmap; 0: from the heap */
};

static bool populate(char *base, size_t bytes)
{
#if defined(MADV_POPULATE_WRITE) /* Linux 5.14 on */
    if (madvise(base, bytes, MADV_POPULATE_WRITE) == 0)
        return true;
    if (errno == ENOMEM)
        return false;
#endif
    for (size_t at = 0; at < bytes; at += PAGE)
        ((volatile char *)base)[at] = 0;
    return true;
}

/* Large pages where the system has them: a step that goes over hundreds of megabytes looks up
 * fewer.
 */
static void *map_pages(size_t bytes)
{
    char *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED)
        return NULL;
    seki_large_pages(base, bytes);
    if (populate(base, bytes))
        return base;
    munmap(base, bytes);
    return NULL;
}

static void *heap(size_t bytes)
{
    void *base;

    if (posix_memalign(&base, ALIGNMENT, bytes) != 0)
        return NULL;
    return memset(base, 0, bytes);
}

void *seki_cpu_memory(struct seki_backend *backend, size_t bytes, struct seki_error *error)
{
    struct header header = {0};
    /* Arrays that are read together should not lie at one offset from a page: their lines would
     * meet in the same sets of the nearest cache. */
    size_t before = ALIGNMENT * (1 + cpu_backend(backend)->memories++ * 5 % 32);

    if (bytes > SIZE_MAX / 2) {
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "%zu bytes are more than can be addressed",
                  bytes);
        return NULL;
    }
    if (bytes < LARGE) {
        before = ALIGNMENT;
        header.base = heap(before + bytes);
    } else {
        header.mapped = (before + bytes + SEKI_LARGE_PAGE - 1) / SEKI_LARGE_PAGE * SEKI_LARGE_PAGE;
        header.base = map_pages(header.mapped);
    }
    if (header.base == NULL) {
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory: %zu bytes were asked for",
                  bytes);
        return NULL;
    }
    char *memory = (char *)header.base + before;
    memcpy(memory - sizeof(header), &header, sizeof(header));
    return memory;
}

void seki_cpu_release(struct seki_backend *backend, void *memory)
{
    struct header header;

    (void)backend;
    if (memory == NULL)
        return;
    memcpy(&header, (char *)memory - sizeof(header), sizeof(header));
    if (header.mapped == 0)
        free(header.base);
    else if (munmap(header.base, header.mapped) != 0)
        SEKI_BUG("released memory that was not given out");
}

int seki_cpu_clear(struct seki_backend *backend, float *array, const struct seki_range *ranges,
                   int count, struct seki_error *error)
{
    (void)backend;
    (void)error;
    seki_clear_on_host(array, ranges, count);
    return 0;
}

int seki_cpu_write(struct seki_backend *backend, void *memory, const void *host, size_t bytes,
                   struct seki_error *error)
{
    (void)backend;
    (void)error;
    memcpy(memory, host, bytes);
    return 0;
}

int seki_cpu_read(struct seki_backend *backend, void *host, const void *memory, size_t bytes,
                  struct seki_error *error)
{
    (void)backend;
    (void)error;
    memcpy(host, memory, bytes);
    return 0;
}

void *seki_cpu_take(struct cpu_arena *arena, size_t bytes)
{
    char *piece = arena->base != NULL ? arena->base + arena->used : NULL;

    arena->used += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return piece;
}

float *seki_cpu_take_floats(struct cpu_arena *arena, size_t count)
{
    return seki_cpu_take(arena, count * sizeof(float));
}

void *seki_cpu_take_elements(struct cpu_arena *arena, const struct cpu_backend *backend,
                             size_t count)
{
    return seki_cpu_take(arena, count * backend->kernels->element);
}
