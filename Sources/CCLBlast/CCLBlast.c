// dladdr is of no standard.
#define _GNU_SOURCE

#include "CCLBlast.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>

const char *graft_clblast_file(char path[PATH_MAX]) {
  Dl_info info;
  if (dladdr((const void *)CLBlastSgemm, &info) == 0 || info.dli_fname == NULL) return NULL;
  return realpath(info.dli_fname, path);
}
