/* Listening sockets from the "host:port" of the configuration. */
#pragma once
#include "common/base/base.h"

struct evconnlistener;
struct evhttp;

/* 0, or -1 with errno. */
RF_NODISCARD int listen_http(struct evhttp *http, const char *address);

/* A non-blocking listening descriptor the caller owns, or -1 with errno. */
RF_NODISCARD int listen_socket(const char *address);

/* When a connection cannot be accepted (no descriptors left) it is closed, and there is one log line: a listener
 * that stays readable would spin, and its peer would wait for nothing. From one thread of the process only. */
void listen_guard(struct evconnlistener *listener);
