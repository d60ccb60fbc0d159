// First stages of sums in a fixed order: partial sums of blocks, which another kernel adds up.

// partials[k] = sum of x[i]^2 over block k of per_block elements, a multiple of RUN, of `count`. Group k.
WAVE_KERNEL void square_partials(const global float *x, global float *partials, int count, int per_block, int blocks) {
  SCRATCH_DECLARE(scratch, 1);
  const int k = get_group_id(0);
  if (k >= blocks) return;
  const int begin = k * per_block;
  const int end = min(begin + per_block, count);
  const int whole = begin + (end - begin) / RUN * RUN;
  floatr sums = 0.0f;
  for (int i = begin + LANE * RUN; i < whole; i += LANES * RUN) sums += LOADR(x + i) * LOADR(x + i);
  float sum = sum_r(sums);
  FOR_REST(i, whole, end) sum += x[i] * x[i];
  sum = GROUP_SUM(sum, scratch, 0);
  if (LANE == 0) partials[k] = sum;
}
