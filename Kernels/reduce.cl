// First stages of sums in a fixed order: partial sums of blocks, which another kernel adds up block after block.

// partials[k] = sum of x[i]^2 over block k of `count` elements. Item k.
kernel void square_partials(const global float *x, global float *partials, int count, int per_block, int blocks) {
  const int k = get_global_id(0);
  if (k >= blocks) return;
  int i = k * per_block;
  const int end = min(i + per_block, count);
  float16 sums = 0.0f;
  for (; i + 16 <= end; i += 16) sums += VLOAD(x + i) * VLOAD(x + i);
  float sum = sum16(sums);
  for (; i < end; ++i) sum += x[i] * x[i];
  partials[k] = sum;
}
