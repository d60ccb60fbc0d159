// Prepended to every program: vector helpers, group reductions and exact-enough mathematics.
//
// LANES     work-items that share one row, token or array, lane beside lane; a power of two. 1 on CPUs, where one work-item
//           works on float16 vectors; on GPUs those of a wave, or of half of one. Unit: work-items. Default 1.
// TEAMS     rows that a group works on at a time, each by LANES items of its own (the second dimension of the group); a
//           power of two. 1 where LANES is 1. Default 1.
// WAVE      defined: items that Intel's compiler is to run in step, a sub-group; else it chooses. Unit: work-items.
// SHUFFLES  defined: sums over lanes go through a sub-group's registers, and WAVE is defined; see GROUP_SUM.

#ifndef LANES
#define LANES 1
#endif
#ifndef TEAMS
#define TEAMS 1
#endif

#ifdef WAVE
#define WAVE_KERNEL kernel __attribute__((intel_reqd_sub_group_size(WAVE)))
#else
#define WAVE_KERNEL kernel
#endif

// Before a loop with a constant count whose arrays must stay in registers. Some compilers keep such a loop, and with
// it the arrays in memory, unless they are told: PoCL 3.1 (clang 14) does from 16 vectors on.
#define UNROLL _Pragma("unroll")

#define VLOAD(p) vload16(0, (p))

// PoCL's vstore16 becomes four stores of a quarter, which are slow and cannot be forwarded to a load of the whole. Its
// compiler, clang, also takes a store to a vector type that is aligned as its elements.
#if LANES == 1 && defined(__clang__)
typedef float16 float16_anywhere __attribute__((aligned(4)));
inline void __attribute__((overloadable)) store16(float16 v, global float *p) { *(global float16_anywhere *)p = v; }
inline void __attribute__((overloadable)) store16(float16 v, local float *p) { *(local float16_anywhere *)p = v; }
inline void __attribute__((overloadable)) store16(float16 v, private float *p) { *(private float16_anywhere *)p = v; }
typedef ushort16 ushort16_anywhere __attribute__((aligned(2)));
inline void __attribute__((overloadable)) store16(ushort16 v, global ushort *p) { *(global ushort16_anywhere *)p = v; }
#define VSTORE(v, p) store16((v), (p))
#else
#define VSTORE(v, p) vstore16((v), 0, (p))
#endif

// Up to 16 floats, zeros behind the last.
inline float16 load_some(const global float *p, int count) {
  if (count >= 16) return VLOAD(p);
  float values[16];
  for (int c = 0; c < 16; ++c) values[c] = c < count ? p[c] : 0.0f;
  return VLOAD(values);
}

inline void store_some(float16 v, global float *p, int count) {
  if (count >= 16) {
    VSTORE(v, p);
    return;
  }
  float values[16];
  VSTORE(v, values);
  for (int c = 0; c < count; ++c) p[c] = values[c];
}

// The first `count` floats of a quad, zeros behind the last; and the reverse.
inline float4 load_first(const global float *p, int count) {
  float4 v = 0.0f;
  if (count > 0) v.x = p[0];
  if (count > 1) v.y = p[1];
  if (count > 2) v.z = p[2];
  if (count > 3) v.w = p[3];
  return v;
}

inline void store_first(float4 v, global float *p, int count) {
  if (count > 0) p[0] = v.x;
  if (count > 1) p[1] = v.y;
  if (count > 2) p[2] = v.z;
  if (count > 3) p[3] = v.w;
}

// The bits of a number as bfloat16: to nearest, ties to even; what is no number stays none.
inline uint bfloat_bits(float v) {
  const uint bits = as_uint(v);
  return isnan(v) ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
inline uint16 bfloat_bits16(float16 v) {
  const uint16 bits = as_uint16(v);
  return isnan(v) ? (uint16)(0x7fc0) : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

// Products of pairs: neighbours along the sum as bf16, the first in the low half.
//
// DOT_PRODUCT  defined: products are of pairs, by an instruction of x86 processors (AVX512-BF16), in functions that say
//              TARGET. sum[c] += v[c].lo * column[c].lo + v[c].hi * column[c].hi, in fp32; subnormal numbers count as 0.
#ifdef DOT_PRODUCT
#define TARGET __attribute__((target("avx512f,avx512bf16")))
#define MULTIPLY_ADD(sum, v, column) __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(v), "v"(column));
TARGET inline ushort16 bfloats16(float16 v) {
  ushort16 bits;
  __asm__("vcvtneps2bf16 %1, %0" : "=v"(bits) : "v"(v));
  return bits;
}
#else
#define TARGET
#define MULTIPLY_ADD(sum, v, column) sum = fma(v, column, sum);
#endif

// Results: floats, or bf16 where nothing but a product of pairs reads them.
//
// BFLOAT_RESULT  defined: bf16.
#ifdef BFLOAT_RESULT
typedef ushort result;
#define STORE_RESULT(v, p) (*(p) = bfloat_bits(v))
#define STORE_RESULT16(v, p) VSTORE(convert_ushort16(bfloat_bits16(v)), (p))
#else
typedef float result;
#define STORE_RESULT(v, p) (*(p) = (v))
#define STORE_RESULT16(v, p) VSTORE((v), (p))
#endif

// Frozen weights: how they are kept, as StoragePrecision says. Arithmetic is float whatever the storage.
//
// STORAGE  0 float, 1 bfloat16, 2 half (to store it needs no extension). Default 0.
#ifndef STORAGE
#define STORAGE 0
#endif
#if STORAGE == 0
typedef float stored;
#define LOAD_STORED(p) (*(p))
#define LOAD_STORED16(p) VLOAD(p)
#define STORE_STORED(v, p) (*(p) = (v))
#elif STORAGE == 1
typedef ushort stored;
#define LOAD_STORED(p) as_float((uint)*(p) << 16)
#define LOAD_STORED16(p) as_float16(convert_uint16(vload16(0, (p))) << 16u)
#define STORE_STORED(v, p) (*(p) = bfloat_bits(v))
#else
typedef ushort stored;
#define LOAD_STORED(p) vload_half(0, (const global half *)(p))
#define LOAD_STORED16(p) vload_half16(0, (const global half *)(p))
#define STORE_STORED(v, p) vstore_half_rte((v), 0, (global half *)(p))
#endif

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

inline float sum4(float4 v) { return (v.x + v.z) + (v.y + v.w); }
inline float max4(float4 v) { return fmax(fmax(v.x, v.z), fmax(v.y, v.w)); }

// Runs: the RUN neighbouring floats of a row or an array that an item takes at a time.
//
// On CPUs 16, a few vectors, at any address. On GPUs 4, one load of 128 bits, so that the lanes of a wave read one stretch
// of memory after another and every sector of it is used. vload4 promises the compiler no more alignment than a float's,
// which NVIDIA's turns into four loads: runs are read through pointers, and only where every row begins at a whole run.
#if LANES == 1
#define RUN 16
typedef float16 floatr;
#define LOADR(p) VLOAD(p)
#define STORER(v, p) VSTORE((v), (p))
#define STORE_RESULTR(v, p) STORE_RESULT16((v), (p))
#define sum_r sum16
#define max_r max16
#define exp_r exp16
#define activate_r activate16
#define activate_gradient_r activate_gradient16
#define random_bits_r random_bits16
#define LANE 0
#define TEAM 0
// Floats of a row of `count` that are taken in runs, the others one by one.
#define WHOLE_RUNS(count, strides) ((count) / 16 * 16)
#else
#define RUN 4
typedef float4 floatr;
#define LOADR(p) (*(const global float4 *)(p))
#define STORER(v, p) (*(global float4 *)(p) = (v))
// Floats alone: results in bf16 are a processor's.
#define STORE_RESULTR(v, p) STORER((v), (p))
#define sum_r sum4
#define max_r max4
#define exp_r exp4
#define activate_r activate4
#define activate_gradient_r activate_gradient4
#define random_bits_r random_bits4
#define LANE ((int)get_local_id(0))
#define TEAM ((int)get_local_id(1))
// All of them or none: `strides` are the distances that rows begin at, or-ed together.
#ifdef KEPT
#define WHOLE_RUNS(count, strides) (count)
#else
#define WHOLE_RUNS(count, strides) ((((count) | (strides)) & 3) == 0 ? (count) : 0)
#endif
#endif
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

// As LOADR, for one float.
#define LOAD_ONE(p) (*(p))

// The lanes' shares of a row: runs, then what is no whole run.
#define FOR_RUNS(i, whole) for (int i = LANE * RUN; i < (whole); i += LANES * RUN)
#define FOR_REST(i, whole, count) for (int i = (whole) + LANE; i < (count); i += LANES)

// The rows that a group works on, each by one of its teams in turn: [g * per_item, (g + 1) * per_item) of `rows`.
#define FOR_ROWS(row)                                     \
  const int first_row_ = get_group_id(0) * per_item;       \
  const int end_row_ = min(first_row_ + per_item, rows);   \
  for (int row = first_row_ + TEAM; row < end_row_; row += TEAMS)

// What an item keeps of a row from one pass to the next, so that memory is read once.
//
// KEPT  runs in registers: the row is LANES * RUN * KEPT floats at most, and whole runs. Not defined, each pass reads the
//       row again, as on CPUs, whose caches hold it.
#ifdef KEPT
// Runs of a row of `whole` floats, with j the item's how-manieth: a constant in each copy of what follows, since it names registers.
#define FOR_KEPT(j, i) UNROLL for (int j = 0, i = LANE * RUN; j < KEPT; ++j, i += LANES * RUN) if (i < whole)
#define KEEP_RUNS(name) floatr name[KEPT]
#define KEEP_RUN(name, j, value) (name[j] = (value))
#define KEPT_RUN(name, j, value) name[j]
#else
#define FOR_KEPT(j, i) FOR_RUNS(i, whole)
#define KEEP_RUNS(name)
#define KEEP_RUN(name, j, value) (value)
#define KEPT_RUN(name, j, value) (value)
#endif

// An array of `count` floats: group g takes elements [g * per_item, (g + 1) * per_item), per_item a multiple of RUN.
// Runs `runs` for each run and `ones` for each float of what is left, with i the first element.
#define FOR_ELEMENTS(runs, ones)                                              \
  const int begin_ = get_group_id(0) * per_item;                              \
  const int end_ = min(begin_ + per_item, count);                             \
  const int whole_ = begin_ + (end_ - begin_) / RUN * RUN;              \
  for (int i = begin_ + LANE * RUN; i < whole_; i += LANES * RUN) runs;       \
  for (int i = whole_ + LANE; i < end_; i += LANES) ones

// Sums and maxima over the lanes of a team, known to all of them: a tree that joins neighbours first, so that it makes no
// difference to the bits whether it runs through local memory or registers. All items of the group must take part.
//
// Local memory costs one barrier: everyone reads what all have written. Each reduction of a kernel has a place of its own in
// the scratch, so that none need wait until the last one has been read.
#if LANES == 1
#define SCRATCH_DECLARE(name, places)
#define GROUP_SUM(value, name, place) (value)
#define GROUP_SUM2(value, name, place) (value)
#define GROUP_MAX(value, name, place) (value)
#define TEAM_ROW(rows) ((int)get_group_id(0))
#define IS_TEAM_ROW(rows) 1
#else
// The row of a team, where each has one. A team behind the last row has the last as well, works on it up to the last barrier
// and stores nothing.
#define TEAM_ROW(rows) min((int)get_group_id(0) * TEAMS + TEAM, (rows) - 1)
#define IS_TEAM_ROW(rows) ((int)get_group_id(0) * TEAMS + TEAM < (rows))

#define DEFINE_TREE(COUNT, HALF)                                                                             \
  inline float tree_sum##COUNT(const local float *v) { return tree_sum##HALF(v) + tree_sum##HALF(v + HALF); } \
  inline float tree_max##COUNT(const local float *v) { return fmax(tree_max##HALF(v), tree_max##HALF(v + HALF)); }
inline float tree_sum1(const local float *v) { return v[0]; }
inline float tree_max1(const local float *v) { return v[0]; }
inline float tree_sum2(const local float *v) { return v[0] + v[1]; }
inline float tree_max2(const local float *v) { return fmax(v[0], v[1]); }
inline float tree_sum4(const local float *v) {
  const float4 q = *(const local float4 *)v;
  return (q.x + q.y) + (q.z + q.w);
}
inline float tree_max4(const local float *v) {
  const float4 q = *(const local float4 *)v;
  return fmax(fmax(q.x, q.y), fmax(q.z, q.w));
}
DEFINE_TREE(8, 4)
DEFINE_TREE(16, 8)
DEFINE_TREE(32, 16)
DEFINE_TREE(64, 32)
DEFINE_TREE(128, 64)
DEFINE_TREE(256, 128)

// TEAM_PARTS  numbers of a team that meet in local memory: one a lane, or one a sub-group.
#ifndef SHUFFLES
#define TEAM_PARTS LANES
#elif LANES <= WAVE
#define TEAM_PARTS 1
#elif LANES == 2 * WAVE
#define TEAM_PARTS 2
#elif LANES == 4 * WAVE
#define TEAM_PARTS 4
#elif LANES == 8 * WAVE
#define TEAM_PARTS 8
#else
#error "LANES is 8 sub-groups at most"
#endif

// PLACE_ floats, and so a multiple of 16 bytes.
#define PLACE_ ((TEAMS * TEAM_PARTS + 3) / 4 * 4)
#define SCRATCH_DECLARE(name, places) local float name[(places) * PLACE_] __attribute__((aligned(16)))

inline float subgroup_sum(float value) {
#ifdef SHUFFLES
  UNROLL for (int d = 1; d < LANES && d < WAVE; d *= 2) value += intel_sub_group_shuffle_xor(value, (uint)d);
#endif
  return value;
}
inline float subgroup_max(float value) {
#ifdef SHUFFLES
  UNROLL for (int d = 1; d < LANES && d < WAVE; d *= 2) value = fmax(value, intel_sub_group_shuffle_xor(value, (uint)d));
#endif
  return value;
}
#if TEAM_PARTS == 1
#define GROUP_SUM(value, name, place) subgroup_sum(value)
#define GROUP_MAX(value, name, place) subgroup_max(value)
inline float2 team_sum2(float2 value) { return (float2)(subgroup_sum(value.x), subgroup_sum(value.y)); }
#define GROUP_SUM2(value, name, place) team_sum2(value)
#else
// Where the first item of a sub-group, whose items all have the same sum, puts it.
#define PART_ (TEAM * TEAM_PARTS + LANE / (LANES / TEAM_PARTS))
#define IS_FIRST_ (LANE % (LANES / TEAM_PARTS) == 0)
inline float team_sum(float value, local float *place) {
  value = subgroup_sum(value);
  if (IS_FIRST_) place[PART_] = value;
  barrier(CLK_LOCAL_MEM_FENCE);
  return JOIN(tree_sum, TEAM_PARTS)(place + TEAM * TEAM_PARTS);
}
inline float team_max(float value, local float *place) {
  value = subgroup_max(value);
  if (IS_FIRST_) place[PART_] = value;
  barrier(CLK_LOCAL_MEM_FENCE);
  return JOIN(tree_max, TEAM_PARTS)(place + TEAM * TEAM_PARTS);
}
inline float2 team_sum2(float2 value, local float *place) {
  value = (float2)(subgroup_sum(value.x), subgroup_sum(value.y));
  if (IS_FIRST_) {
    place[PART_] = value.x;
    place[PLACE_ + PART_] = value.y;
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  return (float2)(JOIN(tree_sum, TEAM_PARTS)(place + TEAM * TEAM_PARTS), JOIN(tree_sum, TEAM_PARTS)(place + PLACE_ + TEAM * TEAM_PARTS));
}
#define GROUP_SUM(value, name, place) team_sum((value), (name) + (place) * PLACE_)
#define GROUP_SUM2(value, name, place) team_sum2((value), (name) + (place) * PLACE_)
#define GROUP_MAX(value, name, place) team_max((value), (name) + (place) * PLACE_)
#endif
#endif
// The other way: the sum over the teams of each lane, known to all of them, again as a tree of neighbours. `scratch` holds
// TEAMS * LANES floats and is free again when the call returns; all items of the group must take part.
#if LANES > 1
inline float teams_sum(float value, local float *scratch) {
  for (int d = 1; d < TEAMS; d *= 2) {
    scratch[TEAM * LANES + LANE] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    // Addition commutes: both of a pair come to the same bits.
    value += scratch[(TEAM ^ d) * LANES + LANE];
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  return value;
}
#define TEAMS_SUM(value, scratch) teams_sum((value), (scratch))
#else
#define TEAMS_SUM(value, scratch) (value)
#endif

// The functions below exist for float16, float4 and float alike; a NaN stays a NaN in all of them.

// exp(x) to about 2 units in the last place; 0 below -87.7 (no subnormal results), infinite above 88.4.
// x = n ln 2 + r: adding 1.5 * 2^23 rounds to the integer n and leaves it in the low bits; ln 2 in two parts keeps
// r exact. The polynomial is tools/fit_erf.py's.
#define DEFINE_EXP(NAME, FLOATS, AS_UINTS, AS_FLOATS)                       \
  inline FLOATS NAME(FLOATS x) {                                            \
    x = x < -88.0f ? -88.0f : x;                                            \
    x = x > 88.7f ? 88.7f : x;                                              \
    const FLOATS shifted = fma(x, (FLOATS)(1.44269504f), (FLOATS)(12582912.0f)); \
    const FLOATS n = shifted - 12582912.0f;                                 \
    FLOATS r = fma(n, (FLOATS)(-0.693145752f), x);                          \
    r = fma(n, (FLOATS)(-1.428606765e-06f), r);                             \
    FLOATS p = fma(r, (FLOATS)(1.383684576e-03f), (FLOATS)(8.374815807e-03f)); \
    p = fma(p, r, (FLOATS)(4.166822508e-02f));                              \
    p = fma(p, r, (FLOATS)(1.666641980e-01f));                              \
    p = fma(p, r, (FLOATS)(4.999999106e-01f));                              \
    p = fma(p, r, (FLOATS)(1.0f));                                          \
    p = fma(p, r, (FLOATS)(1.0f));                                          \
    return p * AS_FLOATS((AS_UINTS(shifted) + 127u) << 23);                 \
  }
DEFINE_EXP(exp16, float16, as_uint16, as_float16)
DEFINE_EXP(exp4, float4, as_uint4, as_float4)
DEFINE_EXP(exp1, float, as_uint, as_float)

// erf(x) = x P(x^2) / Q(x^2) with an absolute error of at most 3.6e-7, by tools/fit_erf.py; exactly 1 from where
// erf rounds to 1.
#define DEFINE_ERF(NAME, FLOATS)                                            \
  inline FLOATS NAME(FLOATS x) {                                            \
    const FLOATS t = x * x;                                                 \
    FLOATS p = fma(t, (FLOATS)(2.050088369e-06f), (FLOATS)(2.848830482e-04f)); \
    p = fma(p, t, (FLOATS)(3.765623784e-03f));                              \
    p = fma(p, t, (FLOATS)(5.274874717e-02f));                              \
    p = fma(p, t, (FLOATS)(1.904066056e-01f));                              \
    p = fma(p, t, (FLOATS)(1.128379107e+00f));                              \
    FLOATS q = fma(t, (FLOATS)(3.809174086e-05f), (FLOATS)(1.162537490e-03f)); \
    q = fma(q, t, (FLOATS)(1.496923063e-02f));                              \
    q = fma(q, t, (FLOATS)(1.141091734e-01f));                              \
    q = fma(q, t, (FLOATS)(5.020762086e-01f));                              \
    q = fma(q, t, (FLOATS)(1.0f));                                          \
    FLOATS y = x * p / q;                                                   \
    y = x > 3.92f ? 1.0f : y;                                               \
    return x < -3.92f ? -1.0f : y;                                          \
  }
DEFINE_ERF(erf16, float16)
DEFINE_ERF(erf4, float4)
DEFINE_ERF(erf1, float)

// Exact GELU, x Phi(x), and its derivative Phi(x) + x phi(x): Phi(x) = (1 + erf(x / sqrt 2)) / 2 is the normal
// distribution's cumulative function, phi its density.
#define DEFINE_GELU(SUFFIX, FLOATS)                                                      \
  inline FLOATS gelu##SUFFIX(FLOATS x) {                                                 \
    const FLOATS half_x = 0.5f * x;                                                      \
    return fma(half_x, erf##SUFFIX(x * 0.707106781f), half_x);                           \
  }                                                                                      \
  inline FLOATS gelu_gradient##SUFFIX(FLOATS x) {                                        \
    const FLOATS phi = 0.398942280f * exp##SUFFIX(-0.5f * x * x);                        \
    return fma(x, phi, fma((FLOATS)(0.5f), erf##SUFFIX(x * 0.707106781f), (FLOATS)(0.5f))); \
  }
DEFINE_GELU(16, float16)
DEFINE_GELU(4, float4)
DEFINE_GELU(1, float)

// Activation.macro's f(x), and its derivative: 0 identity, 1 exact GELU, 3 ReLU, and what is x sigmoid(z), with
//   2 QuickGELU  z = 1.702 x
//   4 SiLU       z = x
//   5 GELU by tanh, x (1 + tanh(z / 2)) / 2  z = 2 sqrt(2 / pi) (x + 0.044715 x^3)
// The cube's square is cut at 256, from where on the sigmoid is 0 or 1 and infinity times 0 would be none.
// ReLU is written so that a NaN passes: it compares false.
#define DEFINE_ACTIVATE(SUFFIX, FLOATS)                                                                   \
  inline FLOATS activate##SUFFIX(FLOATS x, int f) {                                                       \
    if (f == 1) return gelu##SUFFIX(x);                                                                   \
    if (f == 3) return x < 0.0f ? (FLOATS)(0.0f) : x;                                                     \
    if (f == 0) return x;                                                                                 \
    FLOATS z = f == 2 ? 1.702f * x : x;                                                                   \
    if (f == 5) z = x * fma(x * x, (FLOATS)(0.0713548163f), (FLOATS)(1.59576912f));                       \
    return x / (1.0f + exp##SUFFIX(-z));                                                                  \
  }                                                                                                       \
  inline FLOATS activate_gradient##SUFFIX(FLOATS x, int f) {                                              \
    if (f == 1) return gelu_gradient##SUFFIX(x);                                                          \
    if (f == 3) return x > 0.0f ? (FLOATS)(1.0f) : (FLOATS)(0.0f);                                        \
    if (f == 0) return 1.0f;                                                                              \
    if (f == 5) {                                                                                         \
      FLOATS t = x * x;                                                                                   \
      t = t > 256.0f ? 256.0f : t;                                                                        \
      const FLOATS s = 1.0f / (1.0f + exp##SUFFIX(-x * fma(t, (FLOATS)(0.0713548163f), (FLOATS)(1.59576912f)))); \
      return fma(x * (s * (1.0f - s)), fma(t, (FLOATS)(0.214064449f), (FLOATS)(1.59576912f)), s);         \
    }                                                                                                     \
    const FLOATS z = f == 2 ? 1.702f * x : x;                                                             \
    const FLOATS s = 1.0f / (1.0f + exp##SUFFIX(-z));                                                     \
    return s * fma(z, 1.0f - s, (FLOATS)(1.0f));                                                          \
  }
DEFINE_ACTIVATE(16, float16)
DEFINE_ACTIVATE(4, float4)
DEFINE_ACTIVATE(1, float)

// 32 random bits for element `index` under a key of three words: a counter-based generator, so that the backward pass
// draws the same numbers without storing them. Two rounds of an avalanching bijection of 32 bits (multipliers by
// C. Wellons' search, "lowbias32"), each keyed by a word that mixes the whole key.
#define DEFINE_RANDOM(SUFFIX, UINTS)                                                            \
  inline UINTS random_mix##SUFFIX(UINTS x) {                                                    \
    x = (x ^ (x >> 16)) * 0x21f0aaadu;                                                          \
    x = (x ^ (x >> 15)) * 0xd35a2d97u;                                                          \
    return x ^ (x >> 15);                                                                       \
  }
DEFINE_RANDOM(, uint)
DEFINE_RANDOM(4, uint4)
DEFINE_RANDOM(16, uint16)
inline uint random_key(uint key0, uint key1, uint key2, uint salt) {
  return random_mix(random_mix(random_mix(key0 + salt) + key1) + key2);
}
inline uint random_bits(uint key0, uint key1, uint key2, uint index) {
  return random_mix(random_mix(index + random_key(key0, key1, key2, 0x9e3779b9u)) ^
                    random_key(key0, key1, key2, 0x7f4a7c15u));
}
// The bits of elements index ... index + 3, and ... index + 15.
inline uint4 random_bits4(uint key0, uint key1, uint key2, uint index) {
  return random_mix4(random_mix4(index + (uint4)(0, 1, 2, 3) + random_key(key0, key1, key2, 0x9e3779b9u)) ^
                     random_key(key0, key1, key2, 0x7f4a7c15u));
}
inline uint16 random_bits16(uint key0, uint key1, uint key2, uint index) {
  const uint16 each = (uint16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return random_mix16(random_mix16(index + each + random_key(key0, key1, key2, 0x9e3779b9u)) ^
                      random_key(key0, key1, key2, 0x7f4a7c15u));
}

// The last step of a matrix product, whose kernels are matmul*.cl: y = f(scale * sum + bias) + residual.
//
// PARTS  a sum: 1 bias is added, 2 residual is added after f, 4 pre receives scale * sum + bias, for the gradient of f, and
//        8 times f (activate above). Default 0.
// SCALE  defined: the sum is multiplied by `scale`, the last argument of every kernel then.
// DROP   defined: what f gives is dropped as in dropout.cl, whose arguments follow.
// GRADIENT_OF_F  defined: y = drop(sum) * f'(pre) + residual, what goes back through f. Then pre is read.
#ifndef PARTS
#define PARTS 0
#endif
#define HAS_BIAS(parts) ((parts) & 1)
#define HAS_RESIDUAL(parts) ((parts) & 2)
#define KEEPS_PRE(parts) ((parts) & 4)

// Multiplied before the bias is added, each rounded: the same bits in every kernel.
#ifdef SCALE
#define SCALE_PARAMETER , const global float *scale
#define SCALE_ARGUMENT , scale
#define SCALED(sum, factor) sum *= factor;
#else
#define SCALE_PARAMETER
#define SCALE_ARGUMENT
#define SCALED(sum, factor)
#endif
#ifdef DROP
#define DROP_PARAMETERS , uint key0, uint key1, uint key2, uint threshold, float keep_scale
#define DROP_ARGUMENTS , key0, key1, key2, threshold, keep_scale
#define DROPPED(sum, index) \
  sum = random_bits(key0, key1, key2, (uint)(index)) >= threshold ? sum * keep_scale : 0.0f;
#else
#define DROP_PARAMETERS
#define DROP_ARGUMENTS
#define DROPPED(sum, index)
#endif

inline void finish1(float sum, size_t at, int column, global result *y, const global float *bias,
                    const global float *residual, global float *pre, int parts SCALE_PARAMETER DROP_PARAMETERS) {
#ifdef GRADIENT_OF_F
  DROPPED(sum, at)
  if (parts / 8) sum *= activate_gradient1(pre[at], parts / 8);
#else
  SCALED(sum, scale[column])
  if (HAS_BIAS(parts)) sum += bias[column];
  if (KEEPS_PRE(parts)) pre[at] = sum;
  sum = activate1(sum, parts / 8);
  DROPPED(sum, at)
#endif
  if (HAS_RESIDUAL(parts)) sum += residual[at];
  STORE_RESULT(sum, y + at);
}

// Before a loop with a constant count that runs seldom: unrolled it would gain nothing and take long to compile.
#define COMPACT _Pragma("nounroll")

// VEC  channels that one work-item handles at a time where rows are short: a power of two up to 16 that divides the
//      number of channels. Unit: floats. Default 16.
#ifndef VEC
#define VEC 16
#endif
#if VEC == 1
typedef float floatv;
#define LOADV(p) (*(p))
#define STOREV(v, p) (*(p) = (v))
#else
typedef JOIN(float, VEC) floatv;
// ALIGNED  defined: every access begins at a multiple of VEC floats, as on GPUs (RUN above says why).
#ifdef ALIGNED
#define LOADV(p) (*(const global floatv *)(p))
#define STOREV(v, p) (*(global floatv *)(p) = (v))
#else
#define LOADV(p) JOIN(vload, VEC)(0, (p))
#define STOREV(v, p) JOIN(vstore, VEC)((v), 0, (p))
#endif
#endif
