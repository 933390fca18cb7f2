/*
 * engine.c - libseki's side of bench/engine/run. After a warm pass it prints a line {"macs":
 * [...]}; then it answers each line of standard input with one round over all items:
 * {"seconds": [...], "faults": [...], "peak_kib": N}, a value an item; seconds of one run of it.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/openmp_waiting.h"
#include "engine_internal.h"

#define MAX_ITEMS 256

/* An operation is repeated for so long, so that the clock's reading costs nothing. A step of a
 * network takes longer than that, and is run once. */
#define ITEM_SECONDS 0.03
#define MAX_REPEATS  2000

static const struct bench_options defaults = {.work = "train",
                                              .space = "darts",
                                              .channels = 16,
                                              .layers = 8,
                                              .batch = 64,
                                              .clip = 5,
                                              .rate = 0.025,
                                              .decay = 3e-4,
                                              .backend = "auto",
                                              .precision = "fp32"};

/* -1: go on; else the exit status. */
static int parse(struct bench_options *o, const struct seki_log *log, int argc, char **argv)
{
    const struct seki_option table[] = {
        {"work", 'w', SEKI_OPTION_CHOICE, &o->work, "WORK", "what an item is",
         "train|score|infer|operations", 0, 0, NULL},
        {"items", 'i', SEKI_OPTION_FILE, &o->items, "FILE", "genotypes or operations, a line each",
         NULL, 0, 0, NULL},
        {"supernet", 0, SEKI_OPTION_FLAG, &o->supernet, NULL, "the supernet, not a final network",
         NULL, 0, 0, NULL},
        {"space", 's', SEKI_OPTION_CHOICE, &o->space, "SPACE", "search space", "darts|nas201", 0, 0,
         NULL},
        {"channels", 'c', SEKI_OPTION_INTEGER, &o->channels, "N", "channels of the first stage",
         NULL, 1, 4096, NULL},
        {"layers", 'l', SEKI_OPTION_INTEGER, &o->layers, "N", "cells, or cells a stage", NULL, 1,
         1000, NULL},
        {"batch", 'b', SEKI_OPTION_INTEGER, &o->batch, "N", "pictures a step", NULL, 2, 65536,
         NULL},
        {"auxiliary", 0, SEKI_OPTION_NUMBER, &o->auxiliary, "W",
         "weight of the auxiliary head's loss, 0 for no head", NULL, 0, 10, NULL},
        {"drop-path", 0, SEKI_OPTION_NUMBER, &o->drop_path, "P", "probability of drop path", NULL,
         0, 0.95, NULL},
        {"clip", 0, SEKI_OPTION_NUMBER, &o->clip, "NORM", "gradient's norm, 0 for any", NULL, 0,
         1e9, NULL},
        {"rate", 0, SEKI_OPTION_NUMBER, &o->rate, "RATE", "learning rate", NULL, 0, 10, NULL},
        {"weight-decay", 0, SEKI_OPTION_NUMBER, &o->decay, "X", "weight decay", NULL, 0, 1, NULL},
        {"nesterov", 0, SEKI_OPTION_FLAG, &o->nesterov, NULL, "Nesterov's momentum", NULL, 0, 0,
         NULL},
        {"threads", 't', SEKI_OPTION_INTEGER, &o->threads, "N", "threads, 0 for all cores", NULL, 0,
         1024, NULL},
        {"backend", 0, SEKI_OPTION_STRING, &o->backend, "NAME", "backend", NULL, 0, 0, NULL},
        {"precision", 0, SEKI_OPTION_CHOICE, &o->precision, "P", "precision of activations",
         "fp32|tf32|bf16", 0, 0, NULL},
        {"item-seconds", 0, SEKI_OPTION_NUMBER, &o->item_seconds, "S",
         "how long an item is run for a time, 0 for a network once", NULL, 0, 60, NULL},
        {"no-recordings", 0, SEKI_OPTION_FLAG, &o->no_recordings, NULL,
         "the backend is told each call anew, also where it could replay them", NULL, 0, 0, NULL},
        {0},
    };
    const struct seki_program program = {"engine", "the C side of bench/engine/run", "", table, 0};
    struct seki_error error;
    int first;
    switch (seki_options_parse(&program, argc, argv, stdout, &first, &error)) {
    case SEKI_OPTIONS_DONE:
        return 0;
    case SEKI_OPTIONS_WRONG:
        return seki_log_usage(log, &error);
    case SEKI_OPTIONS_RUN:
        break;
    }
    if (!o->items) {
        seki_fail(&error, SEKI_BAD_USE, "options", "--items is needed");
        return seki_log_usage(log, &error);
    }
    return -1;
}

float *bench_noise(size_t count, uint64_t stream, struct seki_error *error)
{
    float *values = seki_allocate(count, sizeof *values, error);
    if (!values)
        return NULL;
    struct seki_random random;
    seki_random_seed(&random, 0, stream);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)seki_random_normal(&random);
    return values;
}

/* The lines of the file of items; their count, or -1. */
static int read_items(const char *path, struct seki_buffer *text, char *lines[MAX_ITEMS],
                      struct seki_error *error)
{
    if (seki_file_read(path, SEKI_MAX_LINE, text, error) < 0)
        return -1;
    int count = 0;
    for (char *line = strtok(text->data, "\n"); line; line = strtok(NULL, "\n")) {
        if (count == MAX_ITEMS)
            return seki_fail(error, SEKI_BAD_USE, "items", "%s has more than %d lines", path,
                             MAX_ITEMS);
        lines[count++] = line;
    }
    if (count == 0)
        return seki_fail(error, SEKI_BAD_USE, "items", "%s is empty", path);
    return count;
}

static long page_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

/* Two passes, after which nothing is seen for the first time; how often each item is to be run. */
static int warm(struct work *work, double item_seconds, int repeats[MAX_ITEMS],
                struct seki_error *error)
{
    const bool once = !work->ready && item_seconds == 0;
    const double seconds = item_seconds > 0 ? item_seconds : ITEM_SECONDS;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < work->count; i++) {
            if (work->ready && work->ready(work->state, i, error) < 0)
                return -1;
            double began = seki_clock();
            if (work->run(work->state, i, error) < 0 || work->wait(work->state, error) < 0)
                return -1;
            double times = seconds / (seki_clock() - began + 1e-9);
            repeats[i] = once || times < 1 ? 1 : times > MAX_REPEATS ? MAX_REPEATS : (int)times;
        }
    return 0;
}

static void print_numbers(const char *name, const double *values, int count)
{
    printf("\"%s\": [", name);
    for (int i = 0; i < count; i++)
        printf("%s%.9g", i ? ", " : "", values[i]);
    printf("]");
}

/* kernel_times.c's, where that is preloaded; else NULL. */
static struct {
    void (*start)(void);
    void (*stop)(int runs);
} kernel_times;

static void find_kernel_times(void)
{
    void *all = dlopen(NULL, RTLD_LAZY);
    *(void **)&kernel_times.start = dlsym(all, "kernel_times_start");
    *(void **)&kernel_times.stop = dlsym(all, "kernel_times_stop");
}

static int run_repeatedly(struct work *work, int item, int repeats, struct seki_error *error)
{
    for (int times = 0; times < repeats; times++)
        if (work->run(work->state, item, error) < 0)
            return -1;
    return work->wait(work->state, error);
}

static int run_round(struct work *work, const int *repeats, struct seki_error *error)
{
    double seconds[MAX_ITEMS], faults[MAX_ITEMS];
    for (int i = 0; i < work->count; i++) {
        /* After what else was in the caches, once without the clock. */
        if (work->ready &&
            (work->ready(work->state, i, error) < 0 || work->run(work->state, i, error) < 0 ||
             work->wait(work->state, error) < 0))
            return -1;
        long before = page_faults();
        if (kernel_times.start)
            kernel_times.start();
        double began = seki_clock();
        if (run_repeatedly(work, i, repeats[i], error) < 0)
            return -1;
        seconds[i] = (seki_clock() - began) / repeats[i];
        faults[i] = (double)(page_faults() - before) / repeats[i];
        if (kernel_times.stop)
            kernel_times.stop(repeats[i]);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{");
    print_numbers("seconds", seconds, work->count);
    printf(", ");
    print_numbers("faults", faults, work->count);
    printf(", \"peak_kib\": %ld}\n", usage.ru_maxrss);
    fflush(stdout);
    return 0;
}

static int serve(struct work *work, double item_seconds, struct seki_error *error)
{
    int repeats[MAX_ITEMS] = {0};
    if (warm(work, item_seconds, repeats, error) < 0)
        return -1;
    printf("{\"version\": \"%s\", \"compiler\": \"%s\", \"macs\": [", SEKI_VERSION, __VERSION__);
    for (int i = 0; i < work->count; i++)
        printf("%s%llu", i ? ", " : "", (unsigned long long)work->macs[i]);
    printf("]}\n");
    fflush(stdout);
    char line[16];
    while (fgets(line, sizeof line, stdin))
        if (run_round(work, repeats, error) < 0)
            return -1;
    return 0;
}

/* The backend's functions without those that record. */
static void leave_out_recordings(struct seki_backend *backend)
{
    static struct seki_backend_ops ops;
    ops = *backend->ops;
    ops.record = NULL;
    backend->ops = &ops;
}

static int run(const struct bench_options *o, struct seki_error *error)
{
    struct seki_buffer text = {0};
    char *lines[MAX_ITEMS];
    uint64_t macs[MAX_ITEMS];
    struct work work = {.count = read_items(o->items, &text, lines, error), .macs = macs};
    struct seki_backend *backend = NULL;
    int status = -1;
    if (work.count > 0)
        backend = seki_backend_open(o->backend, (int)o->threads, seki_precision_named(o->precision),
                                    error);
    if (backend && o->no_recordings)
        leave_out_recordings(backend);
    if (backend)
        status = strcmp(o->work, "operations") == 0
                     ? bench_operations_open(&work, backend, o, lines, error)
                     : bench_network_open(&work, backend, o, lines, error);
    if (status == 0) {
        status = serve(&work, o->item_seconds, error);
        work.close(work.state);
    }
    seki_backend_close(backend);
    seki_buffer_free(&text);
    return status;
}

int main(int argc, char **argv)
{
    struct bench_options o = defaults;
    struct seki_log log = {"engine", false};
    struct seki_error error;
    openmp_waits_briefly();
    find_kernel_times();
    int status = parse(&o, &log, argc, argv);
    if (status >= 0)
        return status;
    if (run(&o, &error) == 0)
        return 0;
    seki_log_error(&log, "%s", error.message);
    return seki_error_status(&error);
}
