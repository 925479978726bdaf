#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "worker/ai/elevenlabs.h"
#include "worker/call/history.h"
#include "worker/config.h"

static struct ai_memory memory;
static struct ai_event last;
static char *copy;

static struct ai_event *parse(const char *text, size_t len)
{
    ai_event_release(&last);
    free(copy);
    copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    provider_elevenlabs.parse(&memory, copy, len, &last);
    return &last;
}

static struct ai_event *parsed(const char *text)
{
    return parse(text, strlen(text));
}

static int begin(void **state)
{
    (void)state;
    memset(&memory, 0, sizeof memory);
    return 0;
}

static int forget(void **state)
{
    (void)state;
    ai_event_release(&last);
    memset(&last, 0, sizeof last);
    free(copy);
    copy = NULL;
    return 0;
}

#define METADATA(in, out)                                                                                          \
    "{\"type\":\"conversation_initiation_metadata\",\"conversation_initiation_metadata_event\":{\"conversation_id\":" \
    "\"conv_1\",\"agent_output_audio_format\":\"" out "\",\"user_input_audio_format\":\"" in "\"}}"
#define AUDIO(id)                                                                                             \
    "{\"type\":\"audio\",\"audio_event\":{\"audio_base_64\":\"f39/\",\"event_id\":" id ",\"alignment\":{\"chars\":[\"H\"]," \
    "\"char_start_times_ms\":[0],\"char_durations_ms\":[80]}}}"
#define RESPONSE(text) "{\"type\":\"agent_response\",\"agent_response_event\":{\"agent_response\":\"" text "\",\"event_id\":2}}"
#define INTERRUPTION(id) "{\"type\":\"interruption\",\"interruption_event\":{\"event_id\":" id "}}"
#define TRANSCRIPT(text) "{\"type\":\"user_transcript\",\"user_transcription_event\":{\"user_transcript\":\"" text "\"}}"
#define TENTATIVE                                                                                         \
    "{\"type\":\"tentative_user_transcript\",\"tentative_user_transcription_event\":{\"user_transcript\":\"He\"," \
    "\"event_id\":3}}"
#define CORRECTION(text)                                                                                     \
    "{\"type\":\"agent_response_correction\",\"agent_response_correction_event\":{\"original_agent_response\":\"x\"," \
    "\"corrected_agent_response\":\"" text "\"}}"
#define PING "{\"type\":\"ping\",\"ping_event\":{\"event_id\":12,\"ping_ms\":null}}"
#define TOOL                                                                                              \
    "{\"type\":\"client_tool_call\",\"client_tool_call\":{\"tool_name\":\"end_call\",\"tool_call_id\":\"tc_1\"," \
    "\"parameters\":{\"reason\":\"done\"},\"event_id\":4}}"
#define PART(type, text) "{\"type\":\"agent_chat_response_part\",\"text_response_part\":{\"text\":\"" text "\",\"type\":\"" type "\",\"event_id\":2}}"

static void expect(const struct ai_event *ev, enum ai_kind kind, const char *item, const char *text)
{
    assert_int_equal(ev->kind, kind);
    assert_string_equal(ev->item, item);
    if (text)
        assert_string_equal(ev->text, text);
}

static void test_a_conversation(void **state)
{
    struct ai_event *ev = parsed(METADATA("ulaw_8000", "ulaw_8000"));
    (void)state;
    assert_int_equal(ev->kind, AI_CONFIGURED);
    assert_string_equal(ev->session, "conv_1");
    expect(parsed(RESPONSE("Hello, who is there?")), AI_TEXT_DONE, "answer_1", "Hello, who is there?");
    ev = parsed(AUDIO("2"));
    expect(ev, AI_AUDIO, "answer_1", NULL);
    assert_string_equal(ev->response, "answer_1");
    assert_int_equal(ev->audio_len, 4);
    assert_memory_equal(ev->audio, "f39/", 4);
    expect(parsed(AUDIO("3")), AI_AUDIO, "answer_1", NULL);
    expect(parsed(TENTATIVE), AI_SPEECH_NOTICED, "words_1", NULL);
    expect(parsed(TRANSCRIPT("Jane")), AI_CALLER_TRANSCRIPT, "words_1", "Jane");
    expect(parsed(RESPONSE("Hello Jane.")), AI_TEXT_DONE, "answer_2", "Hello Jane.");
    expect(parsed(AUDIO("4")), AI_AUDIO, "answer_2", NULL);
    expect(parsed(RESPONSE("You are booked.")), AI_TEXT_DONE, "answer_3", NULL); /* after a tool, say */
    expect(parsed(AUDIO("5")), AI_AUDIO, "answer_3", NULL);
    expect(parsed(TRANSCRIPT("Thanks")), AI_CALLER_TRANSCRIPT, "words_2", NULL);
}

static void test_audio_may_come_before_its_words(void **state)
{
    (void)state;
    expect(parsed(AUDIO("1")), AI_AUDIO, "answer_1", NULL);
    expect(parsed(RESPONSE("Hi")), AI_TEXT_DONE, "answer_1", "Hi");
    expect(parsed(AUDIO("2")), AI_AUDIO, "answer_1", NULL);
}

/* Of any answer, not only the first: what is complete does not go on. */
static void test_audio_of_a_later_answer_may_come_before_its_words(void **state)
{
    (void)state;
    (void)parsed(RESPONSE("Hi"));
    expect(parsed(AUDIO("2")), AI_AUDIO, "answer_1", NULL);
    (void)parsed(TRANSCRIPT("Yes"));
    memory.answer_quiet = true;
    expect(parsed(AUDIO("3")), AI_AUDIO, "answer_2", NULL);
    expect(parsed(RESPONSE("One moment")), AI_TEXT_DONE, "answer_2", "One moment");
    expect(parsed(AUDIO("4")), AI_AUDIO, "answer_2", NULL);
    assert_int_equal(parsed(TOOL)->kind, AI_TOOL_CALL);
    memory.answer_quiet = true;
    expect(parsed(AUDIO("5")), AI_AUDIO, "answer_3", NULL);
    expect(parsed(RESPONSE("Done")), AI_TEXT_DONE, "answer_3", "Done");
}

/* Neither a pause in it, nor a word of the caller's that does not interrupt it, ends an answer. */
static void test_an_answer_that_goes_on(void **state)
{
    (void)state;
    (void)parsed(RESPONSE("A long story"));
    (void)parsed(AUDIO("2"));
    memory.answer_quiet = true;
    expect(parsed(AUDIO("3")), AI_AUDIO, "answer_1", NULL);
    (void)parsed(TRANSCRIPT("Mhm"));
    expect(parsed(AUDIO("4")), AI_AUDIO, "answer_1", NULL);
}

static void test_an_interruption(void **state)
{
    (void)state;
    (void)parsed(RESPONSE("A long story"));
    expect(parsed(AUDIO("7")), AI_AUDIO, "answer_1", NULL);
    expect(parsed(INTERRUPTION("8")), AI_SPEECH_STARTED, "words_1", NULL);
    assert_int_equal(parsed(AUDIO("7"))->kind, AI_LATE_AUDIO);
    assert_int_equal(parsed(RESPONSE("late"))->kind, AI_NOTHING); /* its event_id is 2 */
    expect(parsed(CORRECTION("A long")), AI_HEARD, "answer_1", "A long");
    expect(parsed(TRANSCRIPT("Stop")), AI_CALLER_TRANSCRIPT, "words_1", "Stop");
    expect(parsed(AUDIO("8")), AI_AUDIO, "answer_2", NULL);
    /* a correction that comes after the next answer has begun still means the interrupted one */
    (void)parsed(INTERRUPTION("9"));
    expect(parsed(AUDIO("9")), AI_AUDIO, "answer_3", NULL);
    expect(parsed(CORRECTION("")), AI_HEARD, "answer_2", "");
    /* and one before the interruption the one that plays */
    expect(parsed(CORRECTION("x")), AI_HEARD, "answer_3", "x");
}

/* Something was noticed and came to nothing; what the caller says later is not put in its place. */
static void test_noticed_speech_without_words(void **state)
{
    (void)state;
    (void)parsed(AUDIO("1"));
    expect(parsed(INTERRUPTION("2")), AI_SPEECH_STARTED, "words_1", NULL);
    expect(parsed(AUDIO("3")), AI_AUDIO, "answer_2", NULL);
    expect(parsed(TRANSCRIPT("Now")), AI_CALLER_TRANSCRIPT, "words_2", NULL);
}

static void test_words_bit_by_bit(void **state)
{
    (void)state;
    assert_int_equal(parsed(PART("start", ""))->kind, AI_NOTHING);
    expect(parsed(PART("delta", "Good ")), AI_TEXT, "answer_1", "Good ");
    expect(parsed(AUDIO("2")), AI_AUDIO, "answer_1", NULL);
    assert_int_equal(parsed(PART("stop", ""))->kind, AI_NOTHING);
    expect(parsed(RESPONSE("Good day")), AI_TEXT_DONE, "answer_1", "Good day");
    assert_int_equal(parsed(PART("delta", "again"))->kind, AI_NOTHING);
    assert_int_equal(parsed(PART("start", ""))->kind, AI_NOTHING);
    expect(parsed(PART("delta", "More")), AI_TEXT, "answer_2", "More");
    expect(parsed(PART("delta", "\\ud83d")), AI_TEXT, "answer_2", "\xEF\xBF\xBD"); /* half a character */
}

/* Names do not come twice in a call, whatever happens to its sessions. */
static void test_the_next_session(void **state)
{
    (void)state;
    (void)parsed(METADATA("ulaw_8000", "ulaw_8000"));
    (void)parsed(AUDIO("500"));
    (void)parsed(INTERRUPTION("501"));
    (void)parsed(METADATA("ulaw_8000", "ulaw_8000"));
    expect(parsed(AUDIO("1")), AI_AUDIO, "answer_2", NULL);
    expect(parsed(TRANSCRIPT("x")), AI_CALLER_TRANSCRIPT, "words_2", NULL);
}

static void test_other_messages(void **state)
{
    struct ai_event *ev = parsed(PING);
    (void)state;
    expect(ev, AI_REPLY, "", "{\"type\":\"pong\",\"event_id\":12}");
    ev = parsed(TOOL);
    expect(ev, AI_TOOL_CALL, "", "{\"reason\":\"done\"}");
    assert_string_equal(ev->tool_id, "tc_1");
    assert_string_equal(ev->tool_name, "end_call");
    ev = parsed("{\"type\":\"error\",\"error_event\":{\"code\":1008,\"error_type\":\"override_error\",\"message\":\"no\"}}");
    assert_int_equal(ev->kind, AI_BAD);
    assert_true(ev->permanent);
    assert_string_equal(ev->error, "1008 override_error no");
    ev = parsed("{\"type\":\"error\",\"error_event\":{\"code\":1011}}");
    assert_int_equal(ev->kind, AI_BAD);
    assert_false(ev->permanent);
    assert_int_equal(parsed("{\"type\":\"vad_score\",\"vad_score_event\":{\"vad_score\":0.5}}")->kind, AI_NOTHING);
    assert_int_equal(parsed("{\"type\":\"something_new\"}")->kind, AI_NOTHING);
    assert_int_equal(parsed("{}")->kind, AI_NOTHING);
    assert_int_equal(parsed("{\"type\":\"ping\"}")->kind, AI_BAD);
    assert_int_equal(parsed("{\"type\":\"audio\"}")->kind, AI_BAD);
    assert_int_equal(parsed("{\"type\":\"audio\",\"audio_event\":{\"event_id\":1}}")->kind, AI_BAD);
    assert_int_equal(parsed("{\"type\":\"audio\",\"audio_event\":{\"audio_base_64\":\"f39/\",\"event_id\":\"x\"}}")->kind, AI_BAD);
    assert_int_equal(parsed("[]")->kind, AI_BAD);
}

static void test_every_cut(void **state)
{
    static const char *const rows[] = {METADATA("ulaw_8000", "ulaw_8000"), AUDIO("2"), RESPONSE("x"), INTERRUPTION("1"),
                                       TRANSCRIPT("x"), TENTATIVE, CORRECTION("x"), PING, TOOL, PART("delta", "x")};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t cut = 0; cut < strlen(rows[i]); cut++)
            assert_int_equal(parse(rows[i], cut)->kind, AI_BAD);
    }
}

static void test_formats_are_checked(void **state)
{
    static const char *const rows[] = {METADATA("pcm_16000", "ulaw_8000"), METADATA("ulaw_8000", "pcm_16000"),
                                       METADATA("", "")};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(parsed(rows[i])->kind, AI_BAD);
        assert_true(last.permanent);
        assert_non_null(strstr(last.error, "ulaw_8000 both ways"));
    }
}

static json_t *session(const struct ai_settings *settings)
{
    char *text = provider_elevenlabs.session(settings);
    json_t *message = json_loads(text, 0, NULL);
    assert_non_null(message);
    free(text);
    return message;
}

static void equals(char *text, const char *expected)
{
    assert_string_equal(text, expected);
    free(text);
}

static void test_the_first_message(void **state)
{
    struct history none = {NULL, 0, 0};
    struct ai_settings settings = {.instructions = "Be \"brief\".", .voice = "v1", .language = "es", .call_sid = "CA1",
                                   .greeting = "Hola", .past = &none};
    json_t *message = session(&settings);
    json_t *expected = json_loads(
        "{\"type\":\"conversation_initiation_client_data\",\"user_id\":\"CA1\",\"dynamic_variables\":{\"call_sid\":\"CA1\"},"
        "\"conversation_config_override\":{\"agent\":{\"prompt\":{\"prompt\":\"Be \\\"brief\\\".\"},\"first_message\":\"Hola\","
        "\"language\":\"es\"},\"tts\":{\"voice_id\":\"v1\"}}}", 0, NULL);
    (void)state;
    assert_true(json_equal(message, expected));
    json_decref(expected);
    json_decref(message);
    /* what is not set is left out: null and "" are not taken */
    settings = (struct ai_settings){.instructions = "", .voice = "", .language = "", .call_sid = "CA1", .greeting = "", .past = &none};
    message = session(&settings);
    expected = json_loads("{\"type\":\"conversation_initiation_client_data\",\"user_id\":\"CA1\",\"dynamic_variables\":"
                          "{\"call_sid\":\"CA1\"},\"conversation_config_override\":{\"agent\":{}}}", 0, NULL);
    assert_true(json_equal(message, expected));
    json_decref(expected);
    json_decref(message);
}

/* The service takes ISO 639-1, and Portuguese of Brazil; it ends the conversation for any other. */
static void test_the_language(void **state)
{
    static const char *const rows[][2] = {{"he", "he"}, {"de-AT", "de"}, {"EN_gb", "en"}, {"pt", "pt"}, {"pt-PT", "pt"},
                                          {"pt-BR", "pt-br"}, {"PT_br", "pt-br"}, {"fil", NULL}, {"german", NULL}, {"", NULL}};
    struct history none = {NULL, 0, 0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ai_settings settings = {.instructions = "", .voice = "", .language = rows[i][0], .call_sid = "CA1",
                                       .greeting = "", .past = &none};
        json_t *message = session(&settings);
        json_t *agent = json_object_get(json_object_get(message, "conversation_config_override"), "agent");
        const char *language = json_string_value(json_object_get(agent, "language"));
        if (rows[i][1])
            assert_string_equal(language, rows[i][1]);
        else
            assert_null(language);
        json_decref(message);
    }
}

/* A conversation that goes on: nobody is greeted, the last words of ours are said again. */
static void test_the_first_message_of_a_later_session(void **state)
{
    char said[][16] = {"Hello?", "Jane here", "What day, Jane?", "Thu"};
    struct past_turn turns[] = {{"assistant", said[0]}, {"caller", said[1]}, {"assistant", said[2]}, {"caller", said[3]}};
    struct history past = {turns, 4, 4};
    struct ai_settings settings = {.instructions = "Be brief.", .voice = "", .language = "", .call_sid = "CA1",
                                   .greeting = "Hello?", .past = &past};
    json_t *message = session(&settings), *agent;
    const char *prompt;
    (void)state;
    agent = json_object_get(json_object_get(message, "conversation_config_override"), "agent");
    assert_string_equal(json_string_value(json_object_get(agent, "first_message")), "What day, Jane?");
    prompt = json_string_value(json_object_get(json_object_get(agent, "prompt"), "prompt"));
    assert_memory_equal(prompt, "Be brief.\n\n", 11);
    assert_non_null(strstr(prompt, "assistant: Hello?\ncaller: Jane here\nassistant: What day, Jane?\ncaller: Thu\n"));
    json_decref(message);
    settings.unsaid = "At what time?";
    message = session(&settings);
    agent = json_object_get(json_object_get(message, "conversation_config_override"), "agent");
    assert_string_equal(json_string_value(json_object_get(agent, "first_message")), "At what time?");
    json_decref(message);
}

/* Nothing is owed to the caller: an agent whose first message is empty waits. */
static void test_a_later_session_that_waits(void **state)
{
    char said[] = "What day, Jane?";
    struct past_turn turn = {"assistant", said};
    struct history past = {&turn, 1, 1};
    struct ai_settings settings = {.instructions = "", .voice = "", .language = "", .call_sid = "CA1", .greeting = "Hello?",
                                   .past = &past, .waits = true};
    json_t *message = session(&settings), *agent;
    (void)state;
    agent = json_object_get(json_object_get(message, "conversation_config_override"), "agent");
    assert_string_equal(json_string_value(json_object_get(agent, "first_message")), "");
    json_decref(message);
}

static void test_written(void **state)
{
    char out[64];
    size_t n;
    (void)state;
    equals(provider_elevenlabs.tool_output("tc_1", "{\"ok\":true}"),
           "{\"type\":\"client_tool_result\",\"tool_call_id\":\"tc_1\",\"result\":\"{\\\"ok\\\":true}\",\"is_error\":false}");
    equals(provider_elevenlabs.past_turn("x", "caller", "[keypad] 2"), "{\"type\":\"user_message\",\"text\":\"[keypad] 2\"}");
    equals(provider_elevenlabs.past_turn("x", "system", "y"), "{\"type\":\"contextual_update\",\"text\":\"y\"}");
    equals(provider_elevenlabs.response("Ask."),
           "{\"type\":\"user_message\",\"text\":\"[a note of the phone system, not the caller's words] Ask.\"}");
    n = provider_elevenlabs.append(out, sizeof out, "AAAA", 4);
    assert_memory_equal(out, "{\"user_audio_chunk\":\"AAAA\"}", n);
    assert_int_equal(provider_elevenlabs.append(out, 20, "AAAA", 4), 0);
    assert_null(provider_elevenlabs.instructions);
    assert_null(provider_elevenlabs.truncate);
}

static void test_addresses(void **state)
{
    const struct ai_agent *agent = provider_elevenlabs.agent;
    char none[] = "", key[] = "sk", url[300], header[64];
    struct worker_config config = {.elevenlabs_api_key = none};
    struct ai_target base, target;
    (void)state;
    assert_true(ai_target_parse(&base, provider_elevenlabs.default_url));
    assert_true(base.tls);
    assert_int_equal(base.port, 443);
    assert_true(agent->address(&target, &base, "a/b c"));
    assert_string_equal(target.host, "api.elevenlabs.io");
    assert_string_equal(target.path, "/v1/convai/conversation?agent_id=a%2Fb%20c");
    assert_false(agent->sign_request(&config, &base, "a", url, sizeof url, header, sizeof header));
    config.elevenlabs_api_key = key;
    assert_true(agent->sign_request(&config, &base, "a", url, sizeof url, header, sizeof header));
    assert_string_equal(url, "https://api.elevenlabs.io:443/v1/convai/conversation/get-signed-url?agent_id=a");
    assert_string_equal(header, "xi-api-key: sk");
    assert_false(agent->sign_request(&config, &base, "a", url, 40, header, sizeof header));
}

static void test_signed_addresses(void **state)
{
    static const struct { int status; const char *body; } bad[] = {
        {401, "{\"detail\":{\"status\":\"invalid_api_key\",\"message\":\"no\"}}"}, {404, "{}"}, {422, "{\"detail\":[]}"},
        {500, ""}, {200, ""}, {200, "{}"}, {200, "{\"signed_url\":5}"}, {200, "{\"signed_url\":\"https://x/y\"}"},
        {200, "{\"signed_url\":\"wss:///y\"}"},
    };
    static const char good[] = "{\"signed_url\":\"wss://api.eu.example/v1/c?agent_id=a&conversation_signature=s%3D\",\"x\":1}";
    struct ai_target target;
    (void)state;
    assert_null(provider_elevenlabs.agent->sign_answer(&target, 200, good, sizeof good - 1));
    assert_true(target.tls);
    assert_string_equal(target.host, "api.eu.example");
    assert_string_equal(target.path, "/v1/c?agent_id=a&conversation_signature=s%3D");
    assert_string_equal(target.headers, "");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_non_null(provider_elevenlabs.agent->sign_answer(&target, bad[i].status, bad[i].body, strlen(bad[i].body)));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, forget)
    const struct CMUnitTest tests[] = {
        TEST(test_a_conversation), TEST(test_audio_may_come_before_its_words),
        TEST(test_audio_of_a_later_answer_may_come_before_its_words), TEST(test_an_answer_that_goes_on), TEST(test_an_interruption),
        TEST(test_noticed_speech_without_words), TEST(test_words_bit_by_bit), TEST(test_the_next_session),
        TEST(test_other_messages), TEST(test_every_cut), TEST(test_formats_are_checked), TEST(test_the_first_message),
        TEST(test_the_language),
        TEST(test_the_first_message_of_a_later_session),
        TEST(test_a_later_session_that_waits), TEST(test_written), TEST(test_addresses), TEST(test_signed_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
