/*
 * test_reference.c - every operation and every kind of cell of both spaces against PyTorch:
 * outputs, gradients of inputs and weights, running statistics (tests/reference).
 */
#include "reference_pieces.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static const char *const backends[] = {"ref", "cpu"};

/* Nothing in these fixtures comes so near to a kink of a ReLU or a maximum that float32 could fall
 * on its other side, so that all that is left is rounding. */
static const struct reference_tolerance rounding = {.times = 4, .least = 5e-7, .tiny = 1e-6};

static struct seki_backend *open_backend(const char *name)
{
    struct seki_error error;
    struct seki_backend *backend = seki_backend_open(name, 2, SEKI_FP32, &error);

    if (backend == NULL)
        fail_msg("backend %s: %s", name, error.message);
    return backend;
}

/* "CASE/SALT/", as the script has it. */
static void reference_key(const struct reference *r, const char *name, char key[REFERENCE_KEY])
{
    char salt[REFERENCE_KEY];

    snprintf(salt, sizeof salt, "salt.%s", name);
    snprintf(key, REFERENCE_KEY, "%s/%s/", name, reference_text(r, salt));
}

static void report(const struct reference *r)
{
    printf("# %s: %d rows, the worst at %.2f of its tolerance: %s\n", r->who, r->compared, r->worst,
           r->worst_name);
}

/* ---- Operations ----------------------------------------------------------------------------- */

struct family {
    enum seki_space space;
    bool supernet;
    int channels, strides, op_count;
    enum seki_op ops[SEKI_OP_COUNT];
};

#define DARTS_OPS                                                                                  \
    SEKI_NONE, SEKI_MAX_POOL_3X3, SEKI_AVG_POOL_3X3, SEKI_SKIP_CONNECT, SEKI_SEP_CONV_3X3,         \
        SEKI_SEP_CONV_5X5, SEKI_DIL_CONV_3X3, SEKI_DIL_CONV_5X5
#define NAS201_OPS                                                                                 \
    SEKI_NONE, SEKI_SKIP_CONNECT, SEKI_NOR_CONV_1X1, SEKI_NOR_CONV_3X3, SEKI_AVG_POOL_3X3

static const struct family families[] = {
    {SEKI_DARTS, true, 16, 2, 8, {DARTS_OPS}},
    {SEKI_DARTS, false, 36, 2, 10, {DARTS_OPS, SEKI_SEP_CONV_7X7, SEKI_CONV_7X1_1X7}},
    {SEKI_NAS201, true, 16, 1, 5, {NAS201_OPS}},
    {SEKI_NAS201, false, 16, 1, 5, {NAS201_OPS}},
};
static const int sizes[][2] = {{8, 6}, {7, 5}};

enum { OPERATION_IMAGES = 3 };

static void run_operation(struct reference *r, struct seki_backend *b, const struct family *family,
                          enum seki_op op, int stride, const int size[2], bool ties)
{
    struct seki_shape in = {1, family->channels, size[0], size[1], false};
    char name[REFERENCE_KEY - 16], key[REFERENCE_KEY], prefix[REFERENCE_KEY];
    struct seki_network *network =
        operation_network(b, family->space, family->supernet, op, stride, in);
    int last = network->program.tensor_count - 1;

    snprintf(name, sizeof name, "%s.%s.%s.stride%d.%dx%d%s", seki_space_name(family->space),
             family->supernet ? "supernet" : "final", seki_op_name(op), stride, size[0], size[1],
             ties ? ".ties" : "");
    snprintf(prefix, sizeof prefix, "%s/", name);
    reference_key(r, name, key);
    reference_fill(network, key, strlen(EDGE "."), 0);
    struct pieces p = pieces_new(network, OPERATION_IMAGES, EDGE);
    pieces_put(&p, p.values, 0, key, "x", ties);
    pieces_put(&p, p.gradients, last, key, "dy", false);
    pieces_run(&p);
    pieces_compare(&p, r, p.values, last, prefix, "y", &rounding);
    pieces_compare(&p, r, p.gradients, 0, prefix, "dx", &rounding);
    pieces_compare_tensors(&p, r, prefix, strlen(EDGE "."), &rounding);
    pieces_free(&p);
    seki_network_close(network);
}

static void run_operations(const char *backend)
{
    struct seki_backend *b = open_backend(backend);
    struct reference r = reference_open("ops");

    r.who = backend;
    for (int f = 0; f < COUNT(families); f++)
        for (int op = 0; op < families[f].op_count; op++)
            for (int stride = 1; stride <= families[f].strides; stride++)
                for (int size = 0; size < COUNT(sizes); size++)
                    run_operation(&r, b, &families[f], families[f].ops[op], stride, sizes[size],
                                  false);
    for (int stride = 1; stride <= 2; stride++) /* the gradient goes to the first of equals */
        run_operation(&r, b, &families[1], SEKI_MAX_POOL_3X3, stride, sizes[0], true);
    report(&r);
    reference_close(&r);
    seki_backend_close(b);
}

/* ---- Cells ---------------------------------------------------------------------------------- */

struct cell_family {
    enum seki_space space;
    bool supernet;
    int layers, cells;
};

/* darts: a normal cell, a reduction after a normal cell, a reduction after a reduction, a normal
 * cell after a reduction. nas201: a searched cell, a residual block. */
static const struct cell_family cell_families[] = {
    {SEKI_DARTS, true, 4, 4},
    {SEKI_DARTS, false, 4, 4},
    {SEKI_NAS201, true, 1, 2},
    {SEKI_NAS201, false, 1, 2},
};

enum { CELL_IMAGES = 4, CELL_SIDE = 16 };

/* The tensor that a module reads. */
static int read_by(const struct seki_network *network, int module)
{
    for (int i = 0; i < network->program.step_count; i++)
        if (network->program.steps[i].module == module)
            return network->program.steps[i].x;
    fail_msg("no step runs %s", network->modules[module].prefix);
    return -1;
}

/* A cell's inputs, the one before last and the last (nas201: twice the only one), and its output.
 */
static void find_ends(const struct seki_network *network, const struct pieces *p, int cell, int *s0,
                      int *s1, int *out)
{
    const struct cell_modules *modules = &network->cells[cell];
    int first = 0, last = network->program.step_count - 1;

    if (network->config.space == SEKI_DARTS) {
        bool more = cell + 1 < network->cell_count;

        *s0 = read_by(network, modules->preprocess[0]);
        *s1 = read_by(network, modules->preprocess[1]);
        *out = read_by(network, more ? modules[1].preprocess[1] : network->head);
        return;
    }
    while (!p->on[first])
        first++;
    while (!p->on[last])
        last--;
    *s0 = *s1 = network->program.steps[first].x;
    *out = network->program.steps[last].y;
}

static void run_cell(struct reference *r, struct seki_network *network, const char *family,
                     int cell)
{
    bool darts = network->config.space == SEKI_DARTS;
    char name[REFERENCE_KEY - 16], key[REFERENCE_KEY], prefix[REFERENCE_KEY];
    int s0, s1, out;

    snprintf(name, sizeof name, "%s.cells.%d", family, cell);
    snprintf(prefix, sizeof prefix, "%s/", name);
    reference_key(r, name, key);
    reference_fill(network, key, 0, 0);
    const struct seki_range all = {0, network->parameter_count};
    struct seki_error error;

    assert_int_equal(
        network->backend->ops->clear(network->backend, network->gradients, &all, 1, &error), 0);
    snprintf(name, sizeof name, "cells.%d.", cell);
    struct pieces p = pieces_new(network, CELL_IMAGES, name);
    find_ends(network, &p, cell, &s0, &s1, &out);
    if (darts && s0 != s1)
        pieces_put(&p, p.values, s0, key, "s0", false);
    pieces_put(&p, p.values, s1, key, darts ? "s1" : "x", false);
    pieces_put(&p, p.gradients, out, key, "dy", false);
    pieces_run(&p);
    pieces_compare(&p, r, p.values, out, prefix, "y", &rounding);
    if (darts && s0 != s1)
        pieces_compare(&p, r, p.gradients, s0, prefix, "ds0", &rounding);
    pieces_compare(&p, r, p.gradients, s1, prefix, darts ? "ds1" : "dx", &rounding);
    pieces_compare_tensors(&p, r, prefix, 0, &rounding);
    pieces_free(&p);
}

static void run_cells(const char *backend)
{
    struct seki_backend *b = open_backend(backend);
    struct reference r = reference_open("cells");

    r.who = backend;
    for (int f = 0; f < COUNT(cell_families); f++) {
        const struct cell_family *family = &cell_families[f];
        struct seki_network_config config = {.space = family->space,
                                             .channels = 16,
                                             .layers = family->layers,
                                             .classes = 10,
                                             .image_channels = 3,
                                             .image_height = CELL_SIDE,
                                             .image_width = CELL_SIDE};
        char name[32], text[64];
        struct seki_genotype genotype;
        struct seki_error error;

        snprintf(name, sizeof name, "%s.%s", seki_space_name(family->space),
                 family->supernet ? "supernet" : "final");
        snprintf(text, sizeof text, "genotype.%s", name);
        if (seki_genotype_parse(reference_text(&r, text), SEKI_STRICT, &genotype, &error) < 0)
            fail_msg("%s", error.message);
        struct seki_network *network =
            seki_network_open(b, &config, family->supernet ? NULL : &genotype, &error);
        assert_non_null(network);
        if (family->supernet)
            assert_int_equal(seki_network_select(network, &genotype, &error), 0);
        for (int cell = 0; cell < family->cells; cell++)
            run_cell(&r, network, name, cell);
        seki_network_close(network);
    }
    report(&r);
    reference_close(&r);
    seki_backend_close(b);
}

static void test_operations_are_pytorchs(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT(backends); i++)
        run_operations(backends[i]);
}

static void test_cells_are_pytorchs(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT(backends); i++)
        run_cells(backends[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations_are_pytorchs),
        cmocka_unit_test(test_cells_are_pytorchs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
