/* The entries that one transaction is to apply, sorted by type. */
#pragma once
#include "flusher/batch.h"
#include "flusher/dead.h"

struct pick {
    struct flush_call *call;
    const struct journal_entry *entry;
};

/* Those of one type are picks[begin[type]] up to picks[begin[type + 1]]; within a type they stand by call, writes,
 * events. */
struct selection {
    struct pick *picks;
    size_t begin[JOURNAL_TYPE_COUNT + 1];
    uint64_t gaps; /* calls whose journal lacks an entry */
};

/* Picks what the ledger lacks of each call. Entries that are never tried (journal_entry_wrong) go to dead.
 * false: memory is out. Release in both cases. */
RF_NODISCARD bool selection_make(struct selection *selection, struct flush_call *calls, size_t count,
                                 struct dead_list *dead);
void selection_release(struct selection *selection);
