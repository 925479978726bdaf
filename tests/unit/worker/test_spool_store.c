/* Which files of a spool somebody holds. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/spool/store.h"

struct seen {
    int files, owned;
};

static int setup(void **state)
{
    static char dir[64];
    strcpy(dir, "/tmp/ringfleet-spool-XXXXXX");
    *state = dir;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    return rmdir(*state);
}

static void count(void *arg, const char *path, bool owned)
{
    struct seen *seen = arg;
    (void)path;
    seen->files++;
    seen->owned += owned;
}

static struct seen look(const char *dir)
{
    struct seen seen = {0};
    assert_int_equal(spool_store_each(dir, count, &seen), 0);
    return seen;
}

static void test_who_holds_a_file_owns_it(void **state)
{
    char path[SPOOL_PATH_SIZE];
    int fd = spool_store_create(*state, path);
    assert_true(fd >= 0);
    assert_int_equal(look(*state).owned, 1);
    close(fd);
    assert_int_equal(look(*state).files, 1);
    assert_int_equal(look(*state).owned, 0);
    unlink(path);
}

/* As on a volume that is mounted so. What root can only read is a directory. */
static void test_what_can_only_be_read_has_no_owner(void **state)
{
    char path[96];
    snprintf(path, sizeof path, "%s/0123456789abcdef.spool", (const char *)*state);
    assert_int_equal(mkdir(path, 0500), 0);
    assert_int_equal(look(*state).files, 1);
    assert_int_equal(look(*state).owned, 0);
    rmdir(path);
}

static void test_no_directory(void **state)
{
    struct seen seen = {0};
    (void)state;
    assert_int_equal(spool_store_each("/nonexistent", count, &seen), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_holds_a_file_owns_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_can_only_be_read_has_no_owner, setup, teardown),
        cmocka_unit_test(test_no_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
