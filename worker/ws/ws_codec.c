#include "worker/ws/ws_codec.h"

#include <string.h>

enum { BIT_FIN = 0x80, BITS_RSV = 0x70, BITS_OPCODE = 0x0F, BIT_MASK = 0x80 };

static bool is_control(uint8_t opcode)
{
    return opcode & 8;
}

static bool opcode_known(uint8_t opcode)
{
    return opcode <= WS_BINARY || (opcode >= WS_CLOSE && opcode <= WS_PONG);
}

static uint64_t read_be(const uint8_t *at, int bytes)
{
    uint64_t n = 0;
    while (bytes-- > 0)
        n = n << 8 | *at++;
    return n;
}

/* What can be refused from the first two bytes. 0 if all is well. */
static uint16_t check_head(const struct ws_decoder *d, uint8_t b0, uint8_t b1)
{
    uint8_t opcode = b0 & BITS_OPCODE;
    if ((b0 & BITS_RSV) || !opcode_known(opcode) || d->masked != !!(b1 & BIT_MASK))
        return WS_CLOSE_PROTOCOL;
    if (is_control(opcode))
        return (b0 & BIT_FIN) && (b1 & 0x7F) <= WS_CONTROL_MAX ? 0 : WS_CLOSE_PROTOCOL;
    /* a continuation needs a message under way; a new message needs none */
    return (opcode == WS_CONTINUATION) == d->_in_message ? 0 : WS_CLOSE_PROTOCOL;
}

static enum ws_result refuse(uint16_t *close_code, uint16_t why)
{
    *close_code = why;
    return WS_BAD;
}

enum ws_result ws_decode(struct ws_decoder *d, uint8_t *buf, size_t len, size_t *taken, struct ws_frame *frame,
                         uint16_t *close_code)
{
    uint8_t opcode;
    size_t head = 2, extended;
    uint64_t payload;
    uint16_t bad;
    if (len < 2)
        return WS_NEED_MORE;
    bad = check_head(d, buf[0], buf[1]);
    if (bad)
        return refuse(close_code, bad);

    opcode = buf[0] & BITS_OPCODE;
    payload = buf[1] & 0x7F;
    extended = payload == 126 ? 2 : payload == 127 ? 8 : 0;
    if (len < head + extended)
        return WS_NEED_MORE;
    if (extended)
        payload = read_be(buf + head, (int)extended);
    /* RFC 6455 5.2: the shortest form must be used */
    if ((extended == 2 && payload < 126) || (extended == 8 && payload < 65536))
        return refuse(close_code, WS_CLOSE_PROTOCOL);
    if (payload > d->max_payload || (!is_control(opcode) && payload > d->max_payload - d->_message_len))
        return refuse(close_code, WS_CLOSE_TOO_BIG);
    head += extended + (d->masked ? 4 : 0);
    if (len < head || len - head < payload)
        return WS_NEED_MORE;

    *taken = head + (size_t)payload;
    *frame = (struct ws_frame){(enum ws_opcode)opcode, buf[0] & BIT_FIN, buf + head, (size_t)payload};
    if (d->masked)
        ws_mask(frame->data, frame->len, buf + head - 4);
    if (!is_control(opcode)) {
        d->_in_message = !frame->fin;
        d->_message_len = frame->fin ? 0 : d->_message_len + frame->len;
    }
    return WS_FRAME;
}

size_t ws_encode_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, size_t len, const uint8_t mask[4])
{
    size_t n = 2;
    int bytes = len < 126 ? 0 : len < 65536 ? 2 : 8;
    out[0] = (uint8_t)(BIT_FIN | opcode);
    out[1] = (uint8_t)(bytes == 0 ? len : bytes == 2 ? 126 : 127);
    for (int shift = 8 * (bytes - 1); bytes && shift >= 0; shift -= 8)
        out[n++] = (uint8_t)((uint64_t)len >> shift);
    if (mask) {
        out[1] |= BIT_MASK;
        memcpy(out + n, mask, 4);
        n += 4;
    }
    return n;
}

/* Bytes that are handled at once, by the compiler's vectors: a masked audio message is some 300 bytes, 50 times a
 * second and call, each way. */
typedef uint64_t wide __attribute__((vector_size(32)));

void ws_mask(uint8_t *data, size_t len, const uint8_t mask[4])
{
    uint32_t word;
    uint64_t twice;
    wide masks, some;
    size_t i = 0;
    memcpy(&word, mask, 4);
    twice = (uint64_t)word << 32 | word;
    masks = (wide){twice, twice, twice, twice};
    for (; i + sizeof some <= len; i += sizeof some) {
        memcpy(&some, data + i, sizeof some);
        some ^= masks;
        memcpy(data + i, &some, sizeof some);
    }
    for (; i + sizeof word <= len; i += sizeof word) {
        uint32_t four;
        memcpy(&four, data + i, sizeof four);
        four ^= word;
        memcpy(data + i, &four, sizeof four);
    }
    for (; i < len; i++)
        data[i] ^= mask[i & 3];
}

/* Length of the multi-byte sequence at p (left bytes remain), 0 if it is not UTF-8. Bounds of the
 * second byte per lead: table 3-7 of the Unicode standard. */
static size_t sequence(const uint8_t *p, size_t left)
{
    uint8_t low = 0x80, high = 0xBF;
    size_t n = p[0] >= 0xC2 && p[0] <= 0xDF ? 2 : (p[0] & 0xF0) == 0xE0 ? 3 : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4 : 0;
    if (n == 0 || n > left)
        return 0;
    if (p[0] == 0xE0)
        low = 0xA0;
    else if (p[0] == 0xED)
        high = 0x9F;
    else if (p[0] == 0xF0)
        low = 0x90;
    else if (p[0] == 0xF4)
        high = 0x8F;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    }
    return n;
}

/* How many bytes from the start on are surely ASCII. */
static size_t ascii(const uint8_t *data, size_t len)
{
    size_t i = 0;
    wide some;
    for (; i + sizeof some <= len; i += sizeof some) {
        memcpy(&some, data + i, sizeof some);
        if ((some[0] | some[1] | some[2] | some[3]) & 0x8080808080808080u)
            break;
    }
    for (uint64_t eight; i + sizeof eight <= len; i += sizeof eight) {
        memcpy(&eight, data + i, sizeof eight);
        if (eight & 0x8080808080808080u)
            break;
    }
    while (i < len && data[i] < 0x80)
        i++;
    return i;
}

bool ws_utf8_valid(const uint8_t *data, size_t len)
{
    size_t i = ascii(data, len);
    while (i < len) {
        size_t n = sequence(data + i, len - i);
        if (n == 0)
            return false;
        i += n;
        i += ascii(data + i, len - i);
    }
    return true;
}
