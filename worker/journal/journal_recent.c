#include "worker/journal/journal_recent.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/worker.h"

/* No replica should be so far behind. */
enum { RECENT_MAX = 16, RECENT_MS = 10000 };

static void forget_oldest(struct journal *j)
{
    struct journal_entry *e = j->recent;
    j->recent = e->next;
    if (!j->recent)
        j->recent_tail = NULL;
    j->recent_count--;
    free(e);
}

void journal_recent_keep(struct journal *j, struct journal_entry *e)
{
    e->kept_ms = clock_mono_ms();
    e->next = NULL;
    if (j->recent_tail)
        j->recent_tail->next = e;
    else
        j->recent = e;
    j->recent_tail = e;
    j->recent_count++;
    while (j->recent_count > RECENT_MAX || j->recent->kept_ms < e->kept_ms - RECENT_MS)
        forget_oldest(j);
}

void journal_recent_return(struct journal *j, uint64_t last_seq)
{
    int count = 0;
    while (j->recent && j->recent->seq <= last_seq)
        forget_oldest(j);
    if (!j->recent)
        return;
    for (struct journal_entry *e = j->recent; e; e = e->next, count++)
        e->on_disk = false; /* it may have been forgotten there */
    j->recent_tail->next = j->head;
    j->tail = j->head ? j->tail : j->recent_tail;
    j->head = j->recent;
    j->recent = j->recent_tail = NULL;
    j->recent_count = 0;
    j->waiting += count;
    j->kept -= (uint64_t)count;
    metric_add(&j->w->metrics.journal_repeated, (uint64_t)count);
    log_warn(j->call_sid, "Redis has lost entries that it had acknowledged: they are sent again", log_int("entries", count));
}

void journal_recent_forget(struct journal *j)
{
    while (j->recent)
        forget_oldest(j);
}
