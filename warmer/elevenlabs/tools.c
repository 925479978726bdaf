/* POST /webhooks/elevenlabs/dialogue  {"call_sid": "..", "speaker": "caller" | "assistant", "message": "..",
 *                                      "id": "..", "conversation_id": ".."}     the last two if there are any
 *   200 {"seq": 3}: counted from 1 without a gap; a line that comes again, by its id, gets the same number
 * POST /webhooks/elevenlabs/call  {"call_sid": "..", "conversation_id": ".."}
 *   200 {"call_sid": "..", "conversation_id": "..", "context": {..}, "turns": [{"speaker": "..", "message": ".."}, ..]}
 *
 * Two steps, both in Redis: from call_sid (ours, or the carrier's) to the call, from its conversation to what was said.
 *   400 unknown call_sid; or a call whose provider has not taken it, or has failed
 *   500 Redis is away: to be sent again */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/log.h"
#include "common/base/foreign_json.h"
#include "common/redis/functions.h"
#include "warmer/ask.h"
#include "warmer/elevenlabs/webhooks.h"

enum { LINE_ID_MAX = 128, MESSAGE_MAX = 32 * 1024 };

struct asked {
    struct request *request;
    json_t *body;
    char sid[CALL_SID_SIZE];
    void (*go_on)(struct asked *a);
};

static void answer_json(struct asked *a, int code, json_t *document)
{
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    struct request *r = a->request;
    json_decref(document);
    json_decref(a->body);
    free(a);
    request_answer_json(r, text ? code : 500, text ? text : "{}");
    free(text);
}

static void refuse(struct asked *a, int code, const char *error)
{
    static struct log_limit limit;
    if (log_allow(&limit))
        log_warn(a->sid, "a provider's webhook was refused", log_str("why", error), log_int("suppressed", limit.suppressed));
    answer_json(a, code, json_pack("{s:s}", "error", error));
}

static void refuse_away(struct asked *a)
{
    metric_add(&a->request->w->metrics.lines_failed, 1);
    refuse(a, 500, "Redis cannot be asked now; send it again");
}

static const char *text_of(const struct asked *a, const char *name)
{
    const char *text = json_string_value(json_object_get(a->body, name));
    return text ? text : "";
}

/* UNKNOWN | UNLINKED status; true if it was one of them. */
static bool refused(struct asked *a, const redisReply *reply)
{
    const char *word = redis_word(reply), *status = redis_text(reply, 1);
    bool unknown = strcmp(word, "UNKNOWN") == 0, unlinked = strcmp(word, "UNLINKED") == 0;
    if (!unknown && !unlinked)
        return false;
    metric_add(&a->request->w->metrics.lines_refused, 1);
    if (unknown)
        refuse(a, 400, "unknown call_sid: no call of this name is known here, or it is long over");
    else if (*status)
        refuse(a, 400, "this call has no conversation: the provider's call has not completed, or has failed (see its status)");
    else
        refuse(a, 400, "this call has no conversation yet: the provider's call has not completed, or has failed");
    return true;
}

/* ---- from the name to the call ---- */

static void on_alias(const redisReply *reply, void *arg)
{
    struct asked *a = arg;
    if (!reply) {
        refuse_away(a);
        return;
    }
    if (reply->type == REDIS_REPLY_STRING && call_sid_valid(reply->str))
        strcpy(a->sid, reply->str);
    a->go_on(a);
}

static void find_call(struct request *r, void (*go_on)(struct asked *a))
{
    size_t len;
    const char *text = request_body(r, &len);
    struct asked *a = calloc(1, sizeof *a);
    struct question q;
    if (!a || !text) {
        free(a);
        request_answer_status(r, 500);
        return;
    }
    a->request = r;
    a->go_on = go_on;
    a->body = foreign_json(text, len, 0);
    if (!call_sid_valid(text_of(a, "call_sid"))) {
        metric_add(&r->w->metrics.lines_refused, 1);
        refuse(a, 400, "the body is no JSON object with a call_sid");
        return;
    }
    strcpy(a->sid, text_of(a, "call_sid"));
    question_init_command(&q, "GET");
    question_key_alias(&q, r->w, a->sid);
    if (ask(r->w, &q, on_alias, a) != 0)
        refuse_away(a);
}

/* ---- a line of dialogue ---- */

/* SAID n | AGAIN n | UNKNOWN | UNLINKED status */
static void on_said(const redisReply *reply, void *arg)
{
    struct asked *a = arg;
    struct warmer_metrics *m = &a->request->w->metrics;
    bool again = strcmp(redis_word(reply), "AGAIN") == 0;
    if (!reply) {
        refuse_away(a);
    } else if (!refused(a, reply)) {
        metric_add(again ? &m->lines_again : &m->lines_kept, 1);
        answer_json(a, 200, json_pack("{s:I}", "seq", (json_int_t)reply->element[1]->integer));
    }
}

static const char *speaker_of(const char *said)
{
    if (strcmp(said, "caller") == 0 || strcmp(said, "user") == 0)
        return "caller";
    return strcmp(said, "assistant") == 0 || strcmp(said, "agent") == 0 ? "assistant" : NULL;
}

/* The call's keys, its name, and its conversation if the webhook names it. */
static void begin(struct question *q, const struct asked *a, const char *function)
{
    static const enum key_kind kinds[] = {KEY_SESSION, KEY_EVENTS, KEY_LIVE, KEY_ENDED};
    question_init(q, function);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        question_key(q, a->request->w, kinds[i], a->sid);
}

static void add_names(struct question *q, const struct asked *a)
{
    const char *conversation = text_of(a, "conversation_id");
    question_arg(q, a->sid);
    question_arg(q, call_sid_valid(conversation) ? conversation : "");
}

static void keep_line(struct asked *a)
{
    const char *speaker = speaker_of(text_of(a, "speaker")), *message = text_of(a, "message"), *id = text_of(a, "id");
    struct warmer *w = a->request->w;
    struct question q;
    if (!speaker || !*message || strlen(message) > MESSAGE_MAX || strlen(id) > LINE_ID_MAX) {
        metric_add(&w->metrics.lines_refused, 1);
        refuse(a, 400, "speaker is neither caller nor assistant, or message is missing or longer than 32 KB");
        return;
    }
    begin(&q, a, REDIS_FUNCTION("rf_said"));
    add_names(&q, a);
    question_arg(&q, id);
    question_arg(&q, speaker);
    question_arg(&q, message);
    if (ask(w, &q, on_said, a) != 0)
        refuse_away(a);
}

void dialogue_handle(struct request *r)
{
    find_call(r, keep_line);
}

/* ---- what is known ---- */

/* Prompts are the agent's own already, credentials nobody's. */
static bool is_told(const char *name)
{
    return strncmp(name, "prompt_", 7) != 0 && strcmp(name, "tools") != 0 && strcmp(name, "business_settings") != 0;
}

static json_t *context_of(const redisReply *pairs)
{
    json_t *context = json_object();
    for (size_t i = 0; i + 1 < pairs->elements; i += 2) {
        if (is_told(pairs->element[i]->str))
            json_object_set_new(context, pairs->element[i]->str, json_string(pairs->element[i + 1]->str));
    }
    return context;
}

static json_t *turns_of(const redisReply *lines)
{
    json_t *turns = json_array();
    for (size_t i = 0; i + 1 < lines->elements; i += 2)
        json_array_append_new(turns, json_pack("{s:s, s:s}", "speaker", lines->element[i]->str, "message", lines->element[i + 1]->str));
    return turns;
}

/* FOUND conversation_id {context} {lines} | UNKNOWN | UNLINKED status */
static void on_found(const redisReply *reply, void *arg)
{
    struct asked *a = arg;
    if (!reply)
        refuse_away(a);
    else if (!refused(a, reply))
        answer_json(a, 200, json_pack("{s:s, s:s, s:o, s:o}", "call_sid", a->sid, "conversation_id", redis_text(reply, 1),
                                      "context", context_of(reply->element[2]), "turns", turns_of(reply->element[3])));
}

static void look_up(struct asked *a)
{
    struct warmer *w = a->request->w;
    struct question q;
    begin(&q, a, REDIS_FUNCTION("rf_lookup"));
    question_key(&q, w, KEY_CONTEXT, a->sid);
    add_names(&q, a);
    if (ask(w, &q, on_found, a) != 0)
        refuse_away(a);
}

void lookup_handle(struct request *r)
{
    find_call(r, look_up);
}
