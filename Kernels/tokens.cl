// Joining and cutting token sequences along the token axis. A sequence is (batch, tokens, width), row-major; a "row"
// below is one token of one image, of the result where nothing else is said. See FOR_ROWS in common.cl.
//
// parts, a sum  1: position (a_tokens + b_tokens, width) is added to every image. 2: sum_so_far, of the result's shape,
//               is added. 4, 8: a, b is zero (a part whose gradient nobody asked for). An argument and no macro: this
//               runs at the speed of memory, and each program would take its time to compile.

// y = [a | b] along the tokens. a_stride and b_stride: floats from one image's part to the next one's; 0 where all
// images share the part (a class token, prompts).
kernel void join_tokens(const global float *a, const global float *b, const global float *position,
                        const global float *sum_so_far, global float *y, int a_tokens, int b_tokens, int a_stride,
                        int b_stride, int width, int rows, int per_item, int parts) {
  const int tokens = a_tokens + b_tokens;
  const int whole = WHOLE_RUNS(width, 0);
  FOR_ROWS(row) {
    const int image = row / tokens;
    const int token = row % tokens;
    const int is_a = token < a_tokens;
    const global float *from = is_a ? a + (size_t)image * a_stride + (size_t)token * width
                                    : b + (size_t)image * b_stride + (size_t)(token - a_tokens) * width;
    const global float *place = position + (size_t)token * width;
    const global float *sum = sum_so_far + (size_t)row * width;
    global float *to = y + (size_t)row * width;
    const int is_zero = parts & (is_a ? 4 : 8);
    FOR_RUNS(i, whole) {
      floatr v = 0.0f;
      if (!is_zero) v = LOADR(from + i);
      if (parts & 1) v += LOADR(place + i);
      if (parts & 2) v += LOADR(sum + i);
      STORER(v, to + i);
    }
    FOR_REST(i, whole, width) {
      float v = is_zero ? 0.0f : from[i];
      if (parts & 1) v += place[i];
      if (parts & 2) v += sum[i];
      to[i] = v;
    }
  }
}

// y (batch, count, width) = x[:, from : from + count], x of `tokens` tokens.
kernel void slice_tokens(const global float *x, global float *y, int tokens, int from, int count, int width, int rows,
                         int per_item) {
  const int whole = WHOLE_RUNS(width, 0);
  FOR_ROWS(row) {
    const global float *source = x + ((size_t)(row / count) * tokens + from + row % count) * width;
    global float *to = y + (size_t)row * width;
    FOR_RUNS(i, whole) STORER(LOADR(source + i), to + i);
    FOR_REST(i, whole, width) to[i] = source[i];
  }
}

// The gradient of slice_tokens: dx (batch, tokens, width) is dy in the slice and zero elsewhere [+ sum_so_far].
kernel void slice_tokens_backward(const global float *dy, const global float *sum_so_far, global float *dx, int tokens,
                                  int from, int count, int width, int rows, int per_item,
                                  int parts) {
  const int whole = WHOLE_RUNS(width, 0);
  FOR_ROWS(row) {
    const int token = row % tokens - from;
    const int is_inside = token >= 0 && token < count;
    const global float *source = dy + (is_inside ? ((size_t)(row / tokens) * count + token) * width : 0);
    const global float *sum = sum_so_far + (size_t)row * width;
    global float *to = dx + (size_t)row * width;
    FOR_RUNS(i, whole) {
      floatr v = 0.0f;
      if (is_inside) v = LOADR(source + i);
      if (parts & 2) v += LOADR(sum + i);
      STORER(v, to + i);
    }
    FOR_REST(i, whole, width) {
      float v = is_inside ? source[i] : 0.0f;
      if (parts & 2) v += sum[i];
      to[i] = v;
    }
  }
}

// The gradient of a part that all images share: da[t, i] = sum over images of dy[image, from + t, i], image by image.
// Item (i, t): column i of token t; neighbours read neighbours.
kernel void sum_tokens_over_images(const global float *dy, global float *da, int tokens, int from, int count, int width,
                                   int batch) {
  const int column = get_global_id(0);
  const int token = get_global_id(1);
  if (column >= width || token >= count) return;
  float sum = 0.0f;
  for (int image = 0; image < batch; ++image)
    sum += dy[((size_t)image * tokens + from + token) * width + column];
  da[(size_t)token * width + column] = sum;
}

// y[image] = x[indices[image]]: some images of a batch, in the order of their indices. Rows are those of y.
kernel void gather_images(const global float *x, const global int *indices, global float *y, int tokens, int width,
                          int rows, int per_item) {
  const int whole = WHOLE_RUNS(width, 0);
  FOR_ROWS(row) {
    const global float *from = x + ((size_t)indices[row / tokens] * tokens + row % tokens) * width;
    global float *to = y + (size_t)row * width;
    FOR_RUNS(i, whole) STORER(LOADR(from + i), to + i);
    FOR_REST(i, whole, width) to[i] = from[i];
  }
}

// y (batch, width) = the mean of x[:, front : tokens].
#if LANES == 1
// Token after token. Item (k, image): columns [k * per_item, (k + 1) * per_item), at most 64 of them.
kernel void mean_tokens(const global float *x, global float *y, int tokens, int front, int width, int per_item) {
  const int begin = get_global_id(0) * per_item;
  const int count = min(per_item, width - begin);
  if (count <= 0) return;
  const float share = 1.0f / (tokens - front);
  x += ((size_t)get_global_id(1) * tokens + front) * width + begin;
  y += (size_t)get_global_id(1) * width + begin;
  if (count == 64) {
    float16 a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
    for (int token = front; token < tokens; ++token, x += width) {
      a += VLOAD(x);
      b += VLOAD(x + 16);
      c += VLOAD(x + 32);
      d += VLOAD(x + 48);
    }
    VSTORE(share * a, y);
    VSTORE(share * b, y + 16);
    VSTORE(share * c, y + 32);
    VSTORE(share * d, y + 48);
    return;
  }
  for (int i = 0; i < count; ++i) {
    float sum = 0.0f;
    for (int token = front; token < tokens; ++token) sum += x[(size_t)(token - front) * width + i];
    y[i] = share * sum;
  }
}
#else
// Group (k, image): columns [k * LANES, (k + 1) * LANES). Each team adds up every TEAMS-th token, and the teams' sums are
// joined as a tree.
kernel void mean_tokens(const global float *x, global float *y, int tokens, int front, int width, int per_item) {
  local float sums[TEAMS * LANES];
  const int column = get_group_id(0) * LANES + LANE;
  x += (size_t)get_group_id(1) * tokens * width + min(column, width - 1);
  float sum = 0.0f;
  for (int token = front + TEAM; token < tokens; token += TEAMS) sum += x[(size_t)token * width];
  sum = TEAMS_SUM(sum, sums);
  if (TEAM == 0 && column < width) y[(size_t)get_group_id(1) * width + column] = sum / (tokens - front);
}
#endif

// The gradient of mean_tokens: dx (batch, tokens, width) is dy / (tokens - front) behind the front and zero in it
// [+ sum_so_far].
kernel void mean_tokens_backward(const global float *dy, const global float *sum_so_far, global float *dx, int tokens,
                                 int front, int width, int rows, int per_item, int parts) {
  const int whole = WHOLE_RUNS(width, 0);
  const float share = 1.0f / (tokens - front);
  FOR_ROWS(row) {
    const float factor = row % tokens < front ? 0.0f : share;
    const global float *source = dy + (size_t)(row / tokens) * width;
    const global float *sum = sum_so_far + (size_t)row * width;
    global float *to = dx + (size_t)row * width;
    FOR_RUNS(i, whole) {
      floatr v = factor * LOADR(source + i);
      if (parts & 2) v += LOADR(sum + i);
      STORER(v, to + i);
    }
    FOR_REST(i, whole, width) {
      float v = factor * source[i];
      if (parts & 2) v += sum[i];
      to[i] = v;
    }
  }
}
