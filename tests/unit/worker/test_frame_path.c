/* Audio passes both ways through the worker's own sockets, codecs and call, and for it nothing is allocated
 * and no lock is taken: not by us, not by a library on our behalf. Memory that grows with every second of a
 * call is what long calls die of, and what loops lock they wait for each other with. */
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

#include "common/base/clock.h"
#include "common/base/log.h"
#include "tests/unit/worker/surroundings.h"
#include "worker/ws_conn.h"

#define SID "CA0123456789abcdef0123456789abcdef"
#define SECRET "a secret"
#define CALLER_SAYS "{\"event\":\"media\",\"sequenceNumber\":\"%d\",\"media\":{\"track\":\"inbound\",\"chunk\":\"%d\"," \
                    "\"timestamp\":\"%d\",\"payload\":\"%s\"},\"streamSid\":\"MZ1\"}"
#define AI_SAYS "{\"type\":\"response.output_audio.delta\",\"event_id\":\"event_%d\",\"response_id\":\"r1\"," \
                "\"item_id\":\"i1\",\"output_index\":0,\"content_index\":0,\"delta\":\"%s\"}"
#define PLAYED "{\"event\":\"mark\",\"sequenceNumber\":\"%d\",\"streamSid\":\"MZ1\",\"mark\":{\"name\":\"0.%d\"}}"

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

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
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

static void say(const struct peer *p, const char *text)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    uint8_t frame[4096];
    size_t len = strlen(text), head = ws_encode_head(frame, WS_TEXT, len, p->masks ? mask : NULL);
    memcpy(frame + head, text, len);
    if (p->masks)
        ws_mask(frame + head, len, mask);
    push(p, frame, head + len);
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

static const struct ws_handler door = {on_request, NULL, NULL, NULL};

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

static void connect_carrier(void)
{
    static const char request[] = "GET /media HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    nonblocking(ends[0]);
    nonblocking(ends[1]);
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
    (void)state;
    log_set_level("error");
    config = (struct worker_config){.stream_secret = secret, .ai_voice = voice, .ai_model = model,
                                    .ai_transcription_model = whisper};
    w = calloc(1, sizeof *w);
    assert_non_null(w);
    assert_int_equal(evthread_use_pthreads(), 0); /* as in the program, where libevent locks what it is not told to leave open */
    w->base = worker_base_new();
    w->config = &config;
    w->keys = (struct key_space){prefix, 1};
    w->provider = provider_named("openai");
    w->id = "test";
    w->places = &places;
    w->deferred_event = event_new(w->base, -1, 0, on_deferred, NULL);
    w->resolver = resolver_new(w->base);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_nothing_allocated_nothing_locked, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
