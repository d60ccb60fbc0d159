// What the kernels use of OpenCL C's functions, for PoCL alone, in place of its header: that one declares all of them, in
// 18000 lines, which take far longer to read than a kernel takes to compile. KernelLibrary says when.

#define FUNCTION __attribute__((overloadable, const))
#define READER __attribute__((overloadable, pure))
#define WRITER __attribute__((overloadable))

size_t FUNCTION get_global_id(uint dimension);
size_t FUNCTION get_global_size(uint dimension);
size_t FUNCTION get_group_id(uint dimension);
size_t FUNCTION get_local_id(uint dimension);
void __attribute__((overloadable, convergent)) barrier(uint fence);

// For every kind of number, as in the standard: with one left out its values would be converted to another.
#define DECLARE_ORDER(NUMBER)                    \
  NUMBER FUNCTION min(NUMBER a, NUMBER b); \
  NUMBER FUNCTION max(NUMBER a, NUMBER b);
DECLARE_ORDER(int)
DECLARE_ORDER(uint)
DECLARE_ORDER(long)
DECLARE_ORDER(ulong)
DECLARE_ORDER(float)
int FUNCTION isfinite(float x);
int FUNCTION isnan(float x);
int16 FUNCTION isnan(float16 x);
uint4 FUNCTION convert_uint4(ushort4 x);
uint16 FUNCTION convert_uint16(ushort16 x);
ushort16 FUNCTION convert_ushort16(uint16 x);

#define DECLARE_FLOATS(FLOATS)                      \
  FLOATS FUNCTION fma(FLOATS a, FLOATS b, FLOATS c); \
  FLOATS FUNCTION fmax(FLOATS a, FLOATS b);          \
  FLOATS FUNCTION sqrt(FLOATS x);                    \
  FLOATS FUNCTION exp(FLOATS x);                     \
  FLOATS FUNCTION log(FLOATS x);
DECLARE_FLOATS(float)
DECLARE_FLOATS(float2)
DECLARE_FLOATS(float4)
DECLARE_FLOATS(float8)
DECLARE_FLOATS(float16)

#define DECLARE_MEMORY_IN(SPACE, COUNT, TYPE, TYPES)                 \
  TYPES READER vload##COUNT(size_t offset, const SPACE TYPE *p); \
  void WRITER vstore##COUNT(TYPES v, size_t offset, SPACE TYPE *p);
#define DECLARE_MEMORY(COUNT, TYPE)                 \
  DECLARE_MEMORY_IN(global, COUNT, TYPE, TYPE##COUNT) \
  DECLARE_MEMORY_IN(local, COUNT, TYPE, TYPE##COUNT)  \
  DECLARE_MEMORY_IN(private, COUNT, TYPE, TYPE##COUNT)
DECLARE_MEMORY(2, float)
DECLARE_MEMORY(4, float)
DECLARE_MEMORY(8, float)
DECLARE_MEMORY(16, float)
DECLARE_MEMORY(16, ushort)
DECLARE_MEMORY(16, uint)

float READER vload_half(size_t offset, const global half *p);
float4 READER vloada_half4(size_t offset, const global half *p);
float16 READER vload_half16(size_t offset, const global half *p);
void WRITER vstore_half_rte(float v, size_t offset, global half *p);
