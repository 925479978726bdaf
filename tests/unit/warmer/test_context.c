#include "warmer/context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

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
    assert_int_equal(context_render(&c), 0);
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
    assert_int_equal(context_render(&c), 0);
    assert_string_equal(context_get(&c, "greeting"), "Hello, thank you for calling. How can I help you?");
    assert_non_null(strstr(context_get(&c, "prompt_compact"), "voice assistant, in a phone call."));
    assert_non_null(strstr(context_get(&c, "prompt_full"), "You do not know the caller's name yet."));
    context_release(&c);
    set(&c, "direction", "outbound");
    set(&c, "business_name", "Harbour Dental");
    set(&c, "lead_first_name", "Mary Ann");
    set(&c, "lead_full_name", "Somebody Else");
    set(&c, "job_purpose", "your check-up");
    assert_int_equal(context_render(&c), 0);
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
    assert_int_equal(context_render(&c), 2);
    assert_string_equal(context_get(&c, "greeting"), "Hello, thank you for calling. How can I help you?");
    assert_non_null(strstr(context_get(&c, "prompt_compact"), "voice assistant"));
    assert_string_equal(context_get(&c, "prompt_full"), "fine");
    context_release(&c);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_get),        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_own_templates),      cmocka_unit_test(test_built_in_templates),
        cmocka_unit_test(test_broken_templates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
