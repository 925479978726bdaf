#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include <wslay/wslay.h>

#include "worker/ws/ws_codec.h"

enum { BIG = 1 << 20 };
static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

/* A buffer of exactly len bytes, so that a read past it is seen by the sanitizer. */
static uint8_t *exact(const void *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    return copy;
}

static size_t frame_of(uint8_t *out, enum ws_opcode opcode, const void *payload, size_t len, bool masked)
{
    size_t head = ws_encode_head(out, opcode, len, masked ? mask : NULL);
    memcpy(out + head, payload, len);
    if (masked)
        ws_mask(out + head, len, mask);
    return head + len;
}

static void test_every_cut(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 300, 65535, 65536, 70000};
    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        uint8_t *payload = malloc(sizes[s] + 1), *wire = malloc(sizes[s] + WS_HEAD_MAX);
        size_t total, step = sizes[s] > 1000 ? 997 : 1;
        for (size_t i = 0; i < sizes[s]; i++)
            payload[i] = (uint8_t)(i * 7 + 1);
        for (int masked = 0; masked < 2; masked++) {
            struct ws_frame f;
            uint16_t code;
            size_t taken = 0;
            total = frame_of(wire, WS_TEXT, payload, sizes[s], masked);
            for (size_t cut = 0; cut < total; cut += cut < 20 ? 1 : step) {
                struct ws_decoder d = {.max_payload = BIG, .masked = masked};
                uint8_t *part = exact(wire, cut);
                assert_int_equal(ws_decode(&d, part, cut, &taken, &f, &code), WS_NEED_MORE);
                assert_memory_equal(part, wire, cut); /* nothing was taken or unmasked */
                free(part);
            }
            struct ws_decoder d = {.max_payload = BIG, .masked = masked};
            assert_int_equal(ws_decode(&d, wire, total, &taken, &f, &code), WS_FRAME);
            assert_int_equal(taken, total);
            assert_int_equal(f.len, sizes[s]);
            assert_true(f.fin && f.opcode == WS_TEXT);
            assert_memory_equal(f.data, payload, sizes[s]);
        }
        free(payload);
        free(wire);
    }
}

static void expect_bad(const uint8_t *bytes, size_t len, bool masked, size_t max, uint16_t wanted)
{
    struct ws_decoder d = {.max_payload = max, .masked = masked};
    struct ws_frame f;
    size_t taken;
    uint16_t code = 0;
    uint8_t *buf = exact(bytes, len);
    assert_int_equal(ws_decode(&d, buf, len, &taken, &f, &code), WS_BAD);
    assert_int_equal(code, wanted);
    free(buf);
}

static void test_refused(void **state)
{
    (void)state;
    expect_bad((const uint8_t[]){0xC1, 0x00}, 2, false, BIG, WS_CLOSE_PROTOCOL);             /* RSV1 */
    expect_bad((const uint8_t[]){0x83, 0x00}, 2, false, BIG, WS_CLOSE_PROTOCOL);             /* opcode 3 */
    expect_bad((const uint8_t[]){0x8B, 0x00}, 2, false, BIG, WS_CLOSE_PROTOCOL);             /* opcode 11 */
    expect_bad((const uint8_t[]){0x81, 0x80}, 2, false, BIG, WS_CLOSE_PROTOCOL);             /* masked by a server */
    expect_bad((const uint8_t[]){0x81, 0x00}, 2, true, BIG, WS_CLOSE_PROTOCOL);              /* not masked by a client */
    expect_bad((const uint8_t[]){0x80, 0x00}, 2, false, BIG, WS_CLOSE_PROTOCOL);             /* continuation of nothing */
    expect_bad((const uint8_t[]){0x09, 0x00}, 2, false, BIG, WS_CLOSE_PROTOCOL);             /* fragmented ping */
    expect_bad((const uint8_t[]){0x89, 0x7E, 0, 126}, 4, false, BIG, WS_CLOSE_PROTOCOL);     /* long ping */
    expect_bad((const uint8_t[]){0x81, 0x7E, 0, 5}, 4, false, BIG, WS_CLOSE_PROTOCOL);       /* not the shortest form */
    expect_bad((const uint8_t[]){0x81, 0x7F, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}, 10, false, BIG, WS_CLOSE_PROTOCOL);
    expect_bad((const uint8_t[]){0x81, 0x7F, 0xFF, 0, 0, 0, 0, 0, 0, 0}, 10, false, BIG, WS_CLOSE_TOO_BIG);
    expect_bad((const uint8_t[]){0x81, 11}, 2, false, 10, WS_CLOSE_TOO_BIG);
}

/* Fragments, with a ping between them, and a message that grows past the limit by pieces. */
static void test_fragments(void **state)
{
    uint8_t wire[64];
    struct ws_decoder d = {.max_payload = 5};
    struct ws_frame f;
    size_t taken;
    uint16_t code;
    (void)state;
    memcpy(wire, "\x01\x03" "abc" "\x89\x01" "p" "\x80\x02" "de", 12);
    assert_int_equal(ws_decode(&d, wire, 12, &taken, &f, &code), WS_FRAME);
    assert_true(f.opcode == WS_TEXT && !f.fin && f.len == 3);
    assert_int_equal(ws_decode(&d, wire + 5, 7, &taken, &f, &code), WS_FRAME);
    assert_true(f.opcode == WS_PING && f.len == 1);
    assert_int_equal(ws_decode(&d, wire + 8, 4, &taken, &f, &code), WS_FRAME);
    assert_true(f.opcode == WS_CONTINUATION && f.fin && memcmp(f.data, "de", 2) == 0);

    memcpy(wire, "\x01\x03" "abc" "\x80\x03" "def", 10);
    assert_int_equal(ws_decode(&d, wire, 10, &taken, &f, &code), WS_FRAME);
    assert_int_equal(ws_decode(&d, wire + 5, 5, &taken, &f, &code), WS_BAD);
    assert_int_equal(code, WS_CLOSE_TOO_BIG);

    struct ws_decoder e = {.max_payload = 50};
    memcpy(wire, "\x01\x01" "a" "\x81\x01" "b", 6); /* a new message inside a message */
    assert_int_equal(ws_decode(&e, wire, 6, &taken, &f, &code), WS_FRAME);
    assert_int_equal(ws_decode(&e, wire + 3, 3, &taken, &f, &code), WS_BAD);
}

/* What a widely used framer writes, ours reads, and the other way round. */
struct pipe {
    uint8_t bytes[200000];
    size_t len, at;
};

static ssize_t pipe_send(const uint8_t *data, size_t len, int flags, void *arg)
{
    struct pipe *p = arg;
    (void)flags;
    memcpy(p->bytes + p->len, data, len);
    p->len += len;
    return (ssize_t)len;
}

static ssize_t pipe_recv(uint8_t *data, size_t len, int flags, void *arg)
{
    struct pipe *p = arg;
    size_t n = p->len - p->at < len ? p->len - p->at : len;
    (void)flags;
    memcpy(data, p->bytes + p->at, n);
    p->at += n;
    return n ? (ssize_t)n : -1;
}

static int pipe_mask(uint8_t *buf, size_t len, void *arg)
{
    (void)arg;
    memcpy(buf, mask, len);
    return 0;
}

static void test_agrees_with_wslay(void **state)
{
    static const struct wslay_frame_callbacks callbacks = {pipe_send, pipe_recv, pipe_mask};
    static const size_t sizes[] = {0, 3, 125, 126, 4000, 65535, 65536, 100000};
    struct pipe *p = calloc(1, sizeof *p);
    uint8_t *payload = malloc(100000);
    (void)state;
    for (size_t i = 0; i < 100000; i++)
        payload[i] = (uint8_t)(i ^ i >> 8);
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        wslay_frame_context_ptr ctx;
        struct wslay_frame_iocb io = {.fin = 1, .opcode = WS_TEXT, .mask = 1, .payload_length = sizes[s],
                                      .data = payload, .data_length = sizes[s]};
        struct ws_decoder d = {.max_payload = BIG, .masked = true};
        struct ws_frame f;
        size_t taken, got = 0;
        uint16_t code;
        ssize_t n;
        p->len = p->at = 0;
        wslay_frame_context_init(&ctx, &callbacks, p);
        assert_int_equal(wslay_frame_send(ctx, &io), (ssize_t)sizes[s]);
        assert_int_equal(ws_decode(&d, p->bytes, p->len, &taken, &f, &code), WS_FRAME);
        assert_int_equal(taken, p->len);
        assert_memory_equal(f.data, payload, sizes[s]);

        p->at = 0;
        p->len = frame_of(p->bytes, WS_TEXT, payload, sizes[s], true);
        do {
            memset(&io, 0, sizeof io);
            n = wslay_frame_recv(ctx, &io);
            if (n > 0)
                assert_memory_equal(io.data, payload + got, (size_t)n);
            got += n > 0 ? (size_t)n : 0;
        } while (n > 0 && got < sizes[s]);
        assert_int_equal(got, sizes[s]);
        assert_int_equal(io.opcode, WS_TEXT);
        wslay_frame_context_free(ctx);
    }
    free(payload);
    free(p);
}

static void test_utf8(void **state)
{
    static const char *const good[] = {"", "plain ascii, long enough for words", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80",
                                       "\xED\x9F\xBF", "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF",
                                       "12345678\xD7\x93\xD7\xA0\xD7\x94 and on"};
    static const char *const wrong[] = {"\x80", "\xC0\x80", "\xC1\xBF", "\xC2", "\xE0\x9F\xBF", "\xED\xA0\x80",
                                        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF",
                                        "12345678\xE2\x82", "1234567\xC3(rest of it", "\xE2\x28\xA1"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        uint8_t *copy = exact(good[i], strlen(good[i]));
        assert_true(ws_utf8_valid(copy, strlen(good[i])));
        free(copy);
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        uint8_t *copy = exact(wrong[i], strlen(wrong[i]));
        assert_false(ws_utf8_valid(copy, strlen(wrong[i])));
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cut),         cmocka_unit_test(test_refused), cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_agrees_with_wslay), cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
