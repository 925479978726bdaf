/* WAV files as carriers write recordings: PCM of 16 bit or mu-law, one channel or two. Pure: bytes in, numbers and
 * samples out. A frame is one sample of each channel. */
#pragma once
#include "common/base/base.h"

enum { WAV_HEADER_SIZE = 44, WAV_CHANNELS_MAX = 2 };

struct wav {
    int channels, rate;
    bool mulaw;
    int frame_bytes;
    int64_t data_at, data_bytes; /* as the header says; -1: it was written before the end was known */
};

/* Reads the header at the beginning of a file, of which at least the chunks before the audio are given. false: it is
 * none that can be used, why says so (a static text). */
RF_NODISCARD bool wav_read(struct wav *wav, const uint8_t *bytes, size_t len, const char **why);

/* Frames of one channel, as 16-bit samples. raw holds count whole frames. */
void wav_samples(const struct wav *wav, const uint8_t *raw, size_t count, int channel, int16_t *out);

/* The header of a file with one channel of 16-bit samples. */
void wav_header(uint8_t out[WAV_HEADER_SIZE], int rate, int64_t frames);

/* Mean square of samples: how loud they are. */
uint64_t wav_loudness(const int16_t *samples, size_t count);
