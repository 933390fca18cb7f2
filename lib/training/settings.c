/* settings.c - what a checkpoint was trained with, as strings in the file, and back. */
#include "training/training_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void seki_setting_put(struct setting **next, const char *key, const char *format, ...)
{
    struct setting *setting = (*next)++;
    snprintf(setting->key, sizeof setting->key, "%s", key);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(setting->value, sizeof setting->value, format, arguments);
    va_end(arguments);
}

/* "0.49139968,0.48215827,0.44653124"; nine digits give a float back exactly. */
static void put_floats(struct setting **next, const char *key, const float *values, int count)
{
    struct setting *setting = (*next)++;
    size_t length = 0;
    snprintf(setting->key, sizeof setting->key, "%s", key);
    for (int i = 0; i < count; i++)
        length += (size_t)snprintf(setting->value + length, sizeof setting->value - length,
                                   "%s%.9g", i ? "," : "", values[i]);
}

int seki_settings_text(const struct seki_training_settings *settings,
                       const struct seki_network_config *config,
                       const struct seki_normalisation *normalisation,
                       enum seki_precision precision, struct setting *out)
{
    const struct seki_recipe *recipe = &settings->recipe;
    struct setting *next = out;
    seki_setting_put(&next, "seki", "%s", settings->supernet ? "supernet" : "network");
    seki_setting_put(&next, "space", "%s", seki_space_name(settings->space));
    if (!settings->supernet) {
        struct setting *genotype = next;
        seki_setting_put(&next, "genotype", "%s", "");
        seki_genotype_print(&settings->genotype, genotype->value);
    }
    seki_setting_put(&next, "channels", "%d", config->channels);
    seki_setting_put(&next, "layers", "%d", config->layers);
    seki_setting_put(&next, "classes", "%d", config->classes);
    seki_setting_put(&next, "image", "%d,%d,%d", config->image_channels, config->image_height,
                     config->image_width);
    seki_setting_put(&next, "images", "%ld", settings->images);
    put_floats(&next, "mean", normalisation->mean, normalisation->channels);
    put_floats(&next, "std", normalisation->deviation, normalisation->channels);
    seki_setting_put(&next, "seed", "%llu", (unsigned long long)settings->seed);
    seki_setting_put(&next, "precision", "%s", seki_precision_name(precision));
    seki_setting_put(&next, "epochs", "%d", recipe->epochs);
    seki_setting_put(&next, "batch", "%d", recipe->batch);
    seki_setting_put(&next, "lr", "%.17g", recipe->rate);
    seki_setting_put(&next, "lr_end", "%.17g", recipe->rate_end);
    seki_setting_put(&next, "lr_each", "%s", recipe->rate_each_step ? "step" : "epoch");
    seki_setting_put(&next, "momentum", "%.17g", recipe->momentum);
    seki_setting_put(&next, "nesterov", "%s", recipe->nesterov ? "yes" : "no");
    seki_setting_put(&next, "weight_decay", "%.17g", recipe->decay);
    seki_setting_put(&next, "clip", "%.17g", recipe->clip);
    seki_setting_put(&next, "auxiliary", "%.17g", recipe->auxiliary);
    seki_setting_put(&next, "drop_path", "%.17g", recipe->drop_path);
    seki_setting_put(&next, "augmentation", "crop %d, flip %s, cutout %d",
                     recipe->augmentation.padding, recipe->augmentation.flip ? "yes" : "no",
                     recipe->augmentation.cutout);
    if (next - out > SETTING_COUNT - STATE_COUNT)
        SEKI_BUG("more settings than room");
    return (int)(next - out);
}

int seki_settings_numbers(const struct seki_checkpoint *checkpoint, const char *key, double *values,
                          int count, struct seki_error *error)
{
    const char *text = seki_checkpoint_text(checkpoint, key);
    if (!text)
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                         "the file does not say '%s': it was not written by seki", key);
    const char *at = text;
    for (int i = 0; i < count; i++) {
        char *end;
        values[i] = strtod(at, &end);
        if (end == at || !isfinite(values[i]) || *end != (i == count - 1 ? '\0' : ','))
            return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                             "'%s' is \"%.60s\": %d numbers separated by commas were expected", key,
                             text, count);
        at = end + 1;
    }
    return 0;
}

int seki_settings_count(const struct seki_checkpoint *checkpoint, const char *key, long most,
                        long *value, struct seki_error *error)
{
    double number = 0;
    if (seki_settings_numbers(checkpoint, key, &number, 1, error) < 0)
        return -1;
    if (number < 0 || number > (double)most || number != floor(number))
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint", "'%s' is %.9g: 0 to %ld was expected",
                         key, number, most);
    *value = (long)number;
    return 0;
}

static int read_integer(const struct seki_checkpoint *checkpoint, const char *key, int *value,
                        struct seki_error *error)
{
    long count = 0;
    if (seki_settings_count(checkpoint, key, 1000000, &count, error) < 0)
        return -1;
    *value = (int)count;
    return 0;
}

int seki_settings_config(const struct seki_checkpoint *checkpoint,
                         struct seki_network_config *config, struct seki_error *error)
{
    double image[3] = {0};
    const char *space = seki_checkpoint_text(checkpoint, "space");
    *config = (struct seki_network_config){0};
    if (!space)
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                         "the file does not say its 'space': it was not written by seki");
    if (seki_space_parse(space, &config->space, error) < 0 ||
        read_integer(checkpoint, "channels", &config->channels, error) < 0 ||
        read_integer(checkpoint, "layers", &config->layers, error) < 0 ||
        read_integer(checkpoint, "classes", &config->classes, error) < 0 ||
        seki_settings_numbers(checkpoint, "image", image, 3, error) < 0)
        return -1;
    for (int i = 0; i < 3; i++)
        if (image[i] < 1 || image[i] > 4096 || image[i] != floor(image[i]))
            return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                             "'image' holds %g: channels, height and width were expected",
                             image[i]);
    config->image_channels = (int)image[0];
    config->image_height = (int)image[1];
    config->image_width = (int)image[2];
    return 0;
}

int seki_settings_normalisation(const struct seki_checkpoint *checkpoint, int channels,
                                struct seki_normalisation *normalisation, struct seki_error *error)
{
    double mean[SEKI_MAX_CHANNELS] = {0}, deviation[SEKI_MAX_CHANNELS] = {0};
    if (channels < 1 || channels > SEKI_MAX_CHANNELS)
        return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                         "%d image channels: 1 to %d are possible", channels, SEKI_MAX_CHANNELS);
    if (seki_settings_numbers(checkpoint, "mean", mean, channels, error) < 0 ||
        seki_settings_numbers(checkpoint, "std", deviation, channels, error) < 0)
        return -1;
    normalisation->channels = channels;
    for (int i = 0; i < channels; i++) {
        if (!(deviation[i] > 0))
            return seki_fail(error, SEKI_BAD_INPUT, "checkpoint",
                             "'std' holds %g: deviations above 0 were expected", deviation[i]);
        normalisation->mean[i] = (float)mean[i];
        normalisation->deviation[i] = (float)deviation[i];
    }
    return 0;
}
