/*
 * network_internal.h - the parts of a network.
 *
 * modules   every block with its parameters and names (module.c); made once, by the space's
 * skeleton (darts.c, nas201.c) program   the calls that compute one genotype (program.c); made anew
 * for each selected genotype plan      where in the arena each tensor of a program lies (plan.c)
 */
#ifndef SEKI_NETWORK_INTERNAL_H
#define SEKI_NETWORK_INTERNAL_H

#include "network/network.h"

/* ---- Modules ------------------------------------------------------------------------------ */

/* How PyTorch's model names the tensors of a block, after the module's prefix; [repeat]. */
struct module_names {
    const char *depthwise[2], *weight[2], *weight_odd, *norm[2];
};

struct module {
    struct seki_block_spec spec;
    struct seki_block_info info;
    struct seki_block *block; /* NULL in a description */
    char prefix[64];
    const struct module_names *names;
    size_t parameters, statistics; /* offsets, in floats */
    bool auxiliary;
};

#define NO_MODULE    (-1)
#define MAX_CHAIN    2 /* blocks on an edge: two for conv_7x1_1x7, else one */
#define MAX_CELLS    256
#define MODULE_ALIGN 16 /* floats: a module's parameters begin on a cache line */

/* Modules on one edge with one operation, in order; count 0: no module (none). */
struct chain {
    int count;
    int modules[MAX_CHAIN];
};

enum cell_kind { CELL_SEARCHED, CELL_RESIDUAL };

struct cell_modules {
    enum cell_kind kind;
    int type; /* SEKI_NORMAL or SEKI_REDUCE: which of the genotype's cells */
    int channels;
    struct seki_shape state; /* a node's */
    int preprocess[2];       /* darts */
    int zero;                /* a node without edges */
    int residual[4];         /* CELL_RESIDUAL: conv_a, conv_b, pooling, shortcut */
    struct chain edges[SEKI_MAX_EDGES][SEKI_OP_COUNT]; /* [slot]: see seki_edge_slot */
};

/* ---- Programs ----------------------------------------------------------------------------- */

struct tensor {
    struct seki_shape shape;
    uint32_t live, trained, written; /* a bit a part: used by a live step; has a gradient; its
                                      * gradient has been written (while backward is laid out) */
    int first, last;                 /* life of its values, in the plan's time */
    int gradient_first, gradient_last;
    bool held; /* a result of the common steps that later ones read */
    size_t offset, gradient_offset;
};

struct step {
    int module;
    int x, x_part, x_parts; /* tensor and window; x -1: ZERO reads nothing */
    int y, y_part;
    bool add_y, auxiliary;
    bool droppable; /* drop path applies */
    int keep;       /* row of the masks, or -1 */
    bool live, backward, want_dx, add_dx;
    size_t saved_bytes, saved_offset;
};

struct program {
    int tensor_count, tensor_capacity;
    struct tensor *tensors;
    int step_count, step_capacity;
    int common_count; /* the first so many steps are the same for every genotype of the supernet */
    struct step *steps;
    int logits, auxiliary_logits; /* tensors; -1: none */
    int images;                   /* what it is laid out for; 0: not yet */
    enum seki_mode mode;
    int keep_count;
    size_t arena_bytes, scratch_bytes;
    size_t held_bytes; /* at the arena's beginning: what the common steps leave */
};

int seki_program_tensor(struct program *program, struct seki_shape shape);
/* A step from parts of tensor x to part y_part of tensor y. The first step to a part writes, later
 * ones add. */
void seki_program_step(struct program *program, int module, int x, int x_part, int x_parts, int y,
                       int y_part, bool add_y);
/* Ends the common steps; what is read of them later is in tensors[count]. */
void seki_program_common(struct program *program, const int *tensors, int count);

/* ---- The planner -------------------------------------------------------------------------- */

/* Bytes needed from time `first` to time `last`, both included. */
struct plan_item {
    size_t bytes, offset;
    int first, last;
};
/* Gives each item an offset so that no two that live at once overlap; returns the bytes in all.
 * `order` is room for count numbers. Largest first, each at the lowest place that is free (greedy
 * by size: Pisarchyk, Lee 2020). */
size_t seki_plan_memory(struct plan_item *items, int count, int *order);

/* Of gradients that wait to be collected, of the call at work, of an auxiliary head, which is told
 * to no one. */
enum {
    TALLY_NOW = SEKI_MAX_PENDING,
    TALLY_AUXILIARY,
    TALLY_LANES, /* of candidates that are scored beside each other */
    TALLIES = TALLY_LANES + 16,
};

/* ---- Recordings: what a final network's passes have told the backend ----------------------- */

/* Forward; or clearing, forward, losses, backward; or these and SGD. */
enum pass { PASS_FORWARD, PASS_GRADIENTS, PASS_STEP };
/* What a pass's calls depend on, besides the network and its program. */
struct pass_kind {
    enum pass pass;
    bool dropping;
    float auxiliary_weight;
    struct seki_sgd sgd; /* PASS_STEP */
};
enum { MOST_RECORDINGS = 8 }; /* sizes of a batch x modes x kinds */
struct recording {
    struct seki_recording *calls; /* NULL: free */
    struct pass_kind kind;
    int images;
    enum seki_mode mode;
};

/* ---- Networks ----------------------------------------------------------------------------- */

struct seki_network {
    struct seki_backend *backend;
    struct seki_network_config config;
    bool supernet;
    struct seki_genotype genotype; /* final: its own; supernet: the selected */

    struct module *modules;
    int module_count, module_capacity;
    int stem, head, norm; /* norm: nas201's last */
    int auxiliary[4];     /* pooling, two convolutions, linear */
    struct cell_modules *cells;
    int cell_count;
    size_t parameter_count, statistic_count;
    float *parameters, *gradients, *statistics; /* backend memory */

    struct program program;
    bool selected;
    struct plan_item *items; /* room for the planner */
    int *order, item_capacity;
    char *arena; /* backend memory */
    size_t arena_bytes;
    char *scratch;
    size_t scratch_bytes;
    char *lane_memory[SEKI_MAX_LANES]; /* of lanes 1 on: arena without what is held, scratch */
    size_t lane_bytes[SEKI_MAX_LANES];
    struct recording recordings[MOST_RECORDINGS];
    int32_t *labels;            /* backend memory, max_images */
    struct seki_tally *tallies; /* backend memory, TALLIES */
    float *keep, *keep_host;    /* rows x max_images: backend memory, host */
    int max_images, keep_rows;
    int prepared_images; /* supernet: of the last prepare, and in which mode; 0: none */
    enum seki_mode prepared_mode;
    int pending, tally; /* the first so many are to be collected; the last one's place */
    int lane;           /* at work */
    int next_recording;
    struct seki_range *active;
    int active_count;
};

/* module.c: adds a module and returns its index, or NO_MODULE with *error. */
int seki_module_add(struct seki_network *network, const struct seki_block_spec *spec,
                    const struct module_names *names, struct seki_error *error, const char *prefix,
                    ...) SEKI_PRINTF(5, 6);
extern const struct module_names seki_names_plain, seki_names_stem, seki_names_conv,
    seki_names_separable, seki_names_reduce, seki_names_pool, seki_names_sequential_first,
    seki_names_sequential_second;

/* spec.c: the blocks of the operations. `in` has one part. */
struct seki_block_spec seki_spec_convolution(struct seki_shape in, int out, int kernel, int stride,
                                             bool affine);
struct seki_block_spec seki_spec_reduce(struct seki_shape in, int out, bool affine);
struct seki_block_spec seki_spec_head(struct seki_shape in, int classes);
struct seki_block_spec seki_spec_simple(enum seki_block_kind kind, struct seki_shape in);
struct seki_block_spec seki_spec_pool(enum seki_block_kind kind, struct seki_shape in, int kernel,
                                      int stride, int padding);
/* Adds the modules of `op` on an edge; prefix as PyTorch's up to the operation. */
int seki_edge_modules(struct seki_network *network, enum seki_op op, struct seki_shape in,
                      int stride, const char *prefix, struct chain *chain,
                      struct seki_error *error);

/* The place of an edge among a cell's: by its number in a final network, by (node, input) in the
 * supernet. */
int seki_edge_slot(const struct seki_network *network, const struct seki_cell *cell, int edge);

/* darts.c, nas201.c: the skeleton's modules, and the steps that compute a genotype on it. */
int seki_darts_build(struct seki_network *network, struct seki_error *error);
void seki_darts_wire(struct seki_network *network, const struct seki_genotype *genotype);
int seki_nas201_build(struct seki_network *network, struct seki_error *error);
void seki_nas201_wire(struct seki_network *network, const struct seki_genotype *genotype);
/* Where a cell's state lies: one part of a tensor. */
struct state {
    int tensor, part;
};
/* Shared by both: the steps of the nodes of one searched cell. `states` holds the cell's inputs and
 * gets its nodes; the nodes that the cell concatenates become the parts of tensor `out`. */
void seki_wire_nodes(struct seki_network *network, const struct cell_modules *modules,
                     const struct seki_cell *cell, int out, struct state *states);

/* schedule.c: liveness, gradients and places in memory of the program for that many images in that
 * mode; cheap where they are known. */
int seki_schedule(struct seki_network *network, int images, enum seki_mode mode,
                  struct seki_error *error);
/* Memory for the program as it is scheduled; in a supernet that is prepared there is enough. */
int seki_reserve_program(struct seki_network *network, struct seki_error *error);

/* compute.c */
int seki_compute_batch(struct seki_network *network, const struct seki_batch *batch,
                       enum seki_mode mode, struct seki_error *error);
/* Steps first..end-1. */
int seki_compute_forward(struct seki_network *network, int first, int end, bool dropping,
                         struct seki_error *error);
/* What `kind` says. `tally`: where loss and norm are left. */
int seki_compute_pass(struct seki_network *network, const struct pass_kind *kind, int tally,
                      struct seki_error *error);
int seki_compute_loss(struct seki_network *network, int tensor, float weight, bool gradient,
                      int tally, struct seki_error *error);
/* Tallies first..first+count-1, once they are there. */
int seki_compute_results(struct seki_network *network, int first, int count,
                         struct seki_batch_result *results, struct seki_error *error);

/* recording.c: a pass, told once where the backend can keep it. What it came to is left at
 * network->tally. */
int seki_run_pass(struct seki_network *network, const struct pass_kind *kind,
                  struct seki_error *error);
/* To be called before memory moves that a pass uses. */
void seki_forget_recordings(struct seki_network *network);

/* Makes *memory, of the backend, at least `bytes` large. What was in it is lost. */
int seki_reserve(struct seki_network *network, char **memory, size_t *have, size_t bytes,
                 struct seki_error *error);

#endif
