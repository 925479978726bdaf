/* The fleet's queue of calls to be dialled, in Redis (common/redis/functions/outbound.lua): it outlives a warmer,
 * keeps rate and places for all of them, and hands each call to one.
 *
 * A job is a JSON object of texts: the columns of open_outbound_call.sql, and
 *   give_up_ms    when it is too late to dial
 *   tries         attempts that the provider did not take
 *   asked         when an attempt went out that has no answer yet; the call may have been dialled
 *   looks         how often that was looked after
 *   provider_call_sid, conversation_id   once it was dialled */
#pragma once
#include <jansson.h>

#include "warmer/ask.h"

/* The job's member, or "". */
const char *job_text(const json_t *job, const char *name);
int64_t job_number(const json_t *job, const char *name); /* or 0 */
/* Whose clock the calling hours are on: the callee's, where a zone is known of it that this machine knows; else the
 * business'; else UTC. */
const char *job_zone(const json_t *job);
void job_set_number(json_t *job, const char *name, int64_t number);

/* Each asks Redis once, as ask() does; the word of the reply is there. */
/* key: of the request that asked for it (rf_once), which remembers for so long that it was queued. due_ms, 0: now. */
enum { QUEUE_REMEMBER_SECONDS = 86400 };
RF_NODISCARD int queue_add(struct warmer *w, const char *key, const char *sid, int64_t due_ms, const char *job, ask_fn *fn,
                           void *arg);
RF_NODISCARD int queue_take(struct warmer *w, ask_fn *fn, void *arg);

/* These report nothing but to the log: what they fail to do comes due again. changes: JSON; NULL: none. */
void queue_back(struct warmer *w, const char *sid, int64_t delay_ms, json_t *changes, bool keep_place);
void queue_settle(struct warmer *w, const char *sid, const char *provider_call_sid, const char *conversation_id,
                  int64_t look_ms);
void queue_over(struct warmer *w, const char *sid);
/* A call that we did not dial, but a provider carries: it is looked after from now on. job as above. */
void queue_watch(struct warmer *w, const char *sid, int64_t look_ms, const char *job);

/* A call that was handed out is looked after for so long before another warmer gets it. */
enum { QUEUE_LEASE_MS = 60000 };
