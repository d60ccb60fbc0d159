// y = a + b and y = factor * a over contiguous arrays of `count` floats. See FOR_ELEMENTS in common.cl.

kernel void add(const global float *a, const global float *b, global float *y, int count, int per_item) {
  FOR_ELEMENTS(STORER(LOADR(a + i) + LOADR(b + i), y + i), y[i] = a[i] + b[i]);
}

kernel void scale(const global float *a, global float *y, float factor, int count, int per_item) {
  FOR_ELEMENTS(STORER(factor * LOADR(a + i), y + i), y[i] = factor * a[i]);
}
