/* The files of the spool directory. Blocking: for the spool's own thread and the commands.
 *
 * A file is one call's, of one worker, readable by its owner only; its name says nothing about either. Whoever writes or
 * returns it holds a lock on it (flock), so that one of a worker that is gone can be told from a live one's, also by
 * another host on the same volume. Functions that fail set errno. */
#pragma once
#include "common/base/base.h"

enum { SPOOL_PATH_SIZE = 4096 };

/* A new file with its head, open and locked; makes the directory if it is missing. -1: it cannot be made. */
RF_NODISCARD int spool_store_create(const char *dir, char path[SPOOL_PATH_SIZE]);

/* All or nothing: what could be written in part is taken back. len is the file's, and moves on. */
RF_NODISCARD bool spool_store_append(int fd, int64_t *len, const uint8_t *bytes, size_t count);

/* The whole file; malloc'd. NULL: it cannot be read. */
uint8_t *spool_store_read(int fd, size_t *len);

/* Its first bytes, as many as there are up to size; how many, or 0 if it cannot be read. */
size_t spool_store_peek(int fd, uint8_t *out, size_t size);

/* Nobody needs it any more; or: it is kept under another name, for people. The file is closed. */
void spool_store_remove(int fd, const char *path);
void spool_store_set_aside(int fd, const char *path);

/* Calls fn for each file whose owner is gone, until it says false. The file is fn's then, locked. -1: the directory
 * cannot be read. */
int spool_store_adopt(const char *dir, bool (*fn)(void *arg, int fd, const char *path), void *arg);

/* Calls fn for each file there is, its owner alive or not; a directory that can only be read will do. -1 likewise. */
int spool_store_each(const char *dir, void (*fn)(void *arg, const char *path, bool owned), void *arg);
