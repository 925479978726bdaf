#include "warmer/twiml.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define HANG_UP HEAD "<Response><Hangup/></Response>"

static void assert_document(const struct twiml *document, const char *text)
{
    assert_string_equal(document->text, text);
    assert_int_equal(document->len, strlen(text));
}

static void test_documents(void **state)
{
    struct twiml_stream stream = {.action = "https://w.example.com/voice/after/0#rt=1&rc=2",
                                  .media_url = "wss://m.example.com/media",
                                  .status_url = "https://w.example.com/voice/stream", .token = "0.1.a.b"};
    struct twiml document;
    (void)state;
    stream.wait.words = "never said";
    twiml_stream(&document, &stream);
    assert_document(&document, HEAD
                    "<Response><Connect action=\"https://w.example.com/voice/after/0#rt=1&amp;rc=2\" method=\"POST\">"
                    "<Stream url=\"wss://m.example.com/media\" statusCallback=\"https://w.example.com/voice/stream\">"
                    "<Parameter name=\"token\" value=\"0.1.a.b\"/></Stream>"
                    "</Connect></Response>");
    stream.call_sid = "EL_7_2026-11-26T10:00:00.000000Z";
    stream.recording_url = "https://r?a&b";
    twiml_stream(&document, &stream);
    assert_non_null(strstr(document.text, "<Response><Start><Recording channels=\"dual\" trim=\"do-not-trim\" "
                                          "recordingStatusCallback=\"https://r?a&amp;b\" "
                                          "recordingStatusCallbackEvent=\"completed absent\"/></Start><Connect "));
    assert_non_null(strstr(document.text, "<Parameter name=\"token\" value=\"0.1.a.b\"/>"
                                          "<Parameter name=\"call_sid\" value=\"EL_7_2026-11-26T10:00:00.000000Z\"/></Stream>"));
    stream.call_sid = stream.recording_url = NULL;
    stream.wait = (struct twiml_wait){8, "Wait & see."};
    twiml_stream(&document, &stream);
    assert_document(&document, HEAD
                    "<Response><Say>Wait &amp; see.</Say><Pause length=\"8\"/>"
                    "<Connect action=\"https://w.example.com/voice/after/0#rt=1&amp;rc=2\" method=\"POST\">"
                    "<Stream url=\"wss://m.example.com/media\" statusCallback=\"https://w.example.com/voice/stream\">"
                    "<Parameter name=\"token\" value=\"0.1.a.b\"/></Stream>"
                    "</Connect></Response>");
    twiml_ask_again(&document, (struct twiml_wait){1, ""}, "https://w.example.com/voice/after/1/2#rt=1&rc=2");
    assert_document(&document, HEAD
                    "<Response><Pause length=\"1\"/><Redirect method=\"POST\">"
                    "https://w.example.com/voice/after/1/2#rt=1&amp;rc=2</Redirect></Response>");
    twiml_say_and_hang_up(&document, "Goodbye.");
    assert_document(&document, HEAD "<Response><Say>Goodbye.</Say><Hangup/></Response>");
    twiml_hang_up(&document);
    assert_document(&document, HANG_UP);
    twiml_dial(&document, "+14155550111");
    assert_document(&document, HEAD "<Response><Dial><Number>+14155550111</Number></Dial></Response>");
    twiml_empty(&document);
    assert_document(&document, HEAD "<Response/>");
}

static void test_escapes(void **state)
{
    static const struct {
        const char *words, *xml;
    } rows[] = {
        {"a & b", "a &amp; b"},
        {"<Hangup/>", "&lt;Hangup/&gt;"},
        {"\"it's\"", "&quot;it&apos;s&quot;"},
        {"&amp;", "&amp;amp;"},
        {"a\x01" "b\x1f" "c", "abc"},
        {"a\tb\r\nc", "a\tb\r\nc"},
        {"שלום 世界", "שלום 世界"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct twiml document;
        char expected[512] = HEAD "<Response><Say>";
        strcat(strcat(expected, rows[i].xml), "</Say><Hangup/></Response>");
        twiml_say_and_hang_up(&document, rows[i].words);
        assert_document(&document, expected);
    }
}

static void test_numbers(void **state)
{
    static const char *const good[] = {"+14155550111", "4155550111", "112", "+123456789012345"};
    static const char *const bad[] = {"", "+", "+1234567890123456", "+1 415", "client:x", "<Hangup/>", "++1", "1+"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(twiml_number_good(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(twiml_number_good(bad[i]));
}

/* Too long a text never gives half a document. */
static void test_bound(void **state)
{
    static const char around[] = HEAD "<Response><Say></Say><Hangup/></Response>";
    size_t fits = TWIML_SIZE - sizeof around;
    char *words = calloc(1, TWIML_SIZE + 1);
    struct twiml document;
    (void)state;
    memset(words, 'x', fits);
    twiml_say_and_hang_up(&document, words);
    assert_int_equal(document.len, TWIML_SIZE - 1);
    assert_string_equal(document.text + document.len - 11, "</Response>");
    words[fits] = 'x';
    twiml_say_and_hang_up(&document, words);
    assert_document(&document, HANG_UP);
    memset(words, '&', TWIML_SIZE);
    twiml_say_and_hang_up(&document, words);
    assert_document(&document, HANG_UP);
    free(words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
