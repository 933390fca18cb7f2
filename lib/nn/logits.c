/*
 * logits.c - what every backend's loss does with logits and labels on the host.
 */
#include <math.h>

#include "nn/nn_internal.h"

int seki_largest(const float *values, int count)
{
    int best = 0;

    for (int i = 1; i < count && !isnan(values[best]); i++)
        if (values[i] > values[best] || isnan(values[i]))
            best = i;
    return best;
}

int seki_check_labels(const struct seki_loss_call *call, struct seki_error *error)
{
    for (int n = 0; n < call->images; n++)
        if (call->labels[n] < 0 || call->labels[n] >= call->classes)
            return seki_fail(error, SEKI_BAD_INPUT, "label",
                             "picture %d of the batch has label %d, expected 0 to %d", n,
                             (int)call->labels[n], call->classes - 1);
    return 0;
}
