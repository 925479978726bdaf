/* What a transcription service answers, and what becomes of the pieces of a recording. Pure. */
#pragma once
#include <jansson.h>

#include "common/base/base.h"

struct transcript_answer {
    enum {
        TRANSCRIPT_TEXT,
        TRANSCRIPT_TOO_LONG,      /* as one piece */
        TRANSCRIPT_REFUSED,       /* and will be again */
        TRANSCRIPT_MISCONFIGURED, /* key, model, address, bill: every piece would be refused */
        TRANSCRIPT_LATER,
    } verdict;
    char *text; /* what was said, or why not; never NULL after a read */
    json_t *_body;
    char _why[240];
};

/* body ends with a NUL. Release in any case. */
void transcript_answer_read(struct transcript_answer *answer, int status, const char *body, size_t len);
void transcript_answer_release(struct transcript_answer *answer);

/* [{"speaker", "from_ms", "to_ms", "text"}, ...] in order of time, of pieces [{"channel", "from", "to" (frames), "text"}];
 * empty ones are left out. One channel: nobody knows who speaks. New reference; NULL when memory is out. */
json_t *transcript_turns(const json_t *pieces, int channels, int rate, bool caller_first);
