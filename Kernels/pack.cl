// Panels: a matrix B (inner, columns) cut into strips of PANEL columns, each strip contiguous with its rows in order:
//   panels[p][i][c] = B[i][PANEL p + c],   zero where PANEL p + c >= columns
// so that a product that walks down `inner` reads one strip of memory from start to end.
//
// PANEL    columns of a panel: the width of the register tile in matmul.cl. Default 32.
// STORAGE  of the panels (common.cl).
//
// Work-item (i / BLOCK, p) writes BLOCK consecutive rows of panel p.

#ifndef PANEL
#define PANEL 32
#endif
// Rows of a panel that one work-item writes.
#ifndef BLOCK
#define BLOCK 16
#endif

// From a matrix in memory: B[i][j] = source[i * inner_stride + j * column_stride]. A row-major B has strides
// (columns, 1), a transposed one (1, inner).
kernel void pack_panels(const global float *source, global stored *panels, int inner, int columns,
                        int inner_stride, int column_stride) {
  const int begin = get_global_id(0) * BLOCK;
  const int end = min(begin + BLOCK, inner);
  const int first = get_global_id(1) * PANEL;
  panels += (size_t)get_global_id(1) * inner * PANEL;
  for (int i = begin; i < end; ++i)
    for (int c = 0; c < PANEL; ++c) {
      const int column = first + c;
      const float value = column < columns ? source[(size_t)i * inner_stride + (size_t)column * column_stride] : 0.0f;
      STORE_STORED(value, panels + (size_t)i * PANEL + c);
    }
}

// From the panels of the transposed matrix: with T = B^T, whose panels are `transposed` (T is columns x inner here),
//   B[i][j] = T[j][i] = transposed[i / PANEL][j][i % PANEL]
kernel void pack_transposed(const global stored *transposed, global stored *panels, int inner, int columns) {
  const int begin = get_global_id(0) * BLOCK;
  const int end = min(begin + BLOCK, inner);
  const int first = get_global_id(1) * PANEL;
  panels += (size_t)get_global_id(1) * inner * PANEL;
  for (int i = begin; i < end; ++i) {
    const global stored *strip = transposed + (size_t)(i / PANEL) * columns * PANEL + i % PANEL;
    for (int c = 0; c < PANEL; ++c)
      panels[(size_t)i * PANEL + c] = first + c < columns ? strip[(size_t)(first + c) * PANEL] : 0;
  }
}

// target[j][i] = source[i][j] for a small row-major source (rows, columns). One work-item a row of the target.
kernel void transpose(const global float *source, global float *target, int rows, int columns) {
  const int j = get_global_id(0);
  if (j >= columns) return;
  for (int i = 0; i < rows; ++i) target[(size_t)j * rows + i] = source[(size_t)i * columns + j];
}
