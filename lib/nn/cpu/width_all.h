/*
 * width_all.h - template: every kernel of width W.
 */
#include "nn/cpu/width_vector.h"
#include "nn/cpu/width_pointwise.h"
#include "nn/cpu/width_depthwise.h"
#include "nn/cpu/width_pooling.h"
#include "nn/cpu/width_head.h"
