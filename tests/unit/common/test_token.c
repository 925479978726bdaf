#include "common/base/token.h"

#include <stdio.h>
#include <string.h>

#include "common/base/crypto.h"
#include "tests/unit/unit.h"

#define SECRET "a stream secret of some length"
#define SID "CA0123456789abcdef0123456789abcdef"
enum { NOW = 1000000 };

static enum token_verdict check(const char *token, int *n)
{
    *n = -7;
    return token_check(token, SECRET, SID, n);
}

static void test_good(void **state)
{
    static const int numbers[] = {0, 1, 5, 999999999};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        char token[TOKEN_SIZE];
        int n;
        token_mint(token, SECRET, SID, numbers[i], NOW + 60000);
        assert_int_equal(check(token, &n), TOKEN_GOOD);
        assert_int_equal(n, numbers[i]);
    }
}

static void test_two_are_never_the_same(void **state)
{
    char a[TOKEN_SIZE], b[TOKEN_SIZE];
    (void)state;
    token_mint(a, SECRET, SID, 0, NOW);
    token_mint(b, SECRET, SID, 0, NOW);
    assert_string_not_equal(a, b);
}

/* For workers of versions that judge it themselves. */
static void test_says_when_it_expires(void **state)
{
    char token[TOKEN_SIZE];
    (void)state;
    token_mint(token, SECRET, SID, 3, NOW + 60000);
    assert_memory_equal(token, "3.1060000.", strlen("3.1060000."));
}

/* Whatever single bit changes, the token is worth nothing. */
static void test_every_flipped_bit_is_refused(void **state)
{
    char token[TOKEN_SIZE];
    int n;
    (void)state;
    token_mint(token, SECRET, SID, 3, NOW + 60000);
    for (size_t i = 0; token[i]; i++) {
        for (int bit = 0; bit < 8; bit++) {
            char forged[TOKEN_SIZE];
            memcpy(forged, token, sizeof forged);
            forged[i] = (char)(forged[i] ^ (1 << bit));
            if (check(forged, &n) == TOKEN_GOOD || n != -7)
                fail_msg("accepted with bit %d of byte %zu flipped: %s", bit, i, forged);
        }
    }
}

static void test_bound_to_call_secret_and_number(void **state)
{
    char token[TOKEN_SIZE];
    int n = -7;
    (void)state;
    token_mint(token, SECRET, SID, 2, NOW + 60000);
    assert_int_equal(token_check(token, SECRET, "CA0123456789abcdef0123456789abcdee", &n), TOKEN_FORGED);
    assert_int_equal(token_check(token, SECRET "x", SID, &n), TOKEN_FORGED);
    assert_int_equal(n, -7);
    token[0] = '3';
    assert_int_equal(check(token, &n), TOKEN_FORGED);
}

static void test_malformed(void **state)
{
    static const char *const bad[] = {
        "",
        "0",
        "...",
        "0.1000000",
        "0.1000000.0123456789abcdef01",
        "0.1000000.0123456789abcdef01.",
        "x.1000000.0123456789abcdef01.AAAA",
        "-1.1000000.0123456789abcdef01.AAAA",
        "0.soon.0123456789abcdef01.AAAA",
        "0.1000000.0123456789ABCDEF01.AAAA",
        "0.1000000.0123456789abcdef01.AA=A",
        "0.1000000.0123456789abcdef01.AAAA.more",
        "0.1000000.0123456789abcdef01.AAAA ",
        /* numbers written another way: the text a token was minted with is the only one */
        " 0.1000000.0123456789abcdef01.AAAA",
        "+0.1000000.0123456789abcdef01.AAAA",
        "00.1000000.0123456789abcdef01.AAAA",
        "-0.1000000.0123456789abcdef01.AAAA",
        "0. 1000000.0123456789abcdef01.AAAA",
        "0.+1000000.0123456789abcdef01.AAAA",
        "0.01000000.0123456789abcdef01.AAAA",
        /* fields longer than any token has */
        "1234567890.1000000.0123456789abcdef01.AAAA",
        "0.1234567890123456.0123456789abcdef01.AAAA",
        "0.1000000.0123456789abcdef012.AAAA",
        "0.1000000.0123456789abcdef01.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    };
    char huge[8192];
    int n;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (check(bad[i], &n) != TOKEN_MALFORMED || n != -7)
            fail_msg("not seen as malformed: \"%s\"", bad[i]);
    }
    memset(huge, '1', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    assert_int_equal(check(huge, &n), TOKEN_MALFORMED);
}

static void test_short_mac_is_forged(void **state)
{
    char token[TOKEN_SIZE];
    int n;
    (void)state;
    token_mint(token, SECRET, SID, 0, NOW + 60000);
    token[strlen(token) - 1] = '\0';
    assert_int_equal(check(token, &n), TOKEN_FORGED);
}

/* The TwiML reference allows 500 characters for a parameter's name and value together. */
static void test_fits_a_twiml_parameter(void **state)
{
    char token[TOKEN_SIZE], sid[129];
    (void)state;
    memset(sid, 'A', 128);
    sid[128] = '\0';
    token_mint(token, SECRET, sid, 999999999, 999999999999999);
    assert_in_range(strlen(token), 60, 500 - strlen(TOKEN_PARAMETER));
}

static void test_call_sid_too_long_to_sign(void **state)
{
    char token[TOKEN_SIZE], sid[512];
    int n;
    (void)state;
    memset(sid, 'A', sizeof sid - 1);
    sid[sizeof sid - 1] = '\0';
    token_mint(token, SECRET, sid, 0, NOW);
    assert_string_equal(token, "");
    token_mint(token, SECRET, SID, 0, NOW);
    assert_int_equal(token_check(token, SECRET, sid, &n), TOKEN_FORGED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_two_are_never_the_same),
        cmocka_unit_test(test_says_when_it_expires),
        cmocka_unit_test(test_every_flipped_bit_is_refused),
        cmocka_unit_test(test_bound_to_call_secret_and_number),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_short_mac_is_forged),
        cmocka_unit_test(test_fits_a_twiml_parameter),
        cmocka_unit_test(test_call_sid_too_long_to_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
