// Matrix products of CPUs, with everything that follows folded into the last step:
//   y = f(scale * (A B) + bias) + residual,   pre = scale * (A B) + bias
//
// A         (m, k) row-major.
// B         (k, n) in panels of columns, zero-padded (pack.cl):  B[i][j] = b[j / PANEL][i][j % PANEL].
// y         (m, n) row-major; so are residual and pre.
// bias      (n); so is scale, with SCALE alone.
//
// PANEL     columns of a panel, 32 or 16. Default 32.
// STORAGE   of the panels (common.cl).
// BFLOAT_RESULT  of y (common.cl).
// parts     PARTS of common.cl, as an argument: each program took a CPU's compiler a quarter of a second.
// SCALE     as in common.cl.
// DOT_PRODUCT  defined: on pairs of bf16, by an instruction of x86 processors (AVX512-BF16). A (m, ceil(k / 2)) and the
//           panels hold pairs (pack.cl), and k counts pairs.
//
// Whatever the tile, each element is one chain of fused multiply-adds in the order of k; with DOT_PRODUCT two products at
// a time.

#ifndef PANEL
#define PANEL 32
#endif

// One work-item computes ROWS x PANEL elements of y in registers; the work-group size is 1, because on a CPU runtime
// the work-item loop is ours. Per step of k it reads the panel's next vectors, broadcasts one value of each row of A
// and multiplies and adds it to each of them.
//
// Dimension 0 of the range runs along the tiles of one block of rows, dimension 1 along the panels, dimension 2 along
// the blocks. Runtimes hand out groups in that order, so a panel is read by all tiles of a block while it is in the
// nearest cache, and the block's rows of A stay in the next one while all panels pass.
//
// ROWS  rows of a tile, 1 to 14. Default 12.
//
// Accumulators, a step's panel vectors and a broadcast must fit the vector registers: 12 x 32 in 32 of 16 floats,
// 6 x 16 in 16 of 8 floats.
#ifndef ROWS
#define ROWS 12
#endif

inline void finish16(float16 sum, size_t at, int column, global result *y, const global float *bias,
                     const global float *residual, global float *pre, int parts SCALE_PARAMETER) {
  SCALED(sum, VLOAD(scale + column))
  if (HAS_BIAS(parts)) sum += VLOAD(bias + column);
  if (KEEPS_PRE(parts)) VSTORE(sum, pre + at);
  sum = activate16(sum, parts / 8);
  if (HAS_RESIDUAL(parts)) sum += VLOAD(residual + at);
  STORE_RESULT16(sum, y + at);
}

// The last columns of a matrix whose width is no multiple of 16.
inline void finish_some(float16 sum, int count, size_t at, int column, global result *y, const global float *bias,
                        const global float *residual, global float *pre, int parts SCALE_PARAMETER) {
  float sums[16];
  VSTORE(sum, sums);
  for (int c = 0; c < count; ++c) finish1(sums[c], at + c, column + c, y, bias, residual, pre, parts SCALE_ARGUMENT);
}

#if ROWS > 1
#define ROW_1(X) X(1)
#else
#define ROW_1(X)
#endif
#if ROWS > 2
#define ROW_2(X) X(2)
#else
#define ROW_2(X)
#endif
#if ROWS > 3
#define ROW_3(X) X(3)
#else
#define ROW_3(X)
#endif
#if ROWS > 4
#define ROW_4(X) X(4)
#else
#define ROW_4(X)
#endif
#if ROWS > 5
#define ROW_5(X) X(5)
#else
#define ROW_5(X)
#endif
#if ROWS > 6
#define ROW_6(X) X(6)
#else
#define ROW_6(X)
#endif
#if ROWS > 7
#define ROW_7(X) X(7)
#else
#define ROW_7(X)
#endif
#if ROWS > 8
#define ROW_8(X) X(8)
#else
#define ROW_8(X)
#endif
#if ROWS > 9
#define ROW_9(X) X(9)
#else
#define ROW_9(X)
#endif
#if ROWS > 10
#define ROW_10(X) X(10)
#else
#define ROW_10(X)
#endif
#if ROWS > 11
#define ROW_11(X) X(11)
#else
#define ROW_11(X)
#endif
#if ROWS > 12
#define ROW_12(X) X(12)
#else
#define ROW_12(X)
#endif
#if ROWS > 13
#define ROW_13(X) X(13)
#else
#define ROW_13(X)
#endif
#define EACH_ROW(X)                                                                                      \
  X(0) ROW_1(X) ROW_2(X) ROW_3(X) ROW_4(X) ROW_5(X) ROW_6(X) ROW_7(X) ROW_8(X) ROW_9(X) ROW_10(X) ROW_11(X) \
      ROW_12(X) ROW_13(X)

#ifdef DOT_PRODUCT
typedef uint left;
typedef uint right;
#define LOAD_PANEL(p) vload16(0, (p))
typedef uint16 operand;
#else
typedef float left;
typedef stored right;
#define LOAD_PANEL(p) LOAD_STORED16(p)
typedef float16 operand;
#endif

// A row of A past the last is read as the last: the tile stays whole, and its result is not stored.
#define ROW_OF_A(r) const global left *a##r = a + (size_t)min(first + r, m - 1) * k;
#if PANEL == 32
#define DECLARE(r) ROW_OF_A(r) float16 l##r = 0.0f, h##r = 0.0f;
#define MULTIPLY(r)             \
  {                             \
    const operand v = a##r[i];  \
    MULTIPLY_ADD(l##r, v, low)  \
    MULTIPLY_ADD(h##r, v, high) \
  }
#define KEEP(r) sums[2 * r] = l##r, sums[2 * r + 1] = h##r;
#define ADD_BIAS(r) l##r += low_bias, h##r += high_bias;
#define APPLY_SCALE(r) l##r *= low_scale, h##r *= high_scale;
#define STORE(r)                                                  \
  if (first + r < m) {                                            \
    STORE_RESULT16(l##r, y + (size_t)(first + r) * n + column);   \
    STORE_RESULT16(h##r, y + (size_t)(first + r) * n + column + 16); \
  }
#else
#define DECLARE(r) ROW_OF_A(r) float16 l##r = 0.0f;
#define MULTIPLY(r)            \
  {                            \
    const operand v = a##r[i]; \
    MULTIPLY_ADD(l##r, v, low) \
  }
#define KEEP(r) sums[r] = l##r;
#define ADD_BIAS(r) l##r += low_bias;
#define APPLY_SCALE(r) l##r *= low_scale;
#define STORE(r) \
  if (first + r < m) STORE_RESULT16(l##r, y + (size_t)(first + r) * n + column);
#endif

TARGET kernel void matmul_registers(const global left *a, const global right *b, global result *y,
                             const global float *bias, const global float *residual, global float *pre, int m,
                             int n, int k, int parts SCALE_PARAMETER) {
  const int first = (get_global_id(2) * get_global_size(0) + get_global_id(0)) * ROWS;
  if (first >= m) return;
  const int column = get_global_id(1) * PANEL;
  const global right *panel = b + (size_t)column * k;
  EACH_ROW(DECLARE)
  for (int i = 0; i < k; ++i) {
    const operand low = LOAD_PANEL(panel + (size_t)i * PANEL);
#if PANEL == 32
    const operand high = LOAD_PANEL(panel + (size_t)i * PANEL + 16);
#endif
    EACH_ROW(MULTIPLY)
  }
  // A short product, of adapters, spends its time in the last step: the ordinary one stays in registers.
  if (parts <= 1 && column + PANEL <= n) {
#ifdef SCALE
    const float16 low_scale = VLOAD(scale + column);
#if PANEL == 32
    const float16 high_scale = VLOAD(scale + column + 16);
#endif
    EACH_ROW(APPLY_SCALE)
#endif
    if (HAS_BIAS(parts)) {
      const float16 low_bias = VLOAD(bias + column);
#if PANEL == 32
      const float16 high_bias = VLOAD(bias + column + 16);
#endif
      EACH_ROW(ADD_BIAS)
    }
    EACH_ROW(STORE)
    return;
  }
  // One copy of the other last steps, in a loop: one for each sum of the tile took most of the time to compile.
  float16 sums[ROWS * PANEL / 16];
  EACH_ROW(KEEP)
  const int count = min(ROWS, m - first) * (PANEL / 16);
  COMPACT for (int s = 0; s < count; ++s) {
    const int from = column + s % (PANEL / 16) * 16;
    const size_t at = (size_t)(first + s / (PANEL / 16)) * n + from;
    if (from + 16 <= n) finish16(sums[s], at, from, y, bias, residual, pre, parts SCALE_ARGUMENT);
    else finish_some(sums[s], n - from, at, from, y, bias, residual, pre, parts SCALE_ARGUMENT);
  }
}
