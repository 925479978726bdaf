#include "worker/round.h"

struct event_base *round_base_new(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;
    if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
        base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    return base;
}

bool round_once(struct event_base *base, bool waits)
{
    /* EVLOOP_NONBLOCK alone looks again and again until nothing is ready, which a busy loop never sees. */
    int how = waits ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK;
    return event_base_loop(base, how) >= 0 && !event_base_got_break(base);
}
