/* score.c - several genotypes of a supernet on one batch: what no genotype enters is computed once,
 * the rest one after the other, or in lanes beside each other where the backend has them. */
#include "network/network_internal.h"

/* The program of the genotype; where the arena had to grow for it, what was in it is lost. */
static int choose(struct seki_network *network, const struct seki_genotype *genotype, int images,
                  bool *lost, struct seki_error *error)
{
    size_t before = network->arena_bytes;
    if (seki_network_select(network, genotype, error) < 0 ||
        seki_schedule(network, images, SEKI_MODE_SCORE, error) < 0 ||
        seki_reserve_program(network, error) < 0)
        return -1;
    *lost = network->arena_bytes != before;
    return 0;
}

static int compute_common(struct seki_network *network, const struct seki_batch *batch,
                          struct seki_error *error)
{
    if (seki_compute_batch(network, batch, SEKI_MODE_SCORE, error) < 0)
        return -1;
    return seki_compute_forward(network, 0, network->program.common_count, false, error);
}

static int compute_rest(struct seki_network *network, int tally, struct seki_error *error)
{
    const struct program *program = &network->program;
    if (seki_compute_forward(network, program->common_count, program->step_count, false, error) < 0)
        return -1;
    return seki_compute_loss(network, program->logits, 1, false, tally, error);
}

static int score_in_turn(struct seki_network *network, const struct seki_batch *batch,
                         const struct seki_genotype *genotypes, int count,
                         struct seki_batch_result *results, struct seki_error *error)
{
    double common = 0;
    for (int i = 0; i < count; i++) {
        bool lost;
        double began = seki_clock();
        if (choose(network, &genotypes[i], batch->images, &lost, error) < 0)
            return -1;
        if (i == 0 || lost) {
            if (compute_common(network, batch, error) < 0)
                return -1;
            double now = seki_clock();
            common += now - began;
            began = now;
        }
        if (compute_rest(network, TALLY_NOW, error) < 0 ||
            seki_compute_results(network, TALLY_NOW, 1, &results[i], error) < 0)
            return -1;
        results[i].seconds = seki_clock() - began;
    }
    for (int i = 0; i < count; i++)
        results[i].seconds += common / count;
    return 0;
}

/* Arena and scratch of a lane, of the size that lane 0 has. */
static int reserve_lane(struct seki_network *network, int lane, struct seki_error *error)
{
    return lane == 0
               ? 0
               : seki_reserve(network, &network->lane_memory[lane], &network->lane_bytes[lane],
                              network->arena_bytes + network->scratch_bytes, error);
}

/* Genotype i goes to lane i % lanes, after those that were there before; a lane's memory is its
 * own, so that the order of lanes does not matter. */
static int fill_lanes(struct seki_network *network, const struct seki_batch *batch,
                      const struct seki_genotype *genotypes, int count, int lanes,
                      struct seki_error *error)
{
    struct seki_backend *backend = network->backend;
    for (int i = 0; i < count; i++) {
        bool lost;
        network->lane = 0;
        if (choose(network, &genotypes[i], batch->images, &lost, error) < 0)
            return -1;
        if (lost && i > 0)
            SEKI_BUG("a candidate that is larger than what was prepared");
        if (i == 0 && (compute_common(network, batch, error) < 0 ||
                       backend->ops->fork(backend, lanes, error) < 0))
            return -1;
        network->lane = i % lanes;
        backend->ops->lane(backend, network->lane);
        if (compute_rest(network, TALLY_LANES + i, error) < 0)
            return -1;
    }
    return 0;
}

static int score_in_lanes(struct seki_network *network, const struct seki_batch *batch,
                          const struct seki_genotype *genotypes, int count,
                          struct seki_batch_result *results, struct seki_error *error)
{
    struct seki_backend *backend = network->backend;
    int lanes = count < SEKI_MAX_LANES ? count : SEKI_MAX_LANES;
    double began = seki_clock();
    /* Fewer pictures may want more scratch: a library has other ways for them. No lane's memory may
     * have to grow once it is at work. */
    if ((network->prepared_images != batch->images || network->prepared_mode != SEKI_MODE_SCORE) &&
        seki_network_prepare(network, batch->images, SEKI_MODE_SCORE, error) < 0)
        return -1;
    for (int lane = 0; lane < lanes; lane++)
        if (reserve_lane(network, lane, error) < 0)
            return -1;
    int status = fill_lanes(network, batch, genotypes, count, lanes, error);
    network->lane = 0;
    if (backend->ops->join(backend, status < 0 ? NULL : error) < 0 || status < 0 ||
        seki_compute_results(network, TALLY_LANES, count, results, error) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        results[i].seconds = (seki_clock() - began) / count;
    return 0;
}

int seki_network_score(struct seki_network *network, const struct seki_batch *batch,
                       const struct seki_genotype *genotypes, int count,
                       struct seki_batch_result *results, struct seki_error *error)
{
    const bool beside = network->backend->ops->fork && count > 1 && count <= TALLIES - TALLY_LANES;
    return beside ? score_in_lanes(network, batch, genotypes, count, results, error)
                  : score_in_turn(network, batch, genotypes, count, results, error);
}
