/*
 * loss.c - cross entropy of a softmax. There are a few thousand logits a batch: one thread, double
 * precision.
 */
#include "nn/cpu/cpu_internal.h"

#include <math.h>

int seki_cpu_loss(struct seki_backend *backend, const struct seki_loss_call *call,
                  struct seki_error *error)
{
    const struct cpu_view logits = seki_cpu_view(cpu_backend(backend), &call->logits, call->images);
    const struct cpu_view dlogits =
        seki_cpu_view(cpu_backend(backend), &call->dlogits, call->images);
    const double factor = (double)call->weight / (double)call->images;

    if (!logits.full)
        SEKI_BUG("logits that are not in full precision");
    (void)error;
    call->tally->loss = 0;
    call->tally->correct = 0;
    for (size_t n = 0; n < (size_t)call->images; n++) {
        const float *values = (const float *)logits.data + n * logits.stride;
        const int label = call->labels[n], best = seki_largest(values, call->classes);
        double sum = 0;

        for (int k = 0; k < call->classes; k++)
            sum += exp((double)values[k] - (double)values[best]);
        // cppcheck-suppress invalidFunctionArg ; the largest alone gives 1
        call->tally->loss += (double)values[best] + log(sum) - (double)values[label];
        call->tally->correct += best == label;
        for (int k = 0; dlogits.data != NULL && k < call->classes; k++) {
            double softmax = exp((double)values[k] - (double)values[best]) / sum;
            ((float *)dlogits.data)[n * dlogits.stride + (size_t)k] =
                (float)((softmax - (k == label)) * factor);
        }
    }
    return 0;
}
