// Depth-wise convolution, channels last, zero padding outside:
//   y[b,i,j,c] = bias[c] + sum_{u,v} weight[c,u,v] * x[b, i*STRIDE+u-padding, j*STRIDE+v-padding, c]
// x (batch, front + height*width, channels), y (batch, front + out_height*out_width, channels): `front` rows ahead of each
// image's grid (class token, registers) are copied as they are.
//
// SIDE    side of the square kernel, in pixels. Odd. Default 3.
// STRIDE  pixels between neighbouring outputs. Default 1.
// PADDED  0 where no tap ever leaves the image, which drops all checks. Default 1.
// ROWS, COLUMNS  output pixels of a tile, which shares taps and pixels in registers; at most the output's size.
//         Default 1, 1.
// VEC     channels of a pass; ALIGNED where they always begin at a multiple of it; see common.cl.
// TAP_ROWS  rows of the kernel whose gradient an item computes: all (SIDE), or 1 where that many sums fit no register
//         file, and the others' are a third dimension's. Default SIDE.
// SPREAD  defined: items share a strip's tiles, as a third dimension. Otherwise one item has them all.

#ifndef SIDE
#define SIDE 3
#endif
#ifndef STRIDE
#define STRIDE 1
#endif
#ifndef PADDED
#define PADDED 1
#endif
#ifndef ROWS
#define ROWS 1
#endif
#ifndef COLUMNS
#define COLUMNS 1
#endif
#ifndef TAP_ROWS
#define TAP_ROWS SIDE
#endif

#define TAPS (SIDE * SIDE)
#if SIDE > 3 && !defined(SPREAD)
// So many taps fit no register file: unrolled they only take long to compile.
#undef UNROLL
#define UNROLL
#endif
// Before the loop over the lines of pixels that a tile looks at: where ROWS is 1 no register is named by it.
#if SIDE > 3 && defined(SPREAD)
#define LINES COMPACT
#else
#define LINES UNROLL
#endif

// Input pixels down and along that a tile of outputs looks at.
#define ROW_SPAN ((ROWS - 1) * STRIDE + SIDE)
#define COLUMN_SPAN ((COLUMNS - 1) * STRIDE + SIDE)

// taps (SIDE*SIDE, channels) is the weight (channels, SIDE, SIDE) transposed, so that a tap of neighbouring channels is
// one load.

// Rows ahead of the grid pass unchanged. The items of an image's first rows do it.
static inline void pass_front(const global float *x, const global float *sum, global float *y, int count,
                              int adds) {
  for (int c = get_global_id(0) * VEC; c < count; c += get_global_size(0) * VEC) {
    floatv v = LOADV(x + c);
    if (adds) v += LOADV(sum + c);
    STOREV(v, y + c);
  }
}

// ROWS x COLUMNS outputs, all channels. x points at the image's grid, y and sum at the tile's first output, row and
// column at its first input. The sums start from the bias or, where is_flipped, from sum, if `starts`. is_checked and
// is_flipped are constants at every call.
static inline __attribute__((always_inline)) void tile(const global float *x, const global float *taps,
                                                       const global float *bias, const global float *sum,
                                                       global float *y, int row, int column, int height,
                                                       int width, int out_width, int channels, int starts,
                                                       int is_checked, int is_flipped) {
  for (int c = get_global_id(0) * VEC; c < channels; c += get_global_size(0) * VEC) {
    floatv sums[ROWS][COLUMNS];
    UNROLL for (int i = 0; i < ROWS; ++i) {
      UNROLL for (int j = 0; j < COLUMNS; ++j) {
        sums[i][j] = (floatv)(0.0f);
        if (starts) sums[i][j] = is_flipped ? LOADV(sum + (i * out_width + j) * channels + c) : LOADV(bias + c);
      }
    }
    LINES for (int s = 0; s < ROW_SPAN; ++s) {
      if (is_checked && (row + s < 0 || row + s >= height)) continue;
      const global float *line = x + ((row + s) * width + column) * channels + c;
      floatv pixels[COLUMN_SPAN];
      UNROLL for (int j = 0; j < COLUMN_SPAN; ++j)
        pixels[j] = is_checked && (column + j < 0 || column + j >= width) ? (floatv)(0.0f)
                                                                          : LOADV(line + j * channels);
      UNROLL for (int i = 0; i < ROWS; ++i) {
        const int u = s - i * STRIDE;
        if (u < 0 || u >= SIDE) continue;
        UNROLL for (int v = 0; v < SIDE; ++v) {
          const int tap = is_flipped ? TAPS - 1 - (u * SIDE + v) : u * SIDE + v;
          const floatv w = LOADV(taps + tap * channels + c);
          UNROLL for (int j = 0; j < COLUMNS; ++j) sums[i][j] += w * pixels[j * STRIDE + v];
        }
      }
    }
    UNROLL for (int i = 0; i < ROWS; ++i)
      UNROLL for (int j = 0; j < COLUMNS; ++j) STOREV(sums[i][j], y + (i * out_width + j) * channels + c);
  }
}

#ifdef SPREAD
#define FIRST_TILE ((int)get_global_id(2))
#define TILES ((int)get_global_size(2))
#else
#define FIRST_TILE 0
#define TILES 1
#endif

// A strip is ROWS output rows of an image. The last one, and the last tile of each, is moved back to end with the
// image; what it shares with its neighbour it computes again.
#define STRIPS(height) (((height) + ROWS - 1) / ROWS)

static inline __attribute__((always_inline)) void strip(const global float *x, const global float *taps,
                                                        const global float *bias, const global float *sum,
                                                        global float *y, int images, int height, int width,
                                                        int out_height, int out_width, int channels, int padding,
                                                        int front, int starts, int is_flipped) {
  const int image = get_global_id(1) / STRIPS(out_height);
  const int i = min((int)get_global_id(1) % STRIPS(out_height) * ROWS, out_height - ROWS);
  if (image >= images) return;
  const size_t in_offset = (size_t)image * (front + height * width) * channels;
  const size_t out_offset = (size_t)image * (front + out_height * out_width) * channels;
  if (i == 0 && FIRST_TILE == 0)
    pass_front(x + in_offset, sum + out_offset, y + out_offset, front * channels, is_flipped && starts);
  x += in_offset + front * channels;
  y += out_offset + (front + i * out_width) * channels;
  sum += out_offset + (front + i * out_width) * channels;
  const int row = i * STRIDE - padding;
  for (int begin = FIRST_TILE * COLUMNS; begin < out_width; begin += TILES * COLUMNS) {
    const int j = min(begin, out_width - COLUMNS);
    const int column = j * STRIDE - padding;
#if PADDED
    if (row < 0 || row + ROW_SPAN > height || column < 0 || column + COLUMN_SPAN > width) {
      tile(x, taps, bias, sum + j * channels, y + j * channels, row, column, height, width, out_width, channels,
           starts, 1, is_flipped);
      continue;
    }
#endif
    tile(x, taps, bias, sum + j * channels, y + j * channels, row, column, height, width, out_width, channels,
         starts, 0, is_flipped);
  }
}

// Item (l, b * STRIPS + s): strip s of image b, every get_global_size(0)-th chunk of VEC channels from chunk l.
WAVE_KERNEL void depthwise_forward(const global float *x, const global float *taps, const global float *bias,
                              global float *y, int images, int height, int width, int out_height, int out_width,
                              int channels, int padding, int front, int has_bias) {
  strip(x, taps, bias, y, y, images, height, width, out_height, out_width, channels, padding, front, has_bias, 0);
}

// dx[b,p,q,c] = sum_{u,v} weight[c,u,v] * dy[b, (p+padding-u)/STRIDE, (q+padding-v)/STRIDE, c] where the division is
// exact and dy exists [+ sum_so_far, what x received elsewhere, where `adds`]. height and width are dx's, out_height and
// out_width dy's.
// At stride 1 it is the convolution of dy with the flipped kernel, item (l, b * STRIPS + s) as above; else item
// (l, b * height + p) computes row p.
WAVE_KERNEL void depthwise_input_gradient(const global float *dy, const global float *taps,
                                     const global float *sum_so_far, global float *dx, int images, int height,
                                     int width, int out_height, int out_width, int channels, int padding, int front,
                                     int adds) {
#if STRIDE == 1
  strip(dy, taps, taps, sum_so_far, dx, images, out_height, out_width, height, width, channels,
        SIDE - 1 - padding, front, adds, 1);
#else
  const int image = get_global_id(1) / height;
  const int p = get_global_id(1) % height;
  if (image >= images) return;
  const size_t in_offset = (size_t)image * (front + height * width) * channels;
  const size_t out_offset = (size_t)image * (front + out_height * out_width) * channels;
  if (p == 0 && FIRST_TILE == 0) pass_front(dy + out_offset, sum_so_far + in_offset, dx + in_offset, front * channels, adds);
  dy += out_offset + front * channels;
  for (int q = FIRST_TILE; q < width; q += TILES) {
    const size_t pixel = in_offset + (front + p * width + q) * channels;
    for (int c = get_global_id(0) * VEC; c < channels; c += get_global_size(0) * VEC) {
      floatv sum = (floatv)(0.0f);
      if (adds) sum = LOADV(sum_so_far + pixel + c);
      UNROLL for (int u = 0; u < SIDE; ++u) {
        const int i = p + padding - u;
        if (i < 0 || i % STRIDE != 0 || i / STRIDE >= out_height) continue;
        UNROLL for (int v = 0; v < SIDE; ++v) {
          const int j = q + padding - v;
          if (j < 0 || j % STRIDE != 0 || j / STRIDE >= out_width) continue;
          sum += LOADV(taps + (u * SIDE + v) * channels + c) *
                 LOADV(dy + (i / STRIDE * out_width + j / STRIDE) * channels + c);
        }
      }
      STOREV(sum, dx + pixel + c);
    }
  }
#endif
}

#if TAP_ROWS < SIDE
// A tile's part in the sums of one row of taps: to each line of outputs belongs one line of pixels. x points at the image's
// grid, dy at the tile's first output, row and column at its first pixel; its outputs from (top, left) on have not been
// counted. is_checked is a constant at every call.
static inline __attribute__((always_inline)) void add_tile(floatv sums[SIDE + 1], const global float *x,
                                                           const global float *dy, int row, int column, int top,
                                                           int left, int height, int width, int out_width,
                                                           int channels, int is_checked) {
  UNROLL for (int i = 0; i < ROWS; ++i) {
    if (is_checked && i < top) continue;
    floatv g[COLUMNS];
    UNROLL for (int j = 0; j < COLUMNS; ++j) {
      g[j] = is_checked && j < left ? (floatv)(0.0f) : LOADV(dy + (i * out_width + j) * channels);
      sums[SIDE] += g[j];
    }
    const int s = row + i * STRIDE;
    if (is_checked && (s < 0 || s >= height)) continue;
    const global float *line = x + (s * width + column) * channels;
    floatv pixels[COLUMN_SPAN];
    UNROLL for (int j = 0; j < COLUMN_SPAN; ++j)
      pixels[j] = is_checked && (column + j < 0 || column + j >= width) ? (floatv)(0.0f) : LOADV(line + j * channels);
    UNROLL for (int v = 0; v < SIDE; ++v)
      UNROLL for (int j = 0; j < COLUMNS; ++j) sums[v] += g[j] * pixels[j * STRIDE + v];
  }
}
#endif

// Over the strips of block k, strips_per_block of the images' STRIPS(out_height) each:
//   partials[k,t,c] = sum_{b,i,j} dy[b,i,j,c] * x[b, i*STRIDE+u-padding, j*STRIDE+v-padding, c],  t = u*SIDE+v
//   partials[k,TAPS,c] = sum dy[b,i,j,c]
// partials (blocks, TAPS + 1, channels). Item (l, k): every get_global_size(0)-th chunk of VEC channels from chunk l; where
// TAP_ROWS is 1, item (l, k, u) the taps of row u.
#if TAP_ROWS < SIDE
#define FIRST_TAP ((int)get_global_id(2) * SIDE)
#else
#define FIRST_TAP 0
#endif
WAVE_KERNEL void depthwise_weight_partials(const global float *x, const global float *dy, global float *partials,
                                      int images, int height, int width, int out_height, int out_width,
                                      int channels, int padding, int front, int strips_per_block, int blocks) {
  const int block = get_global_id(1);
  if (block >= blocks) return;
  partials += (size_t)block * (TAPS + 1) * channels;
  const int first = block * strips_per_block;
  const int last = min(first + strips_per_block, images * STRIPS(out_height));
  for (int c = get_global_id(0) * VEC; c < channels; c += get_global_size(0) * VEC) {
    floatv sums[TAP_ROWS * SIDE + 1];
    UNROLL for (int t = 0; t <= TAP_ROWS * SIDE; ++t) sums[t] = (floatv)(0.0f);
    for (int index = first; index < last; ++index) {
      const int image = index / STRIPS(out_height);
      const int top = index % STRIPS(out_height) * ROWS;
      const int i0 = min(top, out_height - ROWS);
      const global float *in = x + ((size_t)image * (front + height * width) + front) * channels + c;
      const global float *out = dy + ((size_t)image * (front + out_height * out_width) + front) * channels + c;
      const int row = i0 * STRIDE - padding;
      for (int left = 0; left < out_width; left += COLUMNS) {
        const int j0 = min(left, out_width - COLUMNS);
        const int column = j0 * STRIDE - padding;
#if TAP_ROWS < SIDE
        const int line = row + (int)get_global_id(2);
        const global float *outputs = out + (i0 * out_width + j0) * channels;
        if (i0 == top && j0 == left && line >= 0 && line + (ROWS - 1) * STRIDE < height && column >= 0 &&
            column + COLUMN_SPAN <= width)
          add_tile(sums, in, outputs, line, column, 0, 0, height, width, out_width, channels, 0);
        else
          add_tile(sums, in, outputs, line, column, top - i0, left - j0, height, width, out_width, channels, 1);
#else
        // What a tile that was moved back shares with its neighbours has been counted.
        floatv g[ROWS][COLUMNS];
        UNROLL for (int i = 0; i < ROWS; ++i) {
          UNROLL for (int j = 0; j < COLUMNS; ++j) {
            g[i][j] = i0 + i < top || j0 + j < left
                          ? (floatv)(0.0f)
                          : LOADV(out + ((i0 + i) * out_width + j0 + j) * channels);
            sums[TAP_ROWS * SIDE] += g[i][j];
          }
        }
        const int is_inside =
            !PADDED || (row >= 0 && row + ROW_SPAN <= height && column >= 0 && column + COLUMN_SPAN <= width);
        UNROLL for (int s = 0; s < ROW_SPAN; ++s) {
          if (!is_inside && (row + s < 0 || row + s >= height)) continue;
          const global float *line = in + ((row + s) * width + column) * channels;
          floatv pixels[COLUMN_SPAN];
          UNROLL for (int j = 0; j < COLUMN_SPAN; ++j)
            pixels[j] = !is_inside && (column + j < 0 || column + j >= width) ? (floatv)(0.0f)
                                                                              : LOADV(line + j * channels);
          UNROLL for (int i = 0; i < ROWS; ++i) {
            const int u = s - i * STRIDE;
            if (u < 0 || u >= SIDE) continue;
            UNROLL for (int v = 0; v < SIDE; ++v)
              UNROLL for (int j = 0; j < COLUMNS; ++j)
                sums[u * SIDE + v] += g[i][j] * pixels[j * STRIDE + v];
          }
        }
#endif
      }
    }
    UNROLL for (int t = 0; t < TAP_ROWS * SIDE; ++t) STOREV(sums[t], partials + (FIRST_TAP + t) * channels + c);
    if (FIRST_TAP == 0) STOREV(sums[TAP_ROWS * SIDE], partials + TAPS * channels + c);
  }
}

// dweight (channels, SIDE, SIDE) and dbias (channels) += the partials, block after block. Item k: VEC channels.
kernel void depthwise_weight_finish(const global float *partials, global float *dweight, global float *dbias,
                                    int channels, int blocks, int adds_weight, int adds_bias) {
  const int c = get_global_id(0) * VEC;
  if (c >= channels) return;
  for (int t = 0; t <= TAPS; ++t) {
    floatv sum = (floatv)(0.0f);
    for (int k = 0; k < blocks; ++k) sum += LOADV(partials + ((size_t)k * (TAPS + 1) + t) * channels + c);
    if (t == TAPS) {
      if (adds_bias) STOREV(LOADV(dbias + c) + sum, dbias + c);
    } else if (adds_weight) {
      const float *lanes = (const float *)&sum;
      for (int i = 0; i < VEC; ++i) dweight[(c + i) * TAPS + t] += lanes[i];
    }
  }
}
