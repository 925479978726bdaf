#include "tests/unit/unit.h"

#include <string.h>

#include "warmer/elevenlabs/api.h"
#include "warmer/outbound/twilio.h"

static const struct warmer_config config = {
    .elevenlabs_url = (char *)(uintptr_t) "https://api.elevenlabs.io",
    .elevenlabs_api_key = (char *)(uintptr_t) "xi-test",
    .twilio_account_sid = (char *)(uintptr_t) "AC1",
    .twilio_auth_token = (char *)(uintptr_t) "first,second",
    .twilio_api_url = (char *)(uintptr_t) "https://api.twilio.com",
    .public_url = (char *)(uintptr_t) "https://phone.example.com",
    .machine_detection = (char *)(uintptr_t) "enable",
    .ring_seconds = 45,
};

static void test_request(void **state)
{
    json_t *job = json_pack("{s:s, s:s, s:s}", "to_number", "+14155550123", "from_number", "+14155550199", "machine_detection", "off");
    struct provider_request request;
    struct context context = {0};
    const char *why;
    (void)state;
    assert_true(provider_twilio.dial(&request, &config, "EL_7_2026-11-26T10:00:00.000000001Z", job, &context, &why));
    assert_string_equal(request.url, "https://api.twilio.com/2010-04-01/Accounts/AC1/Calls.json");
    assert_string_equal(request.headers[0], "Authorization: Basic QUMxOmZpcnN0"); /* AC1:first */
    assert_non_null(strstr(request.body, "To=%2B14155550123&From=%2B14155550199&Url=https%3A%2F%2Fphone.example.com%2Fvoice"
                                         "%2Foutbound%2FEL_7_2026-11-26T10%3A00%3A00.000000001Z%23rt"));
    assert_non_null(strstr(request.body, "&StatusCallbackEvent=initiated&StatusCallbackEvent=ringing&"));
    assert_non_null(strstr(request.body, "&Timeout=45"));
    assert_null(strstr(request.body, "MachineDetection"));
    provider_request_release(&request);
    json_object_set_new(job, "machine_detection", json_string("detect-message-end"));
    assert_true(provider_twilio.dial(&request, &config, "EL_7", job, &context, &why));
    assert_non_null(strstr(request.body, "&MachineDetection=DetectMessageEnd"));
    provider_request_release(&request);
    json_decref(job);
}

/* What must not be sent again, and what may. */
static void test_verdicts(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum provider_verdict verdict;
    } rows[] = {
        {201, "{\"sid\":\"CA1\",\"status\":\"queued\"}", PROVIDER_DIALLED},
        {201, "{}", PROVIDER_UNSURE},
        {201, "nonsense", PROVIDER_UNSURE},
        {400, "{\"code\":21211,\"message\":\"no number\",\"status\":400}", PROVIDER_REFUSED},
        {401, "", PROVIDER_REFUSED},
        {429, "{\"code\":20429,\"message\":\"Too Many Requests\",\"status\":429}", PROVIDER_BUSY},
        {503, "<html>", PROVIDER_BUSY},
        {500, "", PROVIDER_UNSURE},
        {502, "", PROVIDER_UNSURE},
        {504, "", PROVIDER_UNSURE},
    };
    struct provider_answer answer;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        provider_twilio.dialled(&answer, rows[i].status, rows[i].body);
        assert_int_equal(answer.verdict, rows[i].verdict);
    }
    provider_twilio.dialled(&answer, 400, rows[3].body);
    assert_string_equal(answer.reason, "twilio 400 21211: no number");
}

static void test_list(void **state)
{
    static const char body[] =
        "{\"calls\":[{\"sid\":\"CA3\",\"date_created\":\"Thu, 26 Nov 2026 10:00:07 +0000\"},"
        "{\"sid\":\"CA2\",\"date_created\":\"Thu, 26 Nov 2026 10:00:01 +0000\"},"
        "{\"sid\":\"CA1\",\"date_created\":\"Thu, 26 Nov 2026 09:59:00 +0000\"},{\"sid\":\"CA0\"}]}";
    int64_t asked_ms = twilio_time_ms("Thu, 26 Nov 2026 10:00:05 +0000");
    struct provider_found found;
    (void)state;
    assert_int_equal(asked_ms, 1795687205000);
    assert_int_equal(twilio_time_ms("2026-11-26"), -1);
    assert_true(provider_twilio.found(&found, 200, body, asked_ms));
    assert_int_equal(found.count, 2); /* clocks may differ a little */
    assert_string_equal(found.ids[0], "CA3");
    assert_string_equal(found.ids[1], "CA2");
    assert_true(provider_twilio.found(&found, 200, "{\"calls\":[]}", asked_ms));
    assert_int_equal(found.count, 0);
    assert_false(provider_twilio.found(&found, 200, "{}", asked_ms));
    assert_false(provider_twilio.found(&found, 503, body, asked_ms));
}

/* Whoever asked releases the request in any case: a builder that fails has left nothing in it that is none. */
static void test_what_does_not_fit_can_be_released(void **state)
{
    static const struct provider *const providers[] = {&provider_twilio, &provider_elevenlabs};
    char much[4000];
    json_t *job;
    struct provider_request request;
    struct context context = {0};
    const char *why;
    (void)state;
    memset(much, ' ', sizeof much - 1);
    much[sizeof much - 1] = '\0';
    job = json_pack("{s:s, s:s, s:s, s:s}", "agent_id", much, "to_number", much, "provider_call_sid", much, "conversation_id", much);
    for (size_t i = 0; i < ARRAY_LEN(providers); i++) {
        memset(&request, 0xAA, sizeof request);
        assert_false(providers[i]->look(&request, &config, "EL_7", job));
        provider_request_release(&request);
        memset(&request, 0xAA, sizeof request);
        assert_false(providers[i]->ask(&request, &config, job));
        provider_request_release(&request);
    }
    memset(&request, 0xAA, sizeof request);
    assert_false(provider_twilio.dial(&request, &config, "EL_7", job, &context, &why));
    provider_request_release(&request);
    json_decref(job);
}

/* The settings of a business do not bound the name of its agent. */
static void test_a_long_agent_is_looked_for(void **state)
{
    char agent[601];
    json_t *job;
    struct provider_request request;
    (void)state;
    memset(agent, 'a', sizeof agent - 1);
    agent[sizeof agent - 1] = '\0';
    job = json_pack("{s:s}", "agent_id", agent);
    memset(&request, 0xAA, sizeof request);
    assert_true(provider_elevenlabs.look(&request, &config, "EL_7_2026-11-26T10:00:00Z", job));
    assert_non_null(strstr(request.url, "/v1/convai/conversations?page_size=20&user_id=EL_7_2026-11-26T10%3A00%3A00Z&agent_id=aaa"));
    assert_null(request.body);
    provider_request_release(&request);
    json_decref(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_what_does_not_fit_can_be_released),
        cmocka_unit_test(test_a_long_agent_is_looked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
