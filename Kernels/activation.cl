// y = f(x) over contiguous arrays of `count` floats, and its gradient dx = dy * f'(x).
// See FOR_ELEMENTS in common.cl.
//
// ACTIVATION  which f (activate in common.cl). Default 1.
// BFLOAT_RESULT  of dx (common.cl).
// ADD         defined: dx also adds sum_so_far, the gradient that x received elsewhere.

#ifndef ACTIVATION
#define ACTIVATION 1
#endif

kernel void activation_forward(const global float *x, global float *y, int count, int per_item) {
  FOR_ELEMENTS(STORER(activate_r(LOADR(x + i), ACTIVATION), y + i), y[i] = activate1(x[i], ACTIVATION));
}

kernel void activation_backward(const global float *x, const global float *dy, const global float *sum_so_far,
                                global result *dx, int count, int per_item) {
#ifdef ADD
#define SUMMED(v, LOAD) ((v) + LOAD(sum_so_far + i))
#else
#define SUMMED(v, LOAD) (v)
#endif
  FOR_ELEMENTS({
    const floatr d = LOADR(dy + i) * activate_gradient_r(LOADR(x + i), ACTIVATION);
    STORE_RESULTR(SUMMED(d, LOADR), dx + i);
  }, {
    const float d = dy[i] * activate_gradient1(x[i], ACTIVATION);
    STORE_RESULT(SUMMED(d, LOAD_ONE), dx + i);
  });
}

// Gated units: y (rows, width) = f(gate) * value, and
//   dgate = dy * value * f'(gate),   dvalue = dy * f(gate)
// gate and value are (rows, width) with rows `stride` floats apart: two matrices, or the halves of one. See FOR_ROWS in
// common.cl.

// value_offset: floats from the beginning of `value` to its first row.
kernel void gated_forward(const global float *gate, const global float *value, global float *y, int stride,
                          int value_offset, int width, int rows, int per_item) {
  const int whole = WHOLE_RUNS(width, stride | value_offset);
  value += value_offset;
  FOR_ROWS(row) {
    const global float *g = gate + (size_t)row * stride;
    const global float *v = value + (size_t)row * stride;
    global float *to = y + (size_t)row * width;
    FOR_RUNS(i, whole) STORER(activate_r(LOADR(g + i), ACTIVATION) * LOADR(v + i), to + i);
    FOR_REST(i, whole, width) to[i] = activate1(g[i], ACTIVATION) * v[i];
  }
}

// The gradients lie as gate and value do, and so do the sums that they received elsewhere.
//
// parts, a sum  1: dgate is wanted. 2: dvalue is. 4, 8: the sum of dgate, of dvalue is added.
kernel void gated_backward(const global float *gate, const global float *value, const global float *dy,
                           const global float *gate_sum, const global float *value_sum, global float *dgate,
                           global float *dvalue, int stride, int value_offset, int width, int rows, int per_item,
                           int parts) {
  const int whole = WHOLE_RUNS(width, stride | value_offset);
  FOR_ROWS(row) {
    const size_t at = (size_t)row * stride;
    const global float *g = gate + at;
    const global float *v = value + at + value_offset;
    const global float *d = dy + (size_t)row * width;
    FOR_RUNS(i, whole) {
      const floatr upstream = LOADR(d + i);
      const floatr x = LOADR(g + i);
      if (parts & 1) {
        floatr result = upstream * LOADR(v + i) * activate_gradient_r(x, ACTIVATION);
        if (parts & 4) result += LOADR(gate_sum + at + i);
        STORER(result, dgate + at + i);
      }
      if (parts & 2) {
        floatr result = upstream * activate_r(x, ACTIVATION);
        if (parts & 8) result += LOADR(value_sum + at + value_offset + i);
        STORER(result, dvalue + at + value_offset + i);
      }
    }
    FOR_REST(i, whole, width) {
      if (parts & 1) {
        float result = d[i] * v[i] * activate_gradient1(g[i], ACTIVATION);
        if (parts & 4) result += gate_sum[at + i];
        dgate[at + i] = result;
      }
      if (parts & 2) {
        float result = d[i] * activate1(g[i], ACTIVATION);
        if (parts & 8) result += value_sum[at + value_offset + i];
        dvalue[at + value_offset + i] = result;
      }
    }
  }
}
