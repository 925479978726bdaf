/* The signature and the sieve of post-call webhooks. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/base64.h"
#include "warmer/elevenlabs/sieve.h"
#include "warmer/elevenlabs/signature.h"

/* ---- signature: vectors computed with OpenSSL ---- */

#define SECRET "wsec_ringfleet_test_vector"
static const int64_t signed_at = 1739537297;

static const struct {
    const char *body, *v0;
} vectors[] = {
    {"{\"type\":\"post_call_transcription\",\"event_timestamp\":1739537297,\"data\":{\"agent_id\":\"agent_test\","
     "\"conversation_id\":\"conv_test\",\"status\":\"done\"}}",
     "9f9ec6fcf84b36fa09765682c35c6a1a22ecf3d434f71a8859b9b6e892eab990"},
    {"{\"a\":\"é\"}", "c01007751e83e7dc7f4eb8a689d05eb552b76c040742440ba118c8a31a8493a8"},
    {"", "e672e89c13d1fe60e3d83fbaf43f95d6b15ca72ca10a3faa8f1e5017d707566d"},
};

static bool good(const char *header, const char *body, int64_t now)
{
    struct elevenlabs_signature signature;
    uint8_t digest[SHA256_BYTES];
    struct hmac_stream *hash = hmac_begin(SECRET);
    size_t half = strlen(body) / 2;
    assert_non_null(hash);
    if (elevenlabs_signature_read(&signature, header, now)) {
        hmac_drop(hash);
        return false;
    }
    hmac_add(hash, signature.time, strlen(signature.time));
    hmac_add(hash, ".", 1);
    hmac_add(hash, body, half);
    hmac_add(hash, body + half, strlen(body) - half);
    assert_true(hmac_end(hash, digest));
    return elevenlabs_signature_good(&signature, digest);
}

static const char *header(const char *more, const char *v0)
{
    static char text[512];
    snprintf(text, sizeof text, "t=1739537297,%sv0=%s", more, v0);
    return text;
}

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        assert_true(good(header("", vectors[i].v0), vectors[i].body, signed_at));
        assert_false(good(header("", vectors[i].v0), "{}", signed_at));
    }
}

static void test_tolerance_and_forms(void **state)
{
    const char *v0 = vectors[2].v0;
    char other[65], twice[80];
    (void)state;
    assert_true(good(header("", v0), "", 1739539097));
    assert_false(good(header("", v0), "", 1739539098));
    assert_true(good(header("", v0), "", signed_at - 300));
    assert_false(good(header("", v0), "", signed_at - 301));
    memset(other, '0', 64);
    other[64] = '\0';
    snprintf(twice, sizeof twice, "v0=%s, ", other);
    assert_true(good(header(twice, v0), "", signed_at)); /* while the secret is changed */
    assert_false(good("v0=e672e89c13d1fe60e3d83fbaf43f95d6b15ca72ca10a3faa8f1e5017d707566d", "", signed_at));
    assert_false(good("t=1739537297", "", signed_at));
    assert_false(good("t=17395372x7,v0=e672e89c13d1fe60e3d83fbaf43f95d6b15ca72ca10a3faa8f1e5017d707566d", "", signed_at));
    assert_false(good("", "", signed_at));
    assert_false(good(header("", "E672e89c"), "", signed_at));
}

/* ---- sieve ---- */

static struct {
    char json[4096];
    size_t json_len;
    uint8_t audio[8192];
    size_t audio_len;
} got;

static bool take_json(const void *bytes, size_t len, void *arg)
{
    (void)arg;
    memcpy(got.json + got.json_len, bytes, len);
    got.json_len += len;
    return true;
}

static bool take_audio(const void *bytes, size_t len, void *arg)
{
    (void)arg;
    memcpy(got.audio + got.audio_len, bytes, len);
    got.audio_len += len;
    return true;
}

static bool sieved(const char *text, size_t piece)
{
    struct sieve sieve = {.json = take_json, .audio = take_audio};
    size_t len = strlen(text);
    memset(&got, 0, sizeof got);
    for (size_t i = 0; i < len; i += piece) {
        if (!sieve_feed(&sieve, text + i, len - i < piece ? len - i : piece))
            return false;
    }
    return true;
}

static void test_the_recording_is_taken_out_wherever_it_is_cut(void **state)
{
    static const char plain[] = "{\"a\":\"full_audio\",\"b\":[\"full_audio\",\"x\"],\"data\":{\"full_audio\" : \"\",\"z\":\"q\\\"}\"}}";
    uint8_t audio[7000];
    char base64[BASE64_TEXT_SIZE(sizeof audio)], text[sizeof plain + sizeof base64];
    (void)state;
    for (size_t i = 0; i < sizeof audio; i++)
        audio[i] = (uint8_t)(i * 7 + i / 256);
    base64_encode(base64, audio, sizeof audio);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(strstr(plain, ": \"\"") + 3 - plain), plain, base64, strstr(plain, ": \"\"") + 3);
    for (size_t piece = 1; piece < strlen(text) + 1; piece = piece * 3 / 2 + 1) {
        assert_true(sieved(text, piece));
        assert_int_equal(got.audio_len, sizeof audio);
        assert_memory_equal(got.audio, audio, sizeof audio);
        assert_string_equal(got.json, plain);
    }
}

static void test_what_is_no_recording(void **state)
{
    (void)state;
    assert_true(sieved("{\"full_audio\":null,\"x\":\"y\"}", 3));
    assert_string_equal(got.json, "{\"full_audio\":null,\"x\":\"y\"}");
    assert_true(sieved("{\"full_audio\":\"AA\\/A\"}", 1)); /* an escaped slash */
    assert_int_equal(got.audio_len, 3);
    assert_false(sieved("{\"full_audio\":\"not base64\"}", 100));
    assert_false(sieved("{\"full_audio\":\"AAA\"}", 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_tolerance_and_forms),
        cmocka_unit_test(test_the_recording_is_taken_out_wherever_it_is_cut),
        cmocka_unit_test(test_what_is_no_recording),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
