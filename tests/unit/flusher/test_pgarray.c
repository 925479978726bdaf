#include "flusher/pgarray.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

static void assert_bytes(const struct pgarray *a, const char *bytes, size_t len)
{
    assert_false(a->failed);
    assert_int_equal(a->len, len);
    assert_memory_equal(a->bytes, bytes, len);
}

static void test_texts(void **state)
{
    static const char wanted[] = "\0\0\0\1\0\0\0\0\0\0\0\31\0\0\0\3\0\0\0\1"
                                 "\0\0\0\2hi\0\0\0\0\0\0\0\3a\0b";
    struct pgarray a;
    (void)state;
    pgarray_init(&a, PGARRAY_TEXT_OID);
    pgarray_add_text(&a, "hi", 2);
    pgarray_add_text(&a, "", 0);
    pgarray_add_text(&a, "a\0b", 3);
    assert_bytes(&a, wanted, sizeof wanted - 1);
    pgarray_release(&a);
}

static void test_a_null_sets_the_flag(void **state)
{
    static const char wanted[] = "\0\0\0\1\0\0\0\1\0\0\0\31\0\0\0\2\0\0\0\1"
                                 "\377\377\377\377\0\0\0\1x";
    struct pgarray a;
    (void)state;
    pgarray_init(&a, PGARRAY_TEXT_OID);
    pgarray_add_text(&a, NULL, 7);
    pgarray_add_text(&a, "x", 1);
    assert_bytes(&a, wanted, sizeof wanted - 1);
    pgarray_release(&a);
}

static void test_numbers(void **state)
{
    static const char wanted[] = "\0\0\0\1\0\0\0\0\0\0\0\24\0\0\0\2\0\0\0\1"
                                 "\0\0\0\10\377\377\377\377\377\377\377\376"
                                 "\0\0\0\10\0\0\1\2\3\4\5\6";
    struct pgarray a;
    (void)state;
    pgarray_init(&a, PGARRAY_INT8_OID);
    pgarray_add_int8(&a, -2);
    pgarray_add_int8(&a, 0x010203040506);
    assert_bytes(&a, wanted, sizeof wanted - 1);
    pgarray_release(&a);
}

static void test_empty(void **state)
{
    static const char wanted[] = "\0\0\0\1\0\0\0\0\0\0\0\31\0\0\0\0\0\0\0\1";
    struct pgarray a;
    (void)state;
    pgarray_init(&a, PGARRAY_TEXT_OID);
    assert_bytes(&a, wanted, sizeof wanted - 1);
    pgarray_release(&a);
}

/* Growing moves the bytes; nothing of what was added before may be lost. */
static void test_grows(void **state)
{
    struct pgarray a;
    char text[32];
    const char *at;
    (void)state;
    pgarray_init(&a, PGARRAY_TEXT_OID);
    for (int i = 0; i < 5000; i++)
        pgarray_add_text(&a, text, (size_t)snprintf(text, sizeof text, "element %d", i));
    assert_false(a.failed);
    at = a.bytes + 20;
    for (int i = 0; i < 5000; i++) {
        int len = snprintf(text, sizeof text, "element %d", i);
        assert_int_equal(at[3], len);
        assert_memory_equal(at + 4, text, (size_t)len);
        at += 4 + len;
    }
    assert_ptr_equal(at, a.bytes + a.len);
    pgarray_release(&a);
}

/* The length is refused before the bytes are touched; what was there stays a whole array. */
static void test_too_much_fails_for_good(void **state)
{
    struct pgarray a;
    size_t len;
    (void)state;
    pgarray_init(&a, PGARRAY_TEXT_OID);
    pgarray_add_text(&a, "x", 1);
    len = a.len;
    pgarray_add_text(&a, "x", SIZE_MAX);
    assert_true(a.failed);
    pgarray_add_text(&a, "y", 1);
    assert_true(a.failed);
    assert_int_equal(a.len, len);
    pgarray_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),  cmocka_unit_test(test_a_null_sets_the_flag),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_grows),  cmocka_unit_test(test_too_much_fails_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
