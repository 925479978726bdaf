/* CallContext: everything a worker needs to know of a call, one text field per fact. It becomes the
 * Redis hash rf:{p}:call:<sid>, which workers read and people look at.
 *
 * Fields: every named column of load_call_context.sql and load_booked_times.sql except template_*, and
 *   call_sid, from, to, direction, opened_ms
 *   source            database; or partial (the database's, without what load_booked_times.sql adds and prompt_full) |
 *                     snapshot | minimal until, and unless, that comes
 *   answered_by       what the carrier says of who picked up, if it does
 *   lead_first_name   the column, or taken from lead_full_name
 *   lead_name_source  where that is from: the column, else first_name or full_name
 *   local_time        the column, or from business_timezone
 *   greeting, prompt_compact, prompt_full     rendered here, once */
#pragma once
#include "common/base/base.h"

enum {
    CONTEXT_FIELDS_MAX = 96,
    CONTEXT_VALUE_MAX = 32 * 1024,
    CONTEXT_BYTES_MAX = 192 * 1024, /* of one call, in Redis */
};

struct context_field {
    const char *name, *value;
    uint32_t value_len, _hash;
    uint8_t _next;
    bool due; /* to be written to Redis: no template, and not written yet */
};

/* Zeroed it is empty. */
struct context {
    struct context_field *fields;
    size_t count, bytes;
    struct context_memory *_memory; /* of fields, names and values */
    uint8_t *_chains;
};

/* Copies both; replaces a field of that name. -1 if a bound would be crossed; the context is then
 * as before. */
RF_NODISCARD int context_set(struct context *c, const char *name, const char *value);

/* The value, or "". */
const char *context_get(const struct context *c, const char *name);

/* All that is due has gone to Redis: due is from now on what is set anew. */
void context_written(struct context *c);

/* Which templates there are: voice, or the name of a messaging channel. */
#define CONTEXT_VOICE "voice"

/* Renders names, time, greeting and prompts from the fields and drops the template fields. A template is
 * looked for in template_channels (JSON, {"sms": {"prompt_full": ".."}}; not for voice), then in
 * template_<name>, then among the built-in ones; one that is broken is logged and passed over. Returns
 * how many were. now: seconds since 1970. */
int context_render(struct context *c, const char *channel, int64_t now);

/* The same in two steps: all but prompt_full; and prompt_full, of the fields there are by then. */
int context_render_first(struct context *c, const char *channel, int64_t now);
int context_render_rest(struct context *c, const char *channel);

/* Whether a field is the business' own, to be kept for calls of other people while the database is
 * away. Nothing is that is not named here. */
bool context_field_of_business(const char *name);

void context_move(struct context *to, struct context *from);
/* Adds the fields of one to another. -1: not all of them. */
RF_NODISCARD int context_copy(struct context *to, const struct context *from);
void context_release(struct context *c);
