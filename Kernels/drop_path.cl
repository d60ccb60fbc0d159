// Stochastic depth: y[b, i] = x[b, i] * scale where random_bits(key0, key1, key2, b) >= threshold, else 0, so that an
// image's whole branch is kept or dropped; scale = 1 / (1 - probability) and threshold = probability * 2^32. The
// gradient is the same map with the same key: nothing is stored.
// Layout: x and y (B, per_image). Work-item (i, b) covers elements [i * per_item, (i + 1) * per_item) of image b.
//
// ADD  defined: adds sum_so_far, the gradient that x received elsewhere.

kernel void drop_path(const global float *x, const global float *sum_so_far, global float *y, uint key0, uint key1,
                      uint key2, uint threshold, float scale, int images, int per_image, int per_item) {
  const int image = get_global_id(1);
  if (image >= images) return;
  const bool is_kept = random_bits(key0, key1, key2, (uint)image) >= threshold;
  const int end = min(((int)get_global_id(0) + 1) * per_item, per_image);
  const size_t first = (size_t)image * per_image;
  for (int i = get_global_id(0) * per_item; i < end; ++i) {
    float v = is_kept ? x[first + i] * scale : 0.0f;
#ifdef ADD
    v += sum_so_far[first + i];
#endif
    y[first + i] = v;
  }
}
