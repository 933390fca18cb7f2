/*
 * backend_random.h - blocks drawn at random: every kind, channels and pictures of any size, windows
 * into parts, each against `ref`. SEKI_TEST_SEED draws others; a failure names its own.
 */
#ifndef SEKI_BACKEND_RANDOM_H
#define SEKI_BACKEND_RANDOM_H

#include "base/base.h"

#include "backend_compare.h"

#define RANDOM_SEED 20240607u

/* They take turns, those of most kernels more often. */
static const enum seki_block_kind random_kinds[] = {
    SEKI_BLOCK_CONV,      SEKI_BLOCK_SEPARABLE, SEKI_BLOCK_REDUCE,   SEKI_BLOCK_MAX_POOL,
    SEKI_BLOCK_AVG_POOL,  SEKI_BLOCK_CONV,      SEKI_BLOCK_NORM,     SEKI_BLOCK_IDENTITY,
    SEKI_BLOCK_SEPARABLE, SEKI_BLOCK_CONV,      SEKI_BLOCK_ZERO,     SEKI_BLOCK_HEAD,
    SEKI_BLOCK_SEPARABLE, SEKI_BLOCK_REDUCE,    SEKI_BLOCK_MAX_POOL, SEKI_BLOCK_AVG_POOL,
};
enum { RANDOM_KINDS = COUNT(random_kinds), RANDOM_BLOCKS = 4 * RANDOM_KINDS };

struct random_case {
    struct block_case c;
    enum seki_mode mode;
    char comment[320];
};

static inline uint64_t random_seed(void)
{
    const char *text = getenv("SEKI_TEST_SEED");

    return text != NULL ? strtoull(text, NULL, 10) : RANDOM_SEED;
}

/* ---- Drawing -------------------------------------------------------------------------------- */

static inline int draw(struct seki_random *random, int least, int most)
{
    return least + (int)seki_random_below(random, (uint32_t)(most - least + 1));
}

static inline bool one_in(struct seki_random *random, int count)
{
    return seki_random_below(random, (uint32_t)count) == 0;
}

/* Kernels have ways of their own for multiples of 8, of 4 and of 2. */
static inline int draw_channels(struct seki_random *random)
{
    return one_in(random, 2) ? 8 * draw(random, 1, 9) : draw(random, 1, 71);
}

static inline struct seki_shape draw_picture(struct seki_random *random)
{
    struct seki_shape in = {.parts = one_in(random, 3) ? draw(random, 2, 4) : 1};

    in.channels = in.parts == 1 ? draw_channels(random) : draw(random, 1, 12);
    in.height = in.width = 1;
    if (!one_in(random, 8)) {
        in.height = draw(random, 1, 16);
        in.width = draw(random, 1, 16);
    }
    return in;
}

static inline int draw_padding(struct seki_random *random, int most)
{
    return one_in(random, 3) ? draw(random, 0, most) : most;
}

/* An operation's of a search, for which there are kernels of their own: padded to keep the size. */
static inline void draw_usual_window(struct seki_random *random, struct seki_block_spec *spec)
{
    const int reach = spec->kind == SEKI_BLOCK_SEPARABLE ? draw(random, 1, 3) : draw(random, 0, 1);

    spec->dilation = spec->kind == SEKI_BLOCK_SEPARABLE ? draw(random, 1, 2) : 1;
    spec->kernel_height = spec->kernel_width = 2 * reach + 1;
    spec->stride_height = spec->stride_width = draw(random, 1, 2);
    spec->padding_height = spec->padding_width = reach * spec->dilation;
}

static inline void draw_any_window(struct seki_random *random, struct seki_block_spec *spec)
{
    const int most = spec->kind == SEKI_BLOCK_SEPARABLE ? 7 : 5;
    const bool square = one_in(random, 2);

    spec->dilation = spec->kind == SEKI_BLOCK_SEPARABLE ? draw(random, 1, 3) : 1;
    spec->kernel_height = draw(random, 1, most);
    spec->kernel_width = square ? spec->kernel_height : draw(random, 1, 7);
    spec->stride_height = draw(random, 1, 3);
    spec->stride_width = square ? spec->stride_height : draw(random, 1, 3);
    spec->padding_height = draw_padding(random, (spec->kernel_height - 1) * spec->dilation / 2);
    spec->padding_width = draw_padding(random, (spec->kernel_width - 1) * spec->dilation / 2);
}

/* Members that a kind does not look at are drawn too. */
static inline struct seki_block_spec draw_spec(struct seki_random *random,
                                               enum seki_block_kind kind)
{
    struct seki_block_spec spec = {.kind = kind, .in = draw_picture(random)};

    if (one_in(random, 2))
        draw_usual_window(random, &spec);
    else
        draw_any_window(random, &spec);
    spec.out_channels = draw_channels(random);
    if (kind == SEKI_BLOCK_REDUCE)
        spec.out_channels += spec.out_channels % 2;
    spec.repeats = draw(random, 1, 2);
    spec.relu_first = one_in(random, 2);
    spec.relu_last = one_in(random, 2);
    spec.norm = !one_in(random, 3);
    spec.affine = one_in(random, 2);
    return spec;
}

/* A tensor of more parts than the block's. */
static inline void draw_parts(struct seki_random *random, int own, int *parts, int *part)
{
    if (!one_in(random, 3))
        return;
    *parts = own + draw(random, 1, 3);
    *part = draw(random, 0, *parts - own);
}

static inline struct block_case draw_case(struct seki_random *random, enum seki_block_kind kind)
{
    struct block_case c = {.spec = draw_spec(random, kind),
                           .images = one_in(random, 3) ? 1 : draw(random, 2, 5)};

    draw_parts(random, c.spec.in.parts, &c.x_parts, &c.x_part);
    draw_parts(random, 1, &c.y_parts, &c.y_part);
    c.add_y = one_in(random, 2);
    c.add_dx = one_in(random, 2);
    c.keep = one_in(random, 3);
    c.no_dx = one_in(random, 6);
    /* BN of coarse values may be 0 but for rounding, and then pass a ReLU or not. */
    c.coarse = one_in(random, 6) && kind != SEKI_BLOCK_NORM;
    c.flips = c.spec.relu_last && (kind == SEKI_BLOCK_CONV || kind == SEKI_BLOCK_NORM);
    return c;
}

/* TRAIN computes what SCORE does, and backward. */
static inline enum seki_mode draw_mode(struct seki_random *random)
{
    return one_in(random, 4) ? (enum seki_mode)draw(random, SEKI_MODE_SCORE, SEKI_MODE_INFER)
                             : SEKI_MODE_TRAIN;
}

/* Whether BN makes the values' gradients what they are, and not 0 but for rounding, which it then
 * enlarges by up to 1 / sqrt(epsilon) = 316: from two values, or two that come more than once, it
 * makes the same whatever they are, and it undoes a weight that it alone follows. */
static inline bool has_gradients(const struct random_case *made, const struct seki_block_info *info)
{
    enum { LEAST_VALUES = 16 };
    const int values = made->c.images * info->out.height * info->out.width;

    if (info->statistics == 0 || made->mode == SEKI_MODE_INFER)
        return true;
    for (int i = 0; i < info->count; i++)
        if (info->tensors[i].role == SEKI_WEIGHT &&
            info->tensors[i].count == (size_t)info->tensors[i].size[0])
            return false;
    return values >= LEAST_VALUES;
}

/* Whether a backend should compute it, and soon. */
static inline bool makes_sense(const struct random_case *made)
{
    enum { MOST_MACS = 1000000 };
    struct seki_block_info info;
    struct seki_error error;

    return seki_block_describe(&made->c.spec, &info, &error) == 0 &&
           info.macs * (uint64_t)made->c.images <= MOST_MACS && has_gradients(made, &info);
}

/* ---- Cases ---------------------------------------------------------------------------------- */

static inline void describe_case(struct random_case *made, uint64_t seed, int number)
{
    const struct block_case *c = &made->c;
    const struct seki_block_spec *s = &c->spec;

    snprintf(made->comment, sizeof made->comment,
             "SEKI_TEST_SEED=%llu, block %d: kind %d, %d images of %d x %d x %d x %d to %d, kernel "
             "%d x %d, stride %d x %d, padding %d x %d, dilation %d, repeats %d,%s%s%s%s x part %d "
             "of %d, y part %d of %d,%s%s%s%s%s",
             (unsigned long long)seed, number, (int)s->kind, c->images, s->in.parts, s->in.channels,
             s->in.height, s->in.width, s->out_channels, s->kernel_height, s->kernel_width,
             s->stride_height, s->stride_width, s->padding_height, s->padding_width, s->dilation,
             s->repeats, s->relu_first ? " relu_first" : "", s->relu_last ? " relu_last" : "",
             s->norm ? " norm" : "", s->affine ? " affine" : "", c->x_part, c->x_parts, c->y_part,
             c->y_parts, c->add_y ? " add_y" : "", c->add_dx ? " add_dx" : "",
             c->keep ? " keep" : "", c->no_dx ? " no_dx" : "", c->coarse ? " coarse" : "");
}

/* Block `number` of that seed, whatever was drawn before. */
static inline void draw_random_case(uint64_t seed, int number, struct random_case *made)
{
    struct seki_random random;

    seki_random_seed(&random, seed, (uint64_t)number);
    do {
        made->c = draw_case(&random, random_kinds[number % RANDOM_KINDS]);
        made->mode = draw_mode(&random);
    } while (!makes_sense(made));
    describe_case(made, seed, number);
    made->c.comment = made->comment;
}

/* Pictures of so many pixels that a grid of the GPU's has blocks enough for each to write more than
 * 16 channels, up to so many here, forward or backward; in the last the blocks take turns at them
 * again. */
static const struct {
    int pixels, channels;
    bool backward;
} large_blocks[] = {
    {16384, 20, false}, {16384, 36, false}, {16384, 44, false}, {16384, 52, false},
    {16384, 36, true},  {16384, 52, true},  {32768, 8, true},
};
enum { LARGE_BLOCKS = COUNT(large_blocks), FIRST_LARGE = 1000 };

static inline void draw_large_case(uint64_t seed, int number, struct random_case *made)
{
    const bool backward = large_blocks[number].backward;
    struct seki_random random;

    seki_random_seed(&random, seed, (uint64_t)(FIRST_LARGE + number));
    const int many = large_blocks[number].channels - draw(&random, 0, 3);
    const int few = draw(&random, 1, 4), height = draw(&random, 120, 136);
    const int width = large_blocks[number].pixels / height + draw(&random, 1, 4);

    made->c = (struct block_case){
        .spec = {CONV(1, 1, 0), .in = {1, backward ? many : few, height, width}, .dilation = 1,
                 .out_channels = backward ? few : many, .relu_first = true, .norm = true},
        .images = 1,
        .add_y = true};
    made->mode = backward ? SEKI_MODE_TRAIN : SEKI_MODE_SCORE;
    describe_case(made, seed, FIRST_LARGE + number);
    made->c.comment = made->comment;
}

/* ---- Comparing ------------------------------------------------------------------------------ */

/* As from_ref; of pictures of a few pixels one value that flips is more. */
static const struct tolerance random_from_ref[] = {
    [SEKI_FP32] = {{largest_distance, 5e-6}, {largest_distance, 2e-5}, {largest_distance, 2e-5}},
    [SEKI_TF32] = {{mean_distance, 0.002}, {mean_distance, 0.006}, {mean_distance, 0.2}},
    [SEKI_BF16] = {{mean_distance, 0.01}, {mean_distance, 0.03}, {mean_distance, 0.4}},
};

/* RANDOM_BLOCKS of them from number `first` on. */
static inline void agrees_at_random(struct seki_backend *known, struct seki_backend *other,
                                    const struct tolerance *tolerance, int first)
{
    const uint64_t seed = random_seed();

    for (int i = first; i < first + RANDOM_BLOCKS; i++) {
        struct random_case made;

        draw_random_case(seed, i, &made);
        compare(known, other, tolerance, &made.c, made.mode, seed + (uint64_t)i);
    }
}

/* The large ones, of which only the precision's own turn comes. */
static inline void agrees_on_large(struct seki_backend *known, struct seki_backend *other,
                                   const struct tolerance *tolerance)
{
    const uint64_t seed = random_seed();

    for (int i = (int)other->precision; i < LARGE_BLOCKS; i += SEKI_BF16 + 1) {
        struct random_case made;

        draw_large_case(seed, i, &made);
        compare(known, other, tolerance, &made.c, made.mode, seed + (uint64_t)i);
    }
}

#endif
