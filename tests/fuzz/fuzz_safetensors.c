/*
 * fuzz_safetensors.c - any bytes as a safetensors file. What is accepted must have its tensors'
 * bytes where the reader says they are; what is refused must be refused in words.
 */
#include "training/training_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Tensor `name` of that shape, every number read. */
static void read_tensor(const struct seki_checkpoint *checkpoint, const char *name, int rows)
{
    struct seki_tensor_entry entry = {.dimensions = 1, .size = {rows}, .count = (size_t)rows};
    struct seki_error error = {0};
    snprintf(entry.name, sizeof entry.name, "%s", name);
    const float *values = seki_checkpoint_floats(checkpoint, "", &entry, &error);
    if (!values) {
        require(error.kind == SEKI_BAD_INPUT && error.message[0] != '\0');
        return;
    }
    for (size_t i = 0; i < entry.count; i++) {
        float value;
        memcpy(&value, (const char *)values + i * sizeof value, sizeof value);
        require(isfinite(value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char path[] = "/tmp/seki-fuzz-XXXXXX";
    struct seki_network_config config;
    struct seki_normalisation normalisation;
    struct seki_error error = {0};
    int descriptor = mkstemp(path);
    require(descriptor >= 0);
    require(write(descriptor, bytes, length) == (ssize_t)length);
    close(descriptor);
    struct seki_checkpoint *checkpoint = seki_checkpoint_open(path, &error);
    unlink(path);
    if (!checkpoint) {
        require(error.kind == SEKI_BAD_INPUT && error.message[0] != '\0');
        return 0;
    }
    static const char *const names[] = {"a", "b", "c", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int rows = 0; rows <= 4; rows++)
            read_tensor(checkpoint, names[i], rows);
    if (seki_settings_config(checkpoint, &config, &error) == 0)
        require(config.image_channels >= 1 && config.layers >= 0);
    if (seki_settings_normalisation(checkpoint, 3, &normalisation, &error) == 0)
        require(normalisation.deviation[0] > 0);
    seki_checkpoint_close(checkpoint);
    return 0;
}
