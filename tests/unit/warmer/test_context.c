#include "warmer/context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

enum { NOW = 1795186260 }; /* Friday, 20 November 2026, 14:51 UTC */

static void set(struct context *c, const char *name, const char *value)
{
    assert_int_equal(context_set(c, name, value), 0);
}

static void test_set_and_get(void **state)
{
    struct context c = {0};
    (void)state;
    assert_string_equal(context_get(&c, "a"), "");
    set(&c, "a", "1");
    set(&c, "b", "22");
    assert_int_equal(c.bytes, 5);
    set(&c, "a", "333");
    assert_string_equal(context_get(&c, "a"), "333");
    assert_string_equal(context_get(&c, "b"), "22");
    assert_int_equal(c.count, 2);
    assert_int_equal(c.bytes, 7);
    context_release(&c);
    assert_int_equal(c.count, 0);
}

static void test_bounds(void **state)
{
    struct context c = {0};
    char *large = calloc(1, CONTEXT_VALUE_MAX + 2), name[16];
    (void)state;
    memset(large, 'x', CONTEXT_VALUE_MAX + 1);
    assert_int_equal(context_set(&c, "a", large), -1);
    assert_int_equal(c.count, 0);
    large[CONTEXT_VALUE_MAX] = '\0';
    for (int i = 0; i < CONTEXT_BYTES_MAX / CONTEXT_VALUE_MAX - 1; i++) {
        snprintf(name, sizeof name, "f%d", i);
        set(&c, name, large);
    }
    large[CONTEXT_VALUE_MAX - 1024] = '\0';
    set(&c, "last", large);
    assert_int_equal(context_set(&c, "more", large), -1);
    assert_string_equal(context_get(&c, "more"), "");
    context_release(&c);
    for (int i = 0; i < CONTEXT_FIELDS_MAX; i++) {
        snprintf(name, sizeof name, "f%d", i);
        set(&c, name, "v");
    }
    assert_int_equal(context_set(&c, "more", "v"), -1);
    set(&c, "f0", "replaced");
    assert_string_equal(context_get(&c, "f0"), "replaced");
    for (int i = 0; i < CONTEXT_FIELDS_MAX; i += 3) { /* many of them share a chain */
        snprintf(name, sizeof name, "f%d", i);
        set(&c, name, name);
    }
    for (int i = 0; i < CONTEXT_FIELDS_MAX; i++) {
        snprintf(name, sizeof name, "f%d", i);
        assert_string_equal(context_get(&c, name), i % 3 ? "v" : name);
    }
    assert_int_equal(c.count, CONTEXT_FIELDS_MAX);
    context_release(&c);
    free(large);
}

static void test_own_templates(void **state)
{
    struct context c = {0};
    (void)state;
    set(&c, "call_sid", "CA1");
    set(&c, "direction", "inbound");
    set(&c, "business_name", "Harbour Dental");
    set(&c, "lead_full_name", "Dr. Dana Levy");
    set(&c, "template_greeting_inbound", "Hi{{#lead_first_name}} {{lead_first_name}}{{/lead_first_name}}!\n");
    set(&c, "template_greeting_outbound", "not this one");
    set(&c, "template_prompt_compact", "For {{business_name}}.");
    set(&c, "template_prompt_full", "All of {{business_name}}.");
    assert_int_equal(context_render(&c, CONTEXT_VOICE, NOW), 0);
    assert_string_equal(context_get(&c, "lead_first_name"), "Dana");
    assert_string_equal(context_get(&c, "greeting"), "Hi Dana!");
    assert_string_equal(context_get(&c, "prompt_compact"), "For Harbour Dental.");
    assert_string_equal(context_get(&c, "prompt_full"), "All of Harbour Dental.");
    for (size_t i = 0; i < c.count; i++)
        assert_int_not_equal(strncmp(c.fields[i].name, "template_", 9), 0);
    context_release(&c);
}

static void test_built_in_templates(void **state)
{
    struct context c = {0};
    (void)state;
    assert_int_equal(context_render(&c, CONTEXT_VOICE, NOW), 0);
    assert_string_equal(context_get(&c, "greeting"), "Hello, thank you for calling. How can I help you?");
    assert_non_null(strstr(context_get(&c, "prompt_compact"), "voice assistant, in a phone call."));
    assert_non_null(strstr(context_get(&c, "prompt_full"), "You do not know the caller's name yet."));
    context_release(&c);
    set(&c, "direction", "outbound");
    set(&c, "business_name", "Harbour Dental");
    set(&c, "lead_first_name", "Mary Ann");
    set(&c, "lead_full_name", "Somebody Else");
    set(&c, "job_purpose", "your check-up");
    assert_int_equal(context_render(&c, CONTEXT_VOICE, NOW), 0);
    assert_string_equal(context_get(&c, "greeting"),
                        "Hello Mary Ann, this is Harbour Dental calling about your check-up. Is this a good moment?");
    assert_non_null(strstr(context_get(&c, "prompt_full"), "You speak with Mary Ann."));
    context_release(&c);
}

/* A template that is broken, or too long with its values, makes room for the built-in one. */
static void test_broken_templates(void **state)
{
    struct context c = {0};
    char *large = calloc(1, CONTEXT_VALUE_MAX + 1);
    (void)state;
    memset(large, 'x', CONTEXT_VALUE_MAX);
    set(&c, "call_sid", "CA1");
    set(&c, "large", large);
    set(&c, "template_greeting_inbound", "Hi {{lead_first_name");
    set(&c, "template_prompt_compact", "{{large}}{{large}}");
    set(&c, "template_prompt_full", "fine");
    assert_int_equal(context_render(&c, CONTEXT_VOICE, NOW), 2);
    assert_string_equal(context_get(&c, "greeting"), "Hello, thank you for calling. How can I help you?");
    assert_non_null(strstr(context_get(&c, "prompt_compact"), "voice assistant"));
    assert_string_equal(context_get(&c, "prompt_full"), "fine");
    context_release(&c);
    free(large);
}

static void test_name_sources(void **state)
{
    static const struct {
        const char *first, *full, *source, *name, *said;
    } rows[] = {
        {"Dana", "", "", "Dana", "first_name"},
        {"Dana", "Rut Levy", "", "Dana", "first_name"},
        {"", "Levy, Dana", "", "Dana", "full_name"},
        {"", "Dana Levy", "caller", "Dana", "caller"},
        {"Dana", "", "import", "Dana", "import"},
        {"", "J. Smith", "", "", ""},
        {"", "", "", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct context c = {0};
        set(&c, "lead_first_name", rows[i].first);
        set(&c, "lead_full_name", rows[i].full);
        set(&c, "lead_name_source", rows[i].source);
        assert_int_equal(context_render(&c, CONTEXT_VOICE, NOW), 0);
        assert_string_equal(context_get(&c, "lead_first_name"), rows[i].name);
        assert_string_equal(context_get(&c, "lead_name_source"), rows[i].said);
        context_release(&c);
    }
}

/* An unknown zone costs the caller nothing but the hour. */
static void test_local_time(void **state)
{
    static const struct {
        const char *zone, *given, *zone_after, *time;
    } rows[] = {
        {"Asia/Jerusalem", "", "Asia/Jerusalem", "Friday, 20 November 2026, 16:51"},
        {"Mars/Olympus", "", "UTC", "Friday, 20 November 2026, 14:51"},
        {"America/New_York", "noon", "America/New_York", "noon"},
        {"", "", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct context c = {0};
        set(&c, "business_timezone", rows[i].zone);
        set(&c, "local_time", rows[i].given);
        assert_int_equal(context_render(&c, CONTEXT_VOICE, NOW), 0);
        assert_string_equal(context_get(&c, "business_timezone"), rows[i].zone_after);
        assert_string_equal(context_get(&c, "local_time"), rows[i].time);
        context_release(&c);
    }
}

/* The channel's own, else the business', else the built-in one for messages; broken ones are passed over. */
static void test_channels(void **state)
{
    static const struct {
        const char *channel, *channels, *own, *prompt;
        int broken;
    } rows[] = {
        {"voice", "{\"voice\":{\"prompt_compact\":\"no\"}}", "Own of {{business_name}}.", "Own of Acme.", 0},
        {"sms", "{\"sms\":{\"prompt_compact\":\"Sms of {{business_name}}.\"}}", "Own.", "Sms of Acme.", 0},
        {"sms", "{\"sms\":{\"prompt_compact\":\"Sms {{\"}}", "Own.", "Own.", 1},
        {"sms", "{\"sms\":{\"prompt_compact\":\"Sms {{\"}}", "{{#a}}", NULL, 2},
        {"sms", "{\"sms\":{\"prompt_compact\":7}}", "", NULL, 0},
        {"whatsapp", "{\"sms\":{\"prompt_compact\":\"Sms\"}}", "Own.", "Own.", 0},
        {"whatsapp", "not JSON", "", NULL, 0},
        {"whatsapp", "", "", NULL, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct context c = {0};
        set(&c, "business_name", "Acme");
        set(&c, "template_channels", rows[i].channels);
        set(&c, "template_prompt_compact", rows[i].own);
        assert_int_equal(context_render(&c, rows[i].channel, NOW), rows[i].broken);
        assert_string_equal(context_get(&c, "prompt_compact"),
                            rows[i].prompt ? rows[i].prompt
                                           : "You are the assistant of Acme, in a text conversation. Be warm and brief: "
                                             "one or two sentences at a time, one question at a time. Never invent facts.");
        assert_string_equal(context_get(&c, "template_channels"), "");
        context_release(&c);
    }
}

/* What is about a person never gets into a snapshot that others are served from. */
static void test_fields_of_the_business(void **state)
{
    static const char *const kept[] = {"business_id", "business_anything", "template_prompt_full", "template_channels",
                                       "voice", "working_hours", "booked_slots", "transfer_number", "tools"};
    static const char *const not_kept[] = {"lead_id", "lead_appointments", "job_context", "from", "local_time",
                                           "greeting", "prompt_full", "customer_name", "email", ""};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        assert_true(context_field_of_business(kept[i]));
    for (size_t i = 0; i < ARRAY_LEN(not_kept); i++)
        assert_false(context_field_of_business(not_kept[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_get),        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_own_templates),      cmocka_unit_test(test_built_in_templates),
        cmocka_unit_test(test_broken_templates),   cmocka_unit_test(test_name_sources),
        cmocka_unit_test(test_local_time),         cmocka_unit_test(test_channels),
        cmocka_unit_test(test_fields_of_the_business),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
