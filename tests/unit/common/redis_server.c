#include "tests/unit/common/redis_server.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/unit/loopback.h"
#include "tests/unit/unit.h"

static void become_redis(const struct redis_server *s, const char *password, int log)
{
    char port[8], bus[8], sock[64];
    snprintf(port, sizeof port, "%u", s->port);
    snprintf(bus, sizeof bus, "%u", s->bus_port);
    snprintf(sock, sizeof sock, "%s/redis.sock", s->dir);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log, 1);
    execlp("redis-server", "redis-server", "--bind", "127.0.0.1", "--port", port, "--unixsocket", sock, "--dir",
           s->dir, "--save", "", "--appendonly", s->durable ? "yes" : "no", "--appendfsync", "always", "--requirepass",
           password ? password : "", "--cluster-enabled", s->bus_port ? "yes" : "no", "--cluster-port", bus,
           "--cluster-node-timeout", "5000", "--cluster-require-full-coverage", "no", (char *)NULL);
    _exit(127);
}

/* Reads the server's log until it says that it is ready. */
static void await_ready(const struct redis_server *s)
{
    char text[8192];
    size_t len = 0;
    text[0] = '\0';
    while (!strstr(text, "Ready to accept connections")) {
        ssize_t n = read(s->log, text + len, sizeof text - 1 - len);
        if (n <= 0)
            fail_msg("redis-server did not start: %s", text);
        len += (size_t)n;
        text[len] = '\0';
    }
}

void redis_server_start(struct redis_server *s, const char *password)
{
    int log[2];
    if (!s->port) {
        s->port = free_port();
        strcpy(s->dir, "/tmp/ringfleet-redis-XXXXXX");
        assert_non_null(mkdtemp(s->dir));
    }
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0)
        become_redis(s, password, log[1]);
    close(log[1]);
    s->log = log[0];
    await_ready(s);
}

void redis_server_kill(struct redis_server *s)
{
    assert_int_equal(kill(s->pid, SIGKILL), 0);
    assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
    close(s->log);
    s->pid = 0;
}

void redis_server_release(struct redis_server *s)
{
    char command[64];
    if (s->pid)
        redis_server_kill(s);
    if (!s->port)
        return;
    snprintf(command, sizeof command, "rm -rf '%s'", s->dir);
    assert_int_equal(system(command), 0);
}

void redis_server_do(const struct redis_server *s, const char *password, const char *format, ...)
{
    redisContext *ctx = redisConnect("127.0.0.1", s->port);
    redisReply *reply;
    va_list args;
    assert_non_null(ctx);
    assert_int_equal(ctx->err, 0);
    if (password) {
        reply = redisCommand(ctx, "AUTH %s", password);
        assert_non_null(reply);
        freeReplyObject(reply);
    }
    va_start(args, format);
    reply = redisvCommand(ctx, format, args);
    va_end(args);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, reply->str);
    freeReplyObject(reply);
    redisFree(ctx);
}

const char *redis_server_url(const struct redis_server *s, const char *text, char out[128])
{
    const char *word = strstr(text, "PORT");
    if (word)
        snprintf(out, 128, "%.*s%u%s", (int)(word - text), text, s->port, word + 4);
    else
        snprintf(out, 128, "%s", text);
    return out;
}
