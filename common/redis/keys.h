/* Names of the Redis keys: the one place that spells them.
 *
 * Every key of a call carries the hash tag of its partition, {p0} to {pN-1}, so that all keys of a
 * call and the sets it belongs to share a cluster slot and each hand-over is one atomic step. */
#pragma once
#include "common/base/base.h"

enum { KEY_SIZE = 256, CALL_SID_SIZE = 129 };

enum key_kind {
    /* of one call */
    KEY_CONTEXT,  /* hash: CallContext, written by the warmer only, TTL */
    KEY_SESSION,  /* hash: phase, epoch, verdict, carrier status */
    KEY_WRITES,   /* stream: journal of the media side, id <epoch>-<seq> */
    KEY_EVENTS,   /* stream: what the webhooks said, id <ms>-<n> */
    /* of a partition */
    KEY_LIVE,     /* zset: call_sid by lease deadline */
    KEY_ENDED,    /* stream, group "flusher": calls to flush */
    KEY_FLUSHED,  /* zset: call_sid by the time its journal may go */
    KEY_DEAD,     /* stream: entries Postgres refused for good */
    KEY_PARTITIONS, /* string, of {p0} only: how many partitions the fleet was installed with */
};

struct key_space {
    const char *prefix; /* borrowed from the configuration */
    int partitions;
};

/* A name is 1 to 128 characters of [A-Za-z0-9_.:+-]; nothing else reaches a key. */
bool call_sid_valid(const char *sid);

/* FNV-1a of the call_sid, modulo the partitions: fixed for ever, journals are found by it. */
int key_partition(const struct key_space *space, const char *call_sid);

/* Writes the key of a call (or of the partition a call is in) and returns out. */
const char *key_of_call(char out[KEY_SIZE], const struct key_space *space, enum key_kind kind, const char *call_sid);

/* Keys of a partition itself. */
const char *key_of_partition(char out[KEY_SIZE], const struct key_space *space, enum key_kind kind, int partition);

/* The pattern of all sessions' keys, for SCAN; and the call that such a key is of: NULL if it is none of ours,
 * or of another number of partitions. */
const char *key_session_pattern(char out[KEY_SIZE], const struct key_space *space);
const char *key_session_call(char sid[CALL_SID_SIZE], const struct key_space *space, const char *key);

/* Appointment times held by live calls are kept in pieces of so many seconds. */
enum { SLOT_SECONDS = 300 };

/* rf:slot:{<business>}:2026-11-26T10:00:00Z, for the piece that begins at start_s (seconds since 1970).
 * The business is the hash tag: all pieces of an appointment share a cluster slot, so that they are
 * held in one atomic step. NULL if it does not fit. */
const char *key_slot(char out[KEY_SIZE], const struct key_space *space, const char *business_id, int64_t start_s);

/* rf:{p0}:alias:<id>, in the partition of the id: the call_sid of a call that others know by this id (the carrier's
 * CallSid, a conversation's id). NULL if it does not fit. */
const char *key_alias(char out[KEY_SIZE], const struct key_space *space, const char *id);

/* rf:{outbound}:queue and its kind, rf:{outbound}:key:<id>: of the calls to be dialled, all in one cluster slot.
 * id may be NULL. NULL if it does not fit. */
const char *key_outbound(char out[KEY_SIZE], const struct key_space *space, const char *kind, const char *id);

/* rf:business:<id>, rf:number:<e164>, rf:worker:<id>: keys of no call.
 * Returns NULL if it does not fit. */
const char *key_global(char out[KEY_SIZE], const struct key_space *space, const char *kind, const char *id,
                       const char *more);

#define FLUSHER_GROUP "flusher"
