#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/call/claim.h"

enum { NODES = 256 };

/* Replies as hiredis builds them; all of a test are freed at once. */
static redisReply nodes[NODES];
static redisReply *lists[NODES];
static size_t node_count, list_count;

/* Not reached: only answers are taken here. */
struct ticket *ticket_send(struct worker *w, ticket_fn *fn, void *owner, int argc, const char **argv)
{
    (void)w, (void)fn, (void)owner, (void)argc, (void)argv;
    return NULL;
}

static redisReply *text(const char *value)
{
    redisReply *reply = &nodes[node_count++];
    assert_true(node_count < NODES);
    *reply = (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)value, .len = strlen(value)};
    return reply;
}

static redisReply *list(redisReply *const parts[], size_t count)
{
    redisReply *reply = &nodes[node_count++];
    assert_true(node_count < NODES && list_count + count < NODES);
    *reply = (redisReply){.type = REDIS_REPLY_ARRAY, .elements = count, .element = &lists[list_count]};
    memcpy(&lists[list_count], parts, count * sizeof *parts);
    list_count += count;
    return reply;
}

/* Words with spaces between them, one text each. */
static redisReply *words(const char *const values[], size_t count)
{
    redisReply *parts[16];
    for (size_t i = 0; i < count; i++)
        parts[i] = text(values[i]);
    return list(parts, count);
}

#define WORDS(...) words((const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})))
#define LIST(...) list((redisReply *const[]){__VA_ARGS__}, ARRAY_LEN(((redisReply *const[]){__VA_ARGS__})))
#define ENTRY(...) LIST(text("1-1"), WORDS(__VA_ARGS__))
#define TURN(speaker, message) ENTRY("type", "turn", "speaker", speaker, "message", message)
#define FACT(data) ENTRY("type", "callsession_update", "by", "worker", "data", data)

static struct claim claim;

static const char *take(redisReply *context, redisReply *journal)
{
    return claim_take(LIST(text("CLAIMED"), text("2"), text("7"), text("1790000000000"), context, journal), &claim);
}

static int forget(void **state)
{
    (void)state;
    claim_release(&claim);
    node_count = list_count = 0;
    return 0;
}

static void test_taken(void **state)
{
    redisReply *context = WORDS("business_name", "Harbour Dental", "prompt_full", "Everything.");
    (void)state;
    assert_null(take(context, LIST(FACT("{\"worker\":\"a\"}"), TURN("assistant", "Hello."), TURN("caller", "Hi."))));
    assert_int_equal(claim.epoch, 2);
    assert_int_equal(claim.seq, 7);
    assert_string_equal(claim.context.prompt_full, "Everything.");
    assert_int_equal(claim.history.count, 2);
    assert_string_equal(claim.history.turns[1].speaker, "caller");
    assert_string_equal(claim.history.turns[1].text, "Hi.");
    assert_false(claim.idle);
}

/* Workers of two versions meet in Redis during an update: what the older does not know harms no call. */
static void test_written_by_a_newer_version(void **state)
{
    redisReply *context = WORDS("field_of_tomorrow", "x", "prompt_full", "Everything.", "tools", "");
    (void)state;
    assert_null(take(context, LIST(ENTRY("type", "hologram", "frame", "1"), TURN("caller", "Hi."), ENTRY("sort", "new"),
                                   LIST(text("1-2")), text("no entry"), FACT("[1, 2"), FACT("[1, 2]"), FACT("{\"handed_over\":7}"))));
    assert_int_equal(claim.history.count, 1);
    assert_string_equal(claim.context.prompt_full, "Everything.");
    assert_string_equal(claim.context.greeting, "");
    assert_false(claim.idle);
}

/* Only a hand-over that was the last thing of all tells how the call stands. */
static void test_idle(void **state)
{
    redisReply *nothing = LIST(text("prompt_full"), text(""));
    (void)state;
    assert_null(take(nothing, LIST(TURN("caller", "Hi."), FACT("{\"handed_over\":\"idle\"}"))));
    assert_true(claim.idle);
    claim_release(&claim);
    assert_null(take(nothing, LIST(TURN("caller", "Hi."), FACT("{\"handed_over\":\"busy\"}"))));
    assert_false(claim.idle);
    claim_release(&claim);
    assert_null(take(nothing, LIST(FACT("{\"handed_over\":\"idle\"}"), FACT("{\"worker\":\"b\"}"))));
    assert_false(claim.idle);
}

/* Kept over all hand-overs: the first sound of a greeting is heard once. */
static void test_greeting_begun(void **state)
{
    redisReply *nothing = LIST(text("prompt_full"), text(""));
    (void)state;
    assert_null(take(nothing, LIST(FACT("{\"worker\":\"a\"}"))));
    assert_int_equal(claim.greeting_began_ms, 0);
    claim_release(&claim);
    assert_null(take(nothing, LIST(FACT("{\"greeting_began_ms\":1790000000000}"), FACT("{\"worker\":\"b\"}"),
                                   FACT("{\"greeting_began_ms\":1790000009000}"))));
    assert_int_equal(claim.greeting_began_ms, 1790000000000);
    claim_release(&claim);
    assert_null(take(nothing, LIST(FACT("{\"greeting_began_ms\":\"soon\"}"), FACT("{\"greeting_began_ms\":-5}"))));
    assert_true(claim.greeting_began_ms <= 0);
}

static void test_bookings(void **state)
{
    redisReply *booking = ENTRY("type", "appointment_create", "starts_at", "2026-11-26T10:00:00Z", "ends_at",
                                "2026-11-26T10:30:00Z");
    redisReply *broken = ENTRY("type", "appointment_create", "starts_at", "soon", "ends_at", "");
    (void)state;
    assert_null(take(WORDS("source", "database"), LIST(booking, broken)));
    assert_int_equal(claim.booking_count, 1);
    assert_int_equal(claim.bookings[0].to - claim.bookings[0].from, 1800);
    for (int i = 0; i < 2 * CLAIM_BOOKINGS_MAX; i++)
        claim_add_booking(&claim, claim.bookings[0]);
    assert_int_equal(claim.booking_count, CLAIM_BOOKINGS_MAX);
}

/* After the greeting only what a session is opened with then is kept. */
static void test_greeted(void **state)
{
    (void)state;
    assert_null(take(WORDS("prompt_compact", "Greet.", "prompt_full", "Everything.", "voice", ""), LIST(FACT("{}"))));
    context_greeted(&claim.context);
    assert_string_equal(claim.context.prompt_compact, "");
    assert_string_equal(claim.context.prompt_full, "Everything.");
    context_greeted(&claim.context); /* once more harms nobody */
    assert_string_equal(claim.context.prompt_compact, "");
}

static void test_not_claimed(void **state)
{
    redisReply error = {.type = REDIS_REPLY_ERROR, .str = (char[]){"OOM command not allowed"}};
    redisReply nil = {.type = REDIS_REPLY_NIL};
    (void)state;
    assert_string_equal(claim_take(NULL, &claim), "redis connection lost");
    assert_string_equal(claim_take(&error, &claim), "OOM command not allowed");
    assert_string_equal(claim_take(WORDS("REPLAYED"), &claim), "REPLAYED");
    assert_string_equal(claim_take(WORDS("OVER"), &claim), "OVER");
    assert_string_equal(claim_take(&nil, &claim), "unexpected reply");
    assert_string_equal(claim_take(WORDS("CLAIMED", "1"), &claim), "unexpected reply");
    assert_string_equal(claim_take(WORDS("CLAIMED", "1", "1", "1", "context", "journal"), &claim), "unexpected reply");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_taken, forget),       cmocka_unit_test_teardown(test_written_by_a_newer_version, forget),
        cmocka_unit_test_teardown(test_idle, forget),        cmocka_unit_test_teardown(test_greeting_begun, forget),
        cmocka_unit_test_teardown(test_bookings, forget),    cmocka_unit_test_teardown(test_greeted, forget),
        cmocka_unit_test_teardown(test_not_claimed, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
