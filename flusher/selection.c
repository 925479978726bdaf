#include "flusher/selection.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "flusher/ledger.h"

/* seq runs without gaps; where one is missing something was lost before us. What is there is applied. */
static bool has_gap(const struct flush_call *call)
{
    const struct journal *writes = &call->journals[STREAM_WRITES];
    uint64_t expected = call->mark[STREAM_WRITES].lo + 1;
    for (size_t i = 0; i < writes->count; i++) {
        uint64_t seq = writes->entries[i].id.lo;
        if (seq < expected)
            continue;
        if (seq > expected) {
            log_error(call->sid, "the journal lacks entries", log_int("expected", (int64_t)expected),
                      log_int("found", (int64_t)seq));
            return true;
        }
        expected++;
    }
    return false;
}

struct picking {
    struct selection *selection;
    struct dead_list *dead;
};

typedef bool pick_fn(struct picking *p, struct flush_call *call, const struct journal_entry *entry);

static bool for_each_new_entry(struct picking *p, struct flush_call *calls, size_t count, pick_fn *fn)
{
    for (size_t c = 0; c < count; c++) {
        for (int s = 0; s < STREAM_COUNT; s++) {
            const struct journal *journal = &calls[c].journals[s];
            for (size_t i = 0; i < journal->count; i++) {
                const struct journal_entry *entry = &journal->entries[i];
                if (ledger_lacks(&calls[c], entry) && !fn(p, &calls[c], entry))
                    return false;
            }
        }
    }
    return true;
}

static bool count_entry(struct picking *p, struct flush_call *call, const struct journal_entry *entry)
{
    const char *wrong = journal_entry_wrong(entry);
    if (wrong)
        return dead_add(p->dead, call->sid, entry, "", wrong);
    p->selection->begin[entry->type + 1]++;
    return true;
}

static bool place_entry(struct picking *p, struct flush_call *call, const struct journal_entry *entry)
{
    struct selection *s = p->selection;
    if (!journal_entry_wrong(entry))
        s->picks[s->begin[entry->type]++] = (struct pick){call, entry};
    return true;
}

/* Counting sort: count each type, sum to where each begins, place. */
bool selection_make(struct selection *selection, struct flush_call *calls, size_t count, struct dead_list *dead)
{
    struct picking p = {selection, dead};
    size_t *begin = selection->begin;
    memset(selection, 0, sizeof *selection);
    for (size_t i = 0; i < count; i++)
        selection->gaps += has_gap(&calls[i]);
    if (!for_each_new_entry(&p, calls, count, count_entry))
        return false;
    for (int type = 0; type < JOURNAL_TYPE_COUNT; type++)
        begin[type + 1] += begin[type];
    selection->picks = malloc((begin[JOURNAL_TYPE_COUNT] + 1) * sizeof *selection->picks);
    if (!selection->picks)
        return false;
    for_each_new_entry(&p, calls, count, place_entry);
    memmove(begin + 1, begin, JOURNAL_TYPE_COUNT * sizeof *begin); /* each has run up to its end */
    begin[0] = 0;
    return true;
}

void selection_release(struct selection *selection)
{
    free(selection->picks);
    memset(selection, 0, sizeof *selection);
}
