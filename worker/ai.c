#include "worker/ai.h"

#include <stdlib.h>
#include <string.h>

#include "worker/openai.h"

static const struct provider *const providers[] = {&provider_openai};

const struct provider *provider_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(providers); i++) {
        if (strcmp(providers[i]->name, name) == 0)
            return providers[i];
    }
    return NULL;
}

void ai_event_release(struct ai_event *ev)
{
    free(ev->text);
    ev->text = NULL;
}
