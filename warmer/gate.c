#include "warmer/gate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <event2/http.h>

#include "common/base/crypto.h"
#include "common/base/log.h"
#include "common/base/process.h"
#include "warmer/signature.h"
#include "warmer/wrong.h"

enum { URL_MAX = 2048, NAMES_LOGGED_MAX = 512 };

static const char *header(struct evhttp_request *http, const char *name)
{
    const char *value = evhttp_find_header(evhttp_request_get_input_headers(http), name);
    return value ? value : "";
}

/* For people who look for the reason of a refusal: which parameters came, not what they said. */
static void log_forged(const struct request *r, const char *why)
{
    static struct log_limit limit;
    char names[NAMES_LOGGED_MAX] = "";
    size_t len = 0;
    if (!log_allow(&limit))
        return;
    for (size_t i = 0; i < r->form.count; i++) {
        size_t n = strlen(r->form.fields[i].name);
        if (len + n + 2 > sizeof names)
            break;
        memcpy(names + len, r->form.fields[i].name, n);
        len += n;
        names[len++] = ' ';
    }
    names[len ? len - 1 : 0] = '\0';
    log_warn(NULL, "webhook refused", log_str("why", why), log_str("parameters", names),
             log_int("suppressed", limit.suppressed));
}

static bool is_form(struct evhttp_request *http)
{
    static const char type[] = "application/x-www-form-urlencoded";
    const char *given = header(http, "Content-Type");
    return *given == '\0' || strncasecmp(given, type, sizeof type - 1) == 0;
}

/* What the carrier has signed: the base it was given, and the request's target as it came. */
static enum signature_verdict check_signature(struct request *r, struct evhttp_request *http, const void *body, size_t len)
{
    const struct warmer_config *config = &r->w->config;
    struct signed_request request = {.form = is_form(http) ? &r->form : NULL, .body = body, .body_len = len};
    char url[URL_MAX];
    const char *target = evhttp_request_get_uri(http);
    if (strlen(config->public_url) + strlen(target) >= sizeof url)
        return SIGNATURE_WRONG;
    stpcpy(stpcpy(url, config->public_url), target);
    request.url = url;
    return signature_check(&request, config->twilio_auth_token, header(http, "X-Twilio-Signature"));
}

struct gate_result gate_carrier(struct request *r, struct evhttp_request *http)
{
    size_t len;
    const char *body = request_body(r, &len), *wrong = body ? NULL : NO_MEMORY;
    enum signature_verdict verdict;
    if (body && is_form(http))
        wrong = form_parse(&r->form, body, len);
    if (wrong)
        return (struct gate_result){.wrong = wrong};
    verdict = check_signature(r, http, body, len);
    if (verdict == SIGNATURE_UNSURE)
        return (struct gate_result){.wrong = NO_MEMORY};
    if (verdict == SIGNATURE_WRONG) {
        metric_add(&r->w->metrics.forged, 1);
        log_forged(r, *header(http, "X-Twilio-Signature") ? "wrong signature" : "no signature");
        return (struct gate_result){.refused = 403};
    }
    if (r->form.spoilt) {
        process_count(&process_metrics.texts_mended);
        form_mend(&r->form);
    }
    r->call_sid = form_get(&r->form, "CallSid");
    return (struct gate_result){.wrong = call_sid_valid(r->call_sid) ? NULL : "no usable CallSid"};
}

static struct gate_result gate_bearer(struct request *r, struct evhttp_request *http, const char *key)
{
    static const char scheme[] = "Bearer ";
    const char *given = header(http, "Authorization");
    bool bearer = strncasecmp(given, scheme, sizeof scheme - 1) == 0;
    if (*key && bearer && secret_equal(key, given + sizeof scheme - 1))
        return (struct gate_result){0};
    metric_add(&r->w->metrics.unauthorized, 1);
    return (struct gate_result){.refused = 401};
}

struct gate_result gate_api_key(struct request *r, struct evhttp_request *http)
{
    return gate_bearer(r, http, r->w->config.api_key);
}

struct gate_result gate_tool_key(struct request *r, struct evhttp_request *http)
{
    return gate_bearer(r, http, r->w->config.elevenlabs_tool_key);
}
