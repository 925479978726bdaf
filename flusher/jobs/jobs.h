/* What is done once a call is in the database: recordings are fetched, written down where the call has no transcript,
 * and the business is told. One thread with a loop of its own, so that nothing of it can hold up a flush; it
 * meets the flush in one table only (after_call_job, filled by note.c), and any number of processes may work on it. */
#pragma once
#include "flusher/config.h"

struct evbuffer;
struct jobs;

/* config is borrowed. NULL, with one sentence in error. */
RF_NODISCARD struct jobs *jobs_new(const struct flusher_config *config, char *error, size_t error_size);
/* Waits for the thread if it was started. Accepts NULL. */
void jobs_free(struct jobs *jobs);

RF_NODISCARD bool jobs_start(struct jobs *jobs);

/* Takes no new job, grants those under way some seconds, gives the rest back. Any thread may ask. */
void jobs_stop(struct jobs *jobs);

/* Becomes readable when the thread has ended. */
int jobs_ended_fd(const struct jobs *jobs);

/* For the admin port; any thread. */
const char *jobs_not_ready(void *jobs);
void jobs_print_metrics(struct evbuffer *out, void *jobs);
