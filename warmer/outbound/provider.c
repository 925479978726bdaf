#include "warmer/outbound/provider.h"

#include <stdlib.h>
#include <string.h>

#include "warmer/elevenlabs/api.h"
#include "warmer/outbound/twilio.h"

static const struct provider *const all[] = {&provider_twilio, &provider_elevenlabs};

const struct provider *provider_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    }
    return NULL;
}

bool provider_any(const struct warmer_config *config)
{
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i]->configured(config))
            return true;
    }
    return false;
}

void provider_request_release(struct provider_request *request)
{
    free(request->body);
    request->body = NULL;
}
