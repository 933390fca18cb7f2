/*
 * memory.c - allocation that reports its failure.
 */
#define _DEFAULT_SOURCE /* madvise, MADV_HUGEPAGE: Linux; POSIX has no such advice */
#include "base/base.h"

#include <stdlib.h>
#include <sys/mman.h>

void *seki_allocate(size_t count, size_t size, struct seki_error *error)
{
    void *memory;

    if (size && count > SIZE_MAX / size) {
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory: %zu times %zu bytes", count,
                  size);
        return NULL;
    }
    /* calloc(0) may return NULL, which a caller would take for a failure. */
    memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory)
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory: %zu bytes", count * size);
    return memory;
}

void seki_large_pages(void *memory, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    madvise(memory, bytes, MADV_HUGEPAGE);
#else
    (void)memory;
    (void)bytes;
#endif
}
