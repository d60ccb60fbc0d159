// Matrix products of GPUs whose lanes read each other's registers for nothing (Intel's), with everything that follows folded
// into the last step:
//   y = f(scale * (A B) + bias) + residual,   pre = scale * (A B) + bias
//
// A         (m, k) row-major.
// B         (k, n) in zero-padded panels of columns (pack.cl):  B[i][j] = b[j / 32][i][j % 32].
// y         (m, n) row-major; so are residual and pre.
// bias      (n); so is scale, with SCALE alone. PARTS and SCALE: common.cl.
//
// A wave computes ROWS rows of one panel. Of each row of A it holds 2 * WAVE neighbours along k, two a lane, and of the panel
// it reads eight registers at a time, rows that lie one behind the other: lane l has columns l, l + WAVE ... of them. Each
// element of A is multiplied, by all lanes, by a row of the panel. There is no local memory and no barrier: waves of a group
// share the panel, and groups the rows, through the caches.
//
// Each element is one chain of fused multiply-adds in the order of k: the bits of every other kernel.
//
// The group is WAVE * WAVES items of one dimension. Group (x, y): panel x, and WAVES blocks of ROWS rows from
// y * WAVES * ROWS on.
//
// WAVE      lanes of a wave, 8 or 16. Default 16.
// ROWS      rows of a wave. Default 8.
// WAVES     waves of a group. Default 4.
// STORAGE   of the panels (common.cl), whose PANEL is 32.
//
// Where a compiler lacks cl_intel_subgroups or the choice of a wave's width, the lanes are emulated: they put what others
// read into local memory. That is slow, and is there so that any device can test the kernel.

#ifndef WAVE
#define WAVE 16
#endif
#ifndef ROWS
#define ROWS 8
#endif
#ifndef WAVES
#define WAVES 4
#endif
#undef PANEL
#define PANEL 32

// Registers that a row of the panel takes, and rows that eight registers hold.
#define COLUMNS (PANEL / WAVE)
#define ROWS_OF_READ (8 / COLUMNS)

#if defined(cl_intel_subgroups) && defined(cl_intel_required_subgroup_size) && \
    (STORAGE != 2 || defined(cl_intel_subgroups_short) && defined(cl_khr_fp16))
#pragma OPENCL EXTENSION cl_intel_subgroups : enable
#define OF_WAVE __attribute__((intel_reqd_sub_group_size(WAVE)))
#define SHARED
#define LANE_OF_WAVE get_sub_group_local_id()
#define WAVE_OF_GROUP get_sub_group_id()
#define READ_A(p) as_float2(intel_sub_group_block_read2((const global uint *)(p)))
#define SHARE
#define UNSHARE
#define OF_LANE(r, h, i) intel_sub_group_shuffle(va[r].s##h, i)
#if STORAGE == 0
#define READ_B(p) as_float8(intel_sub_group_block_read8((const global uint *)(p)))
#elif STORAGE == 1
#define READ_PAIRS(p) intel_sub_group_block_read4((const global uint *)(p))
#else
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define READ_B(p) convert_float8(as_half8(intel_sub_group_block_read_us8(p)))
#endif
#else
#define OF_WAVE
#define SHARED local float shared_a[WAVES][ROWS][2 * WAVE];
#define LANE_OF_WAVE (get_local_id(0) % WAVE)
#define WAVE_OF_GROUP (get_local_id(0) / WAVE)
#define READ_A(p) (float2)((p)[lane], (p)[WAVE + lane])
#define SHARE                                                                                        \
  UNROLL for (int r = 0; r < ROWS; ++r) shared_a[wave][r][lane] = va[r].s0, shared_a[wave][r][WAVE + lane] = va[r].s1; \
  barrier(CLK_LOCAL_MEM_FENCE);
#define UNSHARE barrier(CLK_LOCAL_MEM_FENCE);
#define OF_LANE(r, h, i) shared_a[wave][r][h * WAVE + (i)]
#if STORAGE == 1
#define PAIR(p, i) ((const global uint *)(p))[(i) * WAVE + lane]
#define READ_PAIRS(p) (uint4)(PAIR(p, 0), PAIR(p, 1), PAIR(p, 2), PAIR(p, 3))
#else
#define ELEMENT(p, i) LOAD_STORED((p) + (i) * WAVE + lane)
#define READ_B(p)                                                                                          \
  (float8)(ELEMENT(p, 0), ELEMENT(p, 1), ELEMENT(p, 2), ELEMENT(p, 3), ELEMENT(p, 4), ELEMENT(p, 5), \
           ELEMENT(p, 6), ELEMENT(p, 7))
#endif
#endif

// Column c of a lane. Of bf16 a lane reads pairs of neighbours, which take an instruction each to become floats.
#if STORAGE == 1
#define COLUMN(c) ((c) / 2 * 2 * WAVE + 2 * lane + (c) % 2)
inline float8 widened(uint4 pairs) {
  float8 v;
  v.even = as_float4(pairs << 16u);
  v.odd = as_float4(pairs & 0xffff0000u);
  return v;
}
#define READ_B(p) widened(READ_PAIRS(p))
#else
#define COLUMN(c) ((c) * WAVE + lane)
#endif

// WAVE steps of k from `from` on, whose elements of A lie in half h of va.
#define MULTIPLY(h, from)                                                                              \
  UNROLL for (int i = 0; i < WAVE; i += ROWS_OF_READ) {                                                \
    const float8 v = READ_B(panel + (size_t)((from) + i) * PANEL);                                      \
    const float vb[8] = {v.s0, v.s1, v.s2, v.s3, v.s4, v.s5, v.s6, v.s7};                              \
    UNROLL for (int j = 0; j < ROWS_OF_READ; ++j) UNROLL for (int r = 0; r < ROWS; ++r) {              \
      const float x = OF_LANE(r, h, i + j);                                                            \
      UNROLL for (int c = 0; c < COLUMNS; ++c) sums[r][c] = fma(x, vb[j * COLUMNS + c], sums[r][c]);   \
    }                                                                                                  \
  }
// The last steps, fewer than WAVE.
#define MULTIPLY_SOME(h, from, count)                                                                  \
  COMPACT for (int i = 0; i < (count); ++i) {                                                          \
    float vb[COLUMNS];                                                                                 \
    UNROLL for (int c = 0; c < COLUMNS; ++c) vb[c] = LOAD_STORED(panel + (size_t)((from) + i) * PANEL + COLUMN(c)); \
    UNROLL for (int r = 0; r < ROWS; ++r) {                                                            \
      const float x = OF_LANE(r, h, i);                                                                \
      UNROLL for (int c = 0; c < COLUMNS; ++c) sums[r][c] = fma(x, vb[c], sums[r][c]);                 \
    }                                                                                                  \
  }

OF_WAVE kernel __attribute__((reqd_work_group_size(WAVE * WAVES, 1, 1)))
void matmul_lanes(const global float *restrict a, const global stored *restrict b, global float *y,
                  const global float *bias, const global float *residual, global float *pre, int m, int n,
                  int k SCALE_PARAMETER) {
  SHARED
  const int lane = LANE_OF_WAVE, wave = WAVE_OF_GROUP;
  const int row0 = (get_group_id(1) * WAVES + wave) * ROWS, column0 = get_group_id(0) * PANEL;
  const global stored *panel = b + (size_t)column0 * k;
  // A row behind m is read as the last; nobody stores its results.
  const global float *rows[ROWS];
  UNROLL for (int r = 0; r < ROWS; ++r) rows[r] = a + (size_t)min(row0 + r, m - 1) * k;
  float2 va[ROWS];
  float sums[ROWS][COLUMNS];
  UNROLL for (int r = 0; r < ROWS; ++r) UNROLL for (int c = 0; c < COLUMNS; ++c) sums[r][c] = 0.0f;

  const int whole = k / (2 * WAVE) * (2 * WAVE);
  COMPACT for (int i0 = 0; i0 < whole; i0 += 2 * WAVE) {
    UNROLL for (int r = 0; r < ROWS; ++r) va[r] = READ_A(rows[r] + i0);
    SHARE
    MULTIPLY(0, i0)
    MULTIPLY(1, i0 + WAVE)
    UNSHARE
  }
  if (whole < k) {
    const int left = k - whole;
    UNROLL for (int r = 0; r < ROWS; ++r) {
      va[r].s0 = lane < left ? rows[r][whole + lane] : 0.0f;
      va[r].s1 = WAVE + lane < left ? rows[r][whole + WAVE + lane] : 0.0f;
    }
    SHARE
    MULTIPLY_SOME(0, whole, min(left, WAVE))
    MULTIPLY_SOME(1, whole + WAVE, left - WAVE)
  }

  UNROLL for (int c = 0; c < COLUMNS; ++c) {
    const int column = column0 + COLUMN(c);
    UNROLL for (int r = 0; r < ROWS; ++r) {
      if (column >= n || row0 + r >= m) continue;
      finish1(sums[r][c], (size_t)(row0 + r) * n + column, column, y, bias, residual, pre, PARTS SCALE_ARGUMENT);
    }
  }
}
