// Stochastic depth: y[b, i] = x[b, i] * scale where random_bits(key0, key1, key2, b) >= threshold, else 0, so that an
// image's whole branch is kept or dropped; scale = 1 / (1 - probability) and threshold = probability * 2^32. The
// gradient is the same map with the same key: nothing is stored.
// Layout: x and y (B, per_image). Group (g, b) covers elements [g * per_item, (g + 1) * per_item) of image b.
//
// ADD  defined: adds sum_so_far, the gradient that x received elsewhere.

kernel void drop_path(const global float *x, const global float *sum_so_far, global float *y, uint key0, uint key1,
                      uint key2, uint threshold, float scale, int images, int per_image, int per_item) {
  const int image = get_group_id(1);
  if (image >= images) return;
  const bool is_kept = random_bits(key0, key1, key2, (uint)image) >= threshold;
  const int begin = get_group_id(0) * per_item;
  const int end = min(begin + per_item, per_image);
  const size_t first = (size_t)image * per_image;
  x += first;
  sum_so_far += first;
  y += first;
  int rest = begin;
#if LANES > 1
  // A processor's compiler makes vectors of the plain loop below.
  if (WHOLE_RUNS(per_image, 0)) {
    for (int i = begin + LANE * RUN; i < end; i += LANES * RUN) {
      floatr v = is_kept ? LOADR(x + i) * scale : (floatr)(0.0f);
#ifdef ADD
      v += LOADR(sum_so_far + i);
#endif
      STORER(v, y + i);
    }
    rest = end;
  }
#endif
  FOR_REST(i, rest, end) {
    float v = is_kept ? x[i] * scale : 0.0f;
#ifdef ADD
    v += sum_so_far[i];
#endif
    y[i] = v;
  }
}
