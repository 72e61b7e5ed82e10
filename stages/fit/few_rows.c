/* Dense layers on few rows, as long as reading the weights takes longer than the arithmetic.
 *
 * y = x W' + b, its gradient by x, and Adam with the teacher's moving average. Weights are read once in each, and the
 * gradient by the weights is never written: it is summed in registers where the optimiser wants it. And the objective,
 * which would take twenty operations on tensors that fit into the first cache.
 *
 * Sizes: rows a multiple of 8, 16 at most; widths multiples of 32. Every sum is taken in one order, whatever the number
 * of threads.
 */
#include <math.h>
#include <stddef.h>

#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif
#define ROWS 8
#define MOST_ROWS 16
#define LEAST_NORM 1e-12f

/* Not aligned: layers lie in flat memory one after the other, and biases come between. */
typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline lanes *at(const float *p) { return (lanes *)p; }

#if LANES == 16
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#else
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#endif

/* The sums of neighbours, those of a first: rounds of it turn as many vectors as they are wide into their sums. */
static inline lanes pairs(lanes a, lanes b) {
#ifdef __clang__
    return __builtin_shufflevector(a, b, EVEN) + __builtin_shufflevector(a, b, ODD);
#else
    typedef int places __attribute__((vector_size(4 * LANES)));
    return __builtin_shuffle(a, b, (places){EVEN}) + __builtin_shuffle(a, b, (places){ODD});
#endif
}

/* y (rows, out) = x (rows, in) W' + b, W (out, in). */
void forward(const float *x, const float *w, const float *b, float *y, long rows, long in, long out, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long n = 0; n < out; n += 2) {
        for (long r = 0; r < rows; r += ROWS) {
            lanes sums[2 * ROWS] = {{0}};
            for (long k = 0; k < in; k += LANES) {
                lanes w0 = *at(w + n * in + k), w1 = *at(w + (n + 1) * in + k);
                for (int i = 0; i < ROWS; i++) {
                    lanes xi = *at(x + (r + i) * in + k);
                    sums[2 * i] += xi * w0;
                    sums[2 * i + 1] += xi * w1;
                }
            }
            for (int left = ROWS; left * LANES >= 2 * ROWS; left /= 2)
                for (int i = 0; i < left; i++) sums[i] = pairs(sums[2 * i], sums[2 * i + 1]);
            for (int i = 0; i < 2 * ROWS; i++)
                y[(r + i / 2) * out + n + i % 2] = sums[i / LANES][i % LANES] + b[n + i % 2];
        }
    }
}

/* dx (rows, in) = dy (rows, out) W. */
void backward(const float *dy, const float *w, float *dx, long rows, long in, long out, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long k = 0; k < in; k += 2 * LANES) {
        for (long r = 0; r < rows; r += ROWS) {
            lanes sums[2 * ROWS] = {{0}};
            for (long n = 0; n < out; n++) {
                lanes w0 = *at(w + n * in + k), w1 = *at(w + n * in + k + LANES);
                for (int i = 0; i < ROWS; i++) {
                    float d = dy[(r + i) * out + n];
                    sums[2 * i] += d * w0;
                    sums[2 * i + 1] += d * w1;
                }
            }
            for (int i = 0; i < ROWS; i++)
                for (int j = 0; j < 2; j++) *at(dx + (r + i) * in + k + j * LANES) = sums[2 * i + j];
        }
    }
}

struct layer {
    const float *x, *dy; /* (rows, in), (rows, out) */
    float *w, *w_first, *w_second, *w_teacher; /* (out, in); no teacher: NULL */
    float *b, *b_first, *b_second, *b_teacher; /* (out) */
    long in, out;
};

struct adam {
    float beta2, share1, share2, epsilon; /* shares: 1 - beta1, 1 - beta2 */
    float decay, keep; /* of the weights: into the gradient, and what is left of them apart from it */
    float size, unbias; /* learning rate over 1 - beta1^t; 1 / sqrt(1 - beta2^t) */
    float toward; /* share of the way that the teacher goes */
};

static inline lanes root(lanes v) {
    for (int i = 0; i < LANES; i++) v[i] = __builtin_sqrtf(v[i]);
    return v;
}

/* One step of as many parameters; no teacher: NULL. */
static inline void move(lanes g, float *w, float *first, float *second, float *teacher, struct adam a) {
    lanes old = *at(w), m = *at(first), v = *at(second);
    g += a.decay * old;
    m += a.share1 * (g - m);
    v = a.beta2 * v + a.share2 * g * g;
    lanes new = a.keep * old - a.size * m / (root(v) * a.unbias + a.epsilon);
    *at(first) = m;
    *at(second) = v;
    *at(w) = new;
    if (teacher) {
        lanes t = *at(teacher);
        *at(teacher) = t + a.toward * (new - t);
    }
}

/* Row n of a layer's weights: the gradient is the sum over rows of dy x. */
static inline void move_row(struct layer s, long n, long rows, struct adam a) {
    const long row = n * s.in;
    for (long k = 0; k < s.in; k += LANES) {
        lanes g = {0};
        for (long r = 0; r < rows; r++) g += s.dy[r * s.out + n] * *at(s.x + r * s.in + k);
        move(g, s.w + row + k, s.w_first + row + k, s.w_second + row + k, s.w_teacher ? s.w_teacher + row + k : NULL, a);
    }
}

static inline void move_bias(struct layer s, long n, long rows, struct adam a) {
    lanes g = {0};
    for (long r = 0; r < rows; r++) g += *at(s.dy + r * s.out + n);
    move(g, s.b + n, s.b_first + n, s.b_second + n, s.b_teacher ? s.b_teacher + n : NULL, a);
}

/* One step of all layers. */
void update(const struct layer *layers, int count, long rows, const struct adam *pace, int threads) {
#pragma omp parallel num_threads(threads)
    for (int l = 0; l < count; l++) {
        const struct layer s = layers[l]; /* copies, which no store can change */
        const struct adam a = *pace;
#pragma omp for schedule(static) nowait
        for (long n = 0; n < s.out; n++) {
            if (rows == ROWS)
                move_row(s, n, ROWS, a); /* unrolled */
            else
                move_row(s, n, rows, a);
        }
#pragma omp for schedule(static) nowait
        for (long n = 0; n < s.out; n += LANES) move_bias(s, n, rows, a);
    }
}

struct terms {
    int normalize, symmetric;
    float scale, weight, temperature; /* of eq. (9): 1 or 1 / width; lambda; tau */
};

static inline float dot(const float *a, const float *b, long width) {
    lanes products = {0};
    for (long k = 0; k < width; k += LANES) products += *at(a + k) * *at(b + k);
    float sum = 0.0f;
    for (int i = 0; i < LANES; i++) sum += products[i];
    return sum;
}

/* to = a / |a|; returns |a|. */
static inline float unit(const float *a, float *to, long width) {
    float length = sqrtf(dot(a, a, width));
    length = length < LEAST_NORM ? LEAST_NORM : length; /* what is not a number stays so */
    for (long k = 0; k < width; k += LANES) *at(to + k) = *at(a + k) / length;
    return length;
}

/* Adds side times the softmax of `rows` logits, `step` apart, to `by`; returns the logarithm of the own one's share. */
static inline float softmax(const float *logits, float *by, long rows, long step, long own, float side) {
    float most = -INFINITY, sum = 0.0f, shares[MOST_ROWS];
    for (long j = 0; j < rows; j++) most = logits[j * step] > most ? logits[j * step] : most;
    for (long j = 0; j < rows; j++) sum += shares[j] = expf(logits[j * step] - most);
    for (long j = 0; j < rows; j++) by[j * step] += side * shares[j] / sum;
    return logits[own * step] - most - logf(sum);
}

/* Eq. (12) of `rows` forecasts f and targets t (rows, width), as objective.py defines it.
 *
 * group: of each row, or NULL. Out: the gradient by f, the unit targets z, four figures (loss, eq. 9, eq. 11, mean
 * cosine). scratch: rows x width.
 */
void objective(const float *f, const float *t, const long long *group, long rows, long width, const struct terms *o,
               float *gradient, float *z, float *figures, float *scratch) {
    float length[MOST_ROWS], logits[MOST_ROWS * MOST_ROWS], by[MOST_ROWS * MOST_ROWS] = {0};
    float cosine = 0.0f, contrast = 0.0f, error = 0.0f, *u = scratch;
    for (long i = 0; i < rows; i++) {
        length[i] = unit(f + i * width, u + i * width, width);
        unit(t + i * width, z + i * width, width);
    }
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < rows; j++) {
            float c = dot(u + i * width, z + j * width, width);
            if (i == j) cosine += c / rows;
            logits[i * rows + j] = group && i != j && group[i] == group[j] ? -INFINITY : c / o->temperature;
        }
    const float side = o->symmetric ? 0.5f : 1.0f;
    for (long i = 0; i < rows; i++) {
        contrast -= side / rows * softmax(logits + i * rows, by + i * rows, rows, 1, i, side);
        if (o->symmetric) contrast -= side / rows * softmax(logits + i, by + i, rows, rows, i, side);
    }
    const float pull = 2.0f * o->scale / rows, strength = o->weight / (o->temperature * rows);
    for (long i = 0; i < rows; i++) {
        float *g = gradient + i * width;
        const float *ui = u + i * width, *zi = z + i * width, *fi = f + i * width, *ti = t + i * width;
        by[i * rows + i] -= 1.0f;
        for (long k = 0; k < width; k += LANES) {
            lanes sum = {0};
            for (long j = 0; j < rows; j++) sum += by[i * rows + j] * *at(z + j * width + k);
            sum *= strength;
            if (o->normalize) sum -= pull * *at(zi + k);
            *at(g + k) = sum;
        }
        const float along = dot(ui, g, width);
        for (long k = 0; k < width; k += LANES) {
            *at(g + k) = (*at(g + k) - along * *at(ui + k)) / length[i];
            if (!o->normalize) {
                lanes apart = *at(fi + k) - *at(ti + k);
                *at(g + k) += pull * apart;
                apart *= apart;
                for (int l = 0; l < LANES; l++) error += apart[l] * (o->scale / rows);
            }
        }
    }
    if (o->normalize) error = (2.0f - 2.0f * cosine) * o->scale;
    figures[0] = error + o->weight * contrast;
    figures[1] = error;
    figures[2] = contrast;
    figures[3] = cosine;
}
