/* engine_internal.h - what the files of the benchmark's C side share. */
#ifndef SEKI_BENCH_ENGINE_INTERNAL_H
#define SEKI_BENCH_ENGINE_INTERNAL_H

#include "base/base.h"
#include "genotype/genotype.h"
#include "nn/backend.h"

/* The command line, which bench/engine/peer.py reads too. */
struct bench_options {
    const char *work; /* train, score, infer, operations */
    bool supernet, nesterov, no_recordings;
    const char *space;
    long channels, layers, batch, threads;
    double auxiliary, drop_path, clip, rate, decay;
    const char *backend, *precision;
    double item_seconds; /* how long an item is run for a time; 0: networks once */
    const char *items;   /* a file: a genotype a line, or "OPERATION CHANNELS SIZE forward|both" */
};

/* Pieces of work that can be done again and again. */
struct work {
    int count;      /* of items */
    uint64_t *macs; /* multiply-accumulates of an item's forward for one picture */
    void *state;
    /* What an item needs before its time is taken; NULL: nothing. */
    int (*ready)(void *state, int item, struct seki_error *error);
    /* An item once: a step, a batch scored, an operation. */
    int (*run)(void *state, int item, struct seki_error *error);
    /* Until all that was run is done: a backend may compute later. */
    int (*wait)(void *state, struct seki_error *error);
    void (*close)(void *state);
};

/* `lines` holds the items, borrowed while the call lasts. work->macs has room for `count`. */
int bench_network_open(struct work *work, struct seki_backend *backend,
                       const struct bench_options *options, char **lines, struct seki_error *error);
int bench_operations_open(struct work *work, struct seki_backend *backend,
                          const struct bench_options *options, char **lines,
                          struct seki_error *error);

/* Random values, normal, from a fixed seed. */
float *bench_noise(size_t count, uint64_t stream, struct seki_error *error);

#endif
