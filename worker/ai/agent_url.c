#include "worker/ai/agent_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/log.h"
#include "common/http/client.h"

enum {
    LOOK_SECONDS = 5,
    ANSWER_MAX = 8192,
    TIMEOUT_MS = 5000,
    RETRY_MIN_MS = 500,
    RETRY_MAX_MS = 30000,
    RETRY_PERMANENT_MS = 60000, /* with a key or an agent that was refused */
    DIALLING_MS = 20000,        /* an address handed out so lately may still be in use */
    AGENT_ID_MAX = 128,
};

struct agent_url {
    struct agent_urls *urls;
    char agent_id[AGENT_ID_MAX];
    struct ai_target target;
    bool is_signed;
    int64_t good_since_ms; /* 0: no address */
    int64_t used_ms, next_try_ms, retry_ms;
    struct http_request *request;
    const char *wrong; /* NULL: nothing known */
    bool permanent;
};

struct agent_urls {
    struct worker *w;
    struct event *timer;
    int count;
    struct agent_url *all[AGENT_URLS_MAX];
};

static void retry_later(struct agent_url *one, int64_t now)
{
    int64_t wait = one->permanent ? RETRY_PERMANENT_MS : one->retry_ms;
    one->next_try_ms = now + wait / 2 + random_below((uint32_t)wait / 2 + 1);
    one->retry_ms = one->retry_ms * 2 < RETRY_MAX_MS ? one->retry_ms * 2 : RETRY_MAX_MS;
}

static void failed(struct agent_url *one, const char *wrong, int status, const char *detail)
{
    int64_t now = clock_mono_ms();
    one->wrong = wrong;
    one->permanent = status >= 400 && status < 500 && status != 408 && status != 429;
    retry_later(one, now);
    metric_add(&one->urls->w->metrics.agent_urls_failed, 1);
    log_warn(NULL, "no address for the agent", log_str("agent", one->agent_id), log_str("why", wrong),
             log_str("detail", detail), log_int("status", status), log_int("retry_ms", one->next_try_ms - now));
}

static bool good(const struct agent_url *one, int64_t now)
{
    return one->good_since_ms && (!one->is_signed || now - one->good_since_ms < AGENT_URL_GOOD_MS);
}

/* Whether calls of the configured agent can be served; so be it if none is configured. */
static void show(struct agent_urls *urls)
{
    bool known = true;
    for (int i = 0; i < urls->count; i++) {
        if (strcmp(urls->all[i]->agent_id, urls->w->config->elevenlabs_agent_id) == 0)
            known = good(urls->all[i], clock_mono_ms());
    }
    metric_set(&urls->w->metrics.ai_address_known, known);
}

static void on_signed(void *arg, int status, const char *body, size_t len, const char *error)
{
    struct agent_url *one = arg;
    struct worker *w = one->urls->w;
    struct ai_target target;
    const char *wrong;
    one->request = NULL;
    wrong = error ? "the provider does not answer" : w->provider->agent->sign_answer(&target, status, body, len);
    if (!wrong && target.tls && !w->tls)
        wrong = "the signed address is wss: RINGFLEET_AI_URL must be, too";
    if (wrong) {
        failed(one, wrong, status, error ? error : "");
        return;
    }
    one->target = target;
    one->wrong = NULL;
    one->permanent = false;
    one->retry_ms = RETRY_MIN_MS;
    one->good_since_ms = clock_mono_ms();
    show(one->urls);
}

static void fetch(struct agent_url *one)
{
    struct worker *w = one->urls->w;
    X509_STORE *trusted = w->tls ? SSL_CTX_get_cert_store(w->tls) : NULL;
    char url[1536], header[512]; /* the longest host, path and encoded id fit */
    if (one->request || clock_mono_ms() < one->next_try_ms)
        return;
    if (!w->provider->agent->sign_request(w->config, &w->ai, one->agent_id, url, sizeof url, header, sizeof header)) {
        one->is_signed = false;
        if (w->provider->agent->address(&one->target, &w->ai, one->agent_id))
            one->good_since_ms = clock_mono_ms();
        else
            failed(one, "its address is too long", 400, "");
        return;
    }
    one->is_signed = true;
    one->request = http_send(w->http, &(struct http_spec){.url = url, .headers = {header}, .answer_max = ANSWER_MAX,
                                                          .timeout_ms = TIMEOUT_MS, .trusted = trusted}, on_signed, one);
    if (!one->request)
        failed(one, "too many requests are under way", 0, "");
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct agent_urls *urls = arg;
    int64_t now = clock_mono_ms();
    (void)fd;
    (void)what;
    for (int i = 0; i < urls->count; i++) {
        struct agent_url *one = urls->all[i];
        bool configured = strcmp(one->agent_id, urls->w->config->elevenlabs_agent_id) == 0;
        bool due = !one->good_since_ms || (one->is_signed && now - one->good_since_ms > AGENT_URL_RENEW_MS);
        if (due && (configured || now - one->used_ms < AGENT_URL_UNUSED_MS))
            fetch(one);
    }
    show(urls);
}

static void forget(struct agent_urls *urls, int i)
{
    http_cancel(urls->all[i]->request);
    free(urls->all[i]);
    urls->all[i] = urls->all[--urls->count];
}

/* Room for one more; false if every agent has been dialled just now. */
static bool make_room(struct agent_urls *urls, int64_t now)
{
    int oldest = 0;
    if (urls->count < AGENT_URLS_MAX)
        return true;
    for (int i = 1; i < urls->count; i++) {
        if (urls->all[i]->used_ms < urls->all[oldest]->used_ms)
            oldest = i;
    }
    if (now - urls->all[oldest]->used_ms < DIALLING_MS)
        return false;
    forget(urls, oldest);
    return true;
}

static struct agent_url *entry(struct agent_urls *urls, const char *agent_id, int64_t now)
{
    struct agent_url *one;
    for (int i = 0; i < urls->count; i++) {
        if (strcmp(urls->all[i]->agent_id, agent_id) == 0)
            return urls->all[i];
    }
    one = make_room(urls, now) ? calloc(1, sizeof *one) : NULL;
    if (!one)
        return NULL;
    one->urls = urls;
    one->retry_ms = RETRY_MIN_MS;
    snprintf(one->agent_id, sizeof one->agent_id, "%s", agent_id);
    urls->all[urls->count++] = one;
    return one;
}

struct agent_url_answer agent_url_get(struct agent_urls *urls, const char *agent_id)
{
    int64_t now = clock_mono_ms();
    struct agent_url *one;
    if (!*agent_id)
        agent_id = urls->w->config->elevenlabs_agent_id;
    if (!*agent_id || strlen(agent_id) >= AGENT_ID_MAX)
        return (struct agent_url_answer){NULL, "no agent: set RINGFLEET_ELEVENLABS_AGENT_ID, or ai_agent_id of the call", true};
    one = entry(urls, agent_id, now);
    if (!one)
        return (struct agent_url_answer){NULL, "too many agents at once", false};
    one->used_ms = now;
    if (!good(one, now))
        fetch(one);
    if (good(one, now))
        return (struct agent_url_answer){.target = &one->target};
    return (struct agent_url_answer){NULL, one->wrong ? one->wrong : "its address is being asked for", one->permanent};
}

struct agent_urls *agent_urls_new(struct worker *w)
{
    struct timeval tv = {LOOK_SECONDS, 0};
    struct agent_urls *urls = calloc(1, sizeof *urls);
    if (!urls)
        return NULL;
    urls->w = w;
    urls->timer = event_new(w->base, -1, EV_PERSIST, on_look, urls);
    if (!urls->timer || event_add(urls->timer, &tv) != 0) {
        agent_urls_free(urls);
        return NULL;
    }
    if (*w->config->elevenlabs_agent_id)
        (void)agent_url_get(urls, "");
    show(urls);
    return urls;
}

void agent_urls_free(struct agent_urls *urls)
{
    if (!urls)
        return;
    while (urls->count > 0)
        forget(urls, 0);
    if (urls->timer)
        event_free(urls->timer);
    free(urls);
}
