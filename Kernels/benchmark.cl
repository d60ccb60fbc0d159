// What a device can do at best, to measure other kernels against.
//
// WIDE    floats of a variable: those of a vector register on CPUs, 16 or 8; 1 on GPUs. Default 16.
// CHAINS  independent multiply-adds, 24 or 12: as many as registers hold with some to spare. Default 24.

#ifndef WIDE
#define WIDE 16
#endif

#if WIDE == 16
#define WIDE_FLOAT float16
#define WIDE_SUM(v) sum16(v)
#elif WIDE == 8
#define WIDE_FLOAT float8
#define WIDE_SUM(v) sum16((float16)(v, v))
#else
#define WIDE_FLOAT float
#define WIDE_SUM(v) (v)
#endif

#ifndef CHAINS
#define CHAINS 24
#endif

// CHAINS independent chains x_i = x_i * factor + offset, `iterations` times, all in registers: 2 * CHAINS * WIDE *
// iterations floating-point operations a work-item. 12 hide the latency of any multiply-add unit known to us and fit 16
// vector registers, 24 fit 32. y[item] keeps the compiler from dropping the work.
#if CHAINS == 24
#define MORE_CHAINS(X) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23)
#else
#define MORE_CHAINS(X)
#endif
#define EACH_CHAIN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) MORE_CHAINS(X)

kernel void fma_peak(global float *y, float factor, float offset, int iterations) {
  const WIDE_FLOAT f = factor, o = offset;
#define START(i) WIDE_FLOAT x##i = (float)i;
  EACH_CHAIN(START)
  for (int n = 0; n < iterations; ++n) {
#define STEP(i) x##i = fma(x##i, f, o);
    EACH_CHAIN(STEP)
  }
  WIDE_FLOAT sum = 0.0f;
#define COLLECT(i) sum += x##i;
  EACH_CHAIN(COLLECT)
  y[get_global_id(0)] = WIDE_SUM(sum);
}

// y = x. See FOR_ELEMENTS in common.cl.
kernel void copy_bandwidth(const global float *x, global float *y, int count, int per_item) {
  FOR_ELEMENTS(STORER(LOADR(x + i), y + i), y[i] = x[i]);
}
