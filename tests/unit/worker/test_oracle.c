/* The readers of the per-frame path beside the JSON library: whatever is written, good or bad, in whatever order,
 * and however it comes out of the socket, they find what the library finds, or refuse what it refuses.
 *
 *   test_worker_oracle [ROUNDS [SEED]]     more of it, by hand; a failure prints its seed and text */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tests/unit/worker/forge.h"
#include "worker/ai/openai.h"
#include "worker/carrier/twilio.h"
#include "worker/jscan.h"
#include "worker/ws/ws_codec.h"

static long rounds = 30000;
static uint64_t first_seed = 20261126;

static struct forge forge;
static const char *wrong; /* with the text at hand */

#define EXPECT(condition)                                              \
    do {                                                               \
        if (!(condition) && !wrong)                                    \
            wrong = #condition;                                        \
    } while (0)

/* ---- what the library finds ---- */

enum verdict { GOOD, BAD, UNKNOWN };

/* Brackets within brackets, of good JSON. */
static int depth_of(const char *text, size_t len)
{
    int depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        if (in_string && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            in_string = !in_string;
        else if (!in_string && (text[i] == '{' || text[i] == '['))
            deepest = ++depth > deepest ? depth : deepest;
        else if (!in_string && (text[i] == '}' || text[i] == ']'))
            depth--;
    }
    return deepest;
}

/* UNKNOWN: RFC 8259 allows the text, the library cannot hold it (huge numbers, halves of surrogate pairs, NUL in a
 * name); what our readers skip over they need not hold. Or the library does not tell -0 from 0, which is no number of
 * ours. A NUL byte, which RFC 8259 allows nowhere, the library passes over behind a number. */
static enum verdict judge(const char *text, size_t len, json_t **root)
{
    json_error_t error;
    *root = NULL;
    if (memchr(text, '\0', len))
        return BAD;
    *root = json_loadb(text, len, JSON_ALLOW_NUL, &error);
    if (*root && memmem(text, len, "-0", 2))
        return UNKNOWN;
    if (*root)
        return json_is_object(*root) && depth_of(text, len) - 1 <= JSCAN_DEPTH_MAX ? GOOD : BAD;
    if (json_error_code(&error) == json_error_numeric_overflow || json_error_code(&error) == json_error_null_byte_in_key ||
        strstr(error.text, "Unicode"))
        return UNKNOWN;
    return BAD;
}

static bool is(const json_t *value, const char *text)
{
    return json_is_string(value) && json_string_length(value) == strlen(text) && strcmp(json_string_value(value), text) == 0;
}

static bool number(const json_t *value, uint64_t *out)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    if (json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) < 1000000000000000000) {
        *out = (uint64_t)json_integer_value(value);
        return true;
    }
    if (!text || len == 0 || len > 18 || strspn(text, "0123456789") != len)
        return false;
    *out = strtoull(text, NULL, 10);
    return true;
}

static bool copy(const json_t *value, char *out, size_t size)
{
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) && snprintf(out, size, "%s", text) < (int)size;
}

/* Base64 must be found as it is. Anything else may be refused; or it passes, if it cannot break the JSON it is put into. */
static bool audio(const json_t *value, bool *must)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    *must = text && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") == len;
    for (size_t i = 0; text && i < len; i++) {
        if (text[i] == '"' || text[i] == '\\' || (unsigned char)text[i] < 0x20)
            return false;
    }
    return text != NULL;
}

static void expect_audio(const json_t *value, const char *at, size_t len)
{
    EXPECT(len == json_string_length(value));
    EXPECT(len != json_string_length(value) || memcmp(at, json_string_value(value), len) == 0);
}

/* ---- the carrier's messages ---- */

static void expect_media(const json_t *media, const struct carrier_event *ev)
{
    const json_t *timestamp = json_object_get(media, "timestamp"), *chunk = json_object_get(media, "chunk");
    const json_t *track = json_object_get(media, "track"), *payload = json_object_get(media, "payload");
    uint64_t timestamp_ms = 0, place = 0;
    bool must, may = audio(payload, &must);
    bool good = (!timestamp || number(timestamp, &timestamp_ms)) && (!chunk || number(chunk, &place));
    if (!good || !may || (!must && ev->kind == CARRIER_BAD)) {
        EXPECT(ev->kind == CARRIER_BAD);
        return;
    }
    EXPECT(ev->timestamp_ms == timestamp_ms && ev->chunk == place);
    if (track && !is(track, "inbound")) {
        EXPECT(ev->kind == CARRIER_NOTHING);
        return;
    }
    EXPECT(ev->kind == CARRIER_AUDIO);
    if (ev->kind == CARRIER_AUDIO)
        expect_audio(payload, ev->audio, ev->audio_len);
}

static void expect_mark(const json_t *mark, const struct carrier_event *ev)
{
    const json_t *name = json_object_get(mark, "name");
    char text[CARRIER_MARK_SIZE] = "";
    bool ours = !name || copy(name, text, sizeof text);
    EXPECT(ev->kind == (ours ? CARRIER_PLAYED : CARRIER_NOTHING));
    EXPECT(!ours || strcmp(ev->mark, text) == 0);
}

static void expect_dtmf(const json_t *dtmf, const struct carrier_event *ev)
{
    const json_t *digit = json_object_get(dtmf, "digit");
    char text[16] = "";
    if (json_is_integer(digit))
        snprintf(text, sizeof text, "%.15s", json_integer_value(digit) >= 0 && json_integer_value(digit) < 10
                                                 ? (char[]){(char)('0' + json_integer_value(digit)), '\0'} : "");
    else if (!copy(digit, text, 2))
        text[0] = '\0';
    if (!*text || !strchr("0123456789*#ABCD", *text))
        EXPECT(ev->kind == CARRIER_BAD);
    else
        EXPECT(ev->kind == CARRIER_DTMF && ev->digit == *text);
}

static bool is_mulaw(const json_t *format)
{
    uint64_t rate = 0, channels = 0;
    return is(json_object_get(format, "encoding"), "audio/x-mulaw") &&
           number(json_object_get(format, "sampleRate"), &rate) && rate == 8000 &&
           number(json_object_get(format, "channels"), &channels) && channels == 1;
}

static void expect_start(const json_t *start, const struct carrier_event *ev)
{
    const json_t *parameters = json_object_get(start, "customParameters");
    const json_t *token = json_object_get(parameters, TOKEN_PARAMETER), *own = json_object_get(parameters, CALL_PARAMETER);
    const json_t *sid = own && !is(own, "") ? own : json_object_get(start, "callSid");
    char call[CALL_SID_SIZE] = "", stream[CARRIER_SID_SIZE] = "", secret[TOKEN_SIZE] = "", unused[CALL_SID_SIZE];
    const json_t *carriers_own = json_object_get(start, "callSid");
    bool good = copy(sid, call, sizeof call) && copy(json_object_get(start, "streamSid"), stream, sizeof stream) &&
                (!carriers_own || copy(carriers_own, unused, sizeof unused)) && *call && *stream &&
                (!token || copy(token, secret, sizeof secret)) && is_mulaw(json_object_get(start, "mediaFormat"));
    EXPECT(ev->kind == (good ? CARRIER_START : CARRIER_BAD));
    EXPECT(!good || (strcmp(ev->call_sid, call) == 0 && strcmp(ev->stream_sid, stream) == 0 && strcmp(ev->token, secret) == 0));
}

static void expect_carrier(const json_t *root, const struct carrier_event *ev)
{
    static const struct {
        const char *event;
        void (*expect)(const json_t *body, const struct carrier_event *ev);
    } rows[] = {{"media", expect_media}, {"mark", expect_mark}, {"dtmf", expect_dtmf}, {"start", expect_start}};
    const json_t *event = json_object_get(root, "event");
    if (!json_is_string(event)) {
        EXPECT(ev->kind == CARRIER_BAD);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const json_t *body = json_object_get(root, rows[i].event);
        if (!is(event, rows[i].event))
            continue;
        if (json_is_object(body))
            rows[i].expect(body, ev);
        else
            EXPECT(ev->kind == CARRIER_BAD);
        return;
    }
    EXPECT(ev->kind == (is(event, "stop") ? CARRIER_STOP : CARRIER_NOTHING));
}

static void media_body(struct forge *f, const char *word)
{
    static const struct forge_field fields[] = {
        {"track", forge_word, "inbound"}, {"chunk", forge_number, NULL}, {"timestamp", forge_number, NULL}, {"payload", forge_base64, NULL}};
    (void)word;
    forge_object(f, fields, ARRAY_LEN(fields));
}

static void mark_body(struct forge *f, const char *word)
{
    (void)word;
    forge_object(f, &(struct forge_field){"name", forge_word, forge_below(f, 8) ? "7.48000" : "none of ours: \xE2\x82\xAC, and far too long for one"}, 1);
}

static void dtmf_body(struct forge *f, const char *word)
{
    static const char *const digits[] = {"0", "7", "#", "*", "A", "a", "11", ""};
    (void)word;
    forge_object(f, &(struct forge_field){"digit", forge_below(f, 4) ? forge_word : forge_number, digits[forge_below(f, ARRAY_LEN(digits))]}, 1);
}

static void format_body(struct forge *f, const char *word)
{
    static const struct forge_field fields[] = {
        {"encoding", forge_word, "audio/x-mulaw"}, {"sampleRate", forge_word, "8000"}, {"channels", forge_word, "1"}};
    (void)word;
    forge_object(f, fields, ARRAY_LEN(fields));
}

static void parameters_body(struct forge *f, const char *word)
{
    struct forge_field fields[] = {
        {TOKEN_PARAMETER, forge_word, "0.1790000000000.000000000000000000.aa-_bb"}, {CALL_PARAMETER, forge_word, forge_below(f, 2) ? "EL_7_x" : ""}};
    (void)word;
    forge_object(f, fields, forge_below(f, 3));
}

static void start_body(struct forge *f, const char *word)
{
    static const struct forge_field fields[] = {
        {"callSid", forge_word, "CA0123456789abcdef"}, {"streamSid", forge_word, "MZ1"}, {"mediaFormat", format_body, NULL},
        {"customParameters", parameters_body, NULL}, {"tracks", forge_anything, NULL}};
    (void)word;
    forge_object(f, fields, ARRAY_LEN(fields));
}

static void forge_carrier(struct forge *f)
{
    static const struct {
        const char *event;
        void (*body)(struct forge *f, const char *word);
    } kinds[] = {{"media", media_body}, {"media", media_body}, {"media", media_body}, {"mark", mark_body}, {"dtmf", dtmf_body},
                 {"start", start_body}, {"stop", forge_anything}, {"connected", forge_anything}};
    uint32_t kind = forge_below(f, ARRAY_LEN(kinds));
    const struct forge_field fields[] = {
        {"event", forge_word, kinds[kind].event}, {"sequenceNumber", forge_number, NULL}, {kinds[kind].event, kinds[kind].body, NULL},
        {"streamSid", forge_word, "MZ0123456789abcdef"}};
    forge_object(f, fields, ARRAY_LEN(fields));
}

static bool has_duplicates(const char *text, size_t len)
{
    json_t *root = json_loadb(text, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    json_decref(root);
    return !root;
}

static void try_carrier(char *text, size_t len)
{
    json_t *root;
    enum verdict verdict = judge(text, len, &root);
    /* a start is read once a call: of a name that comes twice there the first good one may count */
    bool ambiguous = is(json_object_get(root, "event"), "start") && has_duplicates(text, len);
    struct carrier_event ev;
    carrier_twilio.parse(text, len, &ev);
    EXPECT(ev.kind != CARRIER_BAD || ev.error);
    if (verdict == BAD)
        EXPECT(ev.kind == CARRIER_BAD);
    else if (verdict == GOOD && !ambiguous)
        expect_carrier(root, &ev);
    json_decref(root);
}

/* ---- the provider's audio ---- */

static void expect_delta(const json_t *root, const struct ai_event *ev)
{
    const json_t *delta = json_object_get(root, "delta");
    char item[AI_ID_SIZE], response[AI_ID_SIZE];
    uint64_t index = 0;
    bool must, may = audio(delta, &must);
    bool good = copy(json_object_get(root, "item_id"), item, sizeof item) &&
                copy(json_object_get(root, "response_id"), response, sizeof response);
    if (!number(json_object_get(root, "content_index"), &index))
        index = 0;
    if (!good || !may || (!must && ev->kind == AI_BAD)) {
        EXPECT(ev->kind == AI_BAD && !ev->permanent);
        return;
    }
    EXPECT(ev->kind == AI_AUDIO && strcmp(ev->item, item) == 0 && strcmp(ev->response, response) == 0);
    EXPECT(ev->content_index == (int)index);
    if (ev->kind == AI_AUDIO)
        expect_audio(delta, ev->audio, ev->audio_len);
}

static void forge_provider(struct forge *f)
{
    static const char *const types[] = {"response.output_audio.delta", "response.output_audio.delta", "response.output_audio.delta",
                                        "response.output_audio_transcript.delta", "input_audio_buffer.speech_started",
                                        "session.updated", "rate_limits.updated"};
    const struct forge_field fields[] = {
        {"type", forge_word, types[forge_below(f, ARRAY_LEN(types))]}, {"event_id", forge_word, "event_1"},
        {"response_id", forge_word, "resp_\xC3\xA9"}, {"item_id", forge_word, forge_below(f, 8) ? "item_D1" :
         "item_of_a_name_that_nobody_would_give_and_that_is_longer_than_eighty_bytes_in_all_of_them"},
        {"output_index", forge_number, NULL}, {"content_index", forge_number, NULL}, {"delta", forge_base64, NULL}};
    forge_object(f, fields, ARRAY_LEN(fields));
}

static void try_provider(char *text, size_t len)
{
    json_t *root;
    enum verdict verdict = judge(text, len, &root);
    bool delta = is(json_object_get(root, "type"), "response.output_audio.delta");
    struct ai_memory memory = {0};
    struct ai_event ev;
    provider_openai.parse(&memory, text, len, &ev);
    if (verdict == BAD)
        EXPECT(ev.kind == AI_BAD);
    else if (verdict == GOOD && delta)
        expect_delta(root, &ev);
    else if (verdict == GOOD)
        EXPECT(ev.kind != AI_AUDIO);
    ai_event_release(&ev);
    json_decref(root);
}

/* ---- both, as they come out of a socket ---- */

/* In a frame that arrives in pieces, at the end of a buffer of its own: the sanitizer sees who reads past it. */
static void deliver(const struct forge *f, struct forge *dice, void (*try)(char *text, size_t len))
{
    static const uint8_t mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    uint8_t head[WS_HEAD_MAX], *wire;
    struct ws_decoder decoder = {.max_payload = FORGE_MAX, .masked = true};
    struct ws_frame frame = {.data = NULL};
    size_t n = ws_encode_head(head, WS_TEXT, f->len, mask), len = n + f->len, have = 0, taken = 0;
    uint16_t code;
    enum ws_result result = WS_NEED_MORE;
    wire = malloc(len);
    assert_non_null(wire);
    memcpy(wire, head, n);
    memcpy(wire + n, f->text, f->len);
    ws_mask(wire + n, f->len, mask);
    for (int pieces = 0; have < len; pieces++) {
        have += pieces < 3 ? forge_below(dice, (uint32_t)(len - have) + 1) : len - have;
        result = ws_decode(&decoder, wire, have, &taken, &frame, &code);
        EXPECT(result == (have < len ? WS_NEED_MORE : WS_FRAME));
    }
    EXPECT(taken == len && frame.len == f->len);
    EXPECT(result == WS_FRAME && memcmp(frame.data, f->text, f->len) == 0);
    if (!wrong && ws_utf8_valid(frame.data, frame.len)) /* else the connection ends here */
        try((char *)frame.data, frame.len);
    free(wire);
}

static void run(void (*write)(struct forge *f), void (*try)(char *text, size_t len))
{
    for (long i = 0; i < rounds; i++) {
        uint64_t seed = (first_seed + (uint64_t)i) * 0x9E3779B97F4A7C15u | 1;
        struct forge dice = {.seed = seed ^ 0xABCDEF};
        forge.seed = seed;
        forge.usual = i % 2;
        forge.len = 0;
        write(&forge);
        if (i % 3 == 0)
            forge_spoil(&forge);
        wrong = NULL;
        deliver(&forge, &dice, try);
        if (wrong)
            fail_msg("seed %llu: not so: %s\n%.*s", (unsigned long long)(first_seed + (uint64_t)i), wrong, (int)forge.len, forge.text);
    }
}

static void test_carrier(void **state)
{
    (void)state;
    run(forge_carrier, try_carrier);
}

static void test_provider(void **state)
{
    (void)state;
    run(forge_provider, try_provider);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_carrier), cmocka_unit_test(test_provider)};
    if (argc > 1)
        rounds = atol(argv[1]);
    if (argc > 2)
        first_seed = strtoull(argv[2], NULL, 10);
    json_object_seed(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
