#include "flusher/jobs/audio.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 4096,
    BLOCK_FRAMES = 4096,
    PIECE_BYTES_MAX = 26000000,   /* of 26,214,400 for the whole request */
    QUIET_MS = 100,               /* a pause between words, or within one that is spoken slowly */
    SEARCH_MS = 30000,            /* the last part of a piece */
    LOUD_MS = 20,
    SPEECH_MS = 300,              /* of loud moments make speech */
    SPEECH_LOUDNESS = 200 * 200,  /* mean square; a quiet line is below 50, a voice above 500 */
};

static bool read_head(int fd, struct wav *wav, const char **why)
{
    uint8_t head[HEAD_BYTES];
    ptrdiff_t len = pread(fd, head, sizeof head, 0);
    *why = strerror(errno);
    return len >= 0 && wav_read(wav, head, (size_t)len, why);
}

bool audio_whole(int fd, int64_t bytes, char why[AUDIO_WHY_SIZE])
{
    struct wav wav;
    const char *ignored;
    if (!read_head(fd, &wav, &ignored) || wav.data_bytes < 0 || wav.data_at + wav.data_bytes <= bytes)
        return true;
    snprintf(why, AUDIO_WHY_SIZE, "the file has %lld bytes and says itself that it has %lld", (long long)bytes,
             (long long)(wav.data_at + wav.data_bytes));
    return false;
}

bool audio_open(struct audio *audio, int fd, char why[AUDIO_WHY_SIZE])
{
    struct stat st;
    const char *wrong = NULL;
    int64_t bytes;
    audio->fd = fd;
    if (fstat(fd, &st) != 0 || !read_head(fd, &audio->wav, &wrong)) {
        snprintf(why, AUDIO_WHY_SIZE, "the recording cannot be written down: %s", wrong ? wrong : strerror(errno));
        return false;
    }
    bytes = st.st_size - audio->wav.data_at;
    if (audio->wav.data_bytes >= 0 && audio->wav.data_bytes < bytes)
        bytes = audio->wav.data_bytes;
    audio->frames = bytes / audio->wav.frame_bytes;
    return true;
}

int64_t audio_ms(const struct audio *audio, int64_t frames)
{
    return frames * 1000 / audio->wav.rate;
}

int64_t audio_frames(const struct audio *audio, int64_t ms)
{
    return ms * audio->wav.rate / 1000;
}

/* At most BLOCK_FRAMES. Returns how many there were. */
static size_t read_samples(const struct audio *audio, int channel, int64_t from, size_t count, int16_t *out)
{
    uint8_t raw[BLOCK_FRAMES * 2 * WAV_CHANNELS_MAX];
    ptrdiff_t len = pread(audio->fd, raw, count * (size_t)audio->wav.frame_bytes,
                          audio->wav.data_at + from * audio->wav.frame_bytes);
    size_t got = len > 0 ? (size_t)len / (size_t)audio->wav.frame_bytes : 0;
    wav_samples(&audio->wav, raw, got, channel, out);
    return got;
}

static uint64_t loudness(const struct audio *audio, int channel, int64_t from, int64_t count)
{
    int16_t samples[BLOCK_FRAMES];
    size_t want = count < BLOCK_FRAMES ? (size_t)count : BLOCK_FRAMES;
    return wav_loudness(samples, read_samples(audio, channel, from, want, samples));
}

/* The middle of the quietest moment between two frames. */
static int64_t quietest(const struct audio *audio, int channel, int64_t from, int64_t to)
{
    int64_t step = audio_frames(audio, QUIET_MS), best = to;
    uint64_t least = UINT64_MAX;
    for (int64_t at = from; at + step <= to; at += step) {
        uint64_t loud = loudness(audio, channel, at, step);
        if (loud <= least) { /* of equals the last: the piece is longer */
            least = loud;
            best = at + step / 2;
        }
    }
    return best;
}

void audio_cut(const struct audio *audio, int channel, int64_t from, int64_t most, struct audio_piece *piece)
{
    int64_t search = audio_frames(audio, SEARCH_MS);
    if (most > (PIECE_BYTES_MAX - WAV_HEADER_SIZE) / 2)
        most = (PIECE_BYTES_MAX - WAV_HEADER_SIZE) / 2;
    *piece = (struct audio_piece){.audio = audio, .channel = channel, .from = from, .to = audio->frames};
    if (audio->frames - from > most) {
        search = search < most / 2 ? search : most / 2;
        piece->to = quietest(audio, channel, from + most - search, from + most);
    }
    wav_header(piece->header, audio->wav.rate, piece->to - piece->from);
}

bool audio_speaks(const struct audio_piece *piece)
{
    int64_t step = audio_frames(piece->audio, LOUD_MS), loud_ms = 0;
    for (int64_t at = piece->from; at < piece->to && loud_ms < SPEECH_MS; at += step) {
        int64_t left = piece->to - at;
        if (loudness(piece->audio, piece->channel, at, left < step ? left : step) >= SPEECH_LOUDNESS)
            loud_ms += LOUD_MS;
    }
    return loud_ms >= SPEECH_MS;
}

/* The offset may be within a sample. */
static ptrdiff_t read_piece(void *arg, int64_t offset, char *out, size_t size)
{
    const struct audio_piece *p = arg;
    int16_t samples[BLOCK_FRAMES];
    size_t want, got, skip;
    if (offset < WAV_HEADER_SIZE) {
        size_t left = (size_t)(WAV_HEADER_SIZE - offset);
        memcpy(out, p->header + offset, size < left ? size : left);
        return (ptrdiff_t)(size < left ? size : left);
    }
    offset -= WAV_HEADER_SIZE;
    skip = (size_t)(offset & 1);
    want = (size + skip + 1) / 2;
    want = want < BLOCK_FRAMES ? want : BLOCK_FRAMES;
    got = read_samples(p->audio, p->channel, p->from + offset / 2, want, samples);
    if (got == 0)
        return -1;
    got = 2 * got - skip < size ? 2 * got - skip : size;
    memcpy(out, (const char *)samples + skip, got); /* little-endian, as WAV is */
    return (ptrdiff_t)got;
}

struct http_source audio_source(struct audio_piece *piece)
{
    return (struct http_source){read_piece, piece, WAV_HEADER_SIZE + 2 * (piece->to - piece->from)};
}
