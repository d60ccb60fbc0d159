// Images to the rows that the patch projection multiplies:
//   y[(image, patch row, patch column), (channel, row, column)] = (pixel / 255 - mean[channel]) / std[channel]
// so that a weight (width, 3, side, side), flattened, is the right-hand side as it stands. Strip s is one pixel row
// of one channel of one patch: `side` consecutive outputs. On a CPU item i writes strips [i * per_item, (i + 1) * per_item);
// elsewhere group g writes per_item elements, its LANES items a run each (common.cl).
//
// FLOATS  defined: images are floats (images, 3, height, width), already normalised; otherwise bytes (images,
//         height, width, 3), and scale, offset are 1 / (255 std) and -mean / std of red, green, blue.

#ifdef FLOATS
#define PIXEL float
#else
#define PIXEL uchar
#endif

#if LANES == 1
// The strips of an item. Inlined into calls whose side is a constant, so that the inner loop is vectors: a third faster.
static inline __attribute__((always_inline)) void extract(const global PIXEL *images, global float *y, int height,
                                                          int width, float scale0, float scale1, float scale2,
                                                          float offset0, float offset1, float offset2, int side,
                                                          int strips, int per_item) {
  const int begin = get_global_id(0) * per_item;
  const int end = min(begin + per_item, strips);
  const int across = width / side;
  const int down = height / side;
  for (int strip = begin; strip < end; ++strip) {
    const int row = strip % side;
    const int channel = strip / side % 3;
    const int patch = strip / (3 * side);
    const int image = patch / (across * down);
    const int pixel_row = patch / across % down * side + row;
    const int pixel_column = patch % across * side;
    global float *to = y + (size_t)strip * side;
#ifdef FLOATS
    const global float *from = images + (((size_t)image * 3 + channel) * height + pixel_row) * width + pixel_column;
    for (int i = 0; i < side; ++i) to[i] = from[i];
#else
    const float scale = channel == 0 ? scale0 : channel == 1 ? scale1 : scale2;
    const float offset = channel == 0 ? offset0 : channel == 1 ? offset1 : offset2;
    const global uchar *from = images + (((size_t)image * height + pixel_row) * width + pixel_column) * 3 + channel;
    for (int i = 0; i < side; ++i) to[i] = fma((float)from[3 * i], scale, offset);
#endif
  }
}

kernel void extract_patches(const global PIXEL *images, global float *y, int height, int width, float scale0,
                            float scale1, float scale2, float offset0, float offset1, float offset2, int side,
                            int strips, int per_item) {
#define EXTRACT(side) \
  extract(images, y, height, width, scale0, scale1, scale2, offset0, offset1, offset2, (side), strips, per_item)
  if (side == 14) EXTRACT(14);
  else if (side == 16) EXTRACT(16);
  else EXTRACT(side);
}
#else
kernel void extract_patches(const global PIXEL *images, global float *y, int height, int width, float scale0,
                            float scale1, float scale2, float offset0, float offset1, float offset2, int side,
                            int strips, int per_item) {
  const int across = width / side;
  const int down = height / side;
  const int begin = get_group_id(0) * per_item;
  const int end = min(begin + per_item, strips * side);
  // A run lies in one strip, or none does.
  const int count = side % RUN == 0 ? RUN : 1;
  for (int e = begin + LANE * count; e < end; e += LANES * count) {
    const int strip = e / side;
    const int row = strip % side;
    const int channel = strip / side % 3;
    const int patch = strip / (3 * side);
    const int image = patch / (across * down);
    const int pixel_row = patch / across % down * side + row;
    const int pixel_column = patch % across * side + e % side;
#ifdef FLOATS
#define PIXEL_AT(i) from[i]
    const global float *from = images + (((size_t)image * 3 + channel) * height + pixel_row) * width + pixel_column;
#else
#define PIXEL_AT(i) fma((float)from[3 * (i)], scale, offset)
    const float scale = channel == 0 ? scale0 : channel == 1 ? scale1 : scale2;
    const float offset = channel == 0 ? offset0 : channel == 1 ? offset1 : offset2;
    const global uchar *from = images + (((size_t)image * height + pixel_row) * width + pixel_column) * 3 + channel;
#endif
    if (count == RUN)
      STORER((float4)(PIXEL_AT(0), PIXEL_AT(1), PIXEL_AT(2), PIXEL_AT(3)), y + e);
    else
      y[e] = PIXEL_AT(0);
  }
}
#endif
