// The Kronecker adapter (ALoRE) for GPUs: what kronecker.cl computes (its header has the formulas, its kronecker_prepare the
// operands and their order), in register tiles.
//
// A row is a part of a token, EXPERTS of them a token, and has LANES_PADDED inner lanes l. One kernel serves both ways:
//   z[row, l] = sum_q columns[q, l] x[row, q],   m[token, a, l] = sum_b mixes[a, b, l] z[token, b, l]
//   y[row, p] = x[row, p] + sum_l m[row, l] rows[l, p] [+ scale c[a, p]] [+ sum_so_far[row, p]]
// Forwards it has V_COLUMNS, MIX_FORWARD and U_ROWS; backwards, on dy, U_COLUMNS, MIX_BACKWARD and V_ROWS.
// The weights' gradients are sums over rows of two factors of a row: dU of its mixed lanes and dy, dV of dZ and x, dA of dQ
// and Z. They are summed in slices of rows, and the slices in order.
//
// EXPERTS, RANK  numbers of experts and of their inner dimension; at most 64 experts. Default 4, 4.
// WHOLE      defined: part is a multiple of 4, so that rows are read and written in quads.
// BACKWARD   defined: the dropout falls on m, not on z.
// DROPOUT    defined: lanes are dropped by random_bits of their index, kept where at least threshold, times keep_scale.
// BIAS, ADD  defined: there is a c; y is added to sum_so_far, what x received elsewhere.
// OUTPUT     defined: y is wanted.
// KEEP       defined: z is stored.
// KEEP_MIXED defined: m is stored.
// AHEAD      steps of a sum that are unrolled: 4, or 2 where registers are few. Default 4.
// WAVE       of common.cl.

#ifndef EXPERTS
#define EXPERTS 4
#endif
#ifndef RANK
#define RANK 4
#endif
#ifndef AHEAD
#define AHEAD 4
#endif

#define RANKS (EXPERTS * RANK)
#define VECTORS ((RANKS + 15) / 16)
#define LANES_PADDED (VECTORS * 16)
#define MIX (EXPERTS * EXPERTS * LANES_PADDED)
// MIX_FORWARD of the operands; MIX_BACKWARD is next.
#define MIXES(w) ((w) + 2 * part * LANES_PADDED + 2 * RANKS * padded)

#define LOCAL_QUAD(p) (*(local float4 *)(p))
#define GLOBAL_QUAD(p) (*(const global float4 *)(p))

// Columns c ... c + 3 of a row of `part`; zeros behind it.
inline float4 load_quad(const global float *row, int c, int part) {
#ifdef WHOLE
  if (c >= part) return (float4)(0.0f);
  return GLOBAL_QUAD(row + c);
#else
  return load_first(row + c, part - c);
#endif
}

inline void store_quad(float4 v, global float *row, int c, int part) {
#ifdef WHOLE
  if (c < part) *(global float4 *)(row + c) = v;
#else
  store_first(v, row + c, part - c);
#endif
}

inline float4 drop(float4 z, uint index, uint key0, uint key1, uint key2, uint threshold, float keep_scale) {
#ifdef DROPOUT
  z.x = random_bits(key0, key1, key2, index) >= threshold ? z.x * keep_scale : 0.0f;
  z.y = random_bits(key0, key1, key2, index + 1) >= threshold ? z.y * keep_scale : 0.0f;
  z.z = random_bits(key0, key1, key2, index + 2) >= threshold ? z.z * keep_scale : 0.0f;
  z.w = random_bits(key0, key1, key2, index + 3) >= threshold ? z.w * keep_scale : 0.0f;
#endif
  return z;
}

// A group of 64 items owns the rows of 64 / EXPERTS tokens. First item (ty, tx), tx < 4, computes rows ty, ty + 16, ... and
// lanes 4 tx ... of every 16 of z, x coming through local memory CHUNK columns at a time; then all lanes of row t of m;
// then rows 4 ty ... and 32 + 4 ty ... of y, in columns 4 tx ... and 32 + 4 tx ... of every 64, tx < 8.
#define ROWS 64
#define OWNED (64 / EXPERTS * EXPERTS)
#define CHUNK 32
#define X_ROW (CHUNK + 4)
#define Z_ROW (LANES_PADDED + 4)
#define M_ROW (ROWS + 4)
// Lanes that are unrolled in the sum over them: more would be loaded far ahead, and spill.
#if RANKS % 4 == 0 && AHEAD >= 4
#define STEP 4
#elif RANKS % 2 == 0
#define STEP 2
#else
#define STEP 1
#endif
#define GREATER(a, b) ((a) > (b) ? (a) : (b))

WAVE_KERNEL __attribute__((reqd_work_group_size(64, 1, 1)))
void kronecker_tile(const global float *restrict x, const global float *restrict w, const global float *restrict c,
                    const global float *sum_so_far, global float *y, global float *kept_z, global float *kept_m,
                    int row_count, int part, int padded, float scale, uint key0, uint key1, uint key2, uint threshold,
                    float keep_scale) {
#ifdef BACKWARD
  const global float *columns = w + part * LANES_PADDED, *rows = w + 2 * part * LANES_PADDED, *mixes = MIXES(w) + MIX;
#else
  const global float *columns = w, *rows = w + 2 * part * LANES_PADDED + RANKS * padded, *mixes = MIXES(w);
#endif
  // z takes the place of x and the columns.
  local float memory[GREATER(ROWS * X_ROW + CHUNK * LANES_PADDED, ROWS * Z_ROW)] __attribute__((aligned(16)));
  local float ms[LANES_PADDED * M_ROW] __attribute__((aligned(16)));
  local float *xs = memory;
  local float *vs = memory + ROWS * X_ROW;
  local float *zs = memory;
  const int t = get_local_id(0);
  const int row0 = get_group_id(0) * OWNED;
  const int last = min(OWNED, row_count - row0) - 1;
  x += (size_t)row0 * part;
  {
    const int tx = t % 4, ty = t / 4;
    float4 z[4][VECTORS];
    UNROLL for (int r = 0; r < 4; ++r) UNROLL for (int s = 0; s < VECTORS; ++s) z[r][s] = 0.0f;
    COMPACT for (int q0 = 0; q0 < part; q0 += CHUNK) {
      barrier(CLK_LOCAL_MEM_FENCE);
      UNROLL for (int e = 0; e < ROWS * CHUNK / 4 / 64; ++e) {
        const int r = t / (CHUNK / 4) + e * (64 / (CHUNK / 4)), q = t % (CHUNK / 4) * 4;
        LOCAL_QUAD(xs + r * X_ROW + q) = load_quad(x + min(r, last) * part, q0 + q, part);
      }
      UNROLL for (int e = 0; e < CHUNK * LANES_PADDED / 4 / 64; ++e) {
        const int i = t + 64 * e;
        float4 v = 0.0f;
        if (q0 + i / (LANES_PADDED / 4) < part) v = GLOBAL_QUAD(columns + q0 * LANES_PADDED + 4 * i);
        LOCAL_QUAD(vs + 4 * i) = v;
      }
      barrier(CLK_LOCAL_MEM_FENCE);
      COMPACT for (int step = 0; step < CHUNK; step += 2 * AHEAD) UNROLL for (int q = step; q < step + 2 * AHEAD; q += 4) {
        float4 a[4];
        UNROLL for (int r = 0; r < 4; ++r) a[r] = LOCAL_QUAD(xs + (ty + 16 * r) * X_ROW + q);
        UNROLL for (int s = 0; s < VECTORS; ++s) {
          const local float *v = vs + q * LANES_PADDED + 16 * s + 4 * tx;
          const float4 v0 = *(const local float4 *)v, v1 = *(const local float4 *)(v + LANES_PADDED);
          const float4 v2 = *(const local float4 *)(v + 2 * LANES_PADDED), v3 = *(const local float4 *)(v + 3 * LANES_PADDED);
          UNROLL for (int r = 0; r < 4; ++r)
            z[r][s] = fma(a[r].w, v3, fma(a[r].z, v2, fma(a[r].y, v1, fma(a[r].x, v0, z[r][s]))));
        }
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL for (int r = 0; r < 4; ++r) UNROLL for (int s = 0; s < VECTORS; ++s) {
      const int row = ty + 16 * r, l = 16 * s + 4 * tx;
#ifndef BACKWARD
      z[r][s] = drop(z[r][s], (uint)(row0 + row) * LANES_PADDED + l, key0, key1, key2, threshold, keep_scale);
#endif
      LOCAL_QUAD(zs + row * Z_ROW + l) = z[r][s];
#ifdef KEEP
      if (row <= last) *(global float4 *)(kept_z + (size_t)(row0 + row) * LANES_PADDED + l) = z[r][s];
#endif
    }
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  {
    // Rows behind the last token of the group mix what lies behind it, and are stored nowhere.
    const int a = t % EXPERTS;
    const int token = min(t - a, OWNED - EXPERTS);
    COMPACT for (int l = 0; l < LANES_PADDED; l += 4) {
      float4 m = 0.0f;
      UNROLL for (int b = 0; b < EXPERTS; ++b)
        m = fma(GLOBAL_QUAD(mixes + (a * EXPERTS + b) * LANES_PADDED + l), LOCAL_QUAD(zs + (token + b) * Z_ROW + l), m);
#ifdef BACKWARD
      m = drop(m, (uint)(row0 + t) * LANES_PADDED + l, key0, key1, key2, threshold, keep_scale);
#endif
      ms[l * M_ROW + t] = m.x;
      ms[(l + 1) * M_ROW + t] = m.y;
      ms[(l + 2) * M_ROW + t] = m.z;
      ms[(l + 3) * M_ROW + t] = m.w;
#ifdef KEEP_MIXED
      if (t <= last) *(global float4 *)(kept_m + (size_t)(row0 + t) * LANES_PADDED + l) = m;
#endif
    }
  }
  barrier(CLK_LOCAL_MEM_FENCE);
#ifdef OUTPUT
  const int tx = t % 8, ty = t / 8;
#define ROW_OF(r) ((r) / 4 * 32 + 4 * ty + (r) % 4)
  y += (size_t)row0 * part;
#ifdef ADD
  sum_so_far += (size_t)row0 * part;
#endif
  COMPACT for (int p0 = 0; p0 < part; p0 += 64) {
    float4 sums[8][2];
    UNROLL for (int h = 0; h < 2; ++h) UNROLL for (int r = 0; r < 8; ++r) {
      const int p = p0 + 32 * h + 4 * tx, row = min(ROW_OF(r), last);
      sums[r][h] = load_quad(x + row * part, p, part);
#ifdef ADD
      sums[r][h] += load_quad(sum_so_far + row * part, p, part);
#endif
#ifdef BIAS
      sums[r][h] = fma((float4)(scale), load_quad(c + row % EXPERTS * part, p, part), sums[r][h]);
#endif
    }
    // Rows of the operand are padded to 16 columns: what is behind is read as the last quad, and not stored.
    const global float *v0 = rows + min(p0 + 4 * tx, padded - 4), *v1 = rows + min(p0 + 32 + 4 * tx, padded - 4);
    COMPACT for (int l0 = 0; l0 < RANKS; l0 += STEP) UNROLL for (int l = l0; l < l0 + STEP; ++l) {
      const float4 a0 = LOCAL_QUAD(ms + l * M_ROW + 4 * ty), a1 = LOCAL_QUAD(ms + l * M_ROW + 32 + 4 * ty);
      UNROLL for (int h = 0; h < 2; ++h) {
        const float4 v = GLOBAL_QUAD((h == 0 ? v0 : v1) + l * padded);
        sums[0][h] = fma(a0.x, v, sums[0][h]);
        sums[1][h] = fma(a0.y, v, sums[1][h]);
        sums[2][h] = fma(a0.z, v, sums[2][h]);
        sums[3][h] = fma(a0.w, v, sums[3][h]);
        sums[4][h] = fma(a1.x, v, sums[4][h]);
        sums[5][h] = fma(a1.y, v, sums[5][h]);
        sums[6][h] = fma(a1.z, v, sums[6][h]);
        sums[7][h] = fma(a1.w, v, sums[7][h]);
      }
    }
    UNROLL for (int h = 0; h < 2; ++h) UNROLL for (int r = 0; r < 8; ++r)
      if (ROW_OF(r) <= last) store_quad(sums[r][h], y + ROW_OF(r) * part, p0 + 32 * h + 4 * tx, part);
  }
#endif
}

// What forwards was m, of the z that was kept: m[token, a, l] = sum_b mixes[a, b, l] z[token, b, l]. Item (quad of lanes of a
// row) for `quads` in all.
kernel void kronecker_mix(const global float *restrict z, const global float *restrict w, global float *restrict m,
                          int part, int padded, int quads) {
  const global float *mixes = MIXES(w);
  const int item = get_global_id(0);
  if (item >= quads) return;
  const int l = item % (LANES_PADDED / 4) * 4, row = item / (LANES_PADDED / 4), a = row % EXPERTS;
  float4 sum = 0.0f;
  UNROLL for (int b = 0; b < EXPERTS; ++b)
    sum = fma(GLOBAL_QUAD(mixes + (a * EXPERTS + b) * LANES_PADDED + l),
              GLOBAL_QUAD(z + (size_t)(row - a + b) * LANES_PADDED + l), sum);
  *(global float4 *)(m + (size_t)row * LANES_PADDED + l) = sum;
}

// Slices of dU and dV: sums over a slice's rows of left[row, l] right[row, p], to partials[slice][side](LANES_PADDED, part),
// `side` 0 for dU of m and dy, 1 for dV of dZ and x; a slice's share has `share` floats.
//
// A group has 64 columns. Item (half, ty, tx), tx < 8, has lanes 4 ty ... and columns 4 tx ... and 32 + 4 tx ..., and every
// second row; the halves are added at the end. Group index: ((slice * 2 + side) * blocks + block of columns).
#define SLICE_ITEMS (LANES_PADDED * 4)
#define AT_ONCE 32
#define LEFT_FLOATS (AT_ONCE * LANES_PADDED)
#define RIGHT_ROW (64 + 4)

WAVE_KERNEL __attribute__((reqd_work_group_size(SLICE_ITEMS, 1, 1)))
void kronecker_slices(const global float *restrict m, const global float *restrict dy, const global float *restrict dz,
                      const global float *restrict x, global float *restrict partials, int row_count, int part,
                      int rows_of_slice, int blocks, int share) {
  local float memory[GREATER(LEFT_FLOATS + AT_ONCE * RIGHT_ROW, LANES_PADDED * 64)] __attribute__((aligned(16)));
  local float *lefts = memory;
  local float *rights = memory + LEFT_FLOATS;
  const int t = get_local_id(0);
  const int block = get_group_id(0) % blocks, side = get_group_id(0) / blocks % 2, slice = get_group_id(0) / blocks / 2;
  const int first = slice * rows_of_slice, end = min(first + rows_of_slice, row_count);
  const int tx = t % 8, ty = t / 8 % (LANES_PADDED / 4), half_ = t / (LANES_PADDED * 2);
  const global float *left = side == 0 ? m : dz;
  const global float *right = (side == 0 ? dy : x) + 64 * block;
  const int width = part - 64 * block;
  float4 sums[4][2];
  UNROLL for (int i = 0; i < 4; ++i) sums[i][0] = sums[i][1] = 0.0f;
  COMPACT for (int row = first; row < end; row += AT_ONCE) {
    barrier(CLK_LOCAL_MEM_FENCE);
    const int there = end - row;
    UNROLL for (int e = 0; e < LEFT_FLOATS / 4 / SLICE_ITEMS; ++e) {
      const int i = t + SLICE_ITEMS * e;
      float4 v = 0.0f;
      if (i / (LANES_PADDED / 4) < there) v = GLOBAL_QUAD(left + (size_t)row * LANES_PADDED + 4 * i);
      LOCAL_QUAD(lefts + 4 * i) = v;
    }
    UNROLL for (int e = 0; e < (AT_ONCE * 16 + SLICE_ITEMS - 1) / SLICE_ITEMS; ++e) {
      const int i = t + SLICE_ITEMS * e, r = i / 16, c = i % 16 * 4;
      if (AT_ONCE * 16 % SLICE_ITEMS == 0 || r < AT_ONCE) {
        // Rows behind the last count as zeros on the left; what is here must only be a number, and is the last again.
        LOCAL_QUAD(rights + r * RIGHT_ROW + c) = load_quad(right + (size_t)(row + min(r, there - 1)) * part, c, width);
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL for (int r = 0; r < AT_ONCE / 2; ++r) {
      const float4 a = LOCAL_QUAD(lefts + (2 * r + half_) * LANES_PADDED + 4 * ty);
      const local float *b = rights + (2 * r + half_) * RIGHT_ROW + 4 * tx;
      UNROLL for (int h = 0; h < 2; ++h) {
        const float4 v = *(const local float4 *)(b + 32 * h);
        sums[0][h] = fma(a.x, v, sums[0][h]);
        sums[1][h] = fma(a.y, v, sums[1][h]);
        sums[2][h] = fma(a.z, v, sums[2][h]);
        sums[3][h] = fma(a.w, v, sums[3][h]);
      }
    }
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  UNROLL for (int i = 0; i < 4; ++i) UNROLL for (int h = 0; h < 2; ++h)
    if (half_ == 1) LOCAL_QUAD(memory + (4 * ty + i) * 64 + 32 * h + 4 * tx) = sums[i][h];
  barrier(CLK_LOCAL_MEM_FENCE);
  partials += (size_t)slice * share + (size_t)side * LANES_PADDED * part + 64 * block;
  UNROLL for (int i = 0; i < 4; ++i) UNROLL for (int h = 0; h < 2; ++h) {
    const int c = 32 * h + 4 * tx;
    if (half_ == 0) {
      const float4 v = sums[i][h] + LOCAL_QUAD(memory + (4 * ty + i) * 64 + c);
      store_quad(v, partials + (4 * ty + i) * part, c, width);
    }
  }
}

// Slices of dA: partials[slice](EXPERTS, EXPERTS, LANES_PADDED) at a, b, l: sums over a slice's tokens of dq[a, l] z[b, l].
// Item (quad of lanes of a, b) of a slice; work-items: slices times EXPERTS^2 LANES_PADDED / 4.
kernel void kronecker_mix_slices(const global float *restrict dq, const global float *restrict z,
                                 global float *restrict partials, int offset, int row_count,
                                 int rows_of_slice, int slices, int share) {
  const int item = get_global_id(0);
  if (item >= slices * (MIX / 4)) return;
  const int slice = item / (MIX / 4), e = item % (MIX / 4) * 4;
  const int l = e % LANES_PADDED, b = e / LANES_PADDED % EXPERTS, a = e / LANES_PADDED / EXPERTS;
  const int first = slice * rows_of_slice, end = min(first + rows_of_slice, row_count);
  float4 sum = 0.0f;
  for (int row = first; row < end; row += EXPERTS)
    sum = fma(GLOBAL_QUAD(dq + (size_t)(row + a) * LANES_PADDED + l), GLOBAL_QUAD(z + (size_t)(row + b) * LANES_PADDED + l),
              sum);
  *(global float4 *)(partials + (size_t)slice * share + offset + e) = sum;
}

// Slices of dc: partials[slice](EXPERTS, part), sums over a slice's tokens of dy. Item (channel) of a slice.
kernel void kronecker_bias_slices(const global float *restrict dy, global float *restrict partials, int offset,
                                  int row_count, int part, int rows_of_slice, int slices, int share) {
  const int width = EXPERTS * part, slice = get_global_id(0) / width, channel = get_global_id(0) % width;
  if (slice >= slices) return;
  const int end = min((slice + 1) * rows_of_slice, row_count) / EXPERTS;
  float sum = 0.0f;
  for (int token = slice * (rows_of_slice / EXPERTS); token < end; ++token) sum += dy[(size_t)token * width + channel];
  partials[(size_t)slice * share + offset + channel] = sum;
}

// Adds the slices to the gradients that are wanted, slice after slice. Items: RANKS * part elements of dU, as many of dV,
// EXPERTS^3 of dA, then EXPERTS * part of dc. A slice's share: dU and dV (LANES_PADDED, part) each, dA's lanes, dc.
kernel void kronecker_add_slices(const global float *restrict partials, global float *da, global float *du, global float *dv,
                                 global float *dc, int slices, int part, int share, float scale, int adds_a, int adds_u,
                                 int adds_v, int adds_c) {
  int item = get_global_id(0);
  if (item < 2 * RANKS * part) {
    const int is_v = item >= RANKS * part;
    item -= is_v * RANKS * part;
    if (is_v ? !adds_v : !adds_u) return;
    const int l = item / part, p = item % part;
    partials += (is_v ? LANES_PADDED * part : 0) + l * part + p;
    float sum = 0.0f;
    for (int k = 0; k < slices; ++k) sum += partials[(size_t)k * share];
    if (is_v)
      dv[l * part + p] += sum;
    else
      du[(l / RANK * part + p) * RANK + l % RANK] += scale * sum;
    return;
  }
  item -= 2 * RANKS * part;
  if (item >= EXPERTS * EXPERTS * EXPERTS) {
    item -= EXPERTS * EXPERTS * EXPERTS;
    if (item >= EXPERTS * part || !adds_c) return;
    partials += 2 * LANES_PADDED * part + MIX + item;
    float sum = 0.0f;
    for (int k = 0; k < slices; ++k) sum += partials[(size_t)k * share];
    dc[item] += scale * sum;
    return;
  }
  if (!adds_a) return;
  const int i = item / (EXPERTS * EXPERTS), ab = item % (EXPERTS * EXPERTS);
  partials += 2 * LANES_PADDED * part + ab * LANES_PADDED + i * RANK;
  float sum = 0.0f;
  for (int k = 0; k < slices; ++k)
    for (int r = 0; r < RANK; ++r) sum += partials[(size_t)k * share + r];
  da[item] += sum;
}
