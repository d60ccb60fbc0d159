// Prepended to every program: vector helpers, group reductions and exact-enough mathematics.
//
// LANES  work-items that share one row, token or channel; a power of two. 1 on CPUs, where one work-item works on
//        float16 vectors; 64 on GPUs, where lanes stride over the row. Unit: work-items. Default 1.

#ifndef LANES
#define LANES 1
#endif

#define VLOAD(p) vload16(0, (p))
#define VSTORE(v, p) vstore16((v), 0, (p))

// Sum over the 16 elements of a vector, in a fixed order.
inline float sum16(float16 v) {
  const float8 a = v.lo + v.hi;
  const float4 b = a.lo + a.hi;
  const float2 c = b.lo + b.hi;
  return c.x + c.y;
}

inline float max16(float16 v) {
  const float8 a = fmax(v.lo, v.hi);
  const float4 b = fmax(a.lo, a.hi);
  const float2 c = fmax(b.lo, b.hi);
  return fmax(c.x, c.y);
}

#if LANES == 1
#define SCRATCH_DECLARE(name)
#define GROUP_SUM(value, name) (value)
#define GROUP_MAX(value, name) (value)
#define LANE 0
#else
// A tree in local memory: the same order of additions on every device. All lanes of the group must take part.
#define SCRATCH_DECLARE(name) local float name[LANES]
#define LANE ((int)get_local_id(0))
inline float group_sum(float value, local float *scratch) {
  scratch[LANE] = value;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int half_ = LANES / 2; half_ > 0; half_ /= 2) {
    if (LANE < half_) scratch[LANE] += scratch[LANE + half_];
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  const float sum = scratch[0];
  barrier(CLK_LOCAL_MEM_FENCE);
  return sum;
}
inline float group_max(float value, local float *scratch) {
  scratch[LANE] = value;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int half_ = LANES / 2; half_ > 0; half_ /= 2) {
    if (LANE < half_) scratch[LANE] = fmax(scratch[LANE], scratch[LANE + half_]);
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  const float most = scratch[0];
  barrier(CLK_LOCAL_MEM_FENCE);
  return most;
}
#define GROUP_SUM(value, name) group_sum((value), (name))
#define GROUP_MAX(value, name) group_max((value), (name))
#endif
