#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/carrier/twilio.h"

static struct carrier_event parse(const char *text, size_t len)
{
    struct carrier_event ev;
    static char *copy;
    free(copy);
    copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    carrier_twilio.parse(copy, len, &ev);
    return ev;
}

static struct carrier_event parsed(const char *text)
{
    return parse(text, strlen(text));
}

/* The messages as the documentation of the carrier prints them. */
#define START                                                                                                       \
    "{\"event\":\"start\",\"sequenceNumber\":\"1\",\"start\":{\"accountSid\":\"AC1\",\"streamSid\":\"MZ1\",\"callSid\":\"CA1\"," \
    "\"tracks\":[\"inbound\"],\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000,\"channels\":1},"   \
    "\"customParameters\":{\"token\":\"0.1.aa.bb\",\"other\":\"x\"}},\"streamSid\":\"MZ1\"}"
#define MEDIA                                                                                                  \
    "{\"event\":\"media\",\"sequenceNumber\":\"2\",\"streamSid\":\"MZ1\",\"media\":{\"track\":\"inbound\",\"chunk\":\"1\"," \
    "\"timestamp\":\"60\",\"payload\":\"f/9/\"}}"
#define MARK "{\"event\":\"mark\",\"sequenceNumber\":\"6\",\"streamSid\":\"MZ1\",\"mark\":{\"name\":\"7.3\"}}"
#define DTMF "{\"event\":\"dtmf\",\"streamSid\":\"MZ1\",\"sequenceNumber\":\"5\",\"dtmf\":{\"track\":\"inbound_track\",\"digit\":\"#\"}}"
#define STOP "{\"event\":\"stop\",\"sequenceNumber\":\"99\",\"streamSid\":\"MZ1\",\"stop\":{\"accountSid\":\"AC1\",\"callSid\":\"CA1\"}}"

static void test_messages(void **state)
{
    struct carrier_event ev = parsed("{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}");
    (void)state;
    assert_int_equal(ev.kind, CARRIER_NOTHING);
    ev = parsed(START);
    assert_int_equal(ev.kind, CARRIER_START);
    assert_string_equal(ev.call_sid, "CA1");
    assert_string_equal(ev.stream_sid, "MZ1");
    assert_string_equal(ev.token, "0.1.aa.bb");
    ev = parsed("{\"event\":\"start\",\"start\":{\"streamSid\":\"MZ1\",\"customParameters\":{\"call_sid\":\"EL_7_x\"},"
                "\"callSid\":\"CA1\",\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000,\"channels\":1}}}");
    assert_int_equal(ev.kind, CARRIER_START);
    assert_string_equal(ev.call_sid, "EL_7_x"); /* of a call that we dialled, wherever it stands */
    ev = parsed(MEDIA);
    assert_int_equal(ev.kind, CARRIER_AUDIO);
    assert_int_equal(ev.timestamp_ms, 60);
    assert_int_equal(ev.audio_len, 4);
    assert_memory_equal(ev.audio, "f/9/", 4);
    ev = parsed(MARK);
    assert_int_equal(ev.kind, CARRIER_PLAYED);
    assert_string_equal(ev.mark, "7.3");
    ev = parsed(DTMF);
    assert_int_equal(ev.kind, CARRIER_DTMF);
    assert_int_equal(ev.digit, '#');
    ev = parsed(STOP);
    assert_int_equal(ev.kind, CARRIER_STOP);
    ev = parsed("{\"event\":\"something new\",\"x\":[1,{\"y\":2}]}");
    assert_int_equal(ev.kind, CARRIER_NOTHING);
}

static void test_every_cut(void **state)
{
    static const char *const rows[] = {START, MEDIA, MARK, DTMF, STOP};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t cut = 0; cut < strlen(rows[i]); cut++)
            assert_int_equal(parse(rows[i], cut).kind, CARRIER_BAD);
    }
}

/* Key order varies, unknown keys appear, slashes may be escaped. */
static void test_leniency(void **state)
{
    struct carrier_event ev = parsed("{\"media\":{\"payload\":\"f\\/9\\/\",\"x\":{},\"timestamp\":80},\"y\":1,\"event\":\"media\"}");
    (void)state;
    assert_int_equal(ev.kind, CARRIER_AUDIO);
    assert_int_equal(ev.audio_len, 4);
    assert_memory_equal(ev.audio, "f/9/", 4);
    assert_int_equal(ev.timestamp_ms, 80);
    ev = parsed("{\"event\":\"media\",\"media\":{\"track\":\"outbound\",\"payload\":\"AAAA\"}}");
    assert_int_equal(ev.kind, CARRIER_NOTHING);
    ev = parsed("{\"event\":\"mark\",\"mark\":{\"name\":\"somebody else's mark, much longer than any of ours\"}}");
    assert_int_equal(ev.kind, CARRIER_NOTHING);
    ev = parsed("{\"\\u0065vent\":\"m\\u0065dia\",\"media\":{\"timestamp\":\"\\u0038\\u0030\",\"track\":\"inb\\u006fund\",\"payload\":\"AAAA\"}}");
    assert_int_equal(ev.kind, CARRIER_AUDIO); /* JSON may be written so */
    assert_int_equal(ev.timestamp_ms, 80);
    ev = parsed("{\"event\":\"media\",\"media\":{\"timestamp\":\"x\",\"payload\":5,\"payload\":\"AAAA\",\"timestamp\":1}}");
    assert_int_equal(ev.kind, CARRIER_AUDIO); /* of a name that comes twice the last one counts */
    assert_int_equal(ev.timestamp_ms, 1);
    ev = parsed("{\"event\":\"start\",\"start\":{\"streamSid\":\"MZ1\",\"callSid\":\"CA1\",\"mediaFormat\":{\"encoding\":\"audio\\/x-mulaw\","
                "\"sampleRate\":8000,\"channels\":1}}}");
    assert_int_equal(ev.kind, CARRIER_START);
    for (int i = 0; i < 3; i++) { /* no parameters: absent, null or empty */
        static const char *const none[] = {"", ",\"customParameters\":null", ",\"customParameters\":{}"};
        char text[400];
        snprintf(text, sizeof text,
                 "{\"event\":\"start\",\"start\":{\"streamSid\":\"MZ1\",\"callSid\":\"CA1\",\"mediaFormat\":{\"encoding\":"
                 "\"audio/x-mulaw\",\"sampleRate\":8000,\"channels\":1}%s}}", none[i]);
        ev = parsed(text);
        assert_int_equal(ev.kind, CARRIER_START);
        assert_string_equal(ev.token, "");
    }
}

static void test_bad(void **state)
{
    static const char *const rows[] = {
        "", "not json", "[]", "{}", "{\"event\":1}", "{\"event\":\"media\"}", "{\"event\":\"media\",\"media\":[]}",
        "{\"event\":\"media\",\"media\":{\"payload\":5}}", "{\"event\":\"media\",\"media\":{\"payload\":\"a\\\"b\"}}",
        "{\"event\":\"media\",\"media\":{\"payload\":\"AAAA\",\"timestamp\":\"x\"}}", "{\"event\":\"start\"}",
        "{\"event\":\"start\",\"start\":{\"streamSid\":\"MZ1\",\"callSid\":\"CA1\"}}",
        "{\"event\":\"start\",\"start\":{\"streamSid\":\"MZ1\",\"callSid\":\"CA1\",\"mediaFormat\":{\"encoding\":\"audio/l16\","
        "\"sampleRate\":16000,\"channels\":1}}}",
        "{\"event\":\"start\",\"start\":{\"callSid\":\"CA1\",\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000,"
        "\"channels\":1}}}",
        "{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"11\"}}", "{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"x\"}}",
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
    char out[200];
    size_t n = carrier_twilio.audio(out, sizeof out, "MZ1", "f/9/", 4);
    (void)state;
    static const char media[] = "{\"event\":\"media\",\"streamSid\":\"MZ1\",\"media\":{\"payload\":\"f/9/\"}}";
    assert_int_equal(n, sizeof media - 1);
    assert_memory_equal(out, media, n);
    assert_true(n <= 4 + CARRIER_AUDIO_OVERHEAD);
    assert_int_equal(carrier_twilio.audio(out, 60, "MZ1", "f/9/", 4), 0);
    n = carrier_twilio.mark(out, sizeof out, "MZ1", "0.8000");
    assert_string_equal(out, "{\"event\":\"mark\",\"streamSid\":\"MZ1\",\"mark\":{\"name\":\"0.8000\"}}");
    assert_int_equal(n, strlen(out));
    carrier_twilio.clear(out, sizeof out, "MZ1");
    assert_string_equal(out, "{\"event\":\"clear\",\"streamSid\":\"MZ1\"}");
    assert_int_equal(carrier_twilio.clear(out, 10, "MZ1"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages), cmocka_unit_test(test_every_cut), cmocka_unit_test(test_leniency),
        cmocka_unit_test(test_bad),      cmocka_unit_test(test_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
