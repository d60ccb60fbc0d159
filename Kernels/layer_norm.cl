// Layer normalisation of each row of x (rows, width):
//   y = (x - mean) * inverse * weight + bias,   inverse = 1 / sqrt(variance + epsilon)
// The variance is taken in a second pass from centred values: E[x^2] - E[x]^2 cancels when the mean is large. Where the
// mean is large beside the spread, its own rounding would show: what it is off by is the mean of the centred values, so
//   h = (x - mean) * inverse - rest,   rest = mean(x - mean) * inverse,   y = h * weight + bias
// Group g works on row g, its LANES items on 16 elements each in turn.
//
// statistics (rows, 3): mean, inverse and rest, kept for the gradient.

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

  float16 squares = 0.0f;
  float square = 0.0f;
  sums = 0.0f;
  sum = 0.0f;
  for (int i = LANE * 16; i < whole; i += LANES * 16) {
    const float16 centred = VLOAD(x + i) - mean;
    sums += centred;
    squares += centred * centred;
  }
  for (int i = whole + LANE; i < width; i += LANES) {
    const float centred = x[i] - mean;
    sum += centred;
    square += centred * centred;
  }
  const float off = GROUP_SUM(sum16(sums) + sum, scratch) / width;
  const float variance = max(GROUP_SUM(sum16(squares) + square, scratch) / width - off * off, 0.0f);
  const float inverse = 1.0f / sqrt(variance + epsilon);
  const float rest = off * inverse;

  for (int i = LANE * 16; i < whole; i += LANES * 16)
    VSTORE(((VLOAD(x + i) - mean) * inverse - rest) * VLOAD(weight + i) + VLOAD(bias + i), y + i);
  for (int i = whole + LANE; i < width; i += LANES)
    y[i] = ((x[i] - mean) * inverse - rest) * weight[i] + bias[i];
  if (LANE == 0) {
    statistics[3 * row] = mean;
    statistics[3 * row + 1] = inverse;
    statistics[3 * row + 2] = rest;
  }
}

// With g = dy * weight:
//   dx = inverse * (g - mean(g) - h * mean(g * h)) [+ sum_so_far, what x received elsewhere, where `adds`]
// The gradients of weight and bias are sums over rows: see channel_sums.cl.
kernel void layer_norm_backward(const global float *x, const global float *weight, const global float *dy,
                                const global float *statistics, const global float *sum_so_far,
                                global float *dx, int width, int adds) {
  SCRATCH_DECLARE(scratch);
  const int row = get_group_id(0);
  const int whole = width / 16 * 16;
  const float mean = statistics[3 * row];
  const float inverse = statistics[3 * row + 1];
  const float rest = statistics[3 * row + 2];
  x += (size_t)row * width;
  dy += (size_t)row * width;
  dx += (size_t)row * width;
  sum_so_far += (size_t)row * width;

  float16 gs = 0.0f, ghs = 0.0f;
  float g1 = 0.0f, gh1 = 0.0f;
  for (int i = LANE * 16; i < whole; i += LANES * 16) {
    const float16 g = VLOAD(dy + i) * VLOAD(weight + i);
    gs += g;
    ghs += g * ((VLOAD(x + i) - mean) * inverse - rest);
  }
  for (int i = whole + LANE; i < width; i += LANES) {
    const float g = dy[i] * weight[i];
    g1 += g;
    gh1 += g * ((x[i] - mean) * inverse - rest);
  }
  const float g_mean = GROUP_SUM(sum16(gs) + g1, scratch) / width;
  const float gh_mean = GROUP_SUM(sum16(ghs) + gh1, scratch) / width;

  for (int i = LANE * 16; i < whole; i += LANES * 16) {
    const float16 h = (VLOAD(x + i) - mean) * inverse - rest;
    float16 d = inverse * (VLOAD(dy + i) * VLOAD(weight + i) - g_mean - h * gh_mean);
    if (adds) d += VLOAD(sum_so_far + i);
    VSTORE(d, dx + i);
  }
  for (int i = whole + LANE; i < width; i += LANES) {
    const float h = (x[i] - mean) * inverse - rest;
    float d = inverse * (dy[i] * weight[i] - g_mean - h * gh_mean);
    if (adds) d += sum_so_far[i];
    dx[i] = d;
  }
}
