/* What the hand tools share: the connection, and Redis' answers as JSON. */
#pragma once
#include <hiredis/hiredis.h>
#include <jansson.h>

#include "common/redis/keys.h"
#include "common/redis/shards.h"
#include "common/redis/url.h"
#include "flusher/config.h"
#include "flusher/inspect/mask.h"
#include "flusher/options.h"

enum { LOOK_MOST = 1000 }; /* rows of one list, and what is asked for at once */

struct look {
    const struct flusher_config *config;
    const struct options *options;
    struct key_space keys;
    struct redis_shards *shards;
    int64_t now_ms; /* the server's clock, when the look began */
    struct redis_url _url;
};

/* false: it was said on stderr why. Release in both cases. The second is for a command that calls a Redis function: it
 * loads those of this version, while looking must change nothing. */
RF_NODISCARD bool look_begin(struct look *look, const struct flusher_config *config, const struct options *options);
RF_NODISCARD bool look_begin_with_functions(struct look *look, const struct flusher_config *config,
                                            const struct options *options);
void look_release(struct look *look);

/* All keys are on one server: a command may name those of several calls, and wait. */
bool look_is_alone(const struct look *look);

/* One command and its reply, from the shard of its key. NULL: said on stderr. Free with freeReplyObject. look_try gives
 * error replies too. */
RF_PRINTF(2, 3) redisReply *look_ask(struct look *look, const char *format, ...);
RF_PRINTF(2, 3) redisReply *look_try(struct look *look, const char *format, ...);
redisReply *look_try_words(struct look *look, int argc, const char **argv);

/* Says on stderr that a list ends where it is cut, if it has as many elements as were asked for (LOOK_MOST + 1), and
 * returns how many are to be shown. */
size_t look_cut(const char *what, int partition, size_t count);

/* Text of a reply; NULL when it is nil or no text. Borrowed. */
const char *look_text(const redisReply *reply);

/* Text of a reply, or of a field of a hash or an entry (field, value, ...), as JSON and masked. Bytes that are no
 * UTF-8 are shown as '?'. json null when there is none. */
json_t *look_json(const char *text, const struct mask *mask);
const char *look_field(const redisReply *pairs, const char *name);

/* The same as a number; null when there is none. */
json_t *look_number(const char *text);

/* Learns the names that the context of a call holds. */
void look_learn(struct look *look, const char *call_sid, struct mask *mask);

/* One line of an entry: what was said, or its fields. malloc'd and masked; learns names it tells. */
char *look_entry_text(const redisReply *pairs, struct mask *mask);
