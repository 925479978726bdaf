/* A private Redis Cluster of a few primaries for one test program: loopback only, gone with it. */
#pragma once
#include "tests/unit/common/redis_server.h"

enum { CLUSTER_NODES = 3 };

struct redis_cluster {
    struct redis_server nodes[CLUSTER_NODES + 1]; /* the last is a member without slots */
    char ids[CLUSTER_NODES + 1][64];
};

/* Returns when every node knows all the others and their slots: node i has the i-th third. */
void redis_cluster_start(struct redis_cluster *c);
void redis_cluster_release(struct redis_cluster *c);

/* One for all tests of a program: group setup and teardown of cmocka. */
extern struct redis_cluster test_cluster;
int redis_cluster_setup(void **state);
int redis_cluster_teardown(void **state);

/* Starts a node that was killed, and waits until it serves. */
void redis_cluster_restart(struct redis_cluster *c, int node);

/* The slot is under way from one node to another: both know it. */
void redis_cluster_begin_move(struct redis_cluster *c, int slot, int from, int to);
/* The slot is that node's, and all nodes know it. */
void redis_cluster_end_move(struct redis_cluster *c, int slot, int to);
void redis_cluster_move_key(struct redis_cluster *c, const char *key, int from, int to);

/* The node that has the slot when nothing was moved. */
int redis_cluster_home(int slot);
