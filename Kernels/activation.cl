// y = f(x) over contiguous arrays of `count` floats, and its gradient dx = dy * f'(x).
// Work-item i covers elements [i * per_item, (i + 1) * per_item).
//
// ACTIVATION  which f (activate in common.cl). Default 1.
// BFLOAT_RESULT  of dx (common.cl).
// ADD         defined: dx also adds sum_so_far, the gradient that x received elsewhere.

#ifndef ACTIVATION
#define ACTIVATION 1
#endif

kernel void activation_forward(const global float *x, global float *y, int count, int per_item) {
  const int begin = get_global_id(0) * per_item;
  const int end = min(begin + per_item, count);
  int i = begin;
  for (; i + 16 <= end; i += 16) {
    VSTORE(activate16(VLOAD(x + i), ACTIVATION), y + i);
  }
  for (; i < end; ++i) y[i] = activate1(x[i], ACTIVATION);
}

kernel void activation_backward(const global float *x, const global float *dy, const global float *sum_so_far,
                                global result *dx, int count, int per_item) {
  const int begin = get_global_id(0) * per_item;
  const int end = min(begin + per_item, count);
  int i = begin;
  for (; i + 16 <= end; i += 16) {
    float16 d = VLOAD(dy + i) * activate_gradient16(VLOAD(x + i), ACTIVATION);
#ifdef ADD
    d += VLOAD(sum_so_far + i);
#endif
    STORE_RESULT16(d, dx + i);
  }
  for (; i < end; ++i) {
    float d = dy[i] * activate_gradient1(x[i], ACTIVATION);
#ifdef ADD
    d += sum_so_far[i];
#endif
    STORE_RESULT(d, dx + i);
  }
}
