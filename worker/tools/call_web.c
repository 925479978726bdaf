/* The businesses' own tools: one HTTPS request each. What is sent is never logged: headers hold secrets. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/tools/tool_run.h"

#define SAY_SO "tell the caller that it is not possible at the moment, and offer to take a message"

enum { ANSWER_MAX = 16384 };

static_assert(OWN_TOOL_HEADERS_MAX + 2 < HTTP_HEADERS_MAX, "one stays NULL");

/* What the AI is told; a good answer as it is. */
static json_t *output_of(int status, const char *body, size_t len, const char *error)
{
    const char *what = status ? "refuses" : error == http_timed_out ? "does not answer in time" : "cannot be reached";
    char sentence[256];
    json_t *output;
    if (status / 100 == 2) {
        output = own_tool_output(body, len, error == http_cut);
        if (output)
            return output;
        what = "has sent an answer that is no text";
    }
    snprintf(sentence, sizeof sentence, "the system behind this tool %s: " SAY_SO, what);
    output = json_pack("{s:b, s:s}", "ok", 0, "error", sentence);
    if (status)
        json_object_set_new(output, "status", json_integer(status));
    return output;
}

static metric_value *outcome(struct worker_metrics *m, int status, const char *error)
{
    if (status)
        return status / 100 == 2 ? &m->web_good : &m->web_status;
    if (error == http_timed_out)
        return &m->web_timeout;
    return error == http_not_public ? &m->web_refused : &m->web_failed;
}

static void on_answer(void *arg, int status, const char *body, size_t len, const char *error)
{
    struct tool_run *run = arg;
    struct worker_metrics *m = &run->call->w->metrics;
    int64_t took_ms = clock_mono_ms() - run->started_ms;
    run->http = NULL; /* frees itself after this */
    metric_add(outcome(m, status, error), 1);
    metric_observe_us(&m->web_seconds, took_ms * 1000);
    if (status / 100 != 2)
        log_warn(run->call->sid, "tool of the business failed", log_str("tool", run->name), log_int("status", status),
                 log_str("why", error), log_int("ms", took_ms));
    tool_run_answer(run, output_of(status, body, len, error));
}

static bool add_header(struct http_spec *spec, const char *name, const char *value)
{
    int at = 0;
    char *line;
    while (spec->headers[at])
        at++;
    if (asprintf(&line, "%s: %s", name, value) < 0)
        return false;
    spec->headers[at] = line;
    return true;
}

static bool add_headers(struct http_spec *spec, const struct tool_run *run, const struct own_tool *tool)
{
    const char *name;
    json_t *value;
    bool fits = add_header(spec, "Content-Type", "application/json") && add_header(spec, "Idempotency-Key", run->id);
    json_object_foreach((json_t *)(uintptr_t)tool->headers, name, value)
        fits = fits && add_header(spec, name, json_string_value(value));
    return fits;
}

static void free_headers(struct http_spec *spec)
{
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        free((char *)(uintptr_t)spec->headers[i]);
}

void web_run(struct tool_run *run, const struct own_tool *tool, const char *arguments)
{
    struct worker *w = run->call->w;
    char *body = own_tool_body(tool, run->call->sid, arguments);
    struct http_spec spec = {.url = tool->url, .body = body, .method = tool->method, .answer_max = ANSWER_MAX, .cut = true,
                             .public_only = w->config->tool_allow_private == 0, .timeout_ms = (int)tool->timeout_ms,
                             .trusted = w->tool_trusted};
    if (!body) {
        tool_run_error(run, "the arguments are not a JSON object, or too long");
        return;
    }
    if (add_headers(&spec, run, tool))
        run->http = http_send(w->http, &spec, on_answer, run);
    free_headers(&spec);
    free(body);
    if (run->http)
        return;
    metric_add(&w->metrics.web_failed, 1);
    log_warn(run->call->sid, "tool of the business not called", log_str("tool", run->name));
    tool_run_error(run, "the system behind this tool cannot be reached: " SAY_SO);
}
