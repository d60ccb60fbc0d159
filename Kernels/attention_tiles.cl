// Multi-head attention for GPUs: what attention.cl computes (its header has the formulas and layouts), in register tiles.
//
// A group owns ROWS rows of one side of one head of one image (queries; in the pass for dk and dv keys), and passes over
// the other side OTHERS rows at a time. Item (ty, tx), tx < ACROSS, computes the scores of PER_ITEM own rows and OTHERS /
// ACROSS others, and then as many rows of the sums in PADDED / ACROSS columns: both as outer products of quads out of
// local memory, one chain of fma an element. So only OTHERS decides the order of sums, and that forwards alone.
//
// A head is summed over COLUMNS columns at a time, both sides transposed, so that a quad is four rows; the other side's
// sum takes PART rows at a time, as they lie. What a phase needs lies where the last one's was. Rows in local memory are
// four floats longer than their contents: neighbours then begin in other banks.
//
// Group index: ((image * heads + head) * row_groups + row group).
//
// HEAD      width of a head, in floats; at most 128. Default 64. What is behind it up to whole tiles is zero.
// PASS      0 forwards, 1 backwards for queries, 2 backwards for keys and values. Default 0.
// ROWS      own rows of a group: PER_ITEM times a power of two. Default 64.
// OTHERS    other rows at a time: 4 ACROSS, or that times a power of two. Default 32.
// PER_ITEM  rows of an item: 4 or 8. Default 8.
// ACROSS    items that share rows: a power of two. Default 8.
// COLUMNS   columns of a head at a time, a multiple of 4; forwards, where they are all, the own rows stay. Default 16.
// PART      other rows at a time in a sum over them: a divisor of OTHERS. Default 16.
// AHEAD     steps of a product that are unrolled: a power of two. Default 2.
// BIAS      as in attention.cl.
// WAVE      of common.cl.

#ifndef HEAD
#define HEAD 64
#endif
#ifndef PASS
#define PASS 0
#endif
#ifndef ROWS
#define ROWS 64
#endif
#ifndef OTHERS
#define OTHERS 32
#endif
#ifndef PER_ITEM
#define PER_ITEM 8
#endif
#ifndef ACROSS
#define ACROSS 8
#endif
#ifndef COLUMNS
#define COLUMNS 16
#endif
#ifndef PART
#define PART 16
#endif
#ifndef AHEAD
#define AHEAD 2
#endif

#ifdef BIAS
#define BIAS_PARAMETERS , const global float *bias, int classes
// To the rows of the head: element (query, key).
#define LOCATE_BIAS bias += ((size_t)(image % classes) * heads + head) * tokens * tokens;
#define BIAS_AT(query, key) bias[(size_t)(query) * tokens + (key)]
#else
#define BIAS_PARAMETERS
#define LOCATE_BIAS
#endif

#define ITEMS (ROWS / PER_ITEM * ACROSS)
// Columns, or other rows, of a quad of every item that shares rows.
#define SPAN (4 * ACROSS)
#define PADDED ((HEAD + SPAN - 1) / SPAN * SPAN)
// Quads of an item: of its rows, of others, and of columns.
#define ROW_QUADS (PER_ITEM / 4)
#define OTHER_QUADS (OTHERS / SPAN)
#define COLUMN_QUADS (PADDED / SPAN)
// Passes over a head.
#define PASSES ((HEAD + COLUMNS - 1) / COLUMNS)

// Lengths of rows in local memory, and of the arrays.
#define OWN_ROW (ROWS + 4)
#define OTHER_ROW (OTHERS + 4)
#define PART_ROW (PADDED + 4)
#define OWN_FLOATS (COLUMNS * OWN_ROW)
#define PRODUCT_FLOATS (COLUMNS * OTHER_ROW)
#define WEIGHT_FLOATS (OTHERS * OWN_ROW)
#define PART_FLOATS (PART * PART_ROW)
#define GREATER(a, b) ((a) > (b) ? (a) : (b))

#if PASS == 0
#if PASSES == 1
#define OWN_STAYS
#define MEMORY (OWN_FLOATS + GREATER(PRODUCT_FLOATS, WEIGHT_FLOATS + PART_FLOATS))
#else
#define MEMORY GREATER(OWN_FLOATS + PRODUCT_FLOATS, WEIGHT_FLOATS + PART_FLOATS)
#endif
#else
#define MEMORY (WEIGHT_FLOATS + GREATER(OWN_FLOATS + PRODUCT_FLOATS, PART_FLOATS))
#endif

// Row r of an item's: four neighbours in each of ROW_QUADS parts of the group.
#define ROW_OF(r) ((r) / 4 * (ROWS / ROW_QUADS) + 4 * ty + (r) % 4)

#define LOCAL_QUAD(p) (*(local float4 *)(p))

// Columns c ... c + 3 of a row of HEAD.
inline float4 load_quad(const global float *row, int c) {
#if HEAD % 4 == 0
  if (HEAD % COLUMNS != 0 || PADDED != HEAD)
    if (c >= HEAD) return (float4)(0.0f);
  return *(const global float4 *)(row + c);
#else
  return load_first(row + c, HEAD - c);
#endif
}

inline void store_quad(float4 v, global float *row, int c) {
#if HEAD % 4 == 0
  if (PADDED == HEAD || c < HEAD) *(global float4 *)(row + c) = v;
#else
  store_first(v, row + c, HEAD - c);
#endif
}

// Both copies repeat the last row behind it: what that gives is masked, or stored nowhere. Offsets within a tile are
// small, and the tile's place the same for all items.

// Columns `first` ... of rows of `stride` floats, transposed: COLUMNS rows of `length`. An item moves blocks of 4 x 4 where
// there are enough for all, else quads. Two neighbours take 32 bytes of a row, a whole sector; the next two other rows,
// so that their stores lie side by side.
#define NEAR (COLUMNS >= 8 ? 2 : 1)
inline void load_columns(const global float *from, int stride, int there, int rows, int length, int first,
                         local float *to) {
  const int tall = rows / 4 * (COLUMNS / 4) % ITEMS == 0 ? 4 : 1;
  const int count = rows / tall * (COLUMNS / 4);
  UNROLL for (int i = 0; i < (count + ITEMS - 1) / ITEMS; ++i) {
    const int e = (int)get_local_id(0) + i * ITEMS;
    const int row = e / NEAR % (rows / tall) * tall;
    const int c = (e / NEAR / (rows / tall) * NEAR + e % NEAR) * 4;
    if (count % ITEMS == 0 || e < count) {
      local float *at = to + c * length + row;
      // Of a block's rows each is the next, or the last again: a choice is cheaper than a product.
      const int at0 = min(row, there - 1) * stride;
      const float4 v0 = load_quad(from + at0, first + c);
      if (tall == 1) {
        at[0] = v0.x;
        at[length] = v0.y;
        at[2 * length] = v0.z;
        at[3 * length] = v0.w;
      } else {
        const int at1 = at0 + (row + 1 < there ? stride : 0);
        const int at2 = at1 + (row + 2 < there ? stride : 0);
        const int at3 = at2 + (row + 3 < there ? stride : 0);
        const float4 v1 = load_quad(from + at1, first + c);
        const float4 v2 = load_quad(from + at2, first + c);
        const float4 v3 = load_quad(from + at3, first + c);
        LOCAL_QUAD(at) = (float4)(v0.x, v1.x, v2.x, v3.x);
        LOCAL_QUAD(at + length) = (float4)(v0.y, v1.y, v2.y, v3.y);
        LOCAL_QUAD(at + 2 * length) = (float4)(v0.z, v1.z, v2.z, v3.z);
        LOCAL_QUAD(at + 3 * length) = (float4)(v0.w, v1.w, v2.w, v3.w);
      }
    }
  }
}

// PART rows from `first` on, as they lie.
inline void load_part(const global float *from, int stride, int there, int first, local float *to) {
  const int count = PART * (PADDED / 4);
  UNROLL for (int i = 0; i < (count + ITEMS - 1) / ITEMS; ++i) {
    const int e = (int)get_local_id(0) + i * ITEMS;
    const int row = e / (PADDED / 4);
    const int c = e % (PADDED / 4) * 4;
    if (count % ITEMS == 0 || e < count)
      LOCAL_QUAD(to + row * PART_ROW + c) = load_quad(from + min(first + row, there - 1) * stride, c);
  }
}

// sums[4 q ... 4 q + 3][j] += the quad a times the quad v.
#define OUTER(sums, q, j, a, v)                         \
  sums[4 * (q)][j] = fma((a).x, v, sums[4 * (q)][j]);         \
  sums[4 * (q) + 1][j] = fma((a).y, v, sums[4 * (q) + 1][j]); \
  sums[4 * (q) + 2][j] = fma((a).z, v, sums[4 * (q) + 2][j]); \
  sums[4 * (q) + 3][j] = fma((a).w, v, sums[4 * (q) + 3][j]);

// Of the steps of a product AHEAD are unrolled: some compilers ignore a pragma that asks for a part.
#define LESSER(a, b) ((a) < (b) ? (a) : (b))

// sums[own row][quad] += outer products of `count` steps: quads of own rows from a_ on, `a_row` floats a step, times quads
// from v_ on, `v_row` a step.
#define PRODUCT(sums, quads, count, a_, a_row, v_, v_row)                                                  \
  {                                                                                                        \
    const local float *a_at = (a_) + 4 * ty, *v_at = (v_) + 4 * tx;                                        \
    COMPACT for (int step = 0; step < (count); step += LESSER(AHEAD, count)) {                             \
      UNROLL for (int i = 0; i < LESSER(AHEAD, count); ++i) {                                              \
        float4 a[ROW_QUADS];                                                                               \
        UNROLL for (int q = 0; q < ROW_QUADS; ++q)                                                         \
          a[q] = *(const local float4 *)(a_at + i * (a_row) + q * (ROWS / ROW_QUADS));                     \
        UNROLL for (int j = 0; j < (quads); ++j) {                                                         \
          const float4 v = *(const local float4 *)(v_at + i * (v_row) + j * SPAN);                         \
          UNROLL for (int q = 0; q < ROW_QUADS; ++q) { OUTER(sums, q, j, a[q], v) }                        \
        }                                                                                                  \
      }                                                                                                    \
      a_at += LESSER(AHEAD, count) * (a_row);                                                              \
      v_at += LESSER(AHEAD, count) * (v_row);                                                              \
    }                                                                                                      \
  }

// sums[own row][other quad] += products over the columns that lie in local memory.
#define SCORES(sums) PRODUCT(sums, OTHER_QUADS, COLUMNS, own, OWN_ROW, others, OTHER_ROW)
// sums[own row][column quad] += weights (others, own rows) times the PART other rows from `first` on.
#define ADD_UP(sums, first) PRODUCT(sums, COLUMN_QUADS, PART, weights + (first) * OWN_ROW, OWN_ROW, part, PART_ROW)

// Where the item's own rows 4 q ... 4 q + 3 lie in weights (others, own rows) for other k of quad j.
#define WEIGHTS_AT(q, j, k) (mine_at + ((j) * SPAN + (k)) * OWN_ROW + (q) * (ROWS / ROW_QUADS))
// The item's values (own row, other quad) there: component k of four rows.
#define DOWN(values, q, j, k) \
  (float4)(values[4 * (q)][j].s##k, values[4 * (q) + 1][j].s##k, values[4 * (q) + 2][j].s##k, values[4 * (q) + 3][j].s##k)
#define EACH_OF_FOUR(DO) DO(0) DO(1) DO(2) DO(3)

// sums += weights times other rows. Nobody may be reading what lies where the part goes.
#define SUM_UP(sums, other_rows, other_stride)                                                             \
  COMPACT for (int first = 0; first < OTHERS; first += PART) {                                             \
    if (first > 0) barrier(CLK_LOCAL_MEM_FENCE);                                                           \
    load_part(other_rows, other_stride, count, first, part);                                               \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                          \
    ADD_UP(sums, first)                                                                                    \
  }

#define ZERO(sums, quads) \
  UNROLL for (int r = 0; r < PER_ITEM; ++r) UNROLL for (int j = 0; j < (quads); ++j) sums[r][j] = 0.0f;

// exp of what is not above 0, but for rounding: exp1 without its upper end, which saves two instructions of eighteen.
inline float4 exp4_below(float4 x) {
  x = x < -88.0f ? (float4)(-88.0f) : x;
  const float4 shifted = fma(x, (float4)(1.44269504f), (float4)(12582912.0f));
  const float4 n = shifted - 12582912.0f;
  float4 r = fma(n, (float4)(-0.693145752f), x);
  r = fma(n, (float4)(-1.428606765e-06f), r);
  float4 p = fma(r, (float4)(1.383684576e-03f), (float4)(8.374815807e-03f));
  p = fma(p, r, (float4)(4.166822508e-02f));
  p = fma(p, r, (float4)(1.666641980e-01f));
  p = fma(p, r, (float4)(4.999999106e-01f));
  p = fma(p, r, (float4)(1.0f));
  p = fma(p, r, (float4)(1.0f));
  return p * as_float4((as_uint4(shifted) + 127u) << 23);
}

// Sum and maximum of the parts that the items of a row left in `parts`, ACROSS a row, in a fixed order.
#if ACROSS % 4 == 0
#define JOIN_PARTS(result, parts, OPERATION)                                                  \
  {                                                                                           \
    float4 joined = LOCAL_QUAD(parts);                                                        \
    UNROLL for (int i_ = 4; i_ < ACROSS; i_ += 4) joined = OPERATION(joined, LOCAL_QUAD((parts) + i_)); \
    result = OPERATION(OPERATION(joined.x, joined.y), OPERATION(joined.z, joined.w));         \
  }
#else
#define JOIN_PARTS(result, parts, OPERATION)                                                  \
  {                                                                                           \
    result = (parts)[0];                                                                      \
    UNROLL for (int i_ = 1; i_ < ACROSS; ++i_) result = OPERATION(result, (parts)[i_]);       \
  }
#endif
#define PLUS(a, b) ((a) + (b))

// `own_rows`: rows of the group's side.
#define LOCATE(own_rows)                                               \
  const int row_groups = ((own_rows) + ROWS - 1) / ROWS;               \
  const int head = get_group_id(0) / row_groups % heads;               \
  const int image = get_group_id(0) / row_groups / heads;              \
  const int begin = get_group_id(0) % row_groups * ROWS;               \
  const int there = min(ROWS, (own_rows) - begin);                     \
  const int width = heads * HEAD;                                      \
  const int stride = 3 * width;                                        \
  const int tx = get_local_id(0) % ACROSS;                             \
  const int ty = get_local_id(0) / ACROSS;                             \
  local float *mine_at = weights + 4 * tx * OWN_ROW + 4 * ty;          \
  qkv += (size_t)image * tokens * stride + head * HEAD;                \
  LOCATE_BIAS

#if PASS == 0

// Online softmax: from one tile of keys to the next a row's maximum is kept, and its sums are rescaled. The items of a
// row find the maximum together; the sum of probabilities stays in parts until the end.
WAVE_KERNEL __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void attention_forward_tiles(const global float *restrict qkv, global float *restrict y, global float *restrict lse,
                             int tokens, int query_count, int heads, float scale BIAS_PARAMETERS) {
  local float memory[MEMORY] __attribute__((aligned(16)));
  local float parts[ROWS * ACROSS] __attribute__((aligned(16)));
  local float *own = memory;
  local float *others = own + OWN_FLOATS;
#ifdef OWN_STAYS
  local float *weights = others;
#else
  local float *weights = memory;
#endif
  local float *part = weights + WEIGHT_FLOATS;
  LOCATE(query_count)
  local float *mine = parts + 4 * ty * ACROSS + tx;
  const global float *queries = qkv + (size_t)begin * stride;
#ifdef OWN_STAYS
  load_columns(queries, stride, there, ROWS, OWN_ROW, 0, own);
#endif

  float4 sums[PER_ITEM][COLUMN_QUADS];
  float most[PER_ITEM], total[PER_ITEM];
  ZERO(sums, COLUMN_QUADS)
  UNROLL for (int r = 0; r < PER_ITEM; ++r) {
    most[r] = -MAXFLOAT;
    total[r] = 0.0f;
  }
  COMPACT for (int from = 0; from < tokens; from += OTHERS) {
    const int count = min(OTHERS, tokens - from);
    const global float *keys = qkv + (size_t)from * stride + width;
    float4 s[PER_ITEM][OTHER_QUADS];
    ZERO(s, OTHER_QUADS)
    COMPACT for (int first = 0; first < HEAD; first += COLUMNS) {
      barrier(CLK_LOCAL_MEM_FENCE);
#ifndef OWN_STAYS
      load_columns(queries, stride, there, ROWS, OWN_ROW, first, own);
#endif
      load_columns(keys, stride, count, OTHERS, OTHER_ROW, first, others);
      barrier(CLK_LOCAL_MEM_FENCE);
      SCORES(s)
    }
    UNROLL for (int r = 0; r < PER_ITEM; ++r) {
      float4 top = -MAXFLOAT;
      UNROLL for (int j = 0; j < OTHER_QUADS; ++j) {
        const int other = j * SPAN + 4 * tx;
        s[r][j] *= scale;
#ifdef BIAS
        const global float *b = &BIAS_AT(begin + min(ROW_OF(r), there - 1), from);
        s[r][j] += (float4)(b[min(other, count - 1)], b[min(other + 1, count - 1)], b[min(other + 2, count - 1)],
                            b[min(other + 3, count - 1)]);
#endif
        s[r][j].x = other < count ? s[r][j].x : -MAXFLOAT;
        s[r][j].y = other + 1 < count ? s[r][j].y : -MAXFLOAT;
        s[r][j].z = other + 2 < count ? s[r][j].z : -MAXFLOAT;
        s[r][j].w = other + 3 < count ? s[r][j].w : -MAXFLOAT;
        top = fmax(top, s[r][j]);
      }
      mine[(r / 4 * (ROWS / ROW_QUADS) + r % 4) * ACROSS] = fmax(fmax(top.x, top.y), fmax(top.z, top.w));
    }
    // From here on nobody reads keys: the probabilities take their place.
    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL for (int r = 0; r < PER_ITEM; ++r) {
      float top;
      JOIN_PARTS(top, parts + ROW_OF(r) * ACROSS, fmax)
      top = fmax(top, most[r]);
      const float factor = exp1(most[r] - top);
      most[r] = top;
      total[r] *= factor;
      UNROLL for (int j = 0; j < OTHER_QUADS; ++j) {
        s[r][j] = exp4_below(s[r][j] - top);
        total[r] += (s[r][j].x + s[r][j].y) + (s[r][j].z + s[r][j].w);
      }
      UNROLL for (int j = 0; j < COLUMN_QUADS; ++j) sums[r][j] *= factor;
    }
#define STORE(k) LOCAL_QUAD(WEIGHTS_AT(q, j, k)) = DOWN(s, q, j, k);
    UNROLL for (int j = 0; j < OTHER_QUADS; ++j) UNROLL for (int q = 0; q < ROW_QUADS; ++q) { EACH_OF_FOUR(STORE) }
    SUM_UP(sums, keys + width, stride)
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  UNROLL for (int r = 0; r < PER_ITEM; ++r) mine[(r / 4 * (ROWS / ROW_QUADS) + r % 4) * ACROSS] = total[r];
  barrier(CLK_LOCAL_MEM_FENCE);
  y += ((size_t)image * query_count + begin) * width + head * HEAD;
  lse += ((size_t)image * heads + head) * query_count + begin;
  UNROLL for (int r = 0; r < PER_ITEM; ++r) {
    const int row = ROW_OF(r);
    if (row < there) {
      float sum;
      JOIN_PARTS(sum, parts + row * ACROSS, PLUS)
      const float inverse = 1.0f / sum;
      UNROLL for (int j = 0; j < COLUMN_QUADS; ++j)
        store_quad(sums[r][j] * inverse, y + (size_t)row * width, j * SPAN + 4 * tx);
      if (tx == 0) lse[row] = most[r] + log(sum);
    }
  }
}

#else

// With a the own rows' first operand and b their second, and a', b' the other side's:
//   s = a . a',   t = b . b',   p = exp(scale s - lse),   ds = p (t - delta)
// For queries a is q and b dy, a' is k and b' v: dq = scale sum of ds k. They also leave delta, the row sums of dy y.
// For keys a is k and b v, a' is q and b' dy: dk = scale sum of ds q, dv = sum of p dy; and dq = 0 of those that are no
// queries.
#if PASS == 1
#define NAME attention_backward_queries
#define OWN_COUNT query_count
#define OTHER_COUNT tokens
#else
#define NAME attention_backward_keys
#define OWN_COUNT tokens
#define OTHER_COUNT query_count
#endif

// Products of two operands over the whole head.
#define PRODUCTS(sums, own_rows, own_stride, other_rows, other_stride)                      \
  ZERO(sums, OTHER_QUADS)                                                                   \
  COMPACT for (int first = 0; first < HEAD; first += COLUMNS) {                             \
    barrier(CLK_LOCAL_MEM_FENCE);                                                           \
    load_columns(own_rows, own_stride, there, ROWS, OWN_ROW, first, own);                   \
    load_columns(other_rows, other_stride, count, OTHERS, OTHER_ROW, first, others);        \
    barrier(CLK_LOCAL_MEM_FENCE);                                                           \
    SCORES(sums)                                                                            \
  }

// Scores first. Their probabilities wait for the second product in registers, or for keys, whose sums take twice as many,
// in local memory.
WAVE_KERNEL __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void NAME(const global float *restrict qkv, const global float *restrict y, const global float *restrict dy,
          const global float *restrict lse, global float *delta, global float *restrict dqkv, int tokens,
          int query_count, int heads, float scale BIAS_PARAMETERS) {
  local float memory[MEMORY] __attribute__((aligned(16)));
  local float *weights = memory;
  local float *own = weights + WEIGHT_FLOATS;
  local float *others = own + OWN_FLOATS;
  local float *part = own;
  LOCATE(OWN_COUNT)
  dy += (size_t)image * query_count * width + head * HEAD;
  lse += ((size_t)image * heads + head) * query_count;
  delta += ((size_t)image * heads + head) * query_count;
#if PASS == 1
  local float shifts[ROWS] __attribute__((aligned(16)));
  local float means[ROWS] __attribute__((aligned(16)));
  y += ((size_t)image * query_count + begin) * width + head * HEAD;
  dy += (size_t)begin * width;
  const global float *own_a = qkv + (size_t)begin * stride;
  local float *mine = memory + 4 * ty * ACROSS + tx;
  UNROLL for (int r = 0; r < PER_ITEM; ++r) {
    const int row = min(ROW_OF(r), there - 1) * width;
    float4 sum = 0.0f;
    UNROLL for (int j = 0; j < COLUMN_QUADS; ++j)
      sum = fma(load_quad(y + row, j * SPAN + 4 * tx), load_quad(dy + row, j * SPAN + 4 * tx), sum);
    mine[(r / 4 * (ROWS / ROW_QUADS) + r % 4) * ACROSS] = (sum.x + sum.y) + (sum.z + sum.w);
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int row = get_local_id(0); row < ROWS; row += ITEMS) {
    float mean;
    JOIN_PARTS(mean, memory + row * ACROSS, PLUS)
    means[row] = mean;
    shifts[row] = lse[begin + min(row, there - 1)];
    if (row < there) delta[begin + row] = mean;
  }
#else
  const global float *own_a = qkv + (size_t)begin * stride + width;
  float4 dv[PER_ITEM][COLUMN_QUADS];
  ZERO(dv, COLUMN_QUADS)
#endif
  float4 da[PER_ITEM][COLUMN_QUADS];
  ZERO(da, COLUMN_QUADS)

  COMPACT for (int from = 0; from < OTHER_COUNT; from += OTHERS) {
    const int count = min(OTHERS, OTHER_COUNT - from);
#if PASS == 1
    const global float *other_a = qkv + (size_t)from * stride + width;
#else
    const global float *other_a = qkv + (size_t)from * stride;
    const global float *other_b = dy + (size_t)from * width;
#endif
    float4 s[PER_ITEM][OTHER_QUADS];
#if PASS == 1
    float4 p[ROW_QUADS][OTHER_QUADS][4];
#endif
    PRODUCTS(s, own_a, stride, other_a, stride)
    UNROLL for (int j = 0; j < OTHER_QUADS; ++j) UNROLL for (int q = 0; q < ROW_QUADS; ++q) {
      const int other = j * SPAN + 4 * tx;
#if PASS == 1
      const float4 shift = LOCAL_QUAD(shifts + ROW_OF(4 * q));
#define SHIFT(k) shift
#else
#define SHIFT(k) (float4)(lse[from + min(other + k, count - 1)])
#endif
#ifdef BIAS
#if PASS == 1
#define SCORE_BIAS(k, i) BIAS_AT(begin + min(ROW_OF(4 * q + i), there - 1), from + min(other + k, count - 1))
#else
#define SCORE_BIAS(k, i) BIAS_AT(from + min(other + k, count - 1), begin + min(ROW_OF(4 * q + i), there - 1))
#endif
#define SHIFTED(k)                                                                                             \
  (fma(DOWN(s, q, j, k), (float4)(scale),                                                                      \
       (float4)(SCORE_BIAS(k, 0), SCORE_BIAS(k, 1), SCORE_BIAS(k, 2), SCORE_BIAS(k, 3))) - SHIFT(k))
#else
#define SHIFTED(k) fma(DOWN(s, q, j, k), (float4)(scale), -SHIFT(k))
#endif
#if PASS == 1
#define P_AT(k) p[q][j][k]
#else
#define P_AT(k) LOCAL_QUAD(WEIGHTS_AT(q, j, k))
#endif
#define PROBABILITY(k) P_AT(k) = other + k < count ? exp4_below(SHIFTED(k)) : (float4)(0.0f);
      EACH_OF_FOUR(PROBABILITY)
    }
#if PASS == 2
    barrier(CLK_LOCAL_MEM_FENCE);
    SUM_UP(dv, other_b, width)
    PRODUCTS(s, own_a + width, stride, other_b, width)
#else
    PRODUCTS(s, dy, width, other_a + width, stride)
#endif
    UNROLL for (int j = 0; j < OTHER_QUADS; ++j) UNROLL for (int q = 0; q < ROW_QUADS; ++q) {
#if PASS == 1
      const float4 mean = LOCAL_QUAD(means + ROW_OF(4 * q));
#define MEAN(k) mean
#else
      const int other = j * SPAN + 4 * tx;
#define MEAN(k) delta[from + min(other + k, count - 1)]
#endif
#define GRADIENT(k) LOCAL_QUAD(WEIGHTS_AT(q, j, k)) = P_AT(k) * (DOWN(s, q, j, k) - MEAN(k));
      EACH_OF_FOUR(GRADIENT)
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    SUM_UP(da, other_a, stride)
  }
  UNROLL for (int r = 0; r < PER_ITEM; ++r) {
    const int row = ROW_OF(r);
    if (row < there) {
      global float *to = dqkv + ((size_t)image * tokens + begin + row) * stride + head * HEAD;
      UNROLL for (int j = 0; j < COLUMN_QUADS; ++j) {
        const int c = j * SPAN + 4 * tx;
#if PASS == 1
        store_quad(scale * da[r][j], to, c);
#else
        store_quad(scale * da[r][j], to + width, c);
        store_quad(dv[r][j], to + 2 * width, c);
        if (begin + row >= query_count) store_quad((float4)(0.0f), to, c);
#endif
      }
    }
  }
}

#endif
