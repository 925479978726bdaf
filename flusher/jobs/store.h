/* Where recordings are kept: a directory, or a bucket of an S3-compatible service. Names, places, and how a request
 * to the bucket is signed; who sends it is recording.c or audio.c. */
#pragma once
#include "common/http/client.h"
#include "flusher/config.h"

enum { STORE_PATH_SIZE = 1024, STORE_URL_SIZE = 2048 };

struct store {
    const struct flusher_config *config;
    bool is_bucket;
    char root[STORE_PATH_SIZE / 4];  /* the directory; or bucket/prefix */
    char spool[STORE_PATH_SIZE / 4]; /* where files are while they are incomplete, and nothing else is (spool.h); for a
                                        directory on the same file system */
    char base_url[STORE_URL_SIZE / 2]; /* of the bucket: endpoint and bucket */
    char signature[128];             /* CURLOPT_AWS_SIGV4 */
};

/* Reads RECORDING_STORE and tries whether its directories can be written to. Does nothing where it is not set. false:
 * one sentence in error. */
RF_NODISCARD bool store_open(struct store *store, const struct flusher_config *config, char *error, size_t error_size);

/* A recording's name in the store: 2026-11-26/CA..._RE....wav (its extension with the dot). The ids are such as call_sid_valid allows; what a file
 * system or a signature may stumble over becomes '-', and recording_sid alone keeps names apart. */
const char *store_name(char out[STORE_PATH_SIZE / 4], const char *day, const char *call_sid, const char *recording_sid,
                       const char *extension);

/* Where the file of that name is, as recording.location says it: a path, or s3://bucket/key. */
const char *store_location(char out[STORE_PATH_SIZE], const struct store *store, const char *name);

/* The path of a file on its way. */
const char *store_partial(char out[STORE_PATH_SIZE], const struct store *store, const char *name, const char *suffix);

/* Into a directory: makes the file durable under its name. NULL, or why not. */
RF_NODISCARD const char *store_move(const struct store *store, int fd, const char *partial, const char *location);

/* What a request to the bucket borrows. */
struct store_request {
    char url[STORE_URL_SIZE], hash[96];
};

/* Makes spec (whose headers are empty) one for the object at a location (s3://...) of ours, signed over the body's sha256
 * too (NULL: there is no body). false: it is no such location. */
RF_NODISCARD bool store_request(const struct store *store, const char *location, const char *sha256,
                                struct store_request *request, struct http_spec *spec);

/* The bytes of an open file; *fd must live as long as the request. */
struct http_source store_file(const int *fd, int64_t size);
