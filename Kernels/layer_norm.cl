// Layer normalisation of each row of x (rows, width):
//   y = (x - mean) * inverse * weight + bias,   inverse = 1 / sqrt(variance + epsilon)
// The variance is taken in a second pass from centred values: E[x^2] - E[x]^2 cancels when the mean is large.
// Group g works on row g, its LANES items on 16 elements each in turn.
//
// statistics (rows, 2): mean and inverse, kept for the gradient.

#ifndef LANES
#define LANES 1
#endif

kernel void layer_norm_forward(const global float *x, const global float *weight, const global float *bias,
                               global float *y, global float *statistics, int width, float epsilon) {
  SCRATCH_DECLARE(scratch);
  const int row = get_group_id(0);
  const int whole = width / 16 * 16;
  x += (size_t)row * width;
  y += (size_t)row * width;

  float16 sums = 0.0f;
  float sum = 0.0f;
  for (int i = LANE * 16; i < whole; i += LANES * 16) sums += VLOAD(x + i);
  for (int i = whole + LANE; i < width; i += LANES) sum += x[i];
  const float mean = GROUP_SUM(sum16(sums) + sum, scratch) / width;

  sums = 0.0f;
  sum = 0.0f;
  for (int i = LANE * 16; i < whole; i += LANES * 16) {
    const float16 centred = VLOAD(x + i) - mean;
    sums += centred * centred;
  }
  for (int i = whole + LANE; i < width; i += LANES) sum += (x[i] - mean) * (x[i] - mean);
  const float variance = GROUP_SUM(sum16(sums) + sum, scratch) / width;
  const float inverse = 1.0f / sqrt(variance + epsilon);

  for (int i = LANE * 16; i < whole; i += LANES * 16)
    VSTORE((VLOAD(x + i) - mean) * inverse * VLOAD(weight + i) + VLOAD(bias + i), y + i);
  for (int i = whole + LANE; i < width; i += LANES) y[i] = (x[i] - mean) * inverse * weight[i] + bias[i];
  if (LANE == 0) {
    statistics[2 * row] = mean;
    statistics[2 * row + 1] = inverse;
  }
}

// With h = (x - mean) * inverse and g = dy * weight:
//   dx = inverse * (g - mean(g) - h * mean(g * h)) [+ sum, the gradient that x received elsewhere; macro ADD]
kernel void layer_norm_backward(const global float *x, const global float *weight, const global float *dy,
                                const global float *statistics, const global float *sum_so_far,
                                global float *dx, int width) {
  SCRATCH_DECLARE(scratch);
  const int row = get_group_id(0);
  const int whole = width / 16 * 16;
  const float mean = statistics[2 * row];
  const float inverse = statistics[2 * row + 1];
  x += (size_t)row * width;
  dy += (size_t)row * width;
  dx += (size_t)row * width;
  sum_so_far += (size_t)row * width;

  float16 gs = 0.0f, ghs = 0.0f;
  float g1 = 0.0f, gh1 = 0.0f;
  for (int i = LANE * 16; i < whole; i += LANES * 16) {
    const float16 g = VLOAD(dy + i) * VLOAD(weight + i);
    gs += g;
    ghs += g * ((VLOAD(x + i) - mean) * inverse);
  }
  for (int i = whole + LANE; i < width; i += LANES) {
    const float g = dy[i] * weight[i];
    g1 += g;
    gh1 += g * ((x[i] - mean) * inverse);
  }
  const float g_mean = GROUP_SUM(sum16(gs) + g1, scratch) / width;
  const float gh_mean = GROUP_SUM(sum16(ghs) + gh1, scratch) / width;

  for (int i = LANE * 16; i < whole; i += LANES * 16) {
    const float16 h = (VLOAD(x + i) - mean) * inverse;
    float16 d = inverse * (VLOAD(dy + i) * VLOAD(weight + i) - g_mean - h * gh_mean);
#ifdef ADD
    d += VLOAD(sum_so_far + i);
#endif
    VSTORE(d, dx + i);
  }
  for (int i = whole + LANE; i < width; i += LANES) {
    const float h = (x[i] - mean) * inverse;
    float d = inverse * (dy[i] * weight[i] - g_mean - h * gh_mean);
#ifdef ADD
    d += sum_so_far[i];
#endif
    dx[i] = d;
  }
}

// Gradients of scale and shift, added to what they have gathered so far:
//   dweight[c] += sum over rows of dy * (x - mean) * inverse,   dbias[c] += sum over rows of dy
// Item g works on channels [g * VEC, (g + 1) * VEC) and adds up their rows in order; see common.cl for VEC.
//
// WEIGHT, BIAS  defined: that gradient is wanted.
kernel void layer_norm_parameters_backward(const global float *x, const global float *dy,
                                           const global float *statistics, global float *dweight,
                                           global float *dbias, int rows, int width) {
  const int c = get_global_id(0) * VEC;
  if (c >= width) return;
  floatv weight_sum = 0.0f, bias_sum = 0.0f;
  for (int row = 0; row < rows; ++row) {
    const size_t at = (size_t)row * width + c;
    const floatv d = LOADV(dy + at);
    weight_sum += d * ((LOADV(x + at) - statistics[2 * row]) * statistics[2 * row + 1]);
    bias_sum += d;
  }
#ifdef WEIGHT
  STOREV(LOADV(dweight + c) + weight_sum, dweight + c);
#endif
#ifdef BIAS
  STOREV(LOADV(dbias + c) + bias_sum, dbias + c);
#endif
}
