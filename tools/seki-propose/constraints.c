/* constraints.c - the bounds that a proposed architecture's evaluation network has to keep. */
#include "propose.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "network/network.h"

/* The field's usual evaluation network, or as the options say: what `seki-eval --cost` counts. */
static struct seki_network_config evaluation_network(const struct settings *s,
                                                     enum seki_space space)
{
    struct seki_network_config config = seki_network_evaluation(space);

    if (s->channels > 0)
        config.channels = (int)s->channels;
    if (s->layers > 0)
        config.layers = (int)s->layers;
    config.classes = (int)s->classes;
    config.image_height = config.image_width = (int)s->image_size;
    return config;
}

static int check(uint64_t value, double bound, const char *what, const char *option,
                 struct seki_error *why)
{
    char found[64], allowed[64];
    size_t length;

    if ((double)value <= bound)
        return 0;
    length = (size_t)snprintf(allowed, sizeof allowed, "%.6f", bound / 1e6);
    while (allowed[length - 1] == '0')
        allowed[--length] = '\0';
    if (allowed[length - 1] == '.')
        allowed[--length] = '\0';
    /* As many decimals as show that it is more. */
    for (int decimals = 2; decimals <= 6; decimals++) {
        snprintf(found, sizeof found, "%.*f", decimals, (double)value / 1e6);
        if (strtod(found, NULL) > bound / 1e6)
            break;
    }
    return seki_fail(why, SEKI_BAD_INPUT, "constraint", "%s M %s, but --%s allows %s M", found,
                     what, option, allowed);
}

int check_constraints(const struct run *run, const struct seki_genotype *genotype,
                      struct seki_error *why)
{
    const struct settings *s = &run->settings;
    struct seki_network_config config = evaluation_network(s, genotype->space);
    struct seki_cost cost;

    if (isinf(s->max_params) && isinf(s->max_macs))
        return 0;
    if (seki_network_cost(&config, genotype, &cost, why) < 0) {
        if (why->kind == SEKI_BAD_INPUT) /* of the settings' sizes, not of the genotype */
            why->kind = SEKI_BAD_USE;
        return seki_fail_within(why, "the network that the bounds are about");
    }
    if (check(cost.parameters, s->max_params, "parameters", "max-params", why) < 0)
        return -1;
    return check(cost.macs, s->max_macs, "multiply-accumulates", "max-macs", why);
}
