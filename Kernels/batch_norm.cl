// Batch normalisation of each channel of x (rows, channels) over all rows:
//   y = (x - mean) * inverse * weight + bias,   inverse = 1 / sqrt(variance + epsilon)
// In training mean and biased variance are the batch's, the variance from centred values in a second pass; in
// inference they are the running ones. As in layer_norm.cl, what the rounded mean is off by is taken off again:
//   h = (x - mean) * inverse - rest,   rest = mean(x - mean) * inverse,   y = h * weight + bias
//
// A group works on LANES * VEC channels. On a CPU (LANES 1, TEAMS 1) its one item runs down all rows; elsewhere VEC is 1, a
// lane has a channel, and each team every TEAMS-th row. See common.cl for the macros.

// Teams' sums, and lanes behind the last channel, which work on it as well and keep the result to themselves.
#if LANES == 1
#define TEAM_SCRATCH
#define CHANNEL ((int)get_group_id(0) * VEC)
#define IS_CHANNEL 1
#else
#define TEAM_SCRATCH local float scratch[TEAMS * LANES]
#define CHANNEL min((int)get_group_id(0) * LANES + LANE, channels - 1)
#define IS_CHANNEL ((int)get_group_id(0) * LANES + LANE < channels)
#endif

// Sums over rows of what the statement adds to `part`, four independent chains so that additions overlap.
#define SUM_ROWS(result, expression)                                                       \
  {                                                                                        \
    floatv p0 = (floatv)(0.0f), p1 = p0, p2 = p0, p3 = p0;                                  \
    int row = TEAM;                                                                        \
    for (; row + 3 * TEAMS < rows; row += 4 * TEAMS) {                                     \
      { const size_t at = (size_t)row * channels; p0 += (expression); }                    \
      { const size_t at = (size_t)(row + TEAMS) * channels; p1 += (expression); }          \
      { const size_t at = (size_t)(row + 2 * TEAMS) * channels; p2 += (expression); }      \
      { const size_t at = (size_t)(row + 3 * TEAMS) * channels; p3 += (expression); }      \
    }                                                                                      \
    for (; row < rows; row += TEAMS) {                                                     \
      const size_t at = (size_t)row * channels;                                            \
      p0 += (expression);                                                                  \
    }                                                                                      \
    result = TEAMS_SUM((p0 + p1) + (p2 + p3), scratch);                                  \
  }

// Also moves the running statistics: running = (1 - momentum) * running + momentum * batch, the variance unbiased.
// statistics (3, channels): mean, inverse and rest, kept for the gradient.
kernel void batch_norm_training(const global float *x, const global float *weight, const global float *bias,
                                global float *running_mean, global float *running_variance, global float *y,
                                global float *statistics, int rows, int channels, float epsilon,
                                float momentum) {
  TEAM_SCRATCH;
  const int c = CHANNEL;
  x += c;
  y += c;
  floatv mean, off, variance;
  SUM_ROWS(mean, LOADV(x + at));
  mean /= rows;
  SUM_ROWS(off, LOADV(x + at) - mean);
  off /= rows;
  SUM_ROWS(variance, (LOADV(x + at) - mean - off) * (LOADV(x + at) - mean - off));
  variance /= rows;
  if (!IS_CHANNEL) return;
  const floatv inverse = 1.0f / sqrt(variance + epsilon);
  const floatv rest = off * inverse;
  const floatv scale = LOADV(weight + c);
  const floatv shift = LOADV(bias + c);
  for (int row = TEAM; row < rows; row += TEAMS) {
    const size_t at = (size_t)row * channels;
    STOREV(((LOADV(x + at) - mean) * inverse - rest) * scale + shift, y + at);
  }
  if (TEAM == 0) {
    STOREV(mean, statistics + c);
    STOREV(inverse, statistics + channels + c);
    STOREV(rest, statistics + 2 * channels + c);
    const floatv unbiased = variance * ((float)rows / (float)(rows - 1));
    STOREV((1.0f - momentum) * LOADV(running_mean + c) + momentum * mean, running_mean + c);
    STOREV((1.0f - momentum) * LOADV(running_variance + c) + momentum * unbiased, running_variance + c);
  }
}

// Item (c / VEC, block), neighbours on neighbouring channels: rows [block * per_item, (block + 1) * per_item).
kernel void batch_norm_inference(const global float *x, const global float *weight, const global float *bias,
                                 const global float *running_mean, const global float *running_variance,
                                 global float *y, int rows, int channels, float epsilon, int per_item) {
  const int c = get_global_id(0) * VEC;
  if (c >= channels) return;
  const int first = get_global_id(1) * per_item;
  const int last = min(first + per_item, rows);
  const floatv mean = LOADV(running_mean + c);
  const floatv factor = LOADV(weight + c) / sqrt(LOADV(running_variance + c) + epsilon);
  const floatv shift = LOADV(bias + c);
  for (int row = first; row < last; ++row) {
    const size_t at = (size_t)row * channels + c;
    STOREV((LOADV(x + at) - mean) * factor + shift, y + at);
  }
}

// The means are over rows:
//   dweight += sum(dy * h),  dbias += sum(dy),  dx = weight * inverse * (dy - mean(dy) - h * mean(dy * h)) [+ sum_so_far]
// Each where it is wanted; sum_so_far is what x received elsewhere.
kernel void batch_norm_backward(const global float *x, const global float *weight, const global float *dy,
                                const global float *statistics, const global float *sum_so_far, global float *dx,
                                global float *dweight, global float *dbias, int rows, int channels,
                                int adds_weight, int adds_bias, int wants_input, int adds) {
  TEAM_SCRATCH;
  const int c = CHANNEL;
  x += c;
  dy += c;
  dx += c;
  sum_so_far += c;
  const floatv mean = LOADV(statistics + c);
  const floatv inverse = LOADV(statistics + channels + c);
  const floatv rest = LOADV(statistics + 2 * channels + c);
  floatv g_sum, gh_sum;
  SUM_ROWS(g_sum, LOADV(dy + at));
  SUM_ROWS(gh_sum, LOADV(dy + at) * ((LOADV(x + at) - mean) * inverse - rest));
  if (!IS_CHANNEL) return;
  if (TEAM == 0) {
    if (adds_weight) STOREV(LOADV(dweight + c) + gh_sum, dweight + c);
    if (adds_bias) STOREV(LOADV(dbias + c) + g_sum, dbias + c);
  }
  if (!wants_input) return;
  const floatv factor = inverse * LOADV(weight + c);
  const floatv g_mean = g_sum / rows;
  const floatv gh_mean = gh_sum / rows;
  for (int row = TEAM; row < rows; row += TEAMS) {
    const size_t at = (size_t)row * channels;
    const floatv h = (LOADV(x + at) - mean) * inverse - rest;
    floatv d = factor * (LOADV(dy + at) - g_mean - h * gh_mean);
    if (adds) d += LOADV(sum_so_far + at);
    STOREV(d, dx + at);
  }
}
