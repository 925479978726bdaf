#include "worker/spool/inside.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"

enum { BROKEN_MS = 1000 }; /* a disk that failed is left alone for so long by those who can wait */

void spool_disk_failed(struct spool *s, const char *what)
{
    int error = errno;
    s->broken_until_ms = clock_mono_ms() + BROKEN_MS;
    if (log_allow(&s->disk_limit))
        log_error(NULL, "the spool cannot be used", log_str("what", what), log_str("dir", s->spec.dir),
                  log_str("error", strerror(error)), log_int("suppressed", s->disk_limit.suppressed));
}

static bool open_file(struct spool *s, struct spool_file *file)
{
    file->fd = spool_store_create(s->spec.dir, file->path);
    if (file->fd < 0)
        return false;
    file->len = SPOOL_HEAD_SIZE;
    if (!spool_store_append(file->fd, &file->len, file->owner, file->owner_size)) {
        int error = errno;
        spool_store_remove(file->fd, file->path);
        file->fd = -1;
        errno = error;
        return false;
    }
    spool_count(&s->bytes, (uint64_t)file->len);
    spool_count(&s->files, 1);
    if (log_allow(&s->spooled_limit))
        log_warn(file->call_sid, "journal entries wait on disk", log_int("suppressed", s->spooled_limit.suppressed));
    return true;
}

static void put(struct spool *s, const struct job *job)
{
    struct spool_file *file = job->file;
    bool held = job->turn == file->hurt;
    if (held || (file->fd < 0 && !open_file(s, file)) ||
        !spool_store_append(file->fd, &file->len, job->bytes, job->size)) {
        if (!held)
            spool_disk_failed(s, "write");
        file->hurt = job->turn;
        spool_uncount(&s->bytes, job->size);
        spool_count(&s->failed, 1);
        return;
    }
    spool_count(&s->written, 1);
    if (!file->touched) {
        file->touched = true;
        file->next_touched = s->touched;
        s->touched = file;
    }
}

static void untouch(struct spool *s, struct spool_file *file)
{
    struct spool_file **at = &s->touched;
    while (*at && *at != file)
        at = &(*at)->next_touched;
    if (*at)
        *at = file->next_touched;
    file->touched = false;
}

void spool_drop(struct spool *s, struct spool_file *file, bool aside)
{
    untouch(s, file);
    if (file->fd < 0)
        return;
    if (aside)
        spool_store_set_aside(file->fd, file->path);
    else
        spool_store_remove(file->fd, file->path);
    spool_uncount(&s->bytes, (uint64_t)file->len);
    spool_uncount(&s->files, 1);
    file->fd = -1;
}

void spool_obey(struct spool *s, const struct job *job)
{
    struct spool_file *file = job->file;
    switch (job->kind) {
    case JOB_PUT:
        put(s, job);
        break;
    case JOB_RETURN:
        spool_want(s, file);
        break;
    case JOB_FORGET:
        spool_unwant(s, file);
        spool_drop(s, file, false);
        spool_file_free(file);
        break;
    case JOB_LEAVE:
        if (file->state == FILE_RETURNING)
            spool_unwant(s, file);
        file->state = FILE_LEFT;
        spool_want(s, file);
        break;
    }
}

void spool_sync(struct spool *s)
{
    while (s->touched) {
        struct spool_file *file = s->touched;
        s->touched = file->next_touched;
        file->touched = false;
        if (fdatasync(file->fd) != 0)
            spool_disk_failed(s, "sync");
    }
}
