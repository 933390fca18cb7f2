/*
 * logits.c - what every backend's loss does with logits on the host.
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
