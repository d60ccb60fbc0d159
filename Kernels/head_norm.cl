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
// KEPT  runs of a head that an item keeps from one pass to the next (common.cl).
//
// On a CPU item i works on the heads [i * per_item, (i + 1) * per_item) of rows * 3 * heads; elsewhere a team of LANES items
// has one, TEAMS of them side by side in a group (common.cl).

#ifndef HEAD
#define HEAD 64
#endif

#if LANES == 1
#define FIRST_HEAD ((int)get_group_id(0) * per_item)
#define END_HEAD min(first + per_item, count)
#define IS_HEAD 1
#else
#define FIRST_HEAD TEAM_ROW(count)
#define END_HEAD (first + 1)
#define IS_HEAD IS_TEAM_ROW(count)
#endif

// mean, inverse and rest of a head, whose runs go by KEEP_RUN and KEPT_RUN. Needs x and whole.
#define HEAD_STATISTICS(mean, inverse, rest, from)                                                         \
  floatr sums = 0.0f, squares = 0.0f;                                                                 \
  FOR_KEPT(j, i) sums += KEEP_RUN(kept, j, LOADR((from) + i));                                           \
  float sum = sum_r(sums);                                                                            \
  FOR_REST(i, whole, HEAD) sum += (from)[i];                                                          \
  const float mean = GROUP_SUM(sum, scratch, 0) / HEAD;                                               \
  sums = 0.0f;                                                                                        \
  FOR_KEPT(j, i) {                                                                                    \
    const floatr centred = KEPT_RUN(kept, j, LOADR((from) + i)) - mean;                                  \
    sums += centred;                                                                                  \
    squares += centred * centred;                                                                     \
  }                                                                                                   \
  sum = sum_r(sums);                                                                                  \
  float square = sum_r(squares);                                                                      \
  FOR_REST(i, whole, HEAD) {                                                                          \
    const float centred = (from)[i] - mean;                                                           \
    sum += centred;                                                                                   \
    square += centred * centred;                                                                      \
  }                                                                                                   \
  const float2 both = GROUP_SUM2((float2)(sum, square), scratch, 1);                                  \
  const float off = both.x / HEAD;                                                                    \
  const float inverse = 1.0f / sqrt(max(both.y / HEAD - off * off, 0.0f) + epsilon);                  \
  const float rest = off * inverse

WAVE_KERNEL void head_norm_forward(const global float *x, const global float *weight, const global float *bias,
                                   global float *y, int heads, int count, float epsilon, int per_item) {
  SCRATCH_DECLARE(scratch, 3);
  const int whole = WHOLE_RUNS(HEAD, 0);
  const int first = FIRST_HEAD;
  const int end = END_HEAD;
  for (int head = first; head < end; ++head) {
    const int part = head / heads % 3;
    const global float *from = x + (size_t)head * HEAD;
    global float *to = y + (size_t)head * HEAD;
    const global float *w = weight + part % 2 * HEAD;
    const global float *b = bias + part % 2 * HEAD;
#if LANES == 1
    if (part == 2) {
      FOR_RUNS(i, whole) STORER(LOADR(from + i), to + i);
      FOR_REST(i, whole, HEAD) to[i] = from[i];
      continue;
    }
#endif
    KEEP_RUNS(kept);
    HEAD_STATISTICS(mean, inverse, rest, from);
    if (!IS_HEAD) return;
    // A value's statistics are taken, too, where its team must meet the others at their barriers.
    FOR_KEPT(j, i) {
      const floatr v = KEPT_RUN(kept, j, LOADR(from + i));
      STORER(part == 2 ? v : ((v - mean) * inverse - rest) * LOADR(w + i) + LOADR(b + i), to + i);
    }
    FOR_REST(i, whole, HEAD) to[i] = part == 2 ? from[i] : ((from[i] - mean) * inverse - rest) * w[i] + b[i];
  }
}

WAVE_KERNEL void head_norm_backward(const global float *x, const global float *weight, const global float *dy,
                                    const global float *sum_so_far, global float *dx, int heads, int count,
                                    float epsilon, int per_item) {
  SCRATCH_DECLARE(scratch, 5);
  const int whole = WHOLE_RUNS(HEAD, 0);
  const int first = FIRST_HEAD;
  const int end = END_HEAD;
  for (int head = first; head < end; ++head) {
    const int part = head / heads % 3;
    const size_t at = (size_t)head * HEAD;
    const global float *from = x + at;
    const global float *w = weight + part % 2 * HEAD;
#ifdef ADD
#define SUMMED(v, LOAD) ((v) + LOAD(sum_so_far + at + i))
#else
#define SUMMED(v, LOAD) (v)
#endif
#if LANES == 1
    if (part == 2) {
      FOR_RUNS(i, whole) STORER(SUMMED(LOADR(dy + at + i), LOADR), dx + at + i);
      FOR_REST(i, whole, HEAD) dx[at + i] = SUMMED(dy[at + i], LOAD_ONE);
      continue;
    }
#endif
    KEEP_RUNS(kept);
    HEAD_STATISTICS(mean, inverse, rest, from);
    floatr gs = 0.0f, ghs = 0.0f;
    FOR_KEPT(j, i) {
      const floatr g = LOADR(dy + at + i) * LOADR(w + i);
      gs += g;
      ghs += g * ((KEPT_RUN(kept, j, LOADR(from + i)) - mean) * inverse - rest);
    }
    float g1 = sum_r(gs), gh1 = sum_r(ghs);
    FOR_REST(i, whole, HEAD) {
      const float g = dy[at + i] * w[i];
      g1 += g;
      gh1 += g * ((from[i] - mean) * inverse - rest);
    }
    const float2 sums_g = GROUP_SUM2((float2)(g1, gh1), scratch, 3);
    const float g_mean = sums_g.x / HEAD;
    const float gh_mean = sums_g.y / HEAD;
    if (!IS_HEAD) return;
    FOR_KEPT(j, i) {
      floatr d = LOADR(dy + at + i);
      if (part < 2)
        d = inverse * (d * LOADR(w + i) - g_mean - ((KEPT_RUN(kept, j, LOADR(from + i)) - mean) * inverse - rest) * gh_mean);
      STORER(SUMMED(d, LOADR), dx + at + i);
    }
    FOR_REST(i, whole, HEAD) {
      float d = dy[at + i];
      if (part < 2) d = inverse * (d * w[i] - g_mean - ((from[i] - mean) * inverse - rest) * gh_mean);
      dx[at + i] = SUMMED(d, LOAD_ONE);
    }
  }
}
