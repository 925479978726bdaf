#include "flusher/jobs/wav.h"

#include <string.h>

enum { FORMAT_PCM = 1, FORMAT_MULAW = 7, FORMAT_EXTENSIBLE = 0xFFFE, RATE_MAX = 48000 };

static uint32_t u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int u16(const uint8_t *p)
{
    return p[0] | p[1] << 8;
}

static const char *read_format(struct wav *wav, const uint8_t *chunk, size_t len)
{
    int format, bits;
    if (len < 16)
        return "its format is cut";
    format = u16(chunk);
    if (format == FORMAT_EXTENSIBLE && len >= 26)
        format = u16(chunk + 24); /* the first two bytes of the sub-format's GUID */
    bits = u16(chunk + 14);
    wav->channels = u16(chunk + 2);
    wav->rate = (int)(u32(chunk + 4) & 0x7FFFFFFF);
    wav->mulaw = format == FORMAT_MULAW;
    wav->frame_bytes = wav->channels * bits / 8;
    if (!(format == FORMAT_PCM && bits == 16) && !(format == FORMAT_MULAW && bits == 8))
        return "it is neither 16-bit PCM nor mu-law";
    if (wav->channels < 1 || wav->channels > WAV_CHANNELS_MAX || wav->rate < 1000 || wav->rate > RATE_MAX)
        return "its channels or its rate are not those of a phone call";
    return NULL;
}

bool wav_read(struct wav *wav, const uint8_t *bytes, size_t len, const char **why)
{
    size_t at = 12;
    *why = NULL;
    memset(wav, 0, sizeof *wav);
    if (len < at || memcmp(bytes, "RIFF", 4) != 0 || memcmp(bytes + 8, "WAVE", 4) != 0)
        *why = "it is no WAV file";
    while (!*why && at + 8 <= len) {
        uint32_t size = u32(bytes + at + 4);
        const uint8_t *chunk = bytes + at + 8;
        if (memcmp(bytes + at, "data", 4) == 0) {
            wav->data_at = (int64_t)at + 8;
            wav->data_bytes = size == 0 || size == UINT32_MAX ? -1 : (int64_t)size;
            *why = wav->frame_bytes ? NULL : "its format is missing";
            return !*why;
        }
        if (memcmp(bytes + at, "fmt ", 4) == 0)
            *why = read_format(wav, chunk, len - at - 8 < size ? len - at - 8 : size);
        at += 8 + (size_t)size + (size & 1);
    }
    if (!*why)
        *why = "no audio is near its beginning";
    return false;
}

/* ITU-T G.711, as in Sun's g711.c. */
static int16_t of_mulaw(uint8_t byte)
{
    int u = ~byte & 0xFF, sample = (((u & 0x0F) << 3) + 0x84) << ((u & 0x70) >> 4);
    return (int16_t)(u & 0x80 ? 0x84 - sample : sample - 0x84);
}

void wav_samples(const struct wav *wav, const uint8_t *raw, size_t count, int channel, int16_t *out)
{
    for (size_t i = 0; i < count; i++, raw += wav->frame_bytes)
        out[i] = wav->mulaw ? of_mulaw(raw[channel]) : (int16_t)u16(raw + 2 * channel);
}

static void put32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

void wav_header(uint8_t out[WAV_HEADER_SIZE], int rate, int64_t frames)
{
    static const uint8_t format[] = {'W', 'A', 'V', 'E', 'f', 'm', 't', ' ', 16, 0, 0, 0, FORMAT_PCM, 0, 1, 0};
    memcpy(out, "RIFF", 4);
    put32(out + 4, (uint32_t)(WAV_HEADER_SIZE - 8 + 2 * frames));
    memcpy(out + 8, format, sizeof format);
    put32(out + 24, (uint32_t)rate);
    put32(out + 28, (uint32_t)rate * 2);
    put32(out + 32, 2 | 16 << 16); /* bytes of a frame, bits of a sample */
    memcpy(out + 36, "data", 4);
    put32(out + 40, (uint32_t)(2 * frames));
}

uint64_t wav_loudness(const int16_t *samples, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (uint64_t)((int64_t)samples[i] * samples[i]);
    return count ? sum / count : 0;
}
