#include "tests/bench/worker/stamp.h"

#include <string.h>

#include "common/base/base64.h"

enum { STAMP_BYTES = 12, AUDIO_MAX = 49152 };

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

static ptrdiff_t each_of_many(char *base64, size_t len, size_t *place, void (*fn)(void *arg, struct stamp *stamp), void *arg)
{
    uint8_t audio[AUDIO_MAX];
    char text[BASE64_TEXT_SIZE(AUDIO_MAX)];
    ptrdiff_t bytes = len / 4 * 3 <= AUDIO_MAX ? base64_decode(audio, base64, len) : -1;
    for (ptrdiff_t at = (FRAME_BYTES - (ptrdiff_t)*place) % FRAME_BYTES; at + STAMP_BYTES <= bytes; at += FRAME_BYTES) {
        struct stamp stamp = unpack(audio + at);
        fn(arg, &stamp);
        pack(audio + at, stamp);
    }
    if (bytes > 0) {
        memcpy(base64, text, base64_encode(text, audio, (size_t)bytes));
        *place = (*place + (size_t)bytes) % FRAME_BYTES;
    }
    return bytes;
}

ptrdiff_t stamp_each(char *base64, size_t len, size_t *place, void (*fn)(void *arg, struct stamp *stamp), void *arg)
{
    struct stamp stamp;
    if (len != FRAME_CHARS || *place != 0)
        return each_of_many(base64, len, place, fn, arg);
    stamp = stamp_take(base64);
    fn(arg, &stamp);
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
