#include "worker/spool/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "worker/spool/record.h"

#define SUFFIX ".spool"
#define ASIDE ".damaged"
#define UNBORN ".new" /* not locked or without a head yet */

static bool ends_with(const char *name, const char *suffix)
{
    size_t len = strlen(name), size = strlen(suffix);
    return len > size && strcmp(name + len - size, suffix) == 0;
}

static void sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

static int give_up(int fd, const char *path)
{
    int error = errno;
    unlink(path);
    close(fd);
    errno = error;
    return -1;
}

/* Born under another name, so that nobody takes it for one whose owner is gone before it is locked. */
int spool_store_create(const char *dir, char path[SPOOL_PATH_SIZE])
{
    uint8_t head[SPOOL_HEAD_SIZE];
    char unborn[SPOOL_PATH_SIZE];
    uint64_t name;
    int64_t len = 0;
    int fd;
    if (RAND_bytes((unsigned char *)&name, sizeof name) != 1) {
        errno = EAGAIN;
        return -1;
    }
    if (snprintf(path, SPOOL_PATH_SIZE, "%.3900s/%016" PRIx64 SUFFIX, dir, name) < 0 ||
        snprintf(unborn, sizeof unborn, "%.3900s/%016" PRIx64 UNBORN, dir, name) < 0)
        return -1;
    fd = open(unborn, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 && errno == ENOENT && mkdir(dir, 0700) == 0)
        fd = open(unborn, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    spool_head_write(head);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || !spool_store_append(fd, &len, head, sizeof head) ||
        rename(unborn, path) != 0)
        return give_up(fd, unborn);
    sync_dir(dir);
    return fd;
}

bool spool_store_append(int fd, int64_t *len, const uint8_t *bytes, size_t count)
{
    size_t done = 0;
    while (done < count) {
        ssize_t n = write(fd, bytes + done, count - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int error = n < 0 ? errno : ENOSPC;
            /* If that fails too it stays as a torn record, which is passed over. */
            if (done > 0 && ftruncate(fd, (off_t)*len) != 0)
                *len += (int64_t)done;
            errno = error;
            return false;
        }
        done += (size_t)n;
    }
    *len += (int64_t)count;
    return true;
}

/* Up to size bytes from the beginning; fewer where it ends. -1: it cannot be read. */
static ssize_t read_up_to(int fd, uint8_t *out, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(fd, out + done, size - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

uint8_t *spool_store_read(int fd, size_t *len)
{
    struct stat st;
    uint8_t *bytes;
    ssize_t n;
    if (fstat(fd, &st) != 0)
        return NULL;
    bytes = malloc((size_t)st.st_size + 1);
    if (!bytes)
        return NULL;
    n = read_up_to(fd, bytes, (size_t)st.st_size);
    if (n < 0) {
        free(bytes);
        return NULL;
    }
    *len = (size_t)n;
    return bytes;
}

size_t spool_store_peek(int fd, uint8_t *out, size_t size)
{
    ssize_t n = read_up_to(fd, out, size);
    return n < 0 ? 0 : (size_t)n;
}

void spool_store_remove(int fd, const char *path)
{
    unlink(path);
    close(fd);
}

void spool_store_set_aside(int fd, const char *path)
{
    char aside[SPOOL_PATH_SIZE];
    if (snprintf(aside, sizeof aside, "%.4080s" ASIDE, path) > 0)
        (void)!rename(path, aside);
    close(fd);
}

/* Open and locked; -1: its owner lives, or it is gone. */
static int take(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0)
        return fd;
    close(fd);
    return -1;
}

int spool_store_adopt(const char *dir, bool (*fn)(void *arg, int fd, const char *path), void *arg)
{
    char path[SPOOL_PATH_SIZE];
    bool more = true;
    DIR *d = opendir(dir);
    if (!d)
        return -1;
    for (struct dirent *e; more && (e = readdir(d));) {
        bool whole = ends_with(e->d_name, SUFFIX);
        int fd;
        if (!whole && !ends_with(e->d_name, UNBORN))
            continue;
        snprintf(path, sizeof path, "%.3800s/%.255s", dir, e->d_name);
        fd = take(path);
        if (fd < 0)
            continue;
        if (whole)
            more = fn(arg, fd, path);
        else
            spool_store_remove(fd, path);
    }
    closedir(d);
    return 0;
}

/* Opened for reading only, since a volume may be mounted so for somebody to look at it. */
static bool is_owned(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool owned = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0)
        close(fd);
    return owned;
}

int spool_store_each(const char *dir, void (*fn)(void *arg, const char *path, bool owned), void *arg)
{
    char path[SPOOL_PATH_SIZE];
    DIR *d = opendir(dir);
    if (!d)
        return -1;
    for (struct dirent *e; (e = readdir(d));) {
        if (!ends_with(e->d_name, SUFFIX) && !ends_with(e->d_name, ASIDE))
            continue;
        snprintf(path, sizeof path, "%.3800s/%.255s", dir, e->d_name);
        fn(arg, path, is_owned(path));
    }
    closedir(d);
    return 0;
}
