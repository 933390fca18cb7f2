/* checkpoint.c - between a network's memory and a file's tensors. */
#include "training/training_internal.h"

#include <stdlib.h>
#include <string.h>

int seki_checkpoint_gather(const struct seki_checkpoint *checkpoint, const char *prefix,
                           const struct seki_network *network, float *parameters, float *statistics,
                           struct seki_error *error)
{
    int count = seki_network_tensor_count(network);
    for (int i = 0; i < count; i++) {
        struct seki_tensor_entry entry;
        seki_network_tensor(network, i, &entry);
        if (entry.statistic && !statistics)
            continue;
        const float *values = seki_checkpoint_floats(checkpoint, prefix, &entry, error);
        if (!values)
            return -1;
        /* The file's bytes need not be aligned. */
        memcpy((entry.statistic ? statistics : parameters) + entry.offset, values,
               entry.count * sizeof *values);
    }
    return 0;
}

int seki_checkpoint_load(const struct seki_checkpoint *checkpoint, struct seki_network *network,
                         struct seki_error *error)
{
    struct seki_backend *backend = seki_network_backend(network);
    size_t parameter_count, statistic_count;
    float *parameters = seki_network_parameters(network, &parameter_count);
    float *statistics = seki_network_statistics(network, &statistic_count);
    float *host = seki_allocate(parameter_count + statistic_count, sizeof *host, error);
    if (!host)
        return -1;
    int status =
        seki_checkpoint_gather(checkpoint, "", network, host, host + parameter_count, error);
    if (status == 0)
        status =
            backend->ops->write(backend, parameters, host, parameter_count * sizeof *host, error);
    if (status == 0)
        status = backend->ops->write(backend, statistics, host + parameter_count,
                                     statistic_count * sizeof *host, error);
    free(host);
    return status;
}
