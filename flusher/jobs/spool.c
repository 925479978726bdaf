#include "flusher/jobs/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "flusher/jobs/fetch.h"

enum { FILES_MAX = 1000 /* in one round */, KEPT_SECONDS = 86400 };

struct leftover {
    char name[256];
    int64_t bytes;
    time_t touched;
};

static int older_first(const void *a, const void *b)
{
    time_t x = ((const struct leftover *)a)->touched, y = ((const struct leftover *)b)->touched;
    return x < y ? -1 : x > y;
}

/* What is known of a file goes with the file. */
static bool belongs(DIR *directory, const char *name)
{
    size_t len = strlen(name);
    char of[256];
    if (len < 6 || strcmp(name + len - 5, ".etag") != 0)
        return false;
    snprintf(of, sizeof of, "%.*s", (int)len - 5, name);
    return faccessat(dirfd(directory), of, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Returns how many there are. */
static size_t list(DIR *directory, struct leftover *files)
{
    const struct dirent *entry;
    size_t count = 0;
    while (count < FILES_MAX && (entry = readdir(directory)) != NULL) {
        struct stat st;
        if (fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode) ||
            belongs(directory, entry->d_name))
            continue;
        snprintf(files[count].name, sizeof files[count].name, "%s", entry->d_name);
        files[count].bytes = st.st_size;
        files[count++].touched = st.st_mtime;
    }
    return count;
}

/* Whoever fetches a file holds its lock. */
static bool remove_unused(DIR *directory, const struct store *store, const struct leftover *file)
{
    char path[STORE_PATH_SIZE];
    int fd = openat(dirfd(directory), file->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool unused = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (unused)
        fetch_forget(store_partial(path, store, file->name, ""));
    if (fd >= 0)
        close(fd);
    return unused;
}

static void tidy(DIR *directory, const struct store *store, struct leftover *files, int64_t most_bytes,
                 struct jobs_metrics *metrics)
{
    size_t count = list(directory, files), removed = 0;
    int64_t bytes = 0, freed = 0;
    time_t now = time(NULL);
    for (size_t i = 0; i < count; i++)
        bytes += files[i].bytes;
    qsort(files, count, sizeof *files, older_first);
    for (size_t i = 0; i < count; i++) {
        if (files[i].touched >= now - KEPT_SECONDS && bytes - freed <= most_bytes)
            continue;
        if (remove_unused(directory, store, &files[i])) {
            freed += files[i].bytes;
            removed++;
        }
    }
    metric_add(&metrics->partials_removed, removed);
    metric_set(&metrics->partial_bytes, (uint64_t)(bytes - freed));
    if (removed)
        log_info(NULL, "unfinished recordings removed", log_int("files", (int64_t)removed), log_int("bytes", freed));
}

void spool_tidy(const struct store *store, int64_t most_bytes, struct jobs_metrics *metrics)
{
    DIR *directory = opendir(store->spool);
    struct leftover *files = calloc(FILES_MAX, sizeof *files);
    if (directory && files)
        tidy(directory, store, files, most_bytes, metrics);
    else
        log_warn(NULL, "the spool cannot be tidied", log_str("directory", store->spool), log_str("error", strerror(errno)));
    free(files);
    if (directory)
        closedir(directory);
}
