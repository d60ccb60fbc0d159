// A linear layer in groups reads a part of its input for each part of its output. Its weight, (outputs, part) with
// part = inputs / groups, is spread to the dense block-diagonal one that the dense kernels multiply by:
//   dense[o, i] = weight[o, i - g * part] where i is in group g = o / (outputs / groups), else 0.
// dense (outputs, groups * part), row-major. On a CPU an item has a row o; elsewhere a team of LANES items has, TEAMS of them
// side by side in a group (common.cl).

#if LANES == 1
#define OUTPUT ((int)get_global_id(0))
#define IS_OUTPUT (OUTPUT < outputs)
#else
#define OUTPUT TEAM_ROW(outputs)
#define IS_OUTPUT IS_TEAM_ROW(outputs)
#endif

kernel void block_diagonal(const global float *weight, global float *dense, int outputs, int part, int groups) {
  const int o = OUTPUT;
  if (!IS_OUTPUT) return;
  const int inputs = groups * part;
  const int first = o / (outputs / groups) * part;
  for (int i = LANE; i < inputs; i += LANES) {
    const int is_inside = i >= first && i < first + part;
    dense[o * inputs + i] = is_inside ? weight[o * part + i - first] : 0.0f;
  }
}

// The gradient of block_diagonal: what the blocks received [+ base].
//
// BASE  defined: base (outputs, part) is added; it may be dweight itself.
kernel void block_diagonal_backward(const global float *ddense, const global float *base, global float *dweight,
                                    int outputs, int part, int groups) {
  const int o = OUTPUT;
  if (!IS_OUTPUT) return;
  const int first = o / (outputs / groups) * part;
  for (int j = LANE; j < part; j += LANES) {
    float v = ddense[o * groups * part + first + j];
#ifdef BASE
    v += base[o * part + j];
#endif
    dweight[o * part + j] = v;
  }
}
