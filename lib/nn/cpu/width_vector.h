/*
 * width_vector.h - template: a vector of W floats and what the kernels do with it. Included once
 * for each width by kernel_set.h, which defines W and V(name), the name with the width appended.
 */
#if W == 1

typedef float V(vector);
typedef int32_t V(mask); /* 0 or -1 where it is a condition, as comparing vectors gives */

static inline V(vector) V(relu)(V(vector) x)
{
    return x < 0 ? 0 : x; /* NaN stays, as in PyTorch */
}

/* g where x > 0, else 0. */
static inline V(vector) V(where_positive)(V(vector) x, V(vector) g)
{
    return x > 0 ? g : 0;
}

/* The greater; NaN if b is NaN, or a. */
static inline V(vector) V(maximum)(V(vector) a, V(vector) b)
{
    return b > a || b != b ? b : a;
}

/* g where the mask is set, else 0. */
static inline V(vector) V(keep)(V(mask) mask, V(vector) g)
{
    return mask ? g : 0;
}

static inline V(mask) V(equals)(V(mask) a, int b)
{
    return -(a == b);
}

static inline V(mask) V(choose)(V(mask) mask, V(mask) a, V(mask) b)
{
    return mask ? a : b;
}

static inline V(vector) V(select)(V(mask) mask, V(vector) a, V(vector) b)
{
    return mask ? a : b;
}

/* Where b wins over a: greater, or the first NaN. */
static inline V(mask) V(wins)(V(vector) a, V(vector) b)
{
    return -(!(b <= a) && a == a);
}

static inline float V(total)(V(vector) x)
{
    return x;
}

static inline float V(lane)(const V(vector) * x, int i)
{
    (void)i;
    return *x;
}

static inline void V(set_lane)(V(vector) * x, int i, float value)
{
    (void)i;
    *x = value;
}

#else

typedef float V(vector) __attribute__((vector_size(W * sizeof(float)), aligned(4), may_alias));
typedef int32_t V(mask) __attribute__((vector_size(W * sizeof(float)), aligned(4), may_alias));

static inline V(vector) V(relu)(V(vector) x)
{
    return (V(vector))((V(mask))x & ~(x < 0));
}

static inline V(vector) V(where_positive)(V(vector) x, V(vector) g)
{
    return (V(vector))((V(mask))g & (x > 0));
}

static inline V(vector) V(maximum)(V(vector) a, V(vector) b)
{
    V(mask) take = (b > a) | (b != b);
    return (V(vector))(((V(mask))b & take) | ((V(mask))a & ~take));
}

static inline V(vector) V(keep)(V(mask) mask, V(vector) g)
{
    return (V(vector))((V(mask))g & mask);
}

static inline V(mask) V(equals)(V(mask) a, int b)
{
    return a == b;
}

static inline V(mask) V(choose)(V(mask) mask, V(mask) a, V(mask) b)
{
    return (mask & a) | (~mask & b);
}

static inline V(vector) V(select)(V(mask) mask, V(vector) a, V(vector) b)
{
    return (V(vector))V(choose)(mask, (V(mask))a, (V(mask))b);
}

static inline V(mask) V(wins)(V(vector) a, V(vector) b)
{
    return ~(b <= a) & (a == a);
}

static inline float V(total)(V(vector) x)
{
    float sum = 0;
    for (int i = 0; i < W; i++)
        sum += x[i];
    return sum;
}

static inline float V(lane)(const V(vector) * x, int i)
{
    return (*x)[i];
}

static inline void V(set_lane)(V(vector) * x, int i, float value)
{
    (*x)[i] = value;
}

#endif

static inline V(vector) V(load)(const float *p)
{
    return *(const V(vector) *)p;
}

static inline void V(store)(float *p, V(vector) x)
{
    *(V(vector) *)p = x;
}

/* ---- Elements: fetch widens one, write rounds to it and gives what stands there now ---------- */

#if !BF16

/* Of an element that stays one. */
static inline void V(copy)(const element *from, bool relu, element *to)
{
    V(vector) x = V(load)(from);
    V(store)(to, relu ? V(relu)(x) : x);
}

static inline V(vector) V(fetch)(const element *p)
{
    return V(load)(p);
}

static inline V(vector) V(write)(element *p, V(vector) x)
{
    V(store)(p, x);
    return x;
}

#elif W == 1

static inline void V(copy)(const element *from, bool relu, element *to)
{
    *to = relu && (int16_t)*from <= BF16_NEGATIVE ? 0 : *from;
}

/* The units of two elements. */
static inline void V(pair)(const element *first, const element *second, unit *to)
{
    *to = *first | (unit)*second << 16;
}

static inline V(vector) V(fetch)(const element *p)
{
    return cpu_bf16_to_float(*p);
}

static inline V(vector) V(write)(element *p, V(vector) x)
{
    *p = cpu_bf16_from_float(x);
    return cpu_bf16_to_float(*p);
}

#else

typedef uint16_t V(half) __attribute__((vector_size(W * 2), aligned(2), may_alias));
typedef int16_t V(half_mask) __attribute__((vector_size(W * 2), aligned(2), may_alias));
typedef uint32_t V(bits) __attribute__((vector_size(W * 4), aligned(4), may_alias));

static inline void V(copy)(const element *from, bool relu, element *to)
{
    V(half) x = *(const V(half) *)from;

    if (relu)
        x &= (V(half))((V(half_mask))x > BF16_NEGATIVE);
    *(V(half) *)to = x;
}

static inline void V(pair)(const element *first, const element *second, unit *to)
{
    *(V(bits) *)to = __builtin_convertvector(*(const V(half) *)first, V(bits)) |
                     __builtin_convertvector(*(const V(half) *)second, V(bits)) << 16;
}

static inline V(vector) V(widen)(V(half) x)
{
    return (V(vector))(__builtin_convertvector(x, V(bits)) << 16);
}

static inline V(half) V(narrow)(V(vector) x)
{
#if defined(NARROW_16) && W == 16
    return (V(half))NARROW_16(x);
#elif defined(NARROW_16) && W == 8
    return (V(half))NARROW_8(x);
#else /* as cpu_bf16_from_float */
    const V(bits) bits = (V(bits))x, nearest = bits + 0x7fff + (bits >> 16 & 1);
    const V(bits) nan = (V(bits))(x != x);
    return __builtin_convertvector(((nearest & ~nan) | ((bits | 0x400000) & nan)) >> 16, V(half));
#endif
}

static inline V(vector) V(fetch)(const element *p)
{
    return V(widen)(*(const V(half) *)p);
}

static inline V(vector) V(write)(element *p, V(vector) x)
{
    const V(half) half = V(narrow)(x);

    *(V(half) *)p = half;
    return V(widen)(half);
}

#endif

/* y (+)= x */
static inline void V(put)(element *y, V(vector) x, bool add)
{
    if (add)
        x += V(fetch)(y);
    V(write)(y, x);
}
