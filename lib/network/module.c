/* module.c - the blocks of a network, with their places in its parameters and their names. */
#include "network/network_internal.h"

#include <stdlib.h>
#include <string.h>

const struct module_names seki_names_plain = {.weight = {""}};
const struct module_names seki_names_stem = {.weight = {"0"}, .norm = {"1"}};
const struct module_names seki_names_conv = {.weight = {"op.1"}, .norm = {"op.2"}};
const struct module_names seki_names_separable = {
    .depthwise = {"op.1", "op.5"}, .weight = {"op.2", "op.6"}, .norm = {"op.3", "op.7"}};
const struct module_names seki_names_reduce = {
    .weight = {"conv_1"}, .weight_odd = "conv_2", .norm = {"bn"}};
const struct module_names seki_names_pool = {.norm = {"1"}};
const struct module_names seki_names_sequential_first = {.weight = {"1"}};
const struct module_names seki_names_sequential_second = {.weight = {"2"}, .norm = {"3"}};

static size_t aligned(size_t floats)
{
    return (floats + MODULE_ALIGN - 1) / MODULE_ALIGN * MODULE_ALIGN;
}

int seki_module_add(struct seki_network *network, const struct seki_block_spec *spec,
                    const struct module_names *names, struct seki_error *error, const char *prefix,
                    ...)
{
    if (network->module_count == network->module_capacity) {
        int capacity = network->module_capacity ? 2 * network->module_capacity : 64;
        struct module *more = realloc(network->modules, (size_t)capacity * sizeof *more);
        if (!more) {
            seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory for the network's modules");
            return NO_MODULE;
        }
        network->modules = more;
        network->module_capacity = capacity;
    }
    struct module *module = &network->modules[network->module_count];
    memset(module, 0, sizeof *module);
    module->spec = *spec;
    module->names = names;
    va_list arguments;
    va_start(arguments, prefix);
    int length = vsnprintf(module->prefix, sizeof module->prefix, prefix, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof module->prefix)
        SEKI_BUG("a module's name is too long");
    if (seki_block_describe(spec, &module->info, error) < 0) {
        seki_fail_within(error, "%s", module->prefix);
        return NO_MODULE;
    }
    if (network->backend) {
        module->block = network->backend->ops->block_open(network->backend, spec, error);
        if (!module->block)
            return NO_MODULE;
    }
    module->parameters = network->parameter_count;
    module->statistics = network->statistic_count;
    network->parameter_count += aligned(module->info.parameters);
    network->statistic_count += aligned(module->info.statistics);
    return network->module_count++;
}

/* The name of a block's tensor without its prefix: "op.1.weight". */
static void tensor_suffix(const struct module *module, const struct seki_parameter *tensor,
                          char *text, size_t room)
{
    const struct module_names *names = module->names;
    const char *owner = NULL, *leaf = "weight";
    switch (tensor->role) {
    case SEKI_DEPTHWISE:
        owner = names->depthwise[tensor->repeat];
        break;
    case SEKI_WEIGHT:
        owner = names->weight[tensor->repeat];
        break;
    case SEKI_WEIGHT_ODD:
        owner = names->weight_odd;
        break;
    case SEKI_BIAS:
        owner = names->weight[tensor->repeat];
        leaf = "bias";
        break;
    case SEKI_SCALE:
        owner = names->norm[tensor->repeat];
        break;
    case SEKI_SHIFT:
        owner = names->norm[tensor->repeat];
        leaf = "bias";
        break;
    case SEKI_RUNNING_MEAN:
        owner = names->norm[tensor->repeat];
        leaf = "running_mean";
        break;
    case SEKI_RUNNING_VARIANCE:
        owner = names->norm[tensor->repeat];
        leaf = "running_var";
        break;
    }
    if (owner)
        snprintf(text, room, "%s%s%s", owner, *owner ? "." : "", leaf);
    else
        SEKI_BUG("a tensor without a name");
}

int seki_network_tensor_count(const struct seki_network *network)
{
    int count = 0;
    for (int i = 0; i < network->module_count; i++)
        count += network->modules[i].info.count;
    return count;
}

void seki_network_tensor(const struct seki_network *network, int index,
                         struct seki_tensor_entry *entry)
{
    const struct module *module = network->modules;
    for (; index >= module->info.count; module++)
        index -= module->info.count;
    const struct seki_parameter *tensor = &module->info.tensors[index];
    char suffix[32];
    tensor_suffix(module, tensor, suffix, sizeof suffix);
    bool statistic = tensor->role >= SEKI_RUNNING_MEAN;
    *entry = (struct seki_tensor_entry){
        .dimensions = tensor->dimensions,
        .count = tensor->count,
        .statistic = statistic,
        .auxiliary = module->auxiliary,
        .offset = tensor->offset + (statistic ? module->statistics : module->parameters),
    };
    memcpy(entry->size, tensor->size, sizeof entry->size);
    snprintf(entry->name, sizeof entry->name, "%s.%s", module->prefix, suffix);
}
