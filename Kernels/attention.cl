// Multi-head attention for CPUs, fused: the tokens x tokens matrix never reaches global memory.
//
//   qkv (batch, tokens, 3, heads, HEAD) -> y (batch, query_count, heads, HEAD): the first tokens ask
//   s = scale q k^T [+ bias],   p = softmax(s) over the keys,   y = p v
//   lse (batch, heads, query_count) = log sum exp s: all that the gradient needs to compute p again, p = exp(s - lse)
//
//   With delta = row sums of dy * y:
//   dv = p^T dy,   ds = p * (dy v^T - delta),   dq = scale ds k,   dk = scale ds^T q
//
// HEAD      width of a head, in floats; at most 128. Default 64.
// BIAS      defined: to the scores of sequence b, frozen and finite, is added bias[b % classes]; the kernels that compute
//           scores take bias (classes, heads, tokens, tokens) and classes as their last arguments.
// TILE_VECTORS  most vectors of 16 floats in a row of a register tile. Default 4: with 6 rows they fill 24 of 32 registers
//           of 16 floats; 1 fills 12 of 16 registers of 8.
// DOT_PRODUCT  defined: what goes into a product is rounded to bf16, probabilities and gradients too; see common.cl.
//           Softmax and sums stay fp32.
//
// attention_tiles.cl is the same for GPUs. Here a work-item is a group, whose scratch in local memory stays in its core's
// second-level cache.

#ifndef HEAD
#define HEAD 64
#endif

#ifndef TILE_VECTORS
#define TILE_VECTORS 4
#endif

#ifdef BIAS
#define BIAS_PARAMETERS , const global float *bias, int classes
// To the rows of the head: element (query, key).
#define LOCATE_BIAS bias += ((size_t)(image % classes) * heads + head) * tokens * tokens;
#define BIAS_AT(query, key) bias[(size_t)(query) * tokens + (key)]
// Adds it to `count` scores of a query, from a key on.
#define ADD_BIAS(scores, query, key, count)                    \
  for (int j_ = 0; j_ < (count); j_ += 16)                     \
    VSTORE(VLOAD((scores) + j_) + load_some(&BIAS_AT(query, (key) + j_), (count) - j_), (scores) + j_);
#else
#define BIAS_PARAMETERS
#define LOCATE_BIAS
#define ADD_BIAS(scores, query, key, count)
#endif

// Rows of a register tile.
#define ROWS 6
// Vectors of a head's row, and the floats of a row padded to whole vectors.
#define HEAD_VECTORS ((HEAD + 15) / 16)
#define PADDED (HEAD_VECTORS * 16)

// A product reads operands: floats, or, PAIRED at a time, neighbours along the sum. They lie in local memory as floats
// whose bits are the pair's, so that a row of scores can become one of operands in its place.
#ifdef DOT_PRODUCT
#define PAIRED 2
#else
#define PAIRED 1
#endif
// Operands along a sum of n.
#define STEPS(n) (((n) + PAIRED - 1) / PAIRED)
#define ROW (PADDED / PAIRED)

// The one inner loop of everything below, for W vectors of columns:
//   c[r][j] = (adds ? c[r][j] : 0) + sum over k < count of a[r * a_row + k * a_step] * b[k * b_step + j]
// where column vector w begins at b + w * b_vector; c is contiguous along columns with rows c_row apart.
#define DEFINE_PRODUCT(W)                                                                                        \
  TARGET inline void product##W(const local float *a, int a_row, int a_step, const local float *b, int b_vector, \
                                int b_step, local float *c, int c_row, int count, int adds) {                    \
    float16 sums[ROWS][W];                                                                                       \
    _Pragma("unroll") for (int r = 0; r < ROWS; ++r)                                                             \
        _Pragma("unroll") for (int w = 0; w < W; ++w) sums[r][w] = adds ? VLOAD(c + r * c_row + 16 * w) : 0.0f;  \
    for (int k = 0; k < count; ++k) {                                                                            \
      float16 columns[W];                                                                                        \
      _Pragma("unroll") for (int w = 0; w < W; ++w) columns[w] = VLOAD(b + w * b_vector);                        \
      _Pragma("unroll") for (int r = 0; r < ROWS; ++r) {                                                         \
        const float16 row = a[r * a_row];                                                                        \
        _Pragma("unroll") for (int w = 0; w < W; ++w) { MULTIPLY_ADD(sums[r][w], row, columns[w]) }              \
      }                                                                                                          \
      a += a_step;                                                                                               \
      b += b_step;                                                                                               \
    }                                                                                                            \
    _Pragma("unroll") for (int r = 0; r < ROWS; ++r)                                                             \
        _Pragma("unroll") for (int w = 0; w < W; ++w) VSTORE(sums[r][w], c + r * c_row + 16 * w);                \
  }
DEFINE_PRODUCT(1)
DEFINE_PRODUCT(2)
DEFINE_PRODUCT(3)
DEFINE_PRODUCT(4)

// The same for any number of column vectors, in passes of at most TILE_VECTORS and as even as possible.
TARGET inline void product(const local float *a, int a_row, int a_step, const local float *b, int b_vector,
                           int b_step, local float *c, int c_row, int count, int adds, int vectors) {
  while (vectors > 0) {
    const int passes = (vectors + TILE_VECTORS - 1) / TILE_VECTORS;
    const int width = (vectors + passes - 1) / passes;
    if (TILE_VECTORS >= 4 && width == 4) product4(a, a_row, a_step, b, b_vector, b_step, c, c_row, count, adds);
    if (TILE_VECTORS >= 3 && width == 3) product3(a, a_row, a_step, b, b_vector, b_step, c, c_row, count, adds);
    if (TILE_VECTORS >= 2 && width == 2) product2(a, a_row, a_step, b, b_vector, b_step, c, c_row, count, adds);
    if (width == 1) product1(a, a_row, a_step, b, b_vector, b_step, c, c_row, count, adds);
    vectors -= width;
    b += width * b_vector;
    c += width * 16;
  }
}

// 16 floats of a row from column c on, times factor; zeros behind HEAD.
inline float16 load_row(const global float *row, int c, float factor) {
  if (c + 16 <= HEAD) return factor * VLOAD(row + c);
  float some[16];
  for (int i = 0; i < 16; ++i) some[i] = c + i < HEAD ? factor * row[c + i] : 0.0f;
  return VLOAD(some);
}

#ifdef DOT_PRODUCT
// Two vectors as pairs: element i of both.
TARGET inline float16 pair16(float16 a, float16 b) {
  return as_float16(convert_uint16(bfloats16(a)) | convert_uint16(bfloats16(b)) << 16);
}
// 16 neighbours as 8 pairs, at to + c / 2.
typedef float8 float8_anywhere __attribute__((aligned(4)));
TARGET inline void store_operands(float16 v, local float *to, int c) {
  *(local float8_anywhere *)(to + c / 2) = as_float8(bfloats16(v));
}
// 16 operands of neighbours, and operand c of a row alone.
TARGET inline float16 load_operands(const global float *from) {
  return (float16)(as_float8(bfloats16(VLOAD(from))), as_float8(bfloats16(VLOAD(from + 16))));
}
inline float load_operand(const global float *row, int c) {
  return as_float(bfloat_bits(row[2 * c]) | (2 * c + 1 < HEAD ? bfloat_bits(row[2 * c + 1]) << 16 : 0));
}
#else
inline void store_operands(float16 v, local float *to, int c) { VSTORE(v, to + c); }
inline float16 load_operands(const global float *from) { return VLOAD(from); }
inline float load_operand(const global float *row, int c) { return row[c]; }
#endif

// Rows of `stride` floats in global memory, times factor, to rows of ROW operands: what is summed over columns of. Zeros
// from `rows` to `padded_rows` and behind HEAD.
TARGET inline void pack_rows(const global float *from, int stride, int rows, int padded_rows, float factor,
                             local float *to) {
  for (int r = 0; r < padded_rows; ++r, from += stride, to += ROW)
    for (int c = 0; c < PADDED; c += 16)
      store_operands(r < rows ? load_row(from, c, factor) : (float16)(0.0f), to, c);
}

// The same rows for a sum over rows: STEPS(rows) rows of PADDED operands.
TARGET inline void pack_columns(const global float *from, int stride, int rows, float factor, local float *to) {
#ifdef DOT_PRODUCT
  for (int r = 0; r < rows; r += 2, from += 2 * (size_t)stride, to += PADDED)
    for (int c = 0; c < PADDED; c += 16)
      VSTORE(pair16(load_row(from, c, factor), r + 1 < rows ? load_row(from + stride, c, factor) : (float16)(0.0f)),
             to + c);
#else
  pack_rows(from, stride, rows, rows, factor, to);
#endif
}

// One round of a 16 x 16 transpose: row 2i of `to` interleaves the first halves of rows i and i + 8 of `from`, row
// 2i + 1 the second halves. That rotates the 8 bits of an element's place (row, column) by one; four rounds swap them.
#define INTERLEAVE(from, to)                                                                                  \
  _Pragma("unroll") for (int i = 0; i < 8; ++i) {                                                             \
    const float16 a = from[i], b = from[i + 8];                                                               \
    to[2 * i] = (float16)(a.s0, b.s0, a.s1, b.s1, a.s2, b.s2, a.s3, b.s3, a.s4, b.s4, a.s5, b.s5, a.s6, b.s6, \
                          a.s7, b.s7);                                                                        \
    to[2 * i + 1] = (float16)(a.s8, b.s8, a.s9, b.s9, a.sa, b.sa, a.sb, b.sb, a.sc, b.sc, a.sd, b.sd, a.se,   \
                              b.se, a.sf, b.sf);                                                              \
  }

// The transpose of rows in global memory, in panels of 16 rows: operand c of a row to
// to[(row / 16) * STEPS(HEAD) * 16 + c * 16 + row % 16]; zeros behind the last row of the last panel.
TARGET inline void pack_transposed(const global float *from, int stride, int rows, local float *to) {
  for (int first = 0; first < rows; first += 16, from += (size_t)16 * stride, to += STEPS(HEAD) * 16) {
    const int there = min(rows - first, 16);
    for (int c = 0; c < HEAD / PAIRED / 16 * 16; c += 16) {
      float16 x[16], y[16];
      _Pragma("unroll") for (int r = 0; r < 16; ++r) {
        x[r] = 0.0f;
        if (r < there) x[r] = load_operands(from + (size_t)r * stride + c * PAIRED);
      }
      INTERLEAVE(x, y)
      INTERLEAVE(y, x)
      INTERLEAVE(x, y)
      INTERLEAVE(y, x)
      _Pragma("unroll") for (int r = 0; r < 16; ++r) VSTORE(x[r], to + 16 * (c + r));
    }
    for (int c = HEAD / PAIRED / 16 * 16; c < STEPS(HEAD); ++c)
      for (int r = 0; r < 16; ++r) to[16 * c + r] = r < there ? load_operand(from + (size_t)r * stride, c) : 0.0f;
  }
}

// Item ((image * heads + head) * chunks + chunk): `chunk_queries` queries of one head of one image. Keys come in tiles
// of `tile` (a multiple of 16); from one tile to the next the running maximum m and sum l of each query are kept, and
// what y holds so far is rescaled by exp(m_old - m_new).
//
// scratch: HEAD * tile (keys, transposed) + PADDED * tile (values) + 2 * ROWS * PADDED (queries, outputs)
//          + ROWS * tile (scores) + 2 * chunk_queries (m and l) floats; pairs leave some of it unused.
TARGET kernel void attention_forward(const global float *qkv, global float *y, global float *lse,
                                     local float *scratch, int tokens, int query_count, int heads, int tile,
                                     int chunks, int chunk_queries, float scale BIAS_PARAMETERS) {
  const int chunk = get_group_id(0) % chunks;
  const int head = get_group_id(0) / chunks % heads;
  const int image = get_group_id(0) / chunks / heads;
  const int width = heads * HEAD;
  const int stride = 3 * width;
  const int begin = chunk * chunk_queries;
  const int end = min(begin + chunk_queries, query_count);
  qkv += (size_t)image * tokens * stride + head * HEAD;
  y += (size_t)image * query_count * width + head * HEAD;
  lse += ((size_t)image * heads + head) * query_count;
  LOCATE_BIAS

  local float *keys = scratch;
  local float *values = keys + HEAD * tile;
  local float *queries = values + PADDED * tile;
  local float *outputs = queries + ROWS * PADDED;
  local float *scores = outputs + ROWS * PADDED;
  local float *most = scores + ROWS * tile;
  local float *sums = most + chunk_queries;

  for (int from = 0; from < tokens; from += tile) {
    const int count = min(tile, tokens - from);
    const int vectors = (count + 15) / 16;
    const int is_last = from + tile >= tokens;
    pack_transposed(qkv + (size_t)from * stride + width, stride, count, keys);
    pack_columns(qkv + (size_t)from * stride + 2 * width, stride, count, 1.0f, values);

    for (int first = begin; first < end; first += ROWS) {
      const int rows = min(ROWS, end - first);
      pack_rows(qkv + (size_t)first * stride, stride, rows, ROWS, scale, queries);
      product(queries, ROW, 1, keys, STEPS(HEAD) * 16, 16, scores, tile, STEPS(HEAD), 0, vectors);

      float factors[ROWS];
      for (int r = 0; r < rows; ++r) {
        local float *row = scores + r * tile;
        ADD_BIAS(row, first + r, from, count)
        // Padded keys take no part.
        for (int j = count; j < vectors * 16; ++j) row[j] = -MAXFLOAT;
        float16 tops = VLOAD(row);
        for (int j = 16; j < vectors * 16; j += 16) {
          const float16 s = VLOAD(row + j);
          tops = s > tops ? s : tops;
        }
        float top = max16(tops);
        const int query = first - begin + r;
        if (from > 0) top = fmax(top, most[query]);
        float16 totals = 0.0f;
        for (int j = 0; j < vectors * 16; j += 16) {
          const float16 p = exp16(VLOAD(row + j) - top);
          totals += p;
          store_operands(p, row, j);
        }
        const float total = sum16(totals);
        factors[r] = from > 0 ? exp1(most[query] - top) : 0.0f;
        sums[query] = from > 0 ? fma(sums[query], factors[r], total) : total;
        most[query] = top;
      }

      product(scores, tile, 1, values, 16, PADDED, outputs, PADDED, STEPS(count), 0, HEAD_VECTORS);
      for (int r = 0; r < rows; ++r) {
        const int query = first - begin + r;
        const float inverse = is_last ? 1.0f / sums[query] : 1.0f;
        global float *to = y + (size_t)(first + r) * width;
        for (int c = 0; c < HEAD / 16 * 16; c += 16) {
          float16 v = VLOAD(outputs + r * PADDED + c);
          if (from > 0) v = fma((float16)(factors[r]), VLOAD(to + c), v);
          VSTORE(v * inverse, to + c);
        }
        for (int c = HEAD / 16 * 16; c < HEAD; ++c) {
          float v = outputs[r * PADDED + c];
          if (from > 0) v = fma(factors[r], to[c], v);
          to[c] = v * inverse;
        }
      }
    }
  }
  // All logarithms at once: one alone takes as long as sixteen.
  int query = 0;
  for (; begin + query + 16 <= end; query += 16)
    VSTORE(VLOAD(most + query) + log(VLOAD(sums + query)), lse + begin + query);
  for (; begin + query < end; ++query) lse[begin + query] = most[query] + log(sums[query]);
}

// Row sums of dy * y for one head of one row: delta (batch, heads, query_count). Item (row of batch * query_count).
kernel void attention_delta(const global float *y, const global float *dy, global float *delta, int query_count,
                            int heads, int rows) {
  const int row = get_global_id(0);
  if (row >= rows) return;
  for (int head = 0; head < heads; ++head) {
    const size_t at = ((size_t)row * heads + head) * HEAD;
    float16 sums = 0.0f;
    for (int c = 0; c < HEAD / 16 * 16; c += 16) sums = fma(VLOAD(y + at + c), VLOAD(dy + at + c), sums);
    float sum = sum16(sums);
    for (int c = HEAD / 16 * 16; c < HEAD; ++c) sum = fma(y[at + c], dy[at + c], sum);
    delta[((size_t)(row / query_count) * heads + head) * query_count + row % query_count] = sum;
  }
}

// exp(s - lse) of 16 scores from key j on. Of a pair with a key behind the last, that key must have none.
inline float16 probabilities(const local float *scores, int j, int count, float lse) {
  const float16 e = exp16(VLOAD(scores + j) - lse);
#ifdef DOT_PRODUCT
  const int16 key = j + (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return key < count ? e : 0.0f;
#else
  return e;
#endif
}

// Item ((image * heads + head) * chunks + chunk): what `chunk_queries` queries contribute. dq of these queries is
// whole, and 0 of the tokens behind the last query. dk and dv are whole where chunks is 1, and go to dqkv; otherwise to
// the chunk's part of partials (chunks, batch, tokens, 2, heads, HEAD), which attention_reduce adds up in order.
//
// scratch: 2 * HEAD * tile (keys and values, transposed) + PADDED * tile (keys) + 2 * PADDED * (tile + ROWS) (dk, dv)
//          + 2 * PADDED * block (queries, dy) + 2 * block * (tile + ROWS) (p, ds) + ROWS * PADDED (dq) floats; pairs
//          leave some of it unused.
// block: queries at a time, a multiple of ROWS.
TARGET kernel void attention_backward(const global float *qkv, const global float *dy, const global float *lse,
                                      const global float *delta, global float *dqkv, global float *partials,
                                      local float *scratch, int batch, int tokens, int query_count, int heads,
                                      int tile, int block, int chunks, int chunk_queries,
                                      float scale BIAS_PARAMETERS) {
  const int chunk = get_group_id(0) % chunks;
  const int head = get_group_id(0) / chunks % heads;
  const int image = get_group_id(0) / chunks / heads;
  const int width = heads * HEAD;
  const int stride = 3 * width;
  const int begin = chunk * chunk_queries;
  const int end = min(begin + chunk_queries, query_count);
  qkv += (size_t)image * tokens * stride + head * HEAD;
  dqkv += (size_t)image * tokens * stride + head * HEAD;
  dy += (size_t)image * query_count * width + head * HEAD;
  lse += ((size_t)image * heads + head) * query_count;
  delta += ((size_t)image * heads + head) * query_count;
  LOCATE_BIAS
  const int sum_stride = chunks == 1 ? stride : 2 * width;
  global float *sums = chunks == 1 ? dqkv + width
                                   : partials + ((size_t)chunk * batch + image) * tokens * 2 * width + head * HEAD;

  local float *keys_t = scratch;
  local float *values_t = keys_t + HEAD * tile;
  local float *keys = values_t + HEAD * tile;
  local float *dk = keys + PADDED * tile;
  local float *dv = dk + PADDED * (tile + ROWS);
  local float *queries = dv + PADDED * (tile + ROWS);
  local float *dys = queries + PADDED * block;
  local float *dy_columns = PAIRED == 1 ? dys : dys + ROW * block;
  local float *query_columns = PAIRED == 1 ? queries : queries + ROW * block;
  local float *p = dys + PADDED * block;
  // A register tile of transposed rows reads up to ROWS - 1 columns behind the last key.
  const int row_length = tile + ROWS;
  // Rows of p and of ds take turns. Once they are operands, ds for a sum over keys lies where ds was; those for sums over
  // queries lie in the places of p, in pairs in the place of their first query (p) and their second (ds).
  const int next = 2 * row_length;
  local float *ds = p + row_length;
  local float *ds_columns = p + PAIRED * row_length;
  local float *dq = p + block * next;

  if (chunk == 0)
    for (int row = query_count; row < tokens; ++row)
      for (int c = 0; c < HEAD; ++c) dqkv[(size_t)row * stride + c] = 0.0f;

  for (int from = 0; from < tokens; from += tile) {
    const int count = min(tile, tokens - from);
    const int vectors = (count + 15) / 16;
    pack_transposed(qkv + (size_t)from * stride + width, stride, count, keys_t);
    pack_transposed(qkv + (size_t)from * stride + 2 * width, stride, count, values_t);
    pack_columns(qkv + (size_t)from * stride + width, stride, count, 1.0f, keys);

    for (int first = begin; first < end; first += block) {
      const int rows = min(block, end - first);
      const int padded_rows = (rows + ROWS - 1) / ROWS * ROWS;
      pack_rows(qkv + (size_t)first * stride, stride, rows, padded_rows, scale, queries);
      pack_rows(dy + (size_t)first * width, width, rows, padded_rows, 1.0f, dys);
#ifdef DOT_PRODUCT
      pack_columns(qkv + (size_t)first * stride, stride, rows, scale, query_columns);
      pack_columns(dy + (size_t)first * width, width, rows, 1.0f, dy_columns);
#endif
      for (int r = 0; r < padded_rows; r += ROWS) {
        product(queries + r * ROW, ROW, 1, keys_t, STEPS(HEAD) * 16, 16, p + r * next, next, STEPS(HEAD), 0, vectors);
        product(dys + r * ROW, ROW, 1, values_t, STEPS(HEAD) * 16, 16, ds + r * next, next, STEPS(HEAD), 0, vectors);
      }
#ifdef BIAS
      for (int r = 0; r < rows; ++r) { ADD_BIAS(p + r * next, first + r, from, count) }
#endif
      for (int r = 0; r < rows; r += PAIRED) {
        local float *p_row = p + r * next;
        local float *ds_row = ds + r * next;
        for (int j = 0; j < vectors * 16; j += 16) {
          const float16 e = probabilities(p_row, j, count, lse[first + r]);
          const float16 d = e * (VLOAD(ds_row + j) - delta[first + r]);
#ifdef DOT_PRODUCT
          float16 e2 = 0.0f, d2 = 0.0f;
          if (r + 1 < rows) {
            e2 = probabilities(p_row + next, j, count, lse[first + r + 1]);
            d2 = e2 * (VLOAD(ds_row + next + j) - delta[first + r + 1]);
          }
          VSTORE(pair16(e, e2), p_row + j);
          VSTORE(pair16(d, d2), p_row + next + j);
          store_operands(d, ds_row, j);
          store_operands(d2, ds_row + next, j);
#else
          VSTORE(e, p_row + j);
          VSTORE(d, ds_row + j);
#endif
        }
      }
      for (int r = 0; r < rows; r += ROWS) {
        product(ds + r * next, next, 1, keys, 16, PADDED, dq, PADDED, STEPS(count), 0, HEAD_VECTORS);
        for (int i = 0; i < min(ROWS, rows - r); ++i) {
          global float *to = dqkv + (size_t)(first + r + i) * stride;
          for (int c = 0; c < HEAD / 16 * 16; c += 16) {
            float16 v = scale * VLOAD(dq + i * PADDED + c);
            if (from > 0) v += VLOAD(to + c);
            VSTORE(v, to + c);
          }
          for (int c = HEAD / 16 * 16; c < HEAD; ++c)
            to[c] = scale * dq[i * PADDED + c] + (from > 0 ? to[c] : 0.0f);
        }
      }
      for (int j = 0; j < count; j += ROWS) {
        product(p + j, 1, PAIRED * next, dy_columns, 16, PADDED, dv + j * PADDED, PADDED, STEPS(rows), first > begin,
                HEAD_VECTORS);
        product(ds_columns + j, 1, PAIRED * next, query_columns, 16, PADDED, dk + j * PADDED, PADDED, STEPS(rows),
                first > begin, HEAD_VECTORS);
      }
    }

    for (int j = 0; j < count; ++j) {
      global float *to = sums + (size_t)(from + j) * sum_stride;
      for (int c = 0; c < HEAD / 16 * 16; c += 16) {
        VSTORE(VLOAD(dk + j * PADDED + c), to + c);
        VSTORE(VLOAD(dv + j * PADDED + c), to + width + c);
      }
      for (int c = HEAD / 16 * 16; c < HEAD; ++c) {
        to[c] = dk[j * PADDED + c];
        to[width + c] = dv[j * PADDED + c];
      }
    }
  }
}

// dk and dv of dqkv: the sum of the chunks' parts, first to last. Item (row of batch * tokens).
kernel void attention_reduce(const global float *partials, global float *dqkv, int width, int chunks, int rows) {
  const int row = get_global_id(0);
  if (row >= rows) return;
  for (int c = 0; c < 2 * width; ++c) {
    float sum = 0.0f;
    for (int chunk = 0; chunk < chunks; ++chunk) sum += partials[((size_t)chunk * rows + row) * 2 * width + c];
    dqkv[(size_t)row * 3 * width + width + c] = sum;
  }
}
