#include "warmer/outbound/provider.h"

#include <stdlib.h>
#include <string.h>

const struct provider *provider_named(const char *name)
{
    static const struct provider *const all[] = {&provider_twilio};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    }
    return NULL;
}

bool provider_configured(const struct provider *provider, const struct warmer_config *config)
{
    (void)provider;
    return *config->twilio_account_sid != '\0';
}

void provider_request_release(struct provider_request *request)
{
    free(request->body);
    request->body = NULL;
}
