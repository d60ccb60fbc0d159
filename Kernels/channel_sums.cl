// Sums over the rows of dy (rows, width), the gradients of a scale and a shift of each channel:
//   products[c] = sum over rows of dy * h,   sums[c] = sum over rows of dy
// In two stages, so that work-items share the rows and yet every device adds in the same order.
//
// PRODUCTS    defined: products are wanted, not sums alone.
// STATISTICS  defined: h is x (rows, width) normalised as in layer_norm.cl by statistics (rows, 3); without it h is x.

#ifdef STATISTICS
#define NORMALIZED(v, row) (((v) - statistics[3 * (row)]) * statistics[3 * (row) + 1] - statistics[3 * (row) + 2])
#else
#define NORMALIZED(v, row) (v)
#endif

// partial (slices, 2, width): products and sums over the rows of a slice.
#if LANES == 1
// Work-item (channel / 16, slice).
kernel void channel_sums_partials(const global float *x, const global float *statistics, const global float *dy,
                                  global float *partial, int width, int rows, int per_slice) {
  const int c = get_global_id(0) * 16;
  if (c >= width) return;
  const int begin = get_global_id(1) * per_slice;
  const int end = min(begin + per_slice, rows);
  global float *products = partial + (size_t)get_global_id(1) * 2 * width;
  global float *sums = products + width;
  float16 product = 0.0f, sum = 0.0f;
  for (int row = begin; row < end; ++row) {
    const size_t at = (size_t)row * width + c;
    const float16 d = load_some(dy + at, width - c);
    sum += d;
#ifdef PRODUCTS
    product += d * NORMALIZED(load_some(x + at, width - c), row);
#endif
  }
#ifdef PRODUCTS
  store_some(product, products + c, width - c);
#endif
  store_some(sum, sums + c, width - c);
}
#else
// Group (channel / LANES, slice): a lane has a channel, and each team every TEAMS-th row.
kernel void channel_sums_partials(const global float *x, const global float *statistics, const global float *dy,
                                  global float *partial, int width, int rows, int per_slice) {
  local float scratch[TEAMS * LANES];
  const int c = get_group_id(0) * LANES + LANE;
  const int begin = get_group_id(1) * per_slice;
  const int end = min(begin + per_slice, rows);
  // Lanes behind the last channel add it up as well, and keep their sum to themselves.
  const int column = min(c, width - 1);
  float product = 0.0f, sum = 0.0f;
  for (int row = begin + TEAM; row < end; row += TEAMS) {
    const size_t at = (size_t)row * width + column;
    const float d = dy[at];
    sum += d;
#ifdef PRODUCTS
    product += d * NORMALIZED(x[at], row);
#endif
  }
  global float *products = partial + (size_t)get_group_id(1) * 2 * width;
#ifdef PRODUCTS
  product = TEAMS_SUM(product, scratch);
  if (TEAM == 0 && c < width) products[c] = product;
#endif
  sum = TEAMS_SUM(sum, scratch);
  if (TEAM == 0 && c < width) products[width + c] = sum;
}
#endif

// Slice after slice: result[i] = base[i] + sum over s of partial[s][which][i], with a base where there is one. base and
// result may be the same memory. Item i: per_item channels.
kernel void channel_sums_finish(const global float *partial, const global float *base, global float *result, int which,
                                int width, int slices, int per_item, int adds) {
  const int end = min((int)(get_global_id(0) + 1) * per_item, width);
  for (int i = get_global_id(0) * per_item; i < end; ++i) {
    float total = 0.0f;
    for (int s = 0; s < slices; ++s) total += partial[((size_t)s * 2 + which) * width + i];
    if (adds) total += base[i];
    result[i] = total;
  }
}
