/*
 * backend_rig.h - runs one block of a case (backend_cases.h) on one backend as a hostile caller
 * would: every buffer between guards, outputs and working memory poisoned with NaN, other parts of
 * the tensors watched, and another use of the same block between forward and backward.
 */
#ifndef SEKI_BACKEND_RIG_H
#define SEKI_BACKEND_RIG_H

#include "backend_values.h"

/* ---- Guarded memory of a backend ---------------------------------------------------------- */

enum { GUARD = 64, POISON = 0xff }; /* floats of these bytes are NaN */

struct guarded {
    char *base, *data;
    size_t bytes, total;
};

static inline void poison(struct seki_backend *b, void *memory, size_t bytes)
{
    struct seki_error error;
    void *host = malloc(bytes + 1);

    assert_non_null(host);
    memset(host, POISON, bytes);
    assert_int_equal(b->ops->write(b, memory, host, bytes, &error), 0);
    free(host);
}

/* `shift` bytes from 64-byte alignment. All poisoned. */
static inline struct guarded guarded_new(struct seki_backend *b, size_t bytes, size_t shift)
{
    struct seki_error error;
    struct guarded g = {.bytes = bytes, .total = bytes + shift + 2 * GUARD};

    g.base = b->ops->memory(b, g.total, &error);
    assert_non_null(g.base);
    assert_int_equal((uintptr_t)g.base % 64, 0);
    g.data = g.base + GUARD + shift;
    poison(b, g.base, g.total);
    return g;
}

static inline void guarded_check(struct seki_backend *b, const struct guarded *g, const char *what,
                                 const char *comment)
{
    struct seki_error error;
    unsigned char *host = malloc(g->total);

    assert_non_null(host);
    assert_int_equal(b->ops->read(b, host, g->base, g->total, &error), 0);
    for (size_t i = 0; i < g->total; i++) {
        bool inside =
            i >= (size_t)(g->data - g->base) && i < (size_t)(g->data - g->base) + g->bytes;

        if (!inside && host[i] != POISON)
            fail_msg("%s: %s: a byte %s %s was written", b->ops->name, comment,
                     i < (size_t)(g->data - g->base) ? "before" : "after", what);
    }
    free(host);
}

/* ---- Tensors with parts that are not the block's ------------------------------------------ */

struct watched {
    struct guarded memory;
    struct seki_window window; /* the block's */
    struct seki_window all;
    float *before; /* of all parts */
    size_t count;
};

static inline struct watched watched_new(struct seki_backend *b, struct seki_shape shape,
                                         int all_parts, int part, int images)
{
    int parts = shape.parts;
    struct watched w = {0};

    shape.parts = all_parts > 0 ? all_parts : parts;
    w.memory = guarded_new(b, b->ops->tensor_bytes(b, &shape, images), 0);
    const struct seki_range all = {0, w.memory.bytes / sizeof(float)};
    struct seki_error error;

    assert_int_equal(b->ops->clear(b, (float *)w.memory.data, &all, 1, &error), 0);
    w.window = (struct seki_window){w.memory.data, shape, part, parts};
    w.all = (struct seki_window){w.memory.data, shape, 0, shape.parts};
    w.count = (size_t)(images * shape.parts * shape.channels * shape.height * shape.width);
    w.before = calloc(w.count, sizeof(float));
    assert_non_null(w.before);
    return w;
}

/* The block's parts get `values`, or NaN where values is NULL; the other parts `other`. */
static inline void watched_fill(struct seki_backend *b, struct watched *w, int images,
                                const float *values, float other)
{
    struct seki_error error;
    size_t own = w->count / (size_t)w->all.parts * (size_t)w->window.parts;
    float *nans = malloc(own * sizeof(float));

    assert_non_null(nans);
    for (size_t i = 0; i < own; i++)
        nans[i] = NAN;
    for (size_t i = 0; i < w->count; i++)
        w->before[i] = other;
    assert_int_equal(b->ops->tensor_write(b, &w->all, images, w->before, &error), 0);
    assert_int_equal(
        b->ops->tensor_write(b, &w->window, images, values != NULL ? values : nans, &error), 0);
    assert_int_equal(b->ops->tensor_read(b, w->before, &w->all, images, &error), 0);
    free(nans);
}

/* Reads the block's parts into `values`, or, where that is NULL, asserts that they have not
 * changed; the other parts must not have in any case. */
static inline void watched_read(struct seki_backend *b, const struct watched *w, int images,
                                float *values, const char *what, const char *comment)
{
    struct seki_error error;
    float *now = calloc(w->count, sizeof(float));
    size_t part = w->count / (size_t)(images * w->all.parts);

    assert_non_null(now);
    guarded_check(b, &w->memory, what, comment);
    assert_int_equal(b->ops->tensor_read(b, now, &w->all, images, &error), 0);
    for (size_t i = 0; i < w->count; i++) {
        int at = (int)(i / part % (size_t)w->all.parts);
        bool own = at >= w->window.part && at < w->window.part + w->window.parts;

        if (memcmp(&now[i], &w->before[i], sizeof(float)) != 0 && (!own || values == NULL))
            fail_msg("%s: %s: part %d of %s was changed from %g to %g", b->ops->name, comment, at,
                     what, (double)w->before[i], (double)now[i]);
    }
    if (values != NULL)
        assert_int_equal(b->ops->tensor_read(b, values, &w->window, images, &error), 0);
    free(now);
}

static inline void watched_free(struct seki_backend *b, struct watched *w)
{
    b->ops->release(b, w->memory.base);
    free(w->before);
}

/* ---- The rig ------------------------------------------------------------------------------- */

struct rig {
    const struct block_case *c;
    struct seki_backend *b;
    struct seki_block *block;
    enum seki_mode mode;
    struct watched x, y, dx, dy, other_y;
    struct guarded parameters, gradients, statistics, keep, saved, scratch, other_saved;
};

/* Parameters lie anywhere in a network's array: aligned as floats are. */
static inline struct guarded guarded_floats(struct seki_backend *b, size_t count)
{
    return guarded_new(b, count * sizeof(float), sizeof(float));
}

static inline struct rig rig_open(struct seki_backend *b, const struct block_case *c,
                                  enum seki_mode mode)
{
    struct rig rig = {.c = c, .b = b, .mode = mode};
    struct seki_block_info info;
    struct seki_error error;
    size_t saved, scratch;

    assert_int_equal(seki_block_describe(&c->spec, &info, &error), 0);
    rig.block = b->ops->block_open(b, &c->spec, &error);
    if (rig.block == NULL)
        fail_msg("%s: %s: %s", b->ops->name, c->comment, error.message);
    for (int m = SEKI_MODE_TRAIN; m <= SEKI_MODE_INFER; m++)
        for (int images = c->images + 1; images >= c->images; images--)
            assert_int_equal(b->ops->block_prepare(rig.block, images, (enum seki_mode)m, &saved,
                                                   &scratch, &error),
                             0);
    assert_int_equal(b->ops->block_prepare(rig.block, c->images, mode, &saved, &scratch, &error),
                     0);
    if (mode != SEKI_MODE_TRAIN)
        assert_int_equal(saved, 0);
    rig.x = watched_new(b, c->spec.in, c->x_parts, c->x_part, c->images);
    rig.dx = watched_new(b, c->spec.in, c->x_parts, c->x_part, c->images);
    rig.y = watched_new(b, info.out, c->y_parts, c->y_part, c->images);
    rig.dy = watched_new(b, info.out, c->y_parts, c->y_part, c->images);
    rig.other_y = watched_new(b, info.out, 0, 0, c->images);
    rig.parameters = guarded_floats(b, info.parameters);
    rig.gradients = guarded_floats(b, info.parameters);
    rig.statistics = guarded_floats(b, info.statistics);
    rig.keep = guarded_floats(b, (size_t)c->images);
    rig.saved = guarded_new(b, saved, 0);
    rig.other_saved = guarded_new(b, saved, 0);
    rig.scratch = guarded_new(b, scratch, 0);
    return rig;
}

static inline void rig_close(struct rig *rig)
{
    struct watched *tensors[] = {&rig->x, &rig->y, &rig->dx, &rig->dy, &rig->other_y};
    struct guarded *memories[] = {&rig->parameters, &rig->gradients, &rig->statistics, &rig->keep,
                                  &rig->saved,      &rig->scratch,   &rig->other_saved};

    rig->b->ops->block_close(rig->block);
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        watched_free(rig->b, tensors[i]);
    for (size_t i = 0; i < sizeof memories / sizeof memories[0]; i++)
        rig->b->ops->release(rig->b, memories[i]->base);
}

static inline void rig_write(const struct rig *rig, const struct guarded *to,
                             const struct values *v, int array)
{
    struct seki_error error;

    assert_int_equal(rig->b->ops->write(rig->b, to->data, v->array[array],
                                        v->count[array] * sizeof(float), &error),
                     0);
}

static inline void rig_read(const struct rig *rig, struct values *v, int array,
                            const struct guarded *from, const char *what)
{
    struct seki_error error;

    guarded_check(rig->b, from, what, rig->c->comment);
    assert_int_equal(rig->b->ops->read(rig->b, v->array[array], from->data,
                                       v->count[array] * sizeof(float), &error),
                     0);
}

static inline struct seki_block_call rig_call(const struct rig *rig)
{
    return (struct seki_block_call){
        .images = rig->c->images,
        .mode = rig->mode,
        .x = rig->x.window,
        .y = rig->y.window,
        .add_y = rig->c->add_y,
        .keep = rig->c->keep ? (const float *)rig->keep.data : NULL,
        .parameters = (const float *)rig->parameters.data,
        .statistics = (float *)rig->statistics.data,
        .saved = rig->saved.data,
        .scratch = rig->scratch.data,
    };
}

static inline void rig_forward(struct rig *rig, struct values *v)
{
    struct seki_backend *b = rig->b;
    struct seki_block_call call = rig_call(rig);
    struct seki_error error;
    struct values before = values_copy(v);

    watched_fill(b, &rig->x, rig->c->images, v->array[X], NAN);
    watched_fill(b, &rig->y, rig->c->images, rig->c->add_y ? v->array[Y] : NULL, 7.5f);
    rig_write(rig, &rig->parameters, v, PARAMETERS);
    rig_write(rig, &rig->statistics, v, STATISTICS);
    rig_write(rig, &rig->keep, v, KEEP);
    poison(b, rig->saved.data, rig->saved.bytes);
    poison(b, rig->scratch.data, rig->scratch.bytes);
    if (b->ops->forward(rig->block, &call, &error) < 0)
        fail_msg("%s: %s: %s", b->ops->name, rig->c->comment, error.message);
    watched_read(b, &rig->y, rig->c->images, v->array[Y], "y", rig->c->comment);
    watched_read(b, &rig->x, rig->c->images, NULL, "x", rig->c->comment);
    rig_read(rig, v, PARAMETERS, &rig->parameters, "the parameters");
    rig_read(rig, v, STATISTICS, &rig->statistics, "the statistics");
    guarded_check(b, &rig->saved, "saved", rig->c->comment);
    guarded_check(b, &rig->scratch, "scratch", rig->c->comment);
    assert_true(same_bytes(v, &before, PARAMETERS));
    if (rig->mode != SEKI_MODE_TRAIN)
        assert_true(same_bytes(v, &before, STATISTICS));
    values_free(&before);
}

/* The same block at work elsewhere, on other pictures: what backward needs is in `saved` alone. */
static inline void rig_disturb(struct rig *rig, const struct values *v)
{
    struct seki_backend *b = rig->b;
    struct seki_block_call call = rig_call(rig);
    struct seki_error error;
    struct values other = values_copy(v);

    for (size_t i = 0; i < other.count[X]; i++)
        other.array[X][i] = 0.3f - 2.0f * other.array[X][i];
    watched_fill(b, &rig->x, rig->c->images, other.array[X], NAN);
    call.y = rig->other_y.window;
    call.add_y = false;
    call.saved = rig->other_saved.data;
    assert_int_equal(b->ops->forward(rig->block, &call, &error), 0);
    watched_fill(b, &rig->x, rig->c->images, v->array[X], NAN);
    values_free(&other);
}

static inline void rig_backward(struct rig *rig, struct values *v)
{
    struct seki_backend *b = rig->b;
    struct seki_block_call call = rig_call(rig);
    struct seki_error error;

    rig_disturb(rig, v);
    watched_fill(b, &rig->dy, rig->c->images, v->array[DY], NAN);
    watched_fill(b, &rig->dx, rig->c->images, rig->c->add_dx ? v->array[DX] : NULL, -3.25f);
    rig_write(rig, &rig->gradients, v, GRADIENTS);
    poison(b, rig->scratch.data, rig->scratch.bytes);
    call.dy = rig->dy.window;
    if (!rig->c->no_dx)
        call.dx = rig->dx.window;
    call.add_dx = rig->c->add_dx;
    call.gradients = (float *)rig->gradients.data;
    if (b->ops->backward(rig->block, &call, &error) < 0)
        fail_msg("%s: %s: %s", b->ops->name, rig->c->comment, error.message);
    watched_read(b, &rig->dx, rig->c->images, rig->c->no_dx ? NULL : v->array[DX], "dx",
                 rig->c->comment);
    watched_read(b, &rig->dy, rig->c->images, NULL, "dy", rig->c->comment);
    watched_read(b, &rig->x, rig->c->images, NULL, "x", rig->c->comment);
    rig_read(rig, v, GRADIENTS, &rig->gradients, "the gradients");
    guarded_check(b, &rig->saved, "saved", rig->c->comment);
    guarded_check(b, &rig->scratch, "scratch", rig->c->comment);
}

/* Forward, and backward where the mode has one. */
static inline void rig_run(struct rig *rig, struct values *v)
{
    rig_forward(rig, v);
    if (rig->mode == SEKI_MODE_TRAIN)
        rig_backward(rig, v);
}

static inline struct seki_backend *open_backend(const char *name)
{
    struct seki_error error;
    struct seki_backend *backend = seki_backend_open(name, 2, SEKI_FP32, &error);

    if (backend == NULL)
        fail_msg("backend %s: %s", name, error.message);
    return backend;
}

#endif
