/* A recording on the disk, and the pieces of it that are sent to be written down: one channel each, of a length that
 * the receiver takes, cut where it is quiet. Read a block at a time. A whole piece is read to look for speech: some
 * 20 ms, on the jobs' own thread. */
#pragma once
#include "common/http/client.h"
#include "flusher/jobs/wav.h"

enum { AUDIO_WHY_SIZE = 160 };

struct audio {
    int fd; /* owned by who opened it */
    struct wav wav;
    int64_t frames;
};

struct audio_piece {
    const struct audio *audio;
    int channel;
    int64_t from, to; /* frames */
    uint8_t header[WAV_HEADER_SIZE];
};

/* Whether the file is as long as it says itself, where it is a WAV file at all. */
bool audio_whole(int fd, int64_t bytes, char why[AUDIO_WHY_SIZE]);

/* false: it cannot be used; why says so. */
RF_NODISCARD bool audio_open(struct audio *audio, int fd, char why[AUDIO_WHY_SIZE]);

int64_t audio_ms(const struct audio *audio, int64_t frames);
int64_t audio_frames(const struct audio *audio, int64_t ms);

/* The piece that begins at a frame and has at most so many, and fits into a request; it ends in the quietest
 * moment of its last part, or with the file. */
void audio_cut(const struct audio *audio, int channel, int64_t from, int64_t most, struct audio_piece *piece);

/* Whether somebody speaks in it. Models make words of silence, too. */
bool audio_speaks(const struct audio_piece *piece);

/* The piece as a WAV file of its own. It must live as long as the request. */
struct http_source audio_source(struct audio_piece *piece);
