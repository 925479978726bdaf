/* What an AI voice session means to a call, whichever provider it is. */
#pragma once
#include "common/base/base.h"

struct history;
struct json_t;

enum { AI_ID_SIZE = 80 };

enum ai_kind {
    AI_NOTHING,            /* legal and without meaning for us */
    AI_REPLY,              /* text: a message to send back at once, nothing more */
    AI_CONFIGURED,         /* our settings are in force; formats were checked. session: its name, or "" */
    AI_SPEECH_STARTED,     /* item: the caller began to speak; what plays must stop */
    AI_SPEECH_NOTICED,     /* item: the caller speaks; whether that interrupts is not decided */
    AI_SPEECH_STOPPED,
    AI_CALLER_TRANSCRIPT,  /* item, text ("" if transcription failed) */
    AI_RESPONSE_STARTED,   /* response */
    AI_AUDIO,              /* item, response, content_index, audio */
    AI_LATE_AUDIO,         /* of an answer that the provider interrupted: not to be played */
    AI_TEXT,               /* item, text: the next piece of what is being said */
    AI_TEXT_DONE,          /* item, text: all of what was to be said */
    AI_HEARD,              /* item, text: of an interrupted answer, what the caller heard of it */
    AI_HUNG_UP,            /* the agent has ended the call; what it said last may still play */
    AI_TOOL_CALL,          /* tool_id, tool_name, text (its arguments, JSON) */
    AI_RESPONSE_DONE,      /* response, status; error unless it is whole or was cancelled */
    AI_REFUSED,            /* the provider refused something we sent; the session goes on */
    AI_BAD,                /* the session cannot be used; error says why */
};

/* AI_RESPONSE_DONE of an agent is our own conclusion: agents do not say when they have finished. */
enum ai_status { AI_COMPLETED, AI_CANCELLED, AI_INCOMPLETE, AI_FAILED };

/* Texts are valid until ai_event_release. Only `text` is allocated. */
struct ai_event {
    enum ai_kind kind;
    char item[AI_ID_SIZE];
    char response[AI_ID_SIZE];
    char tool_id[AI_ID_SIZE];
    char tool_name[AI_ID_SIZE];
    char session[AI_ID_SIZE];
    enum ai_status status;
    int content_index;
    const char *audio; /* AUDIO: base64 of mu-law, a view into the message */
    size_t audio_len;
    char *text;
    int64_t expires_s; /* of the session, if the event tells; else 0 */
    char error[192];
    bool permanent; /* AI_BAD, AI_REFUSED: trying again would be refused again */
    bool transient; /* AI_REFUSED: nothing is wrong with what was sent, the provider failed on it */
};

void ai_event_release(struct ai_event *ev);

/* What a session is opened with. All borrowed. */
struct ai_settings {
    const char *instructions;        /* NULL: those in force stay (not for agents) */
    const char *voice;
    const char *language;            /* the business's: "de", "de-AT", or "" */
    const char *transcription_model; /* "" for none */
    /* for agents, which know everything from the first message on */
    const char *call_sid;
    const char *greeting;            /* "" for none */
    const struct history *past;      /* turns before this session */
    const char *unsaid;              /* what the session before had still to say; NULL: nothing */
    bool waits;                      /* nothing is owed to the caller, who is to speak next */
    struct json_t *tools;            /* array of {"type":"function", name, description, parameters} */
};

/* The ISO 639-1 code that a tag such as "de-AT" begins with; false: it begins with none. */
RF_NODISCARD bool ai_iso_639_1(char out[3], const char *tag);

struct worker_config;

/* Where a provider's sessions are opened, taken apart once at start. */
struct ai_target {
    char host[256];
    uint16_t port;
    bool tls;
    char path[512];    /* with its query */
    char headers[512]; /* extra request lines, each with CRLF */
};

/* Takes a ws: or wss: URL apart; path comes with its query, headers are left empty. false: it is
 * none, or too long. */
RF_NODISCARD bool ai_target_parse(struct ai_target *target, const char *url);

/* Whether a connection that ended so would end so again: a key, a model or an agent that is refused. code: of
 * the close frame; http_status: what was answered instead of 101, or 0. */
bool ai_close_is_final(uint16_t code, int http_status);

/* What a parser remembers of a call from message to message. Zero it; it outlives sessions, so that
 * the names it gives do not come twice. (OpenAI names its items itself; ElevenLabs does not.) */
struct ai_memory {
    uint64_t answers, utterances; /* begun so far; the last one's number */
    uint64_t interrupted;         /* answer whose correction may come; 0: none */
    int64_t audible_from;         /* audio with a smaller event_id was interrupted */
    bool answer_open, answer_worded, utterance_open;
    bool answer_prompted; /* since the answer began the caller has spoken, or a tool was called: another one may follow */
    bool answer_quiet;    /* the call's word: nothing has come of it for so long that it is complete */
    int64_t expires_s; /* unix: when the session ends, whatever is being said; 0: not told */
};

/* Of providers that run an agent of their own: it greets, answers, and decides what interrupts it,
 * without being asked. It is told everything in `session`; a session cannot stand open before its
 * call; its normal close (1000) is the agent's hang-up. */
struct ai_agent {
    /* The agent's own address below base, for anybody to open. */
    bool (*address)(struct ai_target *target, const struct ai_target *base, const char *agent_id);
    /* false: sessions need no signature. Else what to GET, and with which header. */
    bool (*sign_request)(const struct worker_config *config, const struct ai_target *base, const char *agent_id,
                         char *url, size_t url_size, char *header, size_t header_size);
    /* The signed address in the answer. NULL, or what is wrong with it. */
    const char *(*sign_answer)(struct ai_target *target, int status, const char *body, size_t len);
};

/* A provider's protocol. No socket, no clock.
 *
 * Writers return a text the caller frees, or NULL when out of memory; `append` writes into the
 * caller's buffer and returns the length, or 0 if it does not fit. */
struct provider {
    const char *name;
    const char *default_url, *default_voice; /* where the settings are empty */
    const struct ai_agent *agent; /* NULL: the provider answers when it is asked to, as it is told */
    /* NULL, or what the settings lack, as a sentence. */
    const char *(*lacks)(const struct worker_config *config);
    /* Fills path and headers; host, port and tls are there. NULL: an agent's address does. */
    void (*target)(const struct worker_config *config, struct ai_target *target);
    void (*parse)(struct ai_memory *memory, char *text, size_t len, struct ai_event *ev);
    /* The whole session: mu-law both ways, voice, turn detection, transcription, tools. */
    char *(*session)(const struct ai_settings *settings);
    /* Only new instructions. NULL: the session has had the FULL ones from its start. */
    char *(*instructions)(const char *instructions);
    /* A turn that this session has not heard; speaker is "caller", "assistant" or "system". id: at
     * most 32 characters. An agent answers words of the caller at once. */
    char *(*past_turn)(const char *id, const char *speaker, const char *text);
    char *(*tool_output)(const char *call_id, const char *output);
    /* Asks for an answer. instructions: NULL for none of its own (an agent is not asked then). */
    char *(*response)(const char *instructions);
    /* The answer under way is not wanted any more. NULL: it cannot be stopped. */
    char *(*cancel)(void);
    /* Of a spoken item only heard_ms were heard. NULL: the provider judges that itself, and tells
     * (AI_HEARD). */
    char *(*truncate)(const char *item, int content_index, int64_t heard_ms);
    /* Caller audio. */
    size_t (*append)(char *out, size_t size, const char *base64, size_t len);
};

/* NULL if there is none of that name. */
const struct provider *provider_named(const char *name);
