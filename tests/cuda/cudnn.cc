/*
 * cudnn.cc - the stand-in's cuDNN: descriptors, what makes sense, the choice of an engine.
 */
#include "cudnn.h"

#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

#include "convolution.h"
#include "grid.h"

/* ---- Descriptors --------------------------------------------------------------------------- */

struct attribute {
    cudnnBackendAttributeType_t type;
    int64_t count;
    std::vector<char> bytes;
    std::vector<std::shared_ptr<struct description>> parts; /* of descriptors */
};

/* What a descriptor says. Others that are made from it keep it, as cuDNN's do. */
struct description {
    cudnnBackendDescriptorType_t type;
    bool finished;
    std::map<int, attribute> attributes;
    int engine; /* ENGINE, ENGINECFG: which of `engines` */
};

struct descriptor {
    std::shared_ptr<description> what;
};

struct cudnnContext {
    cudaStream_t stream;
};

/* What each descriptor must be told, and nothing else. */
static const struct rule {
    cudnnBackendDescriptorType_t descriptor;
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t count; /* 0: any */
} rules[] = {
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64,
     1},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE,
     1},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_CONV_MODE,
     CUDNN_TYPE_CONVOLUTION_MODE, 1},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64,
     2},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64,
     2},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64,
     2},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2},
#define CONVOLUTION(descriptor, prefix, x, y)                                                      \
    {descriptor, prefix##_CONV_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},                            \
        {descriptor, prefix##_##x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},                              \
        {descriptor, prefix##_W, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},                                \
        {descriptor, prefix##_##y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},                              \
        {descriptor, prefix##_ALPHA, CUDNN_TYPE_FLOAT, 1},                                         \
    {                                                                                              \
        descriptor, prefix##_BETA, CUDNN_TYPE_FLOAT, 1                                             \
    }
    CONVOLUTION(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD, X, Y),
    CONVOLUTION(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA, DX, DY),
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_OPS,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64,
     3},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
     CUDNN_TYPE_VOID_PTR, 3},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR,
     1},
    {CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1},
};

static size_t size_of(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_INT64:
        return sizeof(int64_t);
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return sizeof(void *);
    case CUDNN_TYPE_CHAR:
        return 1;
    default: /* enumerations, int32_t and float */
        return sizeof(int32_t);
    }
}

template <typename T> static T value(const description &d, int name, int64_t index = 0)
{
    T result;

    memcpy(&result, d.attributes.at(name).bytes.data() + (size_t)index * sizeof(T), sizeof(T));
    return result;
}

static const description &part(const description &d, int name)
{
    return *d.attributes.at(name).parts.at(0);
}

/* ---- What makes sense ---------------------------------------------------------------------- */

static void check_tensor(const description &d)
{
    int64_t packed = 1;

    /* The channels lie side by side, then the columns, the rows, the images. */
    for (int axis : {1, 3, 2, 0}) {
        if (value<int64_t>(d, CUDNN_ATTR_TENSOR_DIMENSIONS, axis) < 1 ||
            value<int64_t>(d, CUDNN_ATTR_TENSOR_STRIDES, axis) != packed)
            grid_mistake("a tensor's axis %d has another stride than packed rows of pixels", axis);
        packed *= value<int64_t>(d, CUDNN_ATTR_TENSOR_DIMENSIONS, axis);
    }
    if (value<cudnnDataType_t>(d, CUDNN_ATTR_TENSOR_DATA_TYPE) != CUDNN_DATA_BFLOAT16)
        grid_mistake("a tensor that is not of bf16");
    if (value<int64_t>(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT) % 16 != 0 ||
        value<int64_t>(d, CUDNN_ATTR_TENSOR_DIMENSIONS, 1) % 8 != 0)
        grid_mistake("a tensor that tensor cores cannot read 16 bytes at a time");
}

static void check_window(const description &d)
{
    for (int axis = 0; axis < 2; axis++)
        if (value<int64_t>(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, axis) < 0 ||
            value<int64_t>(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, axis) < 0 ||
            value<int64_t>(d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, axis) < 1 ||
            value<int64_t>(d, CUDNN_ATTR_CONVOLUTION_DILATIONS, axis) < 1)
            grid_mistake("a convolution with a stride, dilation or padding that makes no sense");
    for (int axis = 0; axis < 2; axis++)
        if (value<int64_t>(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, axis) !=
                value<int64_t>(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, axis) ||
            value<int64_t>(d, CUDNN_ATTR_CONVOLUTION_DILATIONS, axis) !=
                value<int64_t>(d, CUDNN_ATTR_CONVOLUTION_DILATIONS, 0))
            grid_mistake("a convolution that no block has: its paddings or dilations differ");
    if (value<int64_t>(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) != 2 ||
        value<cudnnDataType_t>(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE) != CUDNN_DATA_FLOAT ||
        value<cudnnConvolutionMode_t>(d, CUDNN_ATTR_CONVOLUTION_CONV_MODE) !=
            CUDNN_CROSS_CORRELATION)
        grid_mistake("not a cross-correlation of pictures, summed up as floats");
}

/* The parts of an operation, the same for both directions. */
struct operation {
    bool forward;
    const description &window, &x, &w, &y;
    float alpha, beta;

    explicit operation(const description &d)
        : forward(d.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR),
          window(part(d, forward ? CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC
                                 : CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC)),
          x(part(d, forward ? CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X
                            : CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX)),
          w(part(d, forward ? CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W
                            : CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W)),
          y(part(d, forward ? CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y
                            : CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY)),
          alpha(value<float>(d, forward ? CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA
                                        : CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA)),
          beta(value<float>(d, forward ? CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA
                                       : CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA))
    {
    }
};

static int64_t size(const description &tensor, int axis)
{
    return value<int64_t>(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, axis);
}

static int64_t of_window(const operation &o, int name, int axis)
{
    return value<int64_t>(o.window, name, axis);
}

static void check_operation(const description &d)
{
    const operation o(d);

    if (size(o.x, 0) != size(o.y, 0) || size(o.x, 1) != size(o.w, 1) ||
        size(o.y, 1) != size(o.w, 0))
        grid_mistake("a convolution whose tensors do not fit each other");
    for (int axis = 0; axis < 2; axis++) {
        const int64_t padded = size(o.x, 2 + axis) +
                               of_window(o, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, axis) +
                               of_window(o, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, axis),
                      reach = of_window(o, CUDNN_ATTR_CONVOLUTION_DILATIONS, axis) *
                                  (size(o.w, 2 + axis) - 1) +
                              1;

        if (size(o.y, 2 + axis) !=
            (padded - reach) / of_window(o, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, axis) + 1)
            grid_mistake("a convolution that does not give a picture of that size");
    }
    if (o.alpha != 1.0f || o.beta != 0.0f)
        grid_mistake("a convolution that is scaled or added");
}

/* ---- Engines ------------------------------------------------------------------------------- */

/* In the order of the heuristics: the first may not be taken, the next two cannot. */
static const struct engine {
    int64_t number;
    std::vector<cudnnBackendNumericalNote_t> notes;
    bool able;
    int64_t workspace;
} engines[] = {
    {40, {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}, true, 0},
    {41, {CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, false, 0},
    {42, {CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, true, (int64_t)1 << 40},
    {43, {CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, true, 131},
    {44, {}, true, 0},
};
enum { ENGINES = sizeof(engines) / sizeof(engines[0]) };

/* STAND_IN_CUDNN: old, broken, none (of its engines can). */
static bool told(const char *what)
{
    const char *text = getenv("STAND_IN_CUDNN");

    return text != nullptr && strcmp(text, what) == 0;
}

/* Fewer pictures may want more of it, as in cuDNN itself. */
static int64_t workspace_of(const description &config)
{
    const description &graph = part(config, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    const operation o(part(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS));
    const int64_t least = engines[config.engine].workspace;

    return least > 0 && size(o.x, 0) < 6 ? least + ((int64_t)1 << 20) : least;
}

static cudnnStatus_t finish_plan(const description &d)
{
    const engine &e = engines[part(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).engine];

    for (cudnnBackendNumericalNote_t note : e.notes)
        if (note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)
            grid_mistake("a plan of an engine whose sums are in no fixed order");
    return e.able ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED_SHAPE;
}

/* ---- The arithmetic ------------------------------------------------------------------------ */

struct memory {
    uint16_t *x, *w, *y;
};

static size_t count(const description &tensor)
{
    return (size_t)(size(tensor, 0) * size(tensor, 1) * size(tensor, 2) * size(tensor, 3));
}

/* As `ref` has it, which pads both sides alike and dilates both axes alike. */
static void compute(const operation &o, const memory &m)
{
    stand_in_convolution call = {};

    call.images = (int)size(o.x, 0);
    call.channels = (int)size(o.x, 1);
    call.height = (int)size(o.x, 2);
    call.width = (int)size(o.x, 3);
    call.out_channels = (int)size(o.y, 1);
    call.out_height = (int)size(o.y, 2);
    call.out_width = (int)size(o.y, 3);
    for (int axis = 0; axis < 2; axis++) {
        call.kernel[axis] = (int)size(o.w, 2 + axis);
        call.stride[axis] = (int)of_window(o, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, axis);
        call.padding[axis] = (int)of_window(o, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, axis);
    }
    call.dilation = (int)of_window(o, CUDNN_ATTR_CONVOLUTION_DILATIONS, 0);
    call.x = m.x;
    call.w = m.w;
    call.y = m.y;
    if (o.forward)
        stand_in_convolution_forward(&call);
    else
        stand_in_convolution_data(&call);
}

/* ---- The functions ------------------------------------------------------------------------- */

size_t cudnnGetVersion(void)
{
    return told("old") ? 90700 : 91900;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    return status == CUDNN_STATUS_NOT_INITIALIZED ? "CUDNN_STATUS_NOT_INITIALIZED" : "CUDNN_STATUS";
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    grid_own_memory own;
    if (told("broken"))
        return CUDNN_STATUS_NOT_INITIALIZED;
    *handle = new cudnnContext();
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    delete handle;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

static description &described(cudnnBackendDescriptor_t d)
{
    return *static_cast<descriptor *>(d)->what;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t *out)
{
    grid_own_memory own;
    *out = new descriptor{std::make_shared<description>(description{type, false, {}, -1})};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d)
{
    delete static_cast<descriptor *>(d);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor_,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count,
                                       const void *values)
{
    grid_own_memory own;
    description &d = described(descriptor_);
    const char *bytes = static_cast<const char *>(values);
    const rule *found = nullptr;

    for (const rule &r : rules)
        if (r.descriptor == d.type && r.name == name)
            found = &r;
    if (found == nullptr || found->type != type || (found->count != 0 && found->count != count) ||
        d.finished)
        grid_mistake("attribute %d of type %d and count %lld of a descriptor %d", (int)name,
                     (int)type, (long long)count, (int)d.type);
    attribute a = {
        type, count, std::vector<char>(bytes, bytes + (size_t)count * size_of(type)), {}};

    for (int64_t i = 0; i < count && type == CUDNN_TYPE_BACKEND_DESCRIPTOR; i++) {
        cudnnBackendDescriptor_t other = static_cast<const cudnnBackendDescriptor_t *>(values)[i];

        if (!described(other).finished)
            grid_mistake("a descriptor %d that is used before it is finished",
                         (int)described(other).type);
        a.parts.push_back(static_cast<descriptor *>(other)->what);
    }
    d.attributes[name] = a;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor_)
{
    grid_own_memory own;
    description &d = described(descriptor_);

    for (const rule &r : rules)
        if (r.descriptor == d.type && d.attributes.count(r.name) == 0)
            grid_mistake("a descriptor %d without its attribute %d", (int)d.type, (int)r.name);
    d.finished = true;
    switch (d.type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
        check_tensor(d);
        break;
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
        check_window(d);
        break;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
        check_operation(d);
        break;
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
        return finish_plan(d);
    default:
        break;
    }
    return CUDNN_STATUS_SUCCESS;
}

/* A config of each engine, into descriptors that the caller has made. */
static int64_t give_configs(const description &heuristics, int64_t asked,
                            cudnnBackendDescriptor_t *out)
{
    int64_t given = 0;

    while (given < asked && given < ENGINES && !told("none")) {
        description &config = described(out[given]);

        if (config.type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR || config.finished)
            grid_mistake("an engine's config into a descriptor %d", (int)config.type);
        config.attributes[CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH] =
            heuristics.attributes.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
        config.engine = (int)given++;
        config.finished = true;
    }
    return given;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor_,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t asked,
                                       int64_t *count, void *values)
{
    grid_own_memory own;
    const description &d = described(descriptor_);

    if (!d.finished)
        grid_mistake("attribute %d is read of a descriptor %d that is not finished", (int)name,
                     (int)d.type);
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        *count = give_configs(d, asked, static_cast<cudnnBackendDescriptor_t *>(values));
    } else if (name == CUDNN_ATTR_ENGINECFG_ENGINE && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        description &e = described(*static_cast<cudnnBackendDescriptor_t *>(values));

        e.engine = d.engine;
        e.finished = true;
        *count = 1;
    } else if (name == CUDNN_ATTR_ENGINE_GLOBAL_INDEX && type == CUDNN_TYPE_INT64) {
        *static_cast<int64_t *>(values) = engines[d.engine].number;
        *count = 1;
    } else if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE && type == CUDNN_TYPE_NUMERICAL_NOTE) {
        const std::vector<cudnnBackendNumericalNote_t> &notes = engines[d.engine].notes;

        for (size_t i = 0; i < notes.size() && (int64_t)i < asked; i++)
            static_cast<cudnnBackendNumericalNote_t *>(values)[i] = notes[i];
        *count = (int64_t)notes.size();
    } else if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == CUDNN_TYPE_INT64) {
        *static_cast<int64_t *>(values) =
            workspace_of(part(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG));
        *count = 1;
    } else {
        grid_mistake("attribute %d of type %d is read of a descriptor %d", (int)name, (int)type,
                     (int)d.type);
    }
    return CUDNN_STATUS_SUCCESS;
}

/* The memory of the tensor among the arguments. */
static uint16_t *memory_of(const description &arguments, const description &tensor)
{
    for (int64_t i = 0; i < 3; i++) {
        if (value<int64_t>(arguments, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, i) !=
            value<int64_t>(tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID))
            continue;
        void *memory = value<void *>(arguments, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, i);

        if ((uintptr_t)memory %
                    (uintptr_t)value<int64_t>(tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT) !=
                0 ||
            !grid_on_device(memory, count(tensor) * sizeof(uint16_t)))
            grid_mistake("a tensor's memory is not aligned, or not the device's");
        return static_cast<uint16_t *>(memory);
    }
    grid_mistake("a tensor without memory");
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan_,
                                  cudnnBackendDescriptor_t arguments_)
{
    grid_own_memory own;
    const std::shared_ptr<description> plan = static_cast<descriptor *>(plan_)->what;
    const description &arguments = described(arguments_),
                      &config = part(*plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG),
                      &graph = part(config, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    const operation o(part(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS));
    const memory m = {memory_of(arguments, o.x), memory_of(arguments, o.w),
                      memory_of(arguments, o.y)};
    const size_t bytes = (size_t)workspace_of(config);
    void *workspace = value<void *>(arguments, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);

    if (!plan->finished || !arguments.finished || handle->stream == nullptr)
        grid_mistake("a plan is run that is not ready, or in no stream");
    if (bytes > 0 && !grid_on_device(workspace, bytes))
        grid_mistake("a workspace of %zu bytes that are not the device's", bytes);
    grid_put(handle->stream, [plan, o, m, workspace, bytes]() {
        if (bytes > 0)
            memset(workspace, 0xff, bytes);
        compute(o, m);
    });
    return CUDNN_STATUS_SUCCESS;
}
