/* One call: a carrier's media stream on one side, an AI session on the other, its journal in Redis.
 *
 * call.c is the state machine. What happens in a state is in conversation.c (turns, barge-in),
 * answers.c (what the AI is asked for), media.c (audio both ways) and call_tools.c (what the AI may
 * do); the two sides are carrier_leg.c and ai_leg.c, beginning and end call_start.c and call_close.c. */
#pragma once
#include <event2/event_struct.h>

#include "worker/ai/ai.h"
#include "worker/call/claim.h"
#include "worker/call/playout.h"
#include "worker/call/tail.h"
#include "worker/call/transfer.h"
#include "worker/call/turns.h"
#include "worker/call/watch.h"
#include "worker/carrier/carrier.h"
#include "worker/carrier/reorder.h"
#include "worker/journal/journal.h"
#include "worker/worker.h"
#include "worker/ws/bucket.h"
#include "worker/ws/ws_conn.h"

struct evbuffer;
struct tool_run;

/* In the order a good call visits them. X(ID, "name", deadline in seconds; 0: none) */
#define CALL_STATES(X)                                                                    \
    X(ACCEPTED, "accepted", 10)  /* the socket is open; the carrier's start is awaited */ \
    X(CLAIMING, "claiming", 5)   /* token good; Redis is asked for the call */            \
    X(DIALLING, "dialling", 15)  /* the AI session is opened and configured, at first or again */ \
    X(GREETING, "greeting", 0)   /* COMPACT prompt in force, the greeting is spoken */    \
    X(TALKING, "talking", 0)     /* FULL prompt in force */                               \
    X(PARTING, "parting", 20)    /* the call has an end in sight; the goodbye plays out */ \
    X(LISTENING, "listening", 2) /* the caller has hung up; the last words are written down */ \
    X(ENDING, "ending", 10)      /* the journal is finished in Redis */                   \
    X(GONE, "gone", 0)

enum call_state {
#define X(id, name, seconds) CALL_##id,
    CALL_STATES(X)
#undef X
};

enum {
    DIGITS_MAX = 32,           /* keys pressed in one go */
    TOOL_IDS_MAX = 64,         /* tool calls that are known again if the provider repeats them */
    TOOL_IDS_FEW = 4,          /* room for these at first; it doubles */
};

enum call_event_kind {
    CALL_EV_CARRIER,       /* carrier: what the media stream said */
    CALL_EV_CARRIER_LOST,  /* why: the stream's socket went without `stop` */
    CALL_EV_CLAIM,         /* reply: Redis' answer to the claim */
    CALL_EV_GREETING,      /* reply: the greeting's audio, if it is in the cache */
    CALL_EV_AI_OPEN,       /* the provider's socket is open */
    CALL_EV_AI,            /* ai: what the session said */
    CALL_EV_AI_LOST,       /* why; permanent: it would be refused again */
    CALL_EV_CONTEXT,       /* the full context has arrived, late */
    CALL_EV_JOURNAL,       /* outcome */
    CALL_EV_TIMEOUT,       /* the state's deadline has passed */
    CALL_EV_HAND_OVER,     /* the worker must stop; another will go on */
    CALL_EV_MACHINE,       /* of a call we dialled: no person has picked up */
};

struct call_event {
    enum call_event_kind kind;
    const struct carrier_event *carrier;
    const struct ai_event *ai;
    const redisReply *reply;
    enum journal_outcome outcome;
    const char *why;
    bool permanent;
    enum peer_fault fault; /* CARRIER_LOST: the rule the carrier broke */
};

struct call {
    /* What every frame touches lies together: of thousands of calls none is in the processor's cache
     * when its frame comes, and each line of it that is fetched costs as much as reading the frame. */
    struct worker *w;
    enum call_state state;
    bool machine;                  /* an answering machine: it is spoken to, not listened to */
    bool speaking;                 /* the caller, by the AI's ear */
    bool words_unheard;            /* there are words in what is unheard */
    bool spoke;                    /* first audio has gone to the caller */
    bool paired;                   /* its frames are taken two at a time */
    const struct carrier *carrier; /* whose protocol the stream speaks */
    struct ws_conn *stream;        /* NULL once its socket is gone */
    struct ws_conn *ai;
    struct tail tail; /* the caller's last seconds */
    uint64_t line_next_ms; /* timestamp the next frame should have */
    struct bucket heard;   /* ms of caller audio, against the clock */
    struct watch watch;
    struct {
        bool under_way; /* the AI is producing one; only one may be */
        bool wanted;    /* ask for one as soon as none is */
        bool to_tools;   /* wanted for what tools have answered, and for nothing else */
        bool with_words; /* wanted while the caller speaks: the answer to those words will be it */
        bool muted;      /* it cannot be stopped: nothing that is said before the next one is asked for is heard */
        bool perceptible; /* the one under way has brought a sound, or called a tool */
        int64_t sign_ms;     /* when the one under way was asked for, or last heard of */
        int64_t over_ms;     /* agents: nothing heard of it until then, and it was complete */
        int failures;        /* in a row */
        char *wanted_with;   /* instructions, or NULL */
        char *asked_with;    /* those of the one asked for last, should it fail */
        char id[AI_ID_SIZE]; /* of the response under way */
    } answer;
    char stream_sid[CARRIER_SID_SIZE];
    char dropped_response[AI_ID_SIZE]; /* interrupted: its late audio is not played */
    struct playout playout;
    struct turns turns;

    struct call *next, *prev; /* worker's list */
    bool placed; /* holds one of the process's places */
    enum call_reason reason;
    struct event deadline;
    struct deferred deferred;
    struct ai_memory ai_memory;
    char sid[CALL_SID_SIZE];
    struct ticket *claiming;
    struct claim claim; /* its history grows with every turn */
    struct journal journal;
    struct tool_run *tools; /* under way */
    struct {
        uint64_t *hashes; /* of the last call_ids, a ring of TOOL_IDS_MAX; NULL before the first */
        unsigned count, room;
    } tool_ids;
    char transfer_to[TRANSFER_NUMBER_SIZE];

    struct {
        struct ticket *ticket;      /* the cache is being asked */
        struct evbuffer *recording; /* what the AI says, for the cache */
        bool said;   /* what was recorded are the words that were asked for */
        bool unfit;  /* too long, or other words: not kept */
        bool cached; /* it plays from the cache; the AI has not said it */
        bool told;   /* and knows of it */
        bool begun;  /* the caller hears it, or heard it */
    } greeting;
    struct {
        struct ticket *ticket; /* Redis is asked for the context again */
        int looks;             /* times */
        int64_t until_ms;      /* how long the prompt upgrade waits for it; 0: not yet asked to */
        bool taken;            /* it has come */
        bool owed;             /* and the AI has not been told: it was not the moment */
    } late;
    struct {
        struct ticket *ticket; /* Redis is asked who has picked up */
        int looks;             /* times */
    } machine_look;
    bool configured;    /* an AI session was ready before */
    bool past_greeting; /* nobody is greeted twice, whichever worker or AI session comes next */
    const char *rejoin; /* what a session that replaces a lost one is asked to do; NULL: nothing */
    char *unsaid;       /* agents: what the lost one had still to say, and the next has not begun to; NULL: nothing */
    int ai_tries;       /* dials since a session last worked */
    struct {
        struct ws_conn *ws; /* opened beside the one in use; NULL: none */
        struct ai_memory memory;
        bool ready;     /* configured: it waits for a moment when nobody speaks */
        int64_t due_ms; /* when it is to be opened; 0: never */
    } standby;
    bool transcribed;   /* the session writes down what the caller says */
    struct event redial;

    int64_t words_ms; /* when the caller's words began or ended */
    struct reorder *reorder; /* of carriers that do not keep the order; NULL until audio comes */
    int refusals;            /* messages of ours that the carrier refused */
    char digits[DIGITS_MAX + 1]; /* pressed and not yet told to the AI */
    int64_t digits_ms;
    int digits_told; /* times */

    char cut_item[AI_ID_SIZE];         /* its item that was playing: the AI was told what was heard */
    char unheard_item[AI_ID_SIZE];     /* an item of it of which nothing was played */
    int unheard_index;
    enum call_reason parting; /* PARTING: why */
    bool left_idle;           /* handed over when nobody waited for a word */

    int64_t started_ms; /* monotonic: the carrier's start */
    int64_t first_audio_ms, turn_count, barge_in_count;
};

/* A call for a media stream that has just been accepted. It takes one of the process's places when it
 * has shown a token: who has none keeps nobody out. NULL when out of memory. ws events go to the call. */
RF_NODISCARD struct call *call_new(struct worker *w, const struct carrier *carrier, struct ws_conn *ws);

/* The stream that has waited longest for its start makes room for a newer one. */
void call_displace_newcomer(struct worker *w);

/* The only way in: everything that happens to a call. */
void call_on(struct call *c, const struct call_event *ev);

/* From now on nobody is greeted, and what only that needed is given back. */
void call_greeted(struct call *c);

/* The call is to end for this reason, once what is being said has played out. What was still to be
 * said is not; answers_ask with instructions adds a last word. */
void call_part(struct call *c, enum call_reason why);

/* Ends the call at once. detail: for the log, or "". */
void call_end(struct call *c, enum call_reason why, const char *detail);

/* The assistant has nothing to say and nothing of it still plays. */
bool call_silent(const struct call *c);

/* Neither side speaks and everything said is in the journal: another worker can go on from here and
 * the caller hears no more than a short silence. */
bool call_may_hand_over(const struct call *c);

/* Redis is reachable again. */
void call_redis_up(struct call *c);

/* Once a second: what only time can tell. */
void call_tick(struct call *c);

/* Ends the media without waiting for anything; for the process's own end. */
void call_drop(struct call *c);
