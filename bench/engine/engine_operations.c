/* engine_operations.c - single operations of both spaces as pieces of work: a block's forward, or
 * its forward and backward, over one set of memory that all share. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine_internal.h"

struct operation {
    struct seki_block_spec spec;
    struct seki_block_info info;
    struct seki_block *block;
    bool both; /* backward too */
    float *parameters, *gradients, *statistics;
    size_t saved, scratch; /* bytes */
};

struct operations_work {
    struct seki_backend *backend;
    int images, count;
    struct operation *operations;
    void *x, *y, *dx, *dy, *saved, *scratch; /* of the largest */
    float *noise;                            /* on the host */
};

/* A row of operations; those of the nas201 space that darts names too are without normalisation
 * there: "plain_avg_pool_3x3". */
static const struct {
    const char *name;
    enum seki_block_kind kind;
    int kernel, stride, dilation, repeats;
    bool norm;
} table[] = {
    {"max_pool_3x3", SEKI_BLOCK_MAX_POOL, 3, 1, 1, 1, true},
    {"avg_pool_3x3", SEKI_BLOCK_AVG_POOL, 3, 1, 1, 1, true},
    {"skip_connect_2", SEKI_BLOCK_REDUCE, 1, 2, 1, 1, true},
    {"sep_conv_3x3", SEKI_BLOCK_SEPARABLE, 3, 1, 1, 2, true},
    {"sep_conv_5x5", SEKI_BLOCK_SEPARABLE, 5, 1, 1, 2, true},
    {"dil_conv_3x3", SEKI_BLOCK_SEPARABLE, 3, 1, 2, 1, true},
    {"dil_conv_5x5", SEKI_BLOCK_SEPARABLE, 5, 1, 2, 1, true},
    {"nor_conv_1x1", SEKI_BLOCK_CONV, 1, 1, 1, 1, true},
    {"nor_conv_3x3", SEKI_BLOCK_CONV, 3, 1, 1, 1, true},
    {"plain_avg_pool_3x3", SEKI_BLOCK_AVG_POOL, 3, 1, 1, 1, false},
};

static int find_spec(const char *name, int channels, int size, struct seki_block_spec *spec,
                     struct seki_error *error)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(name, table[i].name) != 0)
            continue;
        enum seki_block_kind kind = table[i].kind;
        bool pool = kind == SEKI_BLOCK_MAX_POOL || kind == SEKI_BLOCK_AVG_POOL;
        int kernel = table[i].kernel, stride = table[i].stride;
        int padding = table[i].dilation * (kernel / 2);
        *spec = (struct seki_block_spec){.kind = kind,
                                         .in = {1, channels, size, size},
                                         .out_channels = channels,
                                         .kernel_height = kernel,
                                         .kernel_width = kernel,
                                         .stride_height = stride,
                                         .stride_width = stride,
                                         .padding_height = padding,
                                         .padding_width = padding,
                                         .dilation = table[i].dilation,
                                         .repeats = table[i].repeats,
                                         .relu_first = !pool,
                                         .norm = table[i].norm};
        return 0;
    }
    return seki_fail(error, SEKI_BAD_USE, "items", "no operation is named %s", name);
}

static int parse_operation(const char *line, struct operation *operation, struct seki_error *error)
{
    char name[32], direction[16];
    int channels, size;
    if (sscanf(line, "%31s %d %d %15s", name, &channels, &size, direction) != 4)
        return seki_fail(error, SEKI_BAD_USE, "items",
                         "\"%s\" is not \"OPERATION CHANNELS SIZE forward|both\"", line);
    operation->both = strcmp(direction, "both") == 0;
    if (find_spec(name, channels, size, &operation->spec, error) < 0)
        return -1;
    return seki_block_describe(&operation->spec, &operation->info, error);
}

/* Parameters as at the start of training: +-1/sqrt(fan in). */
static int fill_parameters(struct operations_work *work, struct operation *operation,
                           struct seki_error *error)
{
    struct seki_backend *backend = work->backend;
    for (int t = 0; t < operation->info.count; t++) {
        const struct seki_parameter *tensor = &operation->info.tensors[t];
        if (tensor->role >= SEKI_RUNNING_MEAN)
            continue;
        float *values = bench_noise(tensor->count, 2, error);
        if (!values)
            return -1;
        double fan = (double)tensor->count / tensor->size[0];
        for (size_t i = 0; i < tensor->count; i++)
            values[i] /= (float)sqrt(fan);
        int status = backend->ops->write(backend, operation->parameters + tensor->offset, values,
                                         tensor->count * sizeof *values, error);
        free(values);
        if (status < 0)
            return -1;
    }
    return 0;
}

static void *take(struct operations_work *work, size_t bytes, struct seki_error *error)
{
    return work->backend->ops->memory(work->backend, bytes ? bytes : 64, error);
}

static int open_operation(struct operations_work *work, struct operation *operation,
                          struct seki_error *error)
{
    const struct seki_backend_ops *ops = work->backend->ops;
    size_t parameters = operation->info.parameters * sizeof(float);
    operation->block = ops->block_open(work->backend, &operation->spec, error);
    if (!operation->block || ops->block_prepare(operation->block, work->images,
                                                operation->both ? SEKI_MODE_TRAIN : SEKI_MODE_SCORE,
                                                &operation->saved, &operation->scratch, error) < 0)
        return -1;
    operation->parameters = take(work, parameters, error);
    operation->gradients = take(work, parameters, error);
    operation->statistics = take(work, operation->info.statistics * sizeof(float), error);
    if (!operation->parameters || !operation->gradients || !operation->statistics)
        return -1;
    return fill_parameters(work, operation, error);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int open_memory(struct operations_work *work, struct seki_error *error)
{
    const struct seki_backend_ops *ops = work->backend->ops;
    size_t tensor = 64, saved = 64, scratch = 64, floats = 1;
    for (int i = 0; i < work->count; i++) {
        const struct operation *operation = &work->operations[i];
        const struct seki_shape *in = &operation->spec.in;
        tensor = larger(tensor, ops->tensor_bytes(work->backend, in, work->images));
        tensor =
            larger(tensor, ops->tensor_bytes(work->backend, &operation->info.out, work->images));
        saved = larger(saved, operation->saved);
        scratch = larger(scratch, operation->scratch);
        floats = larger(floats, (size_t)work->images * (size_t)in->channels * (size_t)in->height *
                                    (size_t)in->width);
    }
    work->noise = bench_noise(floats, 1, error);
    work->x = take(work, tensor, error);
    work->y = take(work, tensor, error);
    work->dx = take(work, tensor, error);
    work->dy = take(work, tensor, error);
    work->saved = take(work, saved, error);
    work->scratch = take(work, scratch, error);
    return work->noise && work->x && work->y && work->dx && work->dy && work->saved && work->scratch
               ? 0
               : -1;
}

static void operations_close(void *state)
{
    struct operations_work *work = state;
    const struct seki_backend_ops *ops = work->backend->ops;
    for (int i = 0; work->operations && i < work->count; i++) {
        struct operation *operation = &work->operations[i];
        void *memory[] = {operation->parameters, operation->gradients, operation->statistics};
        for (int m = 0; m < 3; m++)
            if (memory[m])
                ops->release(work->backend, memory[m]);
        if (operation->block)
            ops->block_close(operation->block);
    }
    void *memory[] = {work->x, work->y, work->dx, work->dy, work->saved, work->scratch};
    for (int m = 0; m < 6; m++)
        if (memory[m])
            ops->release(work->backend, memory[m]);
    free(work->operations);
    free(work->noise);
    free(work);
}

static struct seki_window window(void *data, const struct seki_shape *shape)
{
    return (struct seki_window){data, *shape, 0, shape->parts};
}

static int operation_ready(void *state, int item, struct seki_error *error)
{
    struct operations_work *work = state;
    const struct operation *operation = &work->operations[item];
    struct seki_window x = window(work->x, &operation->spec.in);
    struct seki_window dy = window(work->dy, &operation->info.out);
    const struct seki_backend_ops *ops = work->backend->ops;
    if (ops->tensor_write(work->backend, &x, work->images, work->noise, error) < 0)
        return -1;
    return ops->tensor_write(work->backend, &dy, work->images, work->noise, error);
}

static int operation_run(void *state, int item, struct seki_error *error)
{
    struct operations_work *work = state;
    struct operation *operation = &work->operations[item];
    const struct seki_backend_ops *ops = work->backend->ops;
    struct seki_block_call call = {.images = work->images,
                                   .mode = operation->both ? SEKI_MODE_TRAIN : SEKI_MODE_SCORE,
                                   .x = window(work->x, &operation->spec.in),
                                   .y = window(work->y, &operation->info.out),
                                   .dx = window(work->dx, &operation->spec.in),
                                   .dy = window(work->dy, &operation->info.out),
                                   .parameters = operation->parameters,
                                   .gradients = operation->gradients,
                                   .statistics = operation->statistics,
                                   .saved = work->saved,
                                   .scratch = work->scratch};
    if (ops->forward(operation->block, &call, error) < 0)
        return -1;
    return operation->both ? ops->backward(operation->block, &call, error) : 0;
}

static int operation_wait(void *state, struct seki_error *error)
{
    struct operations_work *work = state;
    char first[4];
    return work->backend->ops->read(work->backend, first, work->x, sizeof first, error);
}

int bench_operations_open(struct work *all, struct seki_backend *backend,
                          const struct bench_options *options, char **lines,
                          struct seki_error *error)
{
    struct operations_work *work = seki_allocate(1, sizeof *work, error);
    if (!work)
        return -1;
    work->backend = backend;
    work->images = (int)options->batch;
    work->count = all->count;
    work->operations = seki_allocate((size_t)all->count, sizeof *work->operations, error);
    all->state = work;
    all->ready = operation_ready;
    all->run = operation_run;
    all->wait = operation_wait;
    all->close = operations_close;
    int status = work->operations ? 0 : -1;
    for (int i = 0; status == 0 && i < all->count; i++) {
        status = parse_operation(lines[i], &work->operations[i], error);
        if (status == 0)
            status = open_operation(work, &work->operations[i], error);
        all->macs[i] = work->operations[i].info.macs;
    }
    if (status < 0 || open_memory(work, error) < 0) {
        operations_close(work);
        return -1;
    }
    return 0;
}
