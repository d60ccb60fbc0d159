// A scale and a shift of each channel of x (rows, width):
//   y = x * scale + (shift - origin)
// scale, shift, origin: (width).
//
// SCALE, SHIFT, ORIGIN  defined: that part of the formula is there; there is no origin without a shift.
// ADD                   defined: sum_so_far, of the result's shape, is added to the gradient.
// The gradients of scale and shift are sums over rows: see channel_sums.cl.
//
// See FOR_ROWS in common.cl.

#ifdef SCALE
#define SCALED(v, LOAD) ((v) * LOAD(scale + i))
#else
#define SCALED(v, LOAD) (v)
#endif
#ifdef ORIGIN
#define MOVED(LOAD) (LOAD(shift + i) - LOAD(origin + i))
#else
#define MOVED(LOAD) LOAD(shift + i)
#endif
#ifdef SHIFT
#define SHIFTED(v, LOAD) ((v) + MOVED(LOAD))
#else
#define SHIFTED(v, LOAD) (v)
#endif
#ifdef ADD
#define SUMMED(v, LOAD) ((v) + LOAD(sum + i))
#else
#define SUMMED(v, LOAD) (v)
#endif

kernel void scale_shift_forward(const global float *x, const global float *scale, const global float *shift,
                                const global float *origin, global float *y, int width, int rows, int per_item) {
  const int whole = WHOLE_RUNS(width, 0);
  FOR_ROWS(row) {
    const global float *from = x + (size_t)row * width;
    global float *to = y + (size_t)row * width;
    FOR_RUNS(i, whole) STORER(SHIFTED(SCALED(LOADR(from + i), LOADR), LOADR), to + i);
    FOR_REST(i, whole, width) to[i] = SHIFTED(SCALED(from[i], LOAD_ONE), LOAD_ONE);
  }
}

// dx = dy * scale [+ sum_so_far].
kernel void scale_shift_backward(const global float *dy, const global float *scale, const global float *sum_so_far,
                                 global float *dx, int width, int rows, int per_item) {
  const int whole = WHOLE_RUNS(width, 0);
  FOR_ROWS(row) {
    const global float *from = dy + (size_t)row * width;
    const global float *sum = sum_so_far + (size_t)row * width;
    global float *to = dx + (size_t)row * width;
    FOR_RUNS(i, whole) STORER(SUMMED(SCALED(LOADR(from + i), LOADR), LOADR), to + i);
    FOR_REST(i, whole, width) to[i] = SUMMED(SCALED(from[i], LOAD_ONE), LOAD_ONE);
  }
}
