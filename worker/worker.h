/* One event loop's world. Loops share nothing; everything below belongs to one thread, except what is
 * atomic: the metrics, `load` and `beat_ms`, which others read, and the process's places. */
#pragma once
#include <openssl/ssl.h>

#include "common/base/base.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/resolve.h"
#include "common/redis/async.h"
#include "common/redis/keys.h"
#include "worker/ai/ai.h"
#include "worker/config.h"
#include "worker/metrics.h"
#include "worker/places.h"

struct agent_urls;
struct ai_pool;
struct call;
struct event;
struct event_base;
struct http_client;
struct sock;
struct spool;
struct ws_conn;

enum {
    WORKER_READ_BYTES = 65536,  /* shared by all sockets: idle ones hold no buffer */
    WORKER_WRITE_BYTES = 65536,
    WORKER_SPARE_BYTES = 16384, /* buffers for frames that arrived in part */
    WORKER_SPARES = 16,
    WORKER_CORK_BYTES = 16384,
    WORKER_CORK_PARTS = 64,
    WORKER_GATHER_BYTES = 4096, /* half a second of audio */
    WORKER_MASK_BYTES = 1024,   /* fetched at once: a system call per frame is a twentieth of its cost */
};

/* Of thousands of calls none is in the processor's cache when its frame comes: the first 128 bytes of what a frame
 * will touch next are fetched while there is something else to do. */
#define PREFETCH(object) (__builtin_prefetch(object), __builtin_prefetch((const char *)(object) + 64))

/* Something to free when the current callbacks have returned. */
struct deferred {
    void (*fn)(void *arg);
    void *arg;
    struct deferred *next;
};

/* What the sockets of a turn have to send; see sock_send. */
struct cork {
    bool on;
    bool due; /* deferred */
    struct deferred deferred;
    unsigned count;
    size_t len;
    struct cork_part {
        struct sock *sock;
        size_t len;
    } parts[WORKER_CORK_PARTS]; /* in buf, one after the other */
    uint8_t buf[WORKER_CORK_BYTES];
};

/* Caller audio that one read brought, and that leaves as one message; see media_flush. */
struct gathered {
    struct call *call; /* NULL: nothing is gathered */
    const char *text;  /* base64 as it came, if it was one frame; else NULL */
    size_t text_len;
    size_t len;
    uint8_t bytes[WORKER_GATHER_BYTES];
};

struct worker {
    struct event_base *base;
    const struct worker_config *config;
    struct worker_metrics metrics;
    const char *id;
    struct key_space keys;
    struct resolver *resolver;
    struct redis_async *redis;
    const struct provider *provider;
    struct ai_target ai;
    struct ai_pool *ai_pool;
    struct agent_urls *agent_urls; /* NULL unless the provider runs agents */
    struct http_client *http;
    X509_STORE *tool_trusted; /* certificates that vouch for the businesses' own tools */
    SSL_CTX *tls; /* NULL when the AI leg is plain */
    struct spool *spool; /* the process's; NULL: nothing goes to disk */
    struct call *calls; /* a list, newest first */
    struct call *next_beat; /* of them, whose heartbeat comes next; NULL: all have had it */
    int call_count;
    int newcomers;          /* of these, streams that have not shown a token yet */
    struct places *places;  /* the process's; every call but the newcomers has taken one */
    _Atomic int load;       /* connections: given to this loop, waiting at its door, or carried as calls */
    _Atomic int64_t beat_ms; /* monotonic: the last beat of this loop */
    struct ws_conn *conns;  /* all WebSockets, those that only wait for the end of their closing too */
    bool draining;
    struct log_limit journal_limit;
    struct event *deferred_event;
    struct deferred *deferred;
    uint8_t *spares[WORKER_SPARES];
    int spare_count;
    unsigned reads; /* sockets that had something, in the turn at hand */
    int64_t woke_us; /* when the first of them was read */
    int64_t read_ms; /* when the one at hand was; 0: none is */
    int tickets;    /* questions to Redis under way: calls wait for the answers */
    bool pressed;   /* no time is left: carriers' audio is taken two frames at a time */
    unsigned pairing; /* calls that have begun to be taken so */
    uint8_t read_buf[WORKER_READ_BYTES];
    uint8_t write_buf[WORKER_WRITE_BYTES];
    struct cork cork;
    struct gathered gathered;
    uint8_t masks[WORKER_MASK_BYTES]; /* random bytes for the frames we send to AI providers */
    size_t masks_left;
};

/* Monotonic. Of all that one read brings it is the same moment: the clock costs as much as a frame's parsing does. */
static inline int64_t worker_now_ms(const struct worker *w)
{
    return w->read_ms ? w->read_ms : clock_mono_ms();
}

/* Runs d->fn(d->arg) in this loop turn, after the callbacks that are running. d lives in the object
 * that is freed: deferring cannot fail. */
void worker_defer(struct worker *w, struct deferred *d, void (*fn)(void *arg), void *arg);

/* Runs what was deferred. For the event of the loop, and for its end. */
void worker_run_deferred(struct worker *w);

/* A connection that the acceptor gave is over. */
void worker_unload(struct worker *w);

/* A stream was accepted: the connection is a newcomer's. */
void worker_call_came(struct worker *w);

/* It has shown a token. false: all places are taken. */
RF_NODISCARD bool worker_call_begins(struct worker *w);

/* A call is over, or a newcomer (placed: false): its place is free, its connection too. */
void worker_call_over(struct worker *w, bool placed);

/* A buffer of at least size bytes; the real size comes back in *size. NULL when out of memory.
 * Small ones are recycled, so that partial frames cost no allocation. */
uint8_t *worker_take_buffer(struct worker *w, size_t *size);
void worker_give_buffer(struct worker *w, uint8_t *buffer, size_t size);

/* After the last turn: closes what connections are left, frees buffers and base. */
void worker_release(struct worker *w);
