/* recording.c - the passes of a final network are the same calls for every batch of a size: a
 * backend that can keeps them, and is told once. */
#include "network/network_internal.h"

static int tell(struct seki_network *network, enum pass pass, bool dropping,
                struct seki_error *error)
{
    return pass == PASS_FORWARD
               ? seki_compute_forward(network, 0, network->program.step_count, dropping, error)
               : seki_compute_backward(network, dropping, error);
}

void seki_forget_recordings(struct seki_network *network)
{
    for (int i = 0; i < MOST_RECORDINGS; i++) {
        struct recording *recording = &network->recordings[i];
        if (recording->calls)
            network->backend->ops->forget(recording->calls);
        recording->calls = NULL;
    }
}

static struct recording *find(struct seki_network *network, const struct recording *key)
{
    for (int i = 0; i < MOST_RECORDINGS; i++) {
        struct recording *recording = &network->recordings[i];
        if (recording->calls && recording->pass == key->pass && recording->images == key->images &&
            recording->mode == key->mode && recording->dropping == key->dropping)
            return recording;
    }
    return NULL;
}

/* In the oldest one's place. */
static struct recording *make(struct seki_network *network, const struct recording *key,
                              struct seki_error *error)
{
    struct seki_backend *backend = network->backend;
    struct recording *recording = &network->recordings[network->next_recording];
    if (recording->calls)
        backend->ops->forget(recording->calls);
    *recording = *key;
    if (backend->ops->record(backend, error) < 0)
        return NULL;
    int told = tell(network, key->pass, key->dropping, error);
    recording->calls = backend->ops->recorded(backend, told < 0 ? NULL : error);
    if (told < 0 && recording->calls) {
        backend->ops->forget(recording->calls);
        recording->calls = NULL;
    }
    if (!recording->calls)
        return NULL;
    network->next_recording = (network->next_recording + 1) % MOST_RECORDINGS;
    return recording;
}

int seki_run_pass(struct seki_network *network, enum pass pass, bool dropping,
                  struct seki_error *error)
{
    const struct seki_backend_ops *ops = network->backend->ops;
    if (network->supernet || !ops->record)
        return tell(network, pass, dropping, error);
    const struct recording key = {.pass = pass,
                                  .images = network->program.images,
                                  .mode = network->program.mode,
                                  .dropping = dropping};
    struct recording *recording = find(network, &key);
    if (!recording)
        recording = make(network, &key, error);
    return recording ? ops->replay(network->backend, recording->calls, error) : -1;
}
