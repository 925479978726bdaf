#include "common/pg/pipeline.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/log.h"
#include "common/pg/cork.h"
#include "common/pg/session.h"
#include "common/pg/sqlstate.h"

enum {
    TICK_MS = 500,
    SILENT_MS = 5000, /* connecting, preparing, or groups wait, without an answer for this long */
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 5000,
    WHY_SIZE = 384,
};

enum state { STATE_WAITING, STATE_RESOLVING, STATE_CONNECTING, STATE_PREPARING, STATE_UP };

struct group {
    pg_group_fn *fn;
    void *arg;
    size_t count, answered;
    bool leads; /* another one of its chain follows: no sync of its own */
    int64_t sent_ms;
    PGresult *results[PG_GROUP_MAX];
};

struct pg_pipeline {
    struct pg_pipeline_spec spec;
    enum state state;
    PGconn *conn;                  /* NULL in WAITING and RESOLVING */
    struct resolve_request *resolving;
    struct event *timer;           /* WAITING: the next try; otherwise the tick */
    struct event *readable, *writable;
    struct cork cork;              /* the groups of one turn leave in one packet */
    int64_t since_ms;              /* when the present state began */
    int64_t heard_ms;              /* of the last answer */
    size_t prepared;               /* PREPARING: statements whose sync has come */
    bool described;                /* PREPARING: this statement's first answer was seen */
    struct group ring[PG_WAITING_MAX];
    size_t head, waiting;
    bool misfit;                   /* a statement must be prepared anew */
    int backoff_ms;
    struct log_limit limit;
};

/* Both below SILENT_MS. The server would go on for a connection that was given up: behind a lock that is held for
 * minutes there would soon be as many of them as it allows. */
static const char session_defaults[] = "-c lock_timeout=4s -c statement_timeout=4500ms";

static void on_socket(evutil_socket_t fd, short what, void *arg);

static void arm(struct pg_pipeline *p, int ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
    evtimer_add(p->timer, &tv);
}

static void enter(struct pg_pipeline *p, enum state next)
{
    p->state = next;
    p->since_ms = clock_mono_ms();
}

static struct group *oldest(struct pg_pipeline *p)
{
    return p->waiting ? &p->ring[p->head] : NULL;
}

/* Takes the oldest group off the ring before its callback, which may submit again. */
static struct group take_oldest(struct pg_pipeline *p)
{
    struct group group = p->ring[p->head];
    memset(&p->ring[p->head], 0, sizeof group);
    p->head = (p->head + 1) % PG_WAITING_MAX;
    p->waiting--;
    return group;
}

static void unwatch(struct pg_pipeline *p)
{
    if (p->readable)
        event_free(p->readable);
    if (p->writable)
        event_free(p->writable);
    p->readable = p->writable = NULL;
}

/* libpq may change its socket while it connects, so the events are made anew. */
static bool watch(struct pg_pipeline *p, bool read, bool write)
{
    int fd = PQsocket(p->conn);
    unwatch(p);
    p->readable = event_new(p->spec.base, fd, EV_READ | EV_PERSIST, on_socket, p);
    p->writable = event_new(p->spec.base, fd, EV_WRITE, on_socket, p);
    return p->readable && p->writable && (!read || event_add(p->readable, NULL) == 0) &&
           (!write || event_add(p->writable, NULL) == 0);
}

static void close_connection(struct pg_pipeline *p)
{
    unwatch(p);
    cork_forget(&p->cork);
    PQfinish(p->conn);
    p->conn = NULL;
    p->misfit = false;
    enter(p, STATE_WAITING); /* a callback that submits again is refused */
    while (p->waiting) {
        struct group group = take_oldest(p);
        for (size_t i = 0; i < group.count; i++)
            PQclear(group.results[i]);
        group.fn(NULL, group.arg);
    }
}

/* The one place where a connection ends: everything that waits is told, then the next try is set. */
static void lost(struct pg_pipeline *p, const char *why)
{
    char text[WHY_SIZE];
    int wait = p->backoff_ms / 2 + (int)random_below((uint32_t)p->backoff_ms / 2 + 1);
    snprintf(text, sizeof text, "%.*s", (int)strcspn(why, "\n"), why); /* it may live in the connection */
    close_connection(p);
    if (log_allow(&p->limit))
        log_warn(NULL, "postgres connection lost", log_str("why", text), log_int("retry_ms", wait),
                 log_int("suppressed", p->limit.suppressed));
    p->backoff_ms = p->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : p->backoff_ms * 2;
    arm(p, wait);
}

/* ---- preparing: for each statement Parse, Describe, Sync ---- */

static bool send_prepares(struct pg_pipeline *p)
{
    for (size_t i = 0; i < p->spec.statement_count; i++) {
        const struct statement *s = p->spec.statements[i].statement;
        if (!PQsendPrepare(p->conn, s->name, s->text, 0, NULL) || !PQsendDescribePrepared(p->conn, s->name) ||
            !PQpipelineSync(p->conn))
            return false;
    }
    return true;
}

/* The first answer belongs to Parse, the second to Describe. */
static bool on_prepare_result(struct pg_pipeline *p, const PGresult *result, char *why, size_t size)
{
    const struct pg_prepared *want = &p->spec.statements[p->prepared];
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        prepared_refused(want, result, why, size);
        return false;
    }
    if (p->described && !prepared_fits(want, result, why, size))
        return false;
    p->described = true;
    return true;
}

static void on_prepare_sync(struct pg_pipeline *p)
{
    p->described = false;
    if (++p->prepared < p->spec.statement_count)
        return;
    enter(p, STATE_UP);
    p->backoff_ms = BACKOFF_MIN_MS;
    log_info(NULL, "postgres connected", log_int("server_version", PQserverVersion(p->conn)));
}

/* ---- groups ---- */

/* Errors that the same text, prepared anew, does not have: 0A000 "cached plan must not change result
 * type" after a migration, 26000 when the server (or a pooler before it) lost the statement. */
static bool needs_new_prepare(const char *sqlstate)
{
    return sqlstate && (strcmp(sqlstate, "0A000") == 0 || strcmp(sqlstate, "26000") == 0);
}

static void finish_oldest(struct pg_pipeline *p)
{
    struct group group = take_oldest(p);
    group.fn(group.results, group.arg);
    for (size_t i = 0; i < group.count; i++)
        PQclear(group.results[i]);
}

static void on_group_result(struct pg_pipeline *p, PGresult *result)
{
    struct group *group = oldest(p);
    PGresult **slot = &group->results[group->answered];
    if (needs_new_prepare(PQresultErrorField(result, PG_DIAG_SQLSTATE)))
        p->misfit = true;
    PQclear(*slot);
    *slot = result;
    if (group->leads)
        finish_oldest(p);
}

static void on_group_sync(struct pg_pipeline *p)
{
    struct group *open = oldest(p);
    if (++open->answered == open->count)
        finish_oldest(p);
}

/* One answer of the server; false with a reason when the connection cannot go on. */
static bool on_result(struct pg_pipeline *p, PGresult *result, char *why, size_t size)
{
    bool sync = PQresultStatus(result) == PGRES_PIPELINE_SYNC, good = true;
    p->heard_ms = clock_mono_ms();
    if (!sync && p->state == STATE_UP) {
        on_group_result(p, result); /* owns it now */
        return true;
    }
    if (!sync)
        good = on_prepare_result(p, result, why, size);
    PQclear(result);
    if (sync && p->state == STATE_UP)
        on_group_sync(p);
    else if (sync)
        on_prepare_sync(p);
    if (p->misfit && !p->waiting) {
        snprintf(why, size, "a statement must be prepared anew");
        return false;
    }
    return good;
}

static bool answers_due(const struct pg_pipeline *p)
{
    return p->state == STATE_PREPARING || (p->state == STATE_UP && p->waiting > 0);
}

/* libpq puts a NULL between the answers of two queries; two in a row mean there is no more. */
static void read_answers(struct pg_pipeline *p)
{
    char why[WHY_SIZE];
    int nothing = 0;
    while (answers_due(p) && nothing < 2 && !PQisBusy(p->conn)) {
        PGresult *result = PQgetResult(p->conn);
        nothing = result ? 0 : nothing + 1;
        if (result && PQstatus(p->conn) == CONNECTION_BAD) {
            PQclear(result);
            break;
        }
        if (result && pg_answer_lost(result)) { /* or one group would get the answers of another */
            snprintf(why, sizeof why, "%s", PQresultErrorMessage(result));
            PQclear(result);
            lost(p, why);
            return;
        }
        if (result && !on_result(p, result, why, sizeof why)) {
            lost(p, why);
            return;
        }
    }
    if (PQstatus(p->conn) == CONNECTION_BAD)
        lost(p, PQerrorMessage(p->conn));
}

static void flush(struct pg_pipeline *p)
{
    int left = PQflush(p->conn);
    if (left < 0)
        lost(p, PQerrorMessage(p->conn));
    else if (left > 0)
        event_add(p->writable, NULL);
}

/* ---- connecting ---- */

static void on_connected(struct pg_pipeline *p)
{
    if (PQsetnonblocking(p->conn, 1) != 0 || !PQenterPipelineMode(p->conn) || !send_prepares(p) ||
        !watch(p, true, false)) {
        lost(p, PQerrorMessage(p->conn));
        return;
    }
    p->prepared = 0;
    p->described = false;
    enter(p, STATE_PREPARING);
    flush(p);
}

/* One step of libpq's handshake, then wait for the socket as it asks. */
static void poll_connection(struct pg_pipeline *p)
{
    bool watching = false;
    switch (PQconnectPoll(p->conn)) {
    case PGRES_POLLING_OK:
        on_connected(p);
        return;
    case PGRES_POLLING_READING:
        watching = watch(p, true, false);
        break;
    case PGRES_POLLING_WRITING:
        watching = watch(p, false, true);
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE: /* unused by libpq */
        break;
    }
    if (!watching)
        lost(p, PQerrorMessage(p->conn));
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct pg_pipeline *p = arg;
    (void)fd;
    if (p->state == STATE_CONNECTING) {
        poll_connection(p);
        return;
    }
    if ((what & EV_READ) && !PQconsumeInput(p->conn)) {
        lost(p, PQerrorMessage(p->conn));
        return;
    }
    if (what & EV_READ)
        read_answers(p);
    if (p->conn)
        flush(p);
}

/* Notices of the server are log lines, not loose text on stderr. */
static void on_notice(void *arg, const char *text)
{
    char line[WHY_SIZE];
    (void)arg;
    snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
    log_debug(NULL, "postgres notice", log_str("text", line));
}

/* address: what the host name in the URL resolves to, or NULL to leave the host to libpq. */
static void start_connection(struct pg_pipeline *p, const char *address)
{
    /* What stands before dbname the URL may change; what stands after it, it may not. */
    const char *keys[] = {"keepalives_idle", "dbname", "application_name", "options", address ? "hostaddr" : NULL, NULL};
    char *options = pg_session_options(p->spec.url, session_defaults);
    const char *values[] = {"30", p->spec.url, p->spec.application_name, options, address, NULL};
    enter(p, STATE_CONNECTING);
    p->conn = PQconnectStartParams(keys, values, 1);
    free(options);
    if (p->conn)
        PQsetNoticeProcessor(p->conn, on_notice, NULL);
    if (!p->conn || PQstatus(p->conn) == CONNECTION_BAD || !watch(p, false, true))
        lost(p, p->conn ? PQerrorMessage(p->conn) : "out of memory");
    else
        arm(p, TICK_MS);
}

static void on_resolved(const char *error, const struct sockaddr *addr, socklen_t len, void *arg)
{
    struct pg_pipeline *p = arg;
    char address[64];
    p->resolving = NULL;
    if (!error && getnameinfo(addr, len, address, sizeof address, NULL, 0, NI_NUMERICHOST) != 0)
        error = "address cannot be written as text";
    if (error)
        lost(p, error);
    else
        start_connection(p, address);
}

/* The URL's host if it is one name: no socket directory, no list, no hostaddr beside it. */
static char *host_to_resolve(const char *url)
{
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    const char *host = NULL;
    bool has_address = false;
    char *copy;
    for (const PQconninfoOption *o = options; o && o->keyword; o++) {
        if (strcmp(o->keyword, "host") == 0)
            host = o->val;
        if (strcmp(o->keyword, "hostaddr") == 0 && o->val && *o->val)
            has_address = true;
    }
    copy = host && *host && *host != '/' && *host != '@' && !strchr(host, ',') && !has_address ? strdup(host) : NULL;
    PQconninfoFree(options);
    return copy;
}

static void begin(struct pg_pipeline *p)
{
    char *host = host_to_resolve(p->spec.url);
    if (!host) {
        start_connection(p, NULL);
        return;
    }
    enter(p, STATE_RESOLVING);
    p->resolving = resolve(p->spec.resolver, host, 0, on_resolved, p);
    free(host);
}

/* Not while it answers one group after the other, however slowly: those behind would be carried out all the same, and
 * nobody would know. */
static bool silent(struct pg_pipeline *p)
{
    int64_t since = p->state == STATE_UP ? (p->waiting ? oldest(p)->sent_ms : 0) : p->since_ms;
    if (since && since < p->heard_ms)
        since = p->heard_ms;
    return since && clock_mono_ms() - since > SILENT_MS;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct pg_pipeline *p = arg;
    (void)fd;
    (void)what;
    if (p->state == STATE_WAITING)
        begin(p);
    else if (silent(p))
        lost(p, "no answer");
    else
        arm(p, TICK_MS);
}

struct pg_pipeline *pg_pipeline_new(const struct pg_pipeline_spec *spec)
{
    struct pg_pipeline *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->spec = *spec;
    p->backoff_ms = BACKOFF_MIN_MS;
    p->timer = evtimer_new(spec->base, on_timer, p);
    if (cork_init(&p->cork, spec->base) != 0 || !p->timer) {
        pg_pipeline_free(p);
        return NULL;
    }
    arm(p, 0);
    return p;
}

void pg_pipeline_free(struct pg_pipeline *p)
{
    if (!p)
        return;
    resolve_cancel(p->resolving);
    if (p->timer)
        event_free(p->timer);
    close_connection(p);
    cork_release(&p->cork);
    free(p);
}

bool pg_pipeline_up(const struct pg_pipeline *p)
{
    return p->state == STATE_UP && !p->misfit;
}

size_t pg_pipeline_waiting(const struct pg_pipeline *p)
{
    return p->waiting;
}

static struct group *add_group(struct pg_pipeline *p, size_t count, pg_group_fn *fn, void *arg)
{
    struct group *group = &p->ring[(p->head + p->waiting++) % PG_WAITING_MAX];
    *group = (struct group){.fn = fn, .arg = arg, .count = count, .sent_ms = clock_mono_ms()};
    return group;
}

static bool send_query(struct pg_pipeline *p, const struct pg_query *query)
{
    const struct pg_prepared *prepared = &p->spec.statements[query->statement];
    return PQsendQueryPrepared(p->conn, prepared->statement->name, prepared->params, query->params, NULL, NULL, 0);
}

/* What could not be sent is found, and told, by the next turn's read or by the silence. */
static void push(struct pg_pipeline *p, bool sent)
{
    if (PQflush(p->conn) != 0 || !sent)
        event_add(p->writable, NULL);
}

int pg_pipeline_submit(struct pg_pipeline *p, const struct pg_query *queries, size_t count, pg_group_fn *fn, void *arg)
{
    bool sent = true;
    if (!pg_pipeline_up(p) || p->waiting == PG_WAITING_MAX || count == 0 || count > PG_GROUP_MAX)
        return -1;
    add_group(p, count, fn, arg);
    if (count > 1) /* libpq sends each sync at once */
        cork_put_in(&p->cork, PQsocket(p->conn));
    for (size_t i = 0; i < count && sent; i++)
        sent = send_query(p, &queries[i]) && PQpipelineSync(p->conn);
    push(p, sent);
    return 0;
}

int pg_pipeline_submit_chain(struct pg_pipeline *p, const struct pg_link *links, size_t count, void *arg)
{
    bool sent = true;
    if (!pg_pipeline_up(p) || count == 0 || count > PG_GROUP_MAX || p->waiting + count > PG_WAITING_MAX)
        return -1;
    cork_let_first_through(&p->cork, PQsocket(p->conn));
    for (size_t i = 0; i < count; i++) {
        bool leads = i + 1 < count;
        add_group(p, 1, links[i].fn, arg)->leads = leads;
        sent = sent && send_query(p, &links[i].query) && (!leads || PQsendFlushRequest(p->conn));
    }
    push(p, sent && PQpipelineSync(p->conn));
    return 0;
}
