/* What a carrier's media stream means to a call, whichever carrier it is. */
#pragma once
#include "common/base/base.h"
#include "common/base/token.h"
#include "common/redis/keys.h"

enum { CARRIER_SID_SIZE = 64, CARRIER_MARK_SIZE = 32 };

enum carrier_kind {
    CARRIER_NOTHING, /* legal and without meaning for us (greeting of the protocol, unknown events) */
    CARRIER_START,
    CARRIER_AUDIO,
    CARRIER_DTMF,
    CARRIER_PLAYED, /* everything sent before this mark was played, or cleared */
    CARRIER_STOP,   /* the stream ended; not necessarily the call */
    CARRIER_REFUSED, /* the carrier did not like something we sent; the stream goes on */
    CARRIER_BAD,    /* the peer broke the protocol; error says how */
};

/* Texts are views or copies valid until the next parse. */
struct carrier_event {
    enum carrier_kind kind;
    const char *error;
    char call_sid[CALL_SID_SIZE];      /* START: ours, of a call that we dialled; else the carrier's */
    char stream_sid[CARRIER_SID_SIZE]; /* START */
    char token[TOKEN_SIZE];            /* START; "" if there was none */
    const char *audio;                 /* AUDIO: base64 of mu-law, 8000 Hz, mono */
    size_t audio_len;
    uint64_t timestamp_ms;             /* AUDIO: since the stream's start */
    uint64_t chunk;                    /* AUDIO: place in the order of the caller's audio; 0: not told */
    char mark[CARRIER_MARK_SIZE];      /* PLAYED */
    char digit;                        /* DTMF: 0-9, *, # */
    uint64_t code;                     /* REFUSED: the carrier's number for it, or 0 */
};

/* A carrier's protocol. No socket, no clock. */
struct carrier {
    const char *name;
    const char *path; /* of the worker's URL that its streams are sent to */
    bool keeps_order; /* audio arrives in the order of its chunks */
    bool ends_call_on_close; /* our closing the socket moves the call on; else it stays up, in silence */
    /* text may be scribbled on (escaped audio is resolved in place). */
    void (*parse)(char *text, size_t len, struct carrier_event *ev);
    /* Each writes one message and returns its length, or 0 if it does not fit. */
    size_t (*audio)(char *out, size_t size, const char *stream_sid, const char *base64, size_t len);
    size_t (*mark)(char *out, size_t size, const char *stream_sid, const char *name);
    size_t (*clear)(char *out, size_t size, const char *stream_sid);
};

/* Bytes that `audio` adds around its base64, at most. */
enum { CARRIER_AUDIO_OVERHEAD = 64 + CARRIER_SID_SIZE };

/* All carriers, ended by NULL. */
extern const struct carrier *const carriers[];

/* NULL if no carrier's streams are sent to the path. */
const struct carrier *carrier_at(const char *path);
