/*
 * cudnn_plans.c - the plans that cuDNN has for the convolutions that the GPU backend leaves to it,
 * found by the backend's own code (lib/nn/cuda/plans.c) for cards that need not be there. A JSON
 * line each; status 1 where one has none.
 */
#include <stdio.h>
#include <stdlib.h>

#include "nn/cuda/plans.h"

/* Properties of cards as far as plans depend on them: compute capability, multiprocessors, shared
 * memory a block may ask for, level 2 cache, clocks (kHz), memory. */
static const struct card {
    const char *name;
    int capability, multiprocessors, shared, cache, clock, memory_clock;
    long long memory;
} cards[] = {
    {"NVIDIA A100-SXM4-80GB", 800, 108, 166912, 41943040, 1410000, 1593000, 85100000000},
    {"NVIDIA H100 80GB HBM3", 900, 132, 232448, 52428800, 1980000, 2619000, 85000000000},
    {"NVIDIA B200", 1000, 148, 232448, 132644864, 1965000, 3996000, 191000000000},
};

static void describe(const struct card *c, char *json, size_t size)
{
    snprintf(json, size,
             "{\"deviceVer\":%d,\"driverVer\":13000,\"cudaDeviceId\":0,"
             "\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],"
             "\"regsPerBlock\":65536,\"multiProcessorCount\":%d,\"warpSize\":32,"
             "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":%d,"
             "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,"
             "\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,"
             "\"pciDeviceId\":0,\"isTccDriver\":0,\"supportCoopLaunch\":1,\"smClockRateKHz\":%d,"
             "\"memClockRateKHz\":%d,\"l2CacheSize\":%d,\"totalGlobalMem\":%lld,"
             "\"deviceName\":\"%s\"}",
             c->capability, c->multiprocessors, c->shared, c->clock, c->memory_clock, c->cache,
             c->memory, c->name);
}

/* Square pictures and kernels, padded to keep their size but for the stride. */
static const struct shape {
    const char *what;
    int images, inputs, outputs, size, kernel, stride;
} shapes[] = {
    {"NAS-Bench-201, last stage", 256, 64, 64, 8, 3, 1},
    {"NAS-Bench-201 of 32 channels, last reduction", 256, 64, 128, 16, 3, 2},
    {"NAS-Bench-201 of 32 channels, last stage", 256, 128, 128, 8, 3, 1},
    {"DARTS, auxiliary head", 96, 128, 768, 2, 2, 1},
    {"an odd batch of odd pictures", 7, 72, 88, 9, 5, 1},
};

static struct cuda_convolution convolution_of(const struct shape *s, enum cuda_direction direction)
{
    const int padding = s->kernel % 2 == 1 ? s->kernel / 2 : 0,
              out = (s->size + 2 * padding - s->kernel) / s->stride + 1;

    return (struct cuda_convolution){.window = {s->images, s->size, s->size, out, out, s->kernel,
                                                s->kernel, s->stride, s->stride, padding, padding,
                                                1},
                                     .inputs = s->inputs,
                                     .outputs = s->outputs,
                                     .direction = direction};
}

/* 0: there is a plan. */
static int tell(struct cuda_cudnn *cudnn, const struct card *card, const struct shape *shape,
                enum cuda_direction direction)
{
    const struct cuda_convolution convolution = convolution_of(shape, direction);
    struct seki_error error;

    if (seki_cudnn_make_plan(cudnn, &convolution, &error) < 0) {
        fprintf(stderr, "cudnn_plans: %s: %s\n", shape->what, error.message);
        return 1;
    }
    const struct cuda_plan *plan = seki_cudnn_plan(cudnn, &convolution);

    printf("{\"measured\": \"cudnn plan\", \"cudnn\": %zu, \"card\": \"%s\", \"convolution\": "
           "\"%s\", \"direction\": \"%s\", \"images\": %d, \"inputs\": %d, \"outputs\": %d, "
           "\"size\": %d, \"kernel\": %d, \"stride\": %d, \"engine\": %lld, "
           "\"workspace_bytes\": %zu}\n",
           cudnnGetVersion(), card->name, shape->what,
           direction == CUDA_FORWARD ? "forward" : "gradient of the pictures", shape->images,
           shape->inputs, shape->outputs, shape->size, shape->kernel, shape->stride,
           plan->plan != NULL ? (long long)plan->engine : -1, plan->workspace);
    return plan->plan == NULL;
}

static int tell_all(const struct card *card)
{
    char json[1024];
    struct seki_error error;
    int without = 0;

    describe(card, json, sizeof json);
    struct cuda_cudnn *cudnn = seki_cudnn_open_described(json, &error);

    if (cudnn == NULL) {
        fprintf(stderr, "cudnn_plans: %s: %s\n", card->name, error.message);
        return 1;
    }
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int direction = CUDA_FORWARD; direction <= CUDA_DATA; direction++)
            without += tell(cudnn, card, &shapes[i], (enum cuda_direction)direction);
    seki_cudnn_close(cudnn);
    return without;
}

int main(void)
{
    int without = 0;

    for (size_t i = 0; i < sizeof cards / sizeof cards[0]; i++)
        without += tell_all(&cards[i]);
    return without > 0;
}
