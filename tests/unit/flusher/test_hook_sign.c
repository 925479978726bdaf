#include "tests/unit/unit.h"

#include <string.h>

#include "flusher/jobs/hook_sign.h"

/* The vector that the libraries of the Standard Webhooks specification are tested with. */
static void test_a_signature(void **state)
{
    struct hook_secret secret;
    char signature[HOOK_SIGNATURE_SIZE];
    (void)state;
    assert_true(hook_secret_read(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    assert_int_equal(secret.len, 24);
    assert_true(hook_sign(signature, &secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, "{\"test\": 2432232314}"));
    assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void test_secrets(void **state)
{
    static const char *const wrong[] = {"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La",
                                        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS*", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS"};
    struct hook_secret secret;
    char text[128] = "whsec_";
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_false(hook_secret_read(&secret, wrong[i]));
    memset(text + 6, 'A', 84);
    assert_true(hook_secret_read(&secret, text)); /* 63 bytes */
    memset(text + 6, 'A', 88);
    assert_false(hook_secret_read(&secret, text)); /* 66 */
    memset(text + 6, 'A', 120);
    assert_false(hook_secret_read(&secret, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_signature), cmocka_unit_test(test_secrets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
