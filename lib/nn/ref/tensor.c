/*
 * tensor.c - views of tensors, and the memory of a call that they are cut from.
 */
#include "nn/ref/ref_internal.h"

#define ALIGNMENT ((size_t)64)

struct ref_tensor seki_ref_from_window(const struct seki_window *window, int images)
{
    const struct seki_shape *shape = &window->shape;
    size_t part = (size_t)shape->channels * (size_t)shape->height * (size_t)shape->width;

    return (struct ref_tensor){
        .data = (float *)window->data + (size_t)window->part * part,
        .images = images,
        .channels = window->parts * shape->channels,
        .height = shape->height,
        .width = shape->width,
        .image_stride = (size_t)shape->parts * part,
    };
}

struct ref_tensor seki_ref_channels(const struct ref_tensor *tensor, int first, int count)
{
    struct ref_tensor range = *tensor;

    range.data = ref_plane(tensor, 0, first);
    range.channels = count;
    return range;
}

/* Once a size is past SIZE_MAX, `used` stays there; block_prepare refuses it. */
static void *take(struct ref_arena *arena, size_t count, size_t size)
{
    size_t room = SIZE_MAX - ALIGNMENT - arena->used;

    if (arena->used > SIZE_MAX - ALIGNMENT || count > room / size) {
        arena->used = SIZE_MAX;
        return NULL;
    }
    void *piece = arena->base != NULL ? arena->base + arena->used : NULL;

    arena->used += (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return piece;
}

static struct ref_arena *saved_arena(struct ref_memory *memory)
{
    return memory->train ? &memory->saved : &memory->scratch;
}

static struct ref_tensor tensor_from(struct ref_arena *arena, int images, int channels, int height,
                                     int width)
{
    size_t stride = (size_t)channels * (size_t)height * (size_t)width;

    return (struct ref_tensor){
        .data = take(arena, (size_t)images * stride, sizeof(float)),
        .images = images,
        .channels = channels,
        .height = height,
        .width = width,
        .image_stride = stride,
    };
}

struct ref_tensor seki_ref_saved(struct ref_memory *memory, int images, int channels, int height,
                                 int width)
{
    return tensor_from(saved_arena(memory), images, channels, height, width);
}

struct ref_tensor seki_ref_scratch(struct ref_memory *memory, int images, int channels, int height,
                                   int width)
{
    return tensor_from(&memory->scratch, images, channels, height, width);
}

struct ref_tensor seki_ref_scratch_like(struct ref_memory *memory, const struct ref_tensor *like)
{
    return seki_ref_scratch(memory, like->images, like->channels, like->height, like->width);
}

double *seki_ref_saved_statistics(struct ref_memory *memory, int channels)
{
    return take(saved_arena(memory), 2 * (size_t)channels, sizeof(double));
}
