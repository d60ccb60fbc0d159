// Cross-entropy of logits (rows, classes) against labels (rows), with label smoothing:
//   target[k] = (1 - smoothing) * [k = label] + smoothing / classes
//   loss = log_sum_exp - sum_k target[k] * logits[k],   log_sum_exp = most + log(sum_k exp(logits[k] - most))
// A team of LANES items works on a row, TEAMS of them side by side in a group (common.cl). A label out of range makes the
// loss NaN.

// losses (rows); log_sum_exps (rows) are kept for the gradient.
WAVE_KERNEL void cross_entropy_rows(const global float *logits, const global int *labels, global float *losses,
                                    global float *log_sum_exps, int classes, int rows, float smoothing) {
  SCRATCH_DECLARE(scratch, 3);
  const int row = TEAM_ROW(rows);
  logits += (size_t)row * classes;
  const int whole = WHOLE_RUNS(classes, 0);
  floatr mosts = -INFINITY;
  float most = -INFINITY;
  FOR_RUNS(k, whole) mosts = fmax(mosts, LOADR(logits + k));
  FOR_REST(k, whole, classes) most = fmax(most, logits[k]);
  most = GROUP_MAX(fmax(max_r(mosts), most), scratch, 0);
  floatr exps_run = 0.0f, sum_run = 0.0f;
  float exps = 0.0f, sum = 0.0f;
  // Relative to the largest, so that large logits do not swallow the digits of their differences.
  FOR_RUNS(k, whole) {
    const floatr v = LOADR(logits + k) - most;
    exps_run += exp_r(v);
    sum_run += v;
  }
  FOR_REST(k, whole, classes) {
    exps += exp1(logits[k] - most);
    sum += logits[k] - most;
  }
  exps += sum_r(exps_run);
  sum += sum_r(sum_run);
  const float2 both = GROUP_SUM2((float2)(exps, sum), scratch, 1);
  exps = both.x;
  sum = both.y;
  if (LANE == 0 && IS_TEAM_ROW(rows)) {
    const int label = labels[row];
    const float wanted = label >= 0 && label < classes ? logits[label] - most : NAN;
    losses[row] = log(exps) - (1.0f - smoothing) * wanted - smoothing / classes * sum;
    log_sum_exps[row] = most + log(exps);
  }
}

// mean[0] = sum(losses) / rows: on a CPU in order; elsewhere each lane adds up every LANES-th loss. One group.
WAVE_KERNEL void cross_entropy_mean(const global float *losses, global float *mean, int rows) {
  SCRATCH_DECLARE(scratch, 1);
  float sum = 0.0f;
  for (int row = LANE; row < rows; row += LANES) sum += losses[row];
  sum = GROUP_SUM(sum, scratch, 0);
  if (LANE == 0 && TEAM == 0) mean[0] = sum / rows;
}

// The share of classes k ... k + RUN - 1 in the target.
inline floatr target_run(int k, int label, float even, float smoothing) {
  floatr target = even;
#if LANES == 1
  if (label >= k && label < k + RUN) ((float *)&target)[label - k] += 1.0f - smoothing;
#else
  // No address is taken: it would put the run into memory.
  target += k + (int4)(0, 1, 2, 3) == label ? (floatr)(1.0f - smoothing) : (floatr)(0.0f);
#endif
  return target;
}

// dlogits = (exp(logits - log_sum_exp) - target) / rows * upstream[0]
kernel void cross_entropy_gradient(const global float *logits, const global int *labels,
                                   const global float *log_sum_exps, const global float *upstream,
                                   global float *dlogits, int rows, int classes, float smoothing) {
  const int row = TEAM_ROW(rows);
  if (!IS_TEAM_ROW(rows)) return;
  logits += (size_t)row * classes;
  dlogits += (size_t)row * classes;
  const float factor = upstream[0] / rows;
  const float log_sum_exp = log_sum_exps[row];
  const int label = labels[row];
  const float even = smoothing / classes;
  const int whole = WHOLE_RUNS(classes, 0);
  FOR_RUNS(k, whole) {
    const floatr target = target_run(k, label, even, smoothing);
    STORER(factor * (exp_r(LOADR(logits + k) - log_sum_exp) - target), dlogits + k);
  }
  FOR_REST(k, whole, classes)
    dlogits[k] = factor * (exp1(logits[k] - log_sum_exp) - even - (k == label ? 1.0f - smoothing : 0.0f));
}
