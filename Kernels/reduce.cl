// Sums in two stages, always in the same order: partial sums of blocks, then a sum over the blocks.

// partials[k,c] = sum of x[row,c] over rows [k * rows_per_block, (k+1) * rows_per_block) of x (rows, width).
// Item (c / 16, k).
kernel void column_partials(const global float *x, global float *partials, int rows, int width,
                            int rows_per_block) {
  const int c = get_global_id(0) * 16;
  if (c >= width) return;
  const int first = get_global_id(1) * rows_per_block;
  const int last = min(first + rows_per_block, rows);
  partials += (size_t)get_global_id(1) * width;
  if (c + 16 <= width) {
    float16 sum = 0.0f;
    for (int row = first; row < last; ++row) sum += VLOAD(x + (size_t)row * width + c);
    VSTORE(sum, partials + c);
    return;
  }
  for (int i = c; i < width; ++i) {
    float sum = 0.0f;
    for (int row = first; row < last; ++row) sum += x[(size_t)row * width + i];
    partials[i] = sum;
  }
}

// target[i] += sum_k partials[k,i] of partials (blocks, count). Item i.
kernel void add_blocks(const global float *partials, global float *target, int count, int blocks) {
  const int i = get_global_id(0);
  if (i >= count) return;
  float sum = 0.0f;
  for (int k = 0; k < blocks; ++k) sum += partials[(size_t)k * count + i];
  target[i] += sum;
}

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
