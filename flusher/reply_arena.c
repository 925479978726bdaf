#include "flusher/reply_arena.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 20, ALIGNMENT = 16 };

struct reply_chunk {
    struct reply_chunk *next;
    size_t size;
    _Alignas(16) char bytes[];
};

/* The two generations of the library count elements in different types. */
#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

static void *take(struct reply_arena *a, size_t size)
{
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (!a->_chunks || a->_chunks->size - a->_used < size) {
        size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;
        struct reply_chunk *chunk = malloc(sizeof *chunk + room);
        if (!chunk)
            return NULL;
        chunk->next = a->_chunks;
        chunk->size = room;
        a->_chunks = chunk;
        a->_used = 0;
    }
    a->_used += size;
    return a->_chunks->bytes + a->_used - size;
}

/* Makes a reply and, as the library's own functions do, hangs it where the task says. */
static redisReply *make(const redisReadTask *task, size_t more)
{
    redisReply *r = take(task->privdata, sizeof *r + more);
    if (!r)
        return NULL;
    memset(r, 0, sizeof *r);
    r->type = task->type;
    if (task->parent)
        ((redisReply *)task->parent->obj)->element[task->idx] = r;
    return r;
}

static void *make_string(const redisReadTask *task, char *str, size_t len)
{
    redisReply *r = make(task, len + 1);
    if (!r)
        return NULL;
    r->str = (char *)(r + 1);
    memcpy(r->str, str, len);
    r->str[len] = '\0';
    r->len = len;
    return r;
}

static void *make_array(const redisReadTask *task, element_count count)
{
    redisReply *r = make(task, (size_t)count * sizeof(redisReply *));
    if (!r)
        return NULL;
    r->elements = (size_t)count;
    r->element = (redisReply **)(void *)(r + 1);
    memset(r->element, 0, (size_t)count * sizeof *r->element);
    return r;
}

static void *make_integer(const redisReadTask *task, long long value)
{
    redisReply *r = make(task, 0);
    if (r)
        r->integer = value;
    return r;
}

static void *make_nil(const redisReadTask *task)
{
    redisReply *r = make(task, 0);
    if (r)
        r->type = REDIS_REPLY_NIL; /* the task says what it would have been */
    return r;
}

static void keep(void *reply)
{
    (void)reply;
}

static redisReplyObjectFunctions in_arena = {
    .createString = make_string,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
    .freeObject = keep,
};

/* One chunk stays, so that a usual batch allocates nothing. */
static void empty(struct reply_arena *a)
{
    while (a->_chunks && (a->_chunks->next || a->_chunks->size > CHUNK_BYTES)) {
        struct reply_chunk *next = a->_chunks->next;
        free(a->_chunks);
        a->_chunks = next;
    }
    a->_used = 0;
}

void reply_arena_begin(struct reply_arena *arena, redisContext *redis)
{
    empty(arena);
    arena->_before = redis->reader->fn;
    redis->reader->fn = &in_arena;
    redis->reader->privdata = arena;
}

void reply_arena_end(struct reply_arena *arena, redisContext *redis)
{
    redis->reader->reply = NULL; /* half a reply, which the library's functions would free from the heap */
    redis->reader->fn = arena->_before;
    redis->reader->privdata = NULL;
}

void reply_arena_release(struct reply_arena *arena)
{
    while (arena->_chunks) {
        struct reply_chunk *next = arena->_chunks->next;
        free(arena->_chunks);
        arena->_chunks = next;
    }
}
