#include "tests/unit/common/redis_cluster.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/unit/loopback.h"
#include "tests/unit/unit.h"

enum { SLOTS = 16384, PATIENCE_MS = 20000 };

static int first_slot(int node)
{
    return (node * SLOTS + CLUSTER_NODES - 1) / CLUSTER_NODES;
}

int redis_cluster_home(int slot)
{
    return slot * CLUSTER_NODES / SLOTS;
}

static void ask(const struct redis_server *s, const char *command, char *out, size_t size)
{
    redisContext *ctx = redisConnect("127.0.0.1", s->port);
    redisReply *reply = redisCommand(ctx, command);
    assert_non_null(reply);
    snprintf(out, size, "%s", reply->str ? reply->str : "");
    freeReplyObject(reply);
    redisFree(ctx);
}

/* The cluster announces it to nobody. Returns false when it takes too long. */
static bool await_text(const struct redis_server *s, const char *command, const char *text, int patience_ms)
{
    struct timespec pause = {0, 20 * 1000 * 1000};
    char answer[8192];
    for (int waited = 0; waited < patience_ms; waited += 20) {
        ask(s, command, answer, sizeof answer);
        if (strstr(answer, text))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static bool all_know(const struct redis_cluster *c, const char *text, int patience_ms)
{
    bool all = true;
    for (int i = 0; i <= CLUSTER_NODES && all; i++)
        all = await_text(&c->nodes[i], "CLUSTER INFO", text, patience_ms);
    return all;
}

/* On a busy machine a handshake may end before it has begun. */
static void meet(struct redis_cluster *c)
{
    bool met = false;
    for (int tries = 0; tries < 10 && !met; tries++) {
        for (int i = 1; i <= CLUSTER_NODES; i++)
            redis_server_do(&c->nodes[0], NULL, "CLUSTER MEET 127.0.0.1 %d %d", c->nodes[i].port,
                            c->nodes[i].bus_port);
        met = all_know(c, "cluster_known_nodes:4", 2000);
    }
    assert_true(met);
    assert_true(all_know(c, "cluster_slots_ok:16384", PATIENCE_MS));
    assert_true(all_know(c, "cluster_state:ok", PATIENCE_MS));
}

void redis_cluster_start(struct redis_cluster *c)
{
    memset(c, 0, sizeof *c);
    for (int i = 0; i <= CLUSTER_NODES; i++) {
        c->nodes[i].bus_port = free_port();
        c->nodes[i].durable = true;
        redis_server_start(&c->nodes[i], NULL);
        ask(&c->nodes[i], "CLUSTER MYID", c->ids[i], sizeof c->ids[i]);
    }
    for (int i = 0; i < CLUSTER_NODES; i++)
        redis_server_do(&c->nodes[i], NULL, "CLUSTER ADDSLOTSRANGE %d %d", first_slot(i), first_slot(i + 1) - 1);
    meet(c);
}

void redis_cluster_release(struct redis_cluster *c)
{
    for (int i = 0; i <= CLUSTER_NODES; i++)
        redis_server_release(&c->nodes[i]);
}

struct redis_cluster test_cluster;

int redis_cluster_setup(void **state)
{
    (void)state;
    redis_cluster_start(&test_cluster);
    return 0;
}

int redis_cluster_teardown(void **state)
{
    (void)state;
    redis_cluster_release(&test_cluster);
    return 0;
}

void redis_cluster_restart(struct redis_cluster *c, int node)
{
    redis_server_start(&c->nodes[node], NULL);
    assert_true(await_text(&c->nodes[node], "CLUSTER INFO", "cluster_state:ok", PATIENCE_MS));
}

void redis_cluster_begin_move(struct redis_cluster *c, int slot, int from, int to)
{
    redis_server_do(&c->nodes[to], NULL, "CLUSTER SETSLOT %d IMPORTING %s", slot, c->ids[from]);
    redis_server_do(&c->nodes[from], NULL, "CLUSTER SETSLOT %d MIGRATING %s", slot, c->ids[to]);
}

void redis_cluster_end_move(struct redis_cluster *c, int slot, int to)
{
    redis_server_do(&c->nodes[to], NULL, "CLUSTER SETSLOT %d NODE %s", slot, c->ids[to]);
    for (int i = 0; i < CLUSTER_NODES; i++)
        redis_server_do(&c->nodes[i], NULL, "CLUSTER SETSLOT %d NODE %s", slot, c->ids[to]);
}

void redis_cluster_move_key(struct redis_cluster *c, const char *key, int from, int to)
{
    redis_server_do(&c->nodes[from], NULL, "MIGRATE 127.0.0.1 %d %s 0 5000", c->nodes[to].port, key);
}
