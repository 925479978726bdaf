#include "tests/bench/worker/stamp.h"

#include <string.h>

#include "common/base/base64.h"

enum { STAMP_BYTES = 12 };

static void pack(uint8_t bytes[STAMP_BYTES], struct stamp stamp)
{
    memcpy(bytes, &stamp.ns, 8);
    memcpy(bytes + 8, &stamp.n, 4);
}

static struct stamp unpack(const uint8_t bytes[STAMP_BYTES])
{
    struct stamp stamp;
    memcpy(&stamp.ns, bytes, 8);
    memcpy(&stamp.n, bytes + 8, 4);
    return stamp;
}

void stamp_put(char *base64, struct stamp stamp)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t b[STAMP_BYTES];
    pack(b, stamp);
    for (int i = 0; i < STAMP_BYTES; i += 3, base64 += 4) {
        uint32_t three = (uint32_t)b[i] << 16 | (uint32_t)b[i + 1] << 8 | b[i + 2];
        base64[0] = digits[three >> 18];
        base64[1] = digits[three >> 12 & 63];
        base64[2] = digits[three >> 6 & 63];
        base64[3] = digits[three & 63];
    }
}

struct stamp stamp_take(const char *base64)
{
    uint8_t bytes[STAMP_BYTES + 3];
    if (base64_decode(bytes, base64, STAMP_CHARS) != STAMP_BYTES)
        return (struct stamp){0, NO_STAMP};
    return unpack(bytes);
}

/* The stamp that begins at that byte: the groups of four characters that hold it, and nothing else, are decoded. */
static bool stamp_at(char *base64, size_t len, size_t at, void (*fn)(void *arg, struct stamp *stamp), void *arg)
{
    char *first = base64 + at / 3 * 4, text[BASE64_TEXT_SIZE(STAMP_BYTES + 4)];
    size_t chars = ((at + STAMP_BYTES - 1) / 3 + 1) * 4 - at / 3 * 4;
    uint8_t bytes[STAMP_BYTES + 6];
    struct stamp stamp, before;
    ptrdiff_t n;
    if (first + chars > base64 + len || (n = base64_decode(bytes, first, chars)) < 0)
        return false;
    before = stamp = unpack(bytes + at % 3);
    fn(arg, &stamp);
    if (stamp.ns == before.ns && stamp.n == before.n)
        return true;
    pack(bytes + at % 3, stamp);
    memcpy(first, text, base64_encode(text, bytes, (size_t)n));
    return true;
}

static ptrdiff_t each_of_many(char *base64, size_t len, size_t *place, void (*fn)(void *arg, struct stamp *stamp), void *arg)
{
    size_t bytes = base64_decoded_size(base64, len);
    for (size_t at = (FRAME_BYTES - *place) % FRAME_BYTES; at + STAMP_BYTES <= bytes; at += FRAME_BYTES) {
        if (!stamp_at(base64, len, at, fn, arg))
            return -1;
    }
    *place = (*place + bytes) % FRAME_BYTES;
    return bytes > 0 ? (ptrdiff_t)bytes : -1;
}

ptrdiff_t stamp_each(char *base64, size_t len, size_t *place, void (*fn)(void *arg, struct stamp *stamp), void *arg)
{
    struct stamp stamp, before;
    if (len != FRAME_CHARS || *place != 0)
        return each_of_many(base64, len, place, fn, arg);
    before = stamp = stamp_take(base64);
    fn(arg, &stamp);
    if (stamp.ns != before.ns)
        stamp_put(base64, stamp);
    return FRAME_BYTES;
}

void spread_add(struct spread *s, int64_t us)
{
    int64_t step = us < 0 ? 0 : us / SPREAD_STEP_US;
    s->count++;
    s->steps[step < SPREAD_STEPS ? step : SPREAD_STEPS - 1]++;
    if (us > s->max_us)
        s->max_us = us;
}

int64_t spread_at(const struct spread *s, double share)
{
    uint64_t wanted = (uint64_t)((double)s->count * share), seen = 0;
    for (int i = 0; i < SPREAD_STEPS; i++) {
        seen += s->steps[i];
        if (seen > wanted)
            return i * SPREAD_STEP_US;
    }
    return s->max_us;
}
