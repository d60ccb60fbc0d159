// Layer normalisation of each row of x (rows, width):
//   y = (x - mean) * inverse * weight + bias,   inverse = 1 / sqrt(variance + epsilon)
// The variance is taken in a second pass from centred values: E[x^2] - E[x]^2 cancels when the mean is large. Where the
// mean is large beside the spread, its own rounding would show: what it is off by is the mean of the centred values, so
//   h = (x - mean) * inverse - rest,   rest = mean(x - mean) * inverse,   y = h * weight + bias
// A team of LANES items works on a row, TEAMS of them side by side in a group (common.cl).
//
// KEPT  runs of a row that an item keeps from one pass to the next (common.cl).
//
// statistics (rows, 3): mean, inverse and rest, kept for the gradient.

WAVE_KERNEL void layer_norm_forward(const global float *x, const global float *weight, const global float *bias,
                                    global float *y, global float *statistics, int width, int rows, float epsilon) {
  SCRATCH_DECLARE(scratch, 3);
  const int row = TEAM_ROW(rows);
  const int whole = WHOLE_RUNS(width, 0);
  x += (size_t)row * width;
  y += (size_t)row * width;
  KEEP_RUNS(kept);

  floatr sums = 0.0f;
  float sum = 0.0f;
  FOR_KEPT(j, i) sums += KEEP_RUN(kept, j, LOADR(x + i));
  FOR_REST(i, whole, width) sum += x[i];
  const float mean = GROUP_SUM(sum_r(sums) + sum, scratch, 0) / width;

  floatr squares = 0.0f;
  float square = 0.0f;
  sums = 0.0f;
  sum = 0.0f;
  FOR_KEPT(j, i) {
    const floatr centred = KEPT_RUN(kept, j, LOADR(x + i)) - mean;
    sums += centred;
    squares += centred * centred;
  }
  FOR_REST(i, whole, width) {
    const float centred = x[i] - mean;
    sum += centred;
    square += centred * centred;
  }
  const float2 both = GROUP_SUM2((float2)(sum_r(sums) + sum, sum_r(squares) + square), scratch, 1);
  const float off = both.x / width;
  const float variance = max(both.y / width - off * off, 0.0f);
  const float inverse = 1.0f / sqrt(variance + epsilon);
  const float rest = off * inverse;

  if (!IS_TEAM_ROW(rows)) return;
  FOR_KEPT(j, i)
    STORER(((KEPT_RUN(kept, j, LOADR(x + i)) - mean) * inverse - rest) * LOADR(weight + i) + LOADR(bias + i), y + i);
  FOR_REST(i, whole, width) y[i] = ((x[i] - mean) * inverse - rest) * weight[i] + bias[i];
  if (LANE == 0) {
    statistics[3 * row] = mean;
    statistics[3 * row + 1] = inverse;
    statistics[3 * row + 2] = rest;
  }
}

// With g = dy * weight:
//   dx = inverse * (g - mean(g) - h * mean(g * h)) [+ sum_so_far, what x received elsewhere, where `adds`]
// The gradients of weight and bias are sums over rows: see channel_sums.cl.
WAVE_KERNEL void layer_norm_backward(const global float *x, const global float *weight, const global float *dy,
                                     const global float *statistics, const global float *sum_so_far,
                                     global float *dx, int width, int rows, int adds) {
  SCRATCH_DECLARE(scratch, 2);
  const int row = TEAM_ROW(rows);
  const int whole = WHOLE_RUNS(width, 0);
  const float mean = statistics[3 * row];
  const float inverse = statistics[3 * row + 1];
  const float rest = statistics[3 * row + 2];
  x += (size_t)row * width;
  dy += (size_t)row * width;
  dx += (size_t)row * width;
  sum_so_far += (size_t)row * width;
  KEEP_RUNS(kept_dy);
  KEEP_RUNS(kept_h);

  floatr gs = 0.0f, ghs = 0.0f;
  float g1 = 0.0f, gh1 = 0.0f;
  FOR_KEPT(j, i) {
    const floatr g = KEEP_RUN(kept_dy, j, LOADR(dy + i)) * LOADR(weight + i);
    gs += g;
    ghs += g * (KEEP_RUN(kept_h, j, (LOADR(x + i) - mean) * inverse - rest));
  }
  FOR_REST(i, whole, width) {
    const float g = dy[i] * weight[i];
    g1 += g;
    gh1 += g * ((x[i] - mean) * inverse - rest);
  }
  const float2 both = GROUP_SUM2((float2)(sum_r(gs) + g1, sum_r(ghs) + gh1), scratch, 0);
  const float g_mean = both.x / width;
  const float gh_mean = both.y / width;

  if (!IS_TEAM_ROW(rows)) return;
  FOR_KEPT(j, i) {
    const floatr h = KEPT_RUN(kept_h, j, (LOADR(x + i) - mean) * inverse - rest);
    floatr d = inverse * (KEPT_RUN(kept_dy, j, LOADR(dy + i)) * LOADR(weight + i) - g_mean - h * gh_mean);
    if (adds) d += LOADR(sum_so_far + i);
    STORER(d, dx + i);
  }
  FOR_REST(i, whole, width) {
    const float h = (x[i] - mean) * inverse - rest;
    float d = inverse * (dy[i] * weight[i] - g_mean - h * gh_mean);
    if (adds) d += sum_so_far[i];
    dx[i] = d;
  }
}
