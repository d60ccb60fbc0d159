// Small matrices, each on its own: y (matrices, columns, rows) = x (matrices, rows, columns), transposed.
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
