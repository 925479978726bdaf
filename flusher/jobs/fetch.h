/* Brings a file from an HTTP server to the disk, a piece at a time, never all of it in memory. What was cut goes on
 * where it ended, also in another process, if the server still has the same file (ETag). */
#pragma once
#include "common/base/crypto.h"
#include "common/http/client.h"

struct fetch;

struct fetched {
    int status;            /* of the answer; 0: there was none */
    const char *error;     /* NULL: the file is complete */
    bool ours;             /* it is our disk that failed */
    int64_t retry_after_ms; /* the server asked for it; else 0 */
    int fd;                /* the file, complete; closed after the callback unless it is taken (dup) */
    int64_t bytes, new_bytes;
    bool resumed;
    char sha256[SHA256_HEX_SIZE];
};

typedef void fetch_fn(void *arg, const struct fetched *file);

/* spec: url, user and the like; path is the file's while it is incomplete. fn is called once, from the loop, unless
 * cancelled. NULL with one sentence in why (a static text). */
RF_NODISCARD struct fetch *fetch_begin(struct http_client *http, const struct http_spec *spec, const char *path,
                                       fetch_fn *fn, void *arg, const char **why);
/* What came so far stays. Accepts NULL; also called after the callback. */
void fetch_free(struct fetch *fetch);

/* Removes a file on its way, and what was known of it. */
void fetch_forget(const char *path);
