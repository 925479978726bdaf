/* POST /voice/status: the carrier says what became of a call. */
#include "warmer/status.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "warmer/callback.h"

enum { WORD_MAX = 32 };

bool status_terminal(const char *status)
{
    static const char *const terminal[] = {"completed", "busy", "failed", "no-answer", "canceled"};
    for (size_t i = 0; i < ARRAY_LEN(terminal); i++) {
        if (strcmp(status, terminal[i]) == 0)
            return true;
    }
    return false;
}

static bool is_word(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz-");
    return len > 0 && len <= WORD_MAX && text[len] == '\0';
}

void status_handle(struct request *r)
{
    const char *status = form_get(&r->form, "CallStatus"), *sequence = form_get(&r->form, "SequenceNumber");
    const char *duration = form_get(&r->form, "CallDuration");
    char id[WORD_MAX + 32];
    if (!*sequence) /* a callback without a number is the only one of its call (Twilio counts from 0) */
        sequence = "0";
    if (!is_word(status) || !callback_is_number(sequence) || (*duration && !callback_is_number(duration))) {
        request_refuse(r, "no usable status");
        return;
    }
    log_info(r->call_sid, "call status", log_str("status", status), log_str("sequence", sequence));
    snprintf(id, sizeof id, "status:%s:%s", sequence, status);
    callback_record(r, &(struct callback){.type = JOURNAL_CALL_STATUS, .id = id, .status = status, .sequence = sequence,
                                    .values = {status, duration, sequence}});
}
