// Rotary positions: q and k of a token grid's cells are turned, pair by pair of channels, by angles of the cell's own; v and
// the `front` tokens ahead of the grid pass unchanged.
//
//   y[c] = x[c] * cos[cell, c] + x[p(c)] * sin[cell, c]
//
// within each head, where p(c) is c's partner; the sine's sign is in the table, negative for the first of a pair. The
// gradient is the transpose, for a rotation the one by the negative angle:
//   dx[c] = dy[c] * cos[cell, c] + dy[p(c)] * sin[cell, p(c)]   [+ sum_so_far]
//
// x, y       (batch, front + cells, 3, heads, HEAD): queries, keys and values.
// cos, sin   (cells, HEAD).
//
// HEAD          width of a head, in floats; even. Default 64.
// INTERLEAVED   defined: pairs are neighbours (2 i, 2 i + 1); otherwise one half of the head with the other
//               (i, i + HEAD / 2).
// VEC           channels that an item handles at a time (common.cl); it divides HEAD and, not interleaved, half of it.
// BACKWARD      defined: the gradient.
// ADD           defined: the gradient that x received elsewhere is added.
//
// See FOR_ROWS in common.cl; a row is a token.

#ifndef HEAD
#define HEAD 64
#endif

// The partners of the channels from c on, in an array `a` of a head.
#ifndef INTERLEAVED
#define PARTNERS(a, c) LOADV((a) + ((c) < HEAD / 2 ? (c) + HEAD / 2 : (c) - HEAD / 2))
#elif VEC == 1
#define PARTNERS(a, c) ((a)[(c) ^ 1])
#elif VEC == 2
#define PARTNERS(a, c) LOADV((a) + (c)).s10
#elif VEC == 4
#define PARTNERS(a, c) LOADV((a) + (c)).s1032
#elif VEC == 8
#define PARTNERS(a, c) LOADV((a) + (c)).s10325476
#else
#define PARTNERS(a, c) LOADV((a) + (c)).s1032547698badcfe
#endif

// Not called rotate, which is a function of OpenCL C.
kernel void turn_pairs(const global float *x, const global float *cosines, const global float *sines,
                       const global float *sum_so_far, global float *y, int tokens, int front, int heads, int rows,
                       int per_item) {
  const int turned = 2 * heads * HEAD;
  const int stride = 3 * heads * HEAD;
  FOR_ROWS(row) {
    const int cell = row % tokens - front;
    const global float *cosine = cosines + (size_t)max(cell, 0) * HEAD;
    const global float *sine = sines + (size_t)max(cell, 0) * HEAD;
    const global float *from = x + (size_t)row * stride;
    const global float *sum = sum_so_far + (size_t)row * stride;
    global float *to = y + (size_t)row * stride;
    for (int i = LANE * VEC; i < stride; i += LANES * VEC) {
      floatv v = LOADV(from + i);
      if (cell >= 0 && i < turned) {
        const int c = i % HEAD;
        const global float *head = from + i - c;
#ifdef BACKWARD
        v = v * LOADV(cosine + c) + PARTNERS(head, c) * PARTNERS(sine, c);
#else
        v = v * LOADV(cosine + c) + PARTNERS(head, c) * LOADV(sine + c);
#endif
      }
#ifdef ADD
      v += LOADV(sum + i);
#endif
      STOREV(v, to + i);
    }
  }
}
