#include "tests/unit/unit.h"

#include <string.h>

#include "flusher/jobs/transcript_answer.h"

static void test_verdicts(void **state)
{
    static const struct {
        int status;
        const char *body;
        int verdict;
    } rows[] = {
        {200, "{\"text\":\"Good morning\",\"usage\":{\"type\":\"tokens\"}}", TRANSCRIPT_TEXT},
        {200, "{\"text\":7}", TRANSCRIPT_LATER},
        {200, "Good morning", TRANSCRIPT_LATER},
        {200, "", TRANSCRIPT_LATER},
        {400, "{\"error\":{\"message\":\"audio duration 1500 seconds\",\"type\":\"invalid_request_error\",\"param\":null,"
              "\"code\":\"invalid_value\"}}", TRANSCRIPT_TOO_LONG},
        {400, "{\"error\":{\"message\":\"no\",\"code\":\"unsupported_value\"}}", TRANSCRIPT_REFUSED},
        {400, "no JSON", TRANSCRIPT_REFUSED},
        {413, "{\"error\":{\"message\":\"Maximum content size limit (26214400) exceeded\"}}", TRANSCRIPT_TOO_LONG},
        {401, "{}", TRANSCRIPT_MISCONFIGURED},
        {403, "", TRANSCRIPT_MISCONFIGURED},
        {404, "{\"error\":{\"code\":\"model_not_found\"}}", TRANSCRIPT_MISCONFIGURED},
        {429, "{\"error\":{\"code\":\"rate_limit_exceeded\"}}", TRANSCRIPT_LATER},
        {429, "{\"error\":{\"type\":\"insufficient_quota\",\"code\":null}}", TRANSCRIPT_MISCONFIGURED},
        {500, "", TRANSCRIPT_LATER},
        {302, "", TRANSCRIPT_LATER},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct transcript_answer answer;
        transcript_answer_read(&answer, rows[i].status, rows[i].body, strlen(rows[i].body));
        assert_int_equal(answer.verdict, rows[i].verdict);
        assert_non_null(answer.text);
        transcript_answer_release(&answer);
    }
}

static void test_turns(void **state)
{
    json_t *pieces = json_loads("[{\"channel\":0,\"from\":0,\"to\":16000,\"text\":\"a\"},"
                                "{\"channel\":0,\"from\":16000,\"to\":32000,\"text\":\"c\"},"
                                "{\"channel\":1,\"from\":8000,\"to\":16000,\"text\":\"b\"},"
                                "{\"channel\":1,\"from\":0,\"to\":8000,\"text\":\"\"}]", 0, NULL);
    json_t *wanted = json_loads("[{\"speaker\":\"caller\",\"from_ms\":0,\"to_ms\":2000,\"text\":\"a\"},"
                                "{\"speaker\":\"assistant\",\"from_ms\":1000,\"to_ms\":2000,\"text\":\"b\"},"
                                "{\"speaker\":\"caller\",\"from_ms\":2000,\"to_ms\":4000,\"text\":\"c\"}]", 0, NULL);
    json_t *turns = transcript_turns(pieces, 2, 8000, true), *turned = transcript_turns(pieces, 2, 8000, false);
    json_t *mono = transcript_turns(pieces, 1, 8000, true);
    (void)state;
    assert_true(json_equal(turns, wanted));
    assert_string_equal(json_string_value(json_object_get(json_array_get(turned, 0), "speaker")), "assistant");
    assert_string_equal(json_string_value(json_object_get(json_array_get(mono, 0), "speaker")), "unknown");
    json_decref(pieces);
    json_decref(wanted);
    json_decref(turns);
    json_decref(turned);
    json_decref(mono);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_verdicts), cmocka_unit_test(test_turns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
