/* cost.c - parameters and multiply-accumulates of a network, from its description alone. */
#include "network/network_internal.h"

struct seki_network_config seki_network_evaluation(enum seki_space space)
{
    bool darts = space == SEKI_DARTS;

    return (struct seki_network_config){
        .space = space,
        .channels = darts ? 36 : 16,
        .layers = darts ? 20 : 5,
        .classes = 10,
        .image_channels = 3,
        .image_height = 32,
        .image_width = 32,
    };
}

int seki_network_cost(const struct seki_network_config *config,
                      const struct seki_genotype *genotype, struct seki_cost *cost,
                      struct seki_error *error)
{
    struct seki_network_config plain = *config;
    plain.auxiliary = false;
    struct seki_network *network = seki_network_open(NULL, &plain, genotype, error);
    if (!network)
        return -1;
    *cost = (struct seki_cost){0, 0};
    for (int i = 0; i < network->module_count; i++) {
        cost->parameters += network->modules[i].info.parameters;
        cost->macs += network->modules[i].info.macs;
    }
    seki_network_close(network);
    return 0;
}
