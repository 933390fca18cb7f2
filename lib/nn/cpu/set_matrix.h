/*
 * set_matrix.h - template: products of matrices that lie in the nearest caches. Included once by
 * kernel_set.h.
 *
 * A panel is a matrix whose rows are whole vectors: columns rounded up to LANES, the last ones
 * undefined. What both functions are for is the 1x1 convolution of a run of pixels: a row for each
 * pixel, a column for each channel. Matrices to multiply are of units along what is summed over:
 * with bf16 a unit is two channels of a pixel in a product, two pixels' same channel in a
 * transposed one.
 */
#define W LANES

/* ---- Units ---------------------------------------------------------------------------------- */

#if BF16
typedef V(bits) units_vector;
#else
typedef V(vector) units_vector;
#endif

static inline units_vector load_units(const unit *p)
{
    return *(const units_vector *)p;
}

/* sum + the product of each of b with a. */
static inline V(vector) multiply_add(V(vector) sum, units_vector b, unit a)
{
#if !BF16
    return sum + b * a;
#elif defined(DOT)
    return (V(vector))DOT(sum, b, a);
#else
    const units_vector all = (units_vector){0} + a;
    return sum + (V(vector))(b << 16) * (V(vector))(all << 16) +
           (V(vector))(b & 0xffff0000) * (V(vector))(all & 0xffff0000);
#endif
}

/* ---- Products ------------------------------------------------------------------------------- */

/* Rows (of a product) or columns (of a transposed one) that are summed side by side. Times the
 * vectors of the other side, they fill the registers: 32 with AVX-512, 16 elsewhere. */
#define MATRIX_TILE    (LANES == 16 ? 8 : 4)
#define MATRIX_VECTORS 3

/* Where the inputs of a convolution's taps lie, from those of the first: k at each. */
struct taps {
    const size_t *offsets;
    int count;
    size_t k;
};

/* Pixels of a picture's rows: `count` rows of `rows` pixels, and the distances in both matrices. */
struct lines {
    int count, rows;
    size_t a_stride, b_stride, a_line, b_line;
};

/* How many of the vectors that are left are taken at a time: four are two and two. */
static inline int matrix_vectors(int left)
{
    return left == 4 ? 2 : left < MATRIX_VECTORS ? left : MATRIX_VECTORS;
}

/* c[R][N] = a[R][k] b[k][N], N being NV vectors. With few sums each is taken apart in two, for a
 * sum waits for the one before it. */
static inline __attribute__((always_inline)) void
V(product_tile)(const unit *a, size_t a_stride, const unit *b, size_t b_stride, float *c,
                size_t c_stride, size_t c_vector, const struct taps *taps, const int R,
                const int NV)
{
    const int sets = R * NV <= MATRIX_TILE ? 2 : 1;
    const size_t k = taps->k;
    V(vector) sum[2 * MATRIX_TILE * MATRIX_VECTORS];

    UNROLL(32)
    for (int n = 0; n < sets * R * NV; n++)
        sum[n] = (V(vector)){0};
    for (int tap = 0; tap < taps->count; tap++, b += k * b_stride) {
        const unit *from = a + taps->offsets[tap];
        size_t i = 0;
        for (; i + (size_t)sets <= k; i += (size_t)sets) {
            UNROLL(2)
            for (int s = 0; s < sets; s++) {
                units_vector row[MATRIX_VECTORS];
                UNROLL(3)
                for (int v = 0; v < NV; v++)
                    row[v] = load_units(b + (i + (size_t)s) * b_stride + v * LANES);
                UNROLL(16)
                for (int r = 0; r < R; r++)
                    UNROLL(3)
                for (int v = 0; v < NV; v++)
                    sum[(s * R + r) * NV + v] =
                        multiply_add(sum[(s * R + r) * NV + v], row[v],
                                     from[(size_t)r * a_stride + i + (size_t)s]);
            }
        }
        for (; i < k; i++)
            UNROLL(16)
        for (int r = 0; r < R; r++)
            UNROLL(3)
        for (int v = 0; v < NV; v++)
            sum[r * NV + v] =
                multiply_add(sum[r * NV + v], load_units(b + i * b_stride + v * LANES),
                             from[(size_t)r * a_stride + i]);
    }
    UNROLL(16)
    for (int r = 0; r < R; r++)
        UNROLL(3)
    for (int v = 0; v < NV; v++) {
        V(vector) x = sum[r * NV + v];
        if (sets == 2)
            x += sum[(R + r) * NV + v];
        V(store)(c + (size_t)r * c_stride + (size_t)v * c_vector, x);
    }
}

#define PRODUCT_ROWS(R, NV)                                                                        \
    for (; r + (R) <= rows; r += (R))                                                              \
        V(product_tile)                                                                            \
    (a + (size_t)r * a_stride, a_stride, b, b_stride, c + (size_t)r * c_stride, c_stride,          \
     c_vector, taps, R, NV)

static inline __attribute__((always_inline)) void
V(product_columns)(const unit *a, size_t a_stride, const unit *b, size_t b_stride, float *c,
                   size_t c_stride, size_t c_vector, int rows, const struct taps *taps,
                   const int NV)
{
    int r = 0;

    if (NV == 1)
        PRODUCT_ROWS(2 * MATRIX_TILE, NV);
    PRODUCT_ROWS(MATRIX_TILE, NV);
    PRODUCT_ROWS(2, NV);
    PRODUCT_ROWS(1, NV);
}

#undef PRODUCT_ROWS

/* c[rows][] = sum over taps of a[rows][k] b[k][]; b has `vectors` vectors a row, and those of c are
 * c_vector apart. */
static void product_anywhere(const unit *a, size_t a_stride, const unit *b, size_t b_stride,
                             float *c, size_t c_stride, size_t c_vector, int rows,
                             const struct taps *taps, int vectors)
{
    for (int v = 0, now; v < vectors; v += now, b += now * LANES, c += (size_t)now * c_vector) {
        now = matrix_vectors(vectors - v);
        if (now == 3)
            V(product_columns)(a, a_stride, b, b_stride, c, c_stride, c_vector, rows, taps, 3);
        else if (now == 2)
            V(product_columns)(a, a_stride, b, b_stride, c, c_stride, c_vector, rows, taps, 2);
        else
            V(product_columns)(a, a_stride, b, b_stride, c, c_stride, c_vector, rows, taps, 1);
    }
}

static void product_of_taps(const unit *a, size_t a_stride, const unit *b, size_t b_stride,
                            float *c, size_t c_stride, int rows, const struct taps *taps,
                            int vectors)
{
    product_anywhere(a, a_stride, b, b_stride, c, c_stride, LANES, rows, taps, vectors);
}

/* c[rows][] = a[rows][k] b[k][], a vector of columns in each plane. */
static void product_into_planes(const unit *a, size_t a_stride, const unit *b, size_t b_stride,
                                float *c, size_t c_stride, size_t plane, int rows, size_t k,
                                int vectors)
{
    static const size_t none[1] = {0};
    const struct taps one = {none, 1, k};

    product_anywhere(a, a_stride, b, b_stride, c, c_stride, plane, rows, &one, vectors);
}

/* c[rows][] = a[rows][k] b[k][] */
static void product(const unit *a, size_t a_stride, const unit *b, size_t b_stride, float *c,
                    size_t c_stride, int rows, size_t k, int vectors)
{
    product_into_planes(a, a_stride, b, b_stride, c, c_stride, LANES, rows, k, vectors);
}

/* c[R][N] += (a[rows][R])^T b[rows][N] over all lines. */
static inline __attribute__((always_inline)) void V(transposed_tile)(const struct lines *lines,
                                                                     const unit *a, const unit *b,
                                                                     float *c, size_t stride,
                                                                     const int R, const int NV)
{
    const size_t a_stride = lines->a_stride, b_stride = lines->b_stride;
    V(vector) sum[MATRIX_TILE * MATRIX_VECTORS];

    UNROLL(16)
    for (int r = 0; r < R; r++)
        UNROLL(3)
    for (int v = 0; v < NV; v++)
        sum[r * NV + v] = V(load)(c + (size_t)r * stride + v * LANES);
    for (int line = 0; line < lines->count; line++, a += lines->a_line, b += lines->b_line) {
        const unit *x = a, *z = b;
        for (int i = 0; i < lines->rows; i++, x += a_stride, z += b_stride) {
            units_vector row[MATRIX_VECTORS];
            UNROLL(3)
            for (int v = 0; v < NV; v++)
                row[v] = load_units(z + v * LANES);
            UNROLL(16)
            for (int r = 0; r < R; r++)
                UNROLL(3)
            for (int v = 0; v < NV; v++)
                sum[r * NV + v] = multiply_add(sum[r * NV + v], row[v], x[r]);
        }
    }
    UNROLL(16)
    for (int r = 0; r < R; r++)
        UNROLL(3)
    for (int v = 0; v < NV; v++)
        V(store)(c + (size_t)r * stride + v * LANES, sum[r * NV + v]);
}

#define TRANSPOSED_ROWS(R, NV)                                                                     \
    for (; r + (R) <= k; r += (R))                                                                 \
    V(transposed_tile)(lines, a + r, b, c + (size_t)r * stride, stride, R, NV)

static inline __attribute__((always_inline)) void
V(transposed_columns)(const struct lines *lines, const unit *a, const unit *b, float *c,
                      size_t stride, int k, const int NV)
{
    int r = 0;

    if (NV == 1)
        TRANSPOSED_ROWS(2 * MATRIX_TILE, NV);
    TRANSPOSED_ROWS(MATRIX_TILE, NV);
    if (NV == 3)
        TRANSPOSED_ROWS(3, NV);
    TRANSPOSED_ROWS(2, NV);
    TRANSPOSED_ROWS(1, NV);
}

#undef TRANSPOSED_ROWS

/* c[k][] += (a[rows][k])^T b[rows][] over all lines, b and c of so many vectors a row. */
static void transposed_lines(const struct lines *lines, const unit *a, const unit *b, float *c,
                             int k, int vectors)
{
    const size_t stride = (size_t)vectors * LANES;

    for (int v = 0, now; v < vectors; v += now, b += now * LANES, c += now * LANES) {
        now = matrix_vectors(vectors - v);
        if (now == 3)
            V(transposed_columns)(lines, a, b, c, stride, k, 3);
        else if (now == 2)
            V(transposed_columns)(lines, a, b, c, stride, k, 2);
        else
            V(transposed_columns)(lines, a, b, c, stride, k, 1);
    }
}

/* c[k][] += (a[rows][k])^T b[rows][], b a panel. */
static void transposed_product(const unit *a, size_t a_stride, const unit *b, float *c, int rows,
                               int k, int vectors)
{
    const struct lines one = {1, rows, a_stride, (size_t)vectors * LANES, 0, 0};

    transposed_lines(&one, a, b, c, k, vectors);
}

#undef W
