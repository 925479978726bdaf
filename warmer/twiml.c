#include "warmer/twiml.h"

#include <stdio.h>
#include <string.h>

#include "common/base/token.h"

enum { NUMBER_DIGITS_MAX = 15 /* E.164 */ };

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

static void begin(struct twiml *out)
{
    out->len = 0;
}

/* len stays at TWIML_SIZE once something did not fit; finish() looks at it. */
static void put_bytes(struct twiml *out, const char *bytes, size_t len)
{
    if (len >= TWIML_SIZE - out->len) {
        out->len = TWIML_SIZE;
        return;
    }
    memcpy(out->text + out->len, bytes, len);
    out->len += len;
}

static void put(struct twiml *out, const char *text)
{
    if (out->len < TWIML_SIZE)
        put_bytes(out, text, strlen(text));
}

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&apos;";
    default:
        return NULL;
    }
}

/* How much of it goes into a document as it is. */
static size_t plain_length(const char *text)
{
    size_t len = 0;
    while ((unsigned char)text[len] >= 0x20 && !entity(text[len]))
        len++;
    return len;
}

static void put_escaped(struct twiml *out, const char *text)
{
    while (*text && out->len < TWIML_SIZE) {
        size_t plain = plain_length(text);
        unsigned char c;
        put_bytes(out, text, plain);
        text += plain;
        c = (unsigned char)*text;
        if (!c || out->len == TWIML_SIZE)
            return;
        if (entity(*text))
            put(out, entity(*text));
        else if (c >= 0x20 || c == '\t' || c == '\r' || c == '\n')
            put_bytes(out, text, 1);
        text++;
    }
}

static void finish(struct twiml *out)
{
    if (out->len == TWIML_SIZE) {
        twiml_hang_up(out);
        return;
    }
    out->text[out->len] = '\0';
}

/* Both sides apart, and nothing left out: times in it are those of the call. */
static void put_recording(struct twiml *out, const char *url)
{
    put(out, "<Start><Recording channels=\"dual\" trim=\"do-not-trim\" recordingStatusCallback=\"");
    put_escaped(out, url);
    put(out, "\" recordingStatusCallbackEvent=\"completed absent\"/></Start>");
}

static void put_say(struct twiml *out, const char *words)
{
    if (!*words)
        return; /* the carrier refuses an empty one */
    put(out, "<Say>");
    put_escaped(out, words);
    put(out, "</Say>");
}

static void put_wait(struct twiml *out, struct twiml_wait wait)
{
    char pause[40];
    if (wait.seconds <= 0)
        return;
    put_say(out, wait.words);
    snprintf(pause, sizeof pause, "<Pause length=\"%d\"/>", wait.seconds);
    put(out, pause);
}

void twiml_stream(struct twiml *out, const struct twiml_stream *stream)
{
    begin(out);
    put(out, HEAD "<Response>");
    if (stream->recording_url)
        put_recording(out, stream->recording_url);
    put_wait(out, stream->wait);
    put(out, "<Connect action=\"");
    put_escaped(out, stream->action);
    put(out, "\" method=\"POST\"><Stream url=\"");
    put_escaped(out, stream->media_url);
    put(out, "\" statusCallback=\"");
    put_escaped(out, stream->status_url);
    put(out, "\"><Parameter name=\"" TOKEN_PARAMETER "\" value=\"");
    put_escaped(out, stream->token);
    if (stream->call_sid) {
        put(out, "\"/><Parameter name=\"" CALL_PARAMETER "\" value=\"");
        put_escaped(out, stream->call_sid);
    }
    put(out, "\"/></Stream></Connect></Response>");
    finish(out);
}

void twiml_ask_again(struct twiml *out, struct twiml_wait wait, const char *url)
{
    begin(out);
    put(out, HEAD "<Response>");
    put_wait(out, wait);
    put(out, "<Redirect method=\"POST\">");
    put_escaped(out, url);
    put(out, "</Redirect></Response>");
    finish(out);
}

void twiml_say_and_hang_up(struct twiml *out, const char *words)
{
    begin(out);
    put(out, HEAD "<Response>");
    put_say(out, words);
    put(out, "<Hangup/></Response>");
    finish(out);
}

void twiml_hang_up(struct twiml *out)
{
    begin(out);
    put(out, HEAD "<Response><Hangup/></Response>");
    finish(out);
}

bool twiml_number_good(const char *number)
{
    size_t digits;
    number += *number == '+';
    digits = strspn(number, "0123456789");
    return digits > 0 && digits <= NUMBER_DIGITS_MAX && number[digits] == '\0';
}

void twiml_dial(struct twiml *out, const char *number)
{
    begin(out);
    put(out, HEAD "<Response><Dial><Number>");
    put_escaped(out, number);
    put(out, "</Number></Dial></Response>");
    finish(out);
}

void twiml_empty(struct twiml *out)
{
    begin(out);
    put(out, HEAD "<Response/>");
    finish(out);
}
