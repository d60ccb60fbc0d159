// What OpenCL does not tell about the processor that is its device.
#ifndef GRAFT_PROCESSOR_H
#define GRAFT_PROCESSOR_H

#include <stdbool.h>

// True where this processor and its operating system run AVX-512's bf16 dot product (vdpbf16ps).
static inline bool processor_has_bfloat_dot_product(void) {
#if defined(__x86_64__) && !defined(__APPLE__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

#endif
