// Products for trainable linear layers, whose weight is small and changes at every step, and the gradients of their
// weights; that of a bias is a sum over rows: see channel_sums.cl.

// y[t][j] = sum_i x[t][i] * w[j][i] + bias[j] for few outputs: dot products along the contiguous dimension, so that
// nothing is packed and no column is padded. One work-item computes PER_ITEM rows.
//
// x         (rows, width) row-major.
// w         (outputs, width) row-major.
// y         (rows, outputs) row-major; so is residual.
//
// OUTPUTS   columns of y at a time. Default 4: 4 x 4 accumulators.
// PER_ITEM  rows of a work-item, a multiple of 4. Default 16.
// parts     1: bias (outputs) is added. 2: residual is added. Both: 3.
#ifndef PER_ITEM
#define PER_ITEM 16
#endif

#define ROWS_OF_TILE 4
#define OUTPUTS_OF_TILE 4
// Past the last row or output the last one is read again and its result dropped: tiles stay whole.
kernel void linear_narrow(const global float *x, const global float *w, global float *y, const global float *bias,
                          const global float *residual, int rows, int outputs, int width, int parts) {
  const int end_row = min((int)(get_global_id(0) + 1) * PER_ITEM, rows);
  const int whole = width / 16 * 16;
  for (int t = get_global_id(0) * PER_ITEM; t < end_row; t += ROWS_OF_TILE) {
    const global float *x0 = x + (size_t)t * width;
    const global float *x1 = x + (size_t)min(t + 1, rows - 1) * width;
    const global float *x2 = x + (size_t)min(t + 2, rows - 1) * width;
    const global float *x3 = x + (size_t)min(t + 3, rows - 1) * width;
    for (int j = 0; j < outputs; j += OUTPUTS_OF_TILE) {
      const global float *w0 = w + (size_t)j * width;
      const global float *w1 = w + (size_t)min(j + 1, outputs - 1) * width;
      const global float *w2 = w + (size_t)min(j + 2, outputs - 1) * width;
      const global float *w3 = w + (size_t)min(j + 3, outputs - 1) * width;
#define EACH_PAIR(X) \
  X(0, 0) X(0, 1) X(0, 2) X(0, 3) X(1, 0) X(1, 1) X(1, 2) X(1, 3) \
  X(2, 0) X(2, 1) X(2, 2) X(2, 3) X(3, 0) X(3, 1) X(3, 2) X(3, 3)
#define START(r, o) float16 s##r##o = 0.0f;
      EACH_PAIR(START)
      for (int i = 0; i < whole; i += 16) {
        const float16 v0 = VLOAD(x0 + i), v1 = VLOAD(x1 + i), v2 = VLOAD(x2 + i), v3 = VLOAD(x3 + i);
        const float16 u0 = VLOAD(w0 + i), u1 = VLOAD(w1 + i), u2 = VLOAD(w2 + i), u3 = VLOAD(w3 + i);
#define STEP(r, o) s##r##o = fma(v##r, u##o, s##r##o);
        EACH_PAIR(STEP)
      }
#define SUM(r, o) float t##r##o = sum16(s##r##o);
      EACH_PAIR(SUM)
      for (int i = whole; i < width; ++i) {
#define TAIL(r, o) t##r##o = fma(x##r[i], w##o[i], t##r##o);
        EACH_PAIR(TAIL)
      }
      // One copy of the last step, in a loop: sixteen took most of the time to compile.
#define ROW_SUMS(r) (float4)(t##r##0, t##r##1, t##r##2, t##r##3)
      const float4 sums[4] = {ROW_SUMS(0), ROW_SUMS(1), ROW_SUMS(2), ROW_SUMS(3)};
      COMPACT for (int r = 0; r < min(ROWS_OF_TILE, end_row - t); ++r) {
        const size_t at = (size_t)(t + r) * outputs + j;
        float4 sum = sums[r];
        if (j + OUTPUTS_OF_TILE <= outputs) {
          if (parts & 1) sum += vload4(0, bias + j);
          if (parts & 2) sum += vload4(0, residual + at);
          vstore4(sum, 0, y + at);
        } else {
          float some[4];
          vstore4(sum, 0, some);
          for (int o = 0; o < outputs - j; ++o) {
            if (parts & 1) some[o] += bias[j + o];
            if (parts & 2) some[o] += residual[at + o];
            y[at + o] = some[o];
          }
        }
      }
    }
  }
}

// First stage of a weight gradient: for each slice s of the tokens
//   partial[s][i][j] = sum over t in slice s of p[t][i] * q[t][j]
// p is (tokens, p_width), q is (tokens, q_width), both row-major. Work-item (i / 8, j / 32, s) keeps 8 x 32 sums in
// registers and walks down its tokens.
#define EACH_OF_8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

kernel void linear_weight_gradient(const global float *p, const global float *q, global float *partial, int tokens,
                                   int p_width, int q_width, int per_slice) {
  const int i = get_global_id(0) * 8, j = get_global_id(1) * 32;
  const int begin = get_global_id(2) * per_slice;
  const int end = min(begin + per_slice, tokens);
#define START_8(r)                            \
  const int o##r = min(i + r, p_width - 1);   \
  float16 l##r = 0.0f, h##r = 0.0f;
  EACH_OF_8(START_8)
#define STEP_8(r)                    \
  {                                  \
    const float16 v = row[o##r];     \
    l##r = fma(v, low, l##r);        \
    h##r = fma(v, high, h##r);       \
  }
  if (j + 32 <= q_width) {
    for (int t = begin; t < end; ++t) {
      const global float *row = p + (size_t)t * p_width;
      const float16 low = VLOAD(q + (size_t)t * q_width + j);
      const float16 high = VLOAD(q + (size_t)t * q_width + j + 16);
      EACH_OF_8(STEP_8)
    }
  } else {
    for (int t = begin; t < end; ++t) {
      const global float *row = p + (size_t)t * p_width;
      const float16 low = load_some(q + (size_t)t * q_width + j, q_width - j);
      const float16 high = load_some(q + (size_t)t * q_width + j + 16, q_width - j - 16);
      EACH_OF_8(STEP_8)
    }
  }
#define STORE_8(r)                                                                                  \
  if (i + r < p_width) {                                                                            \
    global float *target = partial + ((size_t)get_global_id(2) * p_width + i + r) * q_width + j;    \
    store_some(l##r, target, q_width - j);                                                          \
    store_some(h##r, target + 16, q_width - j - 16);                                                \
  }
  EACH_OF_8(STORE_8)
}

// Second stage, in the order of the slices:
//   sum[i][j] = base[i][j] + sum_s partial[s][i][j], or partial[s][j][i] where is_transposed
// base and sum (rows, columns) may be the same memory. Unless `adds`, base counts as zero. One work-item an element on
// GPUs; per_item of them on CPUs.
kernel void linear_reduce(const global float *partial, const global float *base, global float *sum, int rows,
                          int columns, int slices, int per_item, int is_transposed, int adds) {
  const int count = rows * columns;
  const int begin = get_global_id(0) * per_item;
  const int end = min(begin + per_item, count);
  for (int e = begin; e < end; ++e) {
    const int at = is_transposed ? e % columns * rows + e / columns : e;
    float total = 0.0f;
    for (int s = 0; s < slices; ++s) total += partial[(size_t)s * count + at];
    if (adds) total += base[e];
    sum[e] = total;
  }
}
