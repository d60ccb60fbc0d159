// y[i] = x[i] * scale where random_bits(key0, key1, key2, i) >= threshold, else 0; scale = 1 / (1 - probability) and
// threshold = probability * 2^32. The gradient is the same map with the same key: the mask is never stored.
// Work-item i covers elements [i * per_item, (i + 1) * per_item).
//
// ADD  defined: adds sum_so_far, the gradient that x received elsewhere.

kernel void dropout(const global float *x, const global float *sum_so_far, global float *y, uint key0, uint key1,
                    uint key2, uint threshold, float scale, int count, int per_item) {
  const int begin = get_global_id(0) * per_item;
  const int end = min(begin + per_item, count);
  int i = begin;
  for (; i + 16 <= end; i += 16) {
    float16 v = random_bits16(key0, key1, key2, (uint)i) >= threshold ? VLOAD(x + i) * scale : 0.0f;
#ifdef ADD
    v += VLOAD(sum_so_far + i);
#endif
    VSTORE(v, y + i);
  }
  for (; i < end; ++i) {
    float v = random_bits(key0, key1, key2, (uint)i) >= threshold ? x[i] * scale : 0.0f;
#ifdef ADD
    v += sum_so_far[i];
#endif
    y[i] = v;
  }
}
