// A narrower matrix d (rows, count) and a range of columns of a wider one, x (rows, width).
//
// Item i of dimension 0 works on rows [i * per_item, (i + 1) * per_item) together with its group: LANES items share
// each row.


inline void copy_row(const global float *from, global float *to, int count) {
  const int whole = count / 16 * 16;
  for (int i = LANE * 16; i < whole; i += LANES * 16) VSTORE(VLOAD(from + i), to + i);
  for (int i = whole + LANE; i < count; i += LANES) to[i] = from[i];
}

// y = x; y[:, from : from + count] += scale * d.
kernel void add_columns(const global float *x, const global float *d, global float *y, float scale, int width, int from,
                        int count, int rows, int per_item) {
  const int end = min((int)(get_group_id(0) + 1) * per_item, rows);
  const int whole = count / 16 * 16;
  for (int row = get_group_id(0) * per_item; row < end; ++row) {
    const global float *source = x + (size_t)row * width;
    const global float *added = d + (size_t)row * count;
    global float *to = y + (size_t)row * width;
    copy_row(source, to, from);
    copy_row(source + from + count, to + from + count, width - from - count);
    source += from;
    to += from;
    for (int i = LANE * 16; i < whole; i += LANES * 16)
      VSTORE(VLOAD(source + i) + scale * VLOAD(added + i), to + i);
    for (int i = whole + LANE; i < count; i += LANES) to[i] = source[i] + scale * added[i];
  }
}

// The gradient of d: dd = scale * dy[:, from : from + count].
kernel void add_columns_backward(const global float *dy, global float *dd, float scale, int width, int from, int count,
                                 int rows, int per_item) {
  const int end = min((int)(get_group_id(0) + 1) * per_item, rows);
  const int whole = count / 16 * 16;
  for (int row = get_group_id(0) * per_item; row < end; ++row) {
    const global float *source = dy + (size_t)row * width + from;
    global float *to = dd + (size_t)row * count;
    for (int i = LANE * 16; i < whole; i += LANES * 16) VSTORE(scale * VLOAD(source + i), to + i);
    for (int i = whole + LANE; i < count; i += LANES) to[i] = scale * source[i];
  }
}
