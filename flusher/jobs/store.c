#include "flusher/jobs/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/crypto.h"

static bool try_directory(const char *path, char *error, size_t error_size)
{
    if ((mkdir(path, 0750) == 0 || errno == EEXIST) && access(path, W_OK | X_OK) == 0)
        return true;
    snprintf(error, error_size, "recordings cannot be written to %s: %s", path, strerror(errno));
    return false;
}

/* In a directory that others write to, too (/tmp): what is in ours is removed in time, so it must be ours. */
static bool try_own_directory(const char *path, char *error, size_t error_size)
{
    struct stat st;
    if (!try_directory(path, error, error_size))
        return false;
    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
        return true;
    snprintf(error, error_size, "recordings are not written to %s: it is no directory, or somebody else's", path);
    return false;
}

static bool open_directory(struct store *store, const char *path, char *error, size_t error_size)
{
    if (*path != '/' || (size_t)snprintf(store->root, sizeof store->root, "%s", path) >= sizeof store->root) {
        snprintf(error, error_size,
                 "RINGFLEET_RECORDING_STORE is \"%s\": wanted is a whole path, /..., of at most %zu bytes, or "
                 "s3://bucket/prefix", path, sizeof store->root - 16);
        return false;
    }
    while (strlen(store->root) > 1 && store->root[strlen(store->root) - 1] == '/')
        store->root[strlen(store->root) - 1] = '\0';
    if ((size_t)snprintf(store->spool, sizeof store->spool, "%s/.partial", store->root) >= sizeof store->spool) {
        snprintf(error, error_size, "RINGFLEET_RECORDING_STORE is too long");
        return false;
    }
    return try_directory(store->root, error, error_size) && try_directory(store->spool, error, error_size);
}

/* Plain names only: a key that needs escapes would be signed in one spelling and asked for in another. */
static bool is_plain(const char *name)
{
    return name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./")] == '\0';
}

static bool open_bucket(struct store *store, const char *name, char *error, size_t error_size)
{
    const struct flusher_config *c = store->config;
    size_t bucket = strcspn(name, "/");
    store->is_bucket = true;
    if (bucket == 0 || !is_plain(name) ||
        (size_t)snprintf(store->root, sizeof store->root, "%s", name) >= sizeof store->root) {
        snprintf(error, error_size,
                 "RINGFLEET_RECORDING_STORE is \"s3://%s\": wanted is s3://bucket or s3://bucket/prefix, of letters, "
                 "digits and -_./", name);
        return false;
    }
    if (!*c->s3_access_key || !*c->s3_secret_key) {
        snprintf(error, error_size, "RINGFLEET_RECORDING_STORE is a bucket: it needs RINGFLEET_S3_ACCESS_KEY and "
                                    "RINGFLEET_S3_SECRET_KEY");
        return false;
    }
    while (store->root[strlen(store->root) - 1] == '/')
        store->root[strlen(store->root) - 1] = '\0';
    snprintf(store->signature, sizeof store->signature, "aws:amz:%s:s3", c->s3_region);
    if (*c->s3_endpoint) {
        size_t len = strlen(c->s3_endpoint);
        len -= c->s3_endpoint[len - 1] == '/';
        snprintf(store->base_url, sizeof store->base_url, "%.*s", (int)len, c->s3_endpoint);
    } else {
        snprintf(store->base_url, sizeof store->base_url, "https://s3.%s.amazonaws.com", c->s3_region);
    }
    if ((size_t)snprintf(store->spool, sizeof store->spool, "%s/ringfleet-recordings", c->recording_spool) >=
        sizeof store->spool) {
        snprintf(error, error_size, "RINGFLEET_RECORDING_SPOOL is too long");
        return false;
    }
    return try_directory(c->recording_spool, error, error_size) && try_own_directory(store->spool, error, error_size);
}

bool store_open(struct store *store, const struct flusher_config *config, char *error, size_t error_size)
{
    const char *place = config->recording_store;
    *store = (struct store){.config = config};
    if (!*place)
        return true;
    return strncmp(place, "s3://", 5) == 0 ? open_bucket(store, place + 5, error, error_size)
                                           : open_directory(store, place, error, error_size);
}

const char *store_name(char out[STORE_PATH_SIZE / 4], const char *day, const char *call_sid, const char *recording_sid,
                       const char *extension)
{
    snprintf(out, STORE_PATH_SIZE / 4, "%s/%s_%s%s", day, call_sid, recording_sid, extension);
    for (char *c = out; *c; c++)
        *c = *c == ':' || *c == '+' ? '-' : *c;
    return out;
}

const char *store_location(char out[STORE_PATH_SIZE], const struct store *store, const char *name)
{
    snprintf(out, STORE_PATH_SIZE, "%s%s/%s", store->is_bucket ? "s3://" : "", store->root, name);
    return out;
}

const char *store_partial(char out[STORE_PATH_SIZE], const struct store *store, const char *name, const char *suffix)
{
    snprintf(out, STORE_PATH_SIZE, "%s/%s%s", store->spool, name, suffix);
    return out;
}

static bool sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

const char *store_move(const struct store *store, int fd, const char *partial, const char *location)
{
    char directory[STORE_PATH_SIZE];
    snprintf(directory, sizeof directory, "%.*s", (int)(strrchr(location, '/') - location), location);
    if ((mkdir(directory, 0750) != 0 && errno != EEXIST) || fsync(fd) != 0 || rename(partial, location) != 0 ||
        !sync_directory(directory) || !sync_directory(store->root))
        return strerror(errno);
    return NULL;
}

/* The service insists on the header, and libcurl of Debian 12 makes it for some requests only. */
bool store_request(const struct store *store, const char *location, const char *sha256, struct store_request *request,
                   struct http_spec *spec)
{
    char of_nothing[SHA256_HEX_SIZE];
    if (!store->is_bucket || strncmp(location, "s3://", 5) != 0 || !is_plain(location + 5))
        return false;
    sha256_hex(of_nothing, "", 0);
    snprintf(request->url, sizeof request->url, "%s/%s", store->base_url, location + 5);
    snprintf(request->hash, sizeof request->hash, "x-amz-content-sha256: %s", sha256 ? sha256 : of_nothing);
    spec->url = request->url;
    spec->headers[0] = request->hash;
    spec->user = store->config->s3_access_key;
    spec->password = store->config->s3_secret_key;
    spec->aws_sigv4 = store->signature;
    return true;
}

static ptrdiff_t read_file(void *arg, int64_t offset, char *out, size_t size)
{
    return pread(*(const int *)arg, out, size, offset);
}

struct http_source store_file(const int *fd, int64_t size)
{
    return (struct http_source){read_file, (void *)(uintptr_t)fd, size};
}
