// Small matrices, each on its own: y (matrices, columns, rows) = x (matrices, rows, columns), transposed.
#if LANES == 1
// Work-item i writes elements [i * per_item, (i + 1) * per_item) of y.
kernel void transpose_matrices(const global float *x, global float *y, int rows, int columns, int count,
                               int per_item) {
  const int begin = get_global_id(0) * per_item;
  const int end = min(begin + per_item, count);
  const int size = rows * columns;
  int matrix = begin / size, column = begin % size / rows, row = begin % rows;
  for (int e = begin; e < end; ++e) {
    y[e] = x[matrix * size + row * columns + column];
    if (++row < rows) continue;
    row = 0;
    if (++column < columns) continue;
    column = 0;
    ++matrix;
  }
}
#else
// Group (column / LANES, row / LANES, matrix) turns a square tile in local memory, so that reads and writes both run along
// rows. An odd distance keeps its columns in different banks.
kernel void transpose_matrices(const global float *x, global float *y, int rows, int columns, int count,
                               int per_item) {
  local float tile[LANES][LANES + 1];
  const int left = get_group_id(0) * LANES, top = get_group_id(1) * LANES;
  const size_t first = (size_t)get_group_id(2) * rows * columns;
  for (int r = TEAM; r < LANES; r += TEAMS)
    if (top + r < rows && left + LANE < columns)
      tile[r][LANE] = x[first + (size_t)(top + r) * columns + left + LANE];
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int r = TEAM; r < LANES; r += TEAMS)
    if (left + r < columns && top + LANE < rows) y[first + (size_t)(left + r) * rows + top + LANE] = tile[LANE][r];
}
#endif
