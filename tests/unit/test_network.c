/*
 * test_network.c - whole networks: their gradients against finite differences and between backends,
 * which parameters a genotype of the supernet uses, the planner of their memory.
 */
#include "network_fixture.h"

static struct seki_genotype lax(const char *text)
{
    return parse(text, SEKI_LAX);
}

/* ---- The planner ---------------------------------------------------------------------------- */

enum { PLAN_ITEMS = 120, PLANS = 200 };

static int random_items(struct plan_item *items, struct seki_random *random)
{
    int count = (int)seki_random_below(random, PLAN_ITEMS) + 1;
    int times = (int)seki_random_below(random, 100) + 1;

    for (int i = 0; i < count; i++) {
        int a = (int)seki_random_below(random, (uint32_t)times);
        int b = (int)seki_random_below(random, (uint32_t)times);

        items[i] = (struct plan_item){.bytes = 64 * (size_t)seki_random_below(random, 50),
                                      .first = a < b ? a : b,
                                      .last = a < b ? b : a};
    }
    return count;
}

/* The largest sum of what lives at one time: no plan can do with less. */
static size_t least_bytes(const struct plan_item *items, int count)
{
    size_t least = 0;

    for (int time = 0; time < 100; time++) {
        size_t sum = 0;

        for (int i = 0; i < count; i++)
            if (items[i].first <= time && time <= items[i].last)
                sum += items[i].bytes;
        least = sum > least ? sum : least;
    }
    return least;
}

static void check_plan(const struct plan_item *items, int count, size_t total)
{
    size_t sum = 0, end = 0;

    for (int i = 0; i < count; i++) {
        const struct plan_item *a = &items[i];

        sum += a->bytes;
        end = a->bytes && a->offset + a->bytes > end ? a->offset + a->bytes : end;
        assert_int_equal(a->offset % 64, 0);
        for (int j = 0; j < i; j++) {
            const struct plan_item *b = &items[j];
            bool in_time = a->first <= b->last && b->first <= a->last;
            bool in_space = a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;

            if (a->bytes && b->bytes && in_time && in_space)
                fail_msg("items %d and %d share memory and time", i, j);
        }
    }
    assert_int_equal(total, end);
    assert_true(total <= sum);
    assert_true(total >= least_bytes(items, count));
}

static void test_a_plan_never_puts_two_living_things_in_one_place(void **state)
{
    struct plan_item items[PLAN_ITEMS], again[PLAN_ITEMS];
    int order[PLAN_ITEMS];
    struct seki_random random;

    (void)state;
    seki_random_seed(&random, 11, 1);
    for (int plan = 0; plan < PLANS; plan++) {
        int count = random_items(items, &random);

        memcpy(again, items, sizeof again);
        size_t total = seki_plan_memory(items, count, order);

        check_plan(items, count, total);
        assert_int_equal(seki_plan_memory(again, count, order), total);
        for (int i = 0; i < count; i++)
            assert_int_equal(items[i].offset, again[i].offset);
    }
    assert_int_equal(seki_plan_memory(items, 0, order), 0);
}

static void test_a_plan_reuses_memory(void **state)
{
    struct plan_item chain[] = {{100, 0, 0, 1}, {100, 0, 1, 2}, {100, 0, 2, 3}, {100, 0, 3, 4}};
    struct plan_item hole[] = {{300, 0, 0, 9}, {200, 0, 0, 3}, {100, 0, 5, 9}, {100, 0, 4, 4}};
    int order[4];

    (void)state;
    assert_int_equal(seki_plan_memory(chain, 4, order), 200);
    assert_int_equal(seki_plan_memory(hole, 4, order), 500);
}

/* ---- Gradients against finite differences --------------------------------------------------- */

struct gradient_case {
    const char *name, *genotype;
    enum seki_space space;
    bool supernet, auxiliary;
    int channels, layers, side, images;
    double drop_path;
};

/* Small pictures and few cells: the fewer units, the fewer change sides within a step. With one
 * cell, a reduction, 15 x 15 is the least that leaves the auxiliary head something. */
static const struct gradient_case gradient_cases[] = {
    {"auxiliary head, drop path", DARTS_MIXED, SEKI_DARTS, false, true, 2, 1, 15, 6, 0.3},
    {"darts, drop path", DARTS_MIXED, SEKI_DARTS, false, false, 2, 3, 9, 6, 0.3},
    {"darts, one cell", DARTS_V2, SEKI_DARTS, false, false, 4, 1, 7, 4, 0},
    {"a lax genotype, drop path", DARTS_LAX, SEKI_DARTS, false, false, 2, 3, 9, 4, 0.3},
    {"darts' supernet", DARTS_MIXED, SEKI_DARTS, true, false, 2, 3, 9, 4, 0},
    {"nas201, drop path", NAS201_MIXED, SEKI_NAS201, false, false, 3, 1, 8, 4, 0.3},
    {"nas201's supernet", NAS201_MIXED, SEKI_NAS201, true, false, 3, 1, 8, 4, 0},
};

struct gradient_run {
    const struct gradient_case *c;
    struct seki_network *network;
    struct host_batch batch;
    struct seki_drop_path drop_path;
};

static double run_gradients(struct gradient_run *run)
{
    return gradients_of(run->network, &run->batch, 0.4,
                        run->c->drop_path > 0 ? &run->drop_path : NULL);
}

static struct gradient_run gradient_run_new(struct seki_backend *backend,
                                            const struct gradient_case *c)
{
    struct seki_genotype genotype = lax(c->genotype);
    struct seki_network_config config = small_config(c->space, c->channels, c->layers, c->side);
    struct seki_error error;
    struct gradient_run run = {.c = c, .drop_path = {c->drop_path, 5, 17}};

    config.auxiliary = c->auxiliary;
    run.network = network_new(backend, &config, c->supernet ? NULL : &genotype);
    assert_int_equal(seki_network_prepare(run.network, c->images, SEKI_MODE_TRAIN, &error), 0);
    if (c->supernet)
        assert_int_equal(seki_network_select(run.network, &genotype, &error), 0);
    run.batch = batch_new(&config, c->images, 9);
    return run;
}

static void gradient_run_free(struct gradient_run *run)
{
    seki_network_close(run->network);
    batch_free(&run->batch);
}

/* The objective at parameters + step * direction, direction reaching over `count` from `offset`. */
static double objective_at(struct gradient_run *run, const float *parameters, size_t all,
                           const struct seki_tensor_entry *entry, const float *direction,
                           double step)
{
    float *moved = malloc(all * sizeof *moved);

    assert_non_null(moved);
    memcpy(moved, parameters, all * sizeof *moved);
    for (size_t i = 0; i < entry->count; i++)
        moved[entry->offset + i] += (float)(step * (double)direction[entry->offset + i]);
    put_array(run->network, PARAMETER_ARRAY, moved);
    free(moved);
    return run_gradients(run);
}

/*
 * Along its own gradient g a tensor's objective has the slope |g|: one number that all of g's are
 * in. It is taken over changes of the objective of these sizes. Where ReLUs or maxima change sides
 * on the way, a smaller one comes closer; single precision, a noise of some 1e-8 in the objective,
 * bounds it from below. An error of the gradient is in all of them. Returns the relative error.
 */
static const double changes[] = {1e-4, 3e-5, 1e-5, 3e-6, 1e-6};

static double slope_error(struct gradient_run *run, const float *parameters, const float *gradients,
                          size_t all, const struct seki_tensor_entry *entry)
{
    double norm = norm_of(gradients + entry->offset, entry->count), least = INFINITY;

    for (int i = 0; i < COUNT(changes); i++) {
        double step = changes[i] / norm / norm;
        double slope = (objective_at(run, parameters, all, entry, gradients, step) -
                        objective_at(run, parameters, all, entry, gradients, -step)) /
                       (2 * step * norm);

        least = fmin(least, fabs(slope / norm - 1));
    }
    if (!(least <= 0.05))
        fail_msg("%s: %s: slope and gradient, of length %g, are %g %% apart", run->c->name,
                 entry->name, norm, 100 * least);
    return least;
}

static void check_gradients(const struct gradient_case *c)
{
    struct seki_backend *backend = watched_backend("ref");
    struct gradient_run run = gradient_run_new(backend, c);
    size_t all;
    double sum = 0;
    int checked = 0;

    run_gradients(&run);
    float *gradients = copy_array(run.network, GRADIENT_ARRAY, &all);
    float *parameters = copy_array(run.network, PARAMETER_ARRAY, &all);

    for (int i = 0; i < seki_network_tensor_count(run.network); i++) {
        struct seki_tensor_entry entry;

        seki_network_tensor(run.network, i, &entry);
        if (entry.statistic || !is_active(run.network, entry.offset))
            continue;
        if (norm_of(gradients + entry.offset, entry.count) < 2e-3)
            continue; /* below the noise */
        sum += slope_error(&run, parameters, gradients, all, &entry);
        checked++;
    }
    assert_true(checked > 10);
    assert_true(sum / checked < 0.002);
    free(gradients);
    free(parameters);
    gradient_run_free(&run);
    seki_backend_close(backend);
}

static void test_gradients_are_the_slopes_of_the_loss(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT(gradient_cases); i++)
        check_gradients(&gradient_cases[i]);
}

/* ---- cpu against ref ------------------------------------------------------------------------ */

/* Of a tensor's gradient, relative to its length; what is short beside the whole may differ by that
 * share of the whole. Loss: relative. */
#define TOLERANCE       2e-3
#define TOLERANCE_WHOLE 2e-5
#define TOLERANCE_LOSS  1e-5

static const struct gradient_case backend_cases_of_networks[] = {
    {"darts", DARTS_MIXED, SEKI_DARTS, false, false, 8, 5, 16, 6, 0.2},
    {"darts, auxiliary head", DARTS_V2, SEKI_DARTS, false, true, 4, 3, 32, 3, 0.2},
    {"a lax genotype", DARTS_LAX, SEKI_DARTS, false, false, 8, 3, 15, 6, 0.2},
    {"darts' supernet", DARTS_MIXED, SEKI_DARTS, true, false, 8, 5, 16, 6, 0},
    {"nas201", NAS201_MIXED, SEKI_NAS201, false, false, 8, 2, 16, 6, 0.2},
    {"nas201's supernet", NAS201_MIXED, SEKI_NAS201, true, false, 8, 2, 16, 6, 0},
};

static float *gradients_on(const char *name, const struct gradient_case *c, double *objective,
                           float **statistics)
{
    struct seki_backend *backend = watched_backend(name);
    struct gradient_run run = gradient_run_new(backend, c);
    struct seki_error error;
    size_t count;

    *objective = run_gradients(&run);
    float *gradients = copy_array(run.network, GRADIENT_ARRAY, &count);
    const float *memory = seki_network_statistics(run.network, &count);

    *statistics = calloc(count, sizeof(float));
    assert_int_equal(
        backend->ops->read(backend, *statistics, memory, count * sizeof(float), &error), 0);
    gradient_run_free(&run);
    seki_backend_close(backend);
    return gradients;
}

static double distance(const float *a, const float *b, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(sum);
}

static void compare_backends(const struct gradient_case *c)
{
    struct seki_network_config config = small_config(c->space, c->channels, c->layers, c->side);
    struct seki_genotype genotype = lax(c->genotype);
    struct seki_error error;
    double loss[2];
    float *statistics[2], *gradients[2] = {gradients_on("ref", c, &loss[0], &statistics[0]),
                                           gradients_on("cpu", c, &loss[1], &statistics[1])};

    config.auxiliary = c->auxiliary;
    struct seki_network *names =
        seki_network_open(NULL, &config, c->supernet ? NULL : &genotype, &error);

    assert_non_null(names);
    double whole = norm_of(gradients[0], names->parameter_count);

    if (!(fabs(loss[0] - loss[1]) <= TOLERANCE_LOSS * loss[0]))
        fail_msg("%s: loss %.9g on ref, %.9g on cpu", c->name, loss[0], loss[1]);
    for (int i = 0; i < seki_network_tensor_count(names); i++) {
        struct seki_tensor_entry entry;

        seki_network_tensor(names, i, &entry);
        float **arrays = entry.statistic ? statistics : gradients;
        double length = norm_of(arrays[0] + entry.offset, entry.count);
        double apart = distance(arrays[0] + entry.offset, arrays[1] + entry.offset, entry.count);

        if (!(apart <= TOLERANCE * length + TOLERANCE_WHOLE * (entry.statistic ? 1 : whole)))
            fail_msg("%s: %s: %g apart, of length %g, of %g in all", c->name, entry.name, apart,
                     length, whole);
    }
    seki_network_close(names);
    for (int i = 0; i < 2; i++) {
        free(gradients[i]);
        free(statistics[i]);
    }
}

static void test_cpu_computes_what_ref_does(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT(backend_cases_of_networks); i++)
        compare_backends(&backend_cases_of_networks[i]);
}

/* ---- The supernet --------------------------------------------------------------------------- */

/* Whether the tensor of that name belongs to an operation that the genotype does not have. */
static bool is_unused(const struct seki_network *network, const struct seki_genotype *genotype,
                      const char *name)
{
    int cell, slot, op, node, input;
    int layers = network->config.layers;

    if (sscanf(name, "cells.%d._ops.%d._ops.%d", &cell, &slot, &op) == 3) {
        bool reduction = cell == layers / 3 || cell == 2 * layers / 3;
        const struct seki_cell *searched = &genotype->cells[reduction ? SEKI_REDUCE : SEKI_NORMAL];

        for (int i = 0, at = 0; i < SEKI_DARTS_NODES; at += 2 + i++)
            for (int e = 0; e < searched->edge_count; e++)
                if (searched->edges[e].node == 2 + i && at + searched->edges[e].input == slot &&
                    (int)searched->edges[e].op == op)
                    return false;
        return true;
    }
    if (sscanf(name, "cells.%d.edges.%d<-%d.%d", &cell, &node, &input, &op) == 4) {
        const enum seki_op *ops = seki_space_ops(SEKI_NAS201, &slot);

        for (int e = 0; e < SEKI_NAS201_EDGES; e++)
            if (genotype->cells[0].edges[e].node == node &&
                genotype->cells[0].edges[e].input == input)
                return genotype->cells[0].edges[e].op != ops[op];
    }
    return false;
}

#define SENTINEL 12345.0f

static void check_only_selected(const struct gradient_case *c)
{
    struct seki_backend *backend = watched_backend("ref");
    struct gradient_run run = gradient_run_new(backend, c);
    struct seki_genotype selected = lax(c->genotype);
    size_t all;
    float *sentinels = copy_array(run.network, GRADIENT_ARRAY, &all);

    for (size_t i = 0; i < all; i++)
        sentinels[i] = SENTINEL;
    put_array(run.network, GRADIENT_ARRAY, sentinels);
    run_gradients(&run);
    float *gradients = copy_array(run.network, GRADIENT_ARRAY, &all);

    for (int i = 0; i < seki_network_tensor_count(run.network); i++) {
        struct seki_tensor_entry entry;

        seki_network_tensor(run.network, i, &entry);
        bool unused = is_unused(run.network, &selected, entry.name);

        for (size_t j = 0; j < entry.count && !entry.statistic; j++)
            if ((gradients[entry.offset + j] == SENTINEL) != unused ||
                is_active(run.network, entry.offset + j) == unused)
                fail_msg("%s: %s is %s, but %s", c->name, entry.name,
                         unused ? "not selected" : "selected",
                         unused ? "has a gradient" : "has none");
    }
    free(sentinels);
    free(gradients);
    gradient_run_free(&run);
    seki_backend_close(backend);
}

static void test_only_the_selected_genotype_gets_gradients(void **state)
{
    int supernets = 0;

    (void)state;
    for (int i = 0; i < COUNT(gradient_cases); i++)
        if (gradient_cases[i].supernet) {
            check_only_selected(&gradient_cases[i]);
            supernets++;
        }
    assert_int_equal(supernets, 2);
}

/* ---- Drop path ------------------------------------------------------------------------------ */

static const struct {
    const char *comment, *genotype;
    enum seki_space space;
    int layers, masked;
} drop_cases[] = {
    /* Identities are spared: in the normal cell both of DARTS_MIXED's, in a reduction cell that
     * from a node; from an input it is a FactorizedReduce. Cells: normal, reduction, reduction. */
    {"darts", DARTS_MIXED, SEKI_DARTS, 3, 6 + 7 + 7},
    {"nas201: none and skip_connect are spared", NAS201_MIXED, SEKI_NAS201, 1, 3 * 4},
};

static void test_drop_path_spares_identities_and_follows_its_seed(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT(drop_cases); i++) {
        struct seki_backend *backend = watched_backend("ref");
        struct seki_network_config config =
            small_config(drop_cases[i].space, 2, drop_cases[i].layers, 8);
        struct seki_genotype genotype = lax(drop_cases[i].genotype);
        struct seki_network *network = network_new(backend, &config, &genotype);
        struct host_batch batch = batch_new(&config, 40, 2);
        struct seki_drop_path drop = {0.25, 1, 1}, none = {0, 1, 1};
        struct seki_error error;

        assert_int_equal(seki_network_prepare(network, 40, SEKI_MODE_TRAIN, &error), 0);
        watch.kept = (float)(1 / 0.75);
        double plain = gradients_of(network, &batch, 0, NULL);

        assert_int_equal(watch.masked, 0);
        assert_true(gradients_of(network, &batch, 0, &none) == plain);
        assert_int_equal(watch.masked, 0);
        double dropped = gradients_of(network, &batch, 0, &drop);

        if (watch.masked != drop_cases[i].masked)
            fail_msg("%s: %d edges are masked, %d expected", drop_cases[i].comment, watch.masked,
                     drop_cases[i].masked);
        assert_int_equal(watch.mask_values[2], 0);
        double share = watch.mask_values[0] / (40.0 * watch.masked);

        assert_true(share > 0.15 && share < 0.35); /* over 4 deviations from 0.25 */
        assert_true(dropped != plain);
        assert_true(gradients_of(network, &batch, 0, &drop) == dropped);
        drop.step = 2;
        assert_true(gradients_of(network, &batch, 0, &drop) != dropped);
        seki_network_close(network);
        batch_free(&batch);
        seki_backend_close(backend);
    }
}

/* ---- Names, first values, sizes ------------------------------------------------------------- */

static void test_first_values_follow_from_the_seed_and_the_name(void **state)
{
    struct seki_backend *backend = watched_backend("ref");
    struct seki_genotype genotype = lax(DARTS_MIXED);
    struct seki_network_config small = small_config(SEKI_DARTS, 2, 3, 8), large = small;
    struct seki_error error;

    (void)state;
    large.layers = 4; /* reductions at 1 and 2 as well */
    struct seki_network *a = network_new(backend, &small, &genotype);
    struct seki_network *b = network_new(backend, &large, &genotype);
    size_t count;
    float *x = copy_array(a, PARAMETER_ARRAY, &count), *y = copy_array(b, PARAMETER_ARRAY, &count);
    int same = 0;

    for (int i = 0; i < seki_network_tensor_count(a); i++) {
        struct seki_tensor_entry p, q = {.name = ""};

        seki_network_tensor(a, i, &p);
        for (int j = 0; j < seki_network_tensor_count(b) && strcmp(p.name, q.name) != 0; j++)
            seki_network_tensor(b, j, &q);
        if (p.statistic || strncmp(p.name, "classifier", 10) == 0)
            continue;
        assert_string_equal(p.name, q.name);
        assert_memory_equal(x + p.offset, y + q.offset, p.count * sizeof *x);
        double bound =
            p.dimensions == 4 ? 1 / sqrt((double)(p.size[1] * p.size[2] * p.size[3])) : 1;
        double most = 0;

        for (size_t j = 0; j < p.count; j++)
            most = fmax(most, fabs((double)x[p.offset + j]));
        assert_true(most <= bound);
        if (p.dimensions == 4 && p.count > 30)
            assert_true(most > 0.75 * bound);
        same++;
    }
    assert_true(same > 40);
    assert_int_equal(seki_network_initialise(a, 4, &error), 0);
    float *z = copy_array(a, PARAMETER_ARRAY, &count);

    assert_true(x[0] != z[0] && x[1] != z[1]);
    free(x);
    free(y);
    free(z);
    seki_network_close(a);
    seki_network_close(b);
    seki_backend_close(backend);
}

static void test_the_supernet_of_darts_has_the_published_size(void **state)
{
    struct seki_network_config config = {SEKI_DARTS, 16, 8, 10, 3, 32, 32, false};
    struct seki_error error;
    struct seki_network *network = seki_network_open(NULL, &config, NULL, &error);
    size_t sum = 0;

    (void)state;
    assert_non_null(network);
    for (int i = 0; i < seki_network_tensor_count(network); i++) {
        struct seki_tensor_entry entry;

        seki_network_tensor(network, i, &entry);
        sum += entry.statistic ? 0 : entry.count;
    }
    assert_int_equal(sum, 1930618); /* NASLib's unit tests: 1.930618 MB */
    seki_network_close(network);
}

static const struct {
    const char *comment, *genotype, *message;
    struct seki_network_config config;
} refused[] = {
    {"odd channels", DARTS_V2, "even number", {SEKI_DARTS, 3, 3, 3, 1, 16, 16, false}},
    {"no channels", DARTS_V2, "0 channels", {SEKI_DARTS, 0, 3, 3, 1, 16, 16, false}},
    {"too many layers", DARTS_V2, "65 layers", {SEKI_DARTS, 4, 65, 3, 1, 16, 16, false}},
    {"one class", DARTS_V2, "1 classes", {SEKI_DARTS, 4, 3, 1, 1, 16, 16, false}},
    {"a picture of 3", DARTS_V2, "3 x 16", {SEKI_DARTS, 4, 3, 3, 1, 3, 16, false}},
    {"a small picture", DARTS_V2, "8 x 8", {SEKI_DARTS, 4, 3, 3, 1, 28, 28, true}},
    {"an odd picture", NAS201_MIXED, "multiples of 4", {SEKI_NAS201, 4, 1, 3, 1, 16, 18, false}},
    {"the other space", NAS201_MIXED, "nas201", {SEKI_DARTS, 4, 3, 3, 1, 16, 16, false}},
};

static void test_sizes_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT(refused); i++) {
        struct seki_genotype genotype = lax(refused[i].genotype);
        struct seki_error error = {0};

        if (seki_network_open(NULL, &refused[i].config, &genotype, &error))
            fail_msg("%s: accepted", refused[i].comment);
        assert_int_equal(error.kind, SEKI_BAD_USE);
        if (!strstr(error.message, refused[i].message))
            fail_msg("%s: %s", refused[i].comment, error.message);
    }
}

static void test_a_label_outside_the_classes_is_refused(void **state)
{
    static const int32_t wrong[] = {3, -1, INT32_MAX};
    struct seki_genotype genotype = parse(NAS201_MIXED, SEKI_STRICT);
    struct seki_network_config config = small_config(SEKI_NAS201, 3, 1, 8);
    struct seki_backend *backend = watched_backend("ref");
    struct seki_network *network = network_new(backend, &config, &genotype);
    struct host_batch batch = batch_new(&config, 4, 3);
    struct seki_batch_result result;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct seki_error error = {0};

        assert_int_equal(seki_network_prepare(network, 4, SEKI_MODE_TRAIN, &error), 0);
        batch.labels[2] = wrong[i];
        assert_int_equal(seki_network_gradients(network, &batch.batch, 0, NULL, &result, &error),
                         -1);
        assert_int_equal(error.kind, SEKI_BAD_INPUT);
        assert_string_equal(error.code, "label");
        assert_non_null(strstr(error.message, "picture 2"));
        assert_int_equal(
            seki_network_evaluate(network, &batch.batch, SEKI_MODE_SCORE, NULL, &result, &error),
            -1);
    }
    batch_free(&batch);
    seki_network_close(network);
    seki_backend_close(backend);
}

/* What was not waited for is told later, as it would have been at once. */
static void test_results_are_collected_in_their_order(void **state)
{
    struct seki_genotype genotype = parse(NAS201_MIXED, SEKI_STRICT);
    struct seki_network_config config = small_config(SEKI_NAS201, 3, 1, 8);
    struct seki_backend *backend = watched_backend("ref");
    struct seki_network *network = network_new(backend, &config, &genotype);
    struct seki_batch_result expected[3];
    struct seki_tally tallies[SEKI_MAX_PENDING];
    struct seki_error error;
    size_t count;

    (void)state;
    seki_network_parameters(network, &count);
    /* A step that leaves the weights as they are; ref's memory is the host's. */
    const float rate = 0;
    const struct seki_sgd sgd = {.momenta = calloc(count, sizeof(float)), .rate = &rate};

    assert_non_null(sgd.momenta);
    assert_int_equal(seki_network_prepare(network, 4, SEKI_MODE_TRAIN, &error), 0);
    for (uint64_t waited = 0; waited < 2; waited++) {
        for (uint64_t i = 0; i < 3; i++) {
            struct host_batch batch = batch_new(&config, 4, 10 + i);

            assert_int_equal(seki_network_step(network, &batch.batch, 0, NULL, &sgd,
                                               waited ? NULL : &expected[i], &error),
                             0);
            batch_free(&batch);
        }
        assert_int_equal(seki_network_pending(network), waited ? 3 : 0);
    }
    assert_int_equal(seki_network_collect(network, tallies, &error), 0);
    assert_int_equal(seki_network_pending(network), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(tallies[i].loss == expected[i].loss);
        assert_int_equal(tallies[i].correct, expected[i].correct);
        assert_true(tallies[i].norm > 0 && tallies[i].norm == expected[i].norm);
    }
    free(sgd.momenta);
    seki_network_close(network);
    seki_backend_close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plan_never_puts_two_living_things_in_one_place),
        cmocka_unit_test(test_a_plan_reuses_memory),
        cmocka_unit_test(test_gradients_are_the_slopes_of_the_loss),
        cmocka_unit_test(test_cpu_computes_what_ref_does),
        cmocka_unit_test(test_only_the_selected_genotype_gets_gradients),
        cmocka_unit_test(test_drop_path_spares_identities_and_follows_its_seed),
        cmocka_unit_test(test_first_values_follow_from_the_seed_and_the_name),
        cmocka_unit_test(test_the_supernet_of_darts_has_the_published_size),
        cmocka_unit_test(test_sizes_that_make_no_sense_are_refused),
        cmocka_unit_test(test_a_label_outside_the_classes_is_refused),
        cmocka_unit_test(test_results_are_collected_in_their_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
