"""How the compilers inside GPU drivers judge Graft's kernels, without a GPU. See tools/gpu."""
