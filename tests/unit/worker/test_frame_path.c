/* Audio passes both ways through the worker's own sockets, codecs and call, and for it nothing is allocated
 * and no lock is taken: not by us, not by a library on our behalf. Memory that grows with every second of a
 * call is what long calls die of, and what loops lock they wait for each other with. And what the AI gets is
 * what the carrier sent, byte for byte, however much of it comes at once. */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/thread.h>

#include "common/base/base64.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "tests/unit/worker/surroundings.h"
#include "worker/round.h"
#include "worker/ws/ws_conn.h"

#define SID "CA0123456789abcdef0123456789abcdef"
#define SECRET "a secret"
#define CALLER_SAYS "{\"event\":\"media\",\"sequenceNumber\":\"%d\",\"media\":{\"track\":\"inbound\",\"chunk\":\"%d\"," \
                    "\"timestamp\":\"%d\",\"payload\":\"%s\"},\"streamSid\":\"MZ1\"}"
#define AI_SAYS "{\"type\":\"response.output_audio.delta\",\"event_id\":\"event_%d\",\"response_id\":\"r1\"," \
                "\"item_id\":\"i1\",\"output_index\":0,\"content_index\":0,\"delta\":\"%s\"}"
#define PLAYED "{\"event\":\"mark\",\"sequenceNumber\":\"%d\",\"streamSid\":\"MZ1\",\"mark\":{\"name\":\"0.%d\"}}"

#define STOP "{\"event\":\"stop\",\"sequenceNumber\":\"9\",\"stop\":{\"accountSid\":\"AC0\",\"callSid\":\"" SID "\"}," \
             "\"streamSid\":\"MZ1\"}"

enum { FRAMES = 3000, WARM_UP = 200, PAYLOAD_BYTES = 162, PEER_BYTES = 65536, WAIT_TURNS = 200000 };

/* ---- every allocation of the process is seen here ---- */

static long allocations;

#if defined(__SANITIZE_ADDRESS__)
void __sanitizer_malloc_hook(const volatile void *at, size_t size);
void __sanitizer_malloc_hook(const volatile void *at, size_t size)
{
    (void)at, (void)size;
    allocations++;
}
#else
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *at, size_t size);

static size_t refused; /* malloc of so much and more finds no memory; 0: all do */

void *malloc(size_t size)
{
    allocations++;
    return refused && size >= refused ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *at, size_t size)
{
    allocations++;
    return __libc_realloc(at, size);
}
#endif

/* ---- and every lock ---- */

static long locks;

/* The library's own, behind ours. */
static void *behind(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    assert_non_null(found);
    return found;
}

#define SEEN(name, type)                                                         \
    int name(type *lock)                                                         \
    {                                                                            \
        static int (*real)(type *lock);                                          \
        if (!real)                                                               \
            real = (int (*)(type *))(uintptr_t)behind(#name);                    \
        locks++;                                                                 \
        return real(lock);                                                       \
    }

SEEN(pthread_mutex_lock, pthread_mutex_t)
SEEN(pthread_mutex_trylock, pthread_mutex_t)
SEEN(pthread_rwlock_rdlock, pthread_rwlock_t)
SEEN(pthread_rwlock_wrlock, pthread_rwlock_t)

/* ---- time passes with the frames ---- */

static int64_t now_ms = 1000;
int64_t __wrap_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void)
{
    return now_ms;
}

/* ---- the two ends, which the test holds ---- */

struct peer {
    int fd;
    bool masks;
    uint8_t buf[PEER_BYTES];
    size_t len;
};

static struct worker *w;
static struct call *call;
static struct peer carrier, ai;
static int listener;

static void nonblocking(int fd)
{
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static void turn(void)
{
    event_base_loop(w->base, EVLOOP_NONBLOCK);
}

static void pull(struct peer *p)
{
    ssize_t n = read(p->fd, p->buf + p->len, sizeof p->buf - p->len);
    if (n > 0)
        p->len += (size_t)n;
}

static void drop(struct peer *p, size_t n)
{
    p->len -= n;
    memmove(p->buf, p->buf + n, p->len);
}

static void push(const struct peer *p, const void *bytes, size_t len)
{
    assert_int_equal(write(p->fd, bytes, len), (ssize_t)len);
}

/* A frame of that text, as this peer sends it. */
static size_t frame_of(uint8_t *out, const struct peer *p, const char *text)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    size_t len = strlen(text), head = ws_encode_head(out, WS_TEXT, len, p->masks ? mask : NULL);
    memcpy(out + head, text, len);
    if (p->masks)
        ws_mask(out + head, len, mask);
    return head + len;
}

static void say(const struct peer *p, const char *text)
{
    uint8_t bytes[4096];
    push(p, bytes, frame_of(bytes, p, text));
}

/* The next message, or "" if there is none. */
static const char *hear(struct peer *p)
{
    static char text[PEER_BYTES];
    struct ws_decoder decoder = {.max_payload = sizeof text - 1, .masked = !p->masks};
    struct ws_frame frame;
    uint16_t code;
    size_t taken;
    enum ws_result result;
    text[0] = '\0';
    pull(p);
    result = ws_decode(&decoder, p->buf, p->len, &taken, &frame, &code);
    assert_int_not_equal(result, WS_BAD);
    if (result == WS_FRAME) {
        memcpy(text, frame.data, frame.len);
        text[frame.len] = '\0';
        drop(p, taken);
    }
    return text;
}

/* The head of HTTP that a peer sent. */
static void await_head(struct peer *p)
{
    for (int i = 0; i < WAIT_TURNS && !memmem(p->buf, p->len, "\r\n\r\n", 4); i++) {
        turn();
        pull(p);
    }
    assert_non_null(memmem(p->buf, p->len, "\r\n\r\n", 4));
}

static void await_text(struct peer *p, const char *part)
{
    for (int i = 0; i < WAIT_TURNS; i++) {
        turn();
        if (strstr(hear(p), part))
            return;
    }
    fail_msg("\"%s\" has not come", part);
}

/* ---- a call that talks ---- */

static int on_request(struct ws_conn *ws, const struct ws_request *request, void *arg)
{
    (void)request, (void)arg;
    call = call_new(w, carriers[0], ws);
    assert_non_null(call);
    return 0;
}

static const struct ws_handler door = {on_request, NULL, NULL, NULL, NULL};

static void redis_answers(int type)
{
    ticket_fn *fn = around.asked.fn;
    assert_non_null(fn);
    around.asked.fn = NULL;
    fn(around.asked.owner, &(redisReply){.type = type});
}

static void listen_as_ai(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    w->ai = (struct ai_target){.host = "127.0.0.1", .port = ntohs(at.sin_port), .path = "/v1/realtime"};
}

/* A connection over the loopback. */
static void connect_two(int ends[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int door_fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(door_fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(door_fd, 1), 0);
    assert_int_equal(getsockname(door_fd, (struct sockaddr *)&at, &len), 0);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(ends[0], (struct sockaddr *)&at, len), 0);
    ends[1] = accept(door_fd, NULL, NULL);
    close(door_fd);
    nonblocking(ends[0]);
    nonblocking(ends[1]);
}

static void connect_carrier(void)
{
    static const char request[] = "GET /media HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    int ends[2];
    connect_two(ends);
    carrier = (struct peer){.fd = ends[0], .masks = true};
    assert_non_null(ws_accept(w, ends[1], 65536, &door, NULL));
    push(&carrier, request, sizeof request - 1);
    await_head(&carrier);
    carrier.len = 0;
}

static void accept_ai(void)
{
    char head[512];
    struct ws_request request;
    size_t taken;
    turn(); /* dials */
    ai = (struct peer){.fd = accept(listener, NULL, NULL)};
    nonblocking(ai.fd);
    await_head(&ai);
    assert_int_equal(ws_request_parse((char *)ai.buf, ai.len, &taken, &request), WS_HTTP_DONE);
    drop(&ai, taken);
    push(&ai, head, ws_response_switch(head, sizeof head, request.key));
    await_text(&ai, "session.update");
    say(&ai, "{\"type\":\"session.updated\",\"session\":{\"audio\":{\"input\":{\"format\":{\"type\":\"audio/pcmu\"}},"
             "\"output\":{\"format\":{\"type\":\"audio/pcmu\"}}}}}");
    await_text(&ai, "response.create");
}

static void begin_call(void)
{
    char text[1024], token[TOKEN_SIZE];
    connect_carrier();
    token_mint(token, SECRET, SID, 0, clock_wall_ms() + 60000);
    snprintf(text, sizeof text,
             "{\"event\":\"start\",\"sequenceNumber\":\"1\",\"start\":{\"streamSid\":\"MZ1\",\"callSid\":\"" SID "\","
             "\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000,\"channels\":1},"
             "\"customParameters\":{\"token\":\"%s\"}},\"streamSid\":\"MZ1\"}", token);
    say(&carrier, text);
    for (int i = 0; i < WAIT_TURNS && !around.asked.fn; i++)
        turn();
    redis_answers(REDIS_REPLY_ARRAY);
    accept_ai();
    say(&ai, "{\"type\":\"response.created\",\"response\":{\"id\":\"r1\"}}");
    assert_int_equal(call->state, CALL_TALKING);
}

/* ---- audio ---- */

static void frame(int n)
{
    char text[1024], payload[PAYLOAD_BYTES / 3 * 4 + 1];
    now_ms += 20;
    memset(payload, 'a' + n % 26, sizeof payload - 1);
    payload[sizeof payload - 1] = '\0';
    snprintf(text, sizeof text, CALLER_SAYS, 2 * n, n, 20 * n, payload);
    say(&carrier, text);
    await_text(&ai, payload);
    snprintf(text, sizeof text, AI_SAYS, n, payload);
    say(&ai, text);
    await_text(&carrier, payload);
    turn();
    if (!strstr(hear(&carrier), "\"mark\""))
        return;
    snprintf(text, sizeof text, PLAYED, 2 * n + 1, n * PAYLOAD_BYTES);
    say(&carrier, text);
    turn();
}

/* ---- the caller's audio as bytes ---- */

static struct {
    uint8_t said[1 << 21], got[1 << 21];
    size_t said_len, got_len;
    uint8_t wire[1 << 17]; /* of what is said, what has not left yet */
    size_t wire_len;
    int frames, appends;
    size_t timestamp; /* in bytes of audio */
} line;

/* The wire's next frame, with audio that no other has. */
static void speak(size_t bytes)
{
    static char payload[BASE64_TEXT_SIZE(8192)], text[sizeof payload + 512];
    uint8_t *audio = line.said + line.said_len;
    for (size_t i = 0; i < bytes; i++)
        audio[i] = (uint8_t)rand();
    base64_encode(payload, audio, bytes);
    line.frames++;
    snprintf(text, sizeof text, CALLER_SAYS, 2 * line.frames, line.frames, (int)(line.timestamp / 8), payload);
    line.said_len += bytes;
    line.timestamp += bytes;
    now_ms += (int64_t)bytes / 8 + 1;
    line.wire_len += frame_of(line.wire + line.wire_len, &carrier, text);
}

/* A call in which only the caller speaks. */
static void begin_quiet_call(void)
{
    begin_call();
    say(&ai, "{\"type\":\"response.done\",\"response\":{\"id\":\"r1\",\"status\":\"completed\"}}");
    for (int i = 0; i < WAIT_TURNS && call->answer.under_way; i++)
        turn();
}

static void send_wire(size_t len)
{
    push(&carrier, line.wire, len);
    line.wire_len -= len;
    memmove(line.wire, line.wire + len, line.wire_len);
}

static void listen_in(void)
{
    static const char append[] = "{\"type\":\"input_audio_buffer.append\",\"audio\":\"";
    const char *text;
    turn();
    while (*(text = hear(&ai))) {
        const char *audio = text + sizeof append - 1;
        ptrdiff_t n;
        assert_memory_equal(text, append, sizeof append - 1);
        n = base64_decode(line.got + line.got_len, audio, strcspn(audio, "\""));
        assert_true(n > 0);
        line.got_len += (size_t)n;
        line.appends++;
    }
}

static void await_all(void)
{
    for (int i = 0; i < WAIT_TURNS && line.got_len < line.said_len; i++)
        listen_in();
    assert_int_equal(line.got_len, line.said_len);
    assert_memory_equal(line.got, line.said, line.said_len);
}

static void speak_now(size_t bytes)
{
    speak(bytes);
    send_wire(line.wire_len);
    for (int i = 0; i < 20; i++) /* whoever does not wait for more takes it in one of these */
        listen_in();
}

static void on_deferred(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    worker_run_deferred(w);
}

static int setup(void **state)
{
    static char secret[] = SECRET, voice[] = "marin", model[] = "gpt-realtime", whisper[] = "whisper-1";
    static char prefix[] = "rf";
    static struct worker_config config;
    static struct places places = {.max = 1};
    size_t spare = 1;
    uint8_t *buffer;
    (void)state;
    log_set_level("error");
    memset(&line, 0, sizeof line);
    call = NULL;
    config = (struct worker_config){.stream_secret = secret, .ai_voice = voice, .ai_model = model,
                                    .ai_transcription_model = whisper};
    w = calloc(1, sizeof *w);
    assert_non_null(w);
    assert_int_equal(evthread_use_pthreads(), 0); /* as in the program, where libevent locks what it is not told to leave open */
    w->base = round_base_new();
    w->config = &config;
    w->keys = (struct key_space){prefix, 1};
    w->provider = provider_named("openai");
    w->id = "test";
    w->places = &places;
    w->deferred_event = event_new(w->base, -1, 0, on_deferred, NULL);
    w->resolver = resolver_new(w->base);
    buffer = worker_take_buffer(w, &spare); /* it is there after the first frame that comes in parts */
    worker_give_buffer(w, buffer, spare);
    around.answered_by = "";
    around.history = "I was just saying"; /* no greeting: the call talks at once */
    listen_as_ai();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (call && call->state != CALL_GONE)
        call_drop(call);
    resolver_free(w->resolver);
    worker_release(w);
    close(carrier.fd);
    close(ai.fd);
    close(listener);
    free(w);
    return 0;
}

static void test_nothing_allocated_nothing_locked(void **state)
{
    long before, locks_before;
    (void)state;
    begin_call();
    for (int n = 1; n <= WARM_UP; n++)
        frame(n);
    before = allocations;
    locks_before = locks;
    assert_true(before > 0 && locks > 0); /* they are seen */
    for (int n = WARM_UP + 1; n <= WARM_UP + FRAMES; n++)
        frame(n);
    assert_int_equal(allocations - before, 0);
    assert_int_equal(locks - locks_before, 0);
    assert_int_equal(metric_get(&w->metrics.frames_in), WARM_UP + FRAMES);
    assert_int_equal(metric_get(&w->metrics.frames_out), WARM_UP + FRAMES);
}

/* Frames that have come together go on together, and nobody waits for one that has not. */
static void test_one_message_of_one_read(void **state)
{
    (void)state;
    begin_quiet_call();
    speak_now(160);
    await_all();
    assert_int_equal(line.appends, 1);
    for (int i = 0; i < 5; i++)
        speak(160);
    send_wire(line.wire_len);
    await_all();
    assert_int_equal(line.appends, 2);
    assert_int_equal(metric_get(&w->metrics.frames_merged), 4);
}

/* A loop that is pressed takes two at a time; one that is not any more takes each as it comes. */
static void test_two_at_a_time(void **state)
{
    (void)state;
    begin_quiet_call();
    w->pressed = true;
    speak_now(160); /* nobody knew yet */
    await_all();
    for (int i = 1; i <= 10; i++) {
        speak_now(160);
        speak_now(160);
        await_all();
        assert_int_equal(line.appends, 1 + i);
    }
    w->pressed = false;
    speak_now(160);
    speak_now(160);
    await_all();
    speak_now(160);
    await_all();
}

/* When two calls begin to be taken so, the second does it a frame later: not all come in the same 20 ms. */
static void test_every_other_call_a_frame_later(void **state)
{
    (void)state;
    begin_quiet_call();
    w->pressed = true;
    w->pairing = 1; /* another call has begun */
    for (int i = 1; i <= 2; i++) {
        speak_now(160);
        await_all();
        assert_int_equal(line.appends, i);
    }
    for (int i = 1; i <= 5; i++) {
        speak_now(160);
        assert_int_equal(line.appends, 1 + i);
        speak_now(160);
        await_all();
        assert_int_equal(line.appends, 2 + i);
    }
}

/* The second one does not come: the first is not left alone, nor is the carrier's last word. */
static void test_the_last_frame(void **state)
{
    (void)state;
    begin_quiet_call();
    w->pressed = true;
    speak_now(160);
    await_all();
    speak_now(160);
    assert_int_equal(line.appends, 1);
    now_ms += 1000;
    call_tick(call);
    await_all();
    say(&carrier, STOP);
    now_ms += 1000;
    call_tick(call);
    for (int i = 0; i < WAIT_TURNS && call->state != CALL_ENDING; i++)
        turn();
    assert_int_equal(call->state, CALL_ENDING);
}

/* A carrier that hangs up says so and closes at once: what it sent before, in the same read, is not left behind in a
 * buffer that others use. */
static void test_the_last_frame_of_a_read(void **state)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    uint8_t code[2] = {1000 >> 8, 1000 & 0xFF};
    (void)state;
    begin_quiet_call();
    say(&ai, "{\"type\":\"input_audio_buffer.speech_started\",\"item_id\":\"u1\"}");
    say(&ai, "{\"type\":\"input_audio_buffer.speech_stopped\",\"item_id\":\"u1\"}");
    for (int i = 0; i < WAIT_TURNS && call->turns.count == 0; i++)
        turn();
    turn();
    speak(160);
    line.wire_len += frame_of(line.wire + line.wire_len, &carrier, STOP);
    line.wire_len += ws_encode_head(line.wire + line.wire_len, WS_CLOSE, sizeof code, mask);
    ws_mask(code, sizeof code, mask);
    memcpy(line.wire + line.wire_len, code, sizeof code);
    line.wire_len += sizeof code;
    send_wire(line.wire_len);
    for (int i = 0; i < WAIT_TURNS && call->stream; i++)
        turn();
    assert_int_equal(call->state, CALL_LISTENING);
    assert_null(w->gathered.call);
    await_all();
}

/* Small messages are gathered, large ones leave at once: they come in the order in which they were sent. */
static void test_large_messages_do_not_overtake(void **state)
{
    static const size_t sizes[] = {160, 160, 30000, 160, 9000, 160};
    static char payload[BASE64_TEXT_SIZE(30000)], text[sizeof payload + 512];
    static uint8_t wire[PEER_BYTES];
    size_t len = 0, heard = 0, all = 0;
    const char *said;
    (void)state;
    begin_call();
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        memset(payload, 'a' + (int)i, sizes[i] / 3 * 4);
        payload[sizes[i] / 3 * 4] = '\0';
        snprintf(text, sizeof text, AI_SAYS, (int)i, payload);
        len += frame_of(wire + len, &ai, text);
        all += sizes[i] / 3 * 4;
    }
    push(&ai, wire, len);
    for (int i = 0; i < WAIT_TURNS && heard < all; i++) {
        turn();
        while (*(said = hear(&carrier))) {
            const char *audio = strstr(said, "\"payload\":\"");
            for (audio = audio ? audio + 11 : ""; *audio && *audio != '"'; audio++, heard++) {
                size_t at = 0, message = 0;
                while (heard >= at + sizes[message] / 3 * 4)
                    at += sizes[message++] / 3 * 4;
                assert_int_equal(*audio, 'a' + (int)message);
            }
        }
    }
    assert_int_equal(heard, all);
}

/* The peer's last frame and its end come at once: the kernel tells of both in one word, and nothing follows. */
static void test_an_end_right_behind_a_frame(void **state)
{
    (void)state;
    begin_quiet_call();
    speak(160);
    send_wire(line.wire_len);
    assert_int_equal(shutdown(carrier.fd, SHUT_WR), 0);
    for (int i = 0; i < WAIT_TURNS && call->stream; i++)
        turn();
    assert_null(call->stream);
    assert_int_equal(metric_get(&w->metrics.frames_in), 1);
}

#if !defined(__SANITIZE_ADDRESS__)
/* Who sends is in the middle of something: that the AI is lost is told from the loop, not from inside. */
static void test_no_memory_for_a_large_message(void **state)
{
    static char text[WORKER_WRITE_BYTES + 1];
    (void)state;
    begin_quiet_call();
    memset(text, ' ', sizeof text);
    refused = sizeof text;
    ws_send_text(call->ai, text, sizeof text);
    refused = 0;
    assert_int_not_equal(call->state, CALL_DIALLING);
    for (int i = 0; i < WAIT_TURNS && call->state != CALL_DIALLING; i++)
        turn();
    assert_int_equal(call->state, CALL_DIALLING); /* another session */
}
#endif

/* Whatever sizes, however cut, however fast, pressed or not. */
static void test_the_ai_gets_what_the_carrier_sent(void **state)
{
    static const size_t sizes[] = {160, 160, 160, 160, 80, 240, 320, 1, 7, 800, 4095, 4096, 4097, 5000};
    (void)state;
    srand(7);
    begin_quiet_call();
    for (int round = 0; round < 300; round++) {
        w->pressed = rand() % 3 != 0;
        for (int i = rand() % 12; i >= 0; i--)
            speak(round % 2 ? 160 : sizes[rand() % (int)ARRAY_LEN(sizes)]);
        while (line.wire_len > 0) {
            size_t cut = (size_t)rand() % 1500 + 1;
            send_wire(cut < line.wire_len ? cut : line.wire_len);
            listen_in();
        }
    }
    now_ms += 1000;
    call_tick(call);
    await_all();
    assert_in_range(line.appends, line.frames / 6, line.frames - 1);
    assert_int_equal(metric_get(&w->metrics.frames_in), line.frames);
    assert_int_equal(metric_get(&w->metrics.frames_merged), line.frames - line.appends);
    assert_int_equal(metric_get(&w->metrics.silence_filled), 0);
}

static void test_no_allocation_in_pairs(void **state)
{
    long before;
    (void)state;
    begin_quiet_call();
    w->pressed = true;
    for (int n = 0; n < WARM_UP; n++)
        speak_now(160);
    before = allocations;
    for (int n = 0; n < FRAMES; n++)
        speak_now(160);
    speak_now(160); /* the second of the last pair */
    await_all();
    assert_int_equal(allocations - before, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_allocated_nothing_locked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_allocation_in_pairs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_message_of_one_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_other_call_a_frame_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_last_frame, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_last_frame_of_a_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_messages_do_not_overtake, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_end_right_behind_a_frame, setup, teardown),
#if !defined(__SANITIZE_ADDRESS__)
        cmocka_unit_test_setup_teardown(test_no_memory_for_a_large_message, setup, teardown),
#endif
        cmocka_unit_test_setup_teardown(test_the_ai_gets_what_the_carrier_sent, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
