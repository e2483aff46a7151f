/* The kernels that run between the convolutions of a frozen network; see protocol.py for what each
 * does and compiled.py for how it is called. Plain C11 that compilers vectorize (GCC and Clang),
 * compiled once for each level of the processor with its own VARIANT; it needs no PyTorch, no
 * Python and no OpenMP to build. Little-endian machines only.
 *
 * A map is (rows, channels): rows are pixels, in the order picture, y, x. Its values are float
 * (half = 0) or the upper half of a float, bfloat16 (half = 1); `half` is a constant wherever it
 * matters, because the functions that take it are inlined. A mask has (channels + 7) / 8 bytes for
 * each row and SLACK bytes at the end, bit c % 8 of byte c / 8 for channel c.
 *
 * Every value of a result is written by one thread, in an order that depends on nothing else, so
 * results do not depend on the number of threads.
 */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX512BW__
#include <immintrin.h>
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "masks are read as little-endian words"
#endif

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define EXPORT(name) __attribute__((visibility("default"))) void JOIN(name, VARIANT)
#define INLINE static inline __attribute__((always_inline))
#define SIMD _Pragma("omp simd")

enum { NOBODY = 255, MOST_TAPS = 255, WORD = 32, SOME = 128, LINE = 1024 };

/* ---------------------------------------------------------------- threads */

typedef void (*Body)(void *job, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t thread);
typedef struct {
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned); /* GOMP_parallel, or null */
    int (*thread)(void);                                            /* omp_get_thread_num */
    int (*count)(void);                                             /* omp_get_num_threads */
    ptrdiff_t threads;                                                   /* at most so many */
} Team;
typedef struct {
    Body body;
    void *job;
    ptrdiff_t units;
    const Team *team;
} Work;

static void share(void *of) {
    const Work *work = of;
    ptrdiff_t thread = work->team->thread(), count = work->team->count();
    ptrdiff_t begin = work->units * thread / count, end = work->units * (thread + 1) / count;
    if (begin < end) work->body(work->job, begin, end, thread);
}

/* Run a body over units, cut into one range for each thread of the runtime that PyTorch uses. */
static void run(const Team *team, Body body, void *job, ptrdiff_t units) {
    Work work = {body, job, units, team};
    ptrdiff_t threads = team->threads < units ? team->threads : units;
    if (!team->parallel || threads < 2)
        body(job, 0, units, 0);
    else
        team->parallel(share, &work, (unsigned)threads, 0);
}

/* ---------------------------------------------------------------- values */

INLINE ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
INLINE ptrdiff_t most(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
INLINE ptrdiff_t width(int half) { return half ? 2 : 4; }

INLINE float widened(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, 4);
    return value;
}

/* Round to the nearest, ties to even; NaN stays NaN. */
INLINE uint16_t narrowed(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
}

INLINE float get(const void *from, ptrdiff_t i, int half) {
    return half ? widened(((const uint16_t *)from)[i]) : ((const float *)from)[i];
}

INLINE void put(void *to, ptrdiff_t i, float value, int half) {
    if (half)
        ((uint16_t *)to)[i] = narrowed(value);
    else
        ((float *)to)[i] = value;
}

/* The same for sums of bfloat16 values, whose NaN survives the plain arithmetic. */
INLINE void put_sum(void *to, ptrdiff_t i, float sum, int half) {
    uint32_t bits;
    memcpy(&bits, &sum, 4);
    if (half)
        ((uint16_t *)to)[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    else
        ((float *)to)[i] = sum;
}

INLINE char *at(const void *map, ptrdiff_t i, int half) { return (char *)map + i * width(half); }

/* ---------------------------------------------------------------- masks */

INLINE ptrdiff_t mask_bytes(ptrdiff_t channels) { return (channels + 7) / 8; }

/* One bit for each of 8 bytes that are 0 or 1. */
INLINE uint8_t gathered(const uint8_t *flags) {
    uint64_t eight;
    memcpy(&eight, flags, 8);
    return (uint8_t)(eight * 0x0102040810204080ull >> 56);
}

/* The largest bf16, as its bits, that is below a limit; NaN is no limit. */
INLINE int16_t most_below(float limit) {
    uint32_t bits;
    memcpy(&bits, &limit, 4);
    return limit != limit ? INT16_MAX : (int16_t)((bits >> 16) - 1);
}

/* Write which of n values are > 0 and below a limit, NaN for none. */
INLINE void pack(const void *values, uint8_t *mask, ptrdiff_t n, int half, float limit) {
    uint8_t open[8 * WORD];
    int16_t most = most_below(limit);
    ptrdiff_t i = 0;
#ifdef __AVX512BW__ /* compares to bits at once, twice as fast as what follows */
    for (; i + WORD <= n; i += WORD) {
        uint32_t word;
        if (half) {
            __m512i v = _mm512_loadu_si512((const int16_t *)values + i);
            word = _mm512_cmpgt_epi16_mask(v, _mm512_setzero_si512()) &
                   _mm512_cmple_epi16_mask(v, _mm512_set1_epi16(most));
        } else {
            const float *v = (const float *)values + i;
            __m512 low = _mm512_loadu_ps(v), high = _mm512_loadu_ps(v + 16);
            __m512 zero = _mm512_setzero_ps(), top = _mm512_set1_ps(limit);
            word = (_mm512_cmp_ps_mask(low, zero, _CMP_GT_OQ) & _mm512_cmp_ps_mask(low, top, _CMP_NGE_UQ)) |
                   (uint32_t)(_mm512_cmp_ps_mask(high, zero, _CMP_GT_OQ) &
                              _mm512_cmp_ps_mask(high, top, _CMP_NGE_UQ))
                       << 16;
        }
        memcpy(mask + i / 8, &word, 4);
    }
#endif
    for (; i < n; i += 8 * WORD) {
        ptrdiff_t some = least(n - i, 8 * WORD);
        if (some < 8 * WORD) memset(open, 0, sizeof open);
        if (half) {
            const int16_t *v = (const int16_t *)values + i;
            SIMD for (ptrdiff_t j = 0; j < some; j++) open[j] = (v[j] > 0) & (v[j] <= most);
        } else {
            const float *v = (const float *)values + i;
            SIMD for (ptrdiff_t j = 0; j < some; j++) open[j] = (v[j] > 0) & !(v[j] >= limit);
        }
        for (ptrdiff_t j = 0; j < (some + 7) / 8; j++) mask[i / 8 + j] = gathered(open + 8 * j);
    }
}

/* Copy n values, 0 where the mask, from one of its bits on, is closed. */
INLINE void clear(const void *from, void *to, const uint8_t *mask, ptrdiff_t bit, ptrdiff_t n, int half) {
    for (ptrdiff_t i = 0; i < n; i += WORD) {
        ptrdiff_t some = least(n - i, WORD);
        uint64_t word;
        memcpy(&word, mask + (bit + i) / 8, 8);
        uint32_t bits = (uint32_t)(word >> (bit + i) % 8);
        if (half) {
            const uint16_t *f = (const uint16_t *)from + i;
            uint16_t *t = (uint16_t *)to + i;
            if (some == WORD)
                SIMD for (int j = 0; j < WORD; j++) t[j] = bits >> j & 1 ? f[j] : 0;
            else
                for (int j = 0; j < some; j++) t[j] = bits >> j & 1 ? f[j] : 0;
        } else {
            const uint32_t *f = (const uint32_t *)from + i;
            uint32_t *t = (uint32_t *)to + i;
            if (some == WORD)
                SIMD for (int j = 0; j < WORD; j++) t[j] = bits >> j & 1 ? f[j] : 0;
            else
                for (int j = 0; j < some; j++) t[j] = bits >> j & 1 ? f[j] : 0;
        }
    }
}

typedef struct {
    const void *from;
    void *to;
    uint8_t *mask;
    ptrdiff_t channels;
    int half;
    float limit; /* of an open value; NaN for none */
} Masking;

INLINE void pack_rows(const Masking *m, ptrdiff_t begin, ptrdiff_t end, int half) {
    for (ptrdiff_t row = begin; row < end; row++)
        pack(at(m->from, row * m->channels, half), m->mask + row * mask_bytes(m->channels),
             m->channels, half, m->limit);
}

static void positive_body(void *job, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t thread) {
    const Masking *m = job;
    (void)thread;
    if (m->half)
        pack_rows(m, begin, end, 1);
    else
        pack_rows(m, begin, end, 0);
}

EXPORT(positive)(const Team *team, int half, const void *map, uint8_t *mask, ptrdiff_t rows,
                 ptrdiff_t channels, float limit) {
    Masking job = {map, 0, mask, channels, half, limit};
    run(team, positive_body, &job, rows);
}

INLINE void clear_rows(const Masking *m, ptrdiff_t begin, ptrdiff_t end, int half) {
    for (ptrdiff_t row = begin; row < end; row++)
        clear(at(m->from, row * m->channels, half), at(m->to, row * m->channels, half),
              m->mask + row * mask_bytes(m->channels), 0, m->channels, half);
}

static void masked_body(void *job, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t thread) {
    const Masking *m = job;
    (void)thread;
    if (m->half)
        clear_rows(m, begin, end, 1);
    else
        clear_rows(m, begin, end, 0);
}

EXPORT(masked)(const Team *team, int half, void *map, uint8_t *mask, ptrdiff_t rows, ptrdiff_t channels) {
    Masking job = {map, map, mask, channels, half, NAN};
    run(team, masked_body, &job, rows);
}

/* Cut off what is negative, and what is above a limit, in place. NaN stays: it is neither. */
INLINE void cut_off(void *values, ptrdiff_t n, int half, float limit) {
    uint32_t bits;
    memcpy(&bits, &limit, 4);
    uint16_t top = (uint16_t)(bits >> 16);
    SIMD for (ptrdiff_t i = 0; i < n; i++) {
        float value = get(values, i, half);
        if (half)
            ((uint16_t *)values)[i] = value < 0 ? 0 : value > limit ? top : ((uint16_t *)values)[i];
        else
            ((float *)values)[i] = value < 0 ? 0 : value > limit ? limit : value;
    }
}

INLINE void relu_rows(const Masking *m, ptrdiff_t begin, ptrdiff_t end, int half) {
    for (ptrdiff_t row = begin; row < end; row++) {
        void *values = at(m->to, row * m->channels, half);
        cut_off(values, m->channels, half, m->limit);
        pack(values, m->mask + row * mask_bytes(m->channels), m->channels, half, m->limit);
    }
}

static void relu_body(void *job, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t thread) {
    const Masking *m = job;
    (void)thread;
    if (m->half)
        relu_rows(m, begin, end, 1);
    else
        relu_rows(m, begin, end, 0);
}

EXPORT(relu_positive)(const Team *team, int half, void *map, uint8_t *mask, ptrdiff_t rows,
                      ptrdiff_t channels, float limit) {
    Masking job = {map, map, mask, channels, half, limit};
    run(team, relu_body, &job, rows);
}

/* ---------------------------------------------------------------- parts of the channels */

typedef struct {
    void *whole;
    void **parts;
    const ptrdiff_t *sizes;
    uint8_t *mask;
    ptrdiff_t count, channels;
    int half;
} Parts;

INLINE void join_rows(const Parts *p, ptrdiff_t begin, ptrdiff_t end, int half) {
    for (ptrdiff_t row = begin; row < end; row++) {
        char *whole = at(p->whole, row * p->channels, half);
        for (ptrdiff_t part = 0, first = 0; part < p->count; first += p->sizes[part++])
            memcpy(at(whole, first, half), at(p->parts[part], row * p->sizes[part], half),
                   (size_t)(p->sizes[part] * width(half)));
        if (p->mask) pack(whole, p->mask + row * mask_bytes(p->channels), p->channels, half, NAN);
    }
}

static void concat_body(void *job, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t thread) {
    const Parts *p = job;
    (void)thread;
    if (p->half)
        join_rows(p, begin, end, 1);
    else
        join_rows(p, begin, end, 0);
}

EXPORT(concat)(const Team *team, int half, void *whole, void **parts, const ptrdiff_t *sizes,
               uint8_t *mask, ptrdiff_t rows, ptrdiff_t count, ptrdiff_t channels) {
    Parts job = {whole, parts, sizes, mask, count, channels, half};
    run(team, concat_body, &job, rows);
}

INLINE void cut_rows(const Parts *p, ptrdiff_t begin, ptrdiff_t end, int half) {
    for (ptrdiff_t row = begin; row < end; row++) {
        char *whole = at(p->whole, row * p->channels, half);
        for (ptrdiff_t part = 0, first = 0; part < p->count; first += p->sizes[part++]) {
            char *to = at(p->parts[part], row * p->sizes[part], half);
            const char *from = at(whole, first, half);
            if (p->mask)
                clear(from, to, p->mask + row * mask_bytes(p->channels), first, p->sizes[part],
                      half);
            else
                memcpy(to, from, (size_t)(p->sizes[part] * width(half)));
        }
    }
}

static void split_body(void *job, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t thread) {
    const Parts *p = job;
    (void)thread;
    if (p->half)
        cut_rows(p, begin, end, 1);
    else
        cut_rows(p, begin, end, 0);
}

EXPORT(split)(const Team *team, int half, void *whole, void **parts, const ptrdiff_t *sizes,
              uint8_t *mask, ptrdiff_t rows, ptrdiff_t count, ptrdiff_t channels) {
    Parts job = {whole, parts, sizes, mask, count, channels, half};
    run(team, split_body, &job, rows);
}

/* ---------------------------------------------------------------- pools */

typedef struct {
    const void *x; /* the map, or the gradient of what was pooled */
    void *y;       /* what was pooled, or the map's gradient */
    uint8_t *winners;
    const void *add;
    const void *times;                         /* the map that an average's gradient is multiplied by */
    char *scratch;                             /* scratch_bytes for each thread */
    const float *row_share, *column_share;     /* of an average, for each output */
    ptrdiff_t pictures, channels, height, width;    /* of the map */
    ptrdiff_t high, wide;                           /* of what was pooled */
    ptrdiff_t kernel[2], stride[2], padding[2];
    ptrdiff_t scratch_bytes, block;                 /* block: outputs of a row at a time */
    float quiet;                                    /* of energy: added to the mean square */
    int closed, half, squares, half_times;
} Pool;

/* The first and last + 1 position of the window at an output that are inside the map. */
INLINE void inside(const Pool *p, int axis, ptrdiff_t output, ptrdiff_t length, ptrdiff_t *first, ptrdiff_t *last) {
    ptrdiff_t start = output * p->stride[axis] - p->padding[axis];
    *first = most(0, -start);
    *last = least(p->kernel[axis], length - start);
}

/* The outputs, first and last + 1, whose windows hold a pixel. */
INLINE void holders(const Pool *p, int axis, ptrdiff_t pixel, ptrdiff_t outputs, ptrdiff_t *first, ptrdiff_t *last) {
    ptrdiff_t stride = p->stride[axis], reach = pixel + p->padding[axis];
    *first = reach < p->kernel[axis] ? 0 : (reach - p->kernel[axis]) / stride + 1;
    *last = least(outputs, reach / stride + 1);
}

/* Step from the holders of the columns before x to those of x, without dividing. */
INLINE void forward(const Pool *p, ptrdiff_t x, ptrdiff_t *first, ptrdiff_t *last) {
    ptrdiff_t stride = p->stride[1], reach = x + p->padding[1];
    while (*first * stride + p->kernel[1] <= reach) ++*first;
    while (*last < p->wide && *last * stride <= reach) ++*last;
}

/* Floats sort like these whole numbers: NaN is the largest, -0 is 0. After a ReLU nothing is
 * negative, whatever the sign of a zero or a NaN says. */
INLINE int32_t key(const void *x, ptrdiff_t i, int half, int closed) {
    if (half) {
        int16_t bits = ((const int16_t *)x)[i], sign = (int16_t)(bits >> 15);
        int16_t size = bits & 0x7fff, sorted = (int16_t)((size ^ sign) - sign);
        return closed ? size : size > 0x7f80 ? 0x7fff : sorted;
    }
    int32_t bits = ((const int32_t *)x)[i], sign = bits >> 31, size = bits & 0x7fffffff;
    return closed ? size : size > 0x7f800000 ? 0x7fffffff : (size ^ sign) - sign;
}

INLINE void unkey(void *y, ptrdiff_t i, int32_t key, int half, int closed) {
    if (half) {
        int16_t k = (int16_t)key;
        ((int16_t *)y)[i] = !closed && k < 0 ? (int16_t)(-k | 0x8000) : k;
    } else {
        ((int32_t *)y)[i] = !closed && key < 0 ? (int32_t)((uint32_t)-key | 0x80000000u) : key;
    }
}

/* The pixels of a window that are inside the map, or the windows that hold a pixel, and which
 * position of the window each is. */
typedef struct {
    const void *maps[MOST_TAPS];
    const uint8_t *winners[MOST_TAPS];
    int codes[MOST_TAPS];
    int count;
} Taps;

/* The largest of n values of each tap, and the first tap that has it. Keys and codes are as wide as
 * the values, because vectors of one width are several times as fast as mixed ones. */
#define LARGEST(NAME, INT, HALF)                                                                   \
    INLINE void NAME##_put(void *y, uint8_t *winners, ptrdiff_t i, INT top, INT code,              \
                           int closed) {                                                           \
        unkey(y, i, top, HALF, closed);                                                            \
        winners[i] = (uint8_t)(closed && top == 0 ? NOBODY : code);                                \
    }                                                                                              \
    INLINE void NAME##_of(const Taps *taps, int count, void *y, uint8_t *winners, ptrdiff_t n,     \
                          int closed) {                                                            \
        SIMD for (ptrdiff_t i = 0; i < n; i++) {                                                   \
            INT top = (INT)key(taps->maps[0], i, HALF, closed), code = (INT)taps->codes[0];        \
            for (int tap = 1; tap < count; tap++) {                                                \
                INT k = (INT)key(taps->maps[tap], i, HALF, closed);                                \
                code = k > top ? (INT)taps->codes[tap] : code;                                     \
                top = k > top ? k : top;                                                           \
            }                                                                                      \
            NAME##_put(y, winners, i, top, code, closed);                                          \
        }                                                                                          \
    }                                                                                              \
    INLINE void NAME##_of_any(const Taps *taps, void *y, uint8_t *winners, ptrdiff_t n,            \
                              int closed) {                                                        \
        INT tops[SOME], codes[SOME];                                                               \
        for (ptrdiff_t begin = 0; begin < n; begin += SOME) {                                      \
            ptrdiff_t some = least(n - begin, SOME);                                               \
            for (int tap = 0; tap < taps->count; tap++) {                                          \
                const char *map = at(taps->maps[tap], begin, HALF);                                \
                INT own = (INT)taps->codes[tap];                                                   \
                SIMD for (ptrdiff_t i = 0; i < some; i++) {                                        \
                    INT k = (INT)key(map, i, HALF, closed);                                        \
                    int wins = tap == 0 || k > tops[i];                                            \
                    codes[i] = wins ? own : codes[i];                                              \
                    tops[i] = wins ? k : tops[i];                                                  \
                }                                                                                  \
            }                                                                                      \
            char *to = at(y, begin, HALF);                                                         \
            SIMD for (ptrdiff_t i = 0; i < some; i++)                                              \
                NAME##_put(to, winners + begin, i, tops[i], codes[i], closed);                     \
        }                                                                                          \
    }                                                                                              \
    INLINE void NAME##_largest(const Taps *taps, void *y, uint8_t *winners, ptrdiff_t n,           \
                               int closed) {                                                       \
        switch (taps->count) {                                                                     \
        case 4: NAME##_of(taps, 4, y, winners, n, closed); break;                                  \
        case 9: NAME##_of(taps, 9, y, winners, n, closed); break;                                  \
        default: NAME##_of_any(taps, y, winners, n, closed);                                       \
        }                                                                                          \
    }
LARGEST(half, int16_t, 1)
LARGEST(full, int32_t, 0)

/* Output rows, counted through all pictures. */
INLINE void max_rows(const Pool *p, ptrdiff_t begin, ptrdiff_t end, int half, int closed) {
    Taps taps;
    for (ptrdiff_t out = begin; out < end; out++) {
        ptrdiff_t y0, y1, x0, x1, top = out % p->high * p->stride[0] - p->padding[0];
        const char *map =
            at(p->x, out / p->high * p->height * p->width * p->channels, half);
        inside(p, 0, out % p->high, p->height, &y0, &y1);
        for (ptrdiff_t ox = 0, run; ox < p->wide; ox += run) {
            ptrdiff_t left = ox * p->stride[1] - p->padding[1];
            inside(p, 1, ox, p->width, &x0, &x1);
            /* With a stride of 1, windows that are all inside follow each other. */
            run = 1;
            if (p->stride[1] == 1 && x0 == 0 && x1 == p->kernel[1])
                run = least(p->wide - ox, p->width - p->kernel[1] - left + 1);
            taps.count = 0;
            for (ptrdiff_t ky = y0; ky < y1; ky++)
                for (ptrdiff_t kx = x0; kx < x1; kx++) {
                    taps.maps[taps.count] =
                        at(map, ((top + ky) * p->width + left + kx) * p->channels, half);
                    taps.codes[taps.count++] = (int)(ky * p->kernel[1] + kx);
                }
            ptrdiff_t to = (out * p->wide + ox) * p->channels, n = run * p->channels;
            if (half)
                half_largest(&taps, at(p->y, to, half), p->winners + to, n, closed);
            else
                full_largest(&taps, at(p->y, to, half), p->winners + to, n, closed);
        }
    }
}

static void max_pool_body(void *job, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t thread) {
    const Pool *p = job;
    (void)thread;
    if (p->half && p->closed)
        max_rows(p, begin, end, 1, 1);
    else if (p->half)
        max_rows(p, begin, end, 1, 0);
    else if (p->closed)
        max_rows(p, begin, end, 0, 1);
    else
        max_rows(p, begin, end, 0, 0);
}

EXPORT(max_pool)(const Team *team, const Pool *pool) {
    run(team, max_pool_body, (void *)pool, pool->pictures * pool->high);
}

/* What a pixel's channels get from the windows that they won. */
INLINE void collect(const Taps *taps, int count, const void *add, void *to, ptrdiff_t n,
                    int half) {
    SIMD for (ptrdiff_t i = 0; i < n; i++) {
        float sum = add ? get(add, i, half) : 0;
        for (int tap = 0; tap < count; tap++) {
            if (half) { /* chosen in narrow vectors */
                uint16_t winner = taps->winners[tap][i];
                uint16_t gradient = ((const uint16_t *)taps->maps[tap])[i];
                sum += widened(winner == (uint16_t)taps->codes[tap] ? gradient : 0);
            } else {
                int32_t winner = taps->winners[tap][i];
                float gradient = ((const float *)taps->maps[tap])[i];
                sum += winner == taps->codes[tap] ? gradient : 0;
            }
        }
        put_sum(to, i, sum, half);
    }
}

INLINE void collect_any(const Taps *taps, const void *add, void *to, ptrdiff_t n, int half) {
    float sums[SOME];
    for (ptrdiff_t begin = 0; begin < n; begin += SOME) {
        ptrdiff_t some = least(n - begin, SOME);
        if (add)
            SIMD for (ptrdiff_t i = 0; i < some; i++) sums[i] = get(add, begin + i, half);
        else
            memset(sums, 0, sizeof sums);
        for (int tap = 0; tap < taps->count; tap++) {
            const char *gradients = at(taps->maps[tap], begin, half);
            const uint8_t *winners = taps->winners[tap] + begin;
            int32_t code = taps->codes[tap];
            SIMD for (ptrdiff_t i = 0; i < some; i++) {
                int32_t winner = winners[i];
                float gradient = get(gradients, i, half);
                sums[i] += winner == code ? gradient : 0;
            }
        }
        SIMD for (ptrdiff_t i = 0; i < some; i++) put_sum(to, begin + i, sums[i], half);
    }
}

INLINE void collect_all(const Taps *taps, const void *add, void *to, ptrdiff_t n, int half) {
    switch (taps->count) {
    case 1: collect(taps, 1, add, to, n, half); break;
    case 2: collect(taps, 2, add, to, n, half); break;
    case 4: collect(taps, 4, add, to, n, half); break;
    case 9: collect(taps, 9, add, to, n, half); break;
    default: collect_any(taps, add, to, n, half);
    }
}

/* Rows of the map, counted through all pictures. */
INLINE void max_back_rows(const Pool *p, ptrdiff_t begin, ptrdiff_t end, int half, int has_add) {
    Taps taps;
    for (ptrdiff_t row = begin; row < end; row++) {
        ptrdiff_t picture = row / p->height, y = row % p->height, y0, y1, x0 = 0, x1 = 0;
        holders(p, 0, y, p->high, &y0, &y1);
        for (ptrdiff_t x = 0, run; x < p->width; x += run) {
            forward(p, x, &x0, &x1);
            /* With a stride of 1, pixels that all their windows hold follow each other. */
            run = 1;
            if (p->stride[1] == 1 && x1 - x0 == p->kernel[1])
                run = p->wide - x1 + 1;
            taps.count = 0;
            for (ptrdiff_t oy = y0; oy < y1; oy++)
                for (ptrdiff_t ox = x0; ox < x1; ox++) {
                    ptrdiff_t from = ((picture * p->high + oy) * p->wide + ox) * p->channels;
                    ptrdiff_t ky = y + p->padding[0] - oy * p->stride[0];
                    ptrdiff_t kx = x + p->padding[1] - ox * p->stride[1];
                    taps.maps[taps.count] = at(p->x, from, half);
                    taps.winners[taps.count] = p->winners + from;
                    taps.codes[taps.count++] = (int)(ky * p->kernel[1] + kx);
                }
            ptrdiff_t to = (row * p->width + x) * p->channels;
            collect_all(&taps, has_add ? at(p->add, to, half) : 0, at(p->y, to, half),
                        run * p->channels, half);
        }
    }
}

static void max_back_body(void *job, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t thread) {
    const Pool *p = job;
    (void)thread;
    if (p->half && p->add)
        max_back_rows(p, begin, end, 1, 1);
    else if (p->half)
        max_back_rows(p, begin, end, 1, 0);
    else if (p->add)
        max_back_rows(p, begin, end, 0, 1);
    else
        max_back_rows(p, begin, end, 0, 0);
}

EXPORT(max_pool_backward)(const Team *team, const Pool *pool) {
    run(team, max_back_body, (void *)pool, pool->pictures * pool->height);
}

INLINE float part(const void *x, ptrdiff_t i, int half, int squares) {
    float value = get(x, i, half);
    return squares ? value * value : value;
}

/* Sum of taps or their squares, `step` values apart, times a share. */
INLINE void average(const void *x, ptrdiff_t step, ptrdiff_t taps, float share, float *to, ptrdiff_t n,
                    int half, int squares) {
    if (taps == 4) {
        const char *x1 = at(x, step, half), *x2 = at(x, 2 * step, half), *x3 = at(x, 3 * step, half);
        SIMD for (ptrdiff_t i = 0; i < n; i++) to[i] = share *
            (part(x, i, half, squares) + part(x1, i, half, squares) + part(x2, i, half, squares) +
             part(x3, i, half, squares));
        return;
    }
    SIMD for (ptrdiff_t i = 0; i < n; i++) to[i] = share * part(x, i, half, squares);
    for (ptrdiff_t tap = 1; tap < taps; tap++) {
        const char *next = at(x, tap * step, half);
        SIMD for (ptrdiff_t i = 0; i < n; i++) to[i] += share * part(next, i, half, squares);
    }
}

INLINE float pooled(float mean, float quiet, int squares) {
    return squares ? __builtin_sqrtf(mean + quiet) : mean;
}

INLINE void average_down(float **rows, ptrdiff_t count, float share, void *y, ptrdiff_t n, float quiet,
                         int half, int squares) {
    if (count == 4) {
        const float *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
        SIMD for (ptrdiff_t i = 0; i < n; i++)
            put_sum(y, i, pooled(share * (r0[i] + r1[i] + r2[i] + r3[i]), quiet, squares), half);
        return;
    }
    SIMD for (ptrdiff_t i = 0; i < n; i++) {
        float sum = rows[0][i];
        for (ptrdiff_t row = 1; row < count; row++) sum += rows[row][i];
        put_sum(y, i, pooled(share * sum, quiet, squares), half);
    }
}

INLINE void avg_block(const Pool *p, ptrdiff_t y0, ptrdiff_t y1, ptrdiff_t x0, ptrdiff_t x1, char *scratch,
                      int half, int squares) {
    ptrdiff_t channels = p->channels, n = (x1 - x0) * channels, ring = p->kernel[0], next = 0;
    float *kept = (float *)scratch, *rows[MOST_TAPS];
    for (ptrdiff_t out = y0; out < y1; out++) {
        ptrdiff_t picture = out / p->high, oy = out % p->high, first, last;
        ptrdiff_t top = oy * p->stride[0] - p->padding[0];
        if (oy == 0 || out == y0) next = 0;
        inside(p, 0, oy, p->height, &first, &last);
        for (ptrdiff_t y = most(next, top + first); y < top + last; y++) {
            const char *row = at(p->x, (picture * p->height + y) * p->width * channels, half);
            float *to = kept + y % ring * n;
            for (ptrdiff_t ox = x0; ox < x1; ox++, to += channels) {
                ptrdiff_t a, b;
                inside(p, 1, ox, p->width, &a, &b);
                average(at(row, (ox * p->stride[1] - p->padding[1] + a) * channels, half),
                        channels, b - a, p->column_share[ox], to, channels, half, squares);
            }
        }
        next = top + last;
        for (ptrdiff_t ky = first; ky < last; ky++) rows[ky - first] = kept + (top + ky) % ring * n;
        average_down(rows, last - first, p->row_share[oy],
                     at(p->y, (out * p->wide + x0) * channels, half), n, p->quiet, half, squares);
    }
}

static void avg_pool_body(void *job, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t thread) {
    const Pool *p = job;
    for (ptrdiff_t x = 0; x < p->wide; x += p->block) {
        ptrdiff_t stop = least(p->wide, x + p->block);
        char *scratch = p->scratch + thread * p->scratch_bytes;
        if (p->half && p->squares)
            avg_block(p, begin, end, x, stop, scratch, 1, 1);
        else if (p->half)
            avg_block(p, begin, end, x, stop, scratch, 1, 0);
        else if (p->squares)
            avg_block(p, begin, end, x, stop, scratch, 0, 1);
        else
            avg_block(p, begin, end, x, stop, scratch, 0, 0);
    }
}

EXPORT(avg_pool)(const Team *team, const Pool *pool) {
    run(team, avg_pool_body, (void *)pool, pool->pictures * pool->high);
}

/* 0: nothing to multiply by; else a map of float32, 1, or bfloat16, 2. */
INLINE float factor(const void *times, ptrdiff_t i, int kind) { return kind ? get(times, i, kind == 2) : 1.f; }

INLINE void avg_back_rows(const Pool *p, ptrdiff_t begin, ptrdiff_t end, float *line, int half, int times) {
    ptrdiff_t channels = p->channels;
    for (ptrdiff_t row = begin; row < end; row++) {
        ptrdiff_t picture = row / p->height, y0, y1;
        holders(p, 0, row % p->height, p->high, &y0, &y1);
        for (ptrdiff_t x = 0; x < p->width; x += p->block) {
            ptrdiff_t stop = least(p->width, x + p->block), x0, x1, ignored;
            holders(p, 1, x, p->wide, &x0, &ignored);
            holders(p, 1, stop - 1, p->wide, &ignored, &x1);
            ptrdiff_t n = most(0, x1 - x0) * channels;
            for (ptrdiff_t oy = y0; oy < y1; oy++) {
                const char *from =
                    at(p->x, ((picture * p->high + oy) * p->wide + x0) * channels, half);
                float share = p->row_share[oy];
                if (oy == y0)
                    SIMD for (ptrdiff_t i = 0; i < n; i++) line[i] = share * get(from, i, half);
                else
                    SIMD for (ptrdiff_t i = 0; i < n; i++) line[i] += share * get(from, i, half);
            }
            ptrdiff_t a = x0, b = x0;
            for (; x < stop; x++) {
                char *to = at(p->y, (row * p->width + x) * channels, half);
                const char *by = at(p->times, (row * p->width + x) * channels, times == 2);
                forward(p, x, &a, &b);
                if (y0 >= y1 || a >= b) {
                    memset(to, 0, (size_t)(channels * width(half)));
                    continue;
                }
                const float *l = line + (a - x0) * channels, *shares = p->column_share + a;
                if (b - a == 2) {
                    const float *m = l + channels, s = shares[0], t = shares[1];
                    SIMD for (ptrdiff_t c = 0; c < channels; c++)
                        put_sum(to, c, factor(by, c, times) * (s * l[c] + t * m[c]), half);
                    continue;
                }
                SIMD for (ptrdiff_t c = 0; c < channels; c++) {
                    float sum = 0;
                    for (ptrdiff_t tap = 0; tap < b - a; tap++) sum += shares[tap] * l[tap * channels + c];
                    put_sum(to, c, factor(by, c, times) * sum, half);
                }
            }
            x = stop - p->block;
        }
    }
}

static void avg_back_body(void *job, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t thread) {
    const Pool *p = job;
    float *line = (float *)(p->scratch + thread * p->scratch_bytes);
    switch ((p->times ? 1 + p->half_times : 0) * 2 + p->half) {
    case 0: avg_back_rows(p, begin, end, line, 0, 0); break;
    case 1: avg_back_rows(p, begin, end, line, 1, 0); break;
    case 2: avg_back_rows(p, begin, end, line, 0, 1); break;
    case 3: avg_back_rows(p, begin, end, line, 1, 1); break;
    case 4: avg_back_rows(p, begin, end, line, 0, 2); break;
    default: avg_back_rows(p, begin, end, line, 1, 2);
    }
}

EXPORT(avg_pool_backward)(const Team *team, const Pool *pool) {
    run(team, avg_back_body, (void *)pool, pool->pictures * pool->height);
}

/* ---------------------------------------------------------------- SiLU */

/* exp(x); infinite above 88.3, about 1e-38 below -87.3. 2^n times a polynomial of the rest, after
 * Cephes's expf (S. Moshier), whose error is 1 unit in the last place; compilers vectorize it. */
INLINE float exponential(float x) {
    const float round = 12582912.f; /* 1.5 * 2^23: adding it rounds to a whole number */
    float low = x < -87.3f ? -87.3f : x, in = low > 88.3f ? 88.3f : low;
    float shifted = in * 1.44269504f + round, n = shifted - round;
    float r = (in - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.f;
    int32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (int32_t)((uint32_t)(bits + 127) << 23);
    float power;
    memcpy(&power, &bits, 4);
    return x > 88.3f ? __builtin_inff() : p * power;
}

typedef struct {
    const void *x, *g, *add;
    void *to;
    ptrdiff_t size;
    int half, half_g;
} Silu;

INLINE void silu_values(const Silu *s, ptrdiff_t begin, ptrdiff_t end, int half, int adds) {
    const void *x = s->x, *add = s->add;
    void *to = s->to;
    SIMD for (ptrdiff_t i = begin; i < end; i++) {
        float value = get(x, i, half);
        put(to, i, value / (1.f + exponential(-value)) + (adds ? get(add, i, half) : 0.f), half);
    }
}

static void silu_body(void *job, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t thread) {
    const Silu *s = job;
    (void)thread;
    begin *= LINE;
    end = least(end * LINE, s->size);
    if (s->half && s->add)
        silu_values(s, begin, end, 1, 1);
    else if (s->half)
        silu_values(s, begin, end, 1, 0);
    else if (s->add)
        silu_values(s, begin, end, 0, 1);
    else
        silu_values(s, begin, end, 0, 0);
}

EXPORT(silu)(const Team *team, int half, const void *x, const void *add, void *to, ptrdiff_t size) {
    Silu job = {x, 0, add, to, size, half, 0};
    run(team, silu_body, &job, (size + LINE - 1) / LINE);
}

INLINE void silu_slopes(const Silu *s, ptrdiff_t begin, ptrdiff_t end, int half, int half_g) {
    const void *x = s->x, *g = s->g;
    void *to = s->to;
    SIMD for (ptrdiff_t i = begin; i < end; i++) {
        float value = get(x, i, half), open = 1.f / (1.f + exponential(-value));
        put(to, i, get(g, i, half_g) * (open * (1.f + value * (1.f - open))), half_g);
    }
}

static void silu_back_body(void *job, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t thread) {
    const Silu *s = job;
    (void)thread;
    begin *= LINE;
    end = least(end * LINE, s->size);
    if (s->half && s->half_g)
        silu_slopes(s, begin, end, 1, 1);
    else if (s->half)
        silu_slopes(s, begin, end, 1, 0);
    else if (s->half_g)
        silu_slopes(s, begin, end, 0, 1);
    else
        silu_slopes(s, begin, end, 0, 0);
}

EXPORT(silu_backward)(const Team *team, int half, int half_g, const void *x, const void *g, void *to,
                      ptrdiff_t size) {
    Silu job = {x, g, 0, to, size, half, half_g};
    run(team, silu_back_body, &job, (size + LINE - 1) / LINE);
}

/* ---------------------------------------------------------------- both ends */

typedef struct {
    const float *picture;
    void *picture_gradient, *map;
    float mean[3];
    ptrdiff_t pictures, height, width;     /* of the picture */
    ptrdiff_t high, wide;                  /* of the map, in px of the picture, with its padding */
    ptrdiff_t down, right, top, left;      /* shift, 0 to height or width; padding */
    int unshuffle, half;
    char *scratch;                    /* 6 lines of `wide` floats for each thread */
} End;

/* Where a pixel of the padded, rolled map comes from along one axis; -1 in the padding. */
INLINE ptrdiff_t origin(ptrdiff_t pixel, ptrdiff_t padding, ptrdiff_t shift, ptrdiff_t length) {
    ptrdiff_t rolled = pixel - padding;
    if (rolled < 0 || rolled >= length) return -1;
    return rolled >= shift ? rolled - shift : rolled - shift + length;
}

/* One line of one channel: rolled, centred, padded, cast. */
INLINE void read_line(const End *e, ptrdiff_t picture, ptrdiff_t channel, ptrdiff_t y, char *line, int half) {
    ptrdiff_t from = origin(y, e->top, e->down, e->height);
    ptrdiff_t begin = least(e->wide, most(0, e->left));
    ptrdiff_t end = most(begin, least(e->wide, e->left + e->width));
    float mean = e->mean[channel];
    const float *row = e->picture + ((picture * 3 + channel) * e->height + from) * e->width;
    if (from < 0) end = begin = e->wide; /* all of it is padding */
    memset(line, 0, (size_t)(begin * width(half)));
    for (ptrdiff_t x = begin; x < end;) {
        ptrdiff_t first = origin(x, e->left, e->right, e->width);
        ptrdiff_t run = least(end - x, e->width - first);
        SIMD for (ptrdiff_t i = 0; i < run; i++) put(line, x + i, row[first + i] - mean, half);
        x += run;
    }
    memset(at(line, end, half), 0, (size_t)((e->wide - end) * width(half)));
}

/* Put two neighbours of each line side by side: 6 lines to pixels of 12 channels. */
#define FOLD(NAME, PAIR)                                                                           \
    INLINE void NAME##_fold(const char *lines, char *to, ptrdiff_t stride, ptrdiff_t pixels) {               \
        PAIR *pairs = (PAIR *)to;                                                                  \
        for (ptrdiff_t x = 0; x < pixels; x++)                                                          \
            for (int line = 0; line < 6; line++)                                                   \
                memcpy(pairs + 6 * x + line, lines + line * stride + x * (ptrdiff_t)sizeof(PAIR),       \
                       sizeof(PAIR));                                                              \
    }
FOLD(half, uint32_t)
FOLD(full, uint64_t)

INLINE void ingest_rows(const End *e, ptrdiff_t begin, ptrdiff_t end, char *lines, int half) {
    ptrdiff_t folds = e->unshuffle ? 2 : 1, rows = e->high / folds, stride = e->wide * width(half);
    for (ptrdiff_t row = begin; row < end; row++) {
        ptrdiff_t picture = row / rows, y = row % rows * folds;
        char *to = at(e->map, row * (e->wide / folds) * 3 * folds * folds, half);
        for (ptrdiff_t channel = 0; channel < 3; channel++)
            for (ptrdiff_t dy = 0; dy < folds; dy++)
                read_line(e, picture, channel, y + dy, lines + (channel * folds + dy) * stride,
                          half);
        if (!e->unshuffle) {
            for (ptrdiff_t x = 0; x < e->wide; x++)
                for (ptrdiff_t c = 0; c < 3; c++)
                    memcpy(at(to, 3 * x + c, half), at(lines + c * stride, x, half),
                           (size_t)width(half));
        } else if (half) {
            half_fold(lines, to, stride, e->wide / 2);
        } else {
            full_fold(lines, to, stride, e->wide / 2);
        }
    }
}

static void ingest_body(void *job, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t thread) {
    const End *e = job;
    char *lines = e->scratch + thread * 6 * e->wide * 4;
    if (e->half)
        ingest_rows(e, begin, end, lines, 1);
    else
        ingest_rows(e, begin, end, lines, 0);
}

EXPORT(ingest)(const Team *team, const End *end) {
    run(team, ingest_body, (void *)end, end->pictures * end->high / (end->unshuffle ? 2 : 1));
}

INLINE void egest_rows(const End *e, ptrdiff_t begin, ptrdiff_t end, float *line, int half) {
    for (ptrdiff_t row = begin; row < end; row++) {
        ptrdiff_t picture = row / e->height, rolled = row % e->height + e->down;
        ptrdiff_t y = (rolled >= e->height ? rolled - e->height : rolled) + e->top;
        int is_inside = y >= 0 && y < e->high;
        for (ptrdiff_t channel = 0; channel < 3; channel++) {
            float *to = (float *)e->picture_gradient +
                        ((picture * 3 + channel) * e->height + row % e->height) * e->width;
            if (!is_inside) {
                memset(to, 0, (size_t)e->width * 4);
                continue;
            }
            if (e->unshuffle) {
                const char *from =
                    at(e->map, ((picture * e->high + y) / 2 * (e->wide / 2)) * 12 + channel * 4 +
                                   (y & 1) * 2, half);
                SIMD for (ptrdiff_t x = 0; x < e->wide / 2; x++) {
                    line[2 * x] = get(from, 12 * x, half);
                    line[2 * x + 1] = get(from, 12 * x + 1, half);
                }
            } else {
                const char *from =
                    at(e->map, (picture * e->high + y) * e->wide * 3 + channel, half);
                SIMD for (ptrdiff_t x = 0; x < e->wide; x++) line[x] = get(from, 3 * x, half);
            }
            for (ptrdiff_t x = 0; x < e->width;) { /* x: where in the picture, from: in the line */
                ptrdiff_t turned = x + e->right >= e->width ? x + e->right - e->width : x + e->right;
                ptrdiff_t from = turned + e->left, run = least(e->width - x, e->width - turned);
                if (from < 0) run = least(run, -from), memset(to + x, 0, (size_t)run * 4);
                else if (from >= e->wide) memset(to + x, 0, (size_t)run * 4);
                else run = least(run, e->wide - from), memcpy(to + x, line + from, (size_t)run * 4);
                x += run;
            }
        }
    }
}

static void egest_body(void *job, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t thread) {
    const End *e = job;
    float *line = (float *)(e->scratch + thread * 6 * e->wide * 4);
    if (e->half)
        egest_rows(e, begin, end, line, 1);
    else
        egest_rows(e, begin, end, line, 0);
}

EXPORT(egest)(const Team *team, const End *end) {
    run(team, egest_body, (void *)end, end->pictures * end->height);
}

/* ---------------------------------------------------------------- which variant */

#ifdef CHOOSES
/* 4 or 3 where the processor and the system do x86-64-v4 or v3, else 0. */
__attribute__((visibility("default"))) int level(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    int third = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                __builtin_cpu_supports("bmi2");
    int fourth = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                 __builtin_cpu_supports("avx512cd");
    return third && fourth ? 4 : third ? 3 : 0;
#else
    return 0;
#endif
}
#endif
