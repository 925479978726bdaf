/* POST /voice/fallback: the carrier could not go on with a call (ErrorCode, ErrorUrl) and asks here what
 * to do. The call is taken up where it broke: at the document of ErrorUrl if that was an after/{n},
 * else from its beginning, or from the end of its last stream if it has had one. */
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "warmer/fallback.h"
#include "warmer/incoming.h"

enum { N_DIGITS_MAX = 4 };

/* The n of ".../voice/after/{n}", or -1. */
static int broken_after(const char *url)
{
    static const char path[] = "/voice/after/";
    const char *at = strstr(url, path);
    size_t digits = at ? strspn(at + sizeof path - 1, "0123456789") : 0;
    return digits > 0 && digits <= N_DIGITS_MAX ? atoi(at + sizeof path - 1) : -1;
}

int fallback_stream(const struct request *r)
{
    const char *url = form_get(&r->form, "ErrorUrl");
    metric_add(&r->w->metrics.fallbacks, 1);
    log_warn(r->call_sid, "carrier asked the fallback", log_str("error_code", form_get(&r->form, "ErrorCode")),
             log_str("error_url", url));
    return broken_after(url);
}

void fallback_handle(struct request *r)
{
    r->n = fallback_stream(r);
    if (r->n < 0)
        incoming_rescue(r);
    else
        after_handle(r);
}
