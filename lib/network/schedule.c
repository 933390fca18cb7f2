/*
 * schedule.c - which steps of a program run, which have a backward, and where everything lies in
 * the arena.
 *
 * Time: step i of n runs forward at i, the loss is taken at n, backward of step i runs at 2n - i.
 */
#include "network/network_internal.h"

static uint32_t parts_mask(int first, int count)
{
    return (uint32_t)(((uint64_t)1 << count) - 1) << first;
}

static const struct module *step_module(const struct seki_network *network, const struct step *step)
{
    return &network->modules[step->module];
}

/* Whether results of the common steps must outlast the other steps, and lie where they do for every
 * genotype. */
static bool holds(const struct seki_network *network)
{
    return network->supernet && network->program.mode == SEKI_MODE_SCORE;
}

/* A step is live where something that the loss depends on reads what it writes; where results are
 * held, the common ones are whatever this genotype reads. */
static void mark_live(struct program *program, bool holding)
{
    for (int t = 0; t < program->tensor_count; t++) {
        struct tensor *tensor = &program->tensors[t];
        tensor->live = tensor->trained = tensor->written = 0;
        tensor->first = tensor->gradient_first = -1;
        tensor->last = tensor->gradient_last = -1;
    }
    program->tensors[program->logits].live = 1;
    if (program->mode == SEKI_MODE_TRAIN && program->auxiliary_logits >= 0)
        program->tensors[program->auxiliary_logits].live = 1;
    for (int i = program->step_count - 1; i >= 0; i--) {
        struct step *step = &program->steps[i];
        step->live = (program->tensors[step->y].live >> step->y_part & 1) ||
                     (holding && i < program->common_count);
        if (step->live && step->x >= 0)
            program->tensors[step->x].live |= parts_mask(step->x_part, step->x_parts);
    }
}

static void extend(int *first, int *last, int time)
{
    if (*first < 0 || time < *first)
        *first = time;
    if (time > *last)
        *last = time;
}

/* Lives of values; which steps have a backward, and which of those write their dx first. */
static void mark_lives(struct seki_network *network)
{
    struct program *program = &network->program;
    struct tensor *tensors = program->tensors;
    int n = program->step_count;
    bool training = program->mode == SEKI_MODE_TRAIN;
    if (!tensors)
        SEKI_BUG("a description has no program");
    program->keep_count = 0;
    for (int i = 0; i < n; i++) {
        struct step *step = &program->steps[i];
        struct tensor *y = &tensors[step->y];
        step->backward = false;
        if (!step->live)
            continue;
        struct tensor *x = step->x >= 0 ? &tensors[step->x] : NULL;
        bool x_trained = x && x->trained & parts_mask(step->x_part, step->x_parts);
        step->backward = training && (step_module(network, step)->info.parameters || x_trained);
        step->want_dx = step->backward && x_trained;
        if (step->backward)
            y->trained |= parts_mask(step->y_part, 1);
        step->keep = training && step->droppable ? program->keep_count++ : -1;
        extend(&y->first, &y->last, i);
        if (x)
            extend(&x->first, &x->last, step->backward ? 2 * n - i : i);
    }
    tensors[0].first = 0; /* the pictures are there before the first step */
    struct tensor *logits = &tensors[program->logits];
    extend(&logits->first, &logits->last, n);
}

static void mark_gradients(struct program *program)
{
    int n = program->step_count;
    int outputs[2] = {program->logits, program->auxiliary_logits};
    for (int i = 0; i < 2; i++) {
        if (outputs[i] < 0)
            continue;
        struct tensor *output = &program->tensors[outputs[i]];
        output->written = 1;
        extend(&output->first, &output->last, n);
        extend(&output->gradient_first, &output->gradient_last, n);
    }
    for (int i = n - 1; i >= 0; i--) {
        struct step *step = &program->steps[i];
        if (!step->backward)
            continue;
        struct tensor *y = &program->tensors[step->y];
        if (!(y->written >> step->y_part & 1))
            SEKI_BUG("a step's gradient is read before it is written");
        extend(&y->gradient_first, &y->gradient_last, 2 * n - i);
        if (!step->want_dx)
            continue;
        struct tensor *x = &program->tensors[step->x];
        uint32_t mask = parts_mask(step->x_part, step->x_parts);
        step->add_dx = (x->written & mask) != 0;
        if (step->add_dx && (x->written & mask) != mask)
            SEKI_BUG("a gradient is written in part only");
        x->written |= mask;
        extend(&x->gradient_first, &x->gradient_last, 2 * n - i);
    }
}

static int measure_steps(struct seki_network *network, struct seki_error *error)
{
    struct program *program = &network->program;
    program->scratch_bytes = 0;
    for (int i = 0; i < program->step_count; i++) {
        struct step *step = &program->steps[i];
        size_t scratch = 0;
        if (!step->live)
            continue;
        if (network->backend->ops->block_prepare(step_module(network, step)->block, program->images,
                                                 program->mode, &step->saved_bytes, &scratch,
                                                 error) < 0)
            return -1;
        if (scratch > program->scratch_bytes)
            program->scratch_bytes = scratch;
    }
    return 0;
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Offsets of values, gradients and saved bytes, behind what is held; returns the arena's size. */
static size_t lay_out(struct seki_network *network)
{
    struct program *program = &network->program;
    struct plan_item *items = network->items;
    int n = program->step_count, count = 0;
    bool holding = holds(network);
    size_t held = 0;
    for (int t = 0; t < program->tensor_count; t++) {
        struct tensor *tensor = &program->tensors[t];
        size_t bytes = round_up(
            network->backend->ops->tensor_bytes(network->backend, &tensor->shape, program->images));
        bool apart = holding && tensor->held;
        if (apart) {
            tensor->offset = held;
            held += bytes;
        }
        items[count++] = (struct plan_item){apart || tensor->first < 0 ? 0 : bytes, 0,
                                            tensor->first, tensor->last};
        items[count++] = (struct plan_item){tensor->gradient_first < 0 ? 0 : bytes, 0,
                                            tensor->gradient_first, tensor->gradient_last};
    }
    for (int i = 0; i < n; i++) {
        const struct step *step = &program->steps[i];
        items[count++] = (struct plan_item){step->live ? round_up(step->saved_bytes) : 0, 0, i,
                                            step->backward ? 2 * n - i : i};
    }
    program->held_bytes = held;
    size_t total = seki_plan_memory(items, count, network->order);
    count = 0;
    for (int t = 0; t < program->tensor_count; t++) {
        struct tensor *tensor = &program->tensors[t];
        if (!holding || !tensor->held)
            tensor->offset = held + items[count].offset;
        tensor->gradient_offset = held + items[count + 1].offset;
        count += 2;
    }
    for (int i = 0; i < n; i++)
        program->steps[i].saved_offset = held + items[count++].offset;
    return held + total;
}

int seki_reserve(struct seki_network *network, char **memory, size_t *have, size_t bytes,
                 struct seki_error *error)
{
    if (bytes <= *have)
        return 0;
    const struct seki_backend_ops *ops = network->backend->ops;
    seki_forget_recordings(network);
    ops->release(network->backend, *memory);
    *have = 0;
    *memory = ops->memory(network->backend, bytes, error);
    if (!*memory)
        return -1;
    *have = bytes;
    return 0;
}

/* Parameters of the steps with a backward, as few runs as possible: runs that touch are one. */
static void collect_active(struct seki_network *network)
{
    struct seki_range *active = network->active;
    int count = 0;
    for (int i = 0; i < network->program.step_count; i++) {
        const struct step *step = &network->program.steps[i];
        const struct module *module = step_module(network, step);
        if (!step->backward || !module->info.parameters)
            continue;
        size_t length = (module->info.parameters + MODULE_ALIGN - 1) / MODULE_ALIGN * MODULE_ALIGN;
        int at = count++;
        for (; at > 0 && active[at - 1].offset > module->parameters; at--)
            active[at] = active[at - 1];
        active[at] = (struct seki_range){module->parameters, length};
    }
    int merged = 0;
    for (int i = 0; i < count; i++) {
        struct seki_range *last = merged ? &active[merged - 1] : NULL;
        if (last && last->offset + last->count == active[i].offset)
            last->count += active[i].count;
        else
            active[merged++] = active[i];
    }
    network->active_count = merged;
}

int seki_schedule(struct seki_network *network, int images, enum seki_mode mode,
                  struct seki_error *error)
{
    struct program *program = &network->program;
    if (program->images == images && program->mode == mode)
        return 0;
    program->images = images;
    program->mode = mode;
    mark_live(program, holds(network));
    mark_lives(network);
    if (mode == SEKI_MODE_TRAIN)
        mark_gradients(program);
    if (measure_steps(network, error) < 0) {
        program->images = 0;
        return -1;
    }
    program->arena_bytes = lay_out(network);
    if (mode == SEKI_MODE_TRAIN)
        collect_active(network);
    return 0;
}

int seki_reserve_program(struct seki_network *network, struct seki_error *error)
{
    const struct program *program = &network->program;
    if (seki_reserve(network, &network->arena, &network->arena_bytes, program->arena_bytes, error) <
        0)
        return -1;
    return seki_reserve(network, &network->scratch, &network->scratch_bytes, program->scratch_bytes,
                        error);
}
