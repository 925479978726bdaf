/* What a node of a cluster answers when a key is not (only) there. Pure. */
#pragma once
#include "common/base/base.h"
#include "common/redis/place.h"

enum redirect_kind {
    REDIRECT_NONE,
    REDIRECT_MOVED, /* the slot is another node's: note it, and ask that one */
    REDIRECT_ASK,   /* this key has moved ahead of its slot: ASKING and the command to that node, once */
    REDIRECT_LATER, /* the cluster is changing (TRYAGAIN, CLUSTERDOWN): the same again in a moment */
};

struct redirect {
    enum redirect_kind kind;
    int slot;              /* of MOVED and ASK */
    struct redis_place to; /* the same; the host is "" if it is the one that answered */
};

/* Text of an error reply. What is malformed is no redirect, so that whoever asked gets to see it. */
struct redirect redirect_parse(const char *error);
