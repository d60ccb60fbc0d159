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
// With a layer norm in front, x is what that gives, and is not kept. A group of kronecker_tile owns whole tokens, so that it
// can do what a norm does: forwards, before all else, as layer_norm_forward and for the same reasons, into y, on which it goes
// on in place; backwards, as layer_norm_backward, with the y that it has just computed.
//
// EXPERTS, RANK  numbers of experts and of their inner dimension; at most 64 experts. Default 4, 4.
// WHOLE      defined: part is a multiple of 4, so that rows are read and written in quads.
// BACKWARD   defined: the dropout falls on m, not on z.
// DROPOUT    defined: lanes are dropped by random_bits of their index, kept where at least threshold, times keep_scale.
// BIAS, ADD  defined: there is a c; y is added to sum_so_far, what x received elsewhere.
// OUTPUT     defined: y is wanted.
// KEEP       defined: z is stored.
// KEEP_MIXED defined: m is stored.
// NORM       defined: x is behind a layer norm, whose statistics (tokens, 4), mean, inverse and rest, forwards are stored.
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

// What a layer norm makes of columns of a row before its weight and bias. `s`: the token's mean, inverse and rest.
inline float4 standardised(float4 v, float4 s) { return (v - s.x) * s.y - s.z; }

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

// Sums over tokens: of each row 8 items have a share, in `shares`, and item t gets the sum of row t's token. `sums`: ROWS
// floats of its own. All items of the group must take part; `shares` may be written again at once.
inline float token_sum(const local float *shares, local float *sums, int t) {
  barrier(CLK_LOCAL_MEM_FENCE);
  sums[t] = sum4(LOCAL_QUAD(shares + 8 * t) + LOCAL_QUAD(shares + 8 * t + 4));
  barrier(CLK_LOCAL_MEM_FENCE);
  float sum = 0.0f;
  COMPACT for (int b = 0; b < EXPERTS; ++b) sum += sums[min(t - t % EXPERTS, OWNED - EXPERTS) + b];
  return sum;
}

#ifdef NORM
// A norm's share of an item: columns 4 (t % 8) ... of every 32 of rows t / 8, t / 8 + 8, ..., so many rows at a time.
#define NORM_ROWS (2 * AHEAD)
#define FOR_NORM_ROWS(first) COMPACT for (int first = (uint)t / 8; first < ROWS; first += 8 * NORM_ROWS)
#define FOR_EACH_ROW(e) UNROLL for (int e = 0; e < NORM_ROWS; ++e)
#define NORM_ROW(e) (first + 8 * (e))
#define FOR_NORM_COLUMNS(c) COMPACT for (int c = t % 8 * 4; c < part; c += 32)
// Channels of the part of a token that a row is.
#define CHANNELS(e) (NORM_ROW(e) % EXPERTS * part)
// Where an item leaves its share of a row's sum.
#define SHARE(e) (8 * NORM_ROW(e) + t % 8)

// Normalises the group's rows of x into y, which all its items may read then. `statistics`: of the group's first token on.
inline void normalise(const global float *x, const global float *weight, const global float *bias, global float *y,
                      global float *statistics, local float *memory, int last, int part, float epsilon) {
  const int t = get_local_id(0);
  local float *sums = memory, *squares = memory + 8 * ROWS, *rows = memory + 16 * ROWS;
  local float4 *measured = (local float4 *)(memory + 17 * ROWS);
  FOR_NORM_ROWS(first) {
    float sum[NORM_ROWS];
    FOR_EACH_ROW(e) sum[e] = 0.0f;
    FOR_NORM_COLUMNS(c) FOR_EACH_ROW(e) sum[e] += sum4(load_quad(x + min(NORM_ROW(e), last) * part, c, part));
    FOR_EACH_ROW(e) sums[SHARE(e)] = sum[e];
  }
  const float mean = token_sum(sums, rows, t) / (EXPERTS * part);
  measured[t] = mean;
  barrier(CLK_LOCAL_MEM_FENCE);
  FOR_NORM_ROWS(first) {
    float sum[NORM_ROWS], square[NORM_ROWS], means[NORM_ROWS];
    FOR_EACH_ROW(e) {
      means[e] = measured[NORM_ROW(e)].x;
      sum[e] = square[e] = 0.0f;
    }
    FOR_NORM_COLUMNS(c) FOR_EACH_ROW(e) {
      float4 centred = load_quad(x + min(NORM_ROW(e), last) * part, c, part) - means[e];
#ifndef WHOLE
      centred = c + (int4)(0, 1, 2, 3) < part ? centred : (float4)(0.0f);
#endif
      sum[e] += sum4(centred);
      square[e] += sum4(centred * centred);
    }
    FOR_EACH_ROW(e) {
      sums[SHARE(e)] = sum[e];
      squares[SHARE(e)] = square[e];
    }
  }
  const float off = token_sum(sums, rows, t) / (EXPERTS * part);
  const float variance = max(token_sum(squares, rows, t) / (EXPERTS * part) - off * off, 0.0f);
  const float inverse = 1.0f / sqrt(variance + epsilon);
  measured[t] = (float4)(mean, inverse, off * inverse, 0.0f);
  if (t <= last && t % EXPERTS == 0) *(global float4 *)(statistics + t / EXPERTS * 4) = measured[t];
  barrier(CLK_LOCAL_MEM_FENCE);
  FOR_NORM_ROWS(first) FOR_NORM_COLUMNS(c) FOR_EACH_ROW(e) {
    const int row = NORM_ROW(e);
    if (row > last) continue;
    const float4 v = standardised(load_quad(x + row * part, c, part), measured[row]);
    store_quad(fma(v, load_quad(weight + CHANNELS(e), c, part), load_quad(bias + CHANNELS(e), c, part)), y + row * part, c,
               part);
  }
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
}

// Turns the group's rows of y, the gradient of what a norm gave, into that of its input x, with g = y * weight:
//   inverse (g - mean(g) - h mean(g h)) [+ sum_so_far],   h = (x - mean) inverse - rest
inline void normalise_backward(global float *y, const global float *x, const global float *weight,
                               const global float *statistics, const global float *sum_so_far, local float *memory,
                               int last, int part) {
  const int t = get_local_id(0);
  local float *gs = memory, *gxs = memory + 8 * ROWS, *rows = memory + 16 * ROWS;
  local float4 *measured = (local float4 *)(memory + 17 * ROWS);
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
  FOR_NORM_ROWS(first) {
    float g[NORM_ROWS], gx[NORM_ROWS], means[NORM_ROWS];
    FOR_EACH_ROW(e) {
      means[e] = statistics[min(NORM_ROW(e), last) / EXPERTS * 4];
      g[e] = gx[e] = 0.0f;
    }
    FOR_NORM_COLUMNS(c) FOR_EACH_ROW(e) {
      const int row = min(NORM_ROW(e), last);
      const float4 v = load_quad(y + row * part, c, part) * load_quad(weight + CHANNELS(e), c, part);
      g[e] += sum4(v);
      gx[e] += sum4(v * (load_quad(x + row * part, c, part) - means[e]));
    }
    FOR_EACH_ROW(e) {
      gs[SHARE(e)] = g[e];
      gxs[SHARE(e)] = gx[e];
    }
  }
  const float g_mean = token_sum(gs, rows, t) / (EXPERTS * part);
  const float gx_mean = token_sum(gxs, rows, t) / (EXPERTS * part);
  const float4 own = GLOBAL_QUAD(statistics + min(t, last) / EXPERTS * 4);
  const float gh_mean = own.y * gx_mean - own.z * g_mean;
  // What is taken off g, as slope (x - mean) + offset.
  measured[t] = (float4)(own.x, own.y, own.y * gh_mean, g_mean - own.z * gh_mean);
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
  FOR_NORM_ROWS(first) FOR_NORM_COLUMNS(c) FOR_EACH_ROW(e) {
    const int row = NORM_ROW(e);
    if (row > last) continue;
    const float4 m = measured[row], v = load_quad(y + row * part, c, part) * load_quad(weight + CHANNELS(e), c, part);
    float4 d = m.y * (v - fma((float4)(m.z), load_quad(x + row * part, c, part) - m.x, (float4)(m.w)));
#ifdef ADD
    d += load_quad(sum_so_far + row * part, c, part);
#endif
    store_quad(d, y + row * part, c, part);
  }
}
#endif

WAVE_KERNEL __attribute__((reqd_work_group_size(64, 1, 1)))
void kronecker_tile(const global float *restrict x, const global float *restrict w, const global float *restrict c,
                    const global float *sum_so_far, global float *y, global float *kept_z, global float *kept_m,
                    const global float *restrict normed, const global float *restrict norm_weight,
                    const global float *restrict norm_bias, global float *statistics, int row_count, int part, int padded,
                    float scale, uint key0, uint key1, uint key2, uint threshold, float keep_scale, float epsilon) {
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
#ifdef OUTPUT
  y += (size_t)row0 * part;
#ifdef ADD
  sum_so_far += (size_t)row0 * part;
#endif
#endif
#if defined(NORM) && !defined(BACKWARD)
  normalise(x, norm_weight, norm_bias, y, statistics + row0 / EXPERTS * 4, memory, last, part, epsilon);
  const global float *read = y;
#else
  const global float *read = x;
#endif
  {
    const int tx = t % 4, ty = t / 4;
    float4 z[4][VECTORS];
    UNROLL for (int r = 0; r < 4; ++r) UNROLL for (int s = 0; s < VECTORS; ++s) z[r][s] = 0.0f;
    COMPACT for (int q0 = 0; q0 < part; q0 += CHUNK) {
      barrier(CLK_LOCAL_MEM_FENCE);
      UNROLL for (int e = 0; e < ROWS * CHUNK / 4 / 64; ++e) {
        const int r = t / (CHUNK / 4) + e * (64 / (CHUNK / 4)), q = t % (CHUNK / 4) * 4;
        LOCAL_QUAD(xs + r * X_ROW + q) = load_quad(read + min(r, last) * part, q0 + q, part);
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
#if defined(NORM) && !defined(BACKWARD)
  // Others have read of y what is written now.
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
#else
  barrier(CLK_LOCAL_MEM_FENCE);
#endif
#ifdef OUTPUT
  const int tx = t % 8, ty = t / 8;
#define ROW_OF(r) ((r) / 4 * 32 + 4 * ty + (r) % 4)
  COMPACT for (int p0 = 0; p0 < part; p0 += 64) {
    float4 sums[8][2];
    UNROLL for (int h = 0; h < 2; ++h) UNROLL for (int r = 0; r < 8; ++r) {
      const int p = p0 + 32 * h + 4 * tx;
#if defined(NORM) && !defined(BACKWARD)
      // In place: the last row of all is another item's.
      sums[r][h] = ROW_OF(r) <= last ? load_quad(read + ROW_OF(r) * part, p, part) : (float4)(0.0f);
#else
      sums[r][h] = load_quad(read + min(ROW_OF(r), last) * part, p, part);
#endif
#if defined(ADD) && !defined(NORM)
      sums[r][h] += load_quad(sum_so_far + min(ROW_OF(r), last) * part, p, part);
#endif
#ifdef BIAS
      sums[r][h] = fma((float4)(scale), load_quad(c + ROW_OF(r) % EXPERTS * part, p, part), sums[r][h]);
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
#if defined(NORM) && defined(BACKWARD)
  normalise_backward(y, normed + (size_t)row0 * part, norm_weight, statistics + row0 / EXPERTS * 4, sum_so_far, memory, last,
                     part);
#endif
#endif
}

// Slices of the weights' gradients, sums over a slice's rows; a slice's share of `partials` has `share` floats: dU and dV
// (LANES_PADDED, part), dA's lanes (EXPERTS, EXPERTS, LANES_PADDED), dc (EXPERTS, part).
//
// Of a slice's groups, `groups` in all, the first have 64 columns each of dU, sums of m[row, l] dy[row, p], then as many of
// dV, sums of dZ[row, l] x[row, q]. Item (half, ty, tx), tx < 8, has lanes 4 ty ... and columns 4 tx ... and 32 + 4 tx ...,
// and every second row; the halves are added at the end. Then an item has a quad of lanes of dA, sums over tokens of
// dQ[a, l] Z[b, l]; or one of the `channels` of dc that are wanted, sums of dy.
#define SLICE_ITEMS (LANES_PADDED * 4)
#define AT_ONCE 32
#define LEFT_FLOATS (AT_ONCE * LANES_PADDED)
#define RIGHT_ROW (64 + 4)
// Whether an item fetches a norm's weight and bias but once, since all its rows are the same part of a token.
#define KEEPS_NORM (AT_ONCE % EXPERTS == 0 && SLICE_ITEMS / 16 % EXPERTS == 0 && AHEAD >= 4)

WAVE_KERNEL __attribute__((reqd_work_group_size(SLICE_ITEMS, 1, 1)))
void kronecker_slices(const global float *restrict m, const global float *restrict dy, const global float *restrict dz,
                      const global float *restrict x, const global float *restrict dq, const global float *restrict z,
                      const global float *restrict norm_weight, const global float *restrict norm_bias,
                      const global float *restrict statistics, global float *restrict partials, int row_count, int part,
                      int rows_of_slice, int blocks, int groups, int channels, int share) {
  local float memory[GREATER(LEFT_FLOATS + AT_ONCE * RIGHT_ROW, LANES_PADDED * 64)] __attribute__((aligned(16)));
  local float *lefts = memory;
  local float *rights = memory + LEFT_FLOATS;
  const int t = get_local_id(0);
  const int slice = get_group_id(0) / groups, group = get_group_id(0) % groups;
  const int first = slice * rows_of_slice;
  int rows = min(rows_of_slice, row_count - first);
  partials += (size_t)slice * share;
  if (group >= 2 * blocks) {
    const int item = (group - 2 * blocks) * SLICE_ITEMS + t, channel = item - MIX / 4;
    global float *rest = partials + 2 * LANES_PADDED * part;
    if (channel < 0) {
      const int l = 4 * item % LANES_PADDED, b = 4 * item / LANES_PADDED % EXPERTS, a = 4 * item / LANES_PADDED / EXPERTS;
      dq += (size_t)(first + a) * LANES_PADDED + l;
      z += (size_t)(first + b) * LANES_PADDED + l;
      float4 sum = 0.0f;
      for (int row = 0; row < rows; row += EXPERTS)
        sum = fma(GLOBAL_QUAD(dq + row * LANES_PADDED), GLOBAL_QUAD(z + row * LANES_PADDED), sum);
      *(global float4 *)(rest + 4 * item) = sum;
    } else if (channel < channels) {
      dy += (size_t)first * part + channel;
      float sum = 0.0f;
      for (int row = 0; row < rows; row += EXPERTS) sum += dy[row * part];
      rest[MIX + channel] = sum;
    }
    // Not a return: barriers behind one that some groups take are more than PoCL can do.
    rows = 0;
  }
  const int side = group / blocks % 2, block = group % blocks;
  const int tx = t % 8, ty = t / 8 % (LANES_PADDED / 4), half_ = t / (LANES_PADDED * 2);
  const global float *left = (side == 0 ? m : dz) + (size_t)first * LANES_PADDED;
  const global float *right = (side == 0 ? dy : x) + (size_t)first * part + 64 * block;
  const int width = part - 64 * block;
#ifdef NORM
  norm_weight += 64 * block;
  norm_bias += 64 * block;
  statistics += (size_t)first / EXPERTS * 4;
#if KEEPS_NORM
  const int channel = (uint)t / 16 % EXPERTS * part, column = t % 16 * 4;
  const float4 weight = load_quad(norm_weight + channel, column, width);
  const float4 bias = load_quad(norm_bias + channel, column, width);
#endif
#endif
  float4 sums[4][2];
  UNROLL for (int i = 0; i < 4; ++i) sums[i][0] = sums[i][1] = 0.0f;
  COMPACT for (int row = 0; row < rows; row += AT_ONCE) {
    barrier(CLK_LOCAL_MEM_FENCE);
    const int there = rows - row;
    UNROLL for (int e = 0; e < LEFT_FLOATS / 4 / SLICE_ITEMS; ++e) {
      const int i = t + SLICE_ITEMS * e;
      float4 v = 0.0f;
      if (i / (LANES_PADDED / 4) < there) v = GLOBAL_QUAD(left + row * LANES_PADDED + 4 * i);
      LOCAL_QUAD(lefts + 4 * i) = v;
    }
    UNROLL for (int e = 0; e < (AT_ONCE * 16 + SLICE_ITEMS - 1) / SLICE_ITEMS; ++e) {
      const int r = (uint)t / 16 + SLICE_ITEMS / 16 * e, c = t % 16 * 4;
      if (AT_ONCE * 16 % SLICE_ITEMS == 0 || r < AT_ONCE) {
        // Rows behind the last count as zeros on the left; what is here must only be a number, and is the last again.
        const int from = row + min(r, there - 1);
        float4 v = load_quad(right + from * part, c, width);
#ifdef NORM
        if (side == 1) {
#if !KEEPS_NORM
          const int channel = (row + r) % EXPERTS * part;
          const float4 weight = load_quad(norm_weight + channel, c, width);
          const float4 bias = load_quad(norm_bias + channel, c, width);
#endif
          v = fma(standardised(v, GLOBAL_QUAD(statistics + from / EXPERTS * 4)), weight, bias);
        }
#endif
        LOCAL_QUAD(rights + r * RIGHT_ROW + c) = v;
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
  partials += (size_t)side * LANES_PADDED * part + 64 * block;
  UNROLL for (int i = 0; i < 4; ++i) UNROLL for (int h = 0; h < 2; ++h) {
    const int c = 32 * h + 4 * tx;
    if (half_ == 0 && rows > 0) {
      const float4 v = sums[i][h] + LOCAL_QUAD(memory + (4 * ty + i) * 64 + c);
      store_quad(v, partials + (4 * ty + i) * part, c, width);
    }
  }
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
