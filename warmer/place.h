/* The place of a call in Redis: its session, its lease among the live calls, and its context (common/redis/functions/open.lua). */
#pragma once
#include "common/base/token.h"
#include "warmer/ask.h"

enum { PLACE_NEVER = -1 };

struct place {
    char token[TOKEN_SIZE]; /* of the first stream */
    bool again;             /* another webhook had reserved it */
    bool has_context;       /* and has written its context; */
    bool complete;          /* that is there, and the database's; */
    bool partial;           /* or what came of it first: somebody is about to complete it */
    int claimed_n;          /* the last stream that a worker took, or PLACE_NEVER */
};

/* Makes a token and asks for the place; place_take has the answer. NULL, or why fn will not be called. */
RF_NODISCARD const char *place_reserve(struct warmer *w, struct place *place, const char *call_sid, const char *from,
                                       const char *to, ask_fn *fn, void *arg);

/* Takes what place_reserve was answered. false: there is no place. */
RF_NODISCARD bool place_take(struct place *place, const redisReply *reply);

/* Writes what is due of the context, in one plain command if it is the database's own and nobody else's can be there: there
 * is none better (but for the same, completed by a warmer that got the webhook again; ours will be too). Else by rf_fill,
 * which leaves a better one where it is; unless the call's row is certainly in the database (recorded) its journal says
 * how to make it. place_written has the answer. -1, without calling fn: Redis is away. */
RF_NODISCARD int place_write(struct warmer *w, const struct place *place, const char *call_sid, const struct context *context,
                             bool recorded, ask_fn *fn, void *arg);
RF_NODISCARD bool place_written(const redisReply *reply);

/* What is due of a context when the answer is given: workers pick it up with the full prompt. Waited for by nobody. late:
 * it is counted as such. By rf_fill in any case: the call may be over, and its context gone. */
void place_fill(struct warmer *w, const char *call_sid, const struct context *context, bool late);

/* Nobody has the number: the place goes again, whether or not Redis has answered yet; the token tells whose it is. */
void place_give_up(struct warmer *w, const struct place *place, const char *call_sid);
