/* The spool file's format: whatever happens to a file's bytes, what is whole is read, once and in order, and nothing else. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/spool/record.h"

enum { RECORDS = 12, FILE_MAX = 64 * 1024 };

struct file {
    uint8_t bytes[FILE_MAX];
    size_t len, ends[RECORDS + 1]; /* ends[0]: of the head */
};

/* Text n of record i: of many lengths, none too. */
static size_t text_for(int i, int n, char out[512])
{
    size_t len = (size_t)(i * 37 + n * 11) % 300;
    for (size_t k = 0; k < len; k++)
        out[k] = (char)(i * 31 + n * 7 + (int)k); /* any byte, those of the mark too */
    return len;
}

static struct spool_record record_for(int i, char texts[SPOOL_TEXTS_MAX][512])
{
    struct spool_record record = {.kind = (enum spool_kind)(1 + i % SPOOL_LEFT), .count = i % SPOOL_TEXTS_MAX};
    for (int n = 0; n < record.count; n++)
        record.texts[n] = (struct spool_text){texts[n], text_for(i, n, texts[n])};
    return record;
}

static struct file *file_new(void)
{
    struct file *f = calloc(1, sizeof *f);
    char texts[SPOOL_TEXTS_MAX][512];
    spool_head_write(f->bytes);
    f->len = f->ends[0] = SPOOL_HEAD_SIZE;
    for (int i = 0; i < RECORDS; i++) {
        struct spool_record record = record_for(i, texts);
        assert_true(f->len + spool_record_size(&record) <= FILE_MAX);
        spool_record_write(&record, f->bytes + f->len);
        f->len += spool_record_size(&record);
        f->ends[i + 1] = f->len;
    }
    return f;
}

static bool is_record(const struct spool_record *record, int i)
{
    char texts[SPOOL_TEXTS_MAX][512];
    struct spool_record wanted = record_for(i, texts);
    if (record->kind != wanted.kind || record->count != wanted.count)
        return false;
    for (int n = 0; n < wanted.count; n++) {
        if (record->texts[n].len != wanted.texts[n].len ||
            memcmp(record->texts[n].str, wanted.texts[n].str, wanted.texts[n].len) != 0)
            return false;
    }
    return true;
}

struct seen {
    int records, damages, torn;
    bool which[RECORDS];
};

/* Reads the first len bytes to their end; each record must be one of ours, in order. */
static struct seen read_all(const struct file *f, size_t len)
{
    struct seen seen = {0};
    struct spool_record record;
    size_t at = SPOOL_HEAD_SIZE;
    int next = 0;
    for (enum spool_found found; (found = spool_record_read(f->bytes, len, &at, &record)) != SPOOL_OVER;) {
        assert_true(at <= len);
        seen.damages += found == SPOOL_DAMAGE;
        seen.torn += found == SPOOL_TORN;
        if (found != SPOOL_RECORD)
            continue;
        while (next < RECORDS && !is_record(&record, next))
            next++;
        assert_true(next < RECORDS);
        seen.which[next++] = true;
        seen.records++;
    }
    return seen;
}

static void test_what_was_written(void **state)
{
    struct file *f = file_new();
    (void)state;
    struct seen seen = read_all(f, f->len);
    assert_true(spool_head_read(f->bytes, f->len));
    assert_int_equal(seen.records, RECORDS);
    assert_int_equal(seen.damages + seen.torn, 0);
    free(f);
}

/* A file cut at any byte: the records before it, and word of a torn one unless the cut is between two. */
static void test_torn_anywhere(void **state)
{
    struct file *f = file_new();
    (void)state;
    for (size_t len = SPOOL_HEAD_SIZE; len <= f->len; len++) {
        struct seen seen = read_all(f, len);
        int whole = 0;
        while (whole < RECORDS && f->ends[whole + 1] <= len)
            whole++;
        assert_int_equal(seen.records, whole);
        assert_int_equal(seen.torn, len > f->ends[whole]);
        assert_int_equal(seen.damages, 0);
    }
    free(f);
}

static int record_of_byte(const struct file *f, size_t at)
{
    int i = 0;
    while (f->ends[i + 1] <= at)
        i++;
    return i;
}

/* A bit flipped anywhere costs its own record, no other. */
static void test_flipped_anywhere(void **state)
{
    struct file *f = file_new();
    (void)state;
    for (size_t at = SPOOL_HEAD_SIZE; at < f->len; at++) {
        int hit = record_of_byte(f, at);
        f->bytes[at] ^= (uint8_t)(1 << at % 8);
        struct seen seen = read_all(f, f->len);
        assert_int_equal(seen.records, RECORDS - 1);
        assert_false(seen.which[hit]);
        assert_int_equal(seen.damages, hit < RECORDS - 1);
        assert_int_equal(seen.torn, hit == RECORDS - 1);
        f->bytes[at] ^= (uint8_t)(1 << at % 8);
    }
    free(f);
}

/* Pieces overwritten at random, and tails of rubbish: what is untouched is read. */
static void test_rubbish(void **state)
{
    struct file *f = file_new(), *hurt = malloc(sizeof *hurt);
    (void)state;
    srand(7);
    for (int round = 0; round < 3000; round++) {
        bool touched[RECORDS] = {false};
        *hurt = *f;
        for (int hits = rand() % 4; hits >= 0; hits--) {
            size_t from = SPOOL_HEAD_SIZE + (size_t)rand() % (f->len - SPOOL_HEAD_SIZE);
            size_t count = 1 + (size_t)rand() % 400;
            for (size_t at = from; at < from + count && at < f->len; at++) {
                uint8_t byte = (uint8_t)rand();
                touched[record_of_byte(f, at)] |= hurt->bytes[at] != byte;
                hurt->bytes[at] = byte;
            }
        }
        struct seen seen = read_all(hurt, hurt->len);
        for (int i = 0; i < RECORDS; i++) {
            if (!touched[i])
                assert_true(seen.which[i]);
        }
    }
    free(hurt);
    free(f);
}

/* Numbers that would lead out of the file lead nowhere. */
static void test_lying_lengths(void **state)
{
    static const uint32_t lengths[] = {0, 1, 0x7fffffff, 0xffffffff, SPOOL_RECORD_MAX, SPOOL_RECORD_MAX + 1};
    struct file *f = file_new();
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct file *lie = malloc(sizeof *lie);
        *lie = *f;
        memcpy(lie->bytes + f->ends[3] + 4, &lengths[i], 4);
        assert_int_equal(read_all(lie, lie->len).records, RECORDS - 1);
        free(lie);
    }
    free(f);
}

static void test_not_ours(void **state)
{
    uint8_t head[SPOOL_HEAD_SIZE];
    char *large = calloc(1, SPOOL_RECORD_MAX);
    struct spool_record record = {.kind = SPOOL_ENTRY, .count = 1, .texts = {{large, SPOOL_RECORD_MAX}}};
    (void)state;
    spool_head_write(head);
    assert_false(spool_head_read(head, SPOOL_HEAD_SIZE - 1));
    head[SPOOL_HEAD_SIZE - 1]++; /* a later version */
    assert_false(spool_head_read(head, SPOOL_HEAD_SIZE));
    assert_int_equal(spool_record_size(&record), 0);
    record.texts[0].len -= 6;
    assert_true(spool_record_size(&record) > SPOOL_RECORD_MAX);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_written), cmocka_unit_test(test_torn_anywhere),
        cmocka_unit_test(test_flipped_anywhere), cmocka_unit_test(test_rubbish),
        cmocka_unit_test(test_lying_lengths),    cmocka_unit_test(test_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
