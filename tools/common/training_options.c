/* training_options.c - the defaults that --help shows, and options put over a recipe. */
#include "training_options.h"

struct training_options training_options_default(const struct seki_recipe *recipe, int channels,
                                                 int layers)
{
    return (struct training_options){.backend = "auto",
                                     .precision = "auto",
                                     .channels = channels,
                                     .layers = layers,
                                     .epochs = recipe->epochs,
                                     .batch = recipe->batch,
                                     .rate = recipe->rate,
                                     .rate_end = recipe->rate_end,
                                     .momentum = recipe->momentum,
                                     .decay = recipe->decay,
                                     .clip = recipe->clip};
}

void training_options_apply(const struct training_options *o,
                            struct seki_training_settings *settings)
{
    struct seki_recipe *recipe = &settings->recipe;
    settings->images = o->images;
    settings->seed = o->seed;
    settings->save_every = o->save_every;
    if (o->channels_given)
        settings->channels = (int)o->channels;
    if (o->layers_given)
        settings->layers = (int)o->layers;
    if (o->epochs_given)
        recipe->epochs = (int)o->epochs;
    if (o->batch_given)
        recipe->batch = (int)o->batch;
    if (o->rate_given)
        recipe->rate = o->rate;
    if (o->rate_end_given)
        recipe->rate_end = o->rate_end;
    if (o->momentum_given)
        recipe->momentum = o->momentum;
    if (o->decay_given)
        recipe->decay = o->decay;
    if (o->clip_given)
        recipe->clip = o->clip;
}
