#include "warmer/elevenlabs/signature.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

enum { TOLERANCE_SECONDS = 1800, AHEAD_SECONDS = 300 };

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_digest(uint8_t out[SHA256_BYTES], const char *hex, size_t len)
{
    if (len != 2 * SHA256_BYTES)
        return false;
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* One "name=value" of the list. */
static void take(struct elevenlabs_signature *out, const char *part, size_t len)
{
    while (len > 0 && (*part == ' ' || *part == '\t'))
        part++, len--;
    while (len > 0 && (part[len - 1] == ' ' || part[len - 1] == '\t'))
        len--;
    if (len > 2 && len - 2 < sizeof out->time && strncmp(part, "t=", 2) == 0 && strspn(part + 2, "0123456789") >= len - 2) {
        memcpy(out->time, part + 2, len - 2);
        out->time[len - 2] = '\0';
    } else if (len > 3 && strncmp(part, "v0=", 3) == 0 && out->count < SIGNATURE_DIGESTS_MAX &&
               read_digest(out->digests[out->count], part + 3, len - 3)) {
        out->count++;
    }
}

const char *elevenlabs_signature_read(struct elevenlabs_signature *out, const char *header, int64_t now)
{
    int64_t time;
    memset(out, 0, sizeof *out);
    while (*header) {
        size_t len = strcspn(header, ",");
        take(out, header, len);
        header += len + (header[len] == ',');
    }
    if (!*out->time || out->count == 0)
        return "no signature";
    time = strtoll(out->time, NULL, 10);
    if (time < now - TOLERANCE_SECONDS)
        return "an old signature";
    return time > now + AHEAD_SECONDS ? "a signature from the future" : NULL;
}

bool elevenlabs_signature_good(const struct elevenlabs_signature *signature, const uint8_t digest[SHA256_BYTES])
{
    bool good = false;
    for (int i = 0; i < signature->count; i++)
        good |= CRYPTO_memcmp(signature->digests[i], digest, SHA256_BYTES) == 0;
    return good;
}
