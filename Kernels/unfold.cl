// The neighbourhood of every cell of a token grid, side by side, so that a full convolution is one linear layer:
//   y[b, F + i*width + j, c*SIDE*SIDE + u*SIDE + v] = x[b, F + (i+u-R)*width + j+v-R, c],   R = SIDE / 2,
// zero outside the grid. Each of the F = `front` tokens ahead of it is an image of one cell: its centre tap alone is not
// zero. x (batch, tokens, channels), y (batch, tokens, channels*SIDE*SIDE), tokens = F + height*width, row-major. Item i
// of dimension 0 works on tokens [i * per_item, (i + 1) * per_item) of the batch with its group: LANES items share each.
//
// SIDE  side of the neighbourhood, in cells. Odd. Default 3.
// ADD   defined: sum_so_far, of x's shape, is added to the gradient.

#ifndef SIDE
#define SIDE 3
#endif
#define R (SIDE / 2)
#define TAPS (SIDE * SIDE)

#define FOR_ROWS(row)                                     \
  const int first_row_ = get_group_id(0) * per_item;       \
  const int end_row_ = min(first_row_ + per_item, rows);   \
  for (int row = first_row_; row < end_row_; ++row)

kernel void unfold(const global float *x, global float *y, int front, int height, int width, int channels,
                   int rows, int per_item) {
  const int tokens = front + height * width;
  FOR_ROWS(row) {
    const int token = row % tokens;
    const int i = (token - front) / width;
    const int j = (token - front) % width;
    for (int c = LANE; c < channels; c += LANES) {
      const global float *from = x + (size_t)row * channels + c;
      global float *to = y + ((size_t)row * channels + c) * TAPS;
      for (int u = -R; u <= R; ++u) {
        for (int v = -R; v <= R; ++v) {
          const int is_inside = token < front ? u == 0 && v == 0
                                              : i + u >= 0 && i + u < height && j + v >= 0 && j + v < width;
          to[(u + R) * SIDE + v + R] = is_inside ? from[(u * width + v) * channels] : 0.0f;
        }
      }
    }
  }
}

// The gradient, gathered: dx[b, cell, c] = sum over taps (u, v) of dy[b, cell - (u, v), c, tap] [+ sum_so_far].
kernel void unfold_backward(const global float *dy, const global float *sum_so_far, global float *dx, int front,
                            int height, int width, int channels, int rows, int per_item) {
  const int tokens = front + height * width;
  FOR_ROWS(row) {
    const int token = row % tokens;
    const int i = (token - front) / width;
    const int j = (token - front) % width;
    for (int c = LANE; c < channels; c += LANES) {
      const global float *from = dy + ((size_t)row * channels + c) * TAPS;
      float sum = 0.0f;
      for (int u = -R; u <= R; ++u) {
        for (int v = -R; v <= R; ++v) {
          const int is_inside = token < front ? u == 0 && v == 0
                                              : i - u >= 0 && i - u < height && j - v >= 0 && j - v < width;
          if (is_inside) sum += from[-(u * width + v) * channels * TAPS + (u + R) * SIDE + v + R];
        }
      }
#ifdef ADD
      sum += sum_so_far[(size_t)row * channels + c];
#endif
      dx[(size_t)row * channels + c] = sum;
    }
  }
}
