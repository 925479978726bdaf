/* Keeps the directory of files on their way bounded. A file stays there when its job is given up, so that `flusher jobs
 * retry` goes on where it was: for a day, and as long as there is room. */
#pragma once
#include "flusher/jobs/metrics.h"
#include "flusher/jobs/store.h"

/* Removes files that nobody is at: those that are a day old, and the oldest ones while all of them together have more
 * than most_bytes. Counts what it removed, and what is there. A few system calls a file, from the jobs' own thread. */
void spool_tidy(const struct store *store, int64_t most_bytes, struct jobs_metrics *metrics);
