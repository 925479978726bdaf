/* The flush thread: takes ended calls from the index, writes their journals to Postgres, says done.
 * Blocking clients in a thread of its own; the main thread keeps the admin port and the signals. */
#pragma once
#include "flusher/config.h"

struct evbuffer;
struct flusher;

/* config is borrowed. NULL, with one sentence in error. */
RF_NODISCARD struct flusher *flusher_new(const struct flusher_config *config, char *error, size_t error_size);
/* Waits for the thread if it was started. */
void flusher_free(struct flusher *flusher);

RF_NODISCARD bool flusher_start(struct flusher *flusher);

/* Asks the thread to end after the transaction it is in; any thread may ask. */
void flusher_stop(struct flusher *flusher);

/* Becomes readable when the thread has ended. */
int flusher_ended_fd(const struct flusher *flusher);

/* For the admin port; any thread. */
const char *flusher_not_ready(void *flusher);
void flusher_print_metrics(struct evbuffer *out, void *flusher);
