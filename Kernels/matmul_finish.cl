// The last step of a matrix product that a library computed: y = f(scale * y + bias) + residual, in place.
//
// y, residual, pre  (m, n) row-major.
// bias              (n); so is scale, with SCALE alone. PARTS and SCALE: common.cl.

// Work-item i covers elements [i * per_item, (i + 1) * per_item) of y (count = m * n).
kernel void matmul_finish(global float *y, const global float *bias, const global float *residual,
                          global float *pre, int n, int count, int per_item SCALE_PARAMETER) {
  const int begin = get_global_id(0) * per_item;
  const int end = min(begin + per_item, count);
  for (int i = begin; i < end; ++i) finish1(y[i], i, i % n, y, bias, residual, pre, PARTS SCALE_ARGUMENT);
}
