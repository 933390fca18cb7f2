/*
 * loss.c - cross entropy of a softmax, averaged over the batch.
 */
#include "nn/ref/ref_internal.h"

#include <math.h>

/* log(sum(exp(values))), shifted by the largest so that nothing overflows. */
static double log_sum_exp(const float *values, int count)
{
    double top = values[seki_largest(values, count)], sum = exp(values[0] - top);

    for (int i = 1; i < count; i++)
        sum += exp(values[i] - top);
    return top + log(sum);
}

int seki_ref_loss(struct seki_backend *backend, const struct seki_loss_call *call,
                  struct seki_error *error)
{
    struct ref_tensor logits = seki_ref_from_window(&call->logits, call->images);

    (void)backend;
    (void)error;
    call->tally->loss = 0.0;
    call->tally->correct = 0;
    for (int n = 0; n < call->images; n++) {
        const float *values = ref_plane(&logits, n, 0);
        double normaliser = log_sum_exp(values, call->classes);

        call->tally->loss += normaliser - values[call->labels[n]];
        call->tally->correct += seki_largest(values, call->classes) == call->labels[n];
        if (call->dlogits.data == NULL)
            continue;
        struct ref_tensor dlogits = seki_ref_from_window(&call->dlogits, call->images);

        for (int i = 0; i < call->classes; i++) {
            double softmax = exp(values[i] - normaliser);
            double target = i == call->labels[n] ? 1.0 : 0.0;

            ref_plane(&dlogits, n, 0)[i] =
                (float)((softmax - target) * (double)call->weight / call->images);
        }
    }
    return 0;
}
