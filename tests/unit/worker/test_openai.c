#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "worker/ai/openai.h"

static struct ai_event last;
static char *copy;
static struct ai_memory memory;

static struct ai_event *parse(const char *text, size_t len)
{
    ai_event_release(&last);
    free(copy);
    copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    provider_openai.parse(&memory, copy, len, &last);
    return &last;
}

static struct ai_event *parsed(const char *text)
{
    return parse(text, strlen(text));
}

static int forget(void **state)
{
    (void)state;
    ai_event_release(&last);
    free(copy);
    copy = NULL;
    return 0;
}

#define DELTA                                                                                                \
    "{\"type\":\"response.output_audio.delta\",\"event_id\":\"event_1\",\"response_id\":\"resp_1\",\"item_id\":\"item_1\"," \
    "\"output_index\":0,\"content_index\":0,\"delta\":\"f39/\",\"obfuscation\":\"abc\"}"

static void test_audio_delta(void **state)
{
    struct ai_event *ev = parsed(DELTA);
    (void)state;
    assert_int_equal(ev->kind, AI_AUDIO);
    assert_string_equal(ev->item, "item_1");
    assert_string_equal(ev->response, "resp_1");
    assert_int_equal(ev->audio_len, 4);
    assert_memory_equal(ev->audio, "f39/", 4);
    for (size_t cut = 0; cut < sizeof DELTA - 1; cut++)
        assert_int_equal(parse(DELTA, cut)->kind, AI_BAD);
    /* the type may come last, the text may be escaped */
    ev = parsed("{\"delta\":\"f3\\/\\/\",\"item_id\":\"i\",\"response_id\":\"r\",\"content_index\":2,"
                "\"type\":\"response.output_audio.delta\"}");
    assert_int_equal(ev->kind, AI_AUDIO);
    assert_memory_equal(ev->audio, "f3//", 4);
    assert_int_equal(ev->content_index, 2);
    assert_int_equal(parsed("{\"type\":\"response.output_audio.delta\",\"delta\":\"AAAA\"}")->kind, AI_BAD);
}

static void test_events(void **state)
{
    struct ai_event *ev = parsed("{\"type\":\"session.created\",\"session\":{}}");
    (void)state;
    assert_int_equal(ev->kind, AI_NOTHING);
    ev = parsed("{\"type\":\"input_audio_buffer.speech_started\",\"audio_start_ms\":5,\"item_id\":\"item_2\"}");
    assert_int_equal(ev->kind, AI_SPEECH_STARTED);
    assert_string_equal(ev->item, "item_2");
    ev = parsed("{\"type\":\"conversation.item.input_audio_transcription.completed\",\"item_id\":\"item_2\","
                "\"content_index\":0,\"transcript\":\"\\u05e9\\u05dc\\u05d5\\u05dd\"}");
    assert_int_equal(ev->kind, AI_CALLER_TRANSCRIPT);
    assert_string_equal(ev->text, "\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D");
    ev = parsed("{\"type\":\"response.output_audio_transcript.delta\",\"response_id\":\"resp_1\",\"item_id\":\"item_2\","
                "\"delta\":\"\\ud83d\\u0000\"}"); /* half a character, and none */
    assert_int_equal(ev->kind, AI_TEXT);
    assert_string_equal(ev->text, "\xEF\xBF\xBD\xEF\xBF\xBD");
    ev = parsed("{\"type\":\"conversation.item.input_audio_transcription.failed\",\"item_id\":\"item_2\",\"error\":{}}");
    assert_int_equal(ev->kind, AI_CALLER_TRANSCRIPT);
    assert_string_equal(ev->text, "");
    ev = parsed("{\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"status\":\"in_progress\"}}");
    assert_int_equal(ev->kind, AI_RESPONSE_STARTED);
    ev = parsed("{\"type\":\"response.output_item.done\",\"response_id\":\"resp_1\",\"item\":{\"type\":\"function_call\","
                "\"call_id\":\"call_1\",\"name\":\"end_call\",\"arguments\":\"{}\"}}");
    assert_int_equal(ev->kind, AI_TOOL_CALL);
    assert_string_equal(ev->tool_id, "call_1");
    assert_string_equal(ev->tool_name, "end_call");
    assert_string_equal(ev->text, "{}");
    ev = parsed("{\"type\":\"response.output_item.done\",\"response_id\":\"resp_1\",\"item\":{\"type\":\"function_call\","
                "\"status\":\"incomplete\",\"call_id\":\"call_2\",\"name\":\"end_call\",\"arguments\":\"{}\"}}");
    assert_int_equal(ev->kind, AI_NOTHING); /* cut short by the caller */
    ev = parsed("{\"type\":\"response.output_item.done\",\"response_id\":\"resp_1\",\"item\":{\"type\":\"message\"}}");
    assert_int_equal(ev->kind, AI_NOTHING);
    ev = parsed("{\"type\":\"response.something_new\",\"x\":{\"delta\":1}}");
    assert_int_equal(ev->kind, AI_NOTHING);
    assert_int_equal(parsed("[]")->kind, AI_BAD);
    assert_int_equal(parsed("{}")->kind, AI_NOTHING);
}

static void test_response_done(void **state)
{
    struct ai_event *ev = parsed("{\"type\":\"response.done\",\"response\":{\"id\":\"r\",\"status\":\"completed\",\"status_details\":null}}");
    (void)state;
    assert_int_equal(ev->kind, AI_RESPONSE_DONE);
    assert_int_equal(ev->status, AI_COMPLETED);
    ev = parsed("{\"type\":\"response.done\",\"response\":{\"id\":\"r\",\"status\":\"cancelled\"}}");
    assert_int_equal(ev->status, AI_CANCELLED);
    ev = parsed("{\"type\":\"response.done\",\"response\":{\"id\":\"r\",\"status\":\"failed\",\"status_details\":{\"type\":\"failed\","
                "\"error\":{\"type\":\"x\",\"code\":\"rate_limit_exceeded\",\"message\":\"slow down\"}}}}");
    assert_int_equal(ev->status, AI_FAILED);
    assert_string_equal(ev->error, "rate_limit_exceeded: slow down");
    assert_false(ev->permanent);
}

/* A session that is not mu-law both ways would be heard as noise: it must not be used. */
static void test_formats_are_checked(void **state)
{
    (void)state;
    assert_int_equal(parsed("{\"type\":\"session.updated\",\"session\":{\"audio\":{\"input\":{\"format\":{\"type\":\"audio/pcmu\"}},"
                            "\"output\":{\"format\":{\"type\":\"audio/pcmu\"}}}}}")->kind, AI_CONFIGURED);
    assert_int_equal(parsed("{\"type\":\"session.updated\",\"session\":{\"audio\":{\"input\":{\"format\":{\"type\":\"audio/pcmu\"}},"
                            "\"output\":{\"format\":{\"type\":\"audio/pcm\",\"rate\":24000}}}}}")->kind, AI_BAD);
    assert_int_equal(parsed("{\"type\":\"session.updated\",\"session\":{}}")->kind, AI_BAD);
}

/* The end of a session is told when it begins, and not every later event repeats it. */
static void test_the_sessions_end(void **state)
{
    (void)state;
    memory.expires_s = 0;
    (void)parsed("{\"type\":\"session.created\",\"session\":{\"expires_at\":null}}");
    assert_int_equal(memory.expires_s, 0);
    (void)parsed("{\"type\":\"session.created\",\"session\":{\"expires_at\":1790000000}}");
    assert_int_equal(memory.expires_s, 1790000000);
    (void)parsed("{\"type\":\"session.updated\",\"session\":{}}");
    assert_int_equal(memory.expires_s, 1790000000);
    (void)parsed("{\"type\":\"session.updated\",\"session\":{\"expires_at\":1790000060}}");
    assert_int_equal(memory.expires_s, 1790000060);
}

/* A wrong key or model is refused again, however often it is tried. */
static void test_closes(void **state)
{
    static const struct {
        int code, http_status;
        bool final;
    } rows[] = {
        {3000, 0, true},    {4000, 0, true},    {1008, 0, true},    {1000, 0, false},   {1001, 0, false},
        {1006, 0, false},   {1011, 0, false},   {1013, 0, false},   {1006, 401, true},  {1006, 403, true},
        {1006, 404, true},  {1006, 429, false}, {1006, 500, false}, {1006, 503, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(ai_close_is_final((uint16_t)rows[i].code, rows[i].http_status), rows[i].final);
}

static void test_errors(void **state)
{
    static const char *const permanent[] = {"invalid_api_key", "insufficient_quota", "model_not_found",
                                            "beta_api_shape_disabled"};
    char text[200];
    struct ai_event *ev = parsed("{\"type\":\"error\",\"error\":{\"type\":\"server_error\",\"code\":null,\"message\":\"oops\"}}");
    (void)state;
    assert_int_equal(ev->kind, AI_REFUSED);
    assert_string_equal(ev->error, "server_error: oops");
    assert_true(ev->transient);
    ev = parsed("{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"code\":\"invalid_value\",\"message\":\"no\"}}");
    assert_int_equal(ev->kind, AI_REFUSED);
    assert_false(ev->transient);
    for (size_t i = 0; i < ARRAY_LEN(permanent); i++) {
        snprintf(text, sizeof text, "{\"type\":\"error\",\"error\":{\"code\":\"%s\",\"message\":\"m\"}}", permanent[i]);
        ev = parsed(text);
        assert_int_equal(ev->kind, AI_BAD);
        assert_true(ev->permanent);
    }
}

static json_t *member(json_t *object, const char *path)
{
    char name[64];
    while (*path && object) {
        size_t n = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        object = json_object_get(object, name);
        path += n + (path[n] == '.');
    }
    return object;
}

static void expect(char *text, const char *path, const char *wanted)
{
    json_t *event = json_loads(text, 0, NULL);
    assert_non_null(event);
    assert_string_equal(json_string_value(member(event, path)), wanted);
    json_decref(event);
}

static char *session_in(const char *language)
{
    struct ai_settings settings = {.instructions = "", .voice = "marin", .language = language, .call_sid = "CA1",
                                   .transcription_model = "gpt-4o-mini-transcribe", .greeting = "",
                                   .tools = json_array()};
    char *text = provider_openai.session(&settings);
    json_decref(settings.tools);
    return text;
}

/* The service takes ISO 639-1 alone, and refuses all settings for one bad value. */
static void test_the_language_is_sent_as_two_letters(void **state)
{
    static const char *const reduced[][2] = {{"he", "he"}, {"de-AT", "de"}, {"PT_br", "pt"}};
    static const char *const left_out[] = {"", "d", "fil", "zh1", "12", "-de", "german", "\xc3\xa9"};
    (void)state;
    for (size_t i = 0; i < sizeof reduced / sizeof *reduced; i++) {
        char *text = session_in(reduced[i][0]);
        expect(text, "session.audio.input.transcription.language", reduced[i][1]);
        free(text);
    }
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
        char *text = session_in(left_out[i]);
        expect(text, "session.audio.input.transcription.model", "gpt-4o-mini-transcribe");
        assert_null(strstr(text, "\"language\""));
        free(text);
    }
}

static void test_written(void **state)
{
    struct ai_settings settings = {.instructions = "Say \"hi\"\n", .voice = "marin", .language = "he",
                                   .transcription_model = "gpt-4o-mini-transcribe", .call_sid = "CA1", .greeting = "",
                                   .tools = json_pack("[{s:s, s:s}]", "type", "function", "name", "wave")};
    char *text = provider_openai.session(&settings), out[64];
    size_t n;
    (void)state;
    expect(text, "type", "session.update");
    expect(text, "session.type", "realtime");
    expect(text, "session.instructions", "Say \"hi\"\n");
    expect(text, "session.audio.input.format.type", "audio/pcmu");
    expect(text, "session.audio.output.format.type", "audio/pcmu");
    expect(text, "session.audio.output.voice", "marin");
    expect(text, "session.audio.input.transcription.language", "he");
    expect(text, "session.audio.input.turn_detection.type", "server_vad");
    assert_non_null(strstr(text, "\"name\":\"wave\"}]"));
    free(text);
    settings.transcription_model = "";
    text = provider_openai.session(&settings);
    assert_non_null(strstr(text, "\"transcription\":null"));
    free(text);
    json_decref(settings.tools);
    text = provider_openai.past_turn("past_0", "assistant", "Hello");
    assert_non_null(strstr(text, "\"role\":\"assistant\""));
    assert_non_null(strstr(text, "\"type\":\"output_text\""));
    free(text);
    text = provider_openai.past_turn("past_1", "caller", "Hi");
    assert_non_null(strstr(text, "\"role\":\"user\""));
    assert_non_null(strstr(text, "\"type\":\"input_text\""));
    free(text);
    text = provider_openai.truncate("item_1", 0, 1234);
    assert_non_null(strstr(text, "\"audio_end_ms\":1234"));
    free(text);
    text = provider_openai.response(NULL);
    assert_string_equal(text, "{\"type\":\"response.create\"}");
    free(text);
    text = provider_openai.response("x");
    expect(text, "response.instructions", "x");
    free(text);
    text = provider_openai.tool_output("call_1", "{\"ok\":true}");
    expect(text, "item.output", "{\"ok\":true}");
    free(text);
    n = provider_openai.append(out, sizeof out, "AAAA", 4);
    assert_memory_equal(out, "{\"type\":\"input_audio_buffer.append\",\"audio\":\"AAAA\"}", n);
    assert_int_equal(provider_openai.append(out, 40, "AAAA", 4), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_audio_delta, forget),
        cmocka_unit_test_teardown(test_events, forget),
        cmocka_unit_test_teardown(test_response_done, forget),
        cmocka_unit_test_teardown(test_formats_are_checked, forget),
        cmocka_unit_test_teardown(test_errors, forget),
        cmocka_unit_test_teardown(test_the_sessions_end, forget),
        cmocka_unit_test(test_closes),
        cmocka_unit_test(test_written),
        cmocka_unit_test(test_the_language_is_sent_as_two_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
