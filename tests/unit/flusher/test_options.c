#include "flusher/options.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

enum { WORDS = 12 };

/* argv from a line; returns argc. */
static int split(char *line, char *argv[WORDS])
{
    int argc = 0;
    char *rest = NULL;
    for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    argv[argc] = NULL;
    return argc;
}

static void test_taken_out_of_argv(void **state)
{
    char line[] = "flusher migrate --to 3 --log-level debug --dry-run", *argv[WORDS];
    int argc = split(line, argv);
    struct options o;
    (void)state;
    assert_true(options_take(&o, &argc, argv));
    assert_int_equal(argc, 4);
    assert_string_equal(argv[1], "migrate");
    assert_string_equal(argv[2], "--log-level");
    assert_string_equal(argv[3], "debug");
    assert_null(argv[4]);
    assert_int_equal(o.to, 3);
    assert_true(o.dry_run);
    assert_false(o.json || o.unmask || o.check);
}

static void test_switches(void **state)
{
    char line[] = "flusher --json --unmask --check --to=0", *argv[WORDS];
    int argc = split(line, argv);
    struct options o;
    (void)state;
    assert_true(options_take(&o, &argc, argv));
    assert_int_equal(argc, 1);
    assert_true(o.json && o.unmask && o.check && !o.dry_run);
    assert_int_equal(o.to, 0);
}

static void test_not_given(void **state)
{
    char line[] = "flusher", *argv[WORDS];
    int argc = split(line, argv);
    struct options o;
    (void)state;
    assert_true(options_take(&o, &argc, argv));
    assert_int_equal(o.to, -1);
}

static void test_bad_versions(void **state)
{
    static const char *const bad[] = {"--to x", "--to=", "--to -1", "--to 3x", "--to 10000", "--to"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char line[64], *argv[WORDS];
        struct options o;
        int argc;
        snprintf(line, sizeof line, "flusher migrate %s", bad[i]);
        argc = split(line, argv);
        assert_false(options_take(&o, &argc, argv));
    }
}

static void test_words(void **state)
{
    char line[] = "a b c d e f g h i", *argv[WORDS];
    struct options o = {0};
    split(line, argv);
    (void)state;
    assert_true(options_set_words(&o, argv, 8));
    assert_int_equal(o.word_count, 8);
    assert_string_equal(o.words[7], "h");
    assert_false(options_set_words(&o, argv, 9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken_out_of_argv), cmocka_unit_test(test_switches), cmocka_unit_test(test_not_given),
        cmocka_unit_test(test_bad_versions),      cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
