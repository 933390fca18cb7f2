/*
 * backend.h - the seam between networks and the code that computes them.
 *
 * A backend is one table of functions (struct seki_backend_ops) over its own memory. `ref` is plain
 * C, one function forward and one backward an operation: what every other is held against. `cpu` is
 * own kernels and oneDNN, `cuda` own kernels on a GPU, in a shared object of its own that is loaded
 * when it is asked for. A new backend is one folder and one such table.
 *
 * The unit of work is a block: what stands on one edge of a cell (ReLU -> depthwise -> pointwise ->
 * normalisation, twice over for a sep_conv), a preprocessing, a stem, a classifier. It is that
 * large so that a backend can fuse inside it. A block is described by a struct seki_block_spec,
 * which no backend is needed for; what parameters it has and what shape it gives follow from the
 * spec alone.
 *
 * The contract of every block, in every backend:
 *
 *   forward    y = f(x), or y += f(x) where add_y is set; with `keep`, f(x) of image n is first
 *              multiplied by keep[n] (drop path). A node's sum is therefore two calls with one
 *              window y.
 *   backward   only after a forward in SEKI_MODE_TRAIN. From dy (and keep) and what forward left
 *              in `saved`: dx = ..., or dx += ... where add_dx is set, nothing where dx.data is
 *              NULL; gradients += ..., always: parameter gradients accumulate. x must be what it
 *              was in forward. dy is not changed.
 *   memory     the caller gives every byte: `saved` lives from forward to backward and holds all
 *              that backward needs besides x, so that one block may be in several places;
 *              `scratch` lives during one call. What they hold before is undefined. Tensors, saved
 *              and scratch are 64-byte aligned; parameters, gradients, statistics and keep as
 *              floats are. Nothing is allocated in forward, backward, loss or sgd once
 *              block_prepare was called for that number of images.
 *   NaN        in x comes out in y as in PyTorch, through ReLU and max pooling too: a diverged
 *              network shows.
 *
 * Layout of a tensor is the backend's own. Parameters, gradients and statistics are plain float
 * arrays in PyTorch's order (O, I/groups, kH, kW) in the backend's memory.
 */
#ifndef SEKI_BACKEND_H
#define SEKI_BACKEND_H

#include "base/base.h"

/* ---- Tensors ------------------------------------------------------------------------------ */

/* One image of a tensor: `parts` groups of `channels` channels, side by side. A cell's output has
 * as many parts as nodes concatenated, so that each node writes its own and nothing is copied; all
 * else has one. */
struct seki_shape {
    int parts, channels, height, width;
    bool full; /* in full precision in every backend: logits, and nothing else */
};

/* `parts` parts of a tensor of that shape, from part `part` on. */
struct seki_window {
    void *data; /* the tensor's first byte, in the backend's memory; NULL: none */
    struct seki_shape shape;
    int part, parts;
};

/* How normalisation is done, and whether backward will follow. */
enum seki_mode {
    SEKI_MODE_TRAIN, /* batch statistics, running ones updated, `saved` filled */
    SEKI_MODE_SCORE, /* batch statistics, nothing kept: a candidate on the supernet */
    SEKI_MODE_INFER, /* running statistics, nothing kept: a trained network */
};

/* ---- Blocks ------------------------------------------------------------------------------- */

enum seki_block_kind {
    /* [ReLU] -> convolution -> [BN] -> [ReLU] */
    SEKI_BLOCK_CONV,
    /* `repeats` times: ReLU -> depthwise -> pointwise -> BN. The stride is in the first alone;
     * every repeat but the last keeps the channels. */
    SEKI_BLOCK_SEPARABLE,
    /* FactorizedReduce: ReLU -> two 1x1 convolutions of stride 2 to half the channels each, the
     * second of the picture without its first row and column -> BN over both. Odd pictures: the
     * second sees a row and column of zeros after the last, so that both give ceil(size / 2). */
    SEKI_BLOCK_REDUCE,
    /* [ReLU] -> pooling over the pixels inside the picture -> [BN]. The gradient of a maximum goes
     * to the first of equals in scan order. */
    SEKI_BLOCK_MAX_POOL,
    /* The same; padding is not counted (count_include_pad=False). */
    SEKI_BLOCK_AVG_POOL,
    /* BN -> [ReLU] */
    SEKI_BLOCK_NORM,
    /* f(x) = x */
    SEKI_BLOCK_IDENTITY,
    /* f(x) = 0, of ceil(size / stride); x is not read; dx = 0, or with add_dx left as it is. */
    SEKI_BLOCK_ZERO,
    /* Mean over all pixels -> linear with bias; gives out_channels x 1 x 1 in full precision. */
    SEKI_BLOCK_HEAD,
};

/* BN: eps 1e-5; running = 0.9 running + 0.1 batch, the batch's variance unbiased (PyTorch's
 * defaults). A batch of a single value (one image of 1 x 1), which PyTorch refuses, counts with
 * variance 0. */
#define SEKI_NORM_EPSILON  1e-5f
#define SEKI_NORM_MOMENTUM 0.1f

struct seki_block_spec {
    enum seki_block_kind kind;
    struct seki_shape in;            /* parts * channels are seen as one range of channels */
    int out_channels;                /* CONV, SEPARABLE, REDUCE, HEAD; otherwise those of `in` */
    int kernel_height, kernel_width; /* CONV, SEPARABLE, pools; and the next two */
    int stride_height, stride_width; /* ZERO too */
    int padding_height, padding_width;
    int dilation;               /* SEPARABLE: of the depthwise convolution; 1 elsewhere */
    int repeats;                /* SEPARABLE: 1 or 2 */
    bool relu_first, relu_last; /* CONV; pools: first; NORM: last. SEPARABLE and REDUCE always
                                 * begin with ReLU */
    bool norm;                  /* CONV, pools: BN follows */
    bool affine;                /* the BN has a scale and a shift that are trained */
};

/* The tensors of a block, in the order in which they lie in its parameters (all of repeat 0, then
 * all of repeat 1), then in its statistics; packed. */
enum seki_parameter_role {
    SEKI_DEPTHWISE,    /* (in, 1, kH, kW) */
    SEKI_WEIGHT,       /* (out, in, kH, kW); HEAD: (out, in); REDUCE: the first (out/2, in, 1, 1) */
    SEKI_WEIGHT_ODD,   /* REDUCE: the second */
    SEKI_SCALE,        /* BN's weight (out) */
    SEKI_SHIFT,        /* BN's bias (out) */
    SEKI_BIAS,         /* HEAD (out) */
    SEKI_RUNNING_MEAN, /* statistics from here on */
    SEKI_RUNNING_VARIANCE,
};

struct seki_parameter {
    enum seki_parameter_role role;
    int repeat;     /* SEPARABLE: 0 or 1 */
    int dimensions; /* 1, 2 or 4 */
    int size[4];
    size_t count;  /* product of size */
    size_t offset; /* in floats, from the block's parameters or statistics */
};

#define SEKI_MAX_BLOCK_PARAMETERS 12

/* All that follows from a spec. */
struct seki_block_info {
    struct seki_shape out; /* parts 1 */
    int count;
    struct seki_parameter tensors[SEKI_MAX_BLOCK_PARAMETERS];
    size_t parameters; /* floats */
    size_t statistics; /* floats */
    uint64_t macs;     /* of convolutions and linear, an image */
};

/* -1 (SEKI_BAD_USE, "block"): sizes that make no sense, e.g. a kernel larger than the padded
 * picture. */
int seki_block_describe(const struct seki_block_spec *spec, struct seki_block_info *info,
                        struct seki_error *error);

/* One call of a block. Windows have the spec's shapes. */
struct seki_block_call {
    int images;
    enum seki_mode mode;
    struct seki_window x, y;   /* y: parts 1 */
    struct seki_window dx, dy; /* backward; dx.data NULL: not wanted */
    bool add_y, add_dx;
    const float *keep;       /* images factors, or NULL */
    const float *parameters; /* the block's own, info.parameters floats */
    float *gradients;        /* backward */
    float *statistics;       /* info.statistics floats */
    void *saved, *scratch;
};

struct seki_block; /* a block that a backend has prepared */

/* ---- Pictures ----------------------------------------------------------------------------- */

/* How a picture of a batch comes from picture number `picture`: pixel (y, x) shows its pixel
 * (y + shift_y, x + shift_x), or with flip (y + shift_y, W - 1 - x + shift_x), black outside of it;
 * rows cut_top .. cut_bottom-1 of columns cut_left .. cut_right-1 are 0. */
struct seki_crop {
    uint32_t picture;
    int shift_y, shift_x;
    bool flip;
    int cut_top, cut_bottom, cut_left, cut_right;
};

/* A batch made by a backend that holds the pictures: planes of bytes, (count, C, H, W). */
struct seki_pictures_call {
    int images;
    struct seki_window x; /* (1, C, H, W) */
    const uint8_t *bytes;
    const float *values;           /* what a byte becomes, (C, 256) */
    const struct seki_crop *crops; /* the host's, images */
};

/* ---- Loss, optimiser ---------------------------------------------------------------------- */

/* What a step came to. It lies in the backend's memory, so that nobody need wait for it. */
struct seki_tally {
    double loss;     /* sum over the images of the cross entropy, not weighted */
    int64_t correct; /* how many logits' maxima (the first of equals) are the label */
    double norm;     /* Euclidean, of the gradient before clipping */
};

/* Loss of a batch of logits, their gradient times `weight` / images. */
struct seki_loss_call {
    int images, classes;
    struct seki_window logits;  /* shape (1, classes, 1, 1) */
    struct seki_window dlogits; /* data NULL: not wanted */
    const int32_t *labels;      /* in the backend's memory, each 0 .. classes-1 */
    float weight;
    struct seki_tally *tally; /* loss and correct are set */
};

/* A run of parameters, in floats from the arrays' beginnings. */
struct seki_range {
    size_t offset, count;
};

/* SGD as PyTorch has it: with the gradient shortened to the length `clip` where it is longer
 * (torch.nn.utils.clip_grad_norm_), g = gradient + decay * w; m = momentum * m + g; w -= rate * m,
 * or with nesterov w -= rate * (g + momentum * m). Momenta that start at zero give PyTorch's first
 * step. */
struct seki_sgd {
    float *momenta;    /* as the weights */
    const float *rate; /* in the backend's memory: it changes while a recorded step stays */
    float momentum, decay;
    bool nesterov;
    double clip; /* 0: not clipped */
};

/* A step of it, on the ranges alone. */
struct seki_sgd_call {
    struct seki_sgd sgd;
    const struct seki_range *ranges; /* the host's; ascending, apart */
    int count;
    float *weights;
    const float *gradients;
    struct seki_tally *tally; /* norm is set; its sum of squares is in double precision, in an order
                               * that depends on the thread count alone */
};

/* ---- Backends ----------------------------------------------------------------------------- */

/* How tensors are kept, and what convolutions multiply. Sums, normalisation's statistics, logits,
 * parameters and their gradients are fp32 or better in each. */
enum seki_precision {
    SEKI_FP32,
    SEKI_TF32, /* kept as fp32, multiplied with 10 bits after the point: GPUs */
    SEKI_BF16,
    SEKI_AUTO_PRECISION, /* to open with: bf16 on a GPU, else fp32 */
};

/* "fp32", "tf32", "bf16", "auto"; static. */
const char *seki_precision_name(enum seki_precision precision);
/* The precision of that name, which must be one. */
enum seki_precision seki_precision_named(const char *name);

struct seki_backend {
    const struct seki_backend_ops *ops;
    int threads;
    enum seki_precision precision;
    /* the backend's own members follow */
};

struct seki_recording; /* calls that a backend keeps */

/* Every function may be called from one thread at a time. Byte counts and pointers are of the
 * backend's memory, unless `host` is in the name; every address that `memory` gives is 64-byte
 * aligned.
 *
 * A backend may compute later than it is told to, in the order in which it is told: `read` and
 * `tensor_read` wait, and a failure on the way shows there at the latest. What the host gives a
 * function it may change as soon as that returns. */
struct seki_backend_ops {
    const char *name;
    struct seki_backend *(*open)(int threads, enum seki_precision precision,
                                 struct seki_error *error);
    void (*close)(struct seki_backend *backend);

    /* Zeroed, touched. */
    void *(*memory)(struct seki_backend *backend, size_t bytes, struct seki_error *error);
    void (*release)(struct seki_backend *backend, void *memory);
    /* Those ranges of an array become 0. */
    int (*clear)(struct seki_backend *backend, float *array, const struct seki_range *ranges,
                 int count, struct seki_error *error);
    int (*write)(struct seki_backend *backend, void *memory, const void *host, size_t bytes,
                 struct seki_error *error);
    int (*read)(struct seki_backend *backend, void *host, const void *memory, size_t bytes,
                struct seki_error *error);

    /* Bytes of a tensor, a multiple of 64. */
    size_t (*tensor_bytes)(const struct seki_backend *backend, const struct seki_shape *shape,
                           int images);
    /* Copies between plain (N, C, H, W) floats on the host, C running over the window's channels,
     * and a window. */
    int (*tensor_write)(struct seki_backend *backend, const struct seki_window *window, int images,
                        const float *host, struct seki_error *error);
    int (*tensor_read)(struct seki_backend *backend, float *host, const struct seki_window *window,
                       int images, struct seki_error *error);

    /* NULL in a backend to whom pictures come no faster as bytes: they are written as floats. */
    int (*pictures)(struct seki_backend *backend, const struct seki_pictures_call *call,
                    struct seki_error *error);

    /* A block of that spec; NULL where the backend cannot ("backend" in *error says why). */
    struct seki_block *(*block_open)(struct seki_backend *backend,
                                     const struct seki_block_spec *spec, struct seki_error *error);
    void (*block_close)(struct seki_block *block);
    /* Gets ready for calls with so many images in that mode, and says how many bytes they take. May
     * be called again for other numbers; cheap where it was called before. */
    int (*block_prepare)(struct seki_block *block, int images, enum seki_mode mode, size_t *saved,
                         size_t *scratch, struct seki_error *error);
    int (*forward)(struct seki_block *block, const struct seki_block_call *call,
                   struct seki_error *error);
    int (*backward)(struct seki_block *block, const struct seki_block_call *call,
                    struct seki_error *error);

    int (*loss)(struct seki_backend *backend, const struct seki_loss_call *call,
                struct seki_error *error);
    int (*sgd)(struct seki_backend *backend, const struct seki_sgd_call *call,
               struct seki_error *error);

    /* Work beside other work; all three NULL: not here. After `fork` calls go to the lane that was
     * chosen last, 0 at first: each lane begins after all that came before the fork, and is in no
     * order with the others. `join` ends that: what follows comes after all lanes. In between,
     * forward and loss alone may be called. */
    int (*fork)(struct seki_backend *backend, int lanes, struct seki_error *error);
    void (*lane)(struct seki_backend *backend, int lane);
    int (*join)(struct seki_backend *backend, struct seki_error *error);

    /* Work that comes again with the same arguments; all five NULL: not here. From `record` to
     * `recorded` calls are kept and not done; clear, forward, loss, backward and sgd may be called.
     * `replay` does them. NULL from `recorded`: a call could not be kept. `copy` moves bytes inside
     * the backend's memory: what a replay leaves at its one place. */
    int (*record)(struct seki_backend *backend, struct seki_error *error);
    struct seki_recording *(*recorded)(struct seki_backend *backend, struct seki_error *error);
    int (*replay)(struct seki_backend *backend, struct seki_recording *recording,
                  struct seki_error *error);
    void (*forget)(struct seki_recording *recording);
    int (*copy)(struct seki_backend *backend, void *to, const void *from, size_t bytes,
                struct seki_error *error);
};

#define SEKI_MAX_LANES 4

/* name: "auto" (cuda where there is a GPU that it can use, else cpu), "cuda", "cpu", "ref";
 * "cpu-base", "cpu-v3", "cpu-v4": cpu held to the instructions of x86-64-v3 or v4, or to those that
 * every processor of the kind has; "cuda-own": cuda without cuDNN. threads 0: as many as the
 * process may use; open gets the number. `ref` and `cuda` run on one. The backend says which
 * precision it has. SEKI_BF16: cpu and cpu-v4 want a processor that multiplies it (AVX512_BF16),
 * cpu-base does it on any, cuda too, ref and cpu-v3 have fp32 alone. SEKI_TF32: cuda alone.
 * SEKI_BAD_USE ("backend", "precision"): no such backend, or not in that precision;
 * SEKI_NO_RESOURCE: this machine or this build cannot. */
struct seki_backend *seki_backend_open(const char *name, int threads, enum seki_precision precision,
                                       struct seki_error *error);
void seki_backend_close(struct seki_backend *backend);

/* The names that seki_backend_open knows but "auto", the fastest first; NULL past the last. */
const char *seki_backend_name(int index);

#endif
