/*
 * test_backend_training.c - what backends do outside of blocks: tensors in and out, loss, the
 * optimiser's step.
 */
#include "backend_rig.h"

static const char *const backends[] = {"ref", "cpu"};

#define BACKENDS (sizeof backends / sizeof backends[0])

/* Runs `check` on every backend; on a GPU where there is one. */
static void on_every_backend(void (*check)(struct seki_backend *backend))
{
    struct seki_error error;
    struct seki_backend *gpu = seki_backend_open("cuda", 0, SEKI_FP32, &error);

    if (gpu != NULL)
        check(gpu);
    else
        assert_string_equal(error.code, "backend");
    seki_backend_close(gpu);
    for (size_t i = 0; i < BACKENDS; i++) {
        struct seki_backend *backend = open_backend(backends[i]);

        check(backend);
        seki_backend_close(backend);
    }
}

/* ---- Opening ------------------------------------------------------------------------------ */

static void test_open_names_the_backends_there_are(void **state)
{
    struct seki_error error = {0};
    struct seki_backend *backend;

    (void)state;
    assert_null(seki_backend_open("abacus", 1, SEKI_FP32, &error));
    assert_int_equal(error.kind, SEKI_BAD_USE);
    assert_string_equal(error.code, "backend");
    assert_non_null(strstr(error.message, "abacus"));
    assert_non_null(strstr(error.message, "auto, cuda, cpu, ref"));
    assert_null(seki_backend_open("cpu", -1, SEKI_FP32, &error));
    assert_int_equal(error.kind, SEKI_BAD_USE);
    for (size_t i = 0; i < BACKENDS; i++) {
        backend = open_backend(backends[i]);
        assert_string_equal(backend->ops->name, backends[i]);
        seki_backend_close(backend);
    }
    backend = seki_backend_open("auto", 0, SEKI_AUTO_PRECISION, &error);
    assert_non_null(backend);
    if (strcmp(backend->ops->name, "cuda") == 0) {
        assert_int_equal(backend->precision, SEKI_BF16);
    } else {
        assert_string_equal(backend->ops->name, "cpu");
        assert_int_equal(backend->precision, SEKI_FP32);
    }
    assert_true(backend->threads >= 1);
    seki_backend_close(backend);
    seki_backend_close(NULL);
}

/* ---- Tensors ------------------------------------------------------------------------------ */

static const struct {
    struct seki_shape shape;
    int images;
} tensors[] = {
    {{1, 3, 32, 32, false}, 2}, {{1, 1, 1, 1, false}, 1}, {{1, 5, 7, 5, false}, 3},
    {{4, 16, 4, 4, false}, 2},  {{4, 5, 7, 5, false}, 2}, {{3, 36, 2, 3, false}, 1},
    {{1, 100, 1, 1, false}, 5}, {{5, 1, 3, 1, false}, 2},
};

/* Every window of a tensor, written, read back, with the other parts as they were. */
static void check_windows(struct seki_backend *b, struct seki_shape shape, int images)
{
    struct seki_error error;

    assert_int_equal(b->ops->tensor_bytes(b, &shape, images) % 64, 0);
    for (int part = 0; part < shape.parts; part++) {
        for (int parts = 1; parts <= shape.parts - part; parts++) {
            struct seki_shape own = shape;

            own.parts = parts;
            struct watched w = watched_new(b, own, shape.parts, part, images);
            size_t count = w.count / (size_t)shape.parts * (size_t)parts;
            float *wrote = calloc(count, sizeof(float)), *got = calloc(count, sizeof(float));

            assert_non_null(wrote);
            assert_non_null(got);
            for (size_t i = 0; i < count; i++)
                wrote[i] = (float)i + 0.5f;
            watched_fill(b, &w, images, NULL, -1.0f);
            assert_int_equal(b->ops->tensor_write(b, &w.window, images, wrote, &error), 0);
            watched_read(b, &w, images, got, "a tensor", "round trip");
            assert_memory_equal(got, wrote, count * sizeof(float));
            free(wrote);
            free(got);
            watched_free(b, &w);
        }
    }
}

static void check_tensors(struct seki_backend *b)
{
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        check_windows(b, tensors[i].shape, tensors[i].images);
}

static void test_tensors_read_back_as_written(void **state)
{
    (void)state;
    on_every_backend(check_tensors);
}

static void check_memory(struct seki_backend *b)
{
    static const struct seki_range ranges[] = {{1, 20}, {30, 1}, {31, 5000}};
    enum { COUNT = 5100 };
    struct seki_error error;
    unsigned char host[COUNT * sizeof(float)], expected[sizeof host] = {0};
    char *memory = b->ops->memory(b, sizeof host, &error);

    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % 64, 0);
    assert_int_equal(b->ops->read(b, host, memory, sizeof host, &error), 0);
    assert_memory_equal(host, expected, sizeof host);
    poison(b, memory, sizeof host);
    assert_int_equal(b->ops->clear(b, (float *)memory, ranges, 3, &error), 0);
    assert_int_equal(b->ops->clear(b, (float *)memory, ranges, 0, &error), 0);
    memset(expected, POISON, sizeof expected);
    for (int i = 0; i < 3; i++)
        memset(expected + ranges[i].offset * sizeof(float), 0, ranges[i].count * sizeof(float));
    assert_int_equal(b->ops->read(b, host, memory, sizeof host, &error), 0);
    assert_memory_equal(host, expected, sizeof host);
    b->ops->release(b, memory);
    b->ops->release(b, NULL);
    assert_null(b->ops->memory(b, SIZE_MAX, &error));
    assert_int_equal(error.kind, SEKI_NO_RESOURCE);
}

/* More than any backend keeps of what it was given: each write is of what the host had then. */
static void check_many_writes(struct seki_backend *b)
{
    enum { WRITES = 24, BYTES = 1 << 20 };
    struct seki_error error;
    char *memory = b->ops->memory(b, (size_t)WRITES * BYTES, &error), *host = malloc(BYTES);

    assert_non_null(memory);
    assert_non_null(host);
    for (int i = 0; i < WRITES; i++) {
        memset(host, i + 1, BYTES);
        assert_int_equal(b->ops->write(b, memory + (size_t)i * BYTES, host, BYTES, &error), 0);
    }
    for (int i = 0; i < WRITES; i++) {
        memset(host, 0, BYTES);
        assert_int_equal(b->ops->read(b, host, memory + (size_t)i * BYTES, BYTES, &error), 0);
        for (int j = 0; j < BYTES; j += 4093)
            assert_int_equal(host[j], i + 1);
    }
    free(host);
    b->ops->release(b, memory);
}

static void test_writes_are_of_what_the_host_had(void **state)
{
    (void)state;
    on_every_backend(check_many_writes);
}

static void test_memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    on_every_backend(check_memory);
}

/* ---- Loss --------------------------------------------------------------------------------- */

struct loss_case {
    const char *comment;
    int images, classes;
    float weight;
    float logits[8];
    int32_t labels[4];
    double loss;
    long correct;
    float dlogits[8];
};

static const struct loss_case loss_cases[] = {
    {"equal logits: log(classes) each, the first counts as the largest",
     2,
     4,
     1.0f,
     {0, 0, 0, 0, 5, 5, 5, 5},
     {0, 3},
     2.772588722239781,
     1,
     {-0.375f, 0.125f, 0.125f, 0.125f, 0.125f, 0.125f, 0.125f, -0.375f}},
    {"weight scales the gradient alone (auxiliary head)",
     2,
     2,
     0.4f,
     {1.0986123f, 0, 0, 1.0986123f},
     {0, 0},
     0.28768207 + 1.38629436,
     1,
     {-0.05f, 0.05f, -0.15f, 0.15f}},
    {"large logits neither overflow nor lose the small ones",
     1,
     3,
     1.0f,
     {1000, 998, -1000},
     {1},
     2.126928011042972,
     0,
     {0.880797078f, -0.880797078f, 0}},
    {"one class", 1, 1, 1.0f, {3}, {0}, 0.0, 1, {0}},
};

/* A place for what a call tells, and what it has told. */
static struct seki_tally *tally_new(struct seki_backend *b)
{
    struct seki_error error;
    struct seki_tally *tally = b->ops->memory(b, sizeof *tally, &error);

    assert_non_null(tally);
    return tally;
}

static struct seki_tally tally_read(struct seki_backend *b, const struct seki_tally *tally)
{
    struct seki_tally told;
    struct seki_error error;

    assert_int_equal(b->ops->read(b, &told, tally, sizeof told, &error), 0);
    return told;
}

static void check_loss_case(struct seki_backend *b, const struct loss_case *c, bool want_dlogits)
{
    struct seki_error error;
    struct seki_shape shape = {1, c->classes, 1, 1, .full = true};
    struct watched logits = watched_new(b, shape, 0, 0, c->images);
    struct watched dlogits = watched_new(b, shape, 0, 0, c->images);
    size_t bytes = (size_t)c->images * sizeof(int32_t);
    int32_t *labels = b->ops->memory(b, bytes, &error);
    float got[8];

    assert_non_null(labels);
    assert_int_equal(b->ops->write(b, labels, c->labels, bytes, &error), 0);
    watched_fill(b, &logits, c->images, c->logits, NAN);
    watched_fill(b, &dlogits, c->images, NULL, NAN);
    struct seki_loss_call call = {.images = c->images,
                                  .classes = c->classes,
                                  .logits = logits.window,
                                  .labels = labels,
                                  .weight = c->weight,
                                  .tally = tally_new(b)};

    if (want_dlogits)
        call.dlogits = dlogits.window;
    assert_int_equal(b->ops->loss(b, &call, &error), 0);
    const struct seki_tally told = tally_read(b, call.tally);

    if (!(fabs(told.loss - c->loss) <= 1e-5 * fmax(1.0, c->loss)))
        fail_msg("%s: %s: loss %.9g, expected %.9g", b->ops->name, c->comment, told.loss, c->loss);
    assert_int_equal(told.correct, c->correct);
    b->ops->release(b, call.tally);
    watched_read(b, &logits, c->images, NULL, "the logits", c->comment);
    watched_read(b, &dlogits, c->images, want_dlogits ? got : NULL, "dlogits", c->comment);
    for (int i = 0; i < c->images * c->classes && want_dlogits; i++)
        if (!(fabsf(got[i] - c->dlogits[i]) <= 1e-6f))
            fail_msg("%s: %s: dlogits[%d] is %.9g, expected %.9g", b->ops->name, c->comment, i,
                     (double)got[i], (double)c->dlogits[i]);
    watched_free(b, &logits);
    watched_free(b, &dlogits);
    b->ops->release(b, labels);
}

static void check_loss(struct seki_backend *b)
{
    for (size_t i = 0; i < sizeof loss_cases / sizeof loss_cases[0]; i++) {
        check_loss_case(b, &loss_cases[i], true);
        check_loss_case(b, &loss_cases[i], false);
    }
}

static void test_loss_is_the_cross_entropy(void **state)
{
    (void)state;
    on_every_backend(check_loss);
}

static void check_nan_logits(struct seki_backend *b)
{
    static const struct loss_case c = {.images = 1, .classes = 3, .logits = {1, NAN, 2}};
    struct seki_error error;
    struct watched logits = watched_new(b, (struct seki_shape){1, 3, 1, 1, .full = true}, 0, 0, 1);
    int32_t *labels = b->ops->memory(b, sizeof *labels, &error);

    assert_non_null(labels);
    watched_fill(b, &logits, 1, c.logits, NAN);
    struct seki_loss_call call = {.images = 1,
                                  .classes = 3,
                                  .logits = logits.window,
                                  .labels = labels,
                                  .weight = 1.0f,
                                  .tally = tally_new(b)};

    assert_int_equal(b->ops->loss(b, &call, &error), 0);
    assert_true(isnan(tally_read(b, call.tally).loss));
    b->ops->release(b, call.tally);
    watched_free(b, &logits);
    b->ops->release(b, labels);
}

static void test_the_loss_of_nan_is_nan(void **state)
{
    (void)state;
    on_every_backend(check_nan_logits);
}

/* ---- The optimiser ------------------------------------------------------------------------ */

enum { WEIGHTS = 1037 }; /* no multiple of a vector's length */

/* That learning rate in the backend's memory; released by the caller. */
static float *rate_new(struct seki_backend *b, float rate)
{
    struct seki_error error;
    float *memory = b->ops->memory(b, sizeof rate, &error);

    assert_non_null(memory);
    assert_int_equal(b->ops->write(b, memory, &rate, sizeof rate, &error), 0);
    return memory;
}

/* The norm that a step of rate 0 tells. */
static double norm_of_ranges(struct seki_backend *b, const struct guarded *gradients,
                             const struct seki_range *ranges, int count)
{
    struct guarded weights = guarded_floats(b, WEIGHTS), momenta = guarded_floats(b, WEIGHTS);
    struct seki_error error;
    struct seki_sgd_call call = {.sgd = {.momenta = (float *)momenta.data, .rate = rate_new(b, 0)},
                                 .ranges = ranges,
                                 .count = count,
                                 .weights = (float *)weights.data,
                                 .gradients = (const float *)gradients->data,
                                 .tally = tally_new(b)};

    assert_int_equal(b->ops->sgd(b, &call, &error), 0);
    const double norm = tally_read(b, call.tally).norm;

    b->ops->release(b, call.tally);
    b->ops->release(b, (float *)call.sgd.rate);
    b->ops->release(b, weights.base);
    b->ops->release(b, momenta.base);
    return norm;
}

static void check_norm(struct seki_backend *b)
{
    static const struct seki_range ranges[] = {{0, WEIGHTS}, {1, WEIGHTS - 2}, {1, 5}, {8, 700}};
    struct guarded gradients = guarded_floats(b, WEIGHTS);
    struct seki_error error;
    struct seki_random random;
    float host[WEIGHTS];

    seki_random_seed(&random, 5, 1);
    random_normal(host, WEIGHTS, 1.0f, &random);
    host[0] =
        1e15f; /* its square would hide all others in single precision, and nearly overflow it */
    host[WEIGHTS - 1] = 3e18f;
    assert_int_equal(b->ops->write(b, gradients.data, host, sizeof host, &error), 0);
    for (int first = 0; first <= 2; first++) {
        const int count = first == 2 ? 2 : 1;
        double expected = 0.0;

        for (int r = first; r < first + count; r++)
            for (size_t i = ranges[r].offset; i < ranges[r].offset + ranges[r].count; i++)
                expected += (double)host[i] * host[i];
        const double got = norm_of_ranges(b, &gradients, ranges + first, count);

        assert_true(fabs(got - sqrt(expected)) <= 1e-12 * sqrt(expected));
        assert_true(got == norm_of_ranges(b, &gradients, ranges + first, count));
    }
    assert_true(norm_of_ranges(b, &gradients, NULL, 0) == 0.0);
    b->ops->release(b, gradients.base);
}

static void test_the_norm_is_in_double_precision(void **state)
{
    (void)state;
    on_every_backend(check_norm);
}

static const struct sgd_case {
    const char *comment;
    float rate, momentum, decay;
    bool nesterov;
    double clip;
} sgd_cases[] = {
    {"DARTS: momentum, decay, clipped", 0.025f, 0.9f, 3e-4f, false, 5.0},
    {"clipped: the gradient is shortened before decay", 0.025f, 0.9f, 0.1f, false, 8.0},
    {"shorter than the clip", 0.025f, 0.9f, 0.1f, false, 1000.0},
    {"NAS-Bench-201: Nesterov", 0.1f, 0.9f, 5e-4f, true, 0.0},
    {"no momentum, no decay", 0.5f, 0.0f, 0.0f, false, 0.0},
};

/* The step is of these alone. */
static const struct seki_range sgd_ranges[] = {{0, 1}, {3, 600}, {700, WEIGHTS - 700}};
enum { SGD_RANGES = sizeof sgd_ranges / sizeof sgd_ranges[0] };

static bool in_sgd_ranges(size_t i)
{
    for (int r = 0; r < SGD_RANGES; r++)
        if (i >= sgd_ranges[r].offset && i < sgd_ranges[r].offset + sgd_ranges[r].count)
            return true;
    return false;
}

/* torch.optim.SGD's documentation, in double precision; `first` is its step without a momentum
 * buffer. */
static void expected_step(const struct sgd_case *c, double scale, bool first, double *w, double g,
                          double *m)
{
    g = scale * g + (double)c->decay * *w;
    *m = first ? g : (double)c->momentum * *m + g;
    *w -= (double)c->rate * (c->nesterov ? g + (double)c->momentum * *m : *m);
}

static double expected_scale(const struct sgd_case *c, const float *gradients)
{
    double sum = 0.0;

    for (size_t i = 0; i < WEIGHTS; i++)
        sum += in_sgd_ranges(i) ? (double)gradients[i] * gradients[i] : 0.0;
    const double scale = c->clip / (sqrt(sum) + 1e-6);

    return c->clip > 0.0 && scale < 1.0 ? scale : 1.0;
}

static void check_sgd_case(struct seki_backend *b, const struct sgd_case *c)
{
    struct guarded memory[3]; /* weights, gradients, momenta */
    struct seki_error error;
    struct seki_random random;
    float host[3][WEIGHTS] = {{0}};
    double w[WEIGHTS], m[WEIGHTS] = {0};

    seki_random_seed(&random, 6, 1);
    random_normal(host[0], WEIGHTS, 1.0f, &random);
    for (size_t i = 0; i < WEIGHTS; i++)
        w[i] = host[0][i];
    for (int i = 0; i < 3; i++) {
        memory[i] = guarded_floats(b, WEIGHTS);
        assert_int_equal(b->ops->write(b, memory[i].data, host[i], sizeof host[i], &error), 0);
    }
    const struct seki_sgd_call call = {.sgd = {.momenta = (float *)memory[2].data,
                                               .rate = rate_new(b, c->rate),
                                               .momentum = c->momentum,
                                               .decay = c->decay,
                                               .nesterov = c->nesterov,
                                               .clip = c->clip},
                                       .ranges = sgd_ranges,
                                       .count = SGD_RANGES,
                                       .weights = (float *)memory[0].data,
                                       .gradients = (const float *)memory[1].data,
                                       .tally = tally_new(b)};

    for (int step = 0; step < 3; step++) {
        random_normal(host[1], WEIGHTS, 1.0f, &random);
        assert_int_equal(b->ops->write(b, memory[1].data, host[1], sizeof host[1], &error), 0);
        assert_int_equal(b->ops->sgd(b, &call, &error), 0);
        assert_int_equal(b->ops->read(b, host[0], memory[0].data, sizeof host[0], &error), 0);
        assert_int_equal(b->ops->read(b, host[2], memory[2].data, sizeof host[2], &error), 0);
        const double scale = expected_scale(c, host[1]);

        for (size_t i = 0; i < WEIGHTS; i++) {
            if (in_sgd_ranges(i))
                expected_step(c, scale, step == 0, &w[i], (double)host[1][i], &m[i]);
            if (!(fabs((double)host[0][i] - w[i]) <= 2e-6 &&
                  fabs((double)host[2][i] - m[i]) <= 2e-6))
                fail_msg("%s: %s: step %d, weight %zu: %.9g, momentum %.9g; expected %.9g, %.9g",
                         b->ops->name, c->comment, step, i, (double)host[0][i], (double)host[2][i],
                         w[i], m[i]);
        }
    }
    for (int i = 0; i < 3; i++) {
        guarded_check(b, &memory[i], "an array of sgd", c->comment);
        b->ops->release(b, memory[i].base);
    }
    b->ops->release(b, call.tally);
    b->ops->release(b, (float *)call.sgd.rate);
}

static void check_sgd(struct seki_backend *b)
{
    for (size_t i = 0; i < sizeof sgd_cases / sizeof sgd_cases[0]; i++)
        check_sgd_case(b, &sgd_cases[i]);
}

static void test_sgd_is_that_of_pytorch(void **state)
{
    (void)state;
    on_every_backend(check_sgd);
}

static void test_cpu_refuses_a_maximum_over_too_much(void **state)
{
    struct seki_backend *backend = open_backend("cpu");
    struct seki_block_spec spec = {.kind = SEKI_BLOCK_MAX_POOL,
                                   .in = {1, 4, 80, 80},
                                   .out_channels = 4,
                                   .kernel_height = 64,
                                   .kernel_width = 64,
                                   .stride_height = 1,
                                   .stride_width = 1,
                                   .dilation = 1,
                                   .repeats = 1};
    struct seki_error error;
    struct seki_block *block = backend->ops->block_open(backend, &spec, &error);

    (void)state;
    assert_non_null(block);
    backend->ops->block_close(block);
    spec.kernel_height = 65;
    assert_null(backend->ops->block_open(backend, &spec, &error));
    assert_string_equal(error.code, "backend");
    seki_backend_close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpu_refuses_a_maximum_over_too_much),
        cmocka_unit_test(test_open_names_the_backends_there_are),
        cmocka_unit_test(test_memory_is_zeroed_and_aligned),
        cmocka_unit_test(test_writes_are_of_what_the_host_had),
        cmocka_unit_test(test_tensors_read_back_as_written),
        cmocka_unit_test(test_loss_is_the_cross_entropy),
        cmocka_unit_test(test_the_loss_of_nan_is_nan),
        cmocka_unit_test(test_the_norm_is_in_double_precision),
        cmocka_unit_test(test_sgd_is_that_of_pytorch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
