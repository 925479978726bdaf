/* What is embedded in the flusher fits together by name; a slip here would show only at run time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/redis/journal.h"
#include "flusher_sql.h"
#include "migrations.h"
#include "tests/unit/unit.h"

static void test_each_type_has_its_statement(void **state)
{
    (void)state;
    for (int type = 0; type < JOURNAL_TYPE_COUNT; type++) {
        char name[64];
        int found = 0;
        snprintf(name, sizeof name, "apply_%s.sql", journal_types[type].name);
        for (const struct embedded_file *file = flusher_sql; file->name; file++)
            found += strcmp(file->name, name) == 0;
        assert_int_equal(found, 1);
    }
}

/* Each takes $1 to $3 and one parameter per field, the last of them included. */
static void test_each_statement_takes_its_fields(void **state)
{
    (void)state;
    for (int type = 0; type < JOURNAL_TYPE_COUNT; type++) {
        char name[64], last[32], beyond[32];
        snprintf(name, sizeof name, "apply_%s.sql", journal_types[type].name);
        snprintf(last, sizeof last, "$%d::text[]", 3 + journal_types[type].field_count);
        snprintf(beyond, sizeof beyond, "$%d::", 4 + journal_types[type].field_count);
        for (const struct embedded_file *file = flusher_sql; file->name; file++) {
            if (strcmp(file->name, name) != 0)
                continue;
            assert_non_null(strstr(file->text, last));
            assert_null(strstr(file->text, beyond));
        }
    }
}

static void test_migrations_are_numbered_pairs(void **state)
{
    int version = 0;
    (void)state;
    for (const struct embedded_file *file = migrations; file->name; file += 2) {
        size_t stem = strlen(file[0].name) - strlen(".sql");
        assert_int_equal(atoi(file[0].name), ++version);
        assert_non_null(file[1].name);
        assert_memory_equal(file[0].name, file[1].name, stem);
        assert_string_equal(file[1].name + stem, "_down.sql");
    }
    assert_true(version >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_type_has_its_statement),
        cmocka_unit_test(test_each_statement_takes_its_fields),
        cmocka_unit_test(test_migrations_are_numbered_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
