/* recipe.c - the published training recipes, and the learning rate's schedule. */
#include "training/training_internal.h"

#include <math.h>

void seki_recipe_final(enum seki_space space, struct seki_recipe *recipe)
{
    if (space == SEKI_DARTS)
        *recipe = (struct seki_recipe){.epochs = 600,
                                       .batch = 96,
                                       .rate = 0.025,
                                       .momentum = 0.9,
                                       .decay = 3e-4,
                                       .clip = 5,
                                       .auxiliary = 0.4,
                                       .drop_path = 0.2,
                                       .augmentation = {4, true, 16}};
    else
        *recipe = (struct seki_recipe){.epochs = 200,
                                       .batch = 256,
                                       .rate = 0.1,
                                       .rate_each_step = true,
                                       .momentum = 0.9,
                                       .nesterov = true,
                                       .decay = 5e-4,
                                       .augmentation = {4, true, 0}};
}

void seki_recipe_supernet(enum seki_space space, struct seki_recipe *recipe)
{
    *recipe = (struct seki_recipe){.epochs = 50,
                                   .batch = 64,
                                   .rate = 0.025,
                                   .rate_end = 0.001,
                                   .momentum = 0.9,
                                   .decay = space == SEKI_DARTS ? 3e-4 : 5e-4,
                                   .clip = 5,
                                   .augmentation = {4, true, 0}};
}

int seki_recipe_check(const struct seki_recipe *recipe, struct seki_error *error)
{
    const struct {
        const char *name;
        double value, minimum, maximum;
    } checks[] = {
        {"epochs", recipe->epochs, 1, 1e6},
        {"batch", recipe->batch, 2, 65536},
        {"lr", recipe->rate, 0, 1e3},
        {"lr-end", recipe->rate_end, 0, 1e3},
        {"momentum", recipe->momentum, 0, 1},
        {"weight-decay", recipe->decay, 0, 1},
        {"clip", recipe->clip, 0, 1e9},
        {"auxiliary", recipe->auxiliary, 0, 10},
        {"drop-path", recipe->drop_path, 0, 0.95},
        {"crop padding", recipe->augmentation.padding, 0, 64},
        {"cutout", recipe->augmentation.cutout, 0, 4096},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (!(checks[i].value >= checks[i].minimum && checks[i].value <= checks[i].maximum))
            return seki_fail(error, SEKI_BAD_USE, "recipe", "%s is %g: %g to %g is possible",
                             checks[i].name, checks[i].value, checks[i].minimum, checks[i].maximum);
    return 0;
}

double seki_rate(const struct seki_recipe *recipe, double epoch)
{
    double pi = acos(-1);
    return recipe->rate_end +
           (recipe->rate - recipe->rate_end) * (1 + cos(pi * epoch / recipe->epochs)) / 2;
}
