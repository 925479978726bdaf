/* Parts a post-call webhook as it comes: its JSON, which is small, and the recording inside of it ("full_audio",
 * base64), which may have tens of megabytes. Pure. */
#pragma once
#include "common/base/base.h"

enum { SIEVE_KEY_MAX = 16, SIEVE_AUDIO_MAX = 4096 };

/* Both are called with what has come so far; false ends it. */
typedef bool sieve_fn(const void *bytes, size_t len, void *arg);

/* Zero it, but for the first three. */
struct sieve {
    sieve_fn *json;  /* the document, with an empty text in the recording's place */
    sieve_fn *audio; /* the recording, decoded */
    void *arg;
    bool _in_string, _escaped, _is_audio;
    char _key[SIEVE_KEY_MAX]; /* the last string */
    size_t _key_len;
    bool _audio_next;         /* its value is the recording */
    char _quad[SIEVE_AUDIO_MAX];
    size_t _quad_len;
};

/* false: the recording is no base64, or one of the functions did not want more. */
RF_NODISCARD bool sieve_feed(struct sieve *sieve, const char *bytes, size_t len);
