/* The format of a spool file. Pure: bytes in, records out.
 *
 *   file     8 bytes: "rfspool" and the version of the format
 *   record   4 bytes of mark, u32 length of the payload, u32 CRC-32C of length and payload, payload
 *   payload  u8 kind, u8 number of texts, then each text: u32 length, bytes
 *
 * Numbers are little endian. A file is only ever appended to, so what a crash leaves is records and, at the end, a part of
 * one. What is damaged further up is passed over up to the next record: the checksum says which are whole. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SPOOL_HEAD_SIZE = 8,
    SPOOL_TEXTS_MAX = 32,
    SPOOL_RECORD_MAX = 1 << 20, /* bytes of a payload */
};

/* The texts of each kind:
 *   OWNER  key prefix, call_sid, stream_sid, worker: the first record of a file
 *   ENTRY  id, made_ms (of Redis' clock), then fields and values of the journal entry
 *   END    id (that the call_end entry was to get), reason, verdict, metrics
 *   LEFT   none: the call was handed over */
enum spool_kind { SPOOL_OWNER = 1, SPOOL_ENTRY, SPOOL_END, SPOOL_LEFT };

struct spool_text {
    const char *str;
    size_t len;
};

struct spool_record {
    enum spool_kind kind;
    int count;
    struct spool_text texts[SPOOL_TEXTS_MAX]; /* borrowed */
};

void spool_head_write(uint8_t out[SPOOL_HEAD_SIZE]);

/* false: it is no spool file, or one of a version that this one does not read. */
bool spool_head_read(const uint8_t *bytes, size_t len);

/* Bytes of the record in a file; 0: it is too large to be written. */
size_t spool_record_size(const struct spool_record *record);

/* Writes so many bytes. */
void spool_record_write(const struct spool_record *record, uint8_t *out);

/* RECORD: one was read. DAMAGE: bytes up to the next record were passed over. TORN: no record follows in what is left,
 * the end of the file was being written. OVER: nothing is left. */
enum spool_found { SPOOL_RECORD, SPOOL_DAMAGE, SPOOL_TORN, SPOOL_OVER };

/* The next thing at *at (SPOOL_HEAD_SIZE at first), which moves on. Texts point into bytes. */
enum spool_found spool_record_read(const uint8_t *bytes, size_t len, size_t *at, struct spool_record *out);
