/*
 * set_matrix.h - template: products of matrices that lie in the nearest caches. Included once by
 * kernel_set.h.
 *
 * A panel is a matrix whose rows are whole vectors: columns rounded up to LANES, the last ones
 * undefined. What both functions are for is the 1x1 convolution of a run of pixels: a row for each
 * pixel, a column for each channel.
 */
#define W LANES

/* Rows (of a product) or columns (of a transposed one) that are summed side by side. Times the
 * vectors of the other side, they fill the registers: 32 with AVX-512, 16 elsewhere. */
#define MATRIX_TILE    (LANES == 16 ? 8 : 4)
#define MATRIX_VECTORS 3

/* How many of the vectors that are left are taken at a time: four are two and two. */
static inline int matrix_vectors(int left)
{
    return left == 4 ? 2 : left < MATRIX_VECTORS ? left : MATRIX_VECTORS;
}

/* c[R][N] = a[R][k] b[k][N], N being NV vectors. With few sums each is taken apart in two, for a
 * sum waits for the one before it. */
static inline __attribute__((always_inline)) void
V(product_tile)(const float *a, size_t a_stride, const float *b, size_t b_stride, float *c,
                size_t c_stride, size_t k, const int R, const int NV)
{
    const int sets = R * NV <= MATRIX_TILE ? 2 : 1;
    V(vector) sum[2 * MATRIX_TILE * MATRIX_VECTORS];
    size_t i = 0;

#pragma GCC unroll 32
    for (int n = 0; n < sets * R * NV; n++)
        sum[n] = (V(vector)){0};
    for (; i + (size_t)sets <= k; i += (size_t)sets) {
#pragma GCC unroll 2
        for (int s = 0; s < sets; s++) {
            V(vector) row[MATRIX_VECTORS];
#pragma GCC unroll 3
            for (int v = 0; v < NV; v++)
                row[v] = V(load)(b + (i + (size_t)s) * b_stride + v * LANES);
#pragma GCC unroll 8
            for (int r = 0; r < R; r++)
#pragma GCC unroll 3
                for (int v = 0; v < NV; v++)
                    sum[(s * R + r) * NV + v] += row[v] * a[(size_t)r * a_stride + i + (size_t)s];
        }
    }
    for (; i < k; i++)
#pragma GCC unroll 8
        for (int r = 0; r < R; r++)
#pragma GCC unroll 3
            for (int v = 0; v < NV; v++)
                sum[r * NV + v] +=
                    V(load)(b + i * b_stride + v * LANES) * a[(size_t)r * a_stride + i];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 3
        for (int v = 0; v < NV; v++) {
            V(vector) x = sum[r * NV + v];
            if (sets == 2)
                x += sum[(R + r) * NV + v];
            V(store)(c + (size_t)r * c_stride + v * LANES, x);
        }
}

#define PRODUCT_ROWS(R, NV)                                                                        \
    for (; r + (R) <= rows; r += (R))                                                              \
        V(product_tile)                                                                            \
    (a + (size_t)r * a_stride, a_stride, b, b_stride, c + (size_t)r * c_stride, c_stride, k, R, NV)

static inline __attribute__((always_inline)) void
V(product_columns)(const float *a, size_t a_stride, const float *b, size_t b_stride, float *c,
                   size_t c_stride, int rows, size_t k, const int NV)
{
    int r = 0;

    PRODUCT_ROWS(MATRIX_TILE, NV);
    PRODUCT_ROWS(2, NV);
    PRODUCT_ROWS(1, NV);
}

#undef PRODUCT_ROWS

/* c[rows][] = a[rows][k] b[k][], b and c of so many vectors a row. */
static void product(const float *a, size_t a_stride, const float *b, size_t b_stride, float *c,
                    size_t c_stride, int rows, size_t k, int vectors)
{
    for (int v = 0, now; v < vectors; v += now, b += now * LANES, c += now * LANES) {
        now = matrix_vectors(vectors - v);
        if (now == 3)
            V(product_columns)(a, a_stride, b, b_stride, c, c_stride, rows, k, 3);
        else if (now == 2)
            V(product_columns)(a, a_stride, b, b_stride, c, c_stride, rows, k, 2);
        else
            V(product_columns)(a, a_stride, b, b_stride, c, c_stride, rows, k, 1);
    }
}

/* c[R][N] += (a[rows][R])^T b[rows][N] */
static inline __attribute__((always_inline)) void
V(transposed_tile)(const float *a, size_t a_stride, const float *b, float *c, size_t stride,
                   int rows, const int R, const int NV)
{
    V(vector) sum[MATRIX_TILE * MATRIX_VECTORS];

#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 3
        for (int v = 0; v < NV; v++)
            sum[r * NV + v] = V(load)(c + (size_t)r * stride + v * LANES);
    for (int i = 0; i < rows; i++, a += a_stride, b += stride) {
        V(vector) row[MATRIX_VECTORS];
#pragma GCC unroll 3
        for (int v = 0; v < NV; v++)
            row[v] = V(load)(b + v * LANES);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++)
#pragma GCC unroll 3
            for (int v = 0; v < NV; v++)
                sum[r * NV + v] += row[v] * a[r];
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 3
        for (int v = 0; v < NV; v++)
            V(store)(c + (size_t)r * stride + v * LANES, sum[r * NV + v]);
}

#define TRANSPOSED_ROWS(R, NV)                                                                     \
    for (; r + (R) <= k; r += (R))                                                                 \
    V(transposed_tile)(a + r, a_stride, b, c + (size_t)r * stride, stride, rows, R, NV)

static inline __attribute__((always_inline)) void
V(transposed_columns)(const float *a, size_t a_stride, const float *b, float *c, size_t stride,
                      int rows, int k, const int NV)
{
    int r = 0;

    if (NV == 1)
        TRANSPOSED_ROWS(2 * MATRIX_TILE, NV);
    TRANSPOSED_ROWS(MATRIX_TILE, NV);
    TRANSPOSED_ROWS(2, NV);
    TRANSPOSED_ROWS(1, NV);
}

#undef TRANSPOSED_ROWS

/* c[k][] += (a[rows][k])^T b[rows][]: a with any stride, b and c panels of so many vectors. */
static void transposed_product(const float *a, size_t a_stride, const float *b, float *c, int rows,
                               int k, int vectors)
{
    const size_t stride = (size_t)vectors * LANES;

    for (int v = 0, now; v < vectors; v += now, b += now * LANES, c += now * LANES) {
        now = matrix_vectors(vectors - v);
        if (now == 3)
            V(transposed_columns)(a, a_stride, b, c, stride, rows, k, 3);
        else if (now == 2)
            V(transposed_columns)(a, a_stride, b, c, stride, rows, k, 2);
        else
            V(transposed_columns)(a, a_stride, b, c, stride, rows, k, 1);
    }
}

#undef W
