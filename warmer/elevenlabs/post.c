#include "warmer/elevenlabs/post.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/foreign_json.h"
#include "common/base/log.h"
#include "warmer/elevenlabs/heard.h"
#include "warmer/elevenlabs/shelf.h"
#include "warmer/elevenlabs/sieve.h"
#include "warmer/elevenlabs/signature.h"
#include "warmer/elevenlabs/told.h"
#include "warmer/wrong.h"

enum { JSON_FIRST = 16 * 1024 };

struct post {
    struct warmer *w;
    struct elevenlabs_signature signature;
    struct hmac_stream *hash;
    struct sieve sieve;
    char *json;
    size_t len, room, total;
    int file;             /* of the recording; -1: none */
    char part[SHELF_PATH_SIZE]; /* its name until it is known to be whole */
    char conversation_id[CALL_SID_SIZE];
    int refuse;           /* why the sieve stopped */
    post_done_fn *fn;     /* NULL: abandoned */
    void *arg;
};

static void drop_part(struct post *p)
{
    if (p->file < 0)
        return;
    close(p->file);
    unlink(p->part);
    p->file = -1;
}

static void post_free(struct post *p)
{
    drop_part(p);
    hmac_drop(p->hash);
    free(p->json);
    free(p);
}

static void finish(struct post *p, int status)
{
    if (p->fn)
        p->fn(status, p->arg);
    post_free(p);
}

static void refused(struct warmer *w, const char *why)
{
    static struct log_limit limit;
    metric_add(&w->metrics.forged, 1);
    if (log_allow(&limit))
        log_warn(NULL, "webhook refused", log_str("why", why), log_str("of", "elevenlabs"),
                 log_int("suppressed", limit.suppressed));
}

/* It comes again (500). */
static void not_served(const char *why)
{
    static struct log_limit limit;
    if (log_allow(&limit))
        log_warn(NULL, "webhook not served", log_str("why", why), log_str("of", "elevenlabs"),
                 log_int("suppressed", limit.suppressed));
}

/* ---- as it comes ---- */

static bool add_json(const void *bytes, size_t len, void *arg)
{
    struct post *p = arg;
    size_t room = p->room ? p->room : JSON_FIRST;
    char *larger;
    if (p->len + len > POST_JSON_MAX) {
        p->refuse = 413;
        return false;
    }
    while (room < p->len + len)
        room *= 2;
    if (room != p->room) {
        larger = realloc(p->json, room);
        if (!larger) {
            p->refuse = 500;
            return false;
        }
        p->json = larger;
        p->room = room;
    }
    memcpy(p->json + p->len, bytes, len);
    p->len += len;
    return true;
}

/* To the page cache: the disk is waited for elsewhere (shelf.h). */
static bool add_audio(const void *bytes, size_t len, void *arg)
{
    struct post *p = arg;
    if (!p->w->shelf)
        return true;
    if (p->file < 0)
        p->file = shelf_begin(p->w->shelf, p->part);
    if (p->file < 0) {
        p->refuse = 500;
        return false;
    }
    while (len > 0) {
        ssize_t n = write(p->file, bytes, len);
        if (n < 0) {
            log_error(NULL, "a recording cannot be written", log_str("error", strerror(errno)));
            p->refuse = 500;
            return false;
        }
        bytes = (const char *)bytes + n;
        len -= (size_t)n;
    }
    return true;
}

struct post *post_begin(struct warmer *w, const char *signature_header, int *refuse)
{
    struct elevenlabs_signature signature;
    const char *wrong = elevenlabs_signature_read(&signature, signature_header, clock_wall_ms() / 1000);
    struct post *p;
    if (wrong) {
        refused(w, wrong);
        *refuse = 401;
        return NULL;
    }
    p = calloc(1, sizeof *p);
    *refuse = 500;
    if (!p)
        return NULL;
    p->w = w;
    p->file = -1;
    p->signature = signature;
    p->sieve = (struct sieve){.json = add_json, .audio = add_audio, .arg = p};
    p->hash = hmac_begin(w->config.elevenlabs_webhook_secret);
    if (p->hash) {
        hmac_add(p->hash, signature.time, strlen(signature.time));
        hmac_add(p->hash, ".", 1);
        return p;
    }
    post_free(p);
    return NULL;
}

int post_add(struct post *p, const void *bytes, size_t len)
{
    p->total += len;
    if (p->total > POST_BODY_MAX)
        return 413;
    hmac_add(p->hash, bytes, len);
    if (sieve_feed(&p->sieve, bytes, len))
        return 0;
    return p->refuse ? p->refuse : 400;
}

/* ---- at its end ---- */

static void on_told(enum told_result result, void *arg)
{
    /* A call that is not ours would not be known the next time either. */
    finish(arg, result == TOLD_FAILED ? 500 : 200);
}

/* Never is a recording sent again, so what is on the shelf stays there, whoever it is of. */
static void on_heard(enum told_result result, void *arg)
{
    struct post *p = arg;
    if (result == TOLD_UNKNOWN)
        log_info(NULL, "a recording came before its call is known", log_str("conversation_id", p->conversation_id));
    finish(p, result == TOLD_FAILED ? 500 : 200);
}

static void on_shelf(const char *error, void *arg)
{
    struct post *p = arg;
    if (error) {
        log_error(NULL, "a recording cannot be kept", log_str("error", error));
        finish(p, 500);
        return;
    }
    metric_add(&p->w->metrics.audio_kept, 1);
    log_info(NULL, "recording kept", log_str("conversation_id", p->conversation_id), log_int("bytes", (int64_t)p->total));
    heard_keep(p->w, "", p->conversation_id, on_heard, p);
}

static void keep_audio(struct post *p, const struct report *report)
{
    int file = p->file;
    snprintf(p->conversation_id, sizeof p->conversation_id, "%s", report->conversation_id);
    p->file = -1;
    if (file < 0)
        heard_keep(p->w, "", p->conversation_id, on_heard, p);
    else if (!shelf_keep(p->w->shelf, file, p->part, p->conversation_id, on_shelf, p))
        finish(p, 500);
}

static void keep(struct post *p, json_t *body)
{
    struct report report;
    const char *wrong = report_of_webhook(&report, body);
    if (wrong && wrong_status(wrong) != 400) {
        not_served(wrong);
        finish(p, 500);
    } else if (wrong) {
        metric_add(&p->w->metrics.malformed, 1);
        log_warn(NULL, "webhook malformed", log_str("why", wrong), log_str("of", "elevenlabs"));
        finish(p, 400);
    } else if (report.kind == REPORT_AUDIO) {
        keep_audio(p, &report);
    } else if (report.kind == REPORT_NONE) {
        finish(p, 200);
    } else {
        told_keep(p->w, &report, on_told, p);
    }
    report_release(&report);
}

void post_end(struct post *p, post_done_fn *fn, void *arg)
{
    uint8_t digest[SHA256_BYTES];
    bool hashed = hmac_end(p->hash, digest);
    json_t *body;
    p->hash = NULL;
    p->fn = fn;
    p->arg = arg;
    if (!hashed) {
        not_served(NO_MEMORY);
        finish(p, 500);
        return;
    }
    if (!elevenlabs_signature_good(&p->signature, digest)) {
        refused(p->w, "wrong signature");
        finish(p, 401);
        return;
    }
    body = foreign_json(p->json ? p->json : "", p->len, 0);
    keep(p, body);
    json_decref(body);
}

void post_abandon(struct post *p)
{
    if (p->fn)
        p->fn = NULL; /* the answer from the disk or Redis is still to come */
    else
        post_free(p);
}
