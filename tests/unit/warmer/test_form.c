#include "warmer/form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

/* Fields as "name=value;" each, decoded. */
static void show(const struct form *form, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t i = 0; i < form->count; i++) {
        size_t len = strlen(out);
        snprintf(out + len, size - len, "%s=%s;", form->fields[i].name, form->fields[i].value);
    }
}

static void test_good(void **state)
{
    static const struct {
        const char *body, *fields;
    } rows[] = {
        {"", ""},
        {"a=1", "a=1;"},
        {"a=1&b=2", "a=1;b=2;"},
        {"a=1&a=2&a=1", "a=1;a=2;a=1;"},
        {"a=", "a=;"},
        {"a", "a=;"},
        {"a%20b", "a b=;"},
        {"a=b=c", "a=b=c;"},
        {"&&a=1&", "a=1;"},
        {"a=x+y%2Bz", "a=x y+z;"},
        {"From=%2B551150000000&FromCity=S%C3%83O+PAULO&CallerName=", "From=+551150000000;FromCity=SÃO PAULO;CallerName=;"},
        {"%41%6a%6A=%26%3D", "Ajj=&=;"},
        {"=v", "=v;"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct form form;
        char fields[512];
        assert_null(form_parse(&form, rows[i].body, strlen(rows[i].body)));
        show(&form, fields, sizeof fields);
        assert_string_equal(fields, rows[i].fields);
        form_release(&form);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *body, *wrong;
        size_t len;
    } rows[] = {
        {"a=%", "the form has a broken %XX", 3},
        {"a=%4", "the form has a broken %XX", 4},
        {"a=%4&b=1", "the form has a broken %XX", 8},
        {"a=%4g", "the form has a broken %XX", 5},
        {"%zz=1", "the form has a broken %XX", 5},
        {"a=%00", "the form has a NUL byte", 5},
        {"a%00b=1", "the form has a NUL byte", 7},
        {"a=x\0y", "the form has a NUL byte", 5},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct form form;
        const char *wrong = form_parse(&form, rows[i].body, rows[i].len);
        assert_non_null(wrong);
        assert_string_equal(wrong, rows[i].wrong);
        form_release(&form);
    }
}

static void test_mended(void **state)
{
    static const char body[] = "CallerName=Ren%E9&\xc3=%C3%A9&City=%ED%A0%80";
    struct form form;
    char fields[512];
    (void)state;
    assert_null(form_parse(&form, "a=%C3%A9", 8));
    assert_false(form.spoilt);
    form_release(&form);
    assert_null(form_parse(&form, body, strlen(body)));
    assert_true(form.spoilt);
    assert_string_equal(form_get(&form, "CallerName"), "Ren\xe9"); /* as it was signed */
    form_mend(&form);
    show(&form, fields, sizeof fields);
    assert_string_equal(fields, "CallerName=Ren?;?=\xc3\xa9;City=???;");
    form_release(&form);
}

static void test_bounds(void **state)
{
    struct form form;
    char *body = calloc(1, FORM_BYTES_MAX + 2);
    (void)state;
    for (int i = 0; i < FORM_FIELDS_MAX; i++)
        strcpy(body + 2 * i, "a&");
    assert_null(form_parse(&form, body, strlen(body)));
    assert_int_equal(form.count, FORM_FIELDS_MAX);
    form_release(&form);
    strcat(body, "b");
    assert_string_equal(form_parse(&form, body, strlen(body)), "the form has too many fields");
    form_release(&form);

    memset(body, 'x', FORM_BYTES_MAX + 1);
    assert_null(form_parse(&form, body, FORM_BYTES_MAX));
    assert_int_equal(strlen(form.fields[0].name), FORM_BYTES_MAX);
    form_release(&form);
    assert_string_equal(form_parse(&form, body, FORM_BYTES_MAX + 1), "the form is too large");
    form_release(&form);
    free(body);
}

/* Any cut of a body is parsed or refused, and reads nothing behind its end (the sanitizer's part). */
static void test_every_cut(void **state)
{
    static const char body[] = "a=1&bb=%C3%83+x&&c&d=%2B=&=e&a=2";
    (void)state;
    for (size_t len = 0; len < sizeof body; len++) {
        char *exact = malloc(len ? len : 1);
        struct form form;
        memcpy(exact, body, len);
        if (!form_parse(&form, exact, len))
            assert_true(form.count <= 7);
        form_release(&form);
        free(exact);
    }
}

static void test_get(void **state)
{
    struct form form;
    (void)state;
    assert_null(form_parse(&form, "a=1&b=&a=2", 10));
    assert_string_equal(form_get(&form, "a"), "1");
    assert_string_equal(form_get(&form, "b"), "");
    assert_string_equal(form_get(&form, "c"), "");
    form_release(&form);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),      cmocka_unit_test(test_refused), cmocka_unit_test(test_mended), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_every_cut), cmocka_unit_test(test_get),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
