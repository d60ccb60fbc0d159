// CLBlast's C interface, behind the OpenCL version that COpenCL pins.
#ifndef GRAFT_CCLBLAST_H
#define GRAFT_CCLBLAST_H

#include "COpenCL.h"
#include <clblast_c.h>
#include <limits.h>

// Path of the loaded library, links followed, written to `path`; NULL where it is not known.
const char *graft_clblast_file(char path[PATH_MAX]);

#endif
