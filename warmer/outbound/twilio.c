/* Twilio's REST API (2010-04-01), resource Calls: form in, JSON out. The media comes to our workers. */
#include "warmer/outbound/twilio.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/base64.h"
#include "common/base/foreign_json.h"
#include "common/base/utf8.h"
#include "warmer/outbound/queue.h"
#include "warmer/overrides.h"

enum { FORM_MAX = 4096, HTTP_TOO_MANY = 429, HTTP_UNAVAILABLE = 503, CLOCKS_DIFFER_MS = 5000 };

/* ---- forms ---- */

struct form_text {
    char text[FORM_MAX];
    size_t len; /* FORM_MAX: it does not fit */
};

static void put(struct form_text *form, char c)
{
    if (form->len < FORM_MAX - 1)
        form->text[form->len++] = c;
    else
        form->len = FORM_MAX;
}

static void put_encoded(struct form_text *form, const char *value)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    static const char hex[] = "0123456789ABCDEF";
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (strchr(plain, c)) {
            put(form, *value);
        } else {
            put(form, '%');
            put(form, hex[c >> 4]);
            put(form, hex[c & 15]);
        }
    }
}

static void add(struct form_text *form, const char *name, const char *value)
{
    if (form->len > 0)
        put(form, '&');
    for (const char *c = name; *c; c++)
        put(form, *c);
    put(form, '=');
    put_encoded(form, value);
}

static const char *finish(struct form_text *form)
{
    if (form->len >= FORM_MAX)
        return NULL;
    form->text[form->len] = '\0';
    return form->text;
}

/* ---- requests ---- */

/* Basic authentication with the account's first token. */
static bool authorize(struct provider_request *out, const struct warmer_config *config)
{
    char pair[256], text[BASE64_TEXT_SIZE(sizeof pair)];
    int len = snprintf(pair, sizeof pair, "%s:%.*s", config->twilio_account_sid,
                       (int)strcspn(config->twilio_auth_token, ","), config->twilio_auth_token);
    if (len < 0 || (size_t)len >= sizeof pair)
        return false;
    base64_encode(text, (const uint8_t *)pair, (size_t)len);
    snprintf(out->headers[0], sizeof out->headers[0], "Authorization: Basic %s", text);
    return true;
}

RF_PRINTF(3, 4) static bool begin(struct provider_request *out, const struct warmer_config *config, const char *path, ...)
{
    size_t len;
    va_list args;
    int more;
    memset(out, 0, sizeof *out);
    snprintf(out->url, sizeof out->url, "%s/2010-04-01/Accounts/%s/", config->twilio_api_url, config->twilio_account_sid);
    len = strlen(out->url);
    va_start(args, path);
    more = vsnprintf(out->url + len, sizeof out->url - len, path, args);
    va_end(args);
    return more >= 0 && (size_t)more < sizeof out->url - len && authorize(out, config);
}

static const char *detection_of(const struct warmer_config *config, const json_t *job)
{
    const char *how = job_text(job, "machine_detection");
    return *how ? how : config->machine_detection;
}

static bool twilio_judges_late(const struct warmer_config *config, const json_t *job)
{
    return strcmp(detection_of(config, job), "async") == 0;
}

/* A message is left behind the machine's own words; with none to leave, its first words are enough to know. */
static void add_machine_detection(struct form_text *form, const struct warmer_config *config, const char *call_sid,
                                  const json_t *job, const struct context *context)
{
    const char *how = detection_of(config, job);
    bool late = twilio_judges_late(config, job);
    bool to_the_end = strcmp(how, "detect-message-end") == 0 || (late && *context_get(context, "voicemail_message"));
    char url[PROVIDER_URL_MAX];
    if (strcmp(how, "off") == 0)
        return;
    add(form, "MachineDetection", to_the_end ? "DetectMessageEnd" : "Enable");
    if (!late)
        return;
    snprintf(url, sizeof url, "%s/voice/machine/%s" TWILIO_OVERRIDES, config->public_url, call_sid);
    add(form, "AsyncAmd", "true");
    add(form, "AsyncAmdStatusCallback", url);
}

static bool twilio_dial(struct provider_request *out, const struct warmer_config *config, const char *call_sid, const json_t *job,
                        const struct context *context, const char **why)
{
    static const char *const events[] = {"initiated", "ringing", "answered", "completed"};
    struct form_text form = {.len = 0};
    char url[PROVIDER_URL_MAX], seconds[24];
    *why = "the request to Twilio is too long";
    if (!begin(out, config, "Calls.json"))
        return false;
    add(&form, "To", job_text(job, "to_number"));
    add(&form, "From", job_text(job, "from_number"));
    snprintf(url, sizeof url, "%s/voice/outbound/%s" TWILIO_OVERRIDES, config->public_url, call_sid);
    add(&form, "Url", url);
    add(&form, "FallbackUrl", url);
    snprintf(url, sizeof url, "%s/voice/status/%s" TWILIO_OVERRIDES, config->public_url, call_sid);
    add(&form, "StatusCallback", url);
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        add(&form, "StatusCallbackEvent", events[i]);
    snprintf(seconds, sizeof seconds, "%lld", (long long)config->ring_seconds);
    add(&form, "Timeout", seconds);
    add_machine_detection(&form, config, call_sid, job, context);
    out->body = finish(&form) ? strdup(form.text) : NULL;
    return out->body != NULL;
}

/* Its list is the newest first; a filter by time would leave out calls that nobody has answered yet. */
static bool twilio_look(struct provider_request *out, const struct warmer_config *config, const char *call_sid, const json_t *job)
{
    struct form_text query = {.len = 0};
    const char *text;
    (void)call_sid;
    add(&query, "To", job_text(job, "to_number"));
    add(&query, "From", job_text(job, "from_number"));
    add(&query, "PageSize", "20");
    text = finish(&query);
    return begin(out, config, "Calls.json?%s", text ? text : "") && text;
}

static bool twilio_ask(struct provider_request *out, const struct warmer_config *config, const json_t *job)
{
    return begin(out, config, "Calls/%s.json", job_text(job, "provider_call_sid"));
}

/* ---- answers ---- */

static void copy(char *out, size_t size, const char *text)
{
    if (!text || (size_t)snprintf(out, size, "%s", text) >= size)
        out[0] = '\0';
}

static void take_error(struct provider_answer *out, int status, const json_t *body)
{
    const char *message = json_string_value(json_object_get(body, "message"));
    json_int_t code = json_integer_value(json_object_get(body, "code"));
    char said[PROVIDER_REASON_MAX - 40];
    utf8_copy(said, sizeof said, message ? message : "no reason given");
    snprintf(out->reason, sizeof out->reason, "twilio %d %lld: %s", status, (long long)code, said);
}

static void twilio_dialled(struct provider_answer *out, int status, const char *text)
{
    json_t *body = foreign_json_text(text);
    memset(out, 0, sizeof *out);
    copy(out->call_sid, sizeof out->call_sid, json_string_value(json_object_get(body, "sid")));
    if (status == 201 && call_sid_valid(out->call_sid)) {
        out->verdict = PROVIDER_DIALLED;
    } else {
        take_error(out, status, body);
        /* 429 and 503: not processed. Other errors of the server may have come after the dialling. */
        out->verdict = status == HTTP_TOO_MANY || status == HTTP_UNAVAILABLE ? PROVIDER_BUSY
                       : status >= 400 && status < 500                      ? PROVIDER_REFUSED
                                                                            : PROVIDER_UNSURE;
    }
    json_decref(body);
}

int64_t twilio_time_ms(const char *rfc2822)
{
    struct tm tm = {0};
    const char *end = rfc2822 ? strptime(rfc2822, "%a, %d %b %Y %H:%M:%S", &tm) : NULL;
    return end && strncmp(end, " +0000", 6) == 0 ? (int64_t)timegm(&tm) * 1000 : -1;
}

static bool twilio_found(struct provider_found *out, int status, const char *text, int64_t since_ms)
{
    json_t *body = status == 200 ? foreign_json_text(text) : NULL, *call;
    bool understood = json_is_array(json_object_get(body, "calls"));
    size_t i;
    out->count = 0;
    json_array_foreach(json_object_get(body, "calls"), i, call) {
        int64_t created_ms = twilio_time_ms(json_string_value(json_object_get(call, "date_created")));
        const char *sid = json_string_value(json_object_get(call, "sid"));
        if (out->count == PROVIDER_FOUND_MAX || !sid || !call_sid_valid(sid) ||
            created_ms + CLOCKS_DIFFER_MS < since_ms)
            continue;
        strcpy(out->ids[out->count++], sid);
    }
    json_decref(body);
    return understood;
}

static bool twilio_state(struct provider_state *out, int status, const char *text)
{
    json_t *body = status == 200 ? foreign_json_text(text) : NULL;
    memset(out, 0, sizeof *out);
    copy(out->status, sizeof out->status, json_string_value(json_object_get(body, "status")));
    copy(out->duration, sizeof out->duration, json_string_value(json_object_get(body, "duration")));
    json_decref(body);
    return *out->status != '\0';
}

static bool twilio_configured(const struct warmer_config *config)
{
    return *config->twilio_account_sid != '\0';
}

const struct provider provider_twilio = {
    .name = "twilio",
    .configured = twilio_configured,
    .dial = twilio_dial,
    .dialled = twilio_dialled,
    .judges_late = twilio_judges_late,
    .look = twilio_look,
    .found = twilio_found,
    .ask = twilio_ask,
    .state = twilio_state,
};
