/*
 * reference_pieces.h - some steps of a network's program alone, forward and backward, each tensor
 * in memory of its own: one operation, or one cell.
 */
#ifndef SEKI_REFERENCE_PIECES_H
#define SEKI_REFERENCE_PIECES_H

#include "reference_fixture.h"

struct pieces {
    struct seki_network *network;
    struct seki_backend *b;
    int images;
    bool *on;                   /* of each step: whether it runs */
    void **values, **gradients; /* of each tensor of the program */
    void **saved;               /* of each step */
    void *scratch;
};

/* ---- One operation -------------------------------------------------------------------------- */

#define EDGE "edge" /* what its tensors' names begin with */

static inline void add_operation(struct seki_network *network, enum seki_op op, int stride,
                                 struct seki_shape in, struct chain *chain)
{
    struct seki_error error;

    if (op == SEKI_NONE) {
        struct seki_block_spec spec = seki_spec_simple(SEKI_BLOCK_ZERO, in);

        spec.stride_height = spec.stride_width = stride;
        chain->modules[0] = seki_module_add(network, &spec, &seki_names_plain, &error, EDGE);
        chain->count = 1;
    } else if (seki_edge_modules(network, op, in, stride, EDGE, chain, &error) < 0) {
        fail_msg("%s", error.message);
    }
    assert_true(chain->count > 0 && chain->modules[0] >= 0);
}

static inline void reserve_arrays(struct seki_network *network)
{
    struct seki_backend *b = network->backend;
    struct seki_error error;
    size_t parameters = (network->parameter_count + 1) * sizeof(float);

    network->parameters = b->ops->memory(b, parameters, &error);
    network->gradients = b->ops->memory(b, parameters, &error);
    network->statistics = b->ops->memory(b, (network->statistic_count + 1) * sizeof(float), &error);
    assert_true(network->parameters && network->gradients && network->statistics);
}

/* A network of one edge. */
static inline struct seki_network *operation_network(struct seki_backend *b, enum seki_space space,
                                                     bool supernet, enum seki_op op, int stride,
                                                     struct seki_shape in)
{
    struct seki_network *network = calloc(1, sizeof *network);
    struct program *program;
    struct chain chain;
    int x;

    assert_non_null(network);
    program = &network->program;
    network->backend = b;
    network->supernet = supernet;
    network->config.space = space;
    program->step_capacity = program->tensor_capacity = MAX_CHAIN + 1;
    program->steps = calloc(MAX_CHAIN + 1, sizeof *program->steps);
    program->tensors = calloc(MAX_CHAIN + 1, sizeof *program->tensors);
    assert_true(program->steps && program->tensors);
    add_operation(network, op, stride, in, &chain);
    x = seki_program_tensor(program, in);
    for (int i = 0; i < chain.count; i++) {
        int y = seki_program_tensor(program, network->modules[chain.modules[i]].info.out);

        seki_program_step(program, chain.modules[i], x, 0, 1, y, 0, false);
        x = y;
    }
    reserve_arrays(network);
    return network;
}

/* ---- Memory --------------------------------------------------------------------------------- */

static inline size_t pieces_bytes(const struct pieces *p, int tensor)
{
    return p->b->ops->tensor_bytes(p->b, &p->network->program.tensors[tensor].shape, p->images);
}

/* The steps whose modules' names begin with `prefix`. */
static inline struct pieces pieces_new(struct seki_network *network, int images, const char *prefix)
{
    struct pieces p = {.network = network, .b = network->backend, .images = images};
    const struct program *program = &network->program;
    size_t largest = 64;
    struct seki_error error;

    p.values = calloc((size_t)program->tensor_count, sizeof *p.values);
    p.gradients = calloc((size_t)program->tensor_count, sizeof *p.gradients);
    p.saved = calloc((size_t)program->step_count, sizeof *p.saved);
    p.on = calloc((size_t)program->step_count, sizeof *p.on);
    assert_true(p.values && p.gradients && p.saved && p.on);
    for (int i = 0; i < program->step_count; i++) {
        const struct step *step = &program->steps[i];
        size_t saved, scratch;
        int tensors[] = {step->x, step->y};

        p.on[i] = strncmp(network->modules[step->module].prefix, prefix, strlen(prefix)) == 0;
        if (!p.on[i])
            continue;
        assert_int_equal(p.b->ops->block_prepare(network->modules[step->module].block, images,
                                                 SEKI_MODE_TRAIN, &saved, &scratch, &error),
                         0);
        largest = scratch > largest ? scratch : largest;
        p.saved[i] = p.b->ops->memory(p.b, saved + 64, &error);
        assert_non_null(p.saved[i]);
        for (int t = 0; t < 2; t++) {
            if (tensors[t] < 0 || p.values[tensors[t]] != NULL)
                continue;
            p.values[tensors[t]] = p.b->ops->memory(p.b, pieces_bytes(&p, tensors[t]), &error);
            p.gradients[tensors[t]] = p.b->ops->memory(p.b, pieces_bytes(&p, tensors[t]), &error);
            assert_true(p.values[tensors[t]] && p.gradients[tensors[t]]);
        }
    }
    p.scratch = p.b->ops->memory(p.b, largest, &error);
    assert_non_null(p.scratch);
    return p;
}

static inline void pieces_free(struct pieces *p)
{
    const struct program *program = &p->network->program;

    for (int t = 0; t < program->tensor_count; t++) {
        p->b->ops->release(p->b, p->values[t]);
        p->b->ops->release(p->b, p->gradients[t]);
    }
    for (int i = 0; i < program->step_count; i++)
        p->b->ops->release(p->b, p->saved[i]);
    p->b->ops->release(p->b, p->scratch);
    free(p->values);
    free(p->gradients);
    free(p->saved);
    free(p->on);
}

/* ---- Forward and backward ------------------------------------------------------------------- */

static inline struct seki_window pieces_window(const struct pieces *p, void *const *memory,
                                               int tensor, int part, int parts)
{
    struct seki_shape shape = p->network->program.tensors[tensor].shape;

    return (struct seki_window){memory[tensor], shape, part, parts > 0 ? parts : shape.parts};
}

static inline size_t pieces_count(const struct pieces *p, int tensor)
{
    struct seki_shape s = p->network->program.tensors[tensor].shape;

    return (size_t)(p->images * s.parts * s.channels * s.height * s.width);
}

static inline struct seki_block_call pieces_call(const struct pieces *p, int index)
{
    const struct step *step = &p->network->program.steps[index];
    const struct module *module = &p->network->modules[step->module];
    struct seki_block_call call = {.images = p->images,
                                   .mode = SEKI_MODE_TRAIN,
                                   .y = pieces_window(p, p->values, step->y, step->y_part, 1),
                                   .dy = pieces_window(p, p->gradients, step->y, step->y_part, 1),
                                   .add_y = step->add_y,
                                   .add_dx = true, /* all gradients begin as 0 */
                                   .parameters = p->network->parameters + module->parameters,
                                   .gradients = p->network->gradients + module->parameters,
                                   .statistics = p->network->statistics + module->statistics,
                                   .saved = p->saved[index],
                                   .scratch = p->scratch};

    if (step->x >= 0) {
        call.x = pieces_window(p, p->values, step->x, step->x_part, step->x_parts);
        call.dx = pieces_window(p, p->gradients, step->x, step->x_part, step->x_parts);
    }
    return call;
}

/* A tensor's values, or its gradient, from a name. coarse: -1, 0 and 1 alone. */
static inline void pieces_put(struct pieces *p, void *const *memory, int tensor, const char *key,
                              const char *name, bool coarse)
{
    struct seki_window window = pieces_window(p, memory, tensor, 0, 0);
    float *host = reference_uniform(key, name, pieces_count(p, tensor), 1);
    struct seki_error error;

    for (size_t i = 0; coarse && i < pieces_count(p, tensor); i++)
        host[i] = floorf(1.5f * host[i] + 1.5f) - 1.0f;
    assert_int_equal(p->b->ops->tensor_write(p->b, &window, p->images, host, &error), 0);
    free(host);
}

static inline void pieces_run(struct pieces *p)
{
    struct seki_error error;

    const struct program *program = &p->network->program;

    for (int i = 0; i < program->step_count; i++) {
        const struct module *module = &p->network->modules[program->steps[i].module];
        if (!p->on[i])
            continue;
        struct seki_block_call call = pieces_call(p, i);

        if (p->b->ops->forward(module->block, &call, &error) < 0)
            fail_msg("%s: %s", module->prefix, error.message);
    }
    for (int i = program->step_count - 1; i >= 0; i--) {
        const struct module *module = &p->network->modules[program->steps[i].module];
        if (!p->on[i])
            continue;
        struct seki_block_call call = pieces_call(p, i);

        if (call.x.data != NULL && p->b->ops->backward(module->block, &call, &error) < 0)
            fail_msg("%s: %s", module->prefix, error.message);
    }
}

/* ---- Against the fixture -------------------------------------------------------------------- */

static inline void pieces_compare(const struct pieces *p, struct reference *r, void *const *memory,
                                  int tensor, const char *prefix, const char *name,
                                  const struct reference_tolerance *tolerance)
{
    struct seki_window window = pieces_window(p, memory, tensor, 0, 0);
    size_t count = pieces_count(p, tensor);
    float *host = calloc(count, sizeof *host);
    struct seki_error error;

    assert_non_null(host);
    assert_int_equal(p->b->ops->tensor_read(p->b, host, &window, p->images, &error), 0);
    reference_compare_floats(r, prefix, name, 1, 0, host, count, tolerance);
    free(host);
}

static inline bool pieces_use(const struct pieces *p, int module)
{
    for (int i = 0; i < p->network->program.step_count; i++)
        if (p->on[i] && p->network->program.steps[i].module == module)
            return true;
    return false;
}

/* Gradients and running statistics of the modules that ran; `strip` letters of their names are not
 * in the fixture. */
static inline void pieces_compare_tensors(const struct pieces *p, struct reference *r,
                                          const char *prefix, size_t strip,
                                          const struct reference_tolerance *tolerance)
{
    const struct seki_network *network = p->network;
    float *gradients = reference_copy(p->b, network->gradients, network->parameter_count);
    float *statistics = reference_copy(p->b, network->statistics, network->statistic_count);

    for (int m = 0, index = 0; m < network->module_count; m++)
        for (int i = 0; i < network->modules[m].info.count; i++, index++) {
            struct seki_tensor_entry entry;

            seki_network_tensor(network, index, &entry);
            if (pieces_use(p, m))
                reference_compare_floats(r, prefix, entry.name + strip, 1, 0,
                                         (entry.statistic ? statistics : gradients) + entry.offset,
                                         entry.count, tolerance);
        }
    free(gradients);
    free(statistics);
}

#endif
