#include "warmer/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static const char *lookup(const char *name, void *arg)
{
    static const char *const fields[][2] = {
        {"name", "Dana"}, {"empty", ""}, {"yes", "t"}, {"no", "f"}, {"untrue", "false"}, {"zero", "0"},
        {"sly", "{{name}} {{#name}}"},
    };
    (void)arg;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (strcmp(fields[i][0], name) == 0)
            return fields[i][1];
    }
    return NULL;
}

static void test_good(void **state)
{
    static const struct {
        const char *template_text, *text;
    } rows[] = {
        {"", ""},
        {"no tags { } }} {", "no tags { } }} {"},
        {"Hi {{name}}!", "Hi Dana!"},
        {"Hi {{ name }}!", "Hi Dana!"},
        {"[{{empty}}{{missing}}]", "[]"},
        {"{{#name}}a{{/name}}b", "ab"},
        {"{{#empty}}a{{/empty}}b", "b"},
        {"{{#missing}}a{{/missing}}b", "b"},
        {"{{^name}}a{{/name}}b", "b"},
        {"{{^empty}}a{{/empty}}b", "ab"},
        {"{{#yes}}y{{/yes}}{{#no}}n{{/no}}{{#untrue}}n{{/untrue}}{{#zero}}0{{/zero}}", "y0"},
        {"{{^no}}n{{/no}} {{no}}", "n f"},
        {"{{#name}}a{{#empty}}b{{/empty}}c{{/name}}d", "acd"},
        {"{{#empty}}a{{#name}}b{{/name}}c{{/empty}}d", "d"},
        {"{{#empty}}a{{^empty}}b{{/empty}}c{{/empty}}d", "d"},
        {"{{#name}}{{#name}}x{{/name}}{{/name}}", "x"},
        /* what a value says is never a template */
        {"{{sly}}", "{{name}} {{#name}}"},
        /* a section tag alone on its line leaves none behind */
        {"a\n{{#name}}\nb\n{{/name}}\nc", "a\nb\nc"},
        {"a\n  {{#name}}  \nb\n\t{{/name}}", "a\nb\n"},
        {"a\n{{#empty}}\nb\n{{/empty}}\nc\n", "a\nc\n"},
        {"{{#name}}\r\nb\r\n{{/name}}\r\n", "b\r\n"},
        {"a {{#name}}\nb{{/name}}\nc", "a \nb\nc"},
        {"a\n{{name}}\nb", "a\nDana\nb"},
        {"{{#name}}{{/name}}\nb", "\nb"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[256];
        struct prompt_error error = {0, ""};
        assert_true(prompt_render(out, sizeof out, rows[i].template_text, lookup, NULL, &error));
        assert_string_equal(out, rows[i].text);
    }
}

static void test_broken(void **state)
{
    static const struct {
        const char *template_text;
        int line;
        const char *what;
    } rows[] = {
        {"a {{name", 1, "a {{ is not closed by }}"},
        {"a\n\n{{name}", 3, "a {{ is not closed by }}"},
        {"{{name b}}", 1, "a {{ is not closed by }}"},
        {"{{}}", 1, "after {{ there is no field name"},
        {"\n{{#}}", 2, "after {{ there is no field name"},
        {"{{", 1, "after {{ there is no field name"},
        {"{{{name}}}", 1, "after {{ there is no field name"},
        {"a\n{{/name}}", 2, "{{/..}} closes a section that is not open here"},
        {"{{#name}}\n{{#yes}}\n{{/name}}{{/yes}}", 3, "{{/..}} closes a section that is not open here"},
        {"{{#empty}}a{{/name}}", 1, "{{/..}} closes a section that is not open here"},
        {"{{#name}}\na", 2, "a section is not closed"},
        {"{{#name}}{{#name}}{{#name}}{{#name}}{{#name}}{{#name}}{{#name}}{{#name}}\n{{#name}}", 2,
         "sections are nested too deep"},
        {"{{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}", 1, "after {{ there is no field name"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[256];
        struct prompt_error error = {0, ""};
        assert_false(prompt_render(out, sizeof out, rows[i].template_text, lookup, NULL, &error));
        assert_string_equal(error.what, rows[i].what);
        assert_int_equal(error.line, rows[i].line);
    }
}

static void test_bound(void **state)
{
    char out[6]; /* "Dana" and one more, and the NUL */
    struct prompt_error error;
    (void)state;
    assert_true(prompt_render(out, sizeof out, "{{name}}!", lookup, NULL, &error));
    assert_string_equal(out, "Dana!");
    assert_false(prompt_render(out, sizeof out, "{{name}}!\n!", lookup, NULL, &error));
    assert_string_equal(error.what, "the text becomes too long here");
    assert_false(prompt_render(out, sizeof out, "\n\n{{name}}", lookup, NULL, &error));
    assert_int_equal(error.line, 3);
    assert_true(prompt_render(out, sizeof out, "{{#empty}}much too long{{/empty}}", lookup, NULL, &error));
    assert_string_equal(out, "");
}

/* Every cut of a template is rendered or refused, and nothing behind its end is read. */
static void test_every_cut(void **state)
{
    static const char whole[] = "a {{name}}\n{{#yes}}\n{{^no}} b {{/no}}\n{{/yes}}\nc";
    int rendered = 0;
    (void)state;
    for (size_t len = 0; len < sizeof whole; len++) {
        char out[256], *exact = strndup(whole, len);
        struct prompt_error error = {0, NULL};
        if (prompt_render(out, sizeof out, exact, lookup, NULL, &error))
            rendered++;
        else
            assert_non_null(error.what);
        free(exact);
    }
    /* "" to "a {", the end of {{name}} to the "{" behind it, and from the end of {{/yes}} on. */
    assert_int_equal(rendered, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_every_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
