#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "flusher/jobs/wav.h"

/* A header as Twilio's: PCM, two channels, 8 kHz, with a chunk in between that nobody needs. */
static size_t header(uint8_t *out, int format, int channels, int bits, uint32_t data_bytes)
{
    static const uint8_t riff[] = {'R', 'I', 'F', 'F', 0, 0, 0, 0, 'W', 'A', 'V', 'E', 'f', 'm', 't', ' ', 16, 0, 0, 0};
    static const uint8_t list[] = {'L', 'I', 'S', 'T', 3, 0, 0, 0, 'a', 'b', 'c', 0, 'd', 'a', 't', 'a'};
    const uint8_t fmt[] = {(uint8_t)format, 0, (uint8_t)channels, 0, 0x40, 0x1F, 0, 0, 0, 0, 0, 0, 0, 0, (uint8_t)bits, 0};
    uint8_t *at = out;
    at = (uint8_t *)mempcpy(at, riff, sizeof riff);
    at = (uint8_t *)mempcpy(at, fmt, sizeof fmt);
    at = (uint8_t *)mempcpy(at, list, sizeof list);
    for (int i = 0; i < 4; i++)
        *at++ = (uint8_t)(data_bytes >> 8 * i);
    return (size_t)(at - out);
}

static void test_a_header(void **state)
{
    uint8_t bytes[128];
    struct wav wav;
    const char *why;
    size_t len = header(bytes, 1, 2, 16, 1000);
    (void)state;
    assert_true(wav_read(&wav, bytes, len, &why));
    assert_int_equal(wav.channels, 2);
    assert_int_equal(wav.rate, 8000);
    assert_int_equal(wav.frame_bytes, 4);
    assert_int_equal(wav.data_at, len);
    assert_int_equal(wav.data_bytes, 1000);
    header(bytes, 7, 1, 8, UINT32_MAX);
    assert_true(wav_read(&wav, bytes, len, &why));
    assert_true(wav.mulaw);
    assert_int_equal(wav.frame_bytes, 1);
    assert_int_equal(wav.data_bytes, -1);
    for (size_t cut = 0; cut < len; cut++) { /* at each byte: no audio, and nothing is read past it */
        uint8_t *exact = malloc(cut ? cut : 1);
        memcpy(exact, bytes, cut);
        assert_false(wav_read(&wav, exact, cut, &why));
        assert_non_null(why);
        free(exact);
    }
}

static void test_what_is_not_taken(void **state)
{
    static const struct {
        int format, channels, bits;
    } rows[] = {{3, 1, 32}, {1, 1, 8}, {7, 1, 16}, {1, 0, 16}, {1, 3, 16}, {0x55, 2, 16}};
    uint8_t bytes[128];
    struct wav wav;
    const char *why;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t len = header(bytes, rows[i].format, rows[i].channels, rows[i].bits, 10);
        assert_false(wav_read(&wav, bytes, len, &why));
        assert_non_null(why);
    }
}

static void test_samples(void **state)
{
    const uint8_t pcm[] = {1, 0, 0xFF, 0x7F, 0, 0x80, 2, 0}, mulaw[] = {0xFF, 0x7F, 0x00, 0x80, 0xAA};
    struct wav wav = {.channels = 2, .rate = 8000, .frame_bytes = 4};
    int16_t out[5];
    (void)state;
    wav_samples(&wav, pcm, 2, 0, out);
    assert_int_equal(out[0], 1);
    assert_int_equal(out[1], -32768);
    wav_samples(&wav, pcm, 2, 1, out);
    assert_int_equal(out[0], 32767);
    assert_int_equal(out[1], 2);
    wav = (struct wav){.channels = 1, .rate = 8000, .mulaw = true, .frame_bytes = 1};
    wav_samples(&wav, mulaw, 5, 0, out); /* values of ITU-T G.711, table 2 */
    assert_int_equal(out[0], 0);
    assert_int_equal(out[1], 0);
    assert_int_equal(out[2], -32124);
    assert_int_equal(out[3], 32124);
    assert_int_equal(out[4], 5372);
}

static void test_a_header_that_is_written_can_be_read(void **state)
{
    uint8_t bytes[WAV_HEADER_SIZE];
    struct wav wav;
    const char *why;
    (void)state;
    wav_header(bytes, 8000, 1200);
    assert_true(wav_read(&wav, bytes, sizeof bytes, &why));
    assert_int_equal(wav.channels, 1);
    assert_int_equal(wav.rate, 8000);
    assert_int_equal(wav.frame_bytes, 2);
    assert_int_equal(wav.data_at, WAV_HEADER_SIZE);
    assert_int_equal(wav.data_bytes, 2400);
}

static void test_loudness(void **state)
{
    const int16_t samples[] = {-32768, 32767, 0, 0};
    (void)state;
    assert_int_equal(wav_loudness(samples, 0), 0);
    assert_int_equal(wav_loudness(samples, 1), 1073741824);
    assert_int_equal(wav_loudness(samples + 2, 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_header),   cmocka_unit_test(test_what_is_not_taken),
        cmocka_unit_test(test_samples),    cmocka_unit_test(test_a_header_that_is_written_can_be_read),
        cmocka_unit_test(test_loudness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
