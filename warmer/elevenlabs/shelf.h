/* The directory of recordings that post-call webhooks bring: RINGFLEET_AUDIO_DIR/<conversation_id>.mp3. What has to
 * wait for the disk does so on a thread of its own, so that it keeps no caller waiting.
 *
 * Called from the loop only. */
#pragma once
#include "common/base/base.h"

struct event_base;
struct shelf;

enum { SHELF_PATH_SIZE = 1024 };

/* Removes what warmers that died in the middle of a recording have left. NULL, with a log line, when the directory
 * cannot be written to or memory is out. */
RF_NODISCARD struct shelf *shelf_new(struct event_base *base, const char *directory);

/* Those who wait are told that it was given up, before this returns. Accepts NULL. */
void shelf_free(struct shelf *shelf);

/* A file for a recording that is on its way; its name goes to path. -1, with a log line: the disk does not want it. */
RF_NODISCARD int shelf_begin(const struct shelf *shelf, char path[SHELF_PATH_SIZE]);

/* error: NULL, the recording is on the disk under its name; or why not. */
typedef void shelf_fn(const char *error, void *arg);

/* The file is whole and the shelf's from here on. fn is called exactly once, never from inside. false, without calling
 * it: out of memory, or too many are waiting; the file is gone. */
RF_NODISCARD bool shelf_keep(struct shelf *shelf, int fd, const char *path, const char *conversation_id, shelf_fn *fn,
                             void *arg);

/* Where a conversation's recording is, or will be. */
const char *shelf_place(char out[SHELF_PATH_SIZE], const struct shelf *shelf, const char *conversation_id);
