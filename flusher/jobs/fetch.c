#include "flusher/jobs/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

enum {
    PATH_SIZE = 1100,
    ETAG_PATH_SIZE = PATH_SIZE + 8,
    ETAG_SIZE = 256,
    HEADER_SIZE = 320,
    HASH_BLOCK = 65536,
    ERROR_SIZE = 160,
};

struct fetch {
    struct http_request *request;
    char path[PATH_SIZE];
    int fd;
    int64_t have, had; /* bytes in the file; and when it was opened */
    int64_t total;     /* of the whole file; -1: the server does not say */
    char etag[ETAG_SIZE];
    bool begun, disk_failed;
    EVP_MD_CTX *hash;
    char error[ERROR_SIZE];
    fetch_fn *fn;
    void *arg;
};

/* -- what is there already -------------------------------------------------------------------------- */

static const char *etag_path(char out[ETAG_PATH_SIZE], const char *path)
{
    snprintf(out, ETAG_PATH_SIZE, "%.*s.etag", PATH_SIZE - 1, path);
    return out;
}

/* Which version of the file the bytes on the disk are of. Weak tags do not vouch for bytes (RFC 9110, 8.8.1). */
static void read_etag(struct fetch *f)
{
    char path[ETAG_PATH_SIZE];
    int fd = open(etag_path(path, f->path), O_RDONLY | O_CLOEXEC);
    ptrdiff_t len = fd >= 0 ? read(fd, f->etag, sizeof f->etag - 1) : 0;
    f->etag[len > 0 ? len : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

static bool write_etag(struct fetch *f, const char *etag)
{
    char path[ETAG_PATH_SIZE];
    size_t len = etag && *etag == '"' && strlen(etag) < sizeof f->etag ? strlen(etag) : 0;
    int fd;
    bool ok;
    unlink(etag_path(path, f->path));
    snprintf(f->etag, sizeof f->etag, "%.*s", (int)len, len ? etag : "");
    if (len == 0)
        return true;
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    ok = fd >= 0 && write(fd, etag, len) == (ptrdiff_t)len;
    if (fd >= 0)
        close(fd);
    return ok;
}

void fetch_forget(const char *path)
{
    char etag[ETAG_PATH_SIZE];
    unlink(path);
    unlink(etag_path(etag, path));
}

/* The lock keeps a process that slept and lost its job from writing into the file of the one that has it now. */
static const char *open_file(struct fetch *f)
{
    struct stat st;
    f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (f->fd < 0 || fstat(f->fd, &st) != 0)
        return strerror(errno);
    if (flock(f->fd, LOCK_EX | LOCK_NB) != 0)
        return "another process is writing this file";
    read_etag(f);
    f->had = *f->etag ? st.st_size : 0;
    return NULL;
}

/* -- bytes ------------------------------------------------------------------------------------------ */

static bool fail(struct fetch *f, bool disk, const char *why)
{
    f->disk_failed = disk;
    snprintf(f->error, sizeof f->error, "%s", why);
    return false;
}

static bool hash_begin(struct fetch *f)
{
    char block[HASH_BLOCK];
    bool ok = EVP_DigestInit_ex(f->hash, EVP_sha256(), NULL) == 1;
    for (int64_t at = 0; ok && at < f->have;) {
        ptrdiff_t len = pread(f->fd, block, sizeof block, at);
        ok = len > 0 && EVP_DigestUpdate(f->hash, block, (size_t)len) == 1;
        at += len;
    }
    return ok || fail(f, true, "what was there already cannot be read");
}

/* "bytes 100-199/200" */
static bool is_rest(struct fetch *f, const char *content_range)
{
    long long from, to, total;
    if (!content_range || sscanf(content_range, "bytes %lld-%lld/%lld", &from, &to, &total) != 3 || from != f->had ||
        to + 1 != total)
        return false;
    f->have = f->had;
    f->total = total;
    return true;
}

static bool begin(struct fetch *f, const struct http_request *request)
{
    const char *etag = http_header(request, "ETag"), *length = http_header(request, "Content-Length");
    f->begun = true;
    if (http_status(request) == 206) {
        if (!is_rest(f, http_header(request, "Content-Range")) || (etag && strcmp(etag, f->etag) != 0)) {
            fetch_forget(f->path);
            return fail(f, false, "the rest that was sent is not the rest that was asked for");
        }
        return hash_begin(f);
    }
    f->have = 0;
    f->total = length ? strtoll(length, NULL, 10) : -1;
    if (ftruncate(f->fd, 0) != 0 || !write_etag(f, etag))
        return fail(f, true, strerror(errno));
    return hash_begin(f);
}

static bool on_bytes(void *arg, const struct http_request *request, const char *bytes, size_t len)
{
    struct fetch *f = arg;
    if (!f->begun && !begin(f, request))
        return false;
    while (len > 0) {
        ptrdiff_t written = pwrite(f->fd, bytes, len, f->have);
        if (written <= 0) {
            const char *why = strerror(written < 0 ? errno : ENOSPC);
            fetch_forget(f->path); /* the disk may be full of files like this one */
            return fail(f, true, why);
        }
        if (EVP_DigestUpdate(f->hash, bytes, (size_t)written) != 1)
            return fail(f, true, "out of memory");
        f->have += written;
        bytes += written;
        len -= (size_t)written;
    }
    return true;
}

/* -- the end ---------------------------------------------------------------------------------------- */

/* Everything was there: asked for the bytes behind the last one, the server says how many there are. */
static bool was_complete(struct fetch *f, int status)
{
    const char *range = status == 416 ? http_header(f->request, "Content-Range") : NULL;
    long long total;
    if (!range || sscanf(range, "bytes */%lld", &total) != 1 || total != f->had || f->had == 0)
        return false;
    f->have = f->total = total;
    return hash_begin(f);
}

static void finish_hash(struct fetch *f, struct fetched *file)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    EVP_DigestFinal_ex(f->hash, digest, &len);
    for (unsigned int i = 0; i < len && i < SHA256_BYTES; i++)
        snprintf(file->sha256 + 2 * i, 3, "%02x", digest[i]);
}

static const char *verdict(struct fetch *f, int status, const char *error)
{
    if (*f->error)
        return f->error;
    if (error)
        return error;
    if (was_complete(f, status))
        return NULL;
    if (status == 416)
        fetch_forget(f->path); /* it is another file by now */
    if (status / 100 != 2) {
        snprintf(f->error, sizeof f->error, "the server answered %d", status);
        return f->error;
    }
    if (!f->begun || f->have == 0)
        return "the file is empty";
    return f->total >= 0 && f->have != f->total ? "the file is shorter than the server said" : NULL;
}

static void on_done(void *arg, int status, const char *body, size_t len, const char *error)
{
    struct fetch *f = arg;
    struct fetched file = {.status = http_status(f->request), .fd = f->fd, .resumed = f->had > 0};
    (void)status;
    (void)body;
    (void)len;
    file.error = verdict(f, file.status, error);
    file.ours = f->disk_failed;
    file.bytes = f->have;
    file.resumed = f->begun && file.status == 206;
    file.new_bytes = f->begun ? f->have - (file.resumed ? f->had : 0) : 0;
    file.retry_after_ms = http_retry_after_ms(f->request);
    f->request = NULL;
    if (!file.error)
        finish_hash(f, &file);
    f->fn(f->arg, &file); /* may free f */
}

static bool send(struct fetch *f, struct http_client *http, const struct http_spec *spec)
{
    struct http_spec whole = *spec;
    char range[HEADER_SIZE], if_range[HEADER_SIZE];
    int used = 0;
    whole.answer_max = 65536;
    whole.cut = true;
    whole.sink = on_bytes;
    while (used < HTTP_HEADERS_MAX && whole.headers[used])
        used++;
    if (f->had > 0 && used + 2 <= HTTP_HEADERS_MAX) {
        snprintf(range, sizeof range, "Range: bytes=%lld-", (long long)f->had);
        snprintf(if_range, sizeof if_range, "If-Range: %s", f->etag);
        whole.headers[used] = range;
        whole.headers[used + 1] = if_range;
    }
    f->request = http_send(http, &whole, on_done, f);
    return f->request != NULL;
}

struct fetch *fetch_begin(struct http_client *http, const struct http_spec *spec, const char *path, fetch_fn *fn,
                          void *arg, const char **why)
{
    struct fetch *f = calloc(1, sizeof *f);
    *why = "out of memory";
    if (!f)
        return NULL;
    f->fd = -1;
    f->total = -1;
    f->fn = fn;
    f->arg = arg;
    f->hash = EVP_MD_CTX_new();
    snprintf(f->path, sizeof f->path, "%s", path);
    if (f->hash)
        *why = open_file(f);
    if (!*why && send(f, http, spec))
        return f;
    if (!*why)
        *why = "the request could not be made";
    fetch_free(f);
    return NULL;
}

void fetch_free(struct fetch *f)
{
    if (!f)
        return;
    http_cancel(f->request);
    if (f->fd >= 0)
        close(f->fd);
    EVP_MD_CTX_free(f->hash);
    free(f);
}
