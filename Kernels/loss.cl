// Cross-entropy of logits (rows, classes) against labels (rows), with label smoothing:
//   target[k] = (1 - smoothing) * [k = label] + smoothing / classes
//   loss = log_sum_exp - sum_k target[k] * logits[k],   log_sum_exp = most + log(sum_k exp(logits[k] - most))
// Group g works on row g, its LANES items on the classes in turn. A label out of range makes the loss NaN.

// losses (rows); log_sum_exps (rows) are kept for the gradient.
kernel void cross_entropy_rows(const global float *logits, const global int *labels, global float *losses,
                               global float *log_sum_exps, int classes, float smoothing) {
  SCRATCH_DECLARE(scratch);
  const int row = get_group_id(0);
  logits += (size_t)row * classes;
  float most = -INFINITY;
  for (int k = LANE; k < classes; k += LANES) most = fmax(most, logits[k]);
  most = GROUP_MAX(most, scratch);
  float exps = 0.0f, sum = 0.0f;
  for (int k = LANE; k < classes; k += LANES) {
    exps += exp(logits[k] - most);
    // Relative to the largest, so that large logits do not swallow the digits of their differences.
    sum += logits[k] - most;
  }
  exps = GROUP_SUM(exps, scratch);
  sum = GROUP_SUM(sum, scratch);
  if (LANE == 0) {
    const int label = labels[row];
    const float wanted = label >= 0 && label < classes ? logits[label] - most : NAN;
    losses[row] = log(exps) - (1.0f - smoothing) * wanted - smoothing / classes * sum;
    log_sum_exps[row] = most + log(exps);
  }
}

// mean[0] = sum(losses) / rows, in order. One item.
kernel void cross_entropy_mean(const global float *losses, global float *mean, int rows) {
  if (get_global_id(0) > 0) return;
  float sum = 0.0f;
  for (int row = 0; row < rows; ++row) sum += losses[row];
  mean[0] = sum / rows;
}

// dlogits = (exp(logits - log_sum_exp) - target) / rows * upstream[0]
kernel void cross_entropy_gradient(const global float *logits, const global int *labels,
                                   const global float *log_sum_exps, const global float *upstream,
                                   global float *dlogits, int rows, int classes, float smoothing) {
  const int row = get_group_id(0);
  logits += (size_t)row * classes;
  dlogits += (size_t)row * classes;
  const float factor = upstream[0] / rows;
  const float log_sum_exp = log_sum_exps[row];
  const int label = labels[row];
  for (int k = LANE; k < classes; k += LANES) {
    const float target = (k == label ? 1.0f - smoothing : 0.0f) + smoothing / classes;
    dlogits[k] = factor * (exp(logits[k] - log_sum_exp) - target);
  }
}
