#include "common/pg/session.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

static void assert_options(const char *url, const char *defaults, const char *wanted)
{
    char *options = pg_session_options(url, defaults);
    assert_string_equal(options, wanted);
    free(options);
}

/* The server heeds the last of two that set the same. */
static void test_what_the_user_sets_stands_last(void **state)
{
    (void)state;
    unsetenv("PGOPTIONS");
    assert_options("postgresql://host/base", "-c lock_timeout=4s", "-c lock_timeout=4s");
    assert_options("postgresql://host/base?options=-c%20lock_timeout%3D1s", "-c lock_timeout=4s",
                   "-c lock_timeout=4s -c lock_timeout=1s");
    assert_options("host=a options='-c search_path=calls'", "", "-c search_path=calls");
    setenv("PGOPTIONS", "-c work_mem=1MB", 1);
    assert_options("host=a", "-c lock_timeout=4s", "-c lock_timeout=4s -c work_mem=1MB");
    assert_options("host=a options='-c search_path=calls'", "", "-c search_path=calls");
    unsetenv("PGOPTIONS");
}

static void test_a_pooler_gets_none(void **state)
{
    (void)state;
    assert_options("postgresql://host/base?options=", "-c lock_timeout=4s", "");
    assert_options("host=a options=''", "-c lock_timeout=4s", "");
}

static void test_no_url(void **state)
{
    (void)state;
    assert_null(pg_session_options("postgresql://[", "-c lock_timeout=4s"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_user_sets_stands_last),
        cmocka_unit_test(test_a_pooler_gets_none),
        cmocka_unit_test(test_no_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
