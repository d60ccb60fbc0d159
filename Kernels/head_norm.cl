// Layer normalisation of each head's queries and keys; values pass unchanged. For each row x of HEAD channels:
//   y = h * weight + bias,   h = (x - mean) * inverse - rest,   inverse = 1 / sqrt(variance + epsilon)
// with mean, variance and rest as in layer_norm.cl. The gradient computes them again:
//   dx = inverse * (g - mean(g) - h * mean(g * h))   [+ sum_so_far],   g = dy * weight
//
// x, y, dy, dx  (rows, 3, heads, HEAD): queries, keys and values.
// weight, bias  (2, HEAD): the queries', then the keys'.
//
// HEAD  width of a head, in floats. Default 64.
// ADD   defined: the gradient that x received elsewhere is added.
//
// Item i works on the heads [i * per_item, (i + 1) * per_item) of rows * 3 * heads.

#ifndef HEAD
#define HEAD 64
#endif
#define WHOLE (HEAD / 16 * 16)

inline float head_mean(const global float *x, float offset) {
  float16 sums = 0.0f;
  for (int i = 0; i < WHOLE; i += 16) sums += VLOAD(x + i) - offset;
  float sum = sum16(sums);
  for (int i = WHOLE; i < HEAD; ++i) sum += x[i] - offset;
  return sum / HEAD;
}

// mean, inverse and rest of a head.
inline float4 head_statistics(const global float *x, float epsilon) {
  const float mean = head_mean(x, 0.0f);
  const float off = head_mean(x, mean);
  float16 squares = 0.0f;
  for (int i = 0; i < WHOLE; i += 16) squares += (VLOAD(x + i) - mean) * (VLOAD(x + i) - mean);
  float square = sum16(squares);
  for (int i = WHOLE; i < HEAD; ++i) square += (x[i] - mean) * (x[i] - mean);
  const float inverse = 1.0f / sqrt(max(square / HEAD - off * off, 0.0f) + epsilon);
  return (float4)(mean, inverse, off * inverse, 0.0f);
}

kernel void head_norm_forward(const global float *x, const global float *weight, const global float *bias,
                              global float *y, int heads, int count, float epsilon, int per_item) {
  const int first = get_global_id(0) * per_item;
  const int end = min(first + per_item, count);
  for (int head = first; head < end; ++head) {
    const int part = head / heads % 3;
    const global float *from = x + (size_t)head * HEAD;
    global float *to = y + (size_t)head * HEAD;
    const global float *w = weight + part % 2 * HEAD;
    const global float *b = bias + part % 2 * HEAD;
    if (part == 2) {
      for (int i = 0; i < WHOLE; i += 16) VSTORE(VLOAD(from + i), to + i);
      for (int i = WHOLE; i < HEAD; ++i) to[i] = from[i];
      continue;
    }
    const float4 s = head_statistics(from, epsilon);
    for (int i = 0; i < WHOLE; i += 16)
      VSTORE(((VLOAD(from + i) - s.x) * s.y - s.z) * VLOAD(w + i) + VLOAD(b + i), to + i);
    for (int i = WHOLE; i < HEAD; ++i) to[i] = ((from[i] - s.x) * s.y - s.z) * w[i] + b[i];
  }
}

kernel void head_norm_backward(const global float *x, const global float *weight, const global float *dy,
                               const global float *sum_so_far, global float *dx, int heads, int count, float epsilon,
                               int per_item) {
  const int first = get_global_id(0) * per_item;
  const int end = min(first + per_item, count);
  for (int head = first; head < end; ++head) {
    const int part = head / heads % 3;
    const size_t at = (size_t)head * HEAD;
    const global float *w = weight + part % 2 * HEAD;
    float4 s = 0.0f;
    float g_mean = 0.0f, gh_mean = 0.0f;
    if (part < 2) {
      s = head_statistics(x + at, epsilon);
      float16 gs = 0.0f, ghs = 0.0f;
      for (int i = 0; i < WHOLE; i += 16) {
        const float16 g = VLOAD(dy + at + i) * VLOAD(w + i);
        gs += g;
        ghs += g * ((VLOAD(x + at + i) - s.x) * s.y - s.z);
      }
      g_mean = sum16(gs);
      gh_mean = sum16(ghs);
      for (int i = WHOLE; i < HEAD; ++i) {
        const float g = dy[at + i] * w[i];
        g_mean += g;
        gh_mean += g * ((x[at + i] - s.x) * s.y - s.z);
      }
      g_mean /= HEAD;
      gh_mean /= HEAD;
    }
    for (int i = 0; i < WHOLE; i += 16) {
      float16 d = VLOAD(dy + at + i);
      if (part < 2) d = s.y * (d * VLOAD(w + i) - g_mean - ((VLOAD(x + at + i) - s.x) * s.y - s.z) * gh_mean);
#ifdef ADD
      d += VLOAD(sum_so_far + at + i);
#endif
      VSTORE(d, dx + at + i);
    }
    for (int i = WHOLE; i < HEAD; ++i) {
      float d = dy[at + i];
      if (part < 2) d = s.y * (d * w[i] - g_mean - ((x[at + i] - s.x) * s.y - s.z) * gh_mean);
#ifdef ADD
      d += sum_so_far[at + i];
#endif
      dx[at + i] = d;
    }
  }
}
