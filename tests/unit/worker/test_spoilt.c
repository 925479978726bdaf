/* Every codec of the worker reads messages that were good until some of their bytes were changed, cut off or doubled.
 * What a codec says of them is its business; that it reads and writes nowhere else (the sanitizers see it), that its
 * answer is whole, and that it does not depend on the pieces in which the bytes came, is checked here.
 *
 *   test_worker_spoilt [ROUNDS [SEED]]     more of it, by hand */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/worker/forge.h"
#include "worker/ai/elevenlabs.h"
#include "worker/ai/openai.h"
#include "worker/carrier/telnyx.h"
#include "worker/carrier/twilio.h"
#include "worker/ws/ws_codec.h"
#include "worker/ws/ws_handshake.h"

static long rounds = 20000;
static uint64_t first_seed = 20261126;
static struct forge forge;

static void begin(long round)
{
    forge.seed = (first_seed + (uint64_t)round) * 0x9E3779B97F4A7C15u | 1;
    forge.len = 0;
}

static void write_text(const char *text)
{
    forge.len = strlen(text);
    memcpy(forge.text, text, forge.len);
}

/* Of exactly its size, so that a byte read behind it is seen. */
static char *exact(const char *bytes, size_t len)
{
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    return copy;
}

static void assert_ended(const char *text, size_t size)
{
    assert_non_null(memchr(text, '\0', size));
}

static void assert_inside(const char *at, size_t len, const char *text, size_t text_len)
{
    assert_true(at >= text && len <= text_len && at - text <= (ptrdiff_t)(text_len - len));
}

/* ---- messages ---- */

static const char *const from_twilio[] = {
    "{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}",
    "{\"event\":\"start\",\"sequenceNumber\":\"1\",\"start\":{\"accountSid\":\"AC1\",\"streamSid\":\"MZ1\",\"callSid\":\"CA1\",\"tracks\":"
    "[\"inbound\"],\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000,\"channels\":1},\"customParameters\":{\"token\":"
    "\"0.1.aa.bb\",\"call_sid\":\"EL_7_x\"}},\"streamSid\":\"MZ1\"}",
    "{\"event\":\"media\",\"sequenceNumber\":\"2\",\"streamSid\":\"MZ1\",\"media\":{\"track\":\"inbound\",\"chunk\":\"1\",\"timestamp\":\"60\","
    "\"payload\":\"f\\/9\\/f39\\/fw==\"}}",
    "{\"event\":\"mark\",\"sequenceNumber\":\"6\",\"streamSid\":\"MZ1\",\"mark\":{\"name\":\"7.3\"}}",
    "{\"event\":\"dtmf\",\"streamSid\":\"MZ1\",\"sequenceNumber\":\"5\",\"dtmf\":{\"track\":\"inbound_track\",\"digit\":\"#\"}}",
    "{\"event\":\"stop\",\"sequenceNumber\":\"99\",\"streamSid\":\"MZ1\",\"stop\":{\"accountSid\":\"AC1\",\"callSid\":\"CA1\"}}",
};

static const char *const from_telnyx[] = {
    "{\"event\":\"start\",\"sequence_number\":\"1\",\"start\":{\"call_control_id\":\"v3:C_a-1\",\"media_format\":{\"encoding\":\"PCMU\","
    "\"sample_rate\":8000,\"channels\":1},\"custom_parameters\":[{\"name\":\"token\",\"value\":\"0.1.aa.bb\"}],\"client_state\":"
    "\"aGF2ZSBhIG5pY2UgZGF5\"},\"stream_id\":\"32DE-1\"}",
    "{\"event\":\"start\",\"start\":{\"call_control_id\":\"v3:C_a-1\",\"media_format\":{\"encoding\":\"PCMU\",\"sample_rate\":\"8000\"},"
    "\"client_state\":\"MC4xLmFhLmJi\"},\"stream_id\":\"32DE-1\"}",
    "{\"event\":\"media\",\"sequence_number\":\"4\",\"media\":{\"track\":\"inbound\",\"chunk\":\"2\",\"timestamp\":\"60\",\"payload\":\"f/9/\"},"
    "\"stream_id\":\"32DE-1\"}",
    "{\"event\":\"error\",\"payload\":{\"code\":100004,\"title\":\"invalid_media\",\"detail\":\"bad\"},\"stream_id\":\"32DE-1\"}",
};

static const char *const from_openai[] = {
    "{\"type\":\"session.created\",\"session\":{\"expires_at\":1790000000}}",
    "{\"type\":\"session.updated\",\"session\":{\"audio\":{\"input\":{\"format\":{\"type\":\"audio/pcmu\"}},\"output\":{\"format\":{\"type\":"
    "\"audio/pcmu\"}}}}}",
    "{\"type\":\"response.output_audio.delta\",\"event_id\":\"event_1\",\"response_id\":\"resp_1\",\"item_id\":\"item_1\",\"output_index\":0,"
    "\"content_index\":0,\"delta\":\"f\\/9\\/f39\\/\"}",
    "{\"type\":\"response.output_audio_transcript.delta\",\"response_id\":\"resp_1\",\"item_id\":\"item_1\",\"content_index\":0,\"delta\":"
    "\"sch\\u00f6n \\ud83d\\ude00\"}",
    "{\"type\":\"conversation.item.input_audio_transcription.completed\",\"item_id\":\"item_2\",\"transcript\":\"Guten Tag\"}",
    "{\"type\":\"response.output_item.done\",\"response_id\":\"resp_1\",\"item\":{\"type\":\"function_call\",\"call_id\":\"call_1\",\"name\":"
    "\"end_call\",\"arguments\":\"{\\\"reason\\\":\\\"done\\\"}\"}}",
    "{\"type\":\"response.done\",\"response\":{\"id\":\"r\",\"status\":\"failed\",\"status_details\":{\"type\":\"failed\",\"error\":{\"type\":"
    "\"server_error\",\"code\":\"insufficient_quota\",\"message\":\"no\"}}}}",
    "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"code\":\"model_not_found\",\"message\":\"no such model\"}}",
};

static const char *const from_elevenlabs[] = {
    "{\"type\":\"conversation_initiation_metadata\",\"conversation_initiation_metadata_event\":{\"conversation_id\":\"conv_1\","
    "\"agent_output_audio_format\":\"ulaw_8000\",\"user_input_audio_format\":\"ulaw_8000\"}}",
    "{\"type\":\"audio\",\"audio_event\":{\"audio_base_64\":\"f39\\/\",\"event_id\":4,\"alignment\":{\"chars\":[\"H\"],"
    "\"char_start_times_ms\":[0],\"char_durations_ms\":[80]}}}",
    "{\"type\":\"agent_response\",\"agent_response_event\":{\"agent_response\":\"Hello\",\"event_id\":2}}",
    "{\"type\":\"agent_chat_response_part\",\"text_response_part\":{\"type\":\"delta\",\"text\":\"Hel\",\"event_id\":5}}",
    "{\"type\":\"agent_response_correction\",\"agent_response_correction_event\":{\"corrected_agent_response\":\"Hel\"}}",
    "{\"type\":\"interruption\",\"interruption_event\":{\"event_id\":3}}",
    "{\"type\":\"user_transcript\",\"user_transcription_event\":{\"user_transcript\":\"Hi\"}}",
    "{\"type\":\"ping\",\"ping_event\":{\"event_id\":7,\"ping_ms\":50}}",
    "{\"type\":\"client_tool_call\",\"client_tool_call\":{\"tool_name\":\"end_call\",\"tool_call_id\":\"t1\",\"parameters\":{\"reason\":\"x\"}}}",
    "{\"type\":\"error\",\"error_event\":{\"code\":1008,\"error_type\":\"policy\",\"message\":\"no\"}}",
};

/* One of them, spoilt. NULL: not UTF-8, which no codec of messages gets to see. */
static char *spoilt(const char *const *messages, size_t count, long round)
{
    begin(round);
    write_text(messages[forge_below(&forge, (uint32_t)count)]);
    forge_spoil(&forge);
    return ws_utf8_valid((uint8_t *)forge.text, forge.len) ? exact(forge.text, forge.len) : NULL;
}

static void read_as(const struct carrier *carrier, const char *const *messages, size_t count)
{
    for (long round = 0; round < rounds; round++) {
        char *text = spoilt(messages, count, round);
        struct carrier_event ev;
        if (!text)
            continue;
        carrier->parse(text, forge.len, &ev);
        assert_in_range(ev.kind, CARRIER_NOTHING, CARRIER_BAD);
        assert_true(ev.kind != CARRIER_BAD || ev.error);
        assert_ended(ev.call_sid, sizeof ev.call_sid);
        assert_ended(ev.stream_sid, sizeof ev.stream_sid);
        assert_ended(ev.token, sizeof ev.token);
        assert_ended(ev.mark, sizeof ev.mark);
        if (ev.kind == CARRIER_AUDIO)
            assert_inside(ev.audio, ev.audio_len, text, forge.len);
        free(text);
    }
}

static void listen_to(const struct provider *provider, const char *const *messages, size_t count)
{
    struct ai_memory memory = {0};
    for (long round = 0; round < rounds; round++) {
        char *text = spoilt(messages, count, round);
        struct ai_event ev;
        if (!text)
            continue;
        provider->parse(&memory, text, forge.len, &ev);
        assert_in_range(ev.kind, AI_NOTHING, AI_BAD);
        assert_ended(ev.item, sizeof ev.item);
        assert_ended(ev.response, sizeof ev.response);
        assert_ended(ev.tool_id, sizeof ev.tool_id);
        assert_ended(ev.tool_name, sizeof ev.tool_name);
        assert_ended(ev.session, sizeof ev.session);
        assert_ended(ev.error, sizeof ev.error);
        if (ev.kind == AI_AUDIO)
            assert_inside(ev.audio, ev.audio_len, text, forge.len);
        ai_event_release(&ev);
        free(text);
    }
}

static void test_twilio(void **state)
{
    (void)state;
    read_as(&carrier_twilio, from_twilio, ARRAY_LEN(from_twilio));
}

static void test_telnyx(void **state)
{
    (void)state;
    read_as(&carrier_telnyx, from_telnyx, ARRAY_LEN(from_telnyx));
}

static void test_openai(void **state)
{
    (void)state;
    listen_to(&provider_openai, from_openai, ARRAY_LEN(from_openai));
}

static void test_elevenlabs(void **state)
{
    (void)state;
    listen_to(&provider_elevenlabs, from_elevenlabs, ARRAY_LEN(from_elevenlabs));
}

/* ---- frames ---- */

static void add_frame(bool masked)
{
    static const enum ws_opcode opcodes[] = {WS_TEXT, WS_TEXT, WS_TEXT, WS_PING, WS_PONG, WS_CLOSE, WS_BINARY, WS_CONTINUATION};
    static const uint8_t mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    enum ws_opcode opcode = opcodes[forge_below(&forge, ARRAY_LEN(opcodes))];
    size_t len = forge_below(&forge, forge_below(&forge, 4) ? 126 : 1000);
    uint8_t *out = (uint8_t *)forge.text + forge.len;
    size_t head = ws_encode_head(out, opcode, len, masked ? mask : NULL);
    if (forge_below(&forge, 4) == 0)
        out[0] &= 0x7F; /* more of it follows */
    memset(out + head, 'a' + (int)forge_below(&forge, 26), len);
    if (masked)
        ws_mask(out + head, len, mask);
    forge.len += head + len;
}

/* What comes of the bytes when they arrive in pieces of at most so many: a digest, in which everything counts. */
static uint64_t outcome_of(bool masked, size_t piece)
{
    struct ws_decoder decoder = {.max_payload = 700, .masked = masked};
    uint64_t digest = 14695981039346656037u;
    size_t used = 0, have = 0;
    char *wire = exact(forge.text, forge.len);
    while (have < forge.len) {
        struct ws_frame frame;
        size_t taken = 0;
        uint16_t code = 0;
        enum ws_result result;
        have += piece < forge.len - have ? piece : forge.len - have;
        while ((result = ws_decode(&decoder, (uint8_t *)wire + used, have - used, &taken, &frame, &code)) == WS_FRAME) {
            assert_true(taken > 0 && taken <= have - used);
            assert_inside((char *)frame.data, frame.len, wire + used, taken);
            digest = (digest ^ (frame.opcode | (unsigned)frame.fin << 8)) * 1099511628211u;
            for (size_t i = 0; i < frame.len; i++)
                digest = (digest ^ frame.data[i]) * 1099511628211u;
            used += taken;
        }
        if (result == WS_BAD) {
            digest = (digest ^ code) * 1099511628211u;
            assert_true(code == WS_CLOSE_PROTOCOL || code == WS_CLOSE_TOO_BIG);
            break;
        }
    }
    free(wire);
    return digest;
}

static void test_frames(void **state)
{
    (void)state;
    for (long round = 0; round < rounds; round++) {
        bool masked = round % 2;
        uint64_t whole;
        begin(round);
        for (uint32_t frames = 1 + forge_below(&forge, 5); frames > 0; frames--)
            add_frame(masked);
        if (forge_below(&forge, 4))
            forge_spoil(&forge);
        whole = outcome_of(masked, forge.len);
        assert_true(outcome_of(masked, 1 + forge_below(&forge, 300)) == whole);
        assert_true(outcome_of(masked, 1 + forge_below(&forge, 8)) == whole);
    }
}

/* ---- heads ---- */

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

static void write_head(bool request)
{
    if (request)
        write_text("GET /media?x=1 HTTP/1.1\r\nHost: a.example:8081\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\nX-Twilio-Signature: none\r\n\r\n\x81\x05more");
    else
        write_text("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05more");
}

static enum ws_http_result parse_head(bool request, const char *buf, size_t len, size_t *taken, int *status)
{
    struct ws_request r;
    enum ws_http_result result;
    if (!request)
        return ws_response_parse(buf, len, KEY, taken, status);
    result = ws_request_parse(buf, len, taken, &r);
    if (result == WS_HTTP_DONE) {
        assert_ended(r.path, sizeof r.path);
        assert_ended(r.key, sizeof r.key);
    }
    *status = result == WS_HTTP_DONE && r.upgrade;
    return result;
}

/* Whoever has decided on a part of it does not change his mind about the whole. */
static void test_heads(void **state)
{
    (void)state;
    for (long round = 0; round < rounds; round++) {
        bool request = round % 2;
        size_t part, taken = 0, taken_part = 0;
        int status = 0, status_part = 0;
        enum ws_http_result whole, early;
        char *text;
        begin(round);
        write_head(request);
        if (forge_below(&forge, 8))
            forge_spoil(&forge);
        text = exact(forge.text, forge.len);
        whole = parse_head(request, text, forge.len, &taken, &status);
        free(text);
        part = forge_below(&forge, (uint32_t)forge.len + 1);
        text = exact(forge.text, part);
        early = parse_head(request, text, part, &taken_part, &status_part);
        free(text);
        assert_true(whole != WS_HTTP_DONE || taken <= forge.len);
        assert_true(early == WS_HTTP_NEED_MORE || early == whole);
        assert_true(early != WS_HTTP_DONE || (taken_part == taken && status_part == status));
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twilio),     cmocka_unit_test(test_telnyx), cmocka_unit_test(test_openai),
        cmocka_unit_test(test_elevenlabs), cmocka_unit_test(test_frames), cmocka_unit_test(test_heads),
    };
    if (argc > 1)
        rounds = atol(argv[1]);
    if (argc > 2)
        first_seed = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
