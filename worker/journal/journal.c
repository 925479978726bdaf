#include "worker/journal/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/redis/functions.h"
#include "worker/journal/journal_recent.h"
#include "worker/journal/journal_spool.h"

/* XADD key NOMKSTREAM id, then type, by, at, the fields and spooled */
enum { ARGS_MAX = 4 + 2 * (4 + JOURNAL_FIELDS_MAX) };

static void go_on(struct journal *j);

static void fence(struct journal *j, const char *why)
{
    if (j->fenced)
        return;
    j->fenced = true;
    metric_add(&j->w->metrics.journal_fenced, 1);
    log_warn(j->call_sid, "journal fenced", log_int("epoch", (int64_t)j->epoch), log_str("why", why),
             log_int("unwritten", j->waiting + j->spool.beyond));
    j->on_outcome(j->arg, JOURNAL_FENCED);
}

/* Redis was emptied, or the call was taken out of it. With a spool what waits comes to the dead stream (rf_late). */
static void lose(struct journal *j)
{
    if (!j->w->spool)
        metric_add(&j->w->metrics.journal_refused, (uint64_t)j->waiting);
    fence(j, "Redis does not have the call any more");
}

static void pop(struct journal *j)
{
    struct journal_entry *e = j->head;
    j->head = e->next;
    if (!j->head)
        j->tail = NULL;
    j->waiting--;
    j->kept++;
    metric_add(&j->w->metrics.journal_appended, 1);
    journal_recent_keep(j, e);
}

static void tell_kept(struct journal *j)
{
    if (!j->awaited || j->kept < j->awaited)
        return;
    j->awaited = 0;
    j->on_outcome(j->arg, JOURNAL_KEPT);
}

static void retry_later(struct journal *j, const char *error)
{
    struct log_limit *limit = &j->w->journal_limit;
    struct timeval tv = {0, JOURNAL_RETRY_MS * 1000};
    if (log_allow(limit))
        log_error(j->call_sid, "redis refused a journal write", log_str("error", error),
                  log_int("waiting", j->waiting), log_int("suppressed", limit->suppressed));
    evtimer_add(&j->retry, &tv);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    go_on(arg);
}

/* Somebody raised the epoch: another worker, or the reaper for a worker it believed dead. */
static void displaced(struct journal *j)
{
    j->displaced = true;
    go_on(j);
}

static void on_appended(void *owner, const redisReply *reply)
{
    struct journal *j = owner;
    j->ticket = NULL;
    if (!reply) {
        j->unsure = true;
        return; /* journal_kick comes when Redis does */
    }
    if (reply->type == REDIS_REPLY_STRING) {
        pop(j);
        go_on(j);
        tell_kept(j);
    } else if (reply->type == REDIS_REPLY_NIL) {
        lose(j);
    } else if (reply->type == REDIS_REPLY_ERROR && strstr(reply->str, "equal or smaller")) {
        displaced(j);
    } else {
        retry_later(j, reply->type == REDIS_REPLY_ERROR ? reply->str : "unexpected reply");
    }
}

static void on_last_id(void *owner, const redisReply *reply)
{
    struct journal *j = owner;
    struct stream_id last = {0, 0};
    j->ticket = NULL;
    if (!reply)
        return;
    if (reply->type == REDIS_REPLY_ERROR) {
        retry_later(j, reply->str);
        return;
    }
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
        !stream_id_parse(redis_text(reply->element[0], 0), &last))
        last = (struct stream_id){0, 0};
    j->unsure = false;
    if (last.hi > j->epoch) {
        displaced(j);
        return;
    }
    while (j->head && j->head->seq <= last.lo)
        pop(j);
    journal_recent_return(j, last.lo);
    if (last.hi < j->epoch || (j->head && j->head->seq != last.lo + 1)) {
        displaced(j); /* our claim is lost too, or what stood before these: they get other numbers */
        return;
    }
    go_on(j);
    tell_kept(j);
}

/* What waits follows the entries that came between: seq has no gaps, whoever wrote. */
static void renumber(struct journal *j, uint64_t epoch, uint64_t seq, uint64_t kept)
{
    while (j->head && j->head->seq <= kept)
        pop(j);
    j->epoch = epoch;
    j->seq = seq;
    for (struct journal_entry *e = j->head; e; e = e->next)
        e->seq = ++j->seq;
}

static void on_reclaimed(void *owner, const redisReply *reply)
{
    struct journal *j = owner;
    j->ticket = NULL;
    if (!reply)
        return; /* may be asked twice; journal_kick asks again */
    if (reply->type == REDIS_REPLY_ERROR) {
        retry_later(j, reply->str);
        return;
    }
    if (strcmp(redis_word(reply), "RECLAIMED") != 0) {
        if (*redis_text(reply, 1))
            fence(j, "another worker has the call");
        else
            lose(j);
        return;
    }
    j->displaced = j->unsure = false;
    renumber(j, strtoull(redis_text(reply, 1), NULL, 10), strtoull(redis_text(reply, 2), NULL, 10),
             strtoull(redis_text(reply, 3), NULL, 10));
    metric_add(&j->w->metrics.journal_reclaimed, 1);
    log_warn(j->call_sid, "call taken back", log_int("epoch", (int64_t)j->epoch), log_int("unwritten", j->waiting));
    go_on(j);
    tell_kept(j);
}

/* ZADD XX CH changes nothing if the call is not live any more: it was ended for a dead worker. */
static void on_renewed(void *owner, const redisReply *reply)
{
    struct journal *j = owner;
    j->lease = NULL;
    if (!reply || reply->type != REDIS_REPLY_INTEGER || reply->integer != 0)
        return;
    j->unsure = true;
    go_on(j);
}

static void on_ended(void *owner, const redisReply *reply)
{
    struct journal *j = owner;
    const char *word = redis_word(reply);
    j->ticket = NULL;
    if (!reply)
        return; /* rf_end may be asked twice; journal_kick asks again */
    if (strcmp(word, "ENDED") == 0 || strcmp(word, "AGAIN") == 0) {
        j->ended = true;
        j->on_outcome(j->arg, JOURNAL_ENDED);
    } else if (reply->type == REDIS_REPLY_ERROR) {
        retry_later(j, reply->str);
    } else if (strcmp(word, "FENCED") == 0) {
        displaced(j);
    } else {
        fence(j, word);
    }
}

static void send_head(struct journal *j)
{
    const struct journal_entry *e = j->head;
    const struct journal_type_row *row = &journal_types[e->type];
    const struct stream_id now = {j->epoch, e->seq};
    char key[KEY_SIZE], id[STREAM_ID_SIZE], copied[STREAM_ID_SIZE], at[24];
    const char *argv[ARGS_MAX] = {"XADD", key_of_call(key, &j->w->keys, KEY_WRITES, j->call_sid), "NOMKSTREAM",
                                  stream_id_format(id, now),
                                  "type", row->name, "by", "worker", "at", at};
    int argc = 10;
    snprintf(at, sizeof at, "%" PRId64, e->at_ms);
    for (int i = 0; i < row->field_count; i++) {
        argv[argc++] = row->fields[i];
        argv[argc++] = e->values[i];
    }
    if (e->copied.hi > 0 && stream_id_compare(e->copied, now) != 0) {
        argv[argc++] = "spooled";
        argv[argc++] = stream_id_format(copied, e->copied);
    }
    j->ticket = ticket_send(j->w, on_appended, j, argc, argv);
}

static void send_end(struct journal *j)
{
    char keys[4][KEY_SIZE], epoch[24], seq[24];
    static const enum key_kind kinds[] = {KEY_SESSION, KEY_WRITES, KEY_LIVE, KEY_ENDED};
    const char *argv[] = {"FCALL", REDIS_FUNCTION("rf_end"), "4", keys[0], keys[1], keys[2], keys[3], j->call_sid,
                          epoch, seq, j->end.reason, j->end.verdict, j->end.metrics ? j->end.metrics : "{}"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        key_of_call(keys[i], &j->w->keys, kinds[i], j->call_sid);
    snprintf(epoch, sizeof epoch, "%" PRIu64, j->epoch);
    snprintf(seq, sizeof seq, "%" PRIu64, j->seq + 1);
    j->ticket = ticket_send(j->w, on_ended, j, (int)ARRAY_LEN(argv), argv);
}

static void send_look(struct journal *j)
{
    char key[KEY_SIZE];
    const char *argv[] = {"XREVRANGE", key_of_call(key, &j->w->keys, KEY_WRITES, j->call_sid), "+", "-", "COUNT", "1"};
    j->ticket = ticket_send(j->w, on_last_id, j, (int)ARRAY_LEN(argv), argv);
}

static void send_reclaim(struct journal *j)
{
    char keys[3][KEY_SIZE], epoch[24], lease[24];
    static const enum key_kind kinds[] = {KEY_SESSION, KEY_WRITES, KEY_LIVE};
    const char *argv[] = {"FCALL", REDIS_FUNCTION("rf_reclaim"), "3", keys[0], keys[1], keys[2], j->call_sid, epoch,
                          j->w->id, j->stream_sid, lease};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        key_of_call(keys[i], &j->w->keys, kinds[i], j->call_sid);
    snprintf(epoch, sizeof epoch, "%" PRIu64, j->epoch);
    snprintf(lease, sizeof lease, "%" PRId64, j->w->config->lease_seconds * 1000);
    j->ticket = ticket_send(j->w, on_reclaimed, j, (int)ARRAY_LEN(argv), argv);
}

/* Everything is written, and the call is somebody else's to go on with. Redis is told that it was not lost
 * (rf_after); if that does not arrive, it counts as lost once more. */
static void leave(struct journal *j)
{
    char key[KEY_SIZE], epoch[24];
    const char *argv[] = {"HSET", key_of_call(key, &j->w->keys, KEY_SESSION, j->call_sid), "handed_over", epoch};
    snprintf(epoch, sizeof epoch, "%" PRIu64, j->epoch);
    ticket_drop(ticket_send(j->w, NULL, NULL, (int)ARRAY_LEN(argv), argv));
    j->ended = true;
    j->on_outcome(j->arg, JOURNAL_ENDED);
}

/* The next thing to do, one at a time. If Redis is away the ticket stays NULL and a kick follows. */
static void go_on(struct journal *j)
{
    if (j->ticket || j->fenced || j->ended || j->spool.resting || evtimer_pending(&j->retry, NULL))
        return;
    if (j->displaced)
        send_reclaim(j);
    else if (j->unsure)
        send_look(j);
    else if (j->head)
        send_head(j);
    else if (j->spool.beyond > 0)
        journal_spool_bring_back(j);
    else if (j->end.only_media)
        leave(j);
    else if (j->end.wanted)
        send_end(j);
}

void journal_kick(struct journal *j)
{
    j->unsure = true;
    go_on(j);
}

void journal_look(struct journal *j)
{
    if (!journal_spool_look(j))
        return;
    j->kept += (uint64_t)j->spool.beyond;
    metric_add(&j->w->metrics.journal_appended, (uint64_t)j->spool.beyond);
    j->spool.beyond = 0;
    j->spool.resting = false;
    tell_kept(j);
    displaced(j);
}

/* XX: a call that has ended is not revived. GT: a claim that came later keeps its lease. */
void journal_renew(struct journal *j)
{
    char key[KEY_SIZE], deadline[24];
    struct worker *w = j->w;
    const char *argv[] = {"ZADD", key_of_call(key, &w->keys, KEY_LIVE, j->call_sid), "XX", "GT", "CH", deadline,
                          j->call_sid};
    if (j->lease || j->fenced || j->ended)
        return;
    snprintf(deadline, sizeof deadline, "%" PRId64,
             clock_mono_ms() + j->clock_skew_ms + w->config->lease_seconds * 1000);
    /* Redis away: nothing to renew, the next beat tries again. */
    j->lease = ticket_send(w, on_renewed, j, (int)ARRAY_LEN(argv), argv);
}

void journal_init(struct journal *j, struct worker *w, const char *call_sid, const char *stream_sid, uint64_t epoch,
                  uint64_t seq, void (*on_outcome)(void *arg, enum journal_outcome outcome), void *arg)
{
    memset(j, 0, sizeof *j);
    j->w = w;
    j->call_sid = call_sid;
    j->stream_sid = stream_sid;
    j->epoch = epoch;
    j->seq = seq;
    j->on_outcome = on_outcome;
    j->arg = arg;
    evtimer_assign(&j->retry, w->base, on_retry, j);
}

/* Text for C and UTF-8 by then: a NUL cannot be in it. */
static struct journal_entry *entry_new(enum journal_type type, const char *const values[])
{
    size_t size = sizeof(struct journal_entry);
    int count = journal_types[type].field_count;
    struct journal_entry *e;
    char *at;
    for (int i = 0; i < count; i++)
        size += strlen(values[i]) + 1;
    e = calloc(1, size);
    if (!e)
        return NULL;
    at = (char *)(e + 1);
    for (int i = 0; i < count; i++) {
        size_t len = strlen(values[i]) + 1;
        e->values[i] = memcpy(at, values[i], len);
        at += len;
    }
    e->type = type;
    e->at_ms = clock_wall_ms();
    return e;
}

static void enqueue(struct journal *j, struct journal_entry *e)
{
    if (j->tail)
        j->tail->next = e;
    else
        j->head = e;
    j->tail = e;
    j->waiting++;
}

/* In memory, or behind that on disk; false: nowhere, the entry is gone. */
static bool place(struct journal *j, struct journal_entry *e)
{
    bool behind = j->spool.beyond > 0 && !j->spool.resting, kept = true;
    e->seq = j->seq + 1;
    e->made_ms = clock_mono_ms() + j->clock_skew_ms;
    if (j->waiting < JOURNAL_WAITING_MAX && !behind) {
        enqueue(j, e);
    } else {
        kept = !j->spool.resting && journal_spool_beyond(j, e);
        j->spool.beyond += kept;
        free(e);
    }
    j->seq += kept;
    j->given += kept;
    return kept;
}

bool journal_append(struct journal *j, enum journal_type type, const char *const values[])
{
    struct journal_entry *e = j->fenced || j->end.wanted ? NULL : entry_new(type, values);
    if (!e || !place(j, e)) {
        metric_add(&j->w->metrics.journal_refused, 1);
        log_error(j->call_sid, "journal entry refused", log_str("type", journal_types[type].name),
                  log_int("waiting", j->waiting));
        return false;
    }
    go_on(j);
    return true;
}

void journal_await(struct journal *j)
{
    j->awaited = j->given;
}

bool journal_has_kept(const struct journal *j, uint64_t entries)
{
    return j->kept >= entries;
}

bool journal_fact(struct journal *j, json_t *object)
{
    char *data = object ? json_dumps(object, JSON_COMPACT) : NULL;
    const char *const values[] = {data};
    bool accepted = data && journal_append(j, JOURNAL_CALLSESSION_UPDATE, values);
    if (!data)
        log_error(j->call_sid, "out of memory for a fact of the call");
    free(data);
    json_decref(object);
    return accepted;
}

void journal_end(struct journal *j, const char *reason, const char *verdict, const char *metrics)
{
    j->end.reason = reason;
    snprintf(j->end.verdict, sizeof j->end.verdict, "%s", verdict);
    free(j->end.metrics);
    j->end.metrics = strdup(metrics); /* without memory the call ends without its figures */
    j->end.wanted = true;
    go_on(j);
}

/* From the loop, not from inside: the caller is not done with its own step yet. */
void journal_leave(struct journal *j)
{
    struct timeval now = {0, 0};
    j->end.wanted = j->end.only_media = true;
    if (!evtimer_pending(&j->retry, NULL))
        evtimer_add(&j->retry, &now);
}

/* Of a fenced journal that has been said. */
static void report_lost(struct journal *j, int entries)
{
    if (entries == 0 || j->fenced)
        return;
    metric_add(&j->w->metrics.journal_refused, (uint64_t)entries);
    log_error(j->call_sid, "journal entries are lost: Redis did not take them in time", log_int("entries", entries));
}

void journal_release(struct journal *j)
{
    if (!j->w)
        return; /* never begun */
    ticket_drop(j->lease);
    ticket_drop(j->ticket);
    event_del(&j->retry);
    report_lost(j, journal_spool_leave(j));
    free(j->end.metrics);
    j->end.metrics = NULL;
    journal_recent_forget(j);
    while (j->head) {
        struct journal_entry *e = j->head;
        j->head = e->next;
        free(e);
    }
}
