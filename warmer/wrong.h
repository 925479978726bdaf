/* Why a request is refused, in one sentence. One of them is not the fault of who sent it, and not for long. */
#pragma once
#include <string.h>

#include "common/base/base.h"

#define NO_MEMORY "out of memory"

/* The status to refuse with. */
static inline int wrong_status(const char *wrong)
{
    return strcmp(wrong, NO_MEMORY) == 0 ? 503 : 400;
}
