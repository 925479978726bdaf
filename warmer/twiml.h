/* The carrier's XML documents. Pure: each writer fills a caller's buffer with one whole document.
 * Text and attributes are escaped, control bytes that XML 1.0 forbids are dropped; a document that
 * does not fit is replaced by a bare hangup. */
#pragma once
#include "common/base/base.h"

enum { TWIML_SIZE = 16 * 1024 }; /* a quarter of what Twilio accepts (error 11750) */

struct twiml {
    char text[TWIML_SIZE];
    size_t len;
};

/* So many seconds, and words before them ("": silence). */
struct twiml_wait {
    int seconds; /* 0: no wait */
    const char *words;
};

struct twiml_stream {
    struct twiml_wait wait; /* before it */
    const char *action;     /* asked when the stream has ended */
    const char *media_url, *token;
    const char *status_url; /* told what becomes of the stream */
    const char *call_sid;      /* ours, of a call that we dialled; else NULL */
    const char *recording_url; /* told when the carrier's recording of the call, which begins with this stream, is
                                  finished; NULL: none begins */
};

/* Connects the call to our media server. */
void twiml_stream(struct twiml *out, const struct twiml_stream *stream);
/* Asks `url` what to do, after a wait. */
void twiml_ask_again(struct twiml *out, struct twiml_wait wait, const char *url);
void twiml_say_and_hang_up(struct twiml *out, const char *words);
void twiml_hang_up(struct twiml *out);
void twiml_dial(struct twiml *out, const char *number);
/* Digits, as E.164 has them, with or without a plus: what may be dialled. */
bool twiml_number_good(const char *number);
/* Nothing to do. */
void twiml_empty(struct twiml *out);
