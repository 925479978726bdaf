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

/* Connects the call to our media server; asks `action` when that stream has ended, and tells
 * `status_url` what becomes of it. call_sid: ours, of a call that we dialled; else NULL. recording_url: told when the
 * carrier's recording of the call, which begins with this stream, is finished; NULL: none begins. */
void twiml_stream(struct twiml *out, const char *action, const char *media_url, const char *status_url,
                  const char *token, const char *call_sid, const char *recording_url);
void twiml_say_and_hang_up(struct twiml *out, const char *words);
void twiml_hang_up(struct twiml *out);
void twiml_dial(struct twiml *out, const char *number);
/* Digits, as E.164 has them, with or without a plus: what may be dialled. */
bool twiml_number_good(const char *number);
/* Nothing to do. */
void twiml_empty(struct twiml *out);
