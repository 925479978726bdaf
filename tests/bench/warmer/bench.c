/* The bare programs that the warmer is measured against, and the load it is measured with. One command, one
 * line of figures on stdout; figures.py runs them in turn and prints the table.
 *
 *   bench webhook   HOST:PORT RATE CALLS THREADS   webhook to TwiML; RATE 0: as fast as the threads can
 *   bench join      PG REDIS RATE CALLS FILE       one prepared JOIN, then one pipeline HSET+EXPIRE+ZADD
 *   bench relay     PORT PG REDIS FILE             the same behind a socket, for one connection: says that it listens,
 *                                                  does both for each request, checks nothing, ends with the client
 *   bench pipelined PG DEPTH CALLS FILE            the JOIN in pipeline mode, DEPTH under way
 *   bench queries   PG RATE CALLS FILE             every statement of FILE in a row, a round trip each
 *
 * Statements of FILE are separated by a line "--". Each may use $1 (business number), $2 (caller), $3
 * (call_sid), and must name all three or none. Latencies are from send to answer, in microseconds. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "common/base/base64.h"
#include "common/base/crypto.h"

#define BUSINESS "+14155550199"
#define PUBLIC_URL "https://phone.example.test"
#define AUTH_TOKEN "12345"

enum { STATEMENTS_MAX = 64, PARAMS = 3, FIELDS = 40, FIELD_BYTES = 200, WARM_UP = 50 };

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

/* The first ones are the warming-up of plans and caches. */
static void print_latencies(double *us, size_t count, int64_t began_ns)
{
    double seconds = (double)(now_ns() - began_ns) / 1e9;
    if (count <= 2 * WARM_UP)
        die("too few calls");
    us += WARM_UP;
    count -= WARM_UP;
    qsort(us, count, sizeof *us, by_value);
    printf("p50 %.1f p99 %.1f max %.1f per_second %.0f\n", us[count / 2], us[count * 99 / 100], us[count - 1],
           (double)(count + WARM_UP) / seconds);
}

/* The same calls in every run of this process, other ones in the next: callers repeat, call_sids do not. */
static void name_call(int i, char caller[16], char sid[40])
{
    snprintf(caller, 16, "+1415556%04d", i % 2000);
    snprintf(sid, 40, "CA%08x%08x%016llx", (unsigned)i, (unsigned)getpid(), (unsigned long long)now_ns());
}

/* ---- the webhook ---- */

struct run {
    struct sockaddr_in to;
    int rate, calls, threads;
    int64_t began_ns;
    atomic_int next, failed;
    double *us;
};

static int connect_to(const struct sockaddr_in *to)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof *to) != 0)
        die("cannot connect to the warmer");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* Parameters in the order in which they are signed. */
static int make_request(char out[2048], int i)
{
    char caller[16], sid[40], signed_text[512], signature[BASE64_TEXT_SIZE(SHA1_BYTES)], body[512];
    uint8_t digest[SHA1_BYTES];
    name_call(i, caller, sid);
    snprintf(signed_text, sizeof signed_text,
             PUBLIC_URL "/voice/incomingAccountSidAC1ApiVersion2010-04-01CallSid%sCallStatusringingDirectioninbound"
                        "From%sFromCityTo" BUSINESS, sid, caller);
    hmac_sha1(digest, AUTH_TOKEN, signed_text, strlen(signed_text));
    base64_encode(signature, digest, sizeof digest);
    snprintf(body, sizeof body,
             "AccountSid=AC1&ApiVersion=2010-04-01&CallSid=%s&CallStatus=ringing&Direction=inbound&From=%%2B%s&FromCity=&"
             "To=%%2B%s", sid, caller + 1, BUSINESS + 1);
    return snprintf(out, 2048,
                    "POST /voice/incoming HTTP/1.1\r\nHost: phone.example.test\r\nUser-Agent: TwilioProxy/1.1\r\n"
                    "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\nX-Twilio-Signature: %s\r\n"
                    "Content-Length: %zu\r\n\r\n%s", signature, strlen(body), body);
}

static bool read_document(int fd)
{
    char text[16384];
    size_t len = 0;
    while (len < sizeof text - 1) {
        ssize_t n = read(fd, text + len, sizeof text - 1 - len);
        if (n <= 0)
            return false;
        len += (size_t)n;
        text[len] = '\0';
        if (strstr(text, "</Response>"))
            return strstr(text, "<Stream ") != NULL;
    }
    return false;
}

static void *call_in_turn(void *arg)
{
    struct run *run = arg;
    int fd = connect_to(&run->to), i;
    char request[2048];
    while ((i = atomic_fetch_add(&run->next, 1)) < run->calls) {
        int len = make_request(request, i);
        int64_t began;
        if (run->rate)
            sleep_until(run->began_ns + (int64_t)i * 1000000000LL / run->rate);
        began = now_ns();
        if (write(fd, request, (size_t)len) != len || !read_document(fd))
            atomic_fetch_add(&run->failed, 1);
        run->us[i] = (double)(now_ns() - began) / 1e3;
    }
    close(fd);
    return NULL;
}

static void webhook(char **argv)
{
    struct run run = {.rate = atoi(argv[1]), .calls = atoi(argv[2]), .threads = atoi(argv[3])};
    char *colon = strchr(argv[0], ':');
    pthread_t threads[64];
    if (!colon || run.threads < 1 || run.threads > 64)
        die("webhook HOST:PORT RATE CALLS THREADS");
    *colon = '\0';
    run.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    inet_pton(AF_INET, argv[0], &run.to.sin_addr);
    run.us = calloc((size_t)run.calls, sizeof *run.us);
    run.began_ns = now_ns();
    for (int i = 0; i < run.threads; i++)
        pthread_create(&threads[i], NULL, call_in_turn, &run);
    for (int i = 0; i < run.threads; i++)
        pthread_join(threads[i], NULL);
    if (run.failed) {
        fprintf(stderr, "bench: %d calls got no stream\n", run.failed);
        exit(1);
    }
    print_latencies(run.us, (size_t)run.calls, run.began_ns);
    free(run.us);
}

/* ---- Postgres ---- */

struct database {
    PGconn *conn;
    int count;
    bool has_params[STATEMENTS_MAX];
};

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 16);
    if (!file || fread(text, 1, (1 << 16) - 1, file) == 0)
        die("cannot read the statements");
    fclose(file);
    return text;
}

static void check(PGresult *result, ExecStatusType wanted)
{
    ExecStatusType status = PQresultStatus(result);
    if (status != wanted && !(wanted == PGRES_TUPLES_OK && status == PGRES_COMMAND_OK))
        die(PQresultErrorMessage(result));
    PQclear(result);
}

static struct database open_database(const char *url, const char *path)
{
    struct database db = {.conn = PQconnectdb(url)};
    char *text = read_file(path), name[16], *at = text;
    if (PQstatus(db.conn) != CONNECTION_OK)
        die(PQerrorMessage(db.conn));
    while (at) {
        char *end = strstr(at, "\n--\n");
        if (end)
            *end = '\0';
        snprintf(name, sizeof name, "s%d", db.count);
        db.has_params[db.count++] = strstr(at, "$1") != NULL;
        check(PQprepare(db.conn, name, at, 0, NULL), PGRES_COMMAND_OK);
        at = end ? end + 4 : NULL;
    }
    free(text);
    return db;
}

static void run_statement(struct database *db, int statement, const char *const params[PARAMS])
{
    char name[16];
    snprintf(name, sizeof name, "s%d", statement);
    check(PQexecPrepared(db->conn, name, db->has_params[statement] ? PARAMS : 0, params, NULL, NULL, 0), PGRES_TUPLES_OK);
}

static void run_all(struct database *db, int i)
{
    char caller[16], sid[40];
    const char *const params[PARAMS] = {BUSINESS, caller, sid};
    name_call(i, caller, sid);
    for (int s = 0; s < db->count; s++)
        run_statement(db, s, params);
}

static void queries(char **argv)
{
    int rate = atoi(argv[1]), calls = atoi(argv[2]);
    struct database db = open_database(argv[0], argv[3]);
    double *us = calloc((size_t)calls, sizeof *us);
    int64_t began_ns = now_ns();
    for (int i = 0; i < calls; i++) {
        int64_t began;
        if (rate)
            sleep_until(began_ns + (int64_t)i * 1000000000LL / rate);
        began = now_ns();
        run_all(&db, i);
        us[i] = (double)(now_ns() - began) / 1e3;
    }
    print_latencies(us, (size_t)calls, began_ns);
    free(us);
    PQfinish(db.conn);
}

/* One group is read for each that is sent, once DEPTH are under way. */
static void pipelined(char **argv)
{
    int depth = atoi(argv[1]), calls = atoi(argv[2]), sent = 0, read = 0;
    struct database db = open_database(argv[0], argv[3]);
    int64_t began = now_ns();
    PQenterPipelineMode(db.conn);
    while (read < calls) {
        while (sent < calls && sent - read < depth) {
            char caller[16], sid[40];
            const char *const params[PARAMS] = {BUSINESS, caller, sid};
            name_call(sent++, caller, sid);
            if (!PQsendQueryPrepared(db.conn, "s0", PARAMS, params, NULL, NULL, 0) || !PQpipelineSync(db.conn))
                die(PQerrorMessage(db.conn));
        }
        check(PQgetResult(db.conn), PGRES_TUPLES_OK);
        PQgetResult(db.conn); /* the NULL behind it */
        check(PQgetResult(db.conn), PGRES_PIPELINE_SYNC);
        read++;
    }
    printf("per_second %.0f\n", calls / ((double)(now_ns() - began) / 1e9));
    PQfinish(db.conn);
}

/* ---- JOIN, then Redis ---- */

static void write_context(redisContext *redis, const char *sid)
{
    static char value[FIELD_BYTES + 1];
    const char *argv[2 + 2 * FIELDS];
    char names[FIELDS][16], key[128];
    redisReply *reply;
    memset(value, 'x', FIELD_BYTES);
    snprintf(key, sizeof key, "bench:{p0}:call:%s", sid);
    argv[0] = "HSET";
    argv[1] = key;
    for (int i = 0; i < FIELDS; i++) {
        snprintf(names[i], sizeof names[i], "field_%d", i);
        argv[2 + 2 * i] = names[i];
        argv[3 + 2 * i] = value;
    }
    redisAppendCommandArgv(redis, 2 + 2 * FIELDS, argv, NULL);
    redisAppendCommand(redis, "EXPIRE %s 86400", key);
    redisAppendCommand(redis, "ZADD bench:{p0}:live 1 %s", sid);
    for (int i = 0; i < 3; i++) {
        if (redisGetReply(redis, (void **)&reply) != REDIS_OK || reply->type == REDIS_REPLY_ERROR)
            die("redis refused");
        freeReplyObject(reply);
    }
}

static void join(char **argv)
{
    int rate = atoi(argv[2]), calls = atoi(argv[3]);
    struct database db = open_database(argv[0], argv[4]);
    redisContext *redis = redisConnect("127.0.0.1", atoi(argv[1]));
    double *us = calloc((size_t)calls, sizeof *us);
    int64_t began_ns = now_ns();
    if (!redis || redis->err)
        die("cannot connect to redis");
    for (int i = 0; i < calls; i++) {
        char caller[16], sid[40];
        const char *const params[PARAMS] = {BUSINESS, caller, sid};
        int64_t began;
        name_call(i, caller, sid);
        if (rate)
            sleep_until(began_ns + (int64_t)i * 1000000000LL / rate);
        began = now_ns();
        run_statement(&db, 0, params);
        write_context(redis, sid);
        us[i] = (double)(now_ns() - began) / 1e3;
    }
    print_latencies(us, (size_t)calls, began_ns);
    free(us);
    redisFree(redis);
    PQfinish(db.conn);
}

/* ---- the same behind a socket ---- */

static int accept_one(int port)
{
    int one = 1, fd, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (listener < 0 || bind(listener, (struct sockaddr *)&in, sizeof in) != 0 || listen(listener, 1) != 0)
        die("cannot listen");
    puts("listening");
    fflush(stdout);
    fd = accept(listener, NULL, NULL);
    if (fd < 0)
        die("nobody came");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    close(listener);
    return fd;
}

static void relay(char **argv)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n"
                                 "<Response><Connect><Stream url=\"wss://media.example.test\"/></Connect></Response>";
    struct database db = open_database(argv[1], argv[3]);
    redisContext *redis = redisConnect("127.0.0.1", atoi(argv[2]));
    int fd = accept_one(atoi(argv[0]));
    char request[4096];
    if (!redis || redis->err)
        die("cannot connect to redis");
    for (int i = 0; read(fd, request, sizeof request) > 0; i++) { /* a request comes in one piece */
        char caller[16], sid[40];
        const char *const params[PARAMS] = {BUSINESS, caller, sid};
        name_call(i, caller, sid);
        run_statement(&db, 0, params);
        write_context(redis, sid);
        if (write(fd, answer, sizeof answer - 1) < 0)
            die("the client is gone");
    }
    close(fd);
    redisFree(redis);
    PQfinish(db.conn);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int args;
        void (*run)(char **argv);
    } commands[] = {{"webhook", 4, webhook}, {"join", 5, join}, {"relay", 4, relay}, {"pipelined", 4, pipelined}, {"queries", 4, queries}};
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (argc == 2 + commands[i].args && strcmp(argv[1], commands[i].name) == 0) {
            commands[i].run(argv + 2);
            return 0;
        }
    }
    die("the comment at the top of bench.c lists the commands");
}
