/* initialise.c - first values of a network's parameters and running statistics. */
#include "network/network_internal.h"

#include <math.h>
#include <stdlib.h>

/* kaiming_uniform with a = sqrt(5), PyTorch's default for convolutions and linear layers, comes to
 * +-1/sqrt(fan in); the bias of a linear layer has the same bound. */
static void fill_uniform(float *values, size_t count, double bound, struct seki_random *random)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)((2 * seki_random_uniform(random) - 1) * bound);
}

static void fill_tensor(const struct seki_tensor_entry *entry, const struct seki_parameter *tensor,
                        int fan_in, uint64_t seed, float *values)
{
    struct seki_random random;
    switch (tensor->role) {
    case SEKI_SCALE:
    case SEKI_RUNNING_VARIANCE:
        for (size_t i = 0; i < tensor->count; i++)
            values[i] = 1;
        return;
    case SEKI_SHIFT:
    case SEKI_RUNNING_MEAN:
        return;
    default:
        seki_random_seed(&random, seed, seki_hash_string(entry->name));
        fill_uniform(values, tensor->count, 1 / sqrt(fan_in), &random);
    }
}

/* Numbers that one output is made from. */
static int fan_in(const struct module *module, const struct seki_parameter *tensor)
{
    if (tensor->role == SEKI_BIAS)
        return module->spec.in.parts * module->spec.in.channels;
    int product = 1;
    for (int i = 1; i < tensor->dimensions; i++)
        product *= tensor->size[i];
    return product;
}

int seki_network_initialise(struct seki_network *network, uint64_t seed, struct seki_error *error)
{
    float *parameters = seki_allocate(network->parameter_count, sizeof *parameters, error);
    float *statistics = seki_allocate(network->statistic_count, sizeof *statistics, error);
    int status = -1, index = 0;
    if (!parameters || !statistics)
        goto done;
    for (int i = 0; i < network->module_count; i++) {
        const struct module *module = &network->modules[i];
        for (int j = 0; j < module->info.count; j++, index++) {
            const struct seki_parameter *tensor = &module->info.tensors[j];
            struct seki_tensor_entry entry;
            seki_network_tensor(network, index, &entry);
            fill_tensor(&entry, tensor, fan_in(module, tensor), seed,
                        (entry.statistic ? statistics : parameters) + entry.offset);
        }
    }
    const struct seki_backend_ops *ops = network->backend->ops;
    status = ops->write(network->backend, network->parameters, parameters,
                        network->parameter_count * sizeof(float), error);
    if (status == 0)
        status = ops->write(network->backend, network->statistics, statistics,
                            network->statistic_count * sizeof(float), error);
done:
    free(parameters);
    free(statistics);
    return status;
}
