#include "flusher/pgarray.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* Header: dimensions, has-nulls flag, element type, then per dimension its size and lower bound. */
enum { AT_NULLS = 4, AT_SIZE = 12, HEADER_BYTES = 20 };

/* Below MaxAllocSize of the server (1 GB). */
static const size_t limit_bytes = (size_t)512 << 20;

static void put_int4(char *at, uint32_t value)
{
    value = htonl(value);
    memcpy(at, &value, sizeof value);
}

static char *room(struct pgarray *a, size_t more)
{
    size_t cap = a->_cap;
    char *grown;
    if (a->failed || more > limit_bytes - a->len) {
        a->failed = true;
        return NULL;
    }
    while (cap < a->len + more)
        cap = cap ? 2 * cap : 256;
    if (cap > a->_cap) {
        grown = realloc(a->bytes, cap);
        if (!grown) {
            a->failed = true;
            return NULL;
        }
        a->bytes = grown;
        a->_cap = cap;
    }
    a->len += more;
    return a->bytes + a->len - more;
}

void pgarray_init(struct pgarray *a, uint32_t element_oid)
{
    char *header;
    memset(a, 0, sizeof *a);
    header = room(a, HEADER_BYTES);
    if (!header)
        return;
    put_int4(header, 1);
    put_int4(header + AT_NULLS, 0);
    put_int4(header + 8, element_oid);
    put_int4(header + AT_SIZE, 0);
    put_int4(header + 16, 1);
}

void pgarray_release(struct pgarray *a)
{
    free(a->bytes);
    memset(a, 0, sizeof *a);
}

static void add(struct pgarray *a, const void *bytes, size_t len)
{
    char *at = len <= limit_bytes ? room(a, 4 + len) : NULL;
    uint32_t size;
    if (!at) {
        a->failed = true;
        return;
    }
    put_int4(at, bytes ? (uint32_t)len : UINT32_MAX);
    if (bytes)
        memcpy(at + 4, bytes, len);
    else
        put_int4(a->bytes + AT_NULLS, 1);
    memcpy(&size, a->bytes + AT_SIZE, sizeof size);
    put_int4(a->bytes + AT_SIZE, ntohl(size) + 1);
}

void pgarray_add_text(struct pgarray *a, const char *text, size_t len)
{
    add(a, text, text ? len : 0);
}

void pgarray_add_int8(struct pgarray *a, int64_t value)
{
    char bytes[8];
    put_int4(bytes, (uint32_t)((uint64_t)value >> 32));
    put_int4(bytes + 4, (uint32_t)value);
    add(a, bytes, sizeof bytes);
}
