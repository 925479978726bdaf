#include "flusher/turn_copy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "copy_sql.h"

/* journal.h */
enum { SPEAKER, MESSAGE, CONFIDENCE, STARTED_MS, ENDED_MS, INTERRUPTED };

enum { COLUMNS = 9, CHUNK = 64 * 1024, NUMBER_MAX = 24 };

/* Signature, flags, length of the header's extension. */
static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";
static const char trailer[] = "\377\377";

/* Postgres counts microseconds from 2000. */
static const int64_t epoch_2000_ms = 946684800000;

static char *room(struct turn_copy *c, size_t more)
{
    if (c->len + more > c->_cap) {
        size_t cap = c->_cap ? c->_cap : CHUNK;
        char *grown;
        while (cap < c->len + more)
            cap *= 2;
        grown = realloc(c->bytes, cap);
        if (!grown) {
            c->failed = true;
            return NULL;
        }
        c->bytes = grown;
        c->_cap = cap;
    }
    c->len += more;
    return c->bytes + c->len - more;
}

static void put(struct turn_copy *c, const void *bytes, size_t len)
{
    char *at = room(c, len);
    if (at)
        memcpy(at, bytes, len);
}

static void put_int2(struct turn_copy *c, uint16_t value)
{
    value = htons(value);
    put(c, &value, sizeof value);
}

static void put_int4(struct turn_copy *c, uint32_t value)
{
    value = htonl(value);
    put(c, &value, sizeof value);
}

static void put_text(struct turn_copy *c, const char *text, size_t len)
{
    put_int4(c, text ? (uint32_t)len : UINT32_MAX); /* all bits: NULL */
    if (text)
        put(c, text, len);
}

static void put_number(struct turn_copy *c, uint64_t value, size_t size)
{
    put_int4(c, (uint32_t)size);
    if (size == 8)
        put_int4(c, (uint32_t)(value >> 32));
    put_int4(c, (uint32_t)value);
}

/* -- values: false where only the statement knows what to do with it ---------------------------- */

static bool is_empty(struct journal_text text)
{
    return !text.str || text.len == 0;
}

static bool put_time(struct turn_copy *c, struct journal_text text, int64_t at_ms)
{
    int64_t ms = at_ms;
    if (!is_empty(text)) {
        ms = 0;
        if (text.len > 14) /* the year 5138 */
            return false;
        for (size_t i = 0; i < text.len; i++) {
            if (text.str[i] < '0' || text.str[i] > '9')
                return false;
            ms = 10 * ms + (text.str[i] - '0');
        }
    } else if (at_ms > 99999999999999) {
        return false;
    }
    put_number(c, (uint64_t)((ms - epoch_2000_ms) * 1000), 8);
    return true;
}

static bool put_real(struct turn_copy *c, struct journal_text text)
{
    char digits[NUMBER_MAX];
    float value;
    uint32_t bits;
    if (is_empty(text)) {
        put_text(c, NULL, 0);
        return true;
    }
    if (text.len >= sizeof digits || text.str[0] == '.' || strspn(text.str, "0123456789.") < text.len)
        return false;
    memcpy(digits, text.str, text.len);
    digits[text.len] = '\0';
    if (strchr(digits, '.') != strrchr(digits, '.'))
        return false;
    errno = 0;
    value = strtof(digits, NULL);
    if (errno)
        return false;
    memcpy(&bits, &value, sizeof bits);
    put_number(c, bits, 4);
    return true;
}

static bool put_bool(struct turn_copy *c, struct journal_text text)
{
    bool yes = text.len == 1 && text.str[0] == '1';
    if (!is_empty(text) && !yes && !(text.len == 1 && text.str[0] == '0'))
        return false;
    put_int4(c, 1);
    put(c, yes ? "\1" : "\0", 1);
    return true;
}

static bool put_turn(struct turn_copy *c, const struct pick *pick, uint32_t seq)
{
    const struct journal_entry *e = pick->entry;
    put_int2(c, COLUMNS);
    put_text(c, pick->call->sid, strlen(pick->call->sid));
    put_number(c, seq, 4);
    put_number(c, (uint64_t)journal_entry_seq(e), 8);
    put_text(c, e->fields[SPEAKER].str, e->fields[SPEAKER].len);
    put_text(c, e->fields[MESSAGE].str, e->fields[MESSAGE].len);
    return put_real(c, e->fields[CONFIDENCE]) && put_time(c, e->fields[STARTED_MS], e->at_ms) &&
           put_time(c, e->fields[ENDED_MS], e->at_ms) && put_bool(c, e->fields[INTERRUPTED]);
}

/* -- calls ------------------------------------------------------------------------------------- */

/* All turns of a call, or none: their numbers go on from one to the next. */
static bool put_call(struct turn_copy *c, const struct pick *picks, size_t count)
{
    size_t before = c->len;
    bool ok = picks->call->is_new;
    for (size_t i = 0; i < count && ok; i++)
        ok = put_turn(c, &picks[i], (uint32_t)i + 1);
    if (!ok)
        c->len = before;
    return ok;
}

static void send_rows(struct turn_copy *c)
{
    if (!c->failed && c->len > 0)
        c->failed = PQputCopyData(c->_conn, c->bytes, (int)c->len) != 1;
    c->len = 0;
}

bool turn_copy_begin(struct turn_copy *copy, PGconn *conn, struct db_error *error)
{
    PGresult *result = PQexec(conn, copy_sql[0].text);
    bool ok = PQresultStatus(result) == PGRES_COPY_IN;
    if (!ok)
        db_error_set(conn, result, error);
    PQclear(result);
    copy->_conn = conn;
    return ok;
}

size_t turn_copy_fill(struct turn_copy *copy, const struct pick *picks, size_t count, struct pick *left)
{
    size_t left_count = 0, run;
    copy->len = 0;
    copy->failed = false;
    put(copy, header, sizeof header - 1);
    for (size_t i = 0; i < count; i += run) {
        for (run = 1; i + run < count && picks[i + run].call == picks[i].call; run++)
            continue;
        if (!put_call(copy, picks + i, run)) {
            memcpy(left + left_count, picks + i, run * sizeof *left);
            left_count += run;
        }
        if (copy->_conn && copy->len >= CHUNK)
            send_rows(copy);
    }
    put(copy, trailer, sizeof trailer - 1);
    return left_count;
}

bool turn_copy_end(struct turn_copy *copy, struct db_error *error)
{
    PGresult *result;
    bool ended, ok;
    send_rows(copy);
    ended = ok = PQputCopyEnd(copy->_conn, copy->failed ? "out of memory" : NULL) == 1;
    if (!ended) /* and nothing will be answered */
        db_error_set(copy->_conn, NULL, error);
    while (ended && (result = PQgetResult(copy->_conn)))
        ok = db_check(copy->_conn, result, error) && ok;
    copy->_conn = NULL;
    return ok;
}

void turn_copy_release(struct turn_copy *copy)
{
    free(copy->bytes);
    memset(copy, 0, sizeof *copy);
}
