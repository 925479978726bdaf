/* The least a media bridge can do: takes the audio out of one JSON message and puts it into another, both
 * ways, by position, without looking at anything else. No validation, no call, no journal: the floor that
 * the worker's cost is compared with.
 *
 *   bench_floor PORT AI_PORT MARK_EVERY_MS [TRUSTED]
 *
 * Listens on PORT; opens one AI session a call on AI_PORT, with TLS if there is a file of trusted
 * certificates. A mark follows every MARK_EVERY_MS of audio; 0: none. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/worker/link.h"

enum { SID_SIZE = 80, BYTES_PER_MS = 8 };

struct call {
    struct link *stream, *ai;
    bool ready;
    char stream_sid[SID_SIZE];
    size_t sid_len;
    unsigned sent, marked; /* bytes of audio */
};

static struct link_loop loop;
static int ai_port;
static unsigned mark_every;

static char *put(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

#define PUT(at, text) put(at, text, sizeof text - 1)

/* The text between a key and the next quote. NULL if the key is not there. */
static char *value_of(char *text, size_t len, const char *key, size_t *value_len)
{
    char *at = memmem(text, len, key, strlen(key)), *end;
    if (!at)
        return NULL;
    at += strlen(key);
    end = memchr(at, '"', len - (size_t)(at - text));
    *value_len = end ? (size_t)(end - at) : 0;
    return end ? at : NULL;
}

static void over(struct call *c)
{
    link_close(c->stream);
    link_close(c->ai);
    free(c);
}

static void put_mark(struct call *c)
{
    char *room = link_room(c->stream);
    c->marked = c->sent;
    link_put(c->stream, (size_t)sprintf(room, "{\"event\":\"mark\",\"streamSid\":\"%s\",\"mark\":{\"name\":\"%u\"}}",
                                        c->stream_sid, c->sent));
}

static void on_ai_text(struct link *l, char *text, size_t len, void *arg)
{
    struct call *c = arg;
    size_t audio_len;
    char *audio, *room, *at;
    static const char delta[] = "{\"type\":\"response.output_audio.delta\"";
    (void)l;
    if (len < sizeof delta || memcmp(text, delta, sizeof delta - 1) != 0)
        return;
    audio = value_of(text + sizeof delta, len - sizeof delta, "\"delta\":\"", &audio_len);
    if (!audio)
        return;
    room = at = link_room(c->stream);
    at = PUT(at, "{\"event\":\"media\",\"streamSid\":\"");
    at = put(at, c->stream_sid, c->sid_len);
    at = PUT(at, "\",\"media\":{\"payload\":\"");
    at = put(at, audio, audio_len);
    at = PUT(at, "\"}}");
    link_put(c->stream, (size_t)(at - room));
    link_flush(c->stream);
    c->sent += (unsigned)audio_len / 4 * 3;
    if (mark_every && c->sent - c->marked >= mark_every) {
        put_mark(c);
        link_flush(c->stream);
    }
}

static void on_ai_open(struct link *l, void *arg)
{
    struct call *c = arg;
    (void)l;
    c->ready = true;
}

static void on_ai_closed(struct link *l, const char *why, void *arg)
{
    (void)l;
    (void)why;
    over(arg);
}

static const struct link_events ai_events = {on_ai_open, on_ai_text, on_ai_closed};

static void on_media(struct call *c, char *text, size_t len)
{
    size_t audio_len;
    char *audio = value_of(text, len, "\"payload\":\"", &audio_len), *room, *at;
    if (!audio || !c->ready)
        return;
    room = at = link_room(c->ai);
    at = PUT(at, "{\"type\":\"input_audio_buffer.append\",\"audio\":\"");
    at = put(at, audio, audio_len);
    at = PUT(at, "\"}");
    link_put(c->ai, (size_t)(at - room));
    link_flush(c->ai);
}

static void on_start(struct call *c, char *text, size_t len)
{
    size_t sid_len;
    const char *sid = value_of(text, len, "\"streamSid\":\"", &sid_len);
    c->sid_len = sid && sid_len < SID_SIZE ? sid_len : 0;
    if (c->sid_len > 0)
        memcpy(c->stream_sid, sid, sid_len);
    c->ai = link_dial(&loop, ai_port, "/v1/realtime?model=x", "Authorization: Bearer x\r\n", &ai_events, c);
}

static void on_text(struct link *l, char *text, size_t len, void *arg)
{
    static const char media[] = "{\"event\":\"media\"", start[] = "{\"event\":\"start\"", stop[] = "{\"event\":\"stop\"";
    struct call *c = arg;
    (void)l;
    if (len > sizeof media && memcmp(text, media, sizeof media - 1) == 0)
        on_media(c, text, len);
    else if (len > sizeof start && memcmp(text, start, sizeof start - 1) == 0)
        on_start(c, text, len);
    else if (len > sizeof stop && memcmp(text, stop, sizeof stop - 1) == 0)
        over(c);
}

static void on_open(struct link *l, void *arg)
{
    (void)l;
    (void)arg;
}

static void on_closed(struct link *l, const char *why, void *arg)
{
    (void)l;
    (void)why;
    over(arg);
}

static const struct link_events events = {on_open, on_text, on_closed};

static void on_accept(struct link_loop *where, int fd)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c)
        die("memory");
    c->stream = link_accept(where, fd, &events, c);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        die("usage: bench_floor PORT AI_PORT MARK_EVERY_MS [TRUSTED]");
    signal(SIGPIPE, SIG_IGN);
    ai_port = atoi(argv[2]);
    mark_every = (unsigned)atoi(argv[3]) * BYTES_PER_MS;
    link_loop_init(&loop);
    if (argc > 4)
        link_dial_tls(&loop, argv[4]);
    link_listen(&loop, atoi(argv[1]), on_accept);
    for (;;)
        link_turn(&loop, 1000000000);
}
