#include "worker/ai/ai.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/http.h>

#include "worker/ai/elevenlabs.h"
#include "worker/ai/openai.h"

static const struct provider *const providers[] = {&provider_openai, &provider_elevenlabs};

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

bool ai_iso_639_1(char out[3], const char *tag)
{
    if (strcspn(tag, "-_") != 2 || !isalpha((unsigned char)tag[0]) || !isalpha((unsigned char)tag[1]))
        return false;
    snprintf(out, 3, "%c%c", tolower((unsigned char)tag[0]), tolower((unsigned char)tag[1]));
    return true;
}

static bool take_uri(struct ai_target *target, const struct evhttp_uri *uri)
{
    const char *scheme = evhttp_uri_get_scheme(uri), *host = evhttp_uri_get_host(uri);
    const char *path = evhttp_uri_get_path(uri), *query = evhttp_uri_get_query(uri);
    int port = evhttp_uri_get_port(uri);
    if (!scheme || !host || !*host)
        return false;
    memset(target, 0, sizeof *target);
    target->tls = strcmp(scheme, "wss") == 0;
    target->port = (uint16_t)(port > 0 ? port : target->tls ? 443 : 80);
    return (target->tls || strcmp(scheme, "ws") == 0) &&
           snprintf(target->host, sizeof target->host, "%s", host) < (int)sizeof target->host &&
           snprintf(target->path, sizeof target->path, "%s%s%s", path && *path ? path : "/", query ? "?" : "",
                    query ? query : "") < (int)sizeof target->path;
}

bool ai_target_parse(struct ai_target *target, const char *url)
{
    struct evhttp_uri *uri = evhttp_uri_parse(url);
    bool good = uri && take_uri(target, uri);
    if (uri)
        evhttp_uri_free(uri);
    return good;
}

/* 1008 is policy (ElevenLabs: overrides, variables, auth); 3000 to 4999 are the providers' own codes: OpenAI
 * says 3000 to a wrong key and 4000 to a wrong model. */
bool ai_close_is_final(uint16_t code, int http_status)
{
    return code == 1008 || (code >= 3000 && code < 5000) || http_status == 401 || http_status == 403 ||
           http_status == 404;
}
