/* augment.c - what augmentation does to one picture, drawn from (seed, epoch, picture). */
#include "data/data_internal.h"

static int clip(int value, int most)
{
    return value < 0 ? 0 : value > most ? most : value;
}

void seki_augmentation_draw(const struct seki_augmentation *augmentation, int height, int width,
                            uint64_t seed, uint64_t epoch, uint32_t index,
                            struct seki_augmentation_plan *plan)
{
    struct seki_random random;
    /* One stream for each epoch and picture: neither batch nor thread enters. */
    seki_random_seed(&random, seed,
                     seki_hash_string("augmentation") + (epoch << 32 | (uint64_t)index));
    /* All five are always drawn, so that leaving one out changes none of the others. */
    uint32_t places = 2 * (uint32_t)augmentation->padding + 1;
    int top = (int)seki_random_below(&random, places);
    int left = (int)seki_random_below(&random, places);
    bool flip = seki_random_below(&random, 2) == 1;
    int cut_y = (int)seki_random_below(&random, (uint32_t)height);
    int cut_x = (int)seki_random_below(&random, (uint32_t)width);
    int cutout = augmentation->cutout;
    *plan = (struct seki_augmentation_plan){
        .shift_y = top - augmentation->padding,
        .shift_x = left - augmentation->padding,
        .flip = augmentation->flip && flip,
    };
    if (cutout > 0) {
        plan->cut_top = clip(cut_y - cutout / 2, height);
        plan->cut_bottom = clip(cut_y - cutout / 2 + cutout, height);
        plan->cut_left = clip(cut_x - cutout / 2, width);
        plan->cut_right = clip(cut_x - cutout / 2 + cutout, width);
    }
}
