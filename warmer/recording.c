/* POST /voice/recording: the carrier has a recording of the call, or could not make one. */
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "warmer/callback.h"

enum { SID_MAX = 64, URL_MAX = 2000 };

static bool is_url(const char *text)
{
    return strncmp(text, "https://", 8) == 0 && strlen(text) <= URL_MAX;
}

void recording_handle(struct request *r)
{
    const char *sid = form_get(&r->form, "RecordingSid"), *status = form_get(&r->form, "RecordingStatus");
    const char *url = form_get(&r->form, "RecordingUrl"), *duration = form_get(&r->form, "RecordingDuration");
    bool completed = strcmp(status, "completed") == 0;
    char id[SID_MAX + 16];
    if (!*status || !call_sid_valid(sid) || strlen(sid) > SID_MAX || (completed && !is_url(url)) ||
        (*duration && !callback_is_number(duration))) {
        request_refuse(r, "no usable recording");
        return;
    }
    if (!completed) { /* in-progress | absent | failed */
        if (strcmp(status, "in-progress") != 0)
            metric_add(&r->w->metrics.recordings_absent, 1);
        log_info(r->call_sid, "recording", log_str("status", status), log_str("recording", sid),
                 log_str("error", form_get(&r->form, "ErrorCode")));
        request_answer_status(r, 204);
        return;
    }
    log_info(r->call_sid, "recording", log_str("status", status), log_str("recording", sid));
    snprintf(id, sizeof id, "recording:%s", sid);
    callback_record(r, &(struct callback){.type = JOURNAL_RECORDING, .id = id, .status = "", .sequence = "",
                                    .values = {sid, url, duration}});
}
