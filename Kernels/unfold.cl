// The neighbourhood of every cell of a token grid, side by side, so that a full convolution is one linear layer:
//   y[b, F + i*width + j, c*SIDE*SIDE + u*SIDE + v] = x[b, F + (i+u-R)*width + j+v-R, c],   R = SIDE / 2,
// zero outside the grid. Each of the F = `front` tokens ahead of it is an image of one cell: its centre tap alone is not
// zero. x (batch, tokens, channels), y (batch, tokens, channels*SIDE*SIDE), tokens = F + height*width, row-major. See
// FOR_ROWS in common.cl; a row is a token.
//
// SIDE  side of the neighbourhood, in cells. Odd. Default 3.
// PARTS and more of common.cl's last step: sum_so_far, of x's shape, and what x was made by, past which the gradient goes.

#ifndef SIDE
#define SIDE 3
#endif
#define R (SIDE / 2)
#define TAPS (SIDE * SIDE)

kernel void unfold(const global float *x, global float *y, int front, int height, int width, int channels,
                   int rows, int per_item) {
  const int tokens = front + height * width;
  FOR_ROWS(row) {
    const int token = row % tokens;
    const int i = (token - front) / width;
    const int j = (token - front) % width;
#if LANES > 1
    // Neighbours write neighbours; what they read of a cell others of the group read the rest of.
    for (int e = LANE; e < channels * TAPS; e += LANES) {
      const int u = e % TAPS / SIDE - R;
      const int v = e % SIDE - R;
      const int is_inside = token < front ? u == 0 && v == 0
                                          : i + u >= 0 && i + u < height && j + v >= 0 && j + v < width;
      const global float *from = x + (size_t)row * channels + e / TAPS;
      y[(size_t)row * channels * TAPS + e] = is_inside ? from[(u * width + v) * channels] : 0.0f;
    }
#else
    for (int c = 0; c < channels; ++c) {
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
#endif
  }
}

// The gradient, gathered: dx[b, cell, c] = sum over taps (u, v) of dy[b, cell - (u, v), c, tap] [+ sum_so_far].
#if LANES == 1
kernel void unfold_backward(const global float *dy, global float *dx, const global float *bias,
                            const global float *sum_so_far, global float *pre, int front, int height, int width,
                            int channels, int rows, int per_item DROP_PARAMETERS) {
  const int tokens = front + height * width;
  FOR_ROWS(row) {
    const int token = row % tokens;
    const int i = (token - front) / width;
    const int j = (token - front) % width;
    for (int c = 0; c < channels; ++c) {
      const global float *from = dy + ((size_t)row * channels + c) * TAPS;
      float sum = 0.0f;
      for (int u = -R; u <= R; ++u) {
        for (int v = -R; v <= R; ++v) {
          const int is_inside = token < front ? u == 0 && v == 0
                                              : i - u >= 0 && i - u < height && j - v >= 0 && j - v < width;
          if (is_inside) sum += from[-(u * width + v) * channels * TAPS + (u + R) * SIDE + v + R];
        }
      }
      finish1(sum, (size_t)row * channels + c, c, dx, bias, sum_so_far, pre, PARTS DROP_ARGUMENTS);
    }
  }
}
#else
// Group (block, channels / LANES): LANES channels of TEAMS neighbouring cells, whose taps come through local memory.
kernel void unfold_backward(const global float *dy, global float *dx, const global float *bias,
                            const global float *sum_so_far, global float *pre, int front, int height, int width,
                            int channels, int rows, int per_item DROP_PARAMETERS) {
  local float near[(TEAMS + 2 * R) * LANES * TAPS];
  const int tokens = front + height * width;
  const int across = (width + TEAMS - 1) / TEAMS;
  const int ahead = (front + TEAMS - 1) / TEAMS;
  // Blocks of an image: first those of its front, a row of cells without neighbours, then those of the grid's rows.
  const int block = get_group_id(0) % (ahead + height * across);
  const int image = get_group_id(0) / (ahead + height * across);
  const int is_front = block < ahead;
  const int i = is_front ? 0 : (block - ahead) / across;
  const int left = (is_front ? block : (block - ahead) % across) * TEAMS;
  const int span = is_front ? front : width;
  const int first = get_group_id(1) * LANES;
  const size_t row = (size_t)image * tokens + (is_front ? 0 : front + i * width);
  const int reach = is_front ? 0 : R;
  float sum = 0.0f;
  for (int u = -reach; u <= reach; ++u) {
    const int is_row = is_front || (i - u >= 0 && i - u < height);
    const global float *from = dy + ((row - u * width) * channels + first) * TAPS;
    // What LANES channels of the cells around received lies in one stretch a cell.
    for (int e = TEAM * LANES + LANE; e < (TEAMS + 2 * R) * LANES * TAPS; e += TEAMS * LANES) {
      const int cell = left - R + e / (LANES * TAPS);
      const int at = e % (LANES * TAPS);
      const int is_inside = is_row && cell >= 0 && cell < span && at < (channels - first) * TAPS;
      near[e] = is_inside ? from[cell * channels * TAPS + at] : 0.0f;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int v = -reach; v <= reach; ++v)
      sum += near[((TEAM + R - v) * LANES + LANE) * TAPS + (u + R) * SIDE + v + R];
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  const int c = first + LANE;
  if (left + TEAM >= span || c >= channels) return;
  const size_t at = (row + left + TEAM) * channels + c;
  finish1(sum, at, c, dx, bias, sum_so_far, pre, PARTS DROP_ARGUMENTS);
}
#endif
