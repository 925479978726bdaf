/* The letters of the dead streams: what Postgres refused. */
#pragma once
#include "flusher/inspect/look.h"

struct letter {
    int partition;
    const char *id; /* all texts are borrowed from the reply that the letter was read from */
    const char *call_sid, *stream, *entry_id, *type, *sqlstate, *message, *entry;
};

typedef bool letter_fn(struct look *look, const struct letter *letter, void *arg);

/* Calls fn for each letter, or for those that are meant: by their id, or by their call. fn is false: stop. Returns how
 * many there were; -1: Redis failed, or fn did. */
RF_NODISCARD int64_t letters_for_each(struct look *look, const char *meant, letter_fn *fn, void *arg);

/* After a replay: removes it from the dead stream, and the call's note that the entry was refused. */
RF_NODISCARD bool letter_remove(struct look *look, const struct letter *letter);

/* Whether it stands for a whole call that was parked. */
bool letter_is_call(const struct letter *letter);

/* Applies what it holds to Postgres once more, and removes it if that went well; a parked call is put back on
 * the index. Says on stdout what came of it. false: it stays. */
struct replay;
RF_NODISCARD struct replay *replay_new(const struct flusher_config *config);
void replay_free(struct replay *replay);
bool replay_letter(struct replay *replay, struct look *look, const struct letter *letter);
