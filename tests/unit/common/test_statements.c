#include "common/pg/statements.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static const struct embedded_file defaults[] = {
    {"load_call.sql", "default load\n"},
    {"open_call.sql", "default open\n"},
    {"open_call.down.sql", "default down\n"},
    {NULL, NULL},
};
enum { COUNT = ARRAY_LEN(defaults) - 1 };

struct fixture {
    struct statement statements[COUNT];
    char dir[64];
    char error[256];
};

static void path_in(const struct fixture *f, const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", f->dir, name);
}

static void write_file(const struct fixture *f, const char *name, const char *text)
{
    char path[128];
    FILE *file;
    path_in(f, name, path);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0 && fclose(file) == 0, 1);
}

static int load(struct fixture *f)
{
    return statements_load(f->statements, COUNT, defaults, f->dir, f->error, sizeof f->error);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    strcpy(f->dir, "/tmp/ringfleet-sql-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char path[128];
    statements_release(f->statements, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        path_in(f, defaults[i].name, path);
        remove(path);
    }
    rmdir(f->dir);
    free(f);
    return 0;
}

static void test_without_a_directory(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(statements_load(f->statements, COUNT, defaults, "", f->error, sizeof f->error), 0);
    for (size_t i = 0; i < COUNT; i++) {
        assert_string_equal(f->statements[i].text, defaults[i].text);
        assert_false(f->statements[i].overridden);
    }
    assert_string_equal(f->statements[0].name, "load_call");
    assert_string_equal(f->statements[2].name, "open_call.down");
}

static void test_override_by_name(void **state)
{
    struct fixture *f = *state;
    write_file(f, "open_call.sql", "my own open\n");
    assert_int_equal(load(f), 0);
    assert_string_equal(f->statements[0].text, "default load\n");
    assert_false(f->statements[0].overridden);
    assert_string_equal(f->statements[1].text, "my own open\n");
    assert_true(f->statements[1].overridden);
    assert_string_equal(f->statements[1].name, "open_call");
}

/* A directory in the file's place: what even root cannot read. */
static void test_unreadable_override(void **state)
{
    struct fixture *f = *state;
    char path[128];
    path_in(f, "open_call.sql", path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(load(f), -1);
    assert_non_null(strstr(f->error, path));
}

static void test_override_too_large(void **state)
{
    struct fixture *f = *state;
    size_t size = (1 << 20) + 1;
    char *text = malloc(size + 1);
    assert_non_null(text);
    memset(text, '-', size);
    text[size] = '\0';
    write_file(f, "load_call.sql", text);
    free(text);
    assert_int_equal(load(f), -1);
    assert_non_null(strstr(f->error, "load_call.sql"));
    assert_non_null(strstr(f->error, "too large"));
}

/* A mistyped directory must not run the fleet on the default schema. */
static void test_directory_that_is_not_there(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(statements_load(f->statements, COUNT, defaults, "/nonexistent/sql", f->error, sizeof f->error),
                     -1);
    assert_non_null(strstr(f->error, "/nonexistent/sql"));
}

static void test_file_in_place_of_the_directory(void **state)
{
    struct fixture *f = *state;
    char path[128];
    write_file(f, "open_call.sql", "text");
    path_in(f, "open_call.sql", path);
    assert_int_equal(statements_load(f->statements, COUNT, defaults, path, f->error, sizeof f->error), -1);
    assert_non_null(strstr(f->error, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_without_a_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_override_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreadable_override, setup, teardown),
        cmocka_unit_test_setup_teardown(test_override_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directory_that_is_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_in_place_of_the_directory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
