#include "warmer/elevenlabs/shelf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/crypto.h"
#include "common/base/log.h"

enum {
    WAITING_MAX = 16,
    LEFT_SECONDS = 3600, /* far above the time a webhook gets: no warmer that lives is still writing it */
};

struct errand {
    struct errand *next;
    int fd;
    char from[SHELF_PATH_SIZE], to[SHELF_PATH_SIZE];
    const char *error;
    shelf_fn *fn;
    void *arg;
};

struct shelf {
    const char *directory; /* borrowed from the configuration */
    struct event *done_event;
    int done_fd;
    size_t waiting; /* errands that nobody has been told of; the loop's */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t wake;
    struct errand *todo, **todo_end, *done, **done_end;
    bool stopping;
};

/* ---- the thread ---- */

/* On the disk, and not only in memory, under its name: only then is the webhook confirmed. What was there before under
 * the name is the same recording. */
static const char *store(const struct shelf *shelf, const struct errand *e)
{
    int directory = open(shelf->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *error = NULL;
    if (directory < 0 || fsync(e->fd) != 0 || rename(e->from, e->to) != 0 || fsync(directory) != 0)
        error = strerror(errno);
    close(e->fd);
    if (directory >= 0)
        close(directory);
    if (error)
        unlink(e->from);
    return error;
}

static void *run(void *arg)
{
    struct shelf *shelf = arg;
    pthread_mutex_lock(&shelf->lock);
    for (;;) {
        struct errand *e = shelf->todo;
        if (!e && shelf->stopping)
            break;
        if (!e) {
            pthread_cond_wait(&shelf->wake, &shelf->lock);
            continue;
        }
        shelf->todo = e->next;
        if (!shelf->todo)
            shelf->todo_end = &shelf->todo;
        pthread_mutex_unlock(&shelf->lock);
        e->error = store(shelf, e);
        pthread_mutex_lock(&shelf->lock);
        e->next = NULL;
        *shelf->done_end = e;
        shelf->done_end = &e->next;
        eventfd_write(shelf->done_fd, 1);
    }
    pthread_mutex_unlock(&shelf->lock);
    return NULL;
}

/* ---- the loop ---- */

static void tell(struct shelf *shelf, bool given_up)
{
    struct errand *e;
    pthread_mutex_lock(&shelf->lock);
    e = shelf->done;
    shelf->done = NULL;
    shelf->done_end = &shelf->done;
    pthread_mutex_unlock(&shelf->lock);
    while (e) {
        struct errand *next = e->next;
        shelf->waiting--;
        e->fn(given_up ? "stopping" : e->error, e->arg);
        free(e);
        e = next;
    }
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
    eventfd_t count;
    (void)what;
    eventfd_read(fd, &count);
    tell(arg, false);
}

int shelf_begin(const struct shelf *shelf, char path[SHELF_PATH_SIZE])
{
    char name[33];
    int fd = -1;
    random_hex(name, 16);
    errno = ENAMETOOLONG;
    if (snprintf(path, SHELF_PATH_SIZE, "%s/.%s.part", shelf->directory, name) < SHELF_PATH_SIZE)
        fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0640);
    if (fd < 0)
        log_error(NULL, "a recording cannot be written", log_str("directory", shelf->directory),
                  log_str("error", strerror(errno)));
    return fd;
}

bool shelf_keep(struct shelf *shelf, int fd, const char *path, const char *conversation_id, shelf_fn *fn, void *arg)
{
    struct errand *e = shelf->waiting < WAITING_MAX ? calloc(1, sizeof *e) : NULL;
    if (!e) {
        close(fd);
        unlink(path);
        return false;
    }
    e->fd = fd;
    snprintf(e->from, sizeof e->from, "%s", path);
    shelf_place(e->to, shelf, conversation_id);
    e->fn = fn;
    e->arg = arg;
    shelf->waiting++;
    pthread_mutex_lock(&shelf->lock);
    *shelf->todo_end = e;
    shelf->todo_end = &e->next;
    pthread_cond_signal(&shelf->wake);
    pthread_mutex_unlock(&shelf->lock);
    return true;
}

const char *shelf_place(char out[SHELF_PATH_SIZE], const struct shelf *shelf, const char *conversation_id)
{
    snprintf(out, SHELF_PATH_SIZE, "%s/%s.mp3", shelf->directory, conversation_id);
    return out;
}

/* ---- life ---- */

static bool is_left_over(const char *directory, const char *name)
{
    size_t len = strlen(name);
    char path[SHELF_PATH_SIZE];
    struct stat st;
    if (len < 6 || name[0] != '.' || strcmp(name + len - 5, ".part") != 0 ||
        snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path || lstat(path, &st) != 0)
        return false;
    return S_ISREG(st.st_mode) && st.st_mtime < time(NULL) - LEFT_SECONDS;
}

static void remove_left_over(const char *directory, DIR *listing)
{
    const struct dirent *entry;
    int64_t removed = 0;
    while ((entry = readdir(listing)) != NULL) {
        if (is_left_over(directory, entry->d_name))
            removed += unlinkat(dirfd(listing), entry->d_name, 0) == 0;
    }
    if (removed)
        log_info(NULL, "unfinished recordings removed", log_int("files", removed));
}

static bool open_directory(const char *path)
{
    DIR *listing = strlen(path) < SHELF_PATH_SIZE - 160 /* a name */ ? opendir(path) : NULL;
    if (listing && access(path, W_OK | X_OK) == 0)
        remove_left_over(path, listing);
    else
        log_error(NULL, "RINGFLEET_AUDIO_DIR cannot be used", log_str("value", path), log_str("error", strerror(errno)),
                  log_str("wanted", "a directory that can be written to"));
    if (!listing)
        return false;
    closedir(listing);
    return access(path, W_OK | X_OK) == 0;
}

/* Signals belong to the main thread. */
static bool start(struct shelf *shelf)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    shelf->started = pthread_create(&shelf->thread, NULL, run, shelf) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return shelf->started;
}

struct shelf *shelf_new(struct event_base *base, const char *directory)
{
    struct shelf *shelf = open_directory(directory) ? calloc(1, sizeof *shelf) : NULL;
    if (!shelf)
        return NULL;
    shelf->directory = directory;
    shelf->todo_end = &shelf->todo;
    shelf->done_end = &shelf->done;
    pthread_mutex_init(&shelf->lock, NULL);
    pthread_cond_init(&shelf->wake, NULL);
    shelf->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (shelf->done_fd >= 0)
        shelf->done_event = event_new(base, shelf->done_fd, EV_READ | EV_PERSIST, on_done, shelf);
    if (shelf->done_event && event_add(shelf->done_event, NULL) == 0 && start(shelf))
        return shelf;
    shelf_free(shelf);
    return NULL;
}

void shelf_free(struct shelf *shelf)
{
    if (!shelf)
        return;
    pthread_mutex_lock(&shelf->lock);
    shelf->stopping = true;
    pthread_cond_signal(&shelf->wake);
    pthread_mutex_unlock(&shelf->lock);
    if (shelf->started)
        pthread_join(shelf->thread, NULL);
    tell(shelf, true);
    if (shelf->done_event)
        event_free(shelf->done_event);
    if (shelf->done_fd >= 0)
        close(shelf->done_fd);
    pthread_mutex_destroy(&shelf->lock);
    pthread_cond_destroy(&shelf->wake);
    free(shelf);
}
