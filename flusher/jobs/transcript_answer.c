#include "flusher/jobs/transcript_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/foreign_json.h"
#include "common/base/utf8.h"

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* {"error": {"message", "type", "param", "code"}}; code and type are used as one. */
static bool error_is(const json_t *error, const char *name)
{
    return strcmp(text_at(error, "code"), name) == 0 || strcmp(text_at(error, "type"), name) == 0;
}

static void read_error(struct transcript_answer *a, int status)
{
    const json_t *error = json_object_get(a->_body, "error");
    int len = snprintf(a->_why, sizeof a->_why, "the transcription service answered %d ", status);
    utf8_copy(a->_why + len, sizeof a->_why - (size_t)len, text_at(error, "message"));
    a->text = a->_why;
    if (status == 413 || (status == 400 && error_is(error, "invalid_value")))
        a->verdict = TRANSCRIPT_TOO_LONG;
    else if (status == 401 || status == 403 || status == 404 || (status == 429 && error_is(error, "insufficient_quota")))
        a->verdict = TRANSCRIPT_MISCONFIGURED;
    else if (status / 100 == 4 && status != 408 && status != 409 && status != 425 && status != 429)
        a->verdict = TRANSCRIPT_REFUSED;
    else
        a->verdict = TRANSCRIPT_LATER;
}

void transcript_answer_read(struct transcript_answer *a, int status, const char *body, size_t len)
{
    json_t *text;
    memset(a, 0, sizeof *a);
    a->_body = foreign_json(body, len, 0);
    text = json_object_get(a->_body, "text");
    if (status / 100 != 2) {
        read_error(a, status);
    } else if (json_is_string(text)) {
        a->verdict = TRANSCRIPT_TEXT;
        a->text = (char *)(uintptr_t)json_string_value(text);
    } else {
        a->verdict = TRANSCRIPT_LATER;
        snprintf(a->_why, sizeof a->_why, "the transcription service answered something else than {\"text\": ...}");
        a->text = a->_why;
    }
}

void transcript_answer_release(struct transcript_answer *a)
{
    json_decref(a->_body);
    a->_body = NULL;
}

/* -- turns ------------------------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    json_int_t from = json_integer_value(json_object_get(x, "from"));
    json_int_t other = json_integer_value(json_object_get(y, "from"));
    json_int_t channel = json_integer_value(json_object_get(x, "channel"));
    if (from != other)
        return from < other ? -1 : 1;
    return channel < json_integer_value(json_object_get(y, "channel")) ? -1 : 1;
}

static const char *speaker(json_int_t channel, int channels, bool caller_first)
{
    if (channels < 2)
        return "unknown";
    return (channel == 0) == caller_first ? "caller" : "assistant";
}

static json_t *turn_of(const json_t *piece, int channels, int rate, bool caller_first)
{
    return json_pack("{s:s, s:I, s:I, s:s}", "speaker",
                     speaker(json_integer_value(json_object_get(piece, "channel")), channels, caller_first), "from_ms",
                     json_integer_value(json_object_get(piece, "from")) * 1000 / rate, "to_ms",
                     json_integer_value(json_object_get(piece, "to")) * 1000 / rate, "text", text_at(piece, "text"));
}

json_t *transcript_turns(const json_t *pieces, int channels, int rate, bool caller_first)
{
    size_t count = json_array_size(pieces);
    json_t *turns = json_array(), **sorted = calloc(count + 1, sizeof *sorted);
    bool ok = turns && sorted;
    for (size_t i = 0; ok && i < count; i++)
        sorted[i] = json_array_get(pieces, i);
    if (ok)
        qsort(sorted, count, sizeof *sorted, by_time);
    for (size_t i = 0; ok && i < count; i++) {
        if (*text_at(sorted[i], "text"))
            ok = json_array_append_new(turns, turn_of(sorted[i], channels, rate, caller_first)) == 0;
    }
    free(sorted);
    if (ok)
        return turns;
    json_decref(turns);
    return NULL;
}
