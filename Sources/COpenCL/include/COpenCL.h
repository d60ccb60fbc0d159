// OpenCL's headers with the API version pinned, and inline shims for what Swift cannot import.
#ifndef GRAFT_COPENCL_H
#define GRAFT_COPENCL_H

// Every clang module that includes CL/cl.h must see the same version, so it is pinned here and only here.
#define CL_TARGET_OPENCL_VERSION 120

#ifdef __APPLE__
#include <OpenCL/opencl.h>
#else
#include <CL/cl.h>
#include <CL/cl_ext.h>
#endif

#include "processor.h"

#endif
