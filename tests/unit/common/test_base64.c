#include "common/base/base64.h"

#include <string.h>

#include "tests/unit/unit.h"

/* RFC 4648 section 10, and bytes that need every part of the alphabet. */
static const struct {
    const char *bytes;
    const char *text;
    const char *url;
} vectors[] = {
    {"", "", ""},
    {"f", "Zg==", "Zg"},
    {"fo", "Zm8=", "Zm8"},
    {"foo", "Zm9v", "Zm9v"},
    {"foob", "Zm9vYg==", "Zm9vYg"},
    {"fooba", "Zm9vYmE=", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
    {"\xfb\xff\xbf", "+/+/", "-_-_"},
    {"\xff\xef", "/+8=", "_-8"},
};

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        size_t len = strlen(vectors[i].bytes), text_len = strlen(vectors[i].text);
        char text[BASE64_TEXT_SIZE(8)];
        uint8_t bytes[16];
        assert_int_equal(base64_encode(text, (const uint8_t *)vectors[i].bytes, len), text_len);
        assert_string_equal(text, vectors[i].text);
        assert_int_equal(base64url_encode(text, (const uint8_t *)vectors[i].bytes, len), strlen(vectors[i].url));
        assert_string_equal(text, vectors[i].url);
        assert_int_equal(base64_decoded_size(vectors[i].text, text_len), len);
        assert_int_equal(base64_decode(bytes, vectors[i].text, text_len), len);
        assert_memory_equal(bytes, vectors[i].bytes, len);
    }
}

static void test_every_byte_comes_back(void **state)
{
    uint8_t bytes[256], back[258];
    char text[BASE64_TEXT_SIZE(256)];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (size_t len = 0; len <= sizeof bytes; len++) {
        size_t text_len = base64_encode(text, bytes, len);
        assert_int_equal(text_len + 1, BASE64_TEXT_SIZE(len));
        assert_int_equal(base64_decode(back, text, text_len), len);
        assert_memory_equal(back, bytes, len);
    }
}

/* Whitespace, padding in the middle and foreign letters: what a lenient decoder would let through
 * with fewer bytes than it claims. */
static void test_bad_text_is_refused(void **state)
{
    static const char *const bad[] = {
        "Z",        "Zg",       "Zg=",      "Zm9vY",    "Zm9v====", "====",     "=m9v",     "Z=9v", "Zm=v",
        "Zg==Zm9v", "Zm9vZg= ", " Zm9",     "    Zm9v", "Zm9v    ", "Zm9v\n\n\n\n", "Zm\n9", "Zm9-", "Zm9_",
        "Zm9v----", "Zm\xc3\xa9",  "Zm9v\r\n\r\n", "Zm*v",
    };
    uint8_t out[32];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (base64_decode(out, bad[i], strlen(bad[i])) != -1)
            fail_msg("accepted \"%s\"", bad[i]);
    }
    assert_int_equal(base64_decode(out, "Zm\0v", 4), -1);
}

static void test_decoded_size(void **state)
{
    (void)state;
    assert_int_equal(base64_decoded_size("", 0), 0);
    assert_int_equal(base64_decoded_size("Zm9", 3), 0);
    assert_int_equal(base64_decoded_size("Zm9vYg==", 8), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_every_byte_comes_back),
        cmocka_unit_test(test_bad_text_is_refused),
        cmocka_unit_test(test_decoded_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
