// Adds to the gradients of parameters what products left of them in slices of rows, in order:
//   gradients[i] += sum_s slices[s * stride + i],   i from `first` on, four neighbours an item, `quads` items in all
// Gaps between parameters are zero in both.

kernel void gradient_slices(const global float *slices, global float *gradients, int first, int quads, int stride,
                            int count) {
  const int item = get_global_id(0);
  if (item >= quads) return;
  const int at = first + 4 * item;
  float4 sum = 0.0f;
  for (int s = 0; s < count; ++s) sum += *(const global float4 *)(slices + (size_t)s * stride + at);
  global float4 *to = (global float4 *)(gradients + at);
  *to += sum;
}
