// Matrix products of GPUs by their matrix units, of bf16 with sums in fp32, with everything that follows folded into the last
// step:
//   y = f(scale * (A B) + bias) + residual,   pre = scale * (A B) + bias
//
// A         (m, k) row-major floats, which are rounded to bf16 on their way to local memory; with A_WORDS words already.
// B         (k, n) in zero-padded paired panels of bf16 (pack.cl, PAIRED), read as words:
//           B word (w, j) = b[j / 32][w][j % 32].
// y         (m, n) row-major, as BFLOAT_RESULT says; so, in floats, are residual and pre.
// bias      (n); so is scale, with SCALE alone. PARTS and SCALE: common.cl.
//
// A word is two neighbours along k as bf16, the first in the low half: what a register of an operand holds.
//
// A wave multiplies UNIT_M rows of UNIT_WORDS words by as many words of UNIT_N columns in one instruction: a fragment of each
// operand, spread over the registers of its lanes. A wave has FRAGMENTS_M x FRAGMENTS_N of the results, a group WAVES_M x
// WAVES_N waves. In local memory lie 16 words of k of the group's rows and columns, so that what a lane needs of some
// instructions are neighbours; while they are multiplied, the next are on their way.
//
// Nothing is checked on the way. Rows behind m and columns behind n are read as the last ones, whose results nobody stores;
// what is left of an uneven k is filled with zeros, in both operands.
//
// The group is of one dimension: WAVE * WAVES_M * WAVES_N items. Group (x, y) computes the tile of columns x and rows y.
//
// UNIT         1 NVIDIA from sm_80 on, mma.sync; AMD: 2 gfx11, WMMA, 3 gfx12, WMMA, 4 gfx90a and gfx942, MFMA; Intel's XMX:
//              5 waves of 8 (Arc), 6 waves of 16 (Ponte Vecchio). Default 1.
// INSTRUCTION  defined: the unit is there. Else the lanes are emulated, with what others read of their registers in local
//              memory: that is slow, and there so that any device can test where the kernel puts what.
// FRAGMENTS_M, FRAGMENTS_N  of a wave. Default 2 x 2.
// WAVES_M, WAVES_N          of a group. Default 1 x 1.
// BUFFERS      1: half the local memory, and two barriers every 16 words. Default 2.
// HELD         1: the next words wait in registers while these are multiplied. 0: they go straight to the other half of local
//              memory, for units whose registers are full of results. Default 1; 0 needs two buffers.
// A_WORDS      defined: A is (m, ceil(k / 2)) words.
// QUADS        rows that begin at a multiple of 16 bytes, a sum: 1 of A. Default 0.
// MUTANTS      defined, for tests alone, which must notice them: the last argument is a mistake in where the kernel thinks that
//              fragments lie. 1 two registers of A, 2 of B, 3 of the results are swapped; lanes of 4 A, 5 B are in another
//              order; 6 rows, 7 columns of the results are; 8 the halves of A's words are swapped; 0 none.

#ifndef UNIT
#define UNIT 1
#endif
#ifndef FRAGMENTS_M
#define FRAGMENTS_M 2
#endif
#ifndef FRAGMENTS_N
#define FRAGMENTS_N 2
#endif
#ifndef WAVES_M
#define WAVES_M 1
#endif
#ifndef WAVES_N
#define WAVES_N 1
#endif
#ifndef BUFFERS
#define BUFFERS 2
#endif
#ifndef HELD
#define HELD 1
#endif
#ifndef QUADS
#define QUADS 0
#endif
#ifdef MUTANTS
#define MUTANT mutant
#define MUTANT_PARAMETER , int mutant
#else
#define MUTANT 0
#define MUTANT_PARAMETER
#endif
#undef PANEL
#define PANEL 32
// Words of k in local memory: what a reading of any unit divides.
#define WORDS 16

// The units. ..._OF_A, _B, _D: of register r of lane l, what the kernel puts there or finds there.
//
// STEPS  instructions whose operands a lane reads at a time; PLACE(s, w) where word w of instruction s lies among them. The
//        order of k within a reading is free, as long as both operands have the same: so a lane's words are neighbours.
//
// LANE_OF_... and REGISTER_OF_...: which register of which lane the unit takes an element from, or leaves it in. They say the
// same the other way round, are written from the makers' manuals on their own, and serve emulation alone: what is wrong in one
// of the two shows.
#if UNIT == 1
// PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type".
#define WAVE 32
#define UNIT_M 16
#define UNIT_N 8
#define UNIT_WORDS 8
#define STEPS 2
#define REGISTERS_A 4
#define REGISTERS_B 2
#define REGISTERS_D 4
#define ROW_OF_A(l, r) ((l) / 4 + (r) % 2 * 8)
#define WORD_OF_A(l, r) ((l) % 4 + (r) / 2 * 4)
#define WORD_OF_B(l, r) ((l) % 4 + (r) * 4)
#define COLUMN_OF_B(l, r) ((l) / 4)
#define ROW_OF_D(l, r) ((l) / 4 + (r) / 2 * 8)
#define COLUMN_OF_D(l, r) ((l) % 4 * 2 + (r) % 2)
#define PLACE(s, w) ((w) % 4 * 4 + (s) * 2 + (w) / 4)
#define LANE_OF_A(row, w) (((row) & 7) << 2 | ((w) & 3))
#define REGISTER_OF_A(row, w) ((row) >> 3 | (w) >> 2 << 1)
#define LANE_OF_B(w, column) ((column) << 2 | ((w) & 3))
#define REGISTER_OF_B(w, column) ((w) >> 2)
#define LANE_OF_D(row, column) (((row) & 7) << 2 | (column) >> 1)
#define REGISTER_OF_D(row, column) ((row) >> 3 << 1 | ((column) & 1))
#elif UNIT == 2
// RDNA 3 ISA, "WMMA": both halves of a wave hold the same operands, and every other row of the results.
#define WAVE 32
#define UNIT_M 16
#define UNIT_N 16
#define UNIT_WORDS 8
#define STEPS 1
#define REGISTERS_A 8
#define REGISTERS_B 8
#define REGISTERS_D 8
#define ROW_OF_A(l, r) ((l) % 16)
#define WORD_OF_A(l, r) (r)
#define WORD_OF_B(l, r) (r)
#define COLUMN_OF_B(l, r) ((l) % 16)
#define ROW_OF_D(l, r) ((r) * 2 + (l) / 16)
#define COLUMN_OF_D(l, r) ((l) % 16)
#define PLACE(s, w) (w)
// Words by turns from one half and the other: both must hold them.
#define LANE_OF_A(row, w) (((w) & 1) << 4 | (row))
#define REGISTER_OF_A(row, w) (w)
#define LANE_OF_B(w, column) ((~(w) & 1) << 4 | (column))
#define REGISTER_OF_B(w, column) (w)
#define LANE_OF_D(row, column) (((row) & 1) << 4 | (column))
#define REGISTER_OF_D(row, column) ((row) >> 1)
#elif UNIT == 3
// RDNA 4 ISA, "WMMA": halves of a wave hold halves of k, and of the rows of the results.
#define WAVE 32
#define UNIT_M 16
#define UNIT_N 16
#define UNIT_WORDS 8
#define STEPS 1
#define REGISTERS_A 4
#define REGISTERS_B 4
#define REGISTERS_D 8
#define ROW_OF_A(l, r) ((l) % 16)
#define WORD_OF_A(l, r) ((l) / 16 * 4 + (r))
#define WORD_OF_B(l, r) ((l) / 16 * 4 + (r))
#define COLUMN_OF_B(l, r) ((l) % 16)
#define ROW_OF_D(l, r) ((l) / 16 * 8 + (r))
#define COLUMN_OF_D(l, r) ((l) % 16)
#define PLACE(s, w) (w)
#define LANE_OF_A(row, w) ((w) >> 2 << 4 | (row))
#define REGISTER_OF_A(row, w) ((w) & 3)
#define LANE_OF_B(w, column) ((w) >> 2 << 4 | (column))
#define REGISTER_OF_B(w, column) ((w) & 3)
#define LANE_OF_D(row, column) ((row) >> 3 << 4 | (column))
#define REGISTER_OF_D(row, column) ((row) & 7)
#elif UNIT == 4
// CDNA 2 and 3 ISA, "V_MFMA_F32_32X32X8_BF16": of results, a lane has four rows of each eight.
#define WAVE 64
#define UNIT_M 32
#define UNIT_N 32
#define UNIT_WORDS 4
#define STEPS 4
#define REGISTERS_A 2
#define REGISTERS_B 2
#define REGISTERS_D 16
#define ROW_OF_A(l, r) ((l) % 32)
#define WORD_OF_A(l, r) ((l) / 32 * 2 + (r))
#define WORD_OF_B(l, r) ((l) / 32 * 2 + (r))
#define COLUMN_OF_B(l, r) ((l) % 32)
#define ROW_OF_D(l, r) ((r) / 4 * 8 + (l) / 32 * 4 + (r) % 4)
#define COLUMN_OF_D(l, r) ((l) % 32)
#define PLACE(s, w) ((w) / 2 * 8 + (s) * 2 + (w) % 2)
#define LANE_OF_A(row, w) ((w) >> 1 << 5 | (row))
#define REGISTER_OF_A(row, w) ((w) & 1)
#define LANE_OF_B(w, column) ((w) >> 1 << 5 | (column))
#define REGISTER_OF_B(w, column) ((w) & 1)
#define LANE_OF_D(row, column) (((row) >> 2 & 1) << 5 | (column))
#define REGISTER_OF_D(row, column) ((row) >> 3 << 2 | ((row) & 3))
#else
// cl_intel_subgroup_matrix_multiply_accumulate: eight rows of its left operand, of which a lane has a word (waves of 16: half
// a word), by a column a lane. Its left operand is B, its rows our columns: so operands lie in local memory as they come.
#define WAVE (UNIT == 5 ? 8 : 16)
#define UNIT_M WAVE
#define UNIT_N 8
#define UNIT_WORDS 8
#define STEPS 1
#define REGISTERS_A 8
#define REGISTERS_B 8
#define REGISTERS_D 8
#define ROW_OF_A(l, r) (l)
#define WORD_OF_A(l, r) (r)
#define WORD_OF_B(l, r) ((l) * 8 / WAVE)
#define COLUMN_OF_B(l, r) (r)
#define ROW_OF_D(l, r) (l)
#define COLUMN_OF_D(l, r) (r)
#define PLACE(s, w) (w)
#define LANE_OF_A(row, w) (row)
#define REGISTER_OF_A(row, w) (w)
#if UNIT == 5
#define LANE_OF_B(w, column) (w)
#else
#define LANE_OF_B(w, column) ((w) << 1)  // and the lane behind it
#endif
#define REGISTER_OF_B(w, column) (column)
#define LANE_OF_D(row, column) (row)
#define REGISTER_OF_D(row, column) (column)
#endif

typedef JOIN(float, REGISTERS_D) results;
typedef JOIN(uint, REGISTERS_A) fragment_a;
#if UNIT == 6
typedef ushort part_b;
typedef ushort8 fragment_b;
#define PART_OF_B(word, l) ((word) >> (l) % 2 * 16)
#else
typedef uint part_b;
typedef JOIN(uint, REGISTERS_B) fragment_b;
#define PART_OF_B(word, l) (word)
#endif
#define REGISTER_A(v, r) ((uint *)&(v))[r]
#define REGISTER_B(v, r) ((part_b *)&(v))[r]
#define REGISTER_D(v, r) ((float *)&(v))[r]

// The mistakes. A number of bits is turned by one: what lies in pairs then lies apart.
#define SWAPPED(r, count) ((count) == 2 ? 1 - (r) : (r) == 1 ? 2 : (r) == 2 ? 1 : (r))
#define TURNED(i, count) ((i) % ((count) / 2) * 2 + (i) / ((count) / 2))
#define MINE_A(r) (MUTANT == 1 ? SWAPPED(r, REGISTERS_A) : (r))
#define MINE_B(r) (MUTANT == 2 ? SWAPPED(r, REGISTERS_B) : (r))
#define MINE_D(r) (MUTANT == 3 ? SWAPPED(r, REGISTERS_D) : (r))
#define LANE_A (MUTANT == 4 ? TURNED(lane, WAVE) : lane)
#define LANE_B (MUTANT == 5 ? TURNED(lane, WAVE) : lane)
#define ROW_D(r) (MUTANT == 6 ? TURNED(ROW_OF_D(lane, r), UNIT_M) : ROW_OF_D(lane, r))
#define COLUMN_D(r) (MUTANT == 7 ? TURNED(COLUMN_OF_D(lane, r), UNIT_N) : COLUMN_OF_D(lane, r))
#define WORD_OF(low, high) (MUTANT == 8 ? word_of(high, low) : word_of(low, high))

// Two floats as a word.
#if UNIT == 1 && defined(INSTRUCTION)
inline uint word_of(float low, float high) {
  uint word;
  __asm__("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
}
#else
inline uint word_of(float low, float high) { return bfloat_bits(low) | bfloat_bits(high) << 16; }
#endif

// d += a * b of a wave.
#ifdef INSTRUCTION
#define SHARED
#define EACH_FRAGMENT UNROLL
#define LANE_OF_WAVE (get_local_id(0) % WAVE)
#define OF_WAVE
#if UNIT == 1
#define MULTIPLY(d, a, b)                                                                                       \
  __asm__ volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "   \
                   "{%8, %9}, {%0, %1, %2, %3};"                                                                \
                   : "+f"(d.s0), "+f"(d.s1), "+f"(d.s2), "+f"(d.s3)                                             \
                   : "r"(a.s0), "r"(a.s1), "r"(a.s2), "r"(a.s3), "r"(b.s0), "r"(b.s1));
#elif UNIT == 2
#define MULTIPLY(d, a, b) d = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(as_short16(a), as_short16(b), d);
#elif UNIT == 3
#define MULTIPLY(d, a, b) d = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(as_short8(a), as_short8(b), d);
#elif UNIT == 4
#define MULTIPLY(d, a, b) d = __builtin_amdgcn_mfma_f32_32x32x8bf16_1k(as_short4(a), as_short4(b), d, 0, 0, 0);
#else
#undef LANE_OF_WAVE
#undef OF_WAVE
#define LANE_OF_WAVE get_sub_group_local_id()
#define OF_WAVE __attribute__((intel_reqd_sub_group_size(WAVE)))
// By hand: drivers of 2022 have the function and do not declare it, and where it is declared this says the same.
#if UNIT == 5
float8 __attribute__((overloadable)) intel_sub_group_bf16_bf16_matrix_mad_k16(int8 a, int8 b, float8 sum);
#define MULTIPLY(d, a, b) d = intel_sub_group_bf16_bf16_matrix_mad_k16(as_int8(b), as_int8(a), d);
#else
float8 __attribute__((overloadable)) intel_sub_group_bf16_bf16_matrix_mad_k16(short8 a, int8 b, float8 sum);
#define MULTIPLY(d, a, b) d = intel_sub_group_bf16_bf16_matrix_mad_k16(as_short8(b), as_int8(a), d);
#endif
#endif
#else
#define OF_WAVE
#define LANE_OF_WAVE (get_local_id(0) % WAVE)
#define EACH_FRAGMENT COMPACT
#define SHARED                               \
  local uint shared_a[ITEMS * REGISTERS_A];   \
  local part_b shared_b[ITEMS * REGISTERS_B]; \
  local float shared_d[ITEMS * REGISTERS_D];
#define UNIT_A(row, w) shared_a[(first + LANE_OF_A(row, w)) * REGISTERS_A + REGISTER_OF_A(row, w)]
#define PART_B(w, column, l) shared_b[(first + LANE_OF_B(w, column) + (l)) * REGISTERS_B + REGISTER_OF_B(w, column)]
#if UNIT == 6
#define UNIT_B(w, column) (PART_B(w, column, 0) | (uint)PART_B(w, column, 1) << 16)
#else
#define UNIT_B(w, column) PART_B(w, column, 0)
#endif
// All waves of the group come here together. A lane computes elements that others hold, and puts them where they are theirs.
#define MULTIPLY(d, a, b)                                                                                   \
  {                                                                                                         \
    const int first = wave * WAVE, own = first + lane;                                                      \
    UNROLL for (int r = 0; r < REGISTERS_A; ++r) shared_a[own * REGISTERS_A + r] = REGISTER_A(a, r);         \
    UNROLL for (int r = 0; r < REGISTERS_B; ++r) shared_b[own * REGISTERS_B + r] = REGISTER_B(b, r);         \
    UNROLL for (int r = 0; r < REGISTERS_D; ++r) shared_d[own * REGISTERS_D + r] = REGISTER_D(d, r);         \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                           \
    COMPACT for (int e = lane; e < UNIT_M * UNIT_N; e += WAVE) {                                            \
      const int row = e / UNIT_N, column = e % UNIT_N;                                                      \
      local float *at = shared_d + (first + LANE_OF_D(row, column)) * REGISTERS_D + REGISTER_OF_D(row, column); \
      float sum = *at;                                                                                      \
      COMPACT for (int w = 0; w < UNIT_WORDS; ++w) {                                                        \
        const uint x = UNIT_A(row, w), y_ = UNIT_B(w, column);                                              \
        sum = fma(as_float(x << 16), as_float(y_ << 16), sum);                                              \
        sum = fma(as_float(x & 0xffff0000u), as_float(y_ & 0xffff0000u), sum);                              \
      }                                                                                                     \
      *at = sum;                                                                                            \
    }                                                                                                       \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                           \
    UNROLL for (int r = 0; r < REGISTERS_D; ++r) REGISTER_D(d, r) = shared_d[own * REGISTERS_D + r];         \
  }
#endif

#define ITEMS (WAVE * WAVES_M * WAVES_N)
#define WAVE_ROWS (FRAGMENTS_M * UNIT_M)
#define WAVE_COLUMNS (FRAGMENTS_N * UNIT_N)
#define TILE_M (WAVES_M * WAVE_ROWS)
#define TILE_N (WAVES_N * WAVE_COLUMNS)

// A in local memory, where what an instruction takes from a lane should be one read. Of NVIDIA's, a lane has two words of two
// rows, in four registers side by side: rows lie in pairs, word by word, and the words of one instruction behind those of the
// other; eight lanes so read 128 bytes without a gap. On others a row lies as it is, and eight rows begin in different banks.
//
// An item puts a quad of words of ROWS_A such rows there.
#if UNIT == 1
#define ROW WORDS
#define ROWS_A 2
#define PAIR_OF(row) ((row) / 16 * 8 + (row) % 8)
#define AT_A(row, word) \
  ((word) / 2 % 2 * (TILE_M * 8) + PAIR_OF(row) * 16 + (word) / 4 * 4 + (word) % 2 * 2 + (row) / 8 % 2)
#define ROW_OF_BLOCK(e, i) ((e) / 8 * 16 + (e) % 8 + (i) * 8)
#define KEEP_A(p, v)                                                         \
  {                                                                          \
    const uint4 low = WORDS_OF(v[0]), high = WORDS_OF(v[1]);                 \
    *(local uint4 *)(p) = (uint4)(low.s0, high.s0, low.s1, high.s1);         \
    *(local uint4 *)((p) + TILE_M * 8) = (uint4)(low.s2, high.s2, low.s3, high.s3); \
  }
#else
#define ROW (WORDS + 4)
#define ROWS_A 1
#define AT_A(row, word) ((row) * ROW + (word))
#define ROW_OF_BLOCK(e, i) (e)
#define KEEP_A(p, v) *(local uint4 *)(p) = WORDS_OF(v[0]);
#endif

// B in local memory: along columns for Intel, as it comes; elsewhere along words, a column as a row of A. An item then turns
// blocks of BLOCK words of four columns, in registers.
#if UNIT >= 5
#define BLOCK 1
#define ROW_B (TILE_N + 4)
#define SIZE_B (WORDS * ROW_B)
#define AT_B(word, column) ((word) * ROW_B + (column))
#else
#if TILE_N * WORDS / 16 >= WAVE * WAVES_M * WAVES_N
#define BLOCK 4
#else
#define BLOCK 2
#endif
#define SIZE_B (TILE_N * ROW)
#define AT_B(word, column) ((column) * ROW + (word))
#endif
#define SIZE_A (TILE_M * ROW)

// What items fetch: blocks of a quad of words of some rows of A, and blocks of B.
#define BLOCKS_A (TILE_M / ROWS_A * WORDS / 4)
#define BLOCKS_B (TILE_N / 4 * WORDS / BLOCK)
#define FETCHES_A ((BLOCKS_A + ITEMS - 1) / ITEMS)
#define FETCHES_B ((BLOCKS_B + ITEMS - 1) / ITEMS)
#define EACH_A UNROLL for (int f = 0; f < FETCHES_A; ++f)
#define EACH_B UNROLL for (int f = 0; f < FETCHES_B; ++f)
#define BLOCK_A(f) min(t + (f) * ITEMS, BLOCKS_A - 1)
#define BLOCK_B(f) min(t + (f) * ITEMS, BLOCKS_B - 1)
#define WORD_OF_BLOCK_A(f) (BLOCK_A(f) % (WORDS / 4) * 4)
#if UNIT >= 5
#define WORD_OF_BLOCK_B(f) (BLOCK_B(f) / (TILE_N / 4))
#define COLUMN_OF_BLOCK_B(f) (BLOCK_B(f) % (TILE_N / 4) * 4)
#else
// Neighbours take neighbouring words, which lie side by side where they go.
#define WORD_OF_BLOCK_B(f) (BLOCK_B(f) % (WORDS / BLOCK) * BLOCK)
#define COLUMN_OF_BLOCK_B(f) (BLOCK_B(f) / (WORDS / BLOCK) * 4)
#endif
// A tile that is smaller than the group leaves some items without any.
#define IS_MINE(f, count) ((count) % ITEMS == 0 || t + (f) * ITEMS < (count))

#ifdef A_WORDS
typedef uint element_a;
typedef uint4 quad_a;  // what becomes four words
#define PER_WORD 1
#define WORDS_OF(v) (v)
#if QUADS & 1
#define LOAD_A(p) (*(const global uint4 *)(p))
#else
#define LOAD_A(p) vload4(0, p)
#endif
inline uint4 load_some_a(const global uint *p, int count) {
  uint4 v = 0u;
  if (count > 0) v.s0 = p[0];
  if (count > 1) v.s1 = p[1];
  if (count > 2) v.s2 = p[2];
  if (count > 3) v.s3 = p[3];
  return v;
}
#else
typedef float element_a;
typedef float8 quad_a;
#define PER_WORD 2
#define WORDS_OF(v) (uint4)(WORD_OF(v.s0, v.s1), WORD_OF(v.s2, v.s3), WORD_OF(v.s4, v.s5), WORD_OF(v.s6, v.s7))
#if QUADS & 1
#define LOAD_A(p) (float8)(*(const global float4 *)(p), *(const global float4 *)((p) + 4))
#else
#define LOAD_A(p) vload8(0, p)
#endif
inline float8 load_some_a(const global float *p, int count) {
  return (float8)(load_first(p, count), load_first(p + 4, count - 4));
}
#endif

#define EACH_ROW UNROLL for (int i = 0; i < ROWS_A; ++i)
#define EACH_WORD UNROLL for (int i = 0; i < BLOCK; ++i)
#define MOVE(words_)                                               \
  EACH_A EACH_ROW from_a[f][i] += (words_) * PER_WORD;             \
  EACH_B from_b[f] += (size_t)(words_) * PANEL;
#define FETCH_A(f) EACH_ROW next_a[f][i] = LOAD_A(from_a[f][i]);
#define FETCH_B(f) EACH_WORD next_b[f][i] = *(const global uint4 *)(from_b[f] + i * PANEL);
#define FETCH                \
  EACH_A { FETCH_A(f) }      \
  EACH_B { FETCH_B(f) }
// `left` words of B, and as many or half a word less of A.
#define FETCH_TAIL(left)                                                                                       \
  EACH_A EACH_ROW next_a[f][i] = load_some_a(from_a[f][i], k_a - (steps * WORDS + WORD_OF_BLOCK_A(f)) * PER_WORD); \
  EACH_B EACH_WORD next_b[f][i] =                                                                              \
      WORD_OF_BLOCK_B(f) + i < (left) ? *(const global uint4 *)(from_b[f] + i * PANEL) : (uint4)(0u);

#if BLOCK == 4
#define KEEP_COLUMN(p, b, c) *(local uint4 *)(p) = (uint4)(b[0].c, b[1].c, b[2].c, b[3].c);
#elif BLOCK == 2
#define KEEP_COLUMN(p, b, c) *(local uint2 *)(p) = (uint2)(b[0].c, b[1].c);
#endif
#if BLOCK == 1
#define KEEP_B(p, b) *(local uint4 *)(p) = b[0];
#else
#define KEEP_B(p, b)                                                      \
  KEEP_COLUMN(p, b, s0) KEEP_COLUMN((p) + ROW, b, s1) KEEP_COLUMN((p) + 2 * ROW, b, s2) \
  KEEP_COLUMN((p) + 3 * ROW, b, s3)
#endif
#define KEEP_BLOCK_A(half_, f) \
  if (IS_MINE(f, BLOCKS_A)) { KEEP_A(&tile_a[(half_) * SIZE_A + to_a[f]], next_a[f]) }
#define KEEP_BLOCK_B(half_, f) \
  if (IS_MINE(f, BLOCKS_B)) { KEEP_B(&tile_b[(half_) * SIZE_B + to_b[f]], next_b[f]) }
#define KEEP(half_)                       \
  EACH_A { KEEP_BLOCK_A(half_, f) }       \
  EACH_B { KEEP_BLOCK_B(half_, f) }

// 16 words of a half of local memory.
#define MULTIPLY_ALL(half_)                                                                                    \
  EACH_FRAGMENT for (int w = 0; w < WORDS; w += STEPS * UNIT_WORDS) {                                          \
    fragment_b fb[FRAGMENTS_N][STEPS];                                                                         \
    UNROLL for (int j = 0; j < FRAGMENTS_N; ++j) UNROLL for (int s = 0; s < STEPS; ++s)                        \
        UNROLL for (int r = 0; r < REGISTERS_B; ++r) REGISTER_B(fb[j][s], r) = PART_OF_B(                      \
            tile_b[(half_) * SIZE_B + AT_B(w + PLACE(s, WORD_OF_B(LANE_B, MINE_B(r))),                         \
                                           wave_column + j * UNIT_N + COLUMN_OF_B(LANE_B, MINE_B(r)))], LANE_B); \
    EACH_FRAGMENT for (int i = 0; i < FRAGMENTS_M; ++i) {                                                      \
      fragment_a fa[STEPS];                                                                                    \
      UNROLL for (int s = 0; s < STEPS; ++s) UNROLL for (int r = 0; r < REGISTERS_A; ++r) REGISTER_A(fa[s], r) = \
          tile_a[(half_) * SIZE_A + AT_A(wave_row + i * UNIT_M + ROW_OF_A(LANE_A, MINE_A(r)),                  \
                                         w + PLACE(s, WORD_OF_A(LANE_A, MINE_A(r))))];                         \
      EACH_FRAGMENT for (int s = 0; s < STEPS; ++s)                                                            \
          EACH_FRAGMENT for (int j = 0; j < FRAGMENTS_N; ++j) MULTIPLY(sums[i][j], fa[s], fb[j][s])            \
    }                                                                                                          \
  }

// Results go through local memory, in which nobody needs operands any more: a wave lays down those of a row of fragments,
// 32 columns at the most, and takes them up along rows. So neighbours store to neighbours, and what follows a product is there
// once, not once a register.
#define STAGED (FRAGMENTS_N < 32 / UNIT_N ? FRAGMENTS_N : 32 / UNIT_N)
#define STAGE_N (STAGED * UNIT_N)
// An odd length, but for NVIDIA, whose lanes have two neighbours of eight rows each: for them these lie in other banks.
#define STAGE_ROW (UNIT == 1 ? 40 : STAGE_N + 1)
#define SIZE_STAGE (UNIT_M * STAGE_ROW)
#define IS_OF_WAVE(column) (FRAGMENTS_N % STAGED == 0 || (column) < WAVE_COLUMNS)
// Loads that are on their way together.
#define SOME_UNROLLED _Pragma("unroll 4")
#define MOST(a, b) ((a) > (b) ? (a) : (b))

OF_WAVE kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void matmul_units(const global element_a *restrict a, const global uint *restrict b, global result *y,
                  const global float *bias, const global float *residual, global float *pre, int m, int n,
                  int k SCALE_PARAMETER MUTANT_PARAMETER) {
  local uint tile_a[MOST(BUFFERS * (SIZE_A + SIZE_B), ITEMS / WAVE * SIZE_STAGE)] __attribute__((aligned(16)));
  SHARED
  const int t = get_local_id(0), lane = LANE_OF_WAVE, wave = t / WAVE;
  local uint *const tile_b = tile_a + BUFFERS * SIZE_A, *const stage = tile_a + wave * SIZE_STAGE;
  const int wave_row = wave / WAVES_N * WAVE_ROWS, wave_column = wave % WAVES_N * WAVE_COLUMNS;
  const int row0 = get_group_id(1) * TILE_M, column0 = get_group_id(0) * TILE_N;
  const int words = (k + 1) / 2, steps = k / (2 * WORDS), left = words - steps * WORDS;
  const int k_a = PER_WORD == 1 ? words : k;

  // Where an item fetches from, and where that goes. One without a block fetches the last again.
  const global element_a *from_a[FETCHES_A][ROWS_A];
  const global uint *from_b[FETCHES_B];
  int to_a[FETCHES_A], to_b[FETCHES_B];
  EACH_A {
    const int e = BLOCK_A(f), word = WORD_OF_BLOCK_A(f);
    EACH_ROW from_a[f][i] = a + (size_t)min(row0 + ROW_OF_BLOCK(e / (WORDS / 4), i), m - 1) * k_a + word * PER_WORD;
    to_a[f] = AT_A(ROW_OF_BLOCK(e / (WORDS / 4), 0), word);
  }
  EACH_B {
    const int column = COLUMN_OF_BLOCK_B(f), word = WORD_OF_BLOCK_B(f);
    const int panel = min((column0 + column) / PANEL, (n - 1) / PANEL);
    from_b[f] = b + ((size_t)panel * words + word) * PANEL + (column0 + column) % PANEL;
    to_b[f] = AT_B(word, column);
  }
  quad_a next_a[FETCHES_A][ROWS_A];
  uint4 next_b[FETCHES_B][BLOCK];
  results sums[FRAGMENTS_M][FRAGMENTS_N];
  UNROLL for (int i = 0; i < FRAGMENTS_M; ++i) UNROLL for (int j = 0; j < FRAGMENTS_N; ++j) sums[i][j] = 0.0f;

  if (steps > 0) {
    FETCH
    KEEP(0)
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  int now = 0;
  COMPACT for (int s = steps; s > 0; --s) {
    const int further = s > 1 ? WORDS : 0;
    MOVE(further)
#if HELD
    FETCH
#endif
    MULTIPLY_ALL(now)
#if !HELD
    EACH_A {
      FETCH_A(f)
      KEEP_BLOCK_A(1 - now, f)
    }
    EACH_B {
      FETCH_B(f)
      KEEP_BLOCK_B(1 - now, f)
    }
#endif
#if BUFFERS == 1
    barrier(CLK_LOCAL_MEM_FENCE);
    KEEP(0)
#else
    now = 1 - now;
#if HELD
    KEEP(now)
#endif
#endif
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  if (left > 0) {
    const int further = steps > 0 ? WORDS : 0;
    MOVE(further)
    FETCH_TAIL(left)
    KEEP(0)
    barrier(CLK_LOCAL_MEM_FENCE);
    MULTIPLY_ALL(0)
  }

  UNROLL for (int i = 0; i < FRAGMENTS_M; ++i) UNROLL for (int first = 0; first < FRAGMENTS_N; first += STAGED) {
    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL for (int j = 0; j < STAGED && first + j < FRAGMENTS_N; ++j) UNROLL for (int r = 0; r < REGISTERS_D; ++r)
        stage[ROW_D(MINE_D(r)) * STAGE_ROW + j * UNIT_N + COLUMN_D(MINE_D(r))] =
            as_uint(REGISTER_D(sums[i][first + j], r));
    barrier(CLK_LOCAL_MEM_FENCE);
    SOME_UNROLLED for (int e = lane; e < UNIT_M * STAGE_N; e += WAVE) {
      const int across = first * UNIT_N + e % STAGE_N;
      const int row = row0 + wave_row + i * UNIT_M + e / STAGE_N, column = column0 + wave_column + across;
      if (row < m && column < n && IS_OF_WAVE(across))
        finish1(as_float(stage[e / STAGE_N * STAGE_ROW + e % STAGE_N]), (size_t)row * n + column, column, y, bias,
                residual, pre, PARTS SCALE_ARGUMENT);
    }
  }
}
