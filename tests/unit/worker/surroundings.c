#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tests/unit/worker/surroundings.h"
#include "worker/ai/agent_url.h"
#include "worker/ai/ai_pool.h"
#include "worker/tools/call_tools.h"

struct surroundings around;

static char ticket; /* its address stands for all */

struct ticket *ticket_send(struct worker *worker, ticket_fn *fn, void *owner, int argc, const char **argv)
{
    (void)worker, (void)argc, (void)argv;
    around.asked.fn = fn;
    around.asked.owner = owner;
    return (struct ticket *)&ticket;
}

void ticket_drop(struct ticket *t)
{
    if (t)
        around.asked.fn = NULL;
}

struct ticket *claim_send(struct worker *worker, const char *sid, int n, const char *token, const char *stream_sid,
                          ticket_fn *fn, void *owner)
{
    (void)sid, (void)n, (void)token, (void)stream_sid;
    return ticket_send(worker, fn, owner, 0, NULL);
}

static const char *field_of(const char *name)
{
    if (strcmp(name, "answered_by") == 0)
        return around.answered_by;
    return strcmp(name, "source") == 0 ? "database" : name;
}

const char *claim_take(const redisReply *reply, struct claim *out)
{
    memset(out, 0, sizeof *out);
#define X(name) out->context.name = strdup(field_of(#name));
    CONTEXT_FIELDS(X)
#undef X
    out->epoch = around.history ? 2 : 1;
    out->idle = around.left_idle;
    if (around.history)
        assert_true(history_add(&out->history, "caller", around.history));
    return reply ? NULL : "redis connection lost";
}

void claim_release(struct claim *claim)
{
    context_release(&claim->context);
    history_release(&claim->history);
}

void journal_init(struct journal *j, struct worker *worker, const char *sid, const char *stream_sid, uint64_t epoch,
                  uint64_t seq, void (*on_outcome)(void *arg, enum journal_outcome outcome), void *arg)
{
    memset(j, 0, sizeof *j);
    j->w = worker;
    (void)sid, (void)stream_sid, (void)epoch, (void)seq, (void)on_outcome, (void)arg;
}

bool journal_append(struct journal *j, enum journal_type type, const char *const values[])
{
    (void)j, (void)values;
    around.turns += type == JOURNAL_TURN;
    return true;
}

bool journal_fact(struct journal *j, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    (void)j;
    snprintf(around.fact, sizeof around.fact, "%s", text);
    free(text);
    json_decref(object);
    return true;
}

void journal_end(struct journal *j, const char *reason, const char *said, const char *metrics)
{
    (void)j, (void)reason, (void)metrics;
    snprintf(around.verdict, sizeof around.verdict, "%s", said);
}

void journal_leave(struct journal *j)
{
    (void)j;
    snprintf(around.verdict, sizeof around.verdict, "left");
}

void journal_kick(struct journal *j)
{
    (void)j;
}

void journal_release(struct journal *j)
{
    (void)j;
}

int redis_async_send(struct redis_async *ra, redisCallbackFn *fn, void *arg, int argc, const char **argv,
                     const size_t *lens)
{
    (void)ra, (void)fn, (void)arg, (void)argc, (void)argv, (void)lens;
    return -1;
}

struct ws_conn *ai_pool_take(struct ai_pool *pool, const struct ws_handler *handler, void *arg, struct ai_memory *memory)
{
    (void)pool, (void)handler, (void)arg, (void)memory;
    return NULL;
}

void ai_pool_refused(struct ai_pool *pool, const char *why)
{
    (void)pool, (void)why;
}

struct agent_url_answer agent_url_get(struct agent_urls *urls, const char *agent_id)
{
    (void)urls, (void)agent_id;
    return (struct agent_url_answer){.permanent = true, .why = "not in this test"};
}

json_t *call_tools_describe(const struct call *c)
{
    (void)c;
    return json_array();
}

/* Every tool is the end of the call. */
void call_tools_run(struct call *c, const struct ai_event *ev)
{
    (void)ev;
    call_part(c, REASON_AGENT_HANGUP);
}

void call_tools_kept(struct call *c)
{
    (void)c;
}

void call_tools_context(struct call *c)
{
    (void)c;
}

void call_tools_look(struct call *c)
{
    (void)c;
}

void call_tools_session_lost(struct call *c)
{
    (void)c;
}

void call_tools_release(struct call *c)
{
    (void)c;
}
