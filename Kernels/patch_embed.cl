// Images to the rows that the patch projection multiplies:
//   y[(image, patch row, patch column), (channel, row, column)] = (pixel / 255 - mean[channel]) / std[channel]
// so that a weight (width, 3, PATCH, PATCH), flattened, is the right-hand side as it stands. Strip s is one pixel row
// of one channel of one patch: PATCH consecutive outputs. Item i writes strips [i * per_item, (i + 1) * per_item).
//
// PATCH   side of a patch, in pixels. Default 16.
// FLOATS  defined: images are floats (images, 3, height, width), already normalised; otherwise bytes (images,
//         height, width, 3), and scale, offset are 1 / (255 std) and -mean / std of red, green, blue.

#ifndef PATCH
#define PATCH 16
#endif

#ifdef FLOATS
#define PIXEL float
#else
#define PIXEL uchar
#endif

kernel void extract_patches(const global PIXEL *images, global float *y, int height, int width, float scale0,
                            float scale1, float scale2, float offset0, float offset1, float offset2, int strips,
                            int per_item) {
  const int begin = get_global_id(0) * per_item;
  const int end = min(begin + per_item, strips);
  const int across = width / PATCH;
  const int down = height / PATCH;
  for (int strip = begin; strip < end; ++strip) {
    const int row = strip % PATCH;
    const int channel = strip / PATCH % 3;
    const int patch = strip / (3 * PATCH);
    const int image = patch / (across * down);
    const int pixel_row = patch / across % down * PATCH + row;
    const int pixel_column = patch % across * PATCH;
    global float *to = y + (size_t)strip * PATCH;
#ifdef FLOATS
    const global float *from = images + (((size_t)image * 3 + channel) * height + pixel_row) * width + pixel_column;
    for (int i = 0; i < PATCH; ++i) to[i] = from[i];
#else
    const float scale = channel == 0 ? scale0 : channel == 1 ? scale1 : scale2;
    const float offset = channel == 0 ? offset0 : channel == 1 ? offset1 : offset2;
    const global uchar *from = images + (((size_t)image * height + pixel_row) * width + pixel_column) * 3 + channel;
    for (int i = 0; i < PATCH; ++i) to[i] = fma((float)from[3 * i], scale, offset);
#endif
  }
}
