/* AI sessions opened ahead, so that a caller does not wait for a handshake across the world.
 *
 * A few sockets stand open, upgraded and unconfigured; an idle session costs nothing (billing is
 * per response). They are closed when they get old, because a session's life runs from its opening
 * (60 minutes, OpenAI Realtime), and replaced. A provider that refuses is asked again with back-off, a
 * permanent refusal (key, model, quota) rarely: an authentication error never becomes a storm. */
#pragma once
#include "worker/ws/ws_conn.h"

struct ai_pool;

enum { AI_MESSAGE_MAX = 4 << 20 }; /* a session's echo holds all instructions; 1 MiB is not enough */

RF_NODISCARD struct ai_pool *ai_pool_new(struct worker *w);

/* An open session whose events go to the handler from now on, with what its parser remembers; or NULL if
 * there is none: dial. */
struct ws_conn *ai_pool_take(struct ai_pool *pool, const struct ws_handler *handler, void *arg, struct ai_memory *memory);

/* A session said that trying again would be refused again (wrong key, no quota): the pool waits. */
void ai_pool_refused(struct ai_pool *pool, const char *why);

/* Closes all. Accepts NULL. */
void ai_pool_free(struct ai_pool *pool);
