/* Bodies of requests that are too long to be held in memory: read when the connection wants them. Inside
 * common/http only; who sends a request describes its body in struct http_spec. */
#pragma once
#include <curl/curl.h>

#include "common/http/client.h"

struct http_body {
    struct http_source source;
    int64_t at;
    curl_mime *form;
};

/* Makes the request one that sends what the spec says: source as PUT, parts as a form. true also if it says
 * neither. body is kept with the request and released after it. */
RF_NODISCARD bool http_body_set(struct http_body *body, CURL *easy, const struct http_spec *spec);
void http_body_release(struct http_body *body);
