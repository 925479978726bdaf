#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/carrier/telnyx.h"

/* As the vendor documents them. */
#define FORMAT "\"media_format\":{\"encoding\":\"PCMU\",\"sample_rate\":8000,\"channels\":1}"
#define IDS "\"user_id\":\"u1\",\"call_control_id\":\"v3:C_a-1\",\"call_session_id\":\"s1\",\"from\":\"+13122010094\",\"to\":\"+13122123456\""
#define WITH(more) "{\"event\":\"start\",\"sequence_number\":\"1\",\"start\":{" IDS "," FORMAT more "},\"stream_id\":\"32DE-1\"}"
#define START WITH(",\"custom_parameters\":{\"token\":\"0.1.aa.bb\"},\"client_state\":\"aGF2ZSBhIG5pY2UgZGF5\"")
#define MEDIA                                                                                                  \
    "{\"event\":\"media\",\"sequence_number\":\"4\",\"media\":{\"track\":\"inbound\",\"chunk\":\"2\",\"timestamp\":\"60\"," \
    "\"payload\":\"f/9/\"},\"stream_id\":\"32DE-1\"}"
#define MARK "{\"event\":\"mark\",\"sequence_number\":\"6\",\"mark\":{\"name\":\"7.3\"},\"stream_id\":\"32DE-1\"}"
#define DTMF                                                                                             \
    "{\"event\":\"dtmf\",\"stream_id\":\"32DE-1\",\"occurred_at\":\"2026-11-20T11:03:00Z\",\"sequence_number\":\"5\"," \
    "\"dtmf\":{\"digit\":\"1\"}}"
#define STOP                                                                                          \
    "{\"event\":\"stop\",\"sequence_number\":\"5\",\"stop\":{\"user_id\":\"u1\",\"call_control_id\":\"v3:C_a-1\"}," \
    "\"stream_id\":\"32DE-1\"}"
#define ERROR                                                                                                 \
    "{\"event\":\"error\",\"payload\":{\"code\":100004,\"title\":\"invalid_media\",\"detail\":\"bad\"},\"stream_id\":\"32DE-1\"}"

static char *copy; /* what the event's views point into; its exact size, for the sanitizer */

static struct carrier_event parse(const char *text, size_t len)
{
    struct carrier_event ev;
    free(copy);
    copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    carrier_telnyx.parse(copy, len, &ev);
    return ev;
}

static struct carrier_event parsed(const char *text)
{
    return parse(text, strlen(text));
}

static int forget(void **state)
{
    (void)state;
    free(copy);
    copy = NULL;
    return 0;
}

static void test_messages(void **state)
{
    struct carrier_event ev = parsed("{\"event\":\"connected\",\"version\":\"1.0.0\"}");
    (void)state;
    assert_int_equal(ev.kind, CARRIER_NOTHING);
    ev = parsed(START);
    assert_int_equal(ev.kind, CARRIER_START);
    assert_string_equal(ev.call_sid, "v3:C_a-1");
    assert_string_equal(ev.stream_sid, "32DE-1");
    assert_string_equal(ev.token, "0.1.aa.bb");
    ev = parsed(MEDIA);
    assert_int_equal(ev.kind, CARRIER_AUDIO);
    assert_int_equal(ev.chunk, 2);
    assert_int_equal(ev.timestamp_ms, 60);
    assert_int_equal(ev.audio_len, 4);
    assert_memory_equal(ev.audio, "f/9/", 4);
    ev = parsed(MARK);
    assert_int_equal(ev.kind, CARRIER_PLAYED);
    assert_string_equal(ev.mark, "7.3");
    ev = parsed(DTMF);
    assert_int_equal(ev.kind, CARRIER_DTMF);
    assert_int_equal(ev.digit, '1');
    assert_int_equal(parsed(STOP).kind, CARRIER_STOP);
    ev = parsed(ERROR);
    assert_int_equal(ev.kind, CARRIER_REFUSED);
    assert_int_equal(ev.code, 100004);
    assert_int_equal(parsed("{\"event\":\"something new\",\"x\":[1,{\"y\":2}]}").kind, CARRIER_NOTHING);
}

static void test_every_cut(void **state)
{
    static const char *const rows[] = {START, MEDIA, MARK, DTMF, STOP, ERROR};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t cut = 0; cut < strlen(rows[i]); cut++)
            assert_int_equal(parse(rows[i], cut).kind, CARRIER_BAD);
    }
}

/* Wherever the token may travel; a client_state of somebody else's is no token of ours. */
static void test_the_token(void **state)
{
    static const struct { const char *text, *token; } rows[] = {
        {WITH(",\"custom_parameters\":[{\"name\":\"x\",\"value\":\"y\"},{\"name\":\"token\",\"value\":\"0.1.a\"}]"), "0.1.a"},
        {"{\"event\":\"start\",\"custom_parameters\":{\"token\":\"0.1.a\"},\"start\":{" IDS "," FORMAT "},\"stream_id\":\"S\"}", "0.1.a"},
        {WITH(",\"client_state\":\"MC4xLmE=\""), "0.1.a"},
        {WITH(",\"custom_parameters\":{},\"client_state\":\"MC4xLmE=\""), "0.1.a"},
        {WITH(",\"custom_parameters\":null,\"client_state\":null"), ""},
        {WITH(",\"client_state\":\"no base64!\""), ""},
        {WITH(""), ""},
    };
    char text[900], state_text[401];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct carrier_event ev = parsed(rows[i].text);
        assert_int_equal(ev.kind, CARRIER_START);
        assert_string_equal(ev.token, rows[i].token);
    }
    memset(state_text, 'A', 400);
    state_text[400] = '\0';
    snprintf(text, sizeof text, WITH(",\"client_state\":\"%s\""), state_text);
    assert_string_equal(parsed(text).token, "");
    snprintf(text, sizeof text, WITH(",\"custom_parameters\":{\"token\":\"%s\"}"), state_text);
    assert_int_equal(parsed(text).kind, CARRIER_BAD);
}

static void test_leniency(void **state)
{
    struct carrier_event ev = parsed("{\"media\":{\"payload\":\"f\\/9\\/\",\"chunk\":7,\"timestamp\":80},\"event\":\"media\"}");
    (void)state;
    assert_int_equal(ev.kind, CARRIER_AUDIO);
    assert_memory_equal(ev.audio, "f/9/", 4);
    assert_int_equal(ev.chunk, 7);
    ev = parsed("{\"event\":\"media\",\"media\":{\"track\":\"outbound\",\"payload\":\"AAAA\"}}");
    assert_int_equal(ev.kind, CARRIER_NOTHING);
    ev = parsed("{\"event\":\"error\",\"payload\":{\"code\":\"100003\"}}");
    assert_int_equal(ev.code, 100003);
    ev = parsed("{\"event\":\"error\",\"payload\":{\"code\":\"x\"}}");
    assert_int_equal(ev.kind, CARRIER_REFUSED);
    assert_int_equal(ev.code, 0);
    /* older text of the documentation, numbers as strings */
    ev = parsed("{\"event\":\"start\",\"start\":{" IDS ",\"media_format\":{\"encoding\":\"audio/x-mulaw\",\"sample_rate\":\"8000\"}},"
                "\"stream_id\":\"S\"}");
    assert_int_equal(ev.kind, CARRIER_START);
}

static void test_bad(void **state)
{
    static const char *const rows[] = {
        "", "not json", "[]", "{}", "{\"event\":1}", "{\"event\":\"media\"}", "{\"event\":\"media\",\"media\":[]}",
        "{\"event\":\"media\",\"media\":{\"payload\":5}}", "{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"chunk\":\"x\"}}",
        "{\"event\":\"start\"}", "{\"event\":\"start\",\"start\":{}}",
        "{\"event\":\"start\",\"start\":{" IDS "},\"stream_id\":\"S\"}",
        "{\"event\":\"start\",\"start\":{" IDS "," FORMAT "}}",
        "{\"event\":\"start\",\"start\":{" FORMAT "},\"stream_id\":\"S\"}",
        "{\"event\":\"start\",\"start\":{" IDS ",\"media_format\":{\"encoding\":\"PCMA\",\"sample_rate\":8000,\"channels\":1}},\"stream_id\":\"S\"}",
        "{\"event\":\"start\",\"start\":{" IDS ",\"media_format\":{\"encoding\":\"PCMU\",\"sample_rate\":16000,\"channels\":1}},\"stream_id\":\"S\"}",
        "{\"event\":\"start\",\"start\":{" IDS ",\"media_format\":{\"encoding\":\"PCMU\",\"sample_rate\":8000,\"channels\":2}},\"stream_id\":\"S\"}",
        "{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"E\"}}", "{\"event\":\"error\",\"payload\":\"x\"}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct carrier_event ev = parsed(rows[i]);
        if (ev.kind != CARRIER_BAD)
            fail_msg("taken: %s", rows[i]);
        assert_non_null(ev.error);
    }
}

static void test_written(void **state)
{
    char frame[217], out[400], expected[400];
    size_t n;
    (void)state;
    memset(frame, 'A', 216); /* 162 bytes */
    frame[216] = '\0';
    n = carrier_telnyx.audio(out, sizeof out, "S", frame, 216);
    snprintf(expected, sizeof expected, "{\"event\":\"media\",\"media\":{\"payload\":\"%s\"}}", frame);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(out, expected, n);
    assert_true(n <= 216 + CARRIER_AUDIO_OVERHEAD);
    assert_int_equal(carrier_telnyx.audio(out, n, "S", frame, 216), 0);
    assert_int_equal(carrier_telnyx.mark(out, sizeof out, "S", "0.8000"), strlen("{\"event\":\"mark\",\"mark\":{\"name\":\"0.8000\"}}"));
    assert_string_equal(out, "{\"event\":\"mark\",\"mark\":{\"name\":\"0.8000\"}}");
    carrier_telnyx.clear(out, sizeof out, "S");
    assert_string_equal(out, "{\"event\":\"clear\"}");
    assert_int_equal(carrier_telnyx.clear(out, 10, "S"), 0);
}

/* Less than 20 ms is refused by the carrier: silence (0xFF) fills it up to 160 bytes. */
static void test_a_scrap_is_filled_up(void **state)
{
    static const char head[] = "{\"event\":\"media\",\"media\":{\"payload\":\"";
    char out[400];
    size_t n = carrier_telnyx.audio(out, sizeof out, "S", "AAA=", 4); /* two bytes of 0 */
    (void)state;
    assert_int_equal(n, sizeof head - 1 + 216 + 3);
    assert_memory_equal(out + sizeof head - 1, "AAD/////", 8);
    assert_memory_equal(out + n - 3 - 4, "/w==", 4);
    assert_int_equal(carrier_telnyx.audio(out, sizeof out, "S", "A!A=", 4), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_messages, forget), cmocka_unit_test_teardown(test_every_cut, forget),
        cmocka_unit_test_teardown(test_the_token, forget), cmocka_unit_test_teardown(test_leniency, forget),
        cmocka_unit_test_teardown(test_bad, forget),      cmocka_unit_test(test_written),
        cmocka_unit_test(test_a_scrap_is_filled_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
