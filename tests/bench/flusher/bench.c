/* How long after its end a call is in Postgres, and the least that could take. One command, one line of figures on
 * stdout, in microseconds; figures.py runs them in turn and prints the table.
 *
 *   bench gate   PG REDIS_PORT RATE CALLS FILE   by hand: rf_end, the index, the journal, one gated statement (FILE)
 *   bench hangup PG REDIS_PORT RATE CALLS FILE   a flusher does it: from rf_end until FILE, on another connection, finds
 *                                                the call's ledger row
 *
 * Every call has 20 turns. hangup looks as often as it can, so its figure is late by up to one look. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <hiredis/hiredis.h>
#include <libpq-fe.h>

#include "common/redis/functions.h"

#define SAID "well I was thinking of thursday at ten or so if you still have that, otherwise the week after would do as well"
#define INDEX "rf:{p0}:ended"

enum { TURNS = 20, WARM_UP = 20, SQL_MAX = 4096, KEY_MAX = 96, GIVE_UP_S = 10 };

struct bench {
    PGconn *pg;
    redisContext *redis;
    char messages[TURNS * sizeof SAID + 64]; /* as a text array */
};

static void die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void sleep_until(int64_t ns)
{
    struct timespec t = {ns / 1000000000LL, ns % 1000000000LL};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_latencies(double *us, int count)
{
    us += WARM_UP;
    count -= WARM_UP;
    if (count < WARM_UP)
        die("too few calls");
    qsort(us, (size_t)count, sizeof *us, by_value);
    printf("p50 %.1f p99 %.1f max %.1f\n", us[count / 2], us[count * 99 / 100], us[count - 1]);
}

__attribute__((format(printf, 2, 3))) static redisReply *ask(struct bench *b, const char *format, ...)
{
    va_list args;
    redisReply *reply;
    va_start(args, format);
    reply = redisvCommand(b->redis, format, args);
    va_end(args);
    if (!reply || reply->type == REDIS_REPLY_ERROR)
        die(reply ? reply->str : b->redis->errstr);
    return reply;
}

/* A call that a worker carries, with all its turns; not measured. */
static void begin_call(struct bench *b, const char *sid)
{
    freeReplyObject(ask(b, "HSET rf:{p0}:call:%s:session v 1 phase live epoch 1", sid));
    freeReplyObject(ask(b, "ZADD rf:{p0}:live 9999999999999 %s", sid));
    for (int i = 1; i <= TURNS; i++)
        freeReplyObject(ask(b, "XADD rf:{p0}:call:%s:writes 1-%d type turn by worker at 1795184887583 speaker caller message %s "
                               "started_ms 1795184885083 ended_ms 1795184887583",
                            sid, i, SAID));
}

static void end_call(struct bench *b, const char *sid)
{
    redisReply *reply = ask(b,
                            "FCALL " REDIS_FUNCTION("rf_end") " 4 rf:{p0}:call:%s:session rf:{p0}:call:%s:writes rf:{p0}:live " INDEX
                            " %s 1 %d hangup hangup {}",
                            sid, sid, sid, TURNS + 1);
    if (reply->type != REDIS_REPLY_ARRAY || strcmp(reply->element[0]->str, "ENDED") != 0)
        die("the call did not end");
    freeReplyObject(reply);
}

static void check(PGresult *result)
{
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        die(PQresultErrorMessage(result));
    PQclear(result);
}

static void flush_by_hand(struct bench *b, const char *sid)
{
    const char *const values[] = {sid, b->messages};
    freeReplyObject(ask(b, "XREADGROUP GROUP flusher bench COUNT 1 STREAMS " INDEX " >"));
    freeReplyObject(ask(b, "XRANGE rf:{p0}:call:%s:writes - +", sid));
    check(PQexecPrepared(b->pg, "statement", 2, values, NULL, NULL, 0));
}

static void wait_for_ledger(struct bench *b, const char *sid)
{
    const char *const values[] = {sid};
    int64_t give_up = now_ns() + GIVE_UP_S * 1000000000LL;
    int seen = 0;
    while (!seen) {
        PGresult *result = PQexecPrepared(b->pg, "statement", 1, values, NULL, NULL, 0);
        seen = PQntuples(result);
        check(result);
        if (now_ns() > give_up)
            die("the call was not flushed");
    }
}

static void measure(struct bench *b, double rate, int calls, void (*flush)(struct bench *b, const char *sid))
{
    double *us = calloc((size_t)calls, sizeof *us);
    int64_t began = now_ns();
    for (int i = 0; i < calls; i++) {
        char sid[KEY_MAX];
        int64_t start;
        snprintf(sid, sizeof sid, "CA%08lx%08d%016llx", (long)getpid(), i, (unsigned long long)now_ns());
        begin_call(b, sid);
        sleep_until(began + (int64_t)(i * 1e9 / rate));
        start = now_ns();
        end_call(b, sid);
        flush(b, sid);
        us[i] = (double)(now_ns() - start) / 1000;
    }
    print_latencies(us, calls);
    free(us);
}

static void read_file(const char *path, char text[SQL_MAX])
{
    FILE *file = fopen(path, "r");
    size_t len = file ? fread(text, 1, SQL_MAX - 1, file) : 0;
    if (len == 0)
        die("cannot read the statement");
    text[len] = '\0';
    fclose(file);
}

static void fill_messages(char *out)
{
    *out++ = '{';
    for (int i = 0; i < TURNS; i++)
        out += sprintf(out, "%s\"%s\"", i ? "," : "", SAID);
    strcpy(out, "}");
}

int main(int argc, char **argv)
{
    static struct bench b;
    char statement[SQL_MAX];
    int by_hand = argc == 7 && strcmp(argv[1], "gate") == 0;
    if (!by_hand && !(argc == 7 && strcmp(argv[1], "hangup") == 0))
        die("usage: see the head of bench.c");
    b.pg = PQconnectdb(argv[2]);
    b.redis = redisConnect("127.0.0.1", atoi(argv[3]));
    if (PQstatus(b.pg) != CONNECTION_OK || !b.redis || b.redis->err)
        die("cannot connect");
    fill_messages(b.messages);
    read_file(argv[6], statement);
    check(PQprepare(b.pg, "statement", statement, 0, NULL));
    measure(&b, atof(argv[4]), atoi(argv[5]), by_hand ? flush_by_hand : wait_for_ledger);
    PQfinish(b.pg);
    redisFree(b.redis);
    return 0;
}
