/*
 * convolution.h - the arithmetic of the stand-in's cuDNN, as `ref` does it.
 */
#ifndef STAND_IN_CONVOLUTION_H
#define STAND_IN_CONVOLUTION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Tensors are bf16: x (images, height, width, channels), w (out_channels, kernel, channels),
 * y (images, out_height, out_width, out_channels). Pairs are of rows and columns. */
struct stand_in_convolution {
    int images, channels, height, width, out_channels, out_height, out_width;
    int kernel[2], stride[2], padding[2], dilation;
    uint16_t *x, *w, *y;
};

/* y = the convolution of x. */
void stand_in_convolution_forward(const struct stand_in_convolution *call);
/* x = the gradient of x where that of y is y. */
void stand_in_convolution_data(const struct stand_in_convolution *call);

#ifdef __cplusplus
}
#endif

#endif
