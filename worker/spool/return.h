/* Brings a spool file's entries into their call's journal (rf_late), once each however often it is tried. Blocking: for the
 * spool's own thread. */
#pragma once
#include "common/redis/keys.h"
#include "common/redis/url.h"

struct spool_return;

/* What became of a file's entries. */
struct spool_tally {
    char call_sid[CALL_SID_SIZE]; /* "" if the file does not say */
    uint64_t added, known;        /* to the journal; there before */
    uint64_t refused;             /* made after another worker had taken the call */
    uint64_t buried;              /* in the dead stream: the call has left Redis */
    bool damaged;                 /* bytes in the middle were passed over */
    size_t torn;                  /* bytes at the end that are no record */
};

/* DONE: nothing of the file is needed any more. UNREADABLE: it does not say which call's it is. LATER: not all could be
 * done now (why); what was done will be known. */
enum spool_result { SPOOL_DONE, SPOOL_UNREADABLE, SPOOL_LATER };

/* All borrowed. NULL: out of memory. */
RF_NODISCARD struct spool_return *spool_return_new(const struct redis_url *url, const struct key_space *keys);
void spool_return_free(struct spool_return *r); /* accepts NULL */

/* false: a file that begins with these bytes is another fleet's, or of a version that this one does not read. One that is
 * damaged there does not say, and is ours to look at. */
bool spool_return_is_ours(const struct spool_return *r, const uint8_t *bytes, size_t len);

/* One that is ours. */
enum spool_result spool_return_file(struct spool_return *r, const uint8_t *bytes, size_t len, struct spool_tally *tally,
                                    char why[256]);

/* false: Redis was not reached last time, and it is too early to try again. */
bool spool_return_due(const struct spool_return *r);
