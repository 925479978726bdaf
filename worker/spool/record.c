#include "worker/spool/record.h"

#include <string.h>

enum { PREFIX_SIZE = 12, KINDS = SPOOL_LEFT };

static const uint8_t head[SPOOL_HEAD_SIZE] = {'r', 'f', 's', 'p', 'o', 'o', 'l', 1};
static const uint8_t mark[4] = {0xf5, 'R', 'S', 0xfa}; /* no UTF-8: it is in no text */

static void put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get_u32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Bit by bit: it is for what Redis could not take. */
static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t len)
{
    crc = ~crc;
    while (len-- > 0) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
    }
    return ~crc;
}

void spool_head_write(uint8_t out[SPOOL_HEAD_SIZE])
{
    memcpy(out, head, SPOOL_HEAD_SIZE);
}

bool spool_head_read(const uint8_t *bytes, size_t len)
{
    return len >= SPOOL_HEAD_SIZE && memcmp(bytes, head, SPOOL_HEAD_SIZE) == 0;
}

size_t spool_record_size(const struct spool_record *record)
{
    size_t payload = 2;
    for (int i = 0; i < record->count; i++) {
        if (record->texts[i].len > SPOOL_RECORD_MAX)
            return 0;
        payload += 4 + record->texts[i].len;
    }
    return payload > SPOOL_RECORD_MAX ? 0 : PREFIX_SIZE + payload;
}

void spool_record_write(const struct spool_record *record, uint8_t *out)
{
    uint8_t *at = out + PREFIX_SIZE;
    uint32_t payload;
    *at++ = (uint8_t)record->kind;
    *at++ = (uint8_t)record->count;
    for (int i = 0; i < record->count; i++) {
        put_u32(at, (uint32_t)record->texts[i].len);
        memcpy(at + 4, record->texts[i].str, record->texts[i].len);
        at += 4 + record->texts[i].len;
    }
    payload = (uint32_t)(at - out - PREFIX_SIZE);
    memcpy(out, mark, sizeof mark);
    put_u32(out + 4, payload);
    put_u32(out + 8, crc32c(crc32c(0, out + 4, 4), out + PREFIX_SIZE, payload));
}

static bool read_payload(const uint8_t *at, size_t len, struct spool_record *out)
{
    const uint8_t *end = at + len;
    if (len < 2 || at[0] < 1 || at[0] > KINDS || at[1] > SPOOL_TEXTS_MAX)
        return false;
    out->kind = (enum spool_kind)at[0];
    out->count = at[1];
    at += 2;
    for (int i = 0; i < out->count; i++) {
        size_t left = (size_t)(end - at), size = left < 4 ? 0 : get_u32(at);
        if (left < 4 || size > left - 4)
            return false;
        out->texts[i] = (struct spool_text){(const char *)at + 4, size};
        at += 4 + size;
    }
    return at == end;
}

/* Bytes of the record that stands here; 0: none does. */
static size_t record_at(const uint8_t *at, size_t len, struct spool_record *out)
{
    size_t payload;
    if (len < PREFIX_SIZE || memcmp(at, mark, sizeof mark) != 0)
        return 0;
    payload = get_u32(at + 4);
    if (payload > SPOOL_RECORD_MAX || payload > len - PREFIX_SIZE ||
        crc32c(crc32c(0, at + 4, 4), at + PREFIX_SIZE, payload) != get_u32(at + 8) ||
        !read_payload(at + PREFIX_SIZE, payload, out))
        return 0;
    return PREFIX_SIZE + payload;
}

enum spool_found spool_record_read(const uint8_t *bytes, size_t len, size_t *at, struct spool_record *out)
{
    size_t size = record_at(bytes + *at, len - *at, out);
    if (*at == len)
        return SPOOL_OVER;
    if (size > 0) {
        *at += size;
        return SPOOL_RECORD;
    }
    for (size_t next = *at + 1; next < len; next++) {
        const uint8_t *found = memchr(bytes + next, mark[0], len - next);
        if (!found)
            break;
        next = (size_t)(found - bytes);
        if (record_at(found, len - next, out) > 0) {
            *at = next;
            return SPOOL_DAMAGE;
        }
    }
    *at = len;
    return SPOOL_TORN;
}
