/* What an AI voice session means to a call, whichever provider it is. */
#pragma once
#include "common/base/base.h"

struct json_t;

enum { AI_ID_SIZE = 80 };

enum ai_kind {
    AI_NOTHING,            /* legal and without meaning for us */
    AI_CONFIGURED,         /* our settings are in force; formats were checked */
    AI_SPEECH_STARTED,     /* the caller began to speak */
    AI_SPEECH_STOPPED,
    AI_CALLER_TRANSCRIPT,  /* item, text ("" if transcription failed) */
    AI_RESPONSE_STARTED,   /* response */
    AI_AUDIO,              /* item, response, content_index, audio */
    AI_TEXT,               /* item, text: the next piece of what is being said */
    AI_TEXT_DONE,          /* item, text: all of what was to be said */
    AI_TOOL_CALL,          /* tool_id, tool_name, text (its arguments, JSON) */
    AI_RESPONSE_DONE,      /* response, status; error on failure */
    AI_REFUSED,            /* the provider refused something we sent; the session goes on */
    AI_BAD,                /* the session cannot be used; error says why */
};

enum ai_status { AI_COMPLETED, AI_CANCELLED, AI_INCOMPLETE, AI_FAILED };

/* Texts are valid until ai_event_release. Only `text` is allocated. */
struct ai_event {
    enum ai_kind kind;
    char item[AI_ID_SIZE];
    char response[AI_ID_SIZE];
    char tool_id[AI_ID_SIZE];
    char tool_name[AI_ID_SIZE];
    enum ai_status status;
    int content_index;
    const char *audio; /* AUDIO: base64 of mu-law, a view into the message */
    size_t audio_len;
    char *text;
    char error[192];
    bool permanent; /* AI_BAD, AI_REFUSED: trying again would be refused again */
};

void ai_event_release(struct ai_event *ev);

/* What a session is opened with. All borrowed. */
struct ai_settings {
    const char *instructions;
    const char *voice;
    const char *language;            /* ISO 639-1 or "" */
    const char *transcription_model; /* "" for none */
    struct json_t *tools;            /* array of {"type":"function", name, description, parameters} */
};

struct worker_config;

/* Where a provider's sessions are opened, taken apart once at start. */
struct ai_target {
    char host[256];
    uint16_t port;
    bool tls;
    char path[512];    /* with its query */
    char headers[512]; /* extra request lines, each with CRLF */
};

/* A provider's protocol. No socket, no clock.
 *
 * Writers return a text the caller frees, or NULL when out of memory; `append` writes into the
 * caller's buffer and returns the length, or 0 if it does not fit. */
struct provider {
    const char *name;
    /* Fills path and headers; host, port and tls are there. */
    void (*target)(const struct worker_config *config, struct ai_target *target);
    void (*parse)(char *text, size_t len, struct ai_event *ev);
    /* The whole session: mu-law both ways, voice, turn detection, transcription, tools. */
    char *(*session)(const struct ai_settings *settings);
    /* Only new instructions. */
    char *(*instructions)(const char *instructions);
    /* A turn of the past; speaker is "caller", "assistant" or "system". id: at most 32 characters. */
    char *(*past_turn)(const char *id, const char *speaker, const char *text);
    char *(*tool_output)(const char *call_id, const char *output);
    /* Asks for an answer. instructions: NULL for none of its own. */
    char *(*response)(const char *instructions);
    /* Of a spoken item only heard_ms were heard. */
    char *(*truncate)(const char *item, int content_index, int64_t heard_ms);
    /* Caller audio. */
    size_t (*append)(char *out, size_t size, const char *base64, size_t len);
};

/* NULL if there is none of that name. */
const struct provider *provider_named(const char *name);
