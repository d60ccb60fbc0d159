// y[i] = x[i] * scale where random_bits(key0, key1, key2, i) >= threshold, else 0; scale = 1 / (1 - probability) and
// threshold = probability * 2^32. The gradient is the same map with the same key: the mask is never stored.
// See FOR_ELEMENTS in common.cl.
//
// ADD  defined: adds sum_so_far, the gradient that x received elsewhere.

#ifdef ADD
#define SUMMED(v, LOAD) ((v) + LOAD(sum_so_far + i))
#else
#define SUMMED(v, LOAD) (v)
#endif

kernel void dropout(const global float *x, const global float *sum_so_far, global float *y, uint key0, uint key1,
                    uint key2, uint threshold, float scale, int count, int per_item) {
  FOR_ELEMENTS({
    const floatr v = random_bits_r(key0, key1, key2, (uint)i) >= threshold ? LOADR(x + i) * scale : 0.0f;
    STORER(SUMMED(v, LOADR), y + i);
  }, {
    const float v = random_bits(key0, key1, key2, (uint)i) >= threshold ? x[i] * scale : 0.0f;
    y[i] = SUMMED(v, LOAD_ONE);
  });
}
