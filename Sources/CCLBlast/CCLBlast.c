#include "CCLBlast.h"
