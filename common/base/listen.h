/* Listening sockets from the "host:port" of the configuration. */
#pragma once
#include "common/base/base.h"

struct evhttp;

/* 0, or -1 with errno. */
RF_NODISCARD int listen_http(struct evhttp *http, const char *address);

/* A non-blocking listening descriptor the caller owns, or -1 with errno. */
RF_NODISCARD int listen_socket(const char *address);
