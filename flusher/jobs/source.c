#include "flusher/jobs/source.h"

#include <stdio.h>
#include <string.h>

static const struct source carrier = {".wav", "audio/wav",
                                      "the carrier refuses RINGFLEET_TWILIO_ACCOUNT_SID and its token", true};
static const struct source elevenlabs = {".mp3", "audio/mpeg", "ElevenLabs refuses RINGFLEET_ELEVENLABS_API_KEY", false};

static bool is_below(const char *url, const char *base)
{
    size_t len = strlen(base);
    return len > 0 && strncmp(url, base, len) == 0 && (url[len] == '/' || base[len - 1] == '/');
}

const struct source *source_of(const struct flusher_config *config, const char *url)
{
    if (is_below(url, config->twilio_api_url))
        return &carrier;
    return is_below(url, config->elevenlabs_url) && *config->elevenlabs_api_key ? &elevenlabs : NULL;
}

bool source_stays(const struct flusher_config *config, const char *url)
{
    return strncmp(url, "file://", 7) == 0 || (is_below(url, config->elevenlabs_url) && !*config->elevenlabs_api_key);
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), more = strlen(end);
    return len > more && strcmp(text + len - more, end) == 0;
}

bool source_request(const struct source *source, const struct flusher_config *config, const char *url,
                    struct source_request *request, struct http_spec *spec)
{
    bool whole = source != &carrier || ends_with(url, source->extension);
    spec->url = request->url;
    if (source == &carrier) { /* libcurl names the user to the first host only */
        /* Of a comma list the first: the warmer's setting of that name may hold several. */
        snprintf(request->password, sizeof request->password, "%.*s", (int)strcspn(config->twilio_auth_token, ","),
                 config->twilio_auth_token);
        spec->user = *config->twilio_account_sid ? config->twilio_account_sid : NULL;
        spec->password = request->password;
        spec->follow = true;
    } else { /* a header would go with a redirect, to whatever host */
        snprintf(request->key, sizeof request->key, "xi-api-key: %s", config->elevenlabs_api_key);
        spec->headers[0] = request->key;
    }
    return (size_t)snprintf(request->url, sizeof request->url, "%s%s", url, whole ? "" : source->extension) <
           sizeof request->url;
}
