// y = f(x) over contiguous arrays of `count` floats, and its gradient dx = dy * f'(x).
// Work-item i covers elements [i * per_item, (i + 1) * per_item).
//
// ACTIVATION  which f (activate in common.cl). Default 1.
// BFLOAT_RESULT  of dx (common.cl).
// ADD         defined: dx also adds sum_so_far, the gradient that x received elsewhere.
// LANES       of the gated units below (common.cl).

#ifndef ACTIVATION
#define ACTIVATION 1
#endif

kernel void activation_forward(const global float *x, global float *y, int count, int per_item) {
  const int begin = get_global_id(0) * per_item;
  const int end = min(begin + per_item, count);
  int i = begin;
  for (; i + 16 <= end; i += 16) VSTORE(activate16(VLOAD(x + i), ACTIVATION), y + i);
  for (; i < end; ++i) y[i] = activate1(x[i], ACTIVATION);
}

kernel void activation_backward(const global float *x, const global float *dy, const global float *sum_so_far,
                                global result *dx, int count, int per_item) {
  const int begin = get_global_id(0) * per_item;
  const int end = min(begin + per_item, count);
  int i = begin;
  for (; i + 16 <= end; i += 16) {
    float16 d = VLOAD(dy + i) * activate_gradient16(VLOAD(x + i), ACTIVATION);
#ifdef ADD
    d += VLOAD(sum_so_far + i);
#endif
    STORE_RESULT16(d, dx + i);
  }
  for (; i < end; ++i) {
    float d = dy[i] * activate_gradient1(x[i], ACTIVATION);
#ifdef ADD
    d += sum_so_far[i];
#endif
    STORE_RESULT(d, dx + i);
  }
}

// Gated units: y (rows, width) = f(gate) * value, and
//   dgate = dy * value * f'(gate),   dvalue = dy * f(gate)
// gate and value are (rows, width) with rows `stride` floats apart: two matrices, or the halves of one. Group g works on
// rows [g * per_item, (g + 1) * per_item); LANES items share each.

#define FOR_ROWS(row)                                     \
  const int first_row_ = get_group_id(0) * per_item;       \
  const int end_row_ = min(first_row_ + per_item, rows);   \
  for (int row = first_row_; row < end_row_; ++row)

// value_offset: floats from the beginning of `value` to its first row.
kernel void gated_forward(const global float *gate, const global float *value, global float *y, int stride,
                          int value_offset, int width, int rows, int per_item) {
  const int whole = width / 16 * 16;
  value += value_offset;
  FOR_ROWS(row) {
    const global float *g = gate + (size_t)row * stride;
    const global float *v = value + (size_t)row * stride;
    global float *to = y + (size_t)row * width;
    for (int i = LANE * 16; i < whole; i += LANES * 16) VSTORE(activate16(VLOAD(g + i), ACTIVATION) * VLOAD(v + i), to + i);
    for (int i = whole + LANE; i < width; i += LANES) to[i] = activate1(g[i], ACTIVATION) * v[i];
  }
}

// The gradients lie as gate and value do, and so do the sums that they received elsewhere.
//
// parts, a sum  1: dgate is wanted. 2: dvalue is. 4, 8: the sum of dgate, of dvalue is added.
kernel void gated_backward(const global float *gate, const global float *value, const global float *dy,
                           const global float *gate_sum, const global float *value_sum, global float *dgate,
                           global float *dvalue, int stride, int value_offset, int width, int rows, int per_item,
                           int parts) {
  const int whole = width / 16 * 16;
  FOR_ROWS(row) {
    const size_t at = (size_t)row * stride;
    const global float *g = gate + at;
    const global float *v = value + at + value_offset;
    const global float *d = dy + (size_t)row * width;
    for (int i = LANE * 16; i < whole; i += LANES * 16) {
      const float16 upstream = VLOAD(d + i);
      const float16 x = VLOAD(g + i);
      if (parts & 1) {
        float16 result = upstream * VLOAD(v + i) * activate_gradient16(x, ACTIVATION);
        if (parts & 4) result += VLOAD(gate_sum + at + i);
        VSTORE(result, dgate + at + i);
      }
      if (parts & 2) {
        float16 result = upstream * activate16(x, ACTIVATION);
        if (parts & 8) result += VLOAD(value_sum + at + value_offset + i);
        VSTORE(result, dvalue + at + value_offset + i);
      }
    }
    for (int i = whole + LANE; i < width; i += LANES) {
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
