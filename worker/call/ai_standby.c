#include "worker/call/ai_standby.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/ai/ai_pool.h"
#include "worker/call/ai_leg.h"
#include "worker/call/answers.h"

enum {
    LEAD_MAX_MS = 5 * 60000, /* before the end, or a quarter of what is left: for a moment of silence to come */
    QUIET_MS = 1000,         /* nobody has spoken for so long */
    RETRY_MS = 5000,
};

void ai_standby_plan(struct call *c)
{
    int64_t left = c->ai_memory.expires_s * 1000 - clock_wall_ms();
    c->standby.due_ms = 0;
    if (left > 0) /* else it is not told, or one of the clocks is wrong */
        c->standby.due_ms = clock_mono_ms() + left - (left / 4 < LEAD_MAX_MS ? left / 4 : LEAD_MAX_MS);
}

void ai_standby_drop(struct call *c)
{
    ws_close(c->standby.ws, WS_CLOSE_NORMAL, "");
    c->standby.ws = NULL;
    c->standby.ready = false;
}

/* Not again if it would be refused again: the call has a session, and may be over before it ends. */
static void failed(struct call *c, const char *why, bool permanent)
{
    log_warn(c->sid, "no AI session to take over from the one that ends soon", log_str("why", why));
    c->standby.due_ms = permanent ? 0 : clock_mono_ms() + RETRY_MS;
    ai_standby_drop(c);
}

static void configure(struct call *c)
{
    char *settings = ai_leg_settings(c);
    if (settings)
        ws_send_text(c->standby.ws, settings, strlen(settings));
    free(settings);
}

static void on_open(struct ws_conn *ws, void *arg)
{
    (void)ws;
    configure(arg);
}

static void on_text(struct ws_conn *ws, char *text, size_t len, void *arg)
{
    struct call *c = arg;
    struct ai_event ev;
    (void)ws;
    c->w->provider->parse(&c->standby.memory, text, len, &ev);
    if (ev.kind == AI_CONFIGURED)
        c->standby.ready = true;
    else if (ev.kind == AI_BAD || ev.kind == AI_REFUSED)
        failed(c, ev.error, ev.permanent);
    ai_event_release(&ev);
}

static void on_closed(struct ws_conn *ws, uint16_t code, const char *why, void *arg)
{
    struct call *c = arg;
    c->standby.ws = NULL;
    failed(c, why, ai_close_is_final(code, ws_http_status(ws)));
}

static const struct ws_handler events = {NULL, on_open, on_text, on_closed, NULL};

static void open_one(struct call *c)
{
    c->standby.memory = (struct ai_memory){0};
    c->standby.ws = ai_pool_take(c->w->ai_pool, &events, c, &c->standby.memory);
    if (c->standby.ws)
        configure(c);
    else if (!(c->standby.ws = ws_dial(c->w, &c->w->ai, AI_MESSAGE_MAX, &events, c)))
        failed(c, "no memory to dial the AI", false);
}

static bool is_quiet(const struct call *c, int64_t now_ms)
{
    return call_may_hand_over(c) && !answers_owed(c) && c->watch.quiet_ms != 0 &&
           now_ms - c->watch.quiet_ms >= QUIET_MS;
}

static void take_over(struct call *c)
{
    struct ws_conn *ws = c->standby.ws;
    c->standby.ws = NULL;
    c->standby.ready = false;
    metric_add(&c->w->metrics.ai_rotated, 1);
    log_info(c->sid, "AI session rotated", log_int("turns", c->claim.history.count));
    ai_leg_adopt(c, ws, &c->standby.memory);
}

void ai_standby_look(struct call *c)
{
    int64_t now = clock_mono_ms();
    if (c->standby.due_ms == 0 || now < c->standby.due_ms)
        return;
    if (!c->standby.ws)
        open_one(c);
    else if (c->standby.ready && is_quiet(c, now))
        take_over(c);
}
