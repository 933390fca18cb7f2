/*
 * gpu_fixture.h - the GPU backend for a test, which is skipped where there is no GPU.
 */
#ifndef SEKI_GPU_FIXTURE_H
#define SEKI_GPU_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nn/backend.h"

static inline struct seki_backend *open_gpu(enum seki_precision precision)
{
    struct seki_error error;
    struct seki_backend *backend = seki_backend_open("cuda", 0, precision, &error);

    if (backend == NULL && error.kind == SEKI_NO_RESOURCE && strcmp(error.code, "backend") == 0) {
        print_message("%s\n", error.message);
        skip();
    }
    if (backend == NULL)
        fail_msg("%s", error.message);
    return backend;
}

#endif
