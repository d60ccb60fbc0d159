// CLBlast's C interface, behind the OpenCL version that COpenCL pins.
#ifndef GRAFT_CCLBLAST_H
#define GRAFT_CCLBLAST_H

#include "COpenCL.h"
#include <clblast_c.h>

#endif
