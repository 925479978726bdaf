/* WebSocket frames (RFC 6455): bytes in, frames out. No socket, no clock, no allocation.
 *
 * Our own framer and not a library's because it is on the per-frame path: frames are unmasked in
 * place and handed over as a view, and an idle connection holds no buffer at all. */
#pragma once
#include "common/base/base.h"

enum ws_opcode { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

/* RFC 6455 section 7.4.1 */
enum ws_close_code {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_UNSUPPORTED = 1003,
    WS_CLOSE_NO_STATUS = 1005, /* never on the wire: the peer gave none */
    WS_CLOSE_ABNORMAL = 1006,  /* never on the wire: the connection just went */
    WS_CLOSE_BAD_UTF8 = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_INTERNAL = 1011,
};

enum { WS_HEAD_MAX = 14, WS_CONTROL_MAX = 125 };

struct ws_frame {
    enum ws_opcode opcode;
    bool fin;
    uint8_t *data; /* unmasked, inside the caller's buffer, until the buffer changes */
    size_t len;
};

enum ws_result { WS_NEED_MORE, WS_FRAME, WS_BAD };

/* Zero it, then set the two public members. */
struct ws_decoder {
    size_t max_payload; /* of one frame, and of one message over its fragments */
    bool masked;        /* what we require: true for a server (RFC 6455 5.1) */
    bool _in_message;
    size_t _message_len;
};

/* Takes one whole frame from the start of buf[0..len). WS_FRAME: *taken bytes are used up and
 * *frame is set. WS_NEED_MORE: nothing is taken; call again with more. WS_BAD: the connection must
 * be closed with *close_code. Fragments are checked here and joined by the caller. */
enum ws_result ws_decode(struct ws_decoder *d, uint8_t *buf, size_t len, size_t *taken, struct ws_frame *frame,
                         uint16_t *close_code);

/* Writes a head for a final frame of len bytes and returns its size; mask is NULL for a server. */
size_t ws_encode_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, size_t len, const uint8_t mask[4]);

/* Applies a mask in place; its own inverse. */
void ws_mask(uint8_t *data, size_t len, const uint8_t mask[4]);

/* Whether the bytes are UTF-8 (RFC 3629: no surrogates, nothing overlong, nothing past 10FFFF). */
bool ws_utf8_valid(const uint8_t *data, size_t len);
