/* One post-call webhook as it arrives: hashed and sieved piece by piece, judged at its end, kept before it is
 * confirmed. A recording goes to a file beside; never is more than the JSON in memory. */
#pragma once
#include "warmer/warmer.h"

struct post;

/* JSON that is longer, without the recording, is refused. */
enum { POST_JSON_MAX = 4 * 1024 * 1024, POST_BODY_MAX = 512 * 1024 * 1024 };

/* NULL, and the HTTP status to refuse with. */
RF_NODISCARD struct post *post_begin(struct warmer *w, const char *signature_header, int *refuse);

/* 0, or the HTTP status to refuse with; then nothing more may be added. */
RF_NODISCARD int post_add(struct post *post, const void *bytes, size_t len);

/* status: 200 is kept, or has been; 4xx will never be; 500 is to be sent again. */
typedef void post_done_fn(int status, void *arg);

/* The body is complete. fn is called exactly once, perhaps from inside; the post is gone then. */
void post_end(struct post *post, post_done_fn *fn, void *arg);

/* The peer has gone: before post_end, all is dropped; after it, fn is not called. */
void post_abandon(struct post *post);
