#include "worker/spool/spool.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "worker/spool/inside.h"

enum {
    QUEUE_BYTES_MAX = 8 * 1024 * 1024, /* handed over and not written yet */
    FAREWELL_MS = 3000,                /* what is brought back at the end, at most */
};

void spool_show(const struct spool *s, struct worker_metrics *out)
{
    metric_set(&out->spool_files, s->files);
    metric_set(&out->spool_bytes, s->bytes);
#define X(name) metric_set(&out->spool_##name, s->name);
    SPOOL_COUNTS(X)
#undef X
}

/* -- handing over -------------------------------------------------------------------------------- */

static void hand_over(struct spool *s, struct job *job)
{
    pthread_mutex_lock(&s->lock);
    *(s->head ? &s->tail->next : &s->head) = job;
    s->tail = job;
    s->queued += job->size;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
}

static bool queue_has_room(struct spool *s, size_t size)
{
    bool room;
    pthread_mutex_lock(&s->lock);
    room = s->queued + size <= QUEUE_BYTES_MAX;
    pthread_mutex_unlock(&s->lock);
    return room;
}

bool spool_put(struct spool_file *file, const struct spool_record *record)
{
    struct spool *s = file->spool;
    size_t size = spool_record_size(record);
    struct job *job;
    if (size == 0 || atomic_fetch_add_explicit(&s->bytes, size, memory_order_relaxed) + size > s->spec.max_bytes ||
        !queue_has_room(s, size) || !(job = malloc(sizeof *job + size))) {
        spool_uncount(&s->bytes, size);
        spool_count(&s->full, 1);
        return false;
    }
    *job = (struct job){.kind = JOB_PUT, .file = file, .turn = file->turn, .size = size};
    spool_record_write(record, job->bytes);
    hand_over(s, job);
    return true;
}

bool spool_usable(const struct spool *spool)
{
    return clock_mono_ms() >= spool->broken_until_ms;
}

bool spool_hurt(struct spool_file *file)
{
    if (file->hurt != file->turn)
        return false;
    file->turn++;
    return true;
}

/* These must arrive: their jobs are part of the file. */
static void tell(struct spool_file *file, enum job_kind kind)
{
    struct job *job;
    while (!(job = calloc(1, sizeof *job)))
        sched_yield();
    job->kind = kind;
    job->file = file;
    hand_over(file->spool, job);
}

void spool_return_soon(struct spool_file *file)
{
    file->state = FILE_RETURNING;
    tell(file, JOB_RETURN);
}

bool spool_returned(struct spool_file *file)
{
    if (file->state != FILE_RETURNED)
        return false;
    file->state = FILE_OPEN;
    return true;
}

void spool_forget(struct spool_file *file)
{
    tell(file, JOB_FORGET);
}

void spool_leave(struct spool_file *file)
{
    tell(file, JOB_LEAVE);
}

struct spool_file *spool_file_blank(struct spool *s)
{
    struct spool_file *file = calloc(1, sizeof *file);
    if (file) {
        file->spool = s;
        file->turn = 1;
        file->fd = -1;
    }
    return file;
}

void spool_file_free(struct spool_file *file)
{
    free(file->owner);
    free(file);
}

static struct spool_text text_of(const char *str)
{
    return (struct spool_text){str, strlen(str)};
}

struct spool_file *spool_file_new(struct spool *s, const char *call_sid, const char *stream_sid)
{
    const struct spool_record owner = {SPOOL_OWNER, 4, {text_of(s->spec.keys->prefix), text_of(call_sid),
                                                        text_of(stream_sid), text_of(s->spec.worker)}};
    struct spool_file *file = spool_file_blank(s);
    if (!file)
        return NULL;
    file->owner_size = spool_record_size(&owner);
    file->owner = malloc(file->owner_size);
    if (!file->owner) {
        spool_file_free(file);
        return NULL;
    }
    spool_record_write(&owner, file->owner);
    memcpy(file->call_sid, call_sid, strnlen(call_sid, CALL_SID_SIZE - 1));
    return file;
}

/* -- the thread ---------------------------------------------------------------------------------- */

/* How long there is nothing to do, unless somebody hands something over. */
static int64_t wait_ms(const struct spool *s)
{
    if (spool_return_due_now(s))
        return 0;
    return s->wanted ? 100 : 1000;
}

/* Takes all that is handed over. false: the spool is to end, and everything was taken. */
static bool take_jobs(struct spool *s, struct job **jobs)
{
    int64_t wait = wait_ms(s);
    struct timespec until;
    bool more;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += wait % 1000 * 1000000;
    until.tv_sec += wait / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&s->lock);
    if (!s->head && !s->stopping && wait > 0)
        pthread_cond_timedwait(&s->work, &s->lock, &until);
    *jobs = s->head;
    s->head = s->tail = NULL;
    s->queued = 0;
    more = *jobs || !s->stopping;
    pthread_mutex_unlock(&s->lock);
    return more;
}

static void tell_full(struct spool *s)
{
    uint64_t full = s->full;
    if (full == s->full_told || !log_allow(&s->disk_limit))
        return;
    log_error(NULL, "the spool is full (RINGFLEET_SPOOL_MAX_BYTES), or its disk does not keep up",
              log_int("bytes", (int64_t)s->bytes), log_int("refused", (int64_t)(full - s->full_told)));
    s->full_told = full;
}

static void farewell(struct spool *s)
{
    int64_t until = clock_mono_ms() + FAREWELL_MS;
    while (s->wanted && clock_mono_ms() < until && spool_return_next(s))
        ;
    while (s->wanted) {
        struct spool_file *file = s->wanted;
        spool_unwant(s, file);
        if (file->fd >= 0)
            close(file->fd); /* and is no longer locked: whoever comes next brings it back */
        spool_file_free(file);
    }
}

static void *run(void *arg)
{
    struct spool *s = arg;
    struct job *jobs;
    while (take_jobs(s, &jobs)) {
        while (jobs) {
            struct job *job = jobs;
            jobs = job->next;
            spool_obey(s, job);
            free(job);
        }
        spool_sync(s);
        tell_full(s);
        spool_look_for_orphans(s);
        if (spool_return_due_now(s))
            spool_return_next(s);
    }
    farewell(s);
    return NULL;
}

/* Signals are the main thread's. */
static bool start(struct spool *s)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->running = pthread_create(&s->thread, NULL, run, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->running;
}

struct spool *spool_new(const struct spool_spec *spec)
{
    struct spool *s = calloc(1, sizeof *s);
    pthread_condattr_t monotonic;
    if (!s)
        return NULL;
    s->spec = *spec;
    s->wanted_end = &s->wanted;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    s->back = spool_return_new(spec->url, spec->keys);
    if ((mkdir(spec->dir, 0700) != 0 && errno != EEXIST) || access(spec->dir, R_OK | W_OK | X_OK) != 0)
        spool_disk_failed(s, "enter it");
    if (s->back && start(s))
        return s;
    spool_free(s);
    return NULL;
}

void spool_free(struct spool *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    if (s->running)
        pthread_join(s->thread, NULL);
    spool_return_free(s->back);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
