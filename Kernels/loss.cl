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
  const int whole = classes / 16 * 16;
  float16 most16 = -INFINITY;
  float most = -INFINITY;
  for (int k = LANE * 16; k < whole; k += LANES * 16) most16 = fmax(most16, VLOAD(logits + k));
  for (int k = whole + LANE; k < classes; k += LANES) most = fmax(most, logits[k]);
  most = GROUP_MAX(fmax(max16(most16), most), scratch);
  float16 exps16 = 0.0f, sum16s = 0.0f;
  float exps = 0.0f, sum = 0.0f;
  // Relative to the largest, so that large logits do not swallow the digits of their differences.
  for (int k = LANE * 16; k < whole; k += LANES * 16) {
    const float16 v = VLOAD(logits + k) - most;
    exps16 += exp16(v);
    sum16s += v;
  }
  for (int k = whole + LANE; k < classes; k += LANES) {
    exps += exp1(logits[k] - most);
    sum += logits[k] - most;
  }
  exps += sum16(exps16);
  sum += sum16(sum16s);
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
  const float even = smoothing / classes;
  const int whole = classes / 16 * 16;
  for (int k = LANE * 16; k < whole; k += LANES * 16) {
    float16 target = even;
    if (label >= k && label < k + 16) ((float *)&target)[label - k] += 1.0f - smoothing;
    VSTORE(factor * (exp16(VLOAD(logits + k) - log_sum_exp) - target), dlogits + k);
  }
  for (int k = whole + LANE; k < classes; k += LANES)
    dlogits[k] = factor * (exp1(logits[k] - log_sum_exp) - even - (k == label ? 1.0f - smoothing : 0.0f));
}
