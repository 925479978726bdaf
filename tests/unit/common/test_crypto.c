#include "common/base/crypto.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

static void to_hex(char *out, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static const char *repeated(char *out, int byte, size_t count)
{
    memset(out, byte, count);
    out[count] = '\0';
    return out;
}

/* RFC 2202 section 3; the keys and data of cases 3, 6 and 7 are repetitions. */
static void test_hmac_sha1(void **state)
{
    char k[132], d[64];
    const struct {
        const char *key, *data, *digest;
    } vectors[] = {
        {"Jefe", "what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
        {repeated(k, 0x0b, 20), "Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"},
    };
    uint8_t digest[SHA1_BYTES];
    char hex[2 * SHA1_BYTES + 1];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        hmac_sha1(digest, vectors[i].key, vectors[i].data, strlen(vectors[i].data));
        to_hex(hex, digest, sizeof digest);
        assert_string_equal(hex, vectors[i].digest);
    }
    hmac_sha1(digest, repeated(k, 0xaa, 20), repeated(d, 0xdd, 50), 50);
    to_hex(hex, digest, sizeof digest);
    assert_string_equal(hex, "125d7342b9ac11cd91a39af48aa17b4f63f175d3");
    hmac_sha1(digest, repeated(k, 0xaa, 80), "Test Using Larger Than Block-Size Key - Hash Key First", 54);
    to_hex(hex, digest, sizeof digest);
    assert_string_equal(hex, "aa4ae5e15272d00e95705637ce8a3b55ed402112");
}

/* A key is kept for the next use, which may be with another, of the same length or with a longer one. */
static void test_hmac_keys_take_turns(void **state)
{
    static const char *const keys[] = {"Jefe", "jefe", "Jef", "Jefe", "Jefe"};
    uint8_t digest[SHA1_BYTES], first[SHA1_BYTES];
    char longer[400];
    (void)state;
    hmac_sha1(first, keys[0], "x", 1);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        hmac_sha1(digest, keys[i], "x", 1);
        assert_int_equal(memcmp(digest, first, sizeof digest) == 0, strcmp(keys[i], keys[0]) == 0);
        hmac_sha1(digest, repeated(longer, 'k', 399), "x", 1);
        assert_memory_not_equal(digest, first, sizeof digest);
    }
}

/* RFC 4231 section 4: cases 1, 2, 3 and 6. */
static void test_hmac_sha256(void **state)
{
    char k[132], d[64], hex[SHA256_HEX_SIZE];
    uint8_t digest[SHA256_BYTES];
    (void)state;
    hmac_sha256(digest, repeated(k, 0x0b, 20), "Hi There", 8);
    to_hex(hex, digest, sizeof digest);
    assert_string_equal(hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hmac_sha256(digest, "Jefe", "what do ya want for nothing?", 28);
    to_hex(hex, digest, sizeof digest);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    hmac_sha256(digest, repeated(k, 0xaa, 20), repeated(d, 0xdd, 50), 50);
    to_hex(hex, digest, sizeof digest);
    assert_string_equal(hex, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    hmac_sha256(digest, repeated(k, 0xaa, 131), "Test Using Larger Than Block-Size Key - Hash Key First", 54);
    to_hex(hex, digest, sizeof digest);
    assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* FIPS 180-4 examples. */
static void test_sha256(void **state)
{
    char hex[SHA256_HEX_SIZE];
    (void)state;
    sha256_hex(hex, "", 0);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_hex(hex, "abc", 3);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_secret_equal(void **state)
{
    (void)state;
    assert_true(secret_equal("", ""));
    assert_true(secret_equal("swordfish", "swordfish"));
    assert_false(secret_equal("swordfish", "swordfisH"));
    assert_false(secret_equal("Swordfish", "swordfish"));
    assert_false(secret_equal("swordfish", "swordfish2"));
    assert_false(secret_equal("swordfish", "swordfis"));
    assert_false(secret_equal("swordfish", ""));
    assert_false(secret_equal("", "swordfish"));
}

static void test_random(void **state)
{
    char a[65], b[65];
    char many[100][19];
    bool seen[8] = {false};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(many); i++) { /* they come out of one draw */
        random_hex(many[i], 9);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(many[i], many[j]);
    }
    random_hex(a, 32);
    random_hex(b, 32);
    assert_int_equal(strlen(a), 64);
    assert_int_equal(strspn(a, "0123456789abcdef"), 64);
    assert_string_not_equal(a, b);
    for (int i = 0; i < 2000; i++) {
        uint32_t n = random_below(8);
        assert_in_range(n, 0, 7);
        seen[n] = true;
    }
    for (size_t i = 0; i < ARRAY_LEN(seen); i++)
        assert_true(seen[i]);
    assert_int_equal(random_below(1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hmac_sha1), cmocka_unit_test(test_hmac_sha256), cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_secret_equal), cmocka_unit_test(test_random), cmocka_unit_test(test_hmac_keys_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
