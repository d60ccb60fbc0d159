// A scale and a shift of each channel of x (rows, width):
//   y = x * scale + factor * (shift - origin)
// scale, shift, origin, factor: (width).
//
// SCALE, SHIFT     defined: that part of the formula is there.
// ORIGIN, FACTOR   defined: likewise; without them origin is 0 and factor 1.
// ADD              defined: sum_so_far, of the result's shape, is added to a gradient.
//
// Item i of dimension 0 works on rows [i * per_item, (i + 1) * per_item) together with its group: LANES items share
// each row.

#define ELEMENT(p) (*(p))
#define STORE_ELEMENT(v, p) (*(p) = (v))

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
#ifdef FACTOR
#define SHIFT_OF(LOAD) (LOAD(factor + i) * MOVED(LOAD))
#else
#define SHIFT_OF(LOAD) MOVED(LOAD)
#endif
#ifdef SHIFT
#define SHIFTED(v, LOAD) ((v) + SHIFT_OF(LOAD))
#else
#define SHIFTED(v, LOAD) (v)
#endif
#ifdef ADD
#define SUMMED(v, LOAD) ((v) + LOAD(sum + i))
#else
#define SUMMED(v, LOAD) (v)
#endif

kernel void scale_shift_forward(const global float *x, const global float *scale, const global float *shift,
                                const global float *origin, const global float *factor, global float *y, int width,
                                int rows, int per_item) {
  const int end = min((int)(get_group_id(0) + 1) * per_item, rows);
  const int whole = width / 16 * 16;
  for (int row = get_group_id(0) * per_item; row < end; ++row) {
    const global float *from = x + (size_t)row * width;
    global float *to = y + (size_t)row * width;
    for (int i = LANE * 16; i < whole; i += LANES * 16)
      VSTORE(SHIFTED(SCALED(VLOAD(from + i), VLOAD), VLOAD), to + i);
    for (int i = whole + LANE; i < width; i += LANES) to[i] = SHIFTED(SCALED(from[i], ELEMENT), ELEMENT);
  }
}

// dx = dy * scale [+ sum_so_far].
kernel void scale_shift_backward(const global float *dy, const global float *scale, const global float *sum_so_far,
                                 global float *dx, int width, int rows, int per_item) {
  const int end = min((int)(get_group_id(0) + 1) * per_item, rows);
  const int whole = width / 16 * 16;
  for (int row = get_group_id(0) * per_item; row < end; ++row) {
    const global float *from = dy + (size_t)row * width;
    const global float *sum = sum_so_far + (size_t)row * width;
    global float *to = dx + (size_t)row * width;
    for (int i = LANE * 16; i < whole; i += LANES * 16)
      VSTORE(SUMMED(SCALED(VLOAD(from + i), VLOAD), VLOAD), to + i);
    for (int i = whole + LANE; i < width; i += LANES) to[i] = SUMMED(SCALED(from[i], ELEMENT), ELEMENT);
  }
}

// First stage of the gradients of scale and shift: partial (slices, 2, width) holds the sums of dy * x (SCALE) and of
// dy (SHIFT) over the rows of a slice. Work-item (channel / 16, slice).
kernel void scale_shift_partials(const global float *x, const global float *dy, global float *partial, int width,
                                 int rows, int per_slice) {
  const int j = get_global_id(0) * 16;
  if (j >= width) return;
  const int begin = get_global_id(1) * per_slice;
  const int end = min(begin + per_slice, rows);
  global float *scales = partial + (size_t)get_global_id(1) * 2 * width;
  global float *shifts = scales + width;
  if (j + 16 <= width) {
    float16 products = 0.0f, sums = 0.0f;
    for (int t = begin; t < end; ++t) {
      const float16 d = VLOAD(dy + (size_t)t * width + j);
      sums += d;
#ifdef SCALE
      products += d * VLOAD(x + (size_t)t * width + j);
#endif
    }
#ifdef SCALE
    VSTORE(products, scales + j);
#endif
    VSTORE(sums, shifts + j);
    return;
  }
  for (int i = j; i < width; ++i) {
    float product = 0.0f, sum = 0.0f;
    for (int t = begin; t < end; ++t) {
      const float d = dy[(size_t)t * width + i];
      sum += d;
#ifdef SCALE
      product += d * x[(size_t)t * width + i];
#endif
    }
#ifdef SCALE
    scales[i] = product;
#endif
    shifts[i] = sum;
  }
}

// Second stage, slice after slice: sum[i] = base[i] + factor[i] * sum_s partial[s][which][i]. base and sum may be the
// same memory; without ADD defined, base counts as zero. Item i of dimension 0: per_item channels.
kernel void scale_shift_finish(const global float *partial, const global float *factor, const global float *base,
                               global float *sum, int which, int width, int slices, int per_item) {
  const int end = min((int)(get_global_id(0) + 1) * per_item, width);
  for (int i = get_global_id(0) * per_item; i < end; ++i) {
    float total = 0.0f;
    for (int s = 0; s < slices; ++s) total += partial[((size_t)s * 2 + which) * width + i];
#ifdef FACTOR
    total *= factor[i];
#endif
#ifdef ADD
    total += base[i];
#endif
    sum[i] = total;
  }
}
