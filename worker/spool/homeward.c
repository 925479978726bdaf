#include "worker/spool/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"

enum {
    ADOPT_INTERVAL_MS = 5000,
    ADOPTED_MAX = 64, /* open at once */
    AGAIN_MS = 200,
    PEEK_BYTES = 1024, /* more than the first record may have: a prefix, two SIDs, a worker's id */
};

void spool_want(struct spool *s, struct spool_file *file)
{
    file->next_wanted = NULL;
    *s->wanted_end = file;
    s->wanted_end = &file->next_wanted;
}

void spool_unwant(struct spool *s, struct spool_file *file)
{
    for (struct spool_file **at = &s->wanted; *at; at = &(*at)->next_wanted) {
        if (*at != file)
            continue;
        *at = file->next_wanted;
        if (!*at)
            s->wanted_end = at;
        return;
    }
}

static void tell_returned(struct spool *s, const struct spool_tally *t)
{
    spool_count(&s->returned, t->added);
    spool_count(&s->refused, t->refused);
    spool_count(&s->buried, t->buried);
    spool_count(&s->damaged, t->damaged || t->torn > 0);
    if (t->buried > 0)
        log_error(t->call_sid, "spooled entries of a call that has left Redis are in the dead stream",
                  log_int("entries", (int64_t)t->buried));
    else if (t->added + t->known + t->refused > 0)
        log_info(t->call_sid, "spooled entries returned", log_int("added", (int64_t)t->added),
                 log_int("known", (int64_t)t->known), log_int("refused", (int64_t)t->refused));
    if (t->damaged || t->torn > 0)
        log_error(t->call_sid, t->damaged ? "a spool file is damaged; what is whole was returned, the file is kept"
                                          : "the end of a spool file was not whole",
                  log_int("torn", (int64_t)t->torn));
}

/* It is out of the list, and done with. */
static void settle(struct spool *s, struct spool_file *file, bool aside)
{
    spool_drop(s, file, aside);
    if (file->state == FILE_RETURNING) {
        file->state = FILE_RETURNED; /* from here on it is the loop's again */
        return;
    }
    s->adopted -= file->adopted;
    spool_file_free(file);
}

bool spool_return_due_now(const struct spool *s)
{
    return s->wanted && clock_mono_ms() >= s->again_ms && spool_return_due(s->back);
}

bool spool_return_next(struct spool *s)
{
    struct spool_file *file = s->wanted;
    struct spool_tally tally = {.torn = 0};
    char why[256] = "";
    size_t len = 0;
    uint8_t *bytes = file->fd < 0 ? NULL : spool_store_read(file->fd, &len);
    enum spool_result result = SPOOL_LATER;
    spool_unwant(s, file);
    if (file->fd < 0)
        result = SPOOL_DONE; /* the disk failed: there is nothing */
    else if (!bytes)
        spool_disk_failed(s, "read");
    else
        result = spool_return_file(s->back, bytes, len, &tally, why);
    free(bytes);
    switch (result) {
    case SPOOL_DONE:
        tell_returned(s, &tally);
        settle(s, file, tally.damaged);
        return true;
    case SPOOL_UNREADABLE:
        spool_count(&s->damaged, 1);
        log_error(file->call_sid, "a spool file cannot be read; it is kept", log_str("file", file->path));
        settle(s, file, true);
        return true;
    case SPOOL_LATER:
        break;
    }
    spool_want(s, file); /* behind the others */
    s->again_ms = clock_mono_ms() + AGAIN_MS;
    if (log_allow(&s->redis_limit))
        log_warn(*tally.call_sid ? tally.call_sid : file->call_sid, "spooled entries cannot be returned yet",
                 log_str("error", why), log_int("suppressed", s->redis_limit.suppressed));
    return false;
}

/* Another fleet's is left where it is, unlocked, and takes none of our own's places. */
static bool pass_by(struct spool *s, int fd)
{
    uint8_t head[PEEK_BYTES];
    size_t len = spool_store_peek(fd, head, sizeof head);
    if (len == 0 || spool_return_is_ours(s->back, head, len))
        return false;
    s->strangers++;
    close(fd);
    return true;
}

static bool adopt(void *arg, int fd, const char *path)
{
    struct spool *s = arg;
    struct spool_file *file;
    struct stat st;
    if (pass_by(s, fd))
        return true;
    file = spool_file_blank(s);
    if (!file || fstat(fd, &st) != 0) {
        free(file);
        close(fd);
        return false;
    }
    file->fd = fd;
    file->len = st.st_size;
    file->adopted = true;
    file->state = FILE_LEFT;
    memcpy(file->path, path, strlen(path) + 1);
    spool_count(&s->bytes, (uint64_t)file->len);
    spool_count(&s->files, 1);
    spool_want(s, file);
    return ++s->adopted < ADOPTED_MAX;
}

void spool_look_for_orphans(struct spool *s)
{
    int64_t now = clock_mono_ms();
    if (now < s->adopt_ms || s->adopted == ADOPTED_MAX)
        return;
    s->adopt_ms = now + ADOPT_INTERVAL_MS;
    s->strangers = 0;
    if (spool_store_adopt(s->spec.dir, adopt, s) != 0 && errno != ENOENT)
        spool_disk_failed(s, "look into it");
    if (s->strangers > s->strangers_told)
        log_warn(NULL, "spool files of another fleet or version are left alone", log_int("files", s->strangers));
    s->strangers_told = s->strangers;
}
