// The Kronecker adapter (ALoRE): y = x + scale * (sum_i (A_i kron U_i V_i) x + c), never forming the matrix.
// A token x of width EXPERTS*part is read as EXPERTS parts. With lane l = i*RANK + k for rank k of expert i:
//   Z[b,l] = sum_q V_i[k,q] x[b,q]           (project; dropout falls on Z)
//   Q[a,l] = sum_b A_i[a,b] Z[b,l]           (mix)
//   y[a,p] = x[a,p] + scale * (sum_l U_i[p,k] Q[a,l] + c[a,p])   (expand)
// and backwards with g = dy:
//   dQ[a,l] = scale * sum_p U_i[p,k] g[a,p],  dZ[b,l] = sum_a A_i[a,b] dQ[a,l] (dropped like Z),
//   dx[b,q] = g[b,q] + sum_l V_i[k,q] dZ[b,l]
//   dU_i[p,k] = scale * sum g[a,p] Q[a,l],  dV_i[k,q] = sum dZ[b,l] x[b,q],
//   dA_i[a,b] = sum dQ[a,l] Z[b,l],  dc = scale * sum g          (sums over tokens and what is not on the left)
// x, y, dx, dy (tokens, EXPERTS, part); A (EXPERTS, EXPERTS, EXPERTS) as i,a,b; U (EXPERTS, part, RANK);
// V (EXPERTS, RANK, part); c (EXPERTS, part); Z (tokens, EXPERTS, LANES_PADDED).
//
// EXPERTS, RANK  numbers of experts and of their inner dimension. Default 4, 4.
// TOKENS         tokens of a tile, whose rows share each loaded operand in registers. Default 1.
// WHOLE          defined: part is a multiple of 16.
// DROPOUT        defined: Z is dropped by random_bits of its index, kept where at least threshold, times keep_scale.
// BIAS           defined: there is a c.
// KEEP           defined: the forward pass stores Z.
// INPUT, WEIGHTS defined: dx, or the weights' gradients, are wanted.
// ADD            defined: dx is added to sum_so_far, what x received elsewhere.

#ifndef EXPERTS
#define EXPERTS 4
#endif
#ifndef RANK
#define RANK 4
#endif
#ifndef TOKENS
#define TOKENS 1
#endif

#define RANKS (EXPERTS * RANK)
// Lanes come in vectors of 16; those behind RANKS are zero.
#define VECTORS ((RANKS + 15) / 16)
#define LANES_PADDED (VECTORS * 16)
#define ROWS (TOKENS * EXPERTS)
#define MIX (EXPERTS * EXPERTS * LANES_PADDED)

// The weights rearranged for loads of whole vectors. `padded` is part rounded up to 16. In one buffer, in this order:
//   V_COLUMNS (part, LANES_PADDED): V_i[k,q] at q,l          U_COLUMNS (part, LANES_PADDED): scale * U_i[p,k] at p,l
//   V_ROWS (RANKS, padded): V_i[k,q] at l,q                  U_ROWS (RANKS, padded): scale * U_i[p,k] at l,p
//   MIX_FORWARD (EXPERTS, EXPERTS, LANES_PADDED): A_i[a,b] at a,b,l     MIX_BACKWARD: A_i[a,b] at b,a,l
#define V_COLUMNS(w) (w)
#define U_COLUMNS(w) ((w) + part * LANES_PADDED)
#define V_ROWS(w) ((w) + 2 * part * LANES_PADDED)
#define U_ROWS(w) ((w) + 2 * part * LANES_PADDED + RANKS * padded)
#define MIX_FORWARD(w) ((w) + 2 * part * LANES_PADDED + 2 * RANKS * padded)
#define MIX_BACKWARD(w) (MIX_FORWARD(w) + MIX)

// Column q of `padded`, and a share of the mixes.
static inline void prepare(const global float *a, const global float *u, const global float *v, global float *w, int q,
                           int part, int padded, float scale) {
  if (q >= padded) return;
  for (int l = 0; l < LANES_PADDED; ++l) {
    const int i = l / RANK, k = l % RANK;
    const int is_real = l < RANKS && q < part;
    const float vq = is_real ? v[l * part + q] : 0.0f;
    const float uq = is_real ? scale * u[(i * part + q) * RANK + k] : 0.0f;
    if (q < part) V_COLUMNS(w)[q * LANES_PADDED + l] = vq;
    if (q < part) U_COLUMNS(w)[q * LANES_PADDED + l] = uq;
    if (l < RANKS) V_ROWS(w)[l * padded + q] = vq;
    if (l < RANKS) U_ROWS(w)[l * padded + q] = uq;
  }
  for (int e = q; e < MIX; e += padded) {
    const int l = e % LANES_PADDED, b = e / LANES_PADDED % EXPERTS, r = e / LANES_PADDED / EXPERTS;
    const int i = l / RANK;
    MIX_FORWARD(w)[e] = l < RANKS ? a[(i * EXPERTS + r) * EXPERTS + b] : 0.0f;
    MIX_BACKWARD(w)[e] = l < RANKS ? a[(i * EXPERTS + b) * EXPERTS + r] : 0.0f;
  }
}

// Item q of `padded`.
kernel void kronecker_prepare(const global float *a, const global float *u, const global float *v,
                              global float *w, int part, int padded, float scale) {
  prepare(a, u, v, w, get_global_id(0), part, padded, scale);
}

// Several adapters whose weights lie in one array: places (adapters, 3) of A, U and V in it; operands `share` floats apart.
// Item (q, adapter).
kernel void kronecker_prepare_all(const global float *weights, const global int *places, global float *w, int part,
                                  int padded, float scale, int share) {
  const int adapter = get_global_id(1);
  places += 3 * adapter;
  prepare(weights + places[0], weights + places[1], weights + places[2], w + (size_t)adapter * share, get_global_id(0), part,
          padded, scale);
}

// Up to 16 elements of a row of x that ends at `part`.
static inline float16 load_columns(const global float *x, int column, int part) {
#ifndef WHOLE
  if (column + 16 > part) {
    float16 v = 0.0f;
    for (int i = 0; column + i < part; ++i) ((private float *)&v)[i] = x[i];
    return v;
  }
#endif
  return VLOAD(x);
}

static inline void store_columns(float16 v, global float *x, int column, int part) {
#ifndef WHOLE
  if (column + 16 > part) {
    for (int i = 0; column + i < part; ++i) x[i] = ((private float *)&v)[i];
    return;
  }
#endif
  VSTORE(v, x);
}

// out[r] = sum_q x[row r, q] * columns[q]: rows first_row... of x (rows, part); rows behind the last repeat it.
static inline void project(const global float *x, int first_row, int last_row, const global float *columns,
                           int part, float16 out[ROWS * VECTORS]) {
  const global float *rows[ROWS];
  UNROLL for (int r = 0; r < ROWS; ++r) rows[r] = x + (size_t)min(first_row + r, last_row) * part;
  // In registers, though what they are copied to is indexed by loops.
  float16 sums[ROWS * VECTORS];
  UNROLL for (int r = 0; r < ROWS * VECTORS; ++r) sums[r] = 0.0f;
  for (int q = 0; q < part; ++q) {
    UNROLL for (int s = 0; s < VECTORS; ++s) {
      const float16 column = VLOAD(columns + q * LANES_PADDED + 16 * s);
      UNROLL for (int r = 0; r < ROWS; ++r) sums[r * VECTORS + s] += rows[r][q] * column;
    }
  }
  UNROLL for (int r = 0; r < ROWS * VECTORS; ++r) out[r] = sums[r];
}

// out[token, a] = sum_b weights[a,b] * in[token, b], lane by lane.
static inline void mix(const float16 in[ROWS * VECTORS], const global float *weights,
                       float16 out[ROWS * VECTORS]) {
  COMPACT for (int a = 0; a < EXPERTS; ++a) {
    UNROLL for (int s = 0; s < VECTORS; ++s) {
      UNROLL for (int t = 0; t < TOKENS; ++t) {
        float16 sum = 0.0f;
        UNROLL for (int b = 0; b < EXPERTS; ++b)
          sum += VLOAD(weights + (a * EXPERTS + b) * LANES_PADDED + 16 * s) *
                 in[(t * EXPERTS + b) * VECTORS + s];
        out[(t * EXPERTS + a) * VECTORS + s] = sum;
      }
    }
  }
}

// The same mask in both directions: it is drawn again from the index of the row and lane.
static inline void drop(float16 z[ROWS * VECTORS], int first_row, uint key0, uint key1, uint key2, uint threshold,
                        float keep_scale) {
#ifdef DROPOUT
  COMPACT for (int r = 0; r < ROWS * VECTORS; ++r) {
    const uint16 bits = random_bits16(key0, key1, key2, (uint)(first_row * VECTORS + r) * 16);
    z[r] = bits >= threshold ? z[r] * keep_scale : (float16)(0.0f);
  }
#endif
}

// Item t: tokens t*TOKENS and the TOKENS-1 behind it.
kernel void kronecker_forward(const global float *x, const global float *w, const global float *c,
                              global float *y, global float *kept, int tokens, int part, int padded, float scale,
                              uint key0, uint key1, uint key2, uint threshold, float keep_scale) {
  const int first_row = get_global_id(0) * ROWS;
  if (first_row >= tokens * EXPERTS) return;
  const int rows = min(ROWS, tokens * EXPERTS - first_row);
  float16 z[ROWS * VECTORS], q[ROWS * VECTORS];
  project(x, first_row, tokens * EXPERTS - 1, V_COLUMNS(w), part, z);
  drop(z, first_row, key0, key1, key2, threshold, keep_scale);
#ifdef KEEP
  COMPACT for (int r = 0; r < ROWS * VECTORS; ++r)
    if (r < rows * VECTORS) VSTORE(z[r], kept + ((size_t)first_row * VECTORS + r) * 16);
#endif
  mix(z, MIX_FORWARD(w), q);

  const float *lanes = (const float *)q;
  x += (size_t)first_row * part;
  y += (size_t)first_row * part;
  for (int p = 0; p < part; p += 16) {
    float16 sums[ROWS];
    UNROLL for (int r = 0; r < ROWS; ++r) {
      sums[r] = load_columns(x + min(r, rows - 1) * part + p, p, part);
#ifdef BIAS
      sums[r] += scale * load_columns(c + r % EXPERTS * part + p, p, part);
#endif
    }
    for (int l = 0; l < RANKS; ++l) {
      const float16 row = VLOAD(U_ROWS(w) + l * padded + p);
      UNROLL for (int r = 0; r < ROWS; ++r) sums[r] += lanes[r * LANES_PADDED + l] * row;
    }
    UNROLL for (int r = 0; r < ROWS; ++r)
      if (r < rows) store_columns(sums[r], y + r * part + p, p, part);
  }
}

// Item k: block k of tokens_per_block tokens (a multiple of TOKENS), tile after tile: dx, and this block's share of
// the weights' gradients in partials (blocks, PARTIAL):
//   dU (RANKS, padded) without scale, dV (RANKS, padded), dA's lanes (EXPERTS, EXPERTS, LANES_PADDED),
//   dc (EXPERTS, padded) without scale
#define PARTIAL (2 * RANKS * padded + MIX + EXPERTS * padded)

kernel void kronecker_backward(const global float *x, const global float *dy, const global float *kept,
                               const global float *w, const global float *sum_so_far, global float *dx,
                               global float *partials, int tokens, int part, int padded, int tokens_per_block,
                               uint key0, uint key1, uint key2, uint threshold, float keep_scale) {
  const int first_token = get_global_id(0) * tokens_per_block;
  if (first_token >= tokens) return;
  const int end_token = min(first_token + tokens_per_block, tokens);
#ifdef WEIGHTS
  partials += (size_t)get_global_id(0) * PARTIAL;
  global float *du = partials;
  global float *dv = partials + RANKS * padded;
  global float *da = partials + 2 * RANKS * padded;
  global float *dc = partials + 2 * RANKS * padded + MIX;
  for (int i = 0; i < PARTIAL; i += 16) VSTORE((float16)(0.0f), partials + i);
#endif
  for (int token = first_token; token < end_token; token += TOKENS) {
    const int first_row = token * EXPERTS;
    const int rows = min(ROWS, (end_token - token) * EXPERTS);
    float16 dq[ROWS * VECTORS], dz[ROWS * VECTORS];
    project(dy, first_row, tokens * EXPERTS - 1, U_COLUMNS(w), part, dq);
    mix(dq, MIX_BACKWARD(w), dz);
    drop(dz, first_row, key0, key1, key2, threshold, keep_scale);
    const global float *dy_rows = dy + (size_t)first_row * part;
#ifdef WEIGHTS
    const global float *x_rows = x + (size_t)first_row * part;
    float16 z[ROWS * VECTORS], q[ROWS * VECTORS];
    COMPACT for (int r = 0; r < ROWS * VECTORS; ++r)
      z[r] = r < rows * VECTORS ? VLOAD(kept + ((size_t)first_row * VECTORS + r) * 16) : (float16)(0.0f);
    mix(z, MIX_FORWARD(w), q);
    COMPACT for (int a = 0; a < EXPERTS; ++a)
      UNROLL for (int b = 0; b < EXPERTS; ++b)
        UNROLL for (int s = 0; s < VECTORS; ++s) {
          global float *target = da + (a * EXPERTS + b) * LANES_PADDED + 16 * s;
          float16 sum = VLOAD(target);
          UNROLL for (int t = 0; t < TOKENS; ++t)
            sum += dq[(t * EXPERTS + a) * VECTORS + s] * z[(t * EXPERTS + b) * VECTORS + s];
          VSTORE(sum, target);
        }
    const float *q_lanes = (const float *)q;
#endif
    const float *dz_lanes = (const float *)dz;
    for (int p = 0; p < part; p += 16) {
      float16 values[ROWS];
      UNROLL for (int r = 0; r < ROWS; ++r)
        values[r] = r < rows ? load_columns(dy_rows + r * part + p, p, part) : (float16)(0.0f);
#ifdef WEIGHTS
#ifdef BIAS
      UNROLL for (int a = 0; a < EXPERTS; ++a) {
        float16 sum = VLOAD(dc + a * padded + p);
        UNROLL for (int t = 0; t < TOKENS; ++t) sum += values[t * EXPERTS + a];
        VSTORE(sum, dc + a * padded + p);
      }
#endif
      for (int l = 0; l < RANKS; ++l) {
        float16 sum = VLOAD(du + l * padded + p);
        UNROLL for (int r = 0; r < ROWS; ++r) sum += q_lanes[r * LANES_PADDED + l] * values[r];
        VSTORE(sum, du + l * padded + p);
      }
#endif
#ifdef INPUT
#ifdef ADD
      UNROLL for (int r = 0; r < ROWS; ++r)
        if (r < rows)
          values[r] += load_columns(sum_so_far + ((size_t)first_row + r) * part + p, p, part);
#endif
      for (int l = 0; l < RANKS; ++l) {
        const float16 row = VLOAD(V_ROWS(w) + l * padded + p);
        UNROLL for (int r = 0; r < ROWS; ++r) values[r] += dz_lanes[r * LANES_PADDED + l] * row;
      }
      UNROLL for (int r = 0; r < ROWS; ++r)
        if (r < rows) store_columns(values[r], dx + ((size_t)first_row + r) * part + p, p, part);
#endif
#ifdef WEIGHTS
      UNROLL for (int r = 0; r < ROWS; ++r)
        values[r] = r < rows ? load_columns(x_rows + r * part + p, p, part) : (float16)(0.0f);
      for (int l = 0; l < RANKS; ++l) {
        float16 sum = VLOAD(dv + l * padded + p);
        UNROLL for (int r = 0; r < ROWS; ++r) sum += dz_lanes[r * LANES_PADDED + l] * values[r];
        VSTORE(sum, dv + l * padded + p);
      }
#endif
    }
  }
}

// Adds the blocks' shares to the gradients that are wanted, block after block.
// Items: (RANKS * padded / 16) runs of dU and dV, then EXPERTS^2 elements a,b of all dA_i, then
// (EXPERTS * padded / 16) runs of dc.
kernel void kronecker_finish(const global float *partials, global float *da, global float *du, global float *dv,
                             global float *dc, int blocks, int part, int padded, float scale, int adds_a,
                             int adds_u, int adds_v, int adds_c) {
  int item = get_global_id(0);
  const int runs = padded / 16;
  if (item < RANKS * runs) {
    const int l = item / runs, p = item % runs * 16;
    float16 su = 0.0f, sv = 0.0f;
    for (int k = 0; k < blocks; ++k) {
      su += VLOAD(partials + (size_t)k * PARTIAL + l * padded + p);
      sv += VLOAD(partials + (size_t)k * PARTIAL + (RANKS + l) * padded + p);
    }
    const float *u = (const float *)&su;
    const float *v = (const float *)&sv;
    for (int i = 0; i < 16 && p + i < part; ++i) {
      if (adds_u) du[(l / RANK * part + p + i) * RANK + l % RANK] += scale * u[i];
      if (adds_v) dv[l * part + p + i] += v[i];
    }
    return;
  }
  item -= RANKS * runs;
  if (item < EXPERTS * EXPERTS) {
    for (int i = 0; i < EXPERTS && adds_a; ++i) {
      float sum = 0.0f;
      for (int k = 0; k < blocks; ++k)
        for (int r = 0; r < RANK; ++r)
          sum += partials[(size_t)k * PARTIAL + 2 * RANKS * padded + item * LANES_PADDED + i * RANK + r];
      da[i * EXPERTS * EXPERTS + item] += sum;
    }
    return;
  }
  item -= EXPERTS * EXPERTS;
  if (item >= EXPERTS * runs || !adds_c) return;
  const int a = item / runs, p = item % runs * 16;
  float16 sum = 0.0f;
  for (int k = 0; k < blocks; ++k)
    sum += VLOAD(partials + (size_t)k * PARTIAL + 2 * RANKS * padded + MIX + a * padded + p);
  const float *c = (const float *)&sum;
  for (int i = 0; i < 16 && p + i < part; ++i) dc[a * part + p + i] += scale * c[i];
}

// The matrix itself: dense[a*part+p, b*part+q] = sum_i A_i[a,b] * sum_k U_i[p,k] * V_i[k,q]. Item (column, row).
kernel void kronecker_dense(const global float *a, const global float *u, const global float *v,
                            global float *dense, int part) {
  const int column = get_global_id(0), row = get_global_id(1);
  if (column >= EXPERTS * part || row >= EXPERTS * part) return;
  const int p = row % part, q = column % part;
  float sum = 0.0f;
  UNROLL for (int i = 0; i < EXPERTS; ++i) {
    float entry = 0.0f;
    for (int k = 0; k < RANK; ++k) entry += u[(i * part + p) * RANK + k] * v[(i * RANK + k) * part + q];
    sum += a[(i * EXPERTS + row / part) * EXPERTS + column / part] * entry;
  }
  dense[(size_t)row * EXPERTS * part + column] = sum;
}
