#include "common/redis/command.h"

#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "tests/unit/unit.h"

static void assert_as_hiredis(struct redis_command *c, int argc, const char **argv, const size_t *lens)
{
    char *want;
    int len = redisFormatCommandArgv(&want, argc, argv, lens);
    assert_true(len > 0);
    assert_int_equal(redis_command_write(c, argc, argv, lens), 0);
    assert_int_equal(c->len, len);
    assert_memory_equal(c->text, want, c->len);
    redisFreeCommand(want);
}

static void test_the_bytes_of_hiredis(void **state)
{
    struct redis_command c = {0};
    const char *few[] = {"PING"}, *texts[] = {"HSET", "key", "", "a value"};
    const char *bytes[] = {"SET", "a\0b", "\r\n$3\r\n"}, *many[300];
    const size_t lens[] = {3, 3, 6};
    (void)state;
    assert_as_hiredis(&c, 1, few, NULL);
    assert_as_hiredis(&c, ARRAY_LEN(texts), texts, NULL);
    assert_as_hiredis(&c, ARRAY_LEN(bytes), bytes, lens);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = "0123456789" + i % 11;
    assert_as_hiredis(&c, ARRAY_LEN(many), many, NULL);
    redis_command_release(&c);
}

/* One byte at a time over the lengths where a number gets another digit, and a buffer grows. */
static void test_every_length(void **state)
{
    struct redis_command c = {0};
    char *text = calloc(1, 1101);
    const char *argv[] = {"ECHO", text};
    (void)state;
    for (size_t len = 0; len < 1100; len++) {
        assert_as_hiredis(&c, ARRAY_LEN(argv), argv, NULL);
        text[len] = 'x';
    }
    redis_command_release(&c);
    free(text);
}

static void test_a_long_one_is_not_kept(void **state)
{
    enum { LONG = 1 << 20 };
    struct redis_command c = {0};
    char *text = calloc(1, LONG + 1);
    const char *large[] = {"ECHO", text}, *small[] = {"PING"};
    (void)state;
    memset(text, 'x', LONG);
    assert_as_hiredis(&c, ARRAY_LEN(large), large, NULL);
    assert_true(c._size > LONG);
    assert_as_hiredis(&c, ARRAY_LEN(small), small, NULL);
    assert_true(c._size < 1024);
    redis_command_release(&c);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_bytes_of_hiredis),
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_a_long_one_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
