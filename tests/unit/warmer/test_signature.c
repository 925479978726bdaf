#include "warmer/signature.h"

#include <string.h>

#include "tests/unit/unit.h"

#define TOKEN "12345"
#define P "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
#define URL_1 "https://mycompany.com/myapp.php?foo=1&bar=2"
#define URL_2 "https://mycompany.com:443/myapp.php?foo=1&bar=2"
#define SIGNATURE_1 "RSOYDt4T1cUTdK1PDd93/VVr8B8="
#define SIGNATURE_2 "kvajT1Ptam85bY51eRf/AJRuM3w="
#define JSON_6 "{\"property\": \"value\", \"boolean\": true}"
#define URL_6 URL_1 "&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
#define QUERY_7 "&bodySHA256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
#define WSS "wss://media.example.com/twilio"

static bool form_signed(const char *url, const char *body, const char *tokens, const char *given)
{
    struct form form;
    struct signed_request request = {.url = url, .form = &form};
    bool good;
    assert_null(form_parse(&form, body, strlen(body)));
    good = signature_check(&request, tokens, given) == SIGNATURE_GOOD;
    form_release(&form);
    return good;
}

static bool body_signed(const char *url, const char *body, const char *given)
{
    struct signed_request request = {.url = url, .body = body, .body_len = strlen(body)};
    return signature_check(&request, TOKEN, given) == SIGNATURE_GOOD;
}

/* Vectors of Twilio's SDK tests and security documentation; the last of the forms and the ones for
 * wss were made with an independent implementation. */
static const struct {
    const char *url, *form, *given;
} good_forms[] = {
    {URL_1, P, SIGNATURE_1},
    {URL_2, P, SIGNATURE_2},
    {URL_1, P, SIGNATURE_2},
    {URL_2, P, SIGNATURE_1},
    {"https://mycompany.com:8443/myapp.php?foo=1&bar=2", P, SIGNATURE_1},
    {"http://mycompany.com:80/myapp.php?foo=1&bar=2", P, "0ZXoZLH/DfblKGATFgpif+LLRf4="},
    {"http://mycompany.com/myapp.php?foo=1&bar=2", P, "0ZXoZLH/DfblKGATFgpif+LLRf4="},
    {"http://mycompany.com:1234/myapp.php?foo=1&bar=2", P, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="},
    {URL_1, "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234", "IK+Dwps556ElfBT0I3Rgjkr1wJU="},
    {URL_1, "Digits=1234&SidAccount=AC123&Digits=5678&Sid=CA123", "IK+Dwps556ElfBT0I3Rgjkr1wJU="},
    {"https://example.com/myapp.php?foo=1&bar=2",
     "CallSid=CA1234567890ABCDE&Caller=%2B14158675310&Digits=1234&From=%2B14158675310&To=%2B18005551212",
     "L/OH5YylLD5NRKLltdqwSvS0BnU="},
    {"https://w.example.com/voice/incoming",
     "CallSid=CA00000000000000000000000000000001&From=%2B551150000000&FromCity=S%C3%83O+PAULO&CallerName=",
     "tsXPLJ78ihhRgBwyrHbjSXBtg+I="},
    {URL_1 "#rt=3000&rc=2", P, SIGNATURE_1},
    {WSS, "", "0p9HGYJybIvZY5ER6AdY/msz2PI="},
    {WSS "/", "", "BTdtATPimKswUJAv/NJAP32rXvk="},
};

static void test_good_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good_forms); i++)
        assert_true(form_signed(good_forms[i].url, good_forms[i].form, TOKEN, good_forms[i].given));
}

/* Each vector breaks when one thing of it is changed. */
static void test_forged_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good_forms); i++) {
        char given[64];
        assert_false(form_signed(good_forms[i].url, good_forms[i].form, "12346", good_forms[i].given));
        assert_false(form_signed(good_forms[i].url, good_forms[i].form, TOKEN, ""));
        strcpy(given, good_forms[i].given);
        given[3] ^= 1;
        assert_false(form_signed(good_forms[i].url, good_forms[i].form, TOKEN, given));
    }
    assert_false(form_signed("https://mycompany.com/myapp.php?foo=1&bar=3", P, TOKEN, SIGNATURE_1));
    assert_false(form_signed("http://mycompany.com/myapp.php?foo=1&bar=2", P, TOKEN, SIGNATURE_1));
    assert_false(form_signed("https://mycompany.com/myapp.php?foo=1&bar=2&", P, TOKEN, SIGNATURE_1));
    assert_false(form_signed(URL_1, P "&Extra=", TOKEN, SIGNATURE_1));
    assert_false(form_signed(URL_1, "", TOKEN, SIGNATURE_1));
    assert_false(form_signed(WSS, "", TOKEN, "BTdtATPimKswUJAv/NJAP32rXvk="));
}

static void test_several_tokens(void **state)
{
    (void)state;
    assert_true(form_signed(URL_1, P, "old,12345", SIGNATURE_1));
    assert_true(form_signed(URL_1, P, "12345,new", SIGNATURE_1));
    assert_true(form_signed(URL_1, P, "a,,12345,b", SIGNATURE_1));
    assert_false(form_signed(URL_1, P, "1234,5", SIGNATURE_1));
    assert_false(form_signed(URL_1, P, "", SIGNATURE_1));
    assert_false(form_signed(URL_1, P, ",", SIGNATURE_1));
}

static void test_bodies(void **state)
{
    (void)state;
    assert_true(body_signed(URL_6, JSON_6, "a9nBmqA0ju/hNViExpshrM61xv4="));
    assert_true(body_signed(URL_2 QUERY_7, "{}", "Ldidvp12m26NI7eqEvxnEpkd9Hc="));
    assert_true(body_signed(URL_1 QUERY_7, "{}", "Ldidvp12m26NI7eqEvxnEpkd9Hc="));
    /* The body is another one, or the hash is missing from what is signed. */
    assert_false(body_signed(URL_6, "{}", "a9nBmqA0ju/hNViExpshrM61xv4="));
    assert_false(body_signed(URL_1 QUERY_7, "{ }", "Ldidvp12m26NI7eqEvxnEpkd9Hc="));
    assert_false(body_signed(URL_1, "{}", "Ldidvp12m26NI7eqEvxnEpkd9Hc="));
    assert_false(body_signed(URL_1 "&bodySHA256=44136f", "{}", "Ldidvp12m26NI7eqEvxnEpkd9Hc="));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_forms),
        cmocka_unit_test(test_forged_forms),
        cmocka_unit_test(test_several_tokens),
        cmocka_unit_test(test_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
