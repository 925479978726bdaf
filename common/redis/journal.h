/* The types of journal entries and their fields: what the worker and the warmer append and the
 * flusher applies. Each entry also has `type`, `by` (program) and `at` (ms since 1970); an event
 * has `id`, the carrier's own id, by which it was deduplicated. All values are text.
 *
 * The order of the fields is the order of the parameters of apply_<type>.sql; the order of the types is
 * the order in which a flush applies them. call_open comes first: it stands in the events of a call whose
 * open_call.sql may not have been committed, and makes the row that the others look at. */
#pragma once
#include "common/base/base.h"

enum { JOURNAL_FIELDS_MAX = 6 };

#define JOURNAL_TYPES(X)                                                                                      \
    X(CALL_OPEN, "call_open", "from", "to", "direction", "started_ms")                                        \
    X(TURN, "turn", "speaker", "message", "confidence", "started_ms", "ended_ms", "interrupted")              \
    X(LEAD_UPDATE, "lead_update", "lead_id", "field", "value")                                                \
    X(APPOINTMENT_CREATE, "appointment_create", "business_id", "lead_id", "starts_at", "ends_at", "title",    \
      "notes")                                                                                                \
    X(CALLSESSION_UPDATE, "callsession_update", "data")                                                       \
    X(CALL_STATUS, "call_status", "status", "duration", "sequence", "reason")                                           \
    X(STREAM_ERROR, "stream_error", "stream_sid", "error")                                                    \
    X(CALL_LINK, "call_link", "conversation_id", "provider_call_sid")                                         \
    X(RECORDING, "recording", "recording_sid", "url", "duration")                                             \
    X(CALL_END, "call_end", "reason", "metrics")

enum journal_type {
#define X(id, ...) JOURNAL_##id,
    JOURNAL_TYPES(X)
#undef X
    JOURNAL_TYPE_COUNT,
    JOURNAL_UNKNOWN = -1
};

struct journal_type_row {
    const char *name;
    const char *fields[JOURNAL_FIELDS_MAX];
    int field_count;
};

extern const struct journal_type_row journal_types[JOURNAL_TYPE_COUNT];

enum journal_type journal_type_named(const char *name);

/* A stream id: <epoch>-<seq> in writes, <ms>-<n> in events. */
struct stream_id {
    uint64_t hi, lo;
};

enum { STREAM_ID_SIZE = 42 };

/* false if text is not two decimal numbers with a dash. */
bool stream_id_parse(const char *text, struct stream_id *id);
const char *stream_id_format(char out[STREAM_ID_SIZE], struct stream_id id);
int stream_id_compare(struct stream_id a, struct stream_id b);
