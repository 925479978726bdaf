#include "flusher/own_session.h"

#include <poll.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "session_sql.h"

enum {
    WAIT_MS = 2000,
    ROUNDS = 3, /* a pooler may give out its sessions in turn */
};

/* 0: unknown. */
static int pid_of(const PGresult *result)
{
    return PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 ? atoi(PQgetvalue(result, 0, 0)) : 0;
}

/* The server process that serves a connection just now. Not waited for without end: a pool of one session keeps a second
 * connection waiting for as long as the first is there. */
static int server_pid(PGconn *conn)
{
    int64_t until = clock_mono_ms() + WAIT_MS;
    PGresult *result;
    int pid;
    if (PQsendQuery(conn, session_sql[0].text) != 1)
        return 0;
    while (PQisBusy(conn)) {
        struct pollfd fd = {.fd = PQsocket(conn), .events = POLLIN};
        int64_t left = until - clock_mono_ms();
        if (left <= 0 || poll(&fd, 1, (int)left) < 0 || PQconsumeInput(conn) != 1)
            return 0;
    }
    result = PQgetResult(conn);
    pid = pid_of(result);
    while (result) {
        PQclear(result);
        result = PQgetResult(conn);
    }
    return pid;
}

bool own_session(PGconn *conn, const char *url)
{
    struct db_error ignored;
    PGconn *other = db_connect(url, "", &ignored);
    int first = server_pid(conn);
    bool own = true;
    for (int i = 0; other && own && i < ROUNDS; i++) {
        int pid = server_pid(other);
        own = pid != first && server_pid(conn) == first;
        if (pid == 0)
            break; /* it is kept waiting: what it waits for is ours alone */
    }
    PQfinish(other);
    return own;
}
