#include "warmer/elevenlabs/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"
#include "warmer/wrong.h"

enum { TURNS_MAX = 2000 };

static void copy_id(char out[CALL_SID_SIZE], const json_t *value)
{
    const char *text = json_string_value(value);
    out[0] = '\0';
    if (text && call_sid_valid(text))
        strcpy(out, text);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* Some are integers at one time and fractions at another. */
static int64_t ms_of(const json_t *seconds)
{
    return (int64_t)(json_number_value(seconds) * 1000);
}

static void take_ids(struct report *out, const json_t *data)
{
    const json_t *client = json_object_get(data, "conversation_initiation_client_data");
    const json_t *variables = json_object_get(client, "dynamic_variables");
    copy_id(out->conversation_id, json_object_get(data, "conversation_id"));
    copy_id(out->own_sid, json_object_get(data, "user_id"));
    if (!*out->own_sid)
        copy_id(out->own_sid, json_object_get(client, "user_id"));
    if (!*out->own_sid)
        copy_id(out->own_sid, json_object_get(variables, "call_sid"));
    copy_id(out->provider_sid, json_object_get(json_object_get(json_object_get(data, "metadata"), "phone_call"), "call_sid"));
}

static void add_turn(json_t *entries, const json_t *line, int64_t began_ms)
{
    const char *message = text_of(line, "message");
    bool user = strcmp(text_of(line, "role"), "user") == 0;
    char started[24];
    if (!*message)
        return;
    snprintf(started, sizeof started, "%lld", (long long)(began_ms + ms_of(json_object_get(line, "time_in_call_secs"))));
    json_array_append_new(entries, json_pack("[s, s, s, s, s, s, s, s, s]", "turn", "speaker", user ? "caller" : "assistant",
                                             "message", message, "started_ms", started, "interrupted",
                                             json_is_true(json_object_get(line, "interrupted")) ? "true" : "false"));
}

static void add_facts(json_t *entries, const struct report *report, const json_t *data)
{
    const json_t *analysis = json_object_get(data, "analysis"), *metadata = json_object_get(data, "metadata");
    json_t *facts;
    char *text;
    facts = json_pack("{s:s, s:O*, s:s*, s:s*, s:O*, s:O*}", "conversation_id", report->conversation_id, "summary",
                      json_object_get(analysis, "transcript_summary"), "call_successful", json_string_value(json_object_get(analysis, "call_successful")),
                      "termination_reason", json_string_value(json_object_get(metadata, "termination_reason")),
                      "data_collection", json_object_get(analysis, "data_collection_results"), "cost",
                      json_object_get(metadata, "cost"));
    text = facts ? json_dumps(facts, JSON_COMPACT) : NULL;
    if (text)
        json_array_append_new(entries, json_pack("[s, s, s]", "callsession_update", "data", text));
    json_decref(facts);
    free(text);
}

static const char *read_transcript(struct report *out, const json_t *data)
{
    const json_t *metadata = json_object_get(data, "metadata"), *lines = json_object_get(data, "transcript");
    int64_t began_ms = ms_of(json_object_get(metadata, "start_time_unix_secs"));
    out->kind = REPORT_TRANSCRIPT;
    out->has_audio = json_is_true(json_object_get(data, "has_audio"));
    out->status = strcmp(text_of(data, "status"), "failed") == 0 ? "failed" : "completed";
    snprintf(out->duration, sizeof out->duration, "%d", (int)json_number_value(json_object_get(metadata, "call_duration_secs")));
    utf8_copy(out->reason, sizeof out->reason, text_of(metadata, "termination_reason"));
    for (size_t i = 0; i < json_array_size(lines) && i < TURNS_MAX; i++)
        add_turn(out->entries, json_array_get(lines, i), began_ms);
    add_facts(out->entries, out, data);
    return NULL;
}

static const char *read_failure(struct report *out, const json_t *data)
{
    const json_t *body = json_object_get(json_object_get(data, "metadata"), "body");
    const char *why = text_of(data, "failure_reason");
    char said[100];
    out->kind = REPORT_FAILURE;
    out->status = strcmp(why, "busy") == 0 || strcmp(why, "no-answer") == 0 ? (*why == 'b' ? "busy" : "no-answer") : "failed";
    utf8_copy(said, sizeof said, *why ? why : "unknown");
    snprintf(out->reason, sizeof out->reason, "elevenlabs: %s", said);
    copy_id(out->provider_sid, json_object_get(body, "CallSid"));
    if (!*out->provider_sid)
        copy_id(out->provider_sid, json_object_get(body, "call_sid"));
    return NULL;
}

const char *report_of_conversation(struct report *out, const json_t *data)
{
    memset(out, 0, sizeof *out);
    out->status = "";
    out->entries = json_array();
    if (!out->entries)
        return NO_MEMORY;
    take_ids(out, data);
    return *out->conversation_id ? read_transcript(out, data) : "it has no conversation_id";
}

const char *report_of_webhook(struct report *out, const json_t *body)
{
    const char *type = text_of(body, "type");
    const json_t *data = json_object_get(body, "data");
    memset(out, 0, sizeof *out);
    out->status = "";
    out->entries = json_array();
    if (!out->entries)
        return NO_MEMORY;
    if (!*type || !json_is_object(data))
        return "it is no object with type and data";
    take_ids(out, data);
    if (!*out->conversation_id)
        return "its data has no conversation_id";
    if (strcmp(type, "post_call_transcription") == 0)
        return read_transcript(out, data);
    if (strcmp(type, "call_initiation_failure") == 0)
        return read_failure(out, data);
    if (strcmp(type, "post_call_audio") == 0)
        out->kind = REPORT_AUDIO;
    return NULL;
}

void report_release(struct report *report)
{
    json_decref(report->entries);
    report->entries = NULL;
}
