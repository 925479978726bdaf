#include "warmer/elevenlabs/sieve.h"

#include <string.h>

#include "common/base/base64.h"

static const char audio_key[] = "full_audio";

static bool flush_audio(struct sieve *s)
{
    uint8_t bytes[SIEVE_AUDIO_MAX / 4 * 3];
    ptrdiff_t len = base64_decode(bytes, s->_quad, s->_quad_len);
    s->_quad_len = 0;
    return len >= 0 && (len == 0 || s->audio(bytes, (size_t)len, s->arg));
}

static bool add_audio(struct sieve *s, char c)
{
    s->_quad[s->_quad_len++] = c;
    return s->_quad_len < SIEVE_AUDIO_MAX || flush_audio(s);
}

/* Inside of a string. */
static bool take_text(struct sieve *s, char c)
{
    bool ends = c == '"' && !s->_escaped, escape = c == '\\' && !s->_escaped;
    if (ends) {
        s->_in_string = false;
        if (s->_is_audio && !flush_audio(s))
            return false;
        s->_is_audio = false;
        return true;
    }
    s->_escaped = escape;
    if (s->_is_audio)
        return escape || add_audio(s, c); /* "\/" is a slash */
    if (s->_key_len < SIEVE_KEY_MAX)
        s->_key[s->_key_len++] = c;
    return true;
}

static void take_mark(struct sieve *s, char c)
{
    if (c == '"') {
        s->_in_string = true;
        s->_is_audio = s->_audio_next;
        s->_key_len = 0;
    }
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
        s->_audio_next = c == ':' && s->_key_len == sizeof audio_key - 1 && memcmp(s->_key, audio_key, s->_key_len) == 0;
}

bool sieve_feed(struct sieve *s, const char *bytes, size_t len)
{
    size_t kept = 0; /* from here on the JSON has not been passed on */
    for (size_t i = 0; i < len; i++) {
        bool audio = s->_is_audio;
        if (audio && kept < i && !s->json(bytes + kept, i - kept, s->arg))
            return false;
        if (audio)
            kept = i + 1;
        if (s->_in_string) {
            if (!take_text(s, bytes[i]))
                return false;
            if (audio && !s->_is_audio)
                kept = i; /* its closing quote */
        } else {
            take_mark(s, bytes[i]);
        }
    }
    return kept >= len || s->json(bytes + kept, len - kept, s->arg);
}
