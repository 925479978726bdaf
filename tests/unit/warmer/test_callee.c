#include "tests/unit/unit.h"

#include <string.h>

#include "warmer/outbound/callee.h"

static void test_times(void **state)
{
    char text[ISO_TIME_SIZE];
    (void)state;
    assert_int_equal(iso_time_ms("2026-11-26T10:00:05Z"), 1795687205000);
    assert_int_equal(iso_time_ms("2026-11-26T10:00:05.123Z"), 1795687205000);
    assert_int_equal(iso_time_ms("2026-11-26T12:00:05+02:00"), 1795687205000);
    assert_int_equal(iso_time_ms("2026-11-26T04:30:05-05:30"), 1795687205000);
    assert_int_equal(iso_time_ms("2026-11-26"), -1);
    assert_int_equal(iso_time_ms("2026-11-26T10:00:05"), -1);
    assert_int_equal(iso_time_ms("2026-13-26T10:00:05Z"), -1);
    assert_int_equal(iso_time_ms("2026-11-26T10:00:05Zulu"), -1);
    iso_time(text, 1795687205999);
    assert_string_equal(text, "2026-11-26T10:00:05Z");
}

static void sid_of(char out[CALL_SID_SIZE], json_t *given, int64_t stamp_ns)
{
    struct callee callee;
    assert_null(callee_read(&callee, given));
    callee_call_sid(out, &callee, stamp_ns);
    callee_release(&callee);
    json_decref(given);
    assert_true(call_sid_valid(out));
}

static void test_call_sids(void **state)
{
    char sid[CALL_SID_SIZE], longest[CALL_SID_SIZE], driver[65];
    (void)state;
    sid_of(sid, json_pack("{s:s, s:s}", "driver_id", "d-7", "to", "+14155550123"), 1795687205123456789);
    assert_string_equal(sid, "EL_d-7_2026-11-26T10:00:05.123456789Z");
    sid_of(sid, json_pack("{s:i, s:s}", "driver_id", 42, "to", "+14155550123"), 1795687205000000001);
    assert_string_equal(sid, "EL_42_2026-11-26T10:00:05.000000001Z");
    sid_of(sid, json_pack("{s:i}", "lead_id", 12), 1795687205000000000);
    assert_string_equal(sid, "EL_12_2026-11-26T10:00:05.000000000Z");
    sid_of(sid, json_pack("{s:s}", "to", "+14155550123"), 1795687205000000000);
    assert_string_equal(sid, "EL_UNKNOWN_2026-11-26T10:00:05.000000000Z");
    memset(driver, 'd', 64);
    driver[64] = '\0';
    sid_of(longest, json_pack("{s:s, s:s}", "driver_id", driver, "to", "+14155550123"), 1795687205000000000);
    assert_int_equal(strlen(longest), 3 + 64 + 1 + 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_call_sids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
