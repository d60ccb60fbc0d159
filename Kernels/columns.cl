// A narrower matrix d (rows, count) and a range of columns of a wider one, x (rows, width).
//
// See FOR_ROWS in common.cl.

// Rows of x, of d and the range begin at whole runs or none does.
#define STRIDES (width | from | count)

inline void copy_row(const global float *from, global float *to, int count, int strides) {
  const int whole = WHOLE_RUNS(count, strides);
  FOR_RUNS(i, whole) STORER(LOADR(from + i), to + i);
  FOR_REST(i, whole, count) to[i] = from[i];
}

// y = x; y[:, from : from + count] += scale * d.
kernel void add_columns(const global float *x, const global float *d, global float *y, float scale, int width, int from,
                        int count, int rows, int per_item) {
  const int whole = WHOLE_RUNS(count, STRIDES);
  FOR_ROWS(row) {
    const global float *source = x + (size_t)row * width;
    const global float *added = d + (size_t)row * count;
    global float *to = y + (size_t)row * width;
    copy_row(source, to, from, STRIDES);
    copy_row(source + from + count, to + from + count, width - from - count, STRIDES);
    source += from;
    to += from;
    FOR_RUNS(i, whole) STORER(LOADR(source + i) + scale * LOADR(added + i), to + i);
    FOR_REST(i, whole, count) to[i] = source[i] + scale * added[i];
  }
}

// The gradient of d: dd = scale * dy[:, from : from + count].
kernel void add_columns_backward(const global float *dy, global float *dd, float scale, int width, int from, int count,
                                 int rows, int per_item) {
  const int whole = WHOLE_RUNS(count, STRIDES);
  FOR_ROWS(row) {
    const global float *source = dy + (size_t)row * width + from;
    global float *to = dd + (size_t)row * count;
    FOR_RUNS(i, whole) STORER(scale * LOADR(source + i), to + i);
    FOR_REST(i, whole, count) to[i] = scale * source[i];
  }
}
