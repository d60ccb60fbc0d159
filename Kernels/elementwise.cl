// y = a + b and y = factor * a over contiguous arrays of `count` floats.
// Work-item i covers elements [i * per_item, (i + 1) * per_item).

kernel void add(const global float *a, const global float *b, global float *y, int count, int per_item) {
  const int begin = get_global_id(0) * per_item;
  const int end = min(begin + per_item, count);
  int i = begin;
  for (; i + 16 <= end; i += 16) VSTORE(VLOAD(a + i) + VLOAD(b + i), y + i);
  for (; i < end; ++i) y[i] = a[i] + b[i];
}

kernel void scale(const global float *a, global float *y, float factor, int count, int per_item) {
  const int begin = get_global_id(0) * per_item;
  const int end = min(begin + per_item, count);
  int i = begin;
  for (; i + 16 <= end; i += 16) VSTORE(factor * VLOAD(a + i), y + i);
  for (; i < end; ++i) y[i] = factor * a[i];
}
