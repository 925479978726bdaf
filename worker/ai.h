/* What an AI voice session means to a call, whichever provider it is. */
#pragma once
#include "common/base/base.h"

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
};
