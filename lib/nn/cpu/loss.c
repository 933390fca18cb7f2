/*
 * loss.c - cross entropy of a softmax. There are a few thousand logits a batch: one thread, double
 * precision.
 */
#include "nn/cpu/cpu_internal.h"

#include <math.h>

/* Of equals the first; NaN wins over numbers, as in torch.argmax. */
static int largest(const float *values, int count)
{
    int best = 0;

    for (int i = 1; i < count && !isnan(values[best]); i++)
        if (values[i] > values[best] || isnan(values[i]))
            best = i;
    return best;
}

static int check_labels(const struct seki_loss_call *call, struct seki_error *error)
{
    for (int n = 0; n < call->images; n++)
        if (call->labels[n] < 0 || call->labels[n] >= call->classes)
            return seki_fail(error, SEKI_BAD_INPUT, "label",
                             "picture %d of the batch has label %d, expected 0 to %d", n,
                             (int)call->labels[n], call->classes - 1);
    return 0;
}

int seki_cpu_loss(struct seki_backend *backend, struct seki_loss_call *call,
                  struct seki_error *error)
{
    const struct cpu_view logits = seki_cpu_view(&call->logits, call->images);
    const struct cpu_view dlogits = seki_cpu_view(&call->dlogits, call->images);
    const double factor = (double)call->weight / (double)call->images;

    (void)backend;
    if (check_labels(call, error) < 0)
        return -1;
    call->loss = 0;
    call->correct = 0;
    for (size_t n = 0; n < (size_t)call->images; n++) {
        const float *values = logits.data + n * logits.stride;
        const int label = call->labels[n], best = largest(values, call->classes);
        double sum = 0;

        for (int k = 0; k < call->classes; k++)
            sum += exp((double)values[k] - (double)values[best]);
        // cppcheck-suppress invalidFunctionArg ; the largest alone gives 1
        call->loss += (double)values[best] + log(sum) - (double)values[label];
        call->correct += best == label;
        for (int k = 0; dlogits.data != NULL && k < call->classes; k++) {
            double softmax = exp((double)values[k] - (double)values[best]) / sum;
            dlogits.data[n * dlogits.stride + (size_t)k] =
                (float)((softmax - (k == label)) * factor);
        }
    }
    return 0;
}
