// Steps of optimisers over a flat array of `count` parameters, as PyTorch defines them. See FOR_ELEMENTS in common.cl.
// Everything zero (the gaps of an arena) stays zero.

// norm[0] = sqrt(sum_k partials[k]); factor[0] = min(1, limit / (norm + 1e-6)), and 0 where the norm is not finite: what
// is NaN or infinite becomes NaN, and nothing else moves, so that the host can tell which tensor it was. One group: on a
// CPU one item adds in order, elsewhere each lane adds up every LANES-th.
WAVE_KERNEL void clip_factor(const global float *partials, global float *norm, global float *factor, int blocks,
                             float limit) {
  SCRATCH_DECLARE(scratch, 1);
  float sum = 0.0f;
  for (int k = LANE; k < blocks; k += LANES) sum += partials[k];
  sum = GROUP_SUM(sum, scratch, 0);
  if (LANE > 0) return;
  const float length = sqrt(sum);
  const float wanted = limit / (length + 1e-6f);
  norm[0] = length;
  factor[0] = isfinite(length) ? min(1.0f, wanted) : 0.0f;
}

// g *= factor[0]
kernel void scale_by(global float *g, const global float *factor, int count, int per_item) {
  const float f = factor[0];
  FOR_ELEMENTS(STORER(f * LOADR(g + i), g + i), g[i] = f * g[i]);
}

// g[i] = 0 where random_bits(key0, key1, key2, i) < threshold = probability * 2^32; the others keep their bits.
kernel void mask_gradients(global float *g, uint key0, uint key1, uint key2, uint threshold, int count,
                           int per_item) {
  FOR_ELEMENTS(STORER(random_bits_r(key0, key1, key2, (uint)i) >= threshold ? LOADR(g + i) : 0.0f, g + i),
               g[i] = random_bits(key0, key1, key2, (uint)i) >= threshold ? g[i] : 0.0f);
}

// With g' = gradient_scale * g:
//   m = beta1 * m + (1 - beta1) * g',  v = beta2 * v + (1 - beta2) * g'^2
//   p = keep * p - step * m / (sqrt(v) * root + epsilon)
// keep = 1 - rate * decay, step = rate / (1 - beta1^t), root = 1 / sqrt(1 - beta2^t), computed on the host.
#define ADAMW(T, LOAD, STORE)                                                              \
  {                                                                                        \
    const T d = gradient_scale * LOAD(g + i);                                              \
    const T m1 = LOAD(m + i) + (1.0f - beta1) * (d - LOAD(m + i));                         \
    const T v1 = beta2 * LOAD(v + i) + (1.0f - beta2) * d * d;                             \
    STORE(m1, m + i);                                                                      \
    STORE(v1, v + i);                                                                      \
    STORE(keep * LOAD(p + i) - step * m1 / (sqrt(v1) * root + epsilon), p + i);            \
  }
#define STORE1(x, a) (*(a) = (x))

kernel void adamw(global float *p, const global float *g, global float *m, global float *v, int count,
                  int per_item, float beta1, float beta2, float epsilon, float keep, float step, float root,
                  float gradient_scale) {
  FOR_ELEMENTS(ADAMW(floatr, LOADR, STORER), ADAMW(float, LOAD_ONE, STORE1));
}

// With d = gradient_scale * g + decay * p:
//   b = momentum * b + d,  p = p - rate * (NESTEROV ? d + momentum * b : b)
// NESTEROV  defined: look ahead.
#ifdef NESTEROV
#define DIRECTION (d + momentum * b1)
#else
#define DIRECTION b1
#endif
#define SGD(T, LOAD, STORE)                                            \
  {                                                                    \
    const T d = gradient_scale * LOAD(g + i) + decay * LOAD(p + i);    \
    const T b1 = momentum * LOAD(b + i) + d;                           \
    STORE(b1, b + i);                                                  \
    STORE(LOAD(p + i) - rate * DIRECTION, p + i);                      \
  }

kernel void sgd(global float *p, const global float *g, global float *b, int count, int per_item, float rate,
                float momentum, float decay, float gradient_scale) {
  FOR_ELEMENTS(SGD(floatr, LOADR, STORER), SGD(float, LOAD_ONE, STORE1));
}
