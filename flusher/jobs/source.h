/* Who has a recording, what it is asked for with, and what comes. Each one's credentials go to addresses of its own
 * only, whatever a journal says. */
#pragma once
#include "common/http/client.h"
#include "flusher/config.h"

enum { SOURCE_URL_SIZE = 2048 };

struct source {
    const char *extension;    /* of the file: ".wav" */
    const char *content_type;
    const char *refused;      /* what to say when it does not take the credentials */
    bool can_be_cut;          /* WAV: what the pieces to be written down are made of (audio.h) */
};

/* NULL: the address is nobody's whom we have credentials for. */
const struct source *source_of(const struct flusher_config *config, const char *url);

/* Whether a recording stays where it is: the warmer has kept it (file://), or ElevenLabs has it and there is no key. */
bool source_stays(const struct flusher_config *config, const char *url);

/* What a request borrows. */
struct source_request {
    char url[SOURCE_URL_SIZE], password[512], key[560];
};

/* Makes spec, whose headers are empty, one for it. false: the address is too long. */
RF_NODISCARD bool source_request(const struct source *source, const struct flusher_config *config, const char *url,
                                 struct source_request *request, struct http_spec *spec);
