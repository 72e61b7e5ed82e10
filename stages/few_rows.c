/* Dense layers on few rows, as long as reading the weights takes longer than the arithmetic.
 *
 * y = x W' + b, its gradient by x, and Adam with the teacher's moving average. Weights are read once in each, and the
 * gradient by the weights is never written: it is summed in registers where the optimiser wants it.
 *
 * Sizes: rows a multiple of 8, widths multiples of 32. Every sum is taken in one order, whatever the number of threads.
 */
#include <stddef.h>

#define LANES 16
#define ROWS 8

/* Not aligned: layers lie in flat memory one after the other, and biases come between. */
typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));

static inline lanes *at(const float *p) { return (lanes *)p; }

/* The sums of neighbours, those of a first: four rounds of it turn 16 vectors into the vector of their sums. */
static inline lanes pairs(lanes a, lanes b) {
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
           __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
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
            for (int left = ROWS; left > 0; left /= 2)
                for (int i = 0; i < left; i++) sums[i] = pairs(sums[2 * i], sums[2 * i + 1]);
            for (int i = 0; i < ROWS; i++)
                for (int j = 0; j < 2; j++) y[(r + i) * out + n + j] = sums[0][2 * i + j] + b[n + j];
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
    float beta1, beta2, epsilon, decay, keep, size, unbias, toward;
};

static inline lanes root(lanes v) {
    for (int i = 0; i < LANES; i++) v[i] = __builtin_sqrtf(v[i]);
    return v;
}

static inline void move(lanes g, float *w, float *first, float *second, float *teacher, const struct adam *a) {
    lanes old = *at(w) * a->keep;
    g += a->decay * old;
    lanes m = *at(first), v = *at(second);
    m += (1.0f - a->beta1) * (g - m);
    v = a->beta2 * v + (1.0f - a->beta2) * g * g;
    lanes new = old - a->size * m / (root(v) * a->unbias + a->epsilon);
    *at(first) = m;
    *at(second) = v;
    *at(w) = new;
    if (teacher) {
        lanes t = *at(teacher);
        *at(teacher) = t + a->toward * (new - t);
    }
}

void update(const struct layer *layers, int count, long rows, const struct adam *a, int threads) {
#pragma omp parallel num_threads(threads)
    for (int l = 0; l < count; l++) {
        const struct layer *s = &layers[l];
#pragma omp for schedule(static) nowait
        for (long n = 0; n < s->out; n++) {
            const long row = n * s->in;
            for (long k = 0; k < s->in; k += LANES) {
                lanes g = {0};
                for (long r = 0; r < rows; r++) g += s->dy[r * s->out + n] * *at(s->x + r * s->in + k);
                move(g, s->w + row + k, s->w_first + row + k, s->w_second + row + k,
                     s->w_teacher ? s->w_teacher + row + k : NULL, a);
            }
        }
#pragma omp for schedule(static) nowait
        for (long n = 0; n < s->out; n += LANES) {
            lanes g = {0};
            for (long r = 0; r < rows; r++) g += *at(s->dy + r * s->out + n);
            move(g, s->b + n, s->b_first + n, s->b_second + n, s->b_teacher ? s->b_teacher + n : NULL, a);
        }
    }
}
