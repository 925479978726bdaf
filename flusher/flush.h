/* The flusher: its lanes, as the main thread sees them. The main thread keeps the admin port and the signals. */
#pragma once
#include "flusher/config.h"

struct evbuffer;
struct flusher;

/* config is borrowed. NULL, with one sentence in error. */
RF_NODISCARD struct flusher *flusher_new(const struct flusher_config *config, char *error, size_t error_size);
/* Waits for the lanes that were started. */
void flusher_free(struct flusher *flusher);

RF_NODISCARD bool flusher_start(struct flusher *flusher);

/* Asks the lanes to end after the transactions they are in; any thread may ask. */
void flusher_stop(struct flusher *flusher);

/* Becomes readable when a lane has ended; they have all ended once flusher_ended is true. */
int flusher_ended_fd(const struct flusher *flusher);
bool flusher_ended(struct flusher *flusher);

/* Whether they ended because the fleet has another number of partitions. */
bool flusher_misfit(const struct flusher *flusher);

/* For the admin port; any thread. */
const char *flusher_not_ready(void *flusher);
void flusher_print_metrics(struct evbuffer *out, void *flusher);
