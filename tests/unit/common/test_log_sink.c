#include "common/base/log_sink.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/process.h"
#include "tests/unit/unit.h"

enum { MANY = 5000, GIVE_UP_SECONDS = 20, READ_MAX = 4 * 1024 * 1024, NOBODY = 65534 };

struct ends {
    int reading, writing;
};

static struct ends new_pipe(void)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    return (struct ends){fds[0], fds[1]};
}

static struct ends new_socket(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    return (struct ends){fds[0], fds[1]};
}

static void log_many(void)
{
    for (int i = 0; i < MANY; i++)
        log_info("CA1", "a line", log_int("number", i), log_str("some text", "that makes it a bit longer"));
}

/* The program under test: nobody reads until it has written its first byte to `told`; then all is read. */
static void child(struct ends log, int told, int read_now, bool may_reopen)
{
    char byte;
    alarm(GIVE_UP_SECONDS); /* a write that waits is the end of it */
    if (dup2(log.writing, STDERR_FILENO) < 0)
        _exit(2);
    close(log.writing);
    close(log.reading);
    if (!may_reopen && (fchmod(STDERR_FILENO, 0) != 0 || (geteuid() == 0 && seteuid(NOBODY) != 0)))
        _exit(3);
    log_sink_never_wait();
    if (fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK)
        _exit(4); /* others write there too */
    log_many();
    if (write(told, "f", 1) != 1 || read(read_now, &byte, 1) != 1)
        _exit(5);
    log_info("CA1", "the last");
    _exit(metric_get(&process_metrics.log_lines_lost) > 0 ? 0 : 6);
}

static char *read_all(int fd)
{
    char *text = malloc(READ_MAX);
    size_t len = 0;
    ssize_t n;
    assert_non_null(text);
    while ((n = read(fd, text + len, READ_MAX - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    return text;
}

/* Whole lines in order, and in place of those that are missing a line that says how many; then the last. */
static void check_lines(char *text)
{
    int number = 0, missing = 0, more;
    char *line = strtok(text, "\n");
    for (; line && !strstr(line, "\"the last\""); line = strtok(NULL, "\n")) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "\"number\":%d,", number);
        if (strstr(line, "log lines lost")) {
            assert_int_equal(sscanf(strstr(line, "\"lines\":"), "\"lines\":%d}", &more), 1);
            missing += more;
            number += more;
        } else {
            assert_non_null(strstr(line, wanted));
            assert_string_equal(line + strlen(line) - 2, "\"}");
            number++;
        }
    }
    assert_non_null(line);
    assert_int_equal(number, MANY);
    assert_in_range(missing, 1, MANY - 10);
    assert_null(strtok(NULL, "\n"));
}

static void check_unread(struct ends log, bool may_reopen)
{
    struct ends told = new_pipe(), read_now = new_pipe();
    pid_t pid = fork();
    int flags, status = 0;
    char byte, *text, *rest;
    if (pid == 0)
        child(log, told.writing, read_now.reading, may_reopen);
    close(log.writing);
    close(told.writing);
    assert_int_equal(read(told.reading, &byte, 1), 1); /* else it has hung, or said why not */
    flags = fcntl(log.reading, F_GETFL);
    fcntl(log.reading, F_SETFL, flags | O_NONBLOCK);
    text = read_all(log.reading);
    fcntl(log.reading, F_SETFL, flags);
    assert_int_equal(write(read_now.writing, "r", 1), 1);
    rest = read_all(log.reading);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    text = realloc(text, strlen(text) + strlen(rest) + 1);
    assert_non_null(text);
    check_lines(strcat(text, rest));
    free(rest);
    free(text);
    close(log.reading);
    close(told.reading);
    close(read_now.reading);
    close(read_now.writing);
}

static void test_a_pipe(void **state)
{
    (void)state;
    check_unread(new_pipe(), true);
}

static void test_a_pipe_of_another_user(void **state)
{
    (void)state;
    check_unread(new_pipe(), false);
}

static void test_a_socket(void **state)
{
    (void)state;
    check_unread(new_socket(), true);
}

/* A terminal takes a line in part: the rest of it comes before anything else. */
static void test_a_terminal(void **state)
{
    struct termios as_it_is;
    int master = posix_openpt(O_RDWR | O_NOCTTY), terminal;
    (void)state;
    assert_true(master >= 0);
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_int_equal(tcgetattr(terminal, &as_it_is), 0);
    cfmakeraw(&as_it_is);
    assert_int_equal(tcsetattr(terminal, TCSANOW, &as_it_is), 0);
    check_unread((struct ends){master, terminal}, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pipe),
        cmocka_unit_test(test_a_pipe_of_another_user),
        cmocka_unit_test(test_a_socket),
        cmocka_unit_test(test_a_terminal),
    };
    log_init("test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
