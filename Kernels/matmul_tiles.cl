// Matrix products of GPUs, with everything that follows folded into the last step:
//   y = f(scale * (A B) + bias) + residual,   pre = scale * (A B) + bias
//
// A         (m, k) row-major, or (k, m) where A_TRANSPOSED is defined: then the product is that of a weight's gradient.
// B         (k, n), as B_LAYOUT says.
// y         (m, n) row-major; so are residual and pre.
// bias      (n); so is scale, with SCALE alone. PARTS and SCALE: common.cl.
//
// A group computes TILE_M x TILE_N elements, an item PER_M x PER_N of them in registers: as quads of neighbours, so that
// local memory is read 128 bits at a time, and the quads TILE_M / 2 or TILE_N / 2 apart, so that a wave reads neighbouring
// quads. DEPTH steps of k lie in local memory, k outermost. While they are multiplied, the next are on their way from global
// memory to registers, and then go to the other half of local memory: a barrier every DEPTH steps.
//
// Nothing is checked on the way. Rows behind m and columns behind n are read as the last ones, whose results nobody stores;
// the last whole DEPTH steps are read once more than they are used; what is left of an uneven k is a loop of its own.
// Each element is one chain of fused multiply-adds in the order of k, whatever the tile: the same bits.
//
// The group is of one dimension: (TILE_M / PER_M) * (TILE_N / PER_N) items. Group (x, y, z) computes the tile of columns x
// and rows y, of slice z.
//
// TILE_M, TILE_N  rows and columns of a group's tile, powers of two from 4 on. Default 64 x 64.
// PER_M, PER_N    rows and columns of an item: PER_M 1, 2, 4 or 8, PER_N 4 or 8. Default 8 x 8.
// DEPTH           steps of k between barriers, a power of two from 4 on. Default 8.
// AHEAD           of these so many are unrolled, whose operands the compiler may load ahead: 1, 2 or 4, or 0 for all.
//                 Default 2.
// BUFFERS         1: half the local memory, and two barriers every DEPTH steps. Default 2.
// B_LAYOUT        0 zero-padded panels of columns (pack.cl), B[i][j] = b[j / PANEL][i][j % PANEL]; 1 row-major (k, n);
//                 2 transposed (n, k). Default 0.
// PANEL           columns of a panel, 32 or 16. Default 32.
// STORAGE         of the panels (common.cl).
// QUADS           rows that begin at a multiple of 16 bytes, a sum: 1 of A, 2 of B, 4 of y, residual and pre. They are
//                 read or written as float4, the others as vload4, which may be four reads, or one by one. Default 0.
// WAVE            of common.cl.
// SLICED          defined: group (., ., z) sums k from z * per_slice to (z + 1) * per_slice only, into
//                 y + y_at + z * slice_stride: the first stage of a sum over many rows. A slice may be empty. With QUADS
//                 of what lies along k, per_slice is a multiple of 4; of y, so are y_at and slice_stride.
// ROW_SUMS        defined, with A_TRANSPOSED and SLICED: the sums over k of A's rows go to y + row_sums_at +
//                 z * slice_stride, (m): where A is what a layer's result received, its bias's gradient.
// NORMALIZED      defined: A is read behind a layer norm over k, with norm_weight (k) and norm_bias (k), of the rows of which
//                 only `chunks` are known.
// KEEP_STATISTICS defined: `statistics` receives theirs as layer_norm.cl keeps them.
// B_NORMALIZED    defined, with B_LAYOUT 1: B (rows, n) is read behind a layer norm over n, of which `statistics` are kept.
// CHUNKS          defined: of every CHUNK columns of y next_chunks receives the mean, the sum of what is off it and its
//                 squares, (3, chunks, m): what a layer norm of y's rows begins with. With QUADS of y; TILE_N is a multiple
//                 of CHUNK.

#ifndef TILE_M
#define TILE_M 64
#endif
#ifndef TILE_N
#define TILE_N 64
#endif
#ifndef PER_M
#define PER_M 8
#endif
#ifndef PER_N
#define PER_N 8
#endif
#ifndef DEPTH
#define DEPTH 8
#endif
#ifndef AHEAD
#define AHEAD 2
#endif
#ifndef BUFFERS
#define BUFFERS 2
#endif
#ifndef B_LAYOUT
#define B_LAYOUT 0
#endif
#ifndef PANEL
#define PANEL 32
#endif
#ifndef QUADS
#define QUADS 0
#endif

#define CHUNK 32
#define SMALLER(a, b) ((a) < (b) ? (a) : (b))
#define ITEMS_M (TILE_M / PER_M)
#define ITEMS_N (TILE_N / PER_N)
#define ITEMS (ITEMS_M * ITEMS_N)
// Neighbouring items, 4 x 8, work on neighbouring elements: they read fewer bytes of local memory than 1 x 32 would.
#define WAVE_M SMALLER(ITEMS_M, 4)
#define WAVE_N SMALLER(ITEMS_N, 8)
// Rows of an item come in pieces of neighbours, its columns in quads.
#define PIECE SMALLER(PER_M, 4)
#define PIECES (PER_M / PIECE)
#define COLUMN_QUADS (PER_N / 4)
// Quads that an item fetches of each operand.
#define FETCHES_A ((TILE_M * DEPTH / 4 + ITEMS - 1) / ITEMS)
#define FETCHES_B ((TILE_N * DEPTH / 4 + ITEMS - 1) / ITEMS)
// A row in local memory. Padded by a quad, so that the four elements of a quad along k go to different banks.
#define ROW_A (TILE_M + 4)
#define ROW_B (TILE_N + 4)

#if AHEAD == 0
#define EACH_STEP UNROLL
#elif AHEAD == 1
#define EACH_STEP COMPACT
#elif AHEAD == 2
#define EACH_STEP _Pragma("unroll 2")
#else
#define EACH_STEP _Pragma("unroll 4")
#endif

typedef const global float *source;

#define LOAD_QUAD(p) (*(const global float4 *)(p))
#define STORE_QUAD(v, p) (*(global float4 *)(p) = (v))

// A quad across k of a row that is not aligned: elements behind the last are the last.
inline float4 load_edge(source p, int last) {
  return (float4)(p[0], p[min(1, last)], p[min(2, last)], p[min(3, last)]);
}

// Quads of A. Of one that lies along k, (m, k), the elements go to four rows of local memory; one across k stays whole.
// PLACE: of quad e of the tile, its step of k and its row or column.
#define ALONG_STEP(e) ((e) % (DEPTH / 4) * 4)
#define ALONG_PLACE(e) ((e) / (DEPTH / 4))
#define ACROSS_STEP(e, tile) ((e) / ((tile) / 4))
#define ACROSS_PLACE(e, tile) ((e) % ((tile) / 4) * 4)
#define KEEP_ALONG(tile, at, row, v) \
  tile[at] = v.x, tile[(at) + (row)] = v.y, tile[(at) + 2 * (row)] = v.z, tile[(at) + 3 * (row)] = v.w;
#define KEEP_ACROSS(tile, at, v) *(local float4 *)&tile[at] = v;

#ifdef A_TRANSPOSED
#define STEP_A(e) ACROSS_STEP(e, TILE_M)
#define PLACE_A(e) ACROSS_PLACE(e, TILE_M)
#define SOURCE_A(i, row) (a + (size_t)(i) * m + (row))
#define STRIDE_A m
#define KEEP_A(at, v) KEEP_ACROSS(tile_a, at, v)
#define LOAD_A_TAIL(f, left) (step_a[f] < (left) ? LOAD_A(f) : (float4)(0.0f))
#if QUADS & 1
#define LAST_A (m - 4)
#define LOAD_A(f) LOAD_QUAD(from_a[f])
#else
#define LAST_A (m - 1)
#define LOAD_A(f) load_edge(from_a[f], edge_a[f])
#endif
#else
#define STEP_A(e) ALONG_STEP(e)
#define PLACE_A(e) ALONG_PLACE(e)
#define SOURCE_A(i, row) (a + (size_t)(row) * k + (i))
#define STRIDE_A 1
#define KEEP_A(at, v) KEEP_ALONG(tile_a, at, ROW_A, v)
#define LOAD_A_TAIL(f, left) load_first(from_a[f], (left) - step_a[f])
#define LAST_A (m - 1)
#if QUADS & 1
#define LOAD_A(f) LOAD_QUAD(from_a[f])
#else
#define LOAD_A(f) vload4(0, from_a[f])
#endif
#endif

// Quads of B. Of panels, neighbouring items read on in one panel.
#if B_LAYOUT == 0
#define STRIP SMALLER(PANEL, TILE_N)
#define STEP_B(e) ((e) / (STRIP / 4) % DEPTH)
#define PLACE_B(e) ((e) / (STRIP / 4) / DEPTH * STRIP + (e) % (STRIP / 4) * 4)
#define SOURCE_B(i, column) (b + ((size_t)((column) / PANEL) * k + (i)) * PANEL + (column) % PANEL)
#define STRIDE_B PANEL
#define KEEP_B(at, v) KEEP_ACROSS(tile_b, at, v)
#define LOAD_B_TAIL(f, left) (step_b[f] < (left) ? LOAD_B(f) : (float4)(0.0f))
#define LAST_B ((n + PANEL - 1) / PANEL * PANEL - 4)
#if STORAGE == 0
#define LOAD_B(f) LOAD_QUAD(from_b[f])
#elif STORAGE == 1
#define LOAD_B(f) as_float4(convert_uint4(*(const global ushort4 *)from_b[f]) << 16u)
#else
#define LOAD_B(f) vloada_half4(0, (const global half *)from_b[f])
#endif
#elif B_LAYOUT == 1
#define STEP_B(e) ACROSS_STEP(e, TILE_N)
#define PLACE_B(e) ACROSS_PLACE(e, TILE_N)
#define SOURCE_B(i, column) (b + (size_t)(i) * n + (column))
#define STRIDE_B n
#define KEEP_B(at, v) KEEP_ACROSS(tile_b, at, v)
#define LOAD_B_TAIL(f, left) (step_b[f] < (left) ? LOAD_B(f) : (float4)(0.0f))
#if QUADS & 2
#define LAST_B (n - 4)
#define LOAD_B(f) LOAD_QUAD(from_b[f])
#else
#define LAST_B (n - 1)
#define LOAD_B(f) load_edge(from_b[f], edge_b[f])
#endif
#else
#define STEP_B(e) ALONG_STEP(e)
#define PLACE_B(e) ALONG_PLACE(e)
#define SOURCE_B(i, column) (b + (size_t)(column) * k + (i))
#define STRIDE_B 1
#define KEEP_B(at, v) KEEP_ALONG(tile_b, at, ROW_B, v)
#define LOAD_B_TAIL(f, left) load_first(from_b[f], (left) - step_b[f])
#define LAST_B (n - 1)
#if QUADS & 2
#define LOAD_B(f) LOAD_QUAD(from_b[f])
#else
#define LOAD_B(f) vload4(0, from_b[f])
#endif
#endif

// What a layer norm makes of the quads on their way to local memory. Weight and bias lie along k, or across.
#define BEHIND_NORM(v, mean, inverse, rest, weight, bias) ((((v) - (mean)) * (inverse) - (rest)) * (weight) + (bias))
#ifdef NORMALIZED
#if QUADS & 1
#define LOAD_NORM(p) LOAD_QUAD(p)
#else
#define LOAD_NORM(p) vload4(0, p)
#endif
#define NORMALIZE_BY(w, b)                                                              \
  {                                                                                     \
    const float4 weight = w, shift = b;                                                 \
    EACH_A next_a[f] = BEHIND_NORM(next_a[f], mean_a[f], inverse_a[f], rest_a[f], weight, shift); \
  }
#define NORMALIZE NORMALIZE_BY(LOAD_NORM(norm_weight + norm_at), LOAD_NORM(norm_bias + norm_at))
#define NORMALIZE_TAIL(left) \
  NORMALIZE_BY(load_first(norm_weight + norm_at, (left) - step_a[0]), load_first(norm_bias + norm_at, (left) - step_a[0]))
#define MOVE_NORM(steps) norm_at += steps;
#elif defined(B_NORMALIZED)
#define NORMALIZE                                                                                             \
  EACH_B {                                                                                                    \
    const global float *row = statistics + 3 * (size_t)min(norm_at + step_b[f], k - 1);                       \
    next_b[f] = BEHIND_NORM(next_b[f], row[0], row[1], row[2], weight_b[f], shift_b[f]);                      \
  }
#define NORMALIZE_TAIL(left) NORMALIZE
#define MOVE_NORM(steps) norm_at += steps;
#else
#define NORMALIZE
#define NORMALIZE_TAIL(left)
#define MOVE_NORM(steps)
#endif
#ifdef ROW_SUMS
#define SUM_ROWS(is_new) EACH_A sums_a[f] += (is_new) ? next_a[f] : (float4)(0.0f);
#else
#define SUM_ROWS(is_new)
#endif

#define EACH_A UNROLL for (int f = 0; f < FETCHES_A; ++f)
#define EACH_B UNROLL for (int f = 0; f < FETCHES_B; ++f)
#define MOVE(steps)                                          \
  EACH_A from_a[f] += (size_t)(steps) * STRIDE_A;            \
  EACH_B from_b[f] += (size_t)(steps) * STRIDE_B;            \
  MOVE_NORM(steps)
#define FETCH                        \
  EACH_A next_a[f] = LOAD_A(f);      \
  EACH_B next_b[f] = LOAD_B(f);
#define FETCH_TAIL(left)                      \
  EACH_A next_a[f] = LOAD_A_TAIL(f, left);    \
  EACH_B next_b[f] = LOAD_B_TAIL(f, left);
// A tile that is smaller than the group leaves some items without a quad.
#define IS_MINE(f, tile) (tile * DEPTH / 4 % ITEMS == 0 || t + f * ITEMS < tile * DEPTH / 4)
#define KEEP(half_a, half_b)                                             \
  EACH_A if (IS_MINE(f, TILE_M)) { KEEP_A((half_a) + to_a[f], next_a[f]) } \
  EACH_B if (IS_MINE(f, TILE_N)) { KEEP_B((half_b) + to_b[f], next_b[f]) }

// One step of k: an item's rows of A times its columns of B.
#define FMA_ROW(r, x) UNROLL for (int c = 0; c < COLUMN_QUADS; ++c) sums[r][c] = fma((float4)(x), vb[c], sums[r][c]);
#if PER_M >= 4
#define MULTIPLY_PIECE(q, p)                             \
  {                                                      \
    const float4 va = *(const local float4 *)(p);        \
    FMA_ROW(4 * q, va.x)                                 \
    FMA_ROW(4 * q + 1, va.y)                             \
    FMA_ROW(4 * q + 2, va.z)                             \
    FMA_ROW(4 * q + 3, va.w)                             \
  }
#else
#define MULTIPLY_PIECE(q, p) UNROLL for (int r = 0; r < PIECE; ++r) FMA_ROW(r, (p)[r])
#endif
#define MULTIPLY(half_a, half_b, i)                                                                       \
  {                                                                                                       \
    const local float *pa = tile_a + (half_a) + (i) * ROW_A + PIECE * ty;                                 \
    const local float *pb = tile_b + (half_b) + (i) * ROW_B + 4 * tx;                                     \
    float4 vb[COLUMN_QUADS];                                                                              \
    UNROLL for (int c = 0; c < COLUMN_QUADS; ++c)                                                         \
        vb[c] = *(const local float4 *)(pb + c * (TILE_N / COLUMN_QUADS));                                \
    UNROLL for (int q = 0; q < PIECES; ++q) MULTIPLY_PIECE(q, pa + q * (TILE_M / PIECES))                 \
  }

#define EACH_OF_QUAD(f, v) (float4)(f(v.x, PARTS / 8), f(v.y, PARTS / 8), f(v.z, PARTS / 8), f(v.w, PARTS / 8))
#define DROPPED_QUAD(sum, at) \
  DROPPED(sum.x, at) DROPPED(sum.y, (at) + 1) DROPPED(sum.z, (at) + 2) DROPPED(sum.w, (at) + 3)

// What finish1 of common.cl does, for four neighbours.
inline void finish4(float4 sum, size_t at, int column, global float *y, const global float *bias,
                    const global float *residual, global float *pre SCALE_PARAMETER DROP_PARAMETERS) {
#ifdef GRADIENT_OF_F
  DROPPED_QUAD(sum, at)
  if (PARTS / 8) {
    const float4 x = LOAD_QUAD(pre + at);
    sum *= EACH_OF_QUAD(activate_gradient1, x);
  }
#else
  SCALED(sum, LOAD_QUAD(scale + column))
  if (HAS_BIAS(PARTS)) sum += LOAD_QUAD(bias + column);
  if (KEEPS_PRE(PARTS)) STORE_QUAD(sum, pre + at);
  sum = EACH_OF_QUAD(activate1, sum);
  DROPPED_QUAD(sum, at)
#endif
  if (HAS_RESIDUAL(PARTS)) sum += LOAD_QUAD(residual + at);
  STORE_QUAD(sum, y + at);
}

// Operands of some builds only.
#ifdef SLICED
#define SLICE_PARAMETERS , int per_slice, int slice_stride, int y_at
#else
#define SLICE_PARAMETERS
#endif
#ifdef ROW_SUMS
#define ROW_SUMS_PARAMETER , int row_sums_at
#else
#define ROW_SUMS_PARAMETER
#endif
#ifdef NORMALIZED
#define CHUNKS_PARAMETERS , const global float *restrict chunks, float epsilon
#else
#define CHUNKS_PARAMETERS
#endif
#if defined(NORMALIZED) || defined(B_NORMALIZED)
#define NORM_PARAMETERS                                                                           \
  , const global float *restrict norm_weight, const global float *restrict norm_bias, global float *statistics \
  CHUNKS_PARAMETERS
#else
#define NORM_PARAMETERS
#endif
#ifdef CHUNKS
#define NEXT_CHUNKS_PARAMETER , global float *next_chunks
#else
#define NEXT_CHUNKS_PARAMETER
#endif

#ifdef NORMALIZED
// Mean, inverse deviation and rest (layer_norm.cl) of a row of A, from those of its chunks.
inline float3 row_norm(const global float *chunks, int row, int m, int k, float epsilon) {
  const size_t plane = (size_t)((k + CHUNK - 1) / CHUNK) * m;
  chunks += row;
  float mean = 0.0f;
  for (int c = 0; c < k; c += CHUNK) mean = fma((float)min(CHUNK, k - c), chunks[(size_t)(c / CHUNK) * m], mean);
  mean /= k;
  float off = 0.0f, squares = 0.0f;
  for (int c = 0; c < k; c += CHUNK) {
    const global float *chunk = chunks + (size_t)(c / CHUNK) * m;
    const float count = min(CHUNK, k - c), apart = chunk[0] - mean, sum = fma(count, apart, chunk[plane]);
    off += sum;
    squares += fma(apart, sum + chunk[plane], chunk[2 * plane]);
  }
  off /= k;
  const float inverse = 1.0f / sqrt(max(squares / k - off * off, 0.0f) + epsilon);
  return (float3)(mean, inverse, off * inverse);
}
#endif


WAVE_KERNEL __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
void matmul_tiles(const global float *restrict a, const global stored *restrict b, global float *y,
                  const global float *bias, const global float *residual, global float *pre, int m, int n,
                  int k SLICE_PARAMETERS SCALE_PARAMETER DROP_PARAMETERS ROW_SUMS_PARAMETER NORM_PARAMETERS
                      NEXT_CHUNKS_PARAMETER) {
  local float tile_a[BUFFERS * DEPTH * ROW_A] __attribute__((aligned(16)));
  local float tile_b[BUFFERS * DEPTH * ROW_B] __attribute__((aligned(16)));
  const int t = get_local_id(0);
  const int lane = t % (WAVE_M * WAVE_N), wave = t / (WAVE_M * WAVE_N);
  const int tx = wave % (ITEMS_N / WAVE_N) * WAVE_N + lane % WAVE_N;
  const int ty = wave / (ITEMS_N / WAVE_N) * WAVE_M + lane / WAVE_N;
  const int row0 = get_group_id(1) * TILE_M, column0 = get_group_id(0) * TILE_N;
#ifdef SLICED
  const int begin = get_group_id(2) * per_slice, end = min(begin + per_slice, k);
  y += (size_t)get_group_id(2) * slice_stride;
#ifdef ROW_SUMS
  global float *row_sums = y + row_sums_at;
#endif
  y += y_at;
#else
  const int begin = 0, end = k;
#endif

  // Where an item fetches its quads from, and where they go.
  source from_a[FETCHES_A];
  const global stored *from_b[FETCHES_B];
  int to_a[FETCHES_A], to_b[FETCHES_B], step_a[FETCHES_A], step_b[FETCHES_B], edge_a[FETCHES_A], edge_b[FETCHES_B];
  EACH_A {
    // An item without a quad fetches the last one again.
    const int e = min(t + f * ITEMS, TILE_M * DEPTH / 4 - 1), row = min(row0 + PLACE_A(e), LAST_A);
    step_a[f] = STEP_A(e);
    from_a[f] = SOURCE_A(begin + step_a[f], row);
    to_a[f] = step_a[f] * ROW_A + PLACE_A(e);
    edge_a[f] = LAST_A - row;
  }
  EACH_B {
    const int e = min(t + f * ITEMS, TILE_N * DEPTH / 4 - 1), column = min(column0 + PLACE_B(e), LAST_B);
    step_b[f] = STEP_B(e);
    from_b[f] = SOURCE_B(begin + step_b[f], column);
    to_b[f] = step_b[f] * ROW_B + PLACE_B(e);
    edge_b[f] = LAST_B - column;
  }
#ifdef NORMALIZED
  for (int r = t; r < TILE_M; r += ITEMS) {
    const float3 norm = row_norm(chunks, min(row0 + r, m - 1), m, k, epsilon);
    tile_a[r] = norm.x;
    tile_a[TILE_M + r] = norm.y;
    tile_a[2 * TILE_M + r] = norm.z;
#ifdef KEEP_STATISTICS
    if (column0 == 0 && row0 + r < m) vstore3(norm, row0 + r, statistics);
#endif
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  float mean_a[FETCHES_A], inverse_a[FETCHES_A], rest_a[FETCHES_A];
  EACH_A {
    const int row = PLACE_A(min(t + f * ITEMS, TILE_M * DEPTH / 4 - 1));
    mean_a[f] = tile_a[row];
    inverse_a[f] = tile_a[TILE_M + row];
    rest_a[f] = tile_a[2 * TILE_M + row];
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  // An item's quads are all of the same steps.
  int norm_at = begin + step_a[0];
#elif defined(B_NORMALIZED)
  int norm_at = begin;
  float4 weight_b[FETCHES_B], shift_b[FETCHES_B];
  EACH_B {
    const int column = LAST_B - edge_b[f];
#if QUADS & 2
    weight_b[f] = LOAD_QUAD(norm_weight + column);
    shift_b[f] = LOAD_QUAD(norm_bias + column);
#else
    weight_b[f] = load_edge(norm_weight + column, edge_b[f]);
    shift_b[f] = load_edge(norm_bias + column, edge_b[f]);
#endif
  }
#endif
#ifdef ROW_SUMS
  float4 sums_a[FETCHES_A];
  EACH_A sums_a[f] = 0.0f;
#endif
  float4 next_a[FETCHES_A], next_b[FETCHES_B];
  float4 sums[PER_M][COLUMN_QUADS];
  UNROLL for (int r = 0; r < PER_M; ++r) UNROLL for (int c = 0; c < COLUMN_QUADS; ++c) sums[r][c] = 0.0f;

  const int whole = (end - begin) / DEPTH, left = (end - begin) % DEPTH;
  if (whole > 0) {
    FETCH
    NORMALIZE
    SUM_ROWS(1)
    KEEP(0, 0)
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  int half_a = 0, half_b = 0;
  COMPACT for (int s = whole; s > 0; --s) {
    const int steps = s > 1 ? DEPTH : 0;
    MOVE(steps)
    FETCH
    EACH_STEP for (int i = 0; i < DEPTH; ++i) MULTIPLY(half_a, half_b, i)
#if BUFFERS == 2
    half_a = DEPTH * ROW_A - half_a;
    half_b = DEPTH * ROW_B - half_b;
#else
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    NORMALIZE
    SUM_ROWS(s > 1)
    KEEP(half_a, half_b)
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  if (left > 0) {
    const int steps = whole > 0 ? DEPTH : 0;
    MOVE(steps)
    FETCH_TAIL(left)
    NORMALIZE_TAIL(left)
    SUM_ROWS(1)
    KEEP(0, 0)
    barrier(CLK_LOCAL_MEM_FENCE);
    COMPACT for (int i = 0; i < left; ++i) MULTIPLY(0, 0, i)
  }

#ifdef ROW_SUMS
  if (column0 == 0) {
    barrier(CLK_LOCAL_MEM_FENCE);
    EACH_A if (IS_MINE(f, TILE_M)) { KEEP_A(to_a[f], sums_a[f]) }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int r = t; r < TILE_M && row0 + r < m; r += ITEMS) {
      float sum = 0.0f;
      UNROLL for (int i = 0; i < DEPTH; ++i) sum += tile_a[i * ROW_A + r];
      row_sums[row0 + r] = sum;
    }
  }
#endif

// The row of the tile that is an item's r-th.
#define PLACE_OF(r) ((r) / PIECE * (TILE_M / PIECES) + PIECE * ty + (r) % PIECE)
  UNROLL for (int c = 0; c < COLUMN_QUADS; ++c) {
    const int column = column0 + c * (TILE_N / COLUMN_QUADS) + 4 * tx;
    UNROLL for (int r = 0; r < PER_M; ++r) {
      const int row = row0 + PLACE_OF(r);
      if (row >= m || column >= n) continue;
      const size_t at = (size_t)row * n + column;
#if QUADS & 4
      finish4(sums[r][c], at, column, y, bias, residual, pre SCALE_ARGUMENT DROP_ARGUMENTS);
#else
      const float v[4] = {sums[r][c].x, sums[r][c].y, sums[r][c].z, sums[r][c].w};
      UNROLL for (int j = 0; j < 4; ++j)
        if (column + j < n)
          finish1(v[j], at + j, column + j, y, bias, residual, pre, PARTS SCALE_ARGUMENT DROP_ARGUMENTS);
#endif
    }
  }
#ifdef CHUNKS
  // Read again, since there are no registers left to keep what was written.
  barrier(CLK_GLOBAL_MEM_FENCE);
  COMPACT for (int e = t; e < TILE_M * (TILE_N / CHUNK); e += ITEMS) {
    const int row = row0 + e % TILE_M, column = column0 + e / TILE_M * CHUNK;
    if (row >= m || column >= n) continue;
    const int quads = min(CHUNK, n - column) / 4;
    const global float *from = y + (size_t)row * n + column;
    float4 kept[CHUNK / 4], total = 0.0f;
    UNROLL for (int q = 0; q < CHUNK / 4; ++q) {
      kept[q] = q < quads ? LOAD_QUAD(from + 4 * q) : (float4)(0.0f);
      total += kept[q];
    }
    const float mean = sum4(total) / (4 * quads);
    float4 off = 0.0f, squares = 0.0f;
    UNROLL for (int q = 0; q < CHUNK / 4; ++q) {
      const float4 apart = q < quads ? kept[q] - mean : (float4)(0.0f);
      off += apart;
      squares = fma(apart, apart, squares);
    }
    const size_t plane = (size_t)((n + CHUNK - 1) / CHUNK) * m;
    global float *to = next_chunks + (size_t)(column / CHUNK) * m + row;
    to[0] = mean;
    to[plane] = sum4(off);
    to[2 * plane] = sum4(squares);
  }
#endif
}
