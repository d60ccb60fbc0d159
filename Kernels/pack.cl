// Panels: a matrix B (inner, columns) cut into strips of PANEL columns, each strip contiguous with its rows in order:
//   panels[p][i][c] = B[i][PANEL p + c],   zero where PANEL p + c >= columns
// so that a product that walks down `inner` reads one strip of memory from start to end.
//
// PANEL    columns of a panel: the width of the register tile in matmul.cl. Default 32.
// STORAGE  of the panels (common.cl).
// SCALE    defined: of pack_transposed, row i is multiplied by scale[i].
// PAIRED   defined: rows come in pairs, zero-padded to a whole one, whose elements lie side by side:
//          panels[p][i / 2][c][i % 2] = B[i][PANEL p + c]
//
// On a CPU work-item (i / BLOCK, p) writes BLOCK consecutive rows of panel p. Elsewhere group (i / LANES, column / LANES)
// writes a square tile of B, which comes through local memory: what it reads and what it writes are both contiguous.

#ifndef PANEL
#define PANEL 32
#endif
// Rows of a panel that one work-item writes.
#ifndef BLOCK
#define BLOCK 16
#endif

#ifdef PAIRED
#define PADDED(inner) (((inner) + 1) / 2 * 2)
#define PLACE(i, c) ((size_t)((i) / 2) * 2 * PANEL + 2 * (c) + (i) % 2)
#else
#define PADDED(inner) (inner)
#define PLACE(i, c) ((size_t)(i) * PANEL + (c))
#endif

#if LANES > 1
// Where element (i, column) goes.
inline size_t place(int i, int column, int inner) {
  return (size_t)(column / PANEL) * PADDED(inner) * PANEL + PLACE(i, column % PANEL);
}
// Columns, with those that fill the last panel.
#define WIDE_AS_PANELS(columns) (((columns) + PANEL - 1) / PANEL * PANEL)
#endif

// From a matrix in memory: B[i][j] = source[i * inner_stride + j * column_stride]. A row-major B has strides
// (columns, 1), a transposed one (1, inner).
#if LANES == 1
kernel void pack_panels(const global float *source, global stored *panels, int inner, int columns,
                        int inner_stride, int column_stride) {
  const int begin = get_global_id(0) * BLOCK;
  const int end = min(begin + BLOCK, PADDED(inner));
  const int first = get_global_id(1) * PANEL;
  panels += (size_t)get_global_id(1) * PADDED(inner) * PANEL;
  for (int i = begin; i < end; ++i)
    for (int c = 0; c < PANEL; ++c) {
      const int column = first + c;
      const int is_real = column < columns && i < inner;
      const float value = is_real ? source[(size_t)i * inner_stride + (size_t)column * column_stride] : 0.0f;
      STORE_STORED(value, panels + PLACE(i, c));
    }
}
#else
kernel void pack_panels(const global float *source, global stored *panels, int inner, int columns,
                        int inner_stride, int column_stride) {
  local float tile[LANES][LANES + 1];
  const int top = get_group_id(0) * LANES, left = get_group_id(1) * LANES;
  // Lanes run along the source's contiguous side.
  const int is_turned = inner_stride == 1;
  for (int r = TEAM; r < LANES; r += TEAMS) {
    const int i = top + (is_turned ? LANE : r), column = left + (is_turned ? r : LANE);
    const int is_real = column < columns && i < inner;
    const float value = is_real ? source[(size_t)i * inner_stride + (size_t)column * column_stride] : 0.0f;
    if (is_turned) tile[LANE][r] = value;
    else tile[r][LANE] = value;
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int r = TEAM; r < LANES; r += TEAMS)
    if (top + r < PADDED(inner) && left + LANE < WIDE_AS_PANELS(columns))
      STORE_STORED(tile[r][LANE], panels + place(top + r, left + LANE, inner));
}
#endif

// From the panels of the transposed matrix: with T = B^T, whose panels are `transposed` (T is columns x inner here),
//   B[i][j] = T[j][i] = transposed[i / PANEL][j][i % PANEL]
#if LANES == 1
kernel void pack_transposed(const global stored *transposed, global stored *panels, int inner, int columns
#ifdef SCALE
                            , const global float *scale
#endif
) {
  const int begin = get_global_id(0) * BLOCK;
  const int end = min(begin + BLOCK, PADDED(inner));
  const int first = get_global_id(1) * PANEL;
  panels += (size_t)get_global_id(1) * PADDED(inner) * PANEL;
  for (int i = begin; i < end; ++i) {
    const global stored *strip = transposed + (size_t)(i / PANEL) * PADDED(columns) * PANEL;
    for (int c = 0; c < PANEL; ++c) {
#ifdef SCALE
      const int is_real = first + c < columns && i < inner;
      const float value = is_real ? scale[i] * LOAD_STORED(strip + PLACE(first + c, i % PANEL)) : 0.0f;
      STORE_STORED(value, panels + PLACE(i, c));
#else
      panels[PLACE(i, c)] = first + c < columns && i < inner ? strip[PLACE(first + c, i % PANEL)] : 0;
#endif
    }
  }
}
#else
#ifdef SCALE
#define STORE_TURNED(v, p) STORE_STORED((v), (p))
typedef float turned;
#else
#define STORE_TURNED(v, p) (*(p) = (v))
typedef stored turned;
#endif
kernel void pack_transposed(const global stored *transposed, global stored *panels, int inner, int columns
#ifdef SCALE
                            , const global float *scale
#endif
) {
  local turned tile[LANES][LANES + 1];
  const int top = get_group_id(0) * LANES, left = get_group_id(1) * LANES;
  for (int r = TEAM; r < LANES; r += TEAMS) {
    const int i = top + LANE, column = left + r;
    tile[LANE][r] = 0;
    if (column >= columns || i >= inner) continue;
    const global stored *from = transposed + place(column, i, columns);
#ifdef SCALE
    tile[LANE][r] = scale[i] * LOAD_STORED(from);
#else
    tile[LANE][r] = *from;
#endif
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int r = TEAM; r < LANES; r += TEAMS)
    if (top + r < PADDED(inner) && left + LANE < WIDE_AS_PANELS(columns))
      STORE_TURNED(tile[r][LANE], panels + place(top + r, left + LANE, inner));
}
#endif

// Each row of a row-major matrix (rows, width) times a factor of its own, for a product that reads it as it is.
#if LANES == 1
// Work-item (i / BLOCK, row) writes BLOCK consecutive elements.
kernel void scale_rows(const global float *source, const global float *factors, global float *scaled, int rows,
                       int width) {
  const int row = get_global_id(1);
  if (row >= rows) return;
  const int begin = get_global_id(0) * BLOCK;
  const int end = min(begin + BLOCK, width);
  const size_t at = (size_t)row * width;
  for (int i = begin; i < end; ++i) scaled[at + i] = factors[row] * source[at + i];
}
#else
// A team has a row, TEAMS of them side by side in a group.
kernel void scale_rows(const global float *source, const global float *factors, global float *scaled, int rows,
                       int width) {
  const int row = TEAM_ROW(rows);
  if (!IS_TEAM_ROW(rows)) return;
  const int whole = WHOLE_RUNS(width, 0);
  source += (size_t)row * width;
  scaled += (size_t)row * width;
  FOR_RUNS(i, whole) STORER(factors[row] * LOADR(source + i), scaled + i);
  FOR_REST(i, whole, width) scaled[i] = factors[row] * source[i];
}
#endif

#if LANES == 1
// Rows of floats to rows of bf16, zero-padded to a whole pair: pairs (rows, width rounded up to even), as a product of
// paired panels reads its left operand. One work-item a row.
kernel void pack_pairs(const global float *source, global ushort *pairs, int rows, int width) {
  const int row = get_global_id(0);
  if (row >= rows) return;
  source += (size_t)row * width;
  pairs += (size_t)row * ((width + 1) / 2 * 2);
  int i = 0;
  for (; i + 16 <= width; i += 16) VSTORE(convert_ushort16(bfloat_bits16(VLOAD(source + i))), pairs + i);
  for (; i < width; ++i) pairs[i] = bfloat_bits(source[i]);
  if (width % 2) pairs[width] = 0;
}
#endif
