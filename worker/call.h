/* One call: a carrier's media stream on one side, an AI session on the other, its journal in Redis.
 *
 * call.c is the state machine; what happens in a state is in conversation.c (turns, barge-in,
 * answers), media.c (audio both ways) and call_tools.c (what the AI may do). */
#pragma once
#include <event2/event_struct.h>

#include "worker/ai.h"
#include "worker/carrier.h"
#include "worker/claim.h"
#include "worker/journal.h"
#include "worker/playout.h"
#include "worker/turns.h"
#include "worker/worker.h"
#include "worker/ws_conn.h"

struct evbuffer;
struct tool_run;

/* In the order a good call visits them. X(ID, "name", deadline in seconds; 0: none) */
#define CALL_STATES(X)                                                                    \
    X(ACCEPTED, "accepted", 10)  /* the socket is open; the carrier's start is awaited */ \
    X(CLAIMING, "claiming", 5)   /* token good; Redis is asked for the call */            \
    X(DIALLING, "dialling", 15)  /* the AI session is opened and configured */            \
    X(GREETING, "greeting", 0)   /* COMPACT prompt in force, the greeting is spoken */    \
    X(TALKING, "talking", 0)     /* FULL prompt in force */                               \
    X(PARTING, "parting", 20)    /* the AI has ended the call; its goodbye plays out */   \
    X(ENDING, "ending", 10)      /* the journal is finished in Redis */                   \
    X(GONE, "gone", 0)

enum call_state {
#define X(id, name, seconds) CALL_##id,
    CALL_STATES(X)
#undef X
};

enum { EARLY_AUDIO_MAX = 5 * 8000 }; /* caller audio kept while the AI connects: 5 s of mu-law */

enum call_event_kind {
    CALL_EV_CARRIER,       /* carrier: what the media stream said */
    CALL_EV_CARRIER_LOST,  /* why: the stream's socket went without `stop` */
    CALL_EV_CLAIM,         /* reply: Redis' answer to the claim */
    CALL_EV_AI_OPEN,       /* the provider's socket is open */
    CALL_EV_AI,            /* ai: what the session said */
    CALL_EV_AI_LOST,       /* why */
    CALL_EV_JOURNAL,       /* outcome */
    CALL_EV_TIMEOUT,       /* the state's deadline has passed */
    CALL_EV_HAND_OVER,     /* the worker must stop; another will go on */
};

struct call_event {
    enum call_event_kind kind;
    const struct carrier_event *carrier;
    const struct ai_event *ai;
    const redisReply *reply;
    enum journal_outcome outcome;
    const char *why;
};

struct call {
    struct worker *w;
    struct call *next, *prev; /* worker's list */
    enum call_state state;
    enum call_reason reason;
    struct event deadline;
    struct deferred deferred;

    const struct carrier *carrier; /* whose protocol the stream speaks */
    struct ws_conn *stream;        /* NULL once its socket is gone */
    struct ws_conn *ai;
    char sid[CARRIER_SID_SIZE], stream_sid[CARRIER_SID_SIZE];
    struct ticket *claiming;
    struct claim claim;
    struct journal journal;
    struct tool_run *tools; /* under way in Redis */

    struct evbuffer *early; /* caller audio before the AI could hear it */
    struct playout playout;
    struct turns turns;
    char dropped_response[AI_ID_SIZE]; /* interrupted: its late audio is not played */
    bool answering;     /* the AI is producing an answer; only one may be under way */
    bool answer_wanted; /* ask for one as soon as none is */

    int64_t started_ms; /* monotonic: the carrier's start */
    bool spoke;         /* first audio has gone to the caller */
    int64_t first_audio_ms, turn_count, barge_in_count;
};

/* A call for a media stream that has just been accepted; the worker counts it from here on. NULL
 * when out of memory. ws events go to the call. */
RF_NODISCARD struct call *call_new(struct worker *w, const struct carrier *carrier, struct ws_conn *ws);

/* The only way in: everything that happens to a call. */
void call_on(struct call *c, const struct call_event *ev);

/* Shorthand for the AI's own end of the call (the tool): its goodbye plays out first. */
void call_part(struct call *c);

/* The answer under way, or one to come, is all the AI has to say. */
bool call_silent(const struct call *c);

/* Redis is reachable again. */
void call_redis_up(struct call *c);

/* Once a second: turns whose words never came may leave. */
void call_tick(struct call *c);

/* Ends the media without waiting for anything; for the process's own end. */
void call_drop(struct call *c);
