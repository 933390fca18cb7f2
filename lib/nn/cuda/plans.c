/*
 * plans.c - convolutions by cuDNN's graph API: an execution plan for a convolution of a shape in a
 * direction is looked for once and kept.
 *
 * A plan is made for the properties of a device, not for a handle: so it can be had, and looked at,
 * without the device (bench/cudnn-plans). Which engine a plan has is what cuDNN's heuristics name
 * first, the same on every machine of one card and one version of cuDNN, and never one whose sums
 * are in no fixed order.
 */
#include "nn/cuda/plans.h"

#include <stdlib.h>
#include <string.h>

/* How large a plan's workspace may be. */
#define MOST_WORKSPACE ((int64_t)64 << 20)

struct cuda_cudnn {
    cudnnHandle_t handle;          /* NULL: plans alone */
    cudnnBackendDescriptor_t card; /* the device's properties */
    struct cuda_plan *plans;
};

/* Numbers of a plan's tensors, as cuDNN wants them. */
enum { PICTURES = 1, WEIGHTS, RESULT };

/* Cuts a function short at the first that is no success. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        const cudnnStatus_t try_status = (call);                                                   \
                                                                                                   \
        if (try_status != CUDNN_STATUS_SUCCESS)                                                    \
            return try_status;                                                                     \
    } while (0)

/* ---- Descriptors --------------------------------------------------------------------------- */

static cudnnStatus_t make(struct cuda_descriptors *all, cudnnBackendDescriptorType_t type,
                          cudnnBackendDescriptor_t *out)
{
    TRY(cudnnBackendCreateDescriptor(type, out));
    all->made[all->count++] = *out;
    return CUDNN_STATUS_SUCCESS;
}

static void destroy_all(struct cuda_descriptors *all)
{
    while (all->count > 0)
        cudnnBackendDestroyDescriptor(all->made[--all->count]);
}

/* An attribute, its type, and its values. */
struct attribute {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t count;
    const void *values;
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static cudnnStatus_t finish(cudnnBackendDescriptor_t descriptor, const struct attribute *attributes,
                            size_t count)
{
    for (size_t i = 0; i < count; i++)
        TRY(cudnnBackendSetAttribute(descriptor, attributes[i].name, attributes[i].type,
                                     attributes[i].count, attributes[i].values));
    return cudnnBackendFinalize(descriptor);
}

/* Of bf16, rows of pixels of so many channels: (count, channels, height, width) as cuDNN names
 * it. */
static cudnnStatus_t make_tensor(struct cuda_descriptors *all, int64_t number,
                                 const int64_t size[4], cudnnBackendDescriptor_t *out)
{
    const cudnnDataType_t type = CUDNN_DATA_BFLOAT16;
    const int64_t alignment = 16;
    const int64_t strides[4] = {size[1] * size[2] * size[3], 1, size[1] * size[3], size[1]};
    const struct attribute attributes[] = {
        {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &number},
        {CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type},
        {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, size},
        {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides},
        {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment},
    };

    TRY(make(all, CUDNN_BACKEND_TENSOR_DESCRIPTOR, out));
    return finish(*out, attributes, COUNT(attributes));
}

static cudnnStatus_t make_window(struct cuda_descriptors *all, const struct cuda_window *w,
                                 cudnnBackendDescriptor_t *out)
{
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t dimensions = 2, padding[2] = {w->padding_height, w->padding_width},
                  stride[2] = {w->stride_height, w->stride_width},
                  dilation[2] = {w->dilation, w->dilation};
    const struct attribute attributes[] = {
        {CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dimensions},
        {CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums},
        {CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode},
        {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, padding},
        {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, padding},
        {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride},
        {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation},
    };

    TRY(make(all, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, out));
    return finish(*out, attributes, COUNT(attributes));
}

/* What differs between the directions. */
static const struct {
    cudnnBackendDescriptorType_t operation;
    cudnnBackendAttributeName_t window, pictures, weights, result, alpha, beta;
} directions[] = {
    [CUDA_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [CUDA_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
};

static cudnnStatus_t make_operation(struct cuda_descriptors *all, const struct cuda_convolution *c,
                                    cudnnBackendDescriptor_t *out)
{
    const struct cuda_window *w = &c->window;
    const int64_t pictures[4] = {w->images, c->inputs, w->height, w->width},
                  weights[4] = {c->outputs, c->inputs, w->kernel_height, w->kernel_width},
                  result[4] = {w->images, c->outputs, w->out_height, w->out_width};
    const float one = 1.0f, zero = 0.0f;
    cudnnBackendDescriptor_t x, k, y, window;

    TRY(make_tensor(all, PICTURES, pictures, &x));
    TRY(make_tensor(all, WEIGHTS, weights, &k));
    TRY(make_tensor(all, RESULT, result, &y));
    TRY(make_window(all, w, &window));
    TRY(make(all, directions[c->direction].operation, out));
    const struct attribute attributes[] = {
        {directions[c->direction].window, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &window},
        {directions[c->direction].pictures, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x},
        {directions[c->direction].weights, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &k},
        {directions[c->direction].result, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y},
        {directions[c->direction].alpha, CUDNN_TYPE_FLOAT, 1, &one},
        {directions[c->direction].beta, CUDNN_TYPE_FLOAT, 1, &zero},
    };

    return finish(*out, attributes, COUNT(attributes));
}

static cudnnStatus_t make_graph(struct cuda_descriptors *all, const struct cuda_convolution *c,
                                cudnnBackendDescriptor_t *out)
{
    cudnnBackendDescriptor_t operation;

    TRY(make_operation(all, c, &operation));
    TRY(make(all, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, out));
    const struct attribute attributes[] = {
        {CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &operation}};

    return finish(*out, attributes, COUNT(attributes));
}

/* ---- Plans --------------------------------------------------------------------------------- */

/* What cuDNN would take for the graph, the best first. */
static cudnnStatus_t find_configs(const struct cuda_cudnn *cudnn, struct cuda_descriptors *all,
                                  cudnnBackendDescriptor_t graph,
                                  cudnnBackendDescriptor_t configs[CUDA_MOST_CONFIGS],
                                  int64_t *count)
{
    const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
    const struct attribute attributes[] = {
        {CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph},
        {CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode},
        {CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &cudnn->card},
    };
    cudnnBackendDescriptor_t heuristics;

    TRY(make(all, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics));
    TRY(finish(heuristics, attributes, COUNT(attributes)));
    for (int i = 0; i < CUDA_MOST_CONFIGS; i++)
        TRY(make(all, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[i]));
    return cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                    CUDNN_TYPE_BACKEND_DESCRIPTOR, CUDA_MOST_CONFIGS, count,
                                    configs);
}

/* Sums in a fixed order, of the values themselves: the same bytes again, and NaN comes through. */
static cudnnStatus_t check_engine(struct cuda_descriptors *all, cudnnBackendDescriptor_t config,
                                  int64_t *engine, bool *good)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendDescriptor_t descriptor;
    int64_t count = 0;

    TRY(make(all, CUDNN_BACKEND_ENGINE_DESCRIPTOR, &descriptor));
    TRY(cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                 1, &count, &descriptor));
    TRY(cudnnBackendGetAttribute(descriptor, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1,
                                 &count, engine));
    TRY(cudnnBackendGetAttribute(descriptor, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                 CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count,
                                 notes));
    *good = true;
    for (int64_t i = 0; i < count; i++)
        if (notes[i] != CUDNN_NUMERICAL_NOTE_TENSOR_CORE &&
            notes[i] != CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP)
            *good = false;
    return CUDNN_STATUS_SUCCESS;
}

/* A plan of that config; found->plan stays NULL where there is none after all. */
static cudnnStatus_t try_config(const struct cuda_cudnn *cudnn, cudnnBackendDescriptor_t config,
                                struct cuda_plan *found)
{
    const struct attribute attributes[] = {
        {CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &cudnn->card},
        {CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config},
    };
    cudnnBackendDescriptor_t plan;
    int64_t workspace = 0, count = 0;

    TRY(cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan));
    cudnnStatus_t status = finish(plan, attributes, COUNT(attributes));

    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                          CUDNN_TYPE_INT64, 1, &count, &workspace);
    if (status == CUDNN_STATUS_SUCCESS && workspace <= MOST_WORKSPACE) {
        found->plan = plan;
        found->workspace = (size_t)workspace;
        return status;
    }
    return cudnnBackendDestroyDescriptor(plan);
}

static cudnnStatus_t find_plan(const struct cuda_cudnn *cudnn, struct cuda_plan *found)
{
    struct cuda_descriptors *all = &found->made_of;
    cudnnBackendDescriptor_t graph, configs[CUDA_MOST_CONFIGS];
    int64_t count = 0;

    TRY(make_graph(all, &found->convolution, &graph));
    const cudnnStatus_t named = find_configs(cudnn, all, graph, configs, &count);

    if (CUDNN_STATUS_CATEGORY(named) == CUDNN_STATUS_NOT_SUPPORTED)
        return CUDNN_STATUS_SUCCESS;
    TRY(named);
    for (int64_t i = 0; i < count && found->plan == NULL; i++) {
        bool good;

        TRY(check_engine(all, configs[i], &found->engine, &good));
        if (good)
            TRY(try_config(cudnn, configs[i], found));
    }
    return CUDNN_STATUS_SUCCESS;
}

static int told(cudnnStatus_t status, const char *what, struct seki_error *error)
{
    if (status == CUDNN_STATUS_SUCCESS)
        return 0;
    return seki_fail(error, SEKI_NO_RESOURCE, "device",
                     "cuDNN failed at %s: %s; --backend cuda-own computes without it", what,
                     cudnnGetErrorString(status));
}

const struct cuda_plan *seki_cudnn_plan(const struct cuda_cudnn *cudnn,
                                        const struct cuda_convolution *convolution)
{
    for (const struct cuda_plan *plan = cudnn->plans; plan != NULL; plan = plan->next)
        if (memcmp(&plan->convolution, convolution, sizeof *convolution) == 0)
            return plan;
    return NULL;
}

int seki_cudnn_make_plan(struct cuda_cudnn *cudnn, const struct cuda_convolution *convolution,
                         struct seki_error *error)
{
    struct cuda_plan *plan;

    if (seki_cudnn_plan(cudnn, convolution) != NULL)
        return 0;
    plan = seki_allocate(1, sizeof *plan, error);
    if (plan == NULL)
        return -1;
    plan->convolution = *convolution;
    plan->next = cudnn->plans;
    cudnn->plans = plan;
    return told(find_plan(cudnn, plan), "a plan for a convolution", error);
}

/* ---- Running ------------------------------------------------------------------------------- */

cudnnStatus_t seki_cudnn_run(struct cuda_cudnn *cudnn, cudaStream_t stream,
                             const struct cuda_plan *plan, void *pictures, void *weights,
                             void *result, void *workspace)
{
    const int64_t numbers[] = {PICTURES, WEIGHTS, RESULT};
    void *const memory[] = {pictures, weights, result};
    const struct attribute attributes[] = {
        {CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, COUNT(numbers), numbers},
        {CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, COUNT(memory), memory},
        {CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace},
    };
    cudnnBackendDescriptor_t arguments;

    TRY(cudnnSetStream(cudnn->handle, stream));
    TRY(cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &arguments));
    cudnnStatus_t status = finish(arguments, attributes, COUNT(attributes));

    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendExecute(cudnn->handle, plan->plan, arguments);
    cudnnBackendDestroyDescriptor(arguments);
    return status;
}

/* ---- Opening ------------------------------------------------------------------------------- */

static cudnnStatus_t open_card(struct cuda_cudnn *cudnn, const struct attribute *which)
{
    TRY(cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &cudnn->card));
    return finish(cudnn->card, which, 1);
}

/* cuDNN with the properties that `which` names; with a handle, where there is a device. */
static struct cuda_cudnn *open_with(const struct attribute *which, bool handle,
                                    struct seki_error *error)
{
    struct cuda_cudnn *cudnn = seki_allocate(1, sizeof *cudnn, error);
    cudnnStatus_t status;

    if (cudnn == NULL)
        return NULL;
    status = handle ? cudnnCreate(&cudnn->handle) : CUDNN_STATUS_SUCCESS;
    if (status == CUDNN_STATUS_SUCCESS)
        status = open_card(cudnn, which);
    if (told(status, "its start", error) < 0) {
        seki_cudnn_close(cudnn);
        return NULL;
    }
    return cudnn;
}

struct cuda_cudnn *seki_cudnn_open(int device, struct seki_error *error)
{
    const int32_t number = device;
    const struct attribute which = {CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1, &number};

    if (cudnnGetVersion() < CUDNN_OLDEST) {
        seki_fail(error, SEKI_NO_RESOURCE, "backend",
                  "cuDNN %zu is there, 9.8 or later is needed; --backend cuda-own computes without "
                  "it",
                  cudnnGetVersion());
        return NULL;
    }
    return open_with(&which, true, error);
}

struct cuda_cudnn *seki_cudnn_open_described(const char *json, struct seki_error *error)
{
    const struct attribute which = {CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                    (int64_t)strlen(json) + 1, json};

    return open_with(&which, false, error);
}

void seki_cudnn_close(struct cuda_cudnn *cudnn)
{
    if (cudnn == NULL)
        return;
    while (cudnn->plans != NULL) {
        struct cuda_plan *plan = cudnn->plans;

        cudnn->plans = plan->next;
        if (plan->plan != NULL)
            cudnnBackendDestroyDescriptor(plan->plan);
        destroy_all(&plan->made_of);
        free(plan);
    }
    if (cudnn->card != NULL)
        cudnnBackendDestroyDescriptor(cudnn->card);
    if (cudnn->handle != NULL)
        cudnnDestroy(cudnn->handle);
    free(cudnn);
}
