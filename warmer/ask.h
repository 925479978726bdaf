/* One question to Redis with a deadline: a function of common/redis/functions (or a command), its keys, its arguments. */
#pragma once
#include "common/redis/journal.h"
#include "warmer/context.h"
#include "warmer/warmer.h"

enum {
    QUESTION_ARGS_MAX = 256,
    QUESTION_KEYS_MAX = 5,
    QUESTIONS_MAX = 1024, /* on their way: some 10 MB when Redis has fallen silent */
};

struct question {
    const char *_argv[QUESTION_ARGS_MAX];
    size_t _lens[QUESTION_ARGS_MAX];
    int _argc, _keys, _numbers;
    bool _function, _too_long;
    char _key_text[QUESTION_KEYS_MAX][KEY_SIZE];
    char _number_text[QUESTION_KEYS_MAX + 1][24];
};

/* Builds: the function's name, then its keys, then its arguments. Texts are borrowed until ask(). */
void question_init(struct question *q, const char *function);
void question_init_command(struct question *q, const char *command);
void question_key(struct question *q, const struct warmer *w, enum key_kind kind, const char *call_sid);
/* A key of no call (keys.h, key_global): "number" or "business" and which. */
void question_key_global(struct question *q, const struct warmer *w, const char *kind, const char *id);
/* The id by which others know a call; a key of the calls to be dialled (keys.h, key_alias and key_outbound). */
void question_key_alias(struct question *q, const struct warmer *w, const char *id);
void question_key_outbound(struct question *q, const struct warmer *w, const char *kind, const char *id);
void question_arg(struct question *q, const char *text);
void question_field(struct question *q, const struct context_field *field);
void question_number(struct question *q, int64_t number);

/* A journal entry of ours: its type, and its first count fields by their order in the table. NULL: without that one. */
void question_entry(struct question *q, const struct journal_type_row *type, const char *const *values, size_t count);

/* The reply (of a function: an array with a word first); or NULL: Redis answered with an error, was lost, or
 * took longer than RINGFLEET_WARM_DEADLINE_MS. It may have happened then. */
typedef void ask_fn(const redisReply *reply, void *arg);

/* Calls fn exactly once, never from inside. -1, without calling fn: Redis is away, or QUESTIONS_MAX
 * are on their way. */
RF_NODISCARD int ask(struct warmer *w, const struct question *q, ask_fn *fn, void *arg);
