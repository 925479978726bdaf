/* POST /voice/stream: what became of a media stream. An error is kept for people who look for the reason
 * of a silent call: it is the carrier's only word about a handshake that failed. */
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/utf8.h"
#include "warmer/callback.h"

enum { ERROR_MAX = 500, SID_MAX = 64 };

void stream_handle(struct request *r)
{
    const char *event = form_get(&r->form, "StreamEvent"), *sid = form_get(&r->form, "StreamSid");
    char error[ERROR_MAX + 1], id[SID_MAX + 16];
    if (!*event || !call_sid_valid(sid) || strlen(sid) > SID_MAX) {
        request_refuse(r, "no usable stream event");
        return;
    }
    if (strcmp(event, "stream-error") != 0) {
        log_debug(r->call_sid, "stream", log_str("event", event), log_str("stream", sid));
        request_answer_status(r, 204);
        return;
    }
    utf8_copy(error, sizeof error, form_get(&r->form, "StreamError"));
    metric_add(&r->w->metrics.stream_errors, 1);
    log_warn(r->call_sid, "stream error", log_str("error", error), log_str("stream", sid));
    snprintf(id, sizeof id, "stream:%s", sid);
    callback_record(r, &(struct callback){.type = JOURNAL_STREAM_ERROR, .id = id, .status = "", .sequence = "",
                                    .values = {sid, error}});
}
