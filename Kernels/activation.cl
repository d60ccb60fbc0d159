// y = f(x) over contiguous arrays of `count` floats, and its gradient dx = dy * f'(x).
// Work-item i covers elements [i * per_item, (i + 1) * per_item).
//
// ACTIVATION  which f: 1 GELU (exact, by erf), 2 QuickGELU x / (1 + exp(-1.702 x)), 3 ReLU. Default 1.
// BFLOAT_RESULT  of dx (common.cl).
// ADD         defined: dx also adds sum_so_far, the gradient that x received elsewhere.

#ifndef ACTIVATION
#define ACTIVATION 1
#endif

#if ACTIVATION == 1
#define F(SUFFIX, FLOATS, x) gelu##SUFFIX(x)
#define F_GRADIENT(SUFFIX, FLOATS, x) gelu_gradient##SUFFIX(x)
#elif ACTIVATION == 2
#define F(SUFFIX, FLOATS, x) ((x) / (1.0f + exp##SUFFIX(-1.702f * (x))))
#define DEFINE_QUICK_GRADIENT(SUFFIX, FLOATS)              \
  inline FLOATS quick_gradient##SUFFIX(FLOATS x) {         \
    const FLOATS s = 1.0f / (1.0f + exp##SUFFIX(-1.702f * x)); \
    return s * fma(1.702f * x, 1.0f - s, (FLOATS)(1.0f));  \
  }
DEFINE_QUICK_GRADIENT(16, float16)
DEFINE_QUICK_GRADIENT(1, float)
#define F_GRADIENT(SUFFIX, FLOATS, x) quick_gradient##SUFFIX(x)
#else
// Written so that a NaN passes: it compares false.
#define F(SUFFIX, FLOATS, x) ((x) < 0.0f ? (FLOATS)(0.0f) : (x))
#define F_GRADIENT(SUFFIX, FLOATS, x) ((x) > 0.0f ? (FLOATS)(1.0f) : (FLOATS)(0.0f))
#endif

kernel void activation_forward(const global float *x, global float *y, int count, int per_item) {
  const int begin = get_global_id(0) * per_item;
  const int end = min(begin + per_item, count);
  int i = begin;
  for (; i + 16 <= end; i += 16) {
    const float16 v = VLOAD(x + i);
    VSTORE(F(16, float16, v), y + i);
  }
  for (; i < end; ++i) {
    const float v = x[i];
    y[i] = F(1, float, v);
  }
}

kernel void activation_backward(const global float *x, const global float *dy, const global float *sum_so_far,
                                global result *dx, int count, int per_item) {
  const int begin = get_global_id(0) * per_item;
  const int end = min(begin + per_item, count);
  int i = begin;
  for (; i + 16 <= end; i += 16) {
    const float16 v = VLOAD(x + i);
    float16 d = VLOAD(dy + i) * F_GRADIENT(16, float16, v);
#ifdef ADD
    d += VLOAD(sum_so_far + i);
#endif
    STORE_RESULT16(d, dx + i);
  }
  for (; i < end; ++i) {
    const float v = x[i];
    float d = dy[i] * F_GRADIENT(1, float, v);
#ifdef ADD
    d += sum_so_far[i];
#endif
    STORE_RESULT(d, dx + i);
  }
}
