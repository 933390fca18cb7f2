/* recording.c - the passes of a final network are the same calls for every batch of a size: a
 * backend that can keeps them, and is told once. */
#include "network/network_internal.h"

void seki_forget_recordings(struct seki_network *network)
{
    for (int i = 0; i < MOST_RECORDINGS; i++) {
        struct recording *recording = &network->recordings[i];
        if (recording->calls)
            network->backend->ops->forget(recording->calls);
        recording->calls = NULL;
    }
}

static bool same_sgd(const struct seki_sgd *a, const struct seki_sgd *b)
{
    return a->momenta == b->momenta && a->rate == b->rate && a->momentum == b->momentum &&
           a->decay == b->decay && a->nesterov == b->nesterov && a->clip == b->clip;
}

static bool same_kind(const struct pass_kind *a, const struct pass_kind *b)
{
    return a->pass == b->pass && a->dropping == b->dropping &&
           a->auxiliary_weight == b->auxiliary_weight && same_sgd(&a->sgd, &b->sgd);
}

static struct recording *find(struct seki_network *network, const struct recording *key)
{
    for (int i = 0; i < MOST_RECORDINGS; i++) {
        struct recording *recording = &network->recordings[i];
        if (recording->calls && same_kind(&recording->kind, &key->kind) &&
            recording->images == key->images && recording->mode == key->mode)
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
    int told = seki_compute_pass(network, &key->kind, TALLY_NOW, error);
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

/* What the calls leave is always at one place. */
static int place_tally(struct seki_network *network, struct seki_error *error)
{
    return network->backend->ops->copy(network->backend, network->tallies + network->tally,
                                       network->tallies + TALLY_NOW, sizeof *network->tallies,
                                       error);
}

int seki_run_pass(struct seki_network *network, const struct pass_kind *kind,
                  struct seki_error *error)
{
    const struct seki_backend_ops *ops = network->backend->ops;
    if (network->supernet || !ops->record)
        return seki_compute_pass(network, kind, network->tally, error);
    const struct recording key = {
        .kind = *kind, .images = network->program.images, .mode = network->program.mode};
    struct recording *recording = find(network, &key);
    if (!recording)
        recording = make(network, &key, error);
    if (!recording || ops->replay(network->backend, recording->calls, error) < 0)
        return -1;
    return kind->pass == PASS_STEP && network->tally != TALLY_NOW ? place_tally(network, error) : 0;
}
