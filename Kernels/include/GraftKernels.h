// The OpenCL C sources under Kernels/, embedded so that an app which links Graft ships no files beside it.
#ifndef GRAFT_KERNELS_H
#define GRAFT_KERNELS_H

#include <stddef.h>

/// One embedded source file.
typedef struct {
  const char *name;
  const char *text;
  size_t length;
} graft_kernel_source;

/// The source called `name` (the file's name without `.cl`), or an entry whose text is NULL.
graft_kernel_source graft_kernel_source_named(const char *name);

#endif
