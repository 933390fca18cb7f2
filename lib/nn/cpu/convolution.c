/*
 * convolution.c - dense convolutions by oneDNN: forward, dX and dW of one shape on dense NHWC
 * tensors.
 *
 * All objects of oneDNN are made when a convolution is opened; a call only sets addresses. oneDNN
 * chooses the format of the weights; they are small, and are brought into it, or their gradient out
 * of it, in every call. Blocks of equal shape share a convolution: it keeps nothing from one call
 * to the next.
 */
#include "nn/cpu/cpu_internal.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

struct cpu_dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attributes; /* scratch is ours to give */
};

/* One primitive with its tensors. In forward: a = x, b = weights, c = y; dX: dy, weights, dx; dW:
 * x, dy, dweights. */
struct primitive {
    dnnl_primitive_t primitive;
    dnnl_memory_t a, b, c, scratch;
    size_t scratch_bytes;
};

/* A reorder between plain weights and the format that a primitive wants; primitive NULL: they are
 * the same. */
struct reorder {
    dnnl_primitive_t primitive;
    dnnl_memory_t from, to, scratch;
    size_t scratch_bytes, wanted_bytes;
};

struct cpu_convolution {
    struct cpu_convolution *next;
    struct cpu_convolution_shape shape;
    int users;
    size_t weights, scratch; /* count; bytes */
    struct primitive forward, dx, dweights;
    struct reorder forward_weights, dx_weights, dweights_out;
};

/* What is needed while a convolution is made. */
struct recipe {
    struct cpu_dnnl *dnnl;
    dnnl_memory_desc_t x, y, any, plain; /* any, plain: the weights' */
    dnnl_dims_t strides, padding;
    dnnl_primitive_desc_t forward; /* which backward's are hinted with */
};

static int check(dnnl_status_t status, const char *what, struct seki_error *error)
{
    if (status == dnnl_success)
        return 0;
    return seki_fail(error, SEKI_NO_RESOURCE, "backend", "oneDNN failed to %s (status %d)%s", what,
                     (int)status, status == dnnl_out_of_memory ? ": out of memory" : "");
}

/* ---- Engine ------------------------------------------------------------------------------- */

int seki_cpu_dnnl_open(struct cpu_backend *backend, struct seki_error *error)
{
    struct cpu_dnnl *dnnl = seki_allocate(1, sizeof(*dnnl), error);

    if (dnnl == NULL)
        return -1;
    backend->dnnl = dnnl;
    if (check(dnnl_engine_create(&dnnl->engine, dnnl_cpu, 0), "open the CPU", error) == 0 &&
        check(dnnl_stream_create(&dnnl->stream, dnnl->engine, dnnl_stream_default_flags),
              "make a stream", error) == 0 &&
        check(dnnl_primitive_attr_create(&dnnl->attributes), "make attributes", error) == 0 &&
        check(dnnl_primitive_attr_set_scratchpad_mode(dnnl->attributes, dnnl_scratchpad_mode_user),
              "leave scratch to its caller", error) == 0)
        return 0;
    seki_cpu_dnnl_close(backend);
    return -1;
}

void seki_cpu_dnnl_close(struct cpu_backend *backend)
{
    struct cpu_dnnl *dnnl = backend->dnnl;

    if (dnnl == NULL)
        return;
    if (backend->convolutions != NULL)
        SEKI_BUG("a backend was closed before its blocks");
    dnnl_primitive_attr_destroy(dnnl->attributes);
    dnnl_stream_destroy(dnnl->stream);
    dnnl_engine_destroy(dnnl->engine);
    free(dnnl);
    backend->dnnl = NULL;
}

/* ---- Making and ending -------------------------------------------------------------------- */

static void destroy_memory(dnnl_memory_t memory)
{
    if (memory != NULL)
        dnnl_memory_destroy(memory);
}

static void destroy_primitive(struct primitive *p)
{
    if (p->primitive != NULL)
        dnnl_primitive_destroy(p->primitive);
    destroy_memory(p->a);
    destroy_memory(p->b);
    destroy_memory(p->c);
    destroy_memory(p->scratch);
}

static void destroy_reorder(struct reorder *r)
{
    if (r->primitive != NULL)
        dnnl_primitive_destroy(r->primitive);
    destroy_memory(r->from);
    destroy_memory(r->to);
    destroy_memory(r->scratch);
}

static void destroy(struct cpu_convolution *c)
{
    destroy_primitive(&c->forward);
    destroy_primitive(&c->dx);
    destroy_primitive(&c->dweights);
    destroy_reorder(&c->forward_weights);
    destroy_reorder(&c->dx_weights);
    destroy_reorder(&c->dweights_out);
    free(c);
}

/* A memory object without memory. */
static int make_memory(dnnl_memory_t *memory, const dnnl_memory_desc_t *desc,
                       const struct recipe *recipe, struct seki_error *error)
{
    return check(dnnl_memory_create(memory, desc, recipe->dnnl->engine, DNNL_MEMORY_NONE),
                 "describe a tensor", error);
}

/* Primitive and scratch of a primitive descriptor. */
static int make_primitive(dnnl_primitive_t *primitive, dnnl_memory_t *scratch,
                          size_t *scratch_bytes, const_dnnl_primitive_desc_t desc,
                          const struct recipe *recipe, struct seki_error *error)
{
    const dnnl_memory_desc_t *pad = dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);

    *scratch_bytes = dnnl_memory_desc_get_size(pad);
    if (*scratch_bytes > 0 && make_memory(scratch, pad, recipe, error) < 0)
        return -1;
    return check(dnnl_primitive_create(primitive, desc), "make a primitive", error);
}

/* `wanted`: the format that the convolution chose; to it, or with `back` from it. */
static int make_reorder(struct reorder *r, const dnnl_memory_desc_t *wanted, bool back,
                        const struct recipe *recipe, struct seki_error *error)
{
    const dnnl_memory_desc_t *from = back ? wanted : &recipe->plain;
    const dnnl_memory_desc_t *to = back ? &recipe->plain : wanted;
    dnnl_engine_t engine = recipe->dnnl->engine;
    dnnl_primitive_desc_t desc;
    int result;

    r->wanted_bytes = dnnl_memory_desc_get_size(wanted);
    if (dnnl_memory_desc_equal(wanted, &recipe->plain))
        return 0;
    if (check(dnnl_reorder_primitive_desc_create(&desc, from, engine, to, engine,
                                                 recipe->dnnl->attributes),
              "reorder weights", error) < 0)
        return -1;
    result = make_primitive(&r->primitive, &r->scratch, &r->scratch_bytes, desc, recipe, error);
    dnnl_primitive_desc_destroy(desc);
    if (result < 0 || make_memory(&r->from, from, recipe, error) < 0)
        return -1;
    return make_memory(&r->to, to, recipe, error);
}

static int make_forward(struct cpu_convolution *c, struct recipe *recipe, struct seki_error *error)
{
    dnnl_convolution_desc_t desc;
    const dnnl_memory_desc_t *weights;

    if (check(dnnl_convolution_forward_desc_init(
                  &desc, dnnl_forward_training, dnnl_convolution_direct, &recipe->x, &recipe->any,
                  NULL, &recipe->y, recipe->strides, recipe->padding, recipe->padding),
              "describe a convolution", error) < 0 ||
        check(dnnl_primitive_desc_create(&recipe->forward, &desc, recipe->dnnl->attributes,
                                         recipe->dnnl->engine, NULL),
              "find a convolution", error) < 0)
        return -1;
    weights = dnnl_primitive_desc_query_md(recipe->forward, dnnl_query_weights_md, 0);
    if (make_primitive(&c->forward.primitive, &c->forward.scratch, &c->forward.scratch_bytes,
                       recipe->forward, recipe, error) < 0 ||
        make_memory(&c->forward.a, &recipe->x, recipe, error) < 0 ||
        make_memory(&c->forward.b, weights, recipe, error) < 0 ||
        make_memory(&c->forward.c, &recipe->y, recipe, error) < 0)
        return -1;
    return make_reorder(&c->forward_weights, weights, false, recipe, error);
}

static int make_dx(struct cpu_convolution *c, const struct recipe *recipe, struct seki_error *error)
{
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t made;
    const dnnl_memory_desc_t *weights;
    int result;

    if (check(dnnl_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, &recipe->x,
                                                       &recipe->any, &recipe->y, recipe->strides,
                                                       recipe->padding, recipe->padding),
              "describe a convolution's dX", error) < 0 ||
        check(dnnl_primitive_desc_create(&made, &desc, recipe->dnnl->attributes,
                                         recipe->dnnl->engine, recipe->forward),
              "find a convolution's dX", error) < 0)
        return -1;
    weights = dnnl_primitive_desc_query_md(made, dnnl_query_weights_md, 0);
    result =
        make_primitive(&c->dx.primitive, &c->dx.scratch, &c->dx.scratch_bytes, made, recipe, error);
    if (result == 0)
        result = make_memory(&c->dx.a, &recipe->y, recipe, error);
    if (result == 0)
        result = make_memory(&c->dx.b, weights, recipe, error);
    if (result == 0)
        result = make_memory(&c->dx.c, &recipe->x, recipe, error);
    if (result == 0)
        result = make_reorder(&c->dx_weights, weights, false, recipe, error);
    dnnl_primitive_desc_destroy(made);
    return result;
}

static int make_dweights(struct cpu_convolution *c, const struct recipe *recipe,
                         struct seki_error *error)
{
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t made;
    const dnnl_memory_desc_t *weights;
    int result;

    if (check(dnnl_convolution_backward_weights_desc_init(
                  &desc, dnnl_convolution_direct, &recipe->x, &recipe->any, NULL, &recipe->y,
                  recipe->strides, recipe->padding, recipe->padding),
              "describe a convolution's dW", error) < 0 ||
        check(dnnl_primitive_desc_create(&made, &desc, recipe->dnnl->attributes,
                                         recipe->dnnl->engine, recipe->forward),
              "find a convolution's dW", error) < 0)
        return -1;
    weights = dnnl_primitive_desc_query_md(made, dnnl_query_diff_weights_md, 0);
    result = make_primitive(&c->dweights.primitive, &c->dweights.scratch,
                            &c->dweights.scratch_bytes, made, recipe, error);
    if (result == 0)
        result = make_memory(&c->dweights.a, &recipe->x, recipe, error);
    if (result == 0)
        result = make_memory(&c->dweights.b, &recipe->y, recipe, error);
    if (result == 0)
        result = make_memory(&c->dweights.c, weights, recipe, error);
    if (result == 0)
        result = make_reorder(&c->dweights_out, weights, true, recipe, error);
    dnnl_primitive_desc_destroy(made);
    return result;
}

static int describe(struct recipe *recipe, const struct cpu_convolution_shape *s,
                    struct seki_error *error)
{
    const int height =
        seki_sliding_size(s->height, s->kernel_height, s->stride_height, s->padding_height, 1);
    const int width =
        seki_sliding_size(s->width, s->kernel_width, s->stride_width, s->padding_width, 1);
    const dnnl_dims_t x = {s->images, s->in_channels, s->height, s->width};
    const dnnl_dims_t y = {s->images, s->out_channels, height, width};
    const dnnl_dims_t w = {s->out_channels, s->in_channels, s->kernel_height, s->kernel_width};

    recipe->strides[0] = s->stride_height;
    recipe->strides[1] = s->stride_width;
    recipe->padding[0] = s->padding_height;
    recipe->padding[1] = s->padding_width;
    if (check(dnnl_memory_desc_init_by_tag(&recipe->x, 4, x, dnnl_f32, dnnl_nhwc), "describe x",
              error) < 0 ||
        check(dnnl_memory_desc_init_by_tag(&recipe->y, 4, y, dnnl_f32, dnnl_nhwc), "describe y",
              error) < 0 ||
        check(dnnl_memory_desc_init_by_tag(&recipe->any, 4, w, dnnl_f32, dnnl_format_tag_any),
              "describe weights", error) < 0)
        return -1;
    return check(dnnl_memory_desc_init_by_tag(&recipe->plain, 4, w, dnnl_f32, dnnl_oihw),
                 "describe weights", error);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The pieces that a call takes: the weights in the wanted format, plain ones, a primitive's own. */
struct pieces {
    void *wanted, *plain, *pad;
};

static struct pieces take_pieces(const struct cpu_convolution *c, struct cpu_arena *arena)
{
    size_t wanted = larger(c->forward_weights.wanted_bytes,
                           larger(c->dx_weights.wanted_bytes, c->dweights_out.wanted_bytes));
    size_t pad =
        larger(c->forward.scratch_bytes, larger(c->dx.scratch_bytes, c->dweights.scratch_bytes));

    pad = larger(pad, larger(c->forward_weights.scratch_bytes,
                             larger(c->dx_weights.scratch_bytes, c->dweights_out.scratch_bytes)));
    return (struct pieces){.wanted = seki_cpu_take(arena, wanted),
                           .plain = seki_cpu_take_floats(arena, c->weights),
                           .pad = seki_cpu_take(arena, pad)};
}

static int make(struct cpu_convolution *c, struct cpu_dnnl *dnnl, struct seki_error *error)
{
    struct recipe recipe = {.dnnl = dnnl};
    struct cpu_arena arena = {0};
    int result = describe(&recipe, &c->shape, error);

    if (result == 0)
        result = make_forward(c, &recipe, error);
    if (result == 0 && c->shape.backward)
        result = make_dx(c, &recipe, error);
    if (result == 0 && c->shape.backward)
        result = make_dweights(c, &recipe, error);
    if (recipe.forward != NULL)
        dnnl_primitive_desc_destroy(recipe.forward);
    take_pieces(c, &arena);
    c->scratch = arena.used;
    return result;
}

struct cpu_convolution *seki_cpu_convolution_open(struct cpu_backend *backend,
                                                  const struct cpu_convolution_shape *shape,
                                                  struct seki_error *error)
{
    struct cpu_convolution *c;

    for (c = backend->convolutions; c != NULL; c = c->next) {
        if (memcmp(&c->shape, shape, sizeof(*shape)) == 0) {
            c->users++;
            return c;
        }
    }
    c = seki_allocate(1, sizeof(*c), error);
    if (c == NULL)
        return NULL;
    c->shape = *shape;
    c->users = 1;
    c->weights = (size_t)shape->out_channels * (size_t)shape->in_channels *
                 (size_t)shape->kernel_height * (size_t)shape->kernel_width;
    if (make(c, backend->dnnl, error) < 0) {
        destroy(c);
        return NULL;
    }
    c->next = backend->convolutions;
    backend->convolutions = c;
    return c;
}

void seki_cpu_convolution_close(struct cpu_backend *backend, struct cpu_convolution *convolution)
{
    struct cpu_convolution **at = &backend->convolutions;

    if (convolution == NULL || --convolution->users > 0)
        return;
    while (*at != convolution)
        at = &(*at)->next;
    *at = convolution->next;
    destroy(convolution);
}

size_t seki_cpu_convolution_scratch(const struct cpu_convolution *convolution)
{
    return convolution->scratch;
}

/* ---- Calls -------------------------------------------------------------------------------- */

static int set(dnnl_memory_t memory, const void *address, struct seki_error *error)
{
    return check(dnnl_memory_set_data_handle(memory, (void *)(uintptr_t)address), "take an address",
                 error);
}

static int execute(const struct cpu_dnnl *dnnl, dnnl_primitive_t primitive, int count,
                   const dnnl_exec_arg_t *arguments, struct seki_error *error)
{
    if (check(dnnl_primitive_execute(primitive, dnnl->stream, count, arguments), "compute", error) <
        0)
        return -1;
    return check(dnnl_stream_wait(dnnl->stream), "compute", error);
}

static int run_reorder(const struct cpu_dnnl *dnnl, const struct reorder *r, const void *from,
                       void *to, void *pad, struct seki_error *error)
{
    const dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_FROM, r->from}, {DNNL_ARG_TO, r->to}, {DNNL_ARG_SCRATCHPAD, r->scratch}};

    if (set(r->from, from, error) < 0 || set(r->to, to, error) < 0 ||
        (r->scratch != NULL && set(r->scratch, pad, error) < 0))
        return -1;
    return execute(dnnl, r->primitive, r->scratch != NULL ? 3 : 2, arguments, error);
}

/* The weights as a primitive wants them: where they are, or in `pieces`. */
static const void *wanted_weights(const struct cpu_dnnl *dnnl, const struct reorder *r,
                                  const float *weights, const struct pieces *pieces,
                                  struct seki_error *error)
{
    if (r->primitive == NULL)
        return weights;
    if (run_reorder(dnnl, r, weights, pieces->wanted, pieces->pad, error) < 0)
        return NULL;
    return pieces->wanted;
}

static int run(const struct cpu_dnnl *dnnl, const struct primitive *p, const int roles[3],
               const void *a, const void *b, void *c, void *pad, struct seki_error *error)
{
    const dnnl_exec_arg_t arguments[] = {
        {roles[0], p->a}, {roles[1], p->b}, {roles[2], p->c}, {DNNL_ARG_SCRATCHPAD, p->scratch}};

    if (set(p->a, a, error) < 0 || set(p->b, b, error) < 0 || set(p->c, c, error) < 0 ||
        (p->scratch != NULL && set(p->scratch, pad, error) < 0))
        return -1;
    return execute(dnnl, p->primitive, p->scratch != NULL ? 4 : 3, arguments, error);
}

int seki_cpu_convolution_forward(struct cpu_backend *backend, struct cpu_convolution *convolution,
                                 const float *x, const float *weights, float *y, void *scratch,
                                 struct seki_error *error)
{
    static const int roles[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    struct cpu_arena arena = {scratch, 0};
    struct pieces pieces = take_pieces(convolution, &arena);
    const void *wanted =
        wanted_weights(backend->dnnl, &convolution->forward_weights, weights, &pieces, error);

    if (wanted == NULL)
        return -1;
    return run(backend->dnnl, &convolution->forward, roles, x, wanted, y, pieces.pad, error);
}

int seki_cpu_convolution_dx(struct cpu_backend *backend, struct cpu_convolution *convolution,
                            const float *dy, const float *weights, float *dx, void *scratch,
                            struct seki_error *error)
{
    static const int roles[] = {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC};
    struct cpu_arena arena = {scratch, 0};
    struct pieces pieces = take_pieces(convolution, &arena);
    const void *wanted =
        wanted_weights(backend->dnnl, &convolution->dx_weights, weights, &pieces, error);

    if (wanted == NULL)
        return -1;
    return run(backend->dnnl, &convolution->dx, roles, dy, wanted, dx, pieces.pad, error);
}

int seki_cpu_convolution_dweights(struct cpu_backend *backend, struct cpu_convolution *convolution,
                                  const float *x, const float *dy, float *dweights, void *scratch,
                                  struct seki_error *error)
{
    static const int roles[] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS};
    struct cpu_arena arena = {scratch, 0};
    struct pieces pieces = take_pieces(convolution, &arena);
    const struct reorder *out = &convolution->dweights_out;
    const float *sums = out->primitive != NULL ? pieces.plain : pieces.wanted;

    if (run(backend->dnnl, &convolution->dweights, roles, x, dy, pieces.wanted, pieces.pad, error) <
        0)
        return -1;
    if (out->primitive != NULL &&
        run_reorder(backend->dnnl, out, pieces.wanted, pieces.plain, pieces.pad, error) < 0)
        return -1;
    for (size_t i = 0; i < convolution->weights; i++)
        dweights[i] += sums[i];
    return 0;
}
