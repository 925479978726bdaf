#include "worker/carrier/carrier.h"

#include <string.h>

#include "worker/carrier/telnyx.h"
#include "worker/carrier/twilio.h"

const struct carrier *const carriers[] = {&carrier_twilio, &carrier_telnyx, NULL};

const struct carrier *carrier_at(const char *path)
{
    for (const struct carrier *const *c = carriers; *c; c++) {
        if (strcmp((*c)->path, path) == 0)
            return *c;
    }
    return NULL;
}
