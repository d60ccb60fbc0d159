// Small matrices, each on its own: y (matrices, columns, rows) = x (matrices, rows, columns), transposed.
// Work-item i writes elements [i * per_item, (i + 1) * per_item) of y.
kernel void transpose_matrices(const global float *x, global float *y, int rows, int columns, int count,
                               int per_item) {
  const int end = min((int)(get_global_id(0) + 1) * per_item, count);
  for (int e = get_global_id(0) * per_item; e < end; ++e) {
    const int matrix = e / (rows * columns), inside = e % (rows * columns);
    y[e] = x[matrix * rows * columns + inside % rows * columns + inside / rows];
  }
}
