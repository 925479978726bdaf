#include "common/http/body.h"

#include <stdio.h>

/* curl takes a read of 0 bytes as the end, so a source that fails must say so. */
static size_t on_read(char *out, size_t size, size_t count, void *arg)
{
    struct http_body *body = arg;
    int64_t left = body->source.size - body->at;
    size_t room = size * count;
    ptrdiff_t got;
    if (left <= 0)
        return 0;
    got = body->source.read(body->source.arg, body->at, out, (int64_t)room < left ? room : (size_t)left);
    if (got <= 0)
        return CURL_READFUNC_ABORT;
    body->at += got;
    return (size_t)got;
}

/* To begin again: a connection that was kept turned out to be closed. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct http_body *body = arg;
    if (origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    body->at = offset;
    return CURL_SEEKFUNC_OK;
}

static bool add_part(struct http_body *body, const struct http_part *part)
{
    curl_mimepart *made = curl_mime_addpart(body->form);
    if (!made || curl_mime_name(made, part->name) != CURLE_OK)
        return false;
    if (part->text)
        return curl_mime_data(made, part->text, CURL_ZERO_TERMINATED) == CURLE_OK;
    return curl_mime_filename(made, part->filename) == CURLE_OK && curl_mime_type(made, part->type) == CURLE_OK &&
           curl_mime_data_cb(made, body->source.size, on_read, on_seek, NULL, body) == CURLE_OK;
}

static bool set_form(struct http_body *body, CURL *easy, const struct http_spec *spec)
{
    body->form = curl_mime_init(easy);
    for (int i = 0; body->form && i < HTTP_PARTS_MAX && spec->parts[i].name; i++) {
        if (!add_part(body, &spec->parts[i]))
            return false;
    }
    return body->form && curl_easy_setopt(easy, CURLOPT_MIMEPOST, body->form) == CURLE_OK;
}

bool http_body_set(struct http_body *body, CURL *easy, const struct http_spec *spec)
{
    if (spec->source)
        body->source = *spec->source;
    if (spec->parts[0].name)
        return set_form(body, easy, spec);
    if (!spec->source)
        return true;
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)body->source.size);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, body);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
    return curl_easy_setopt(easy, CURLOPT_SEEKDATA, body) == CURLE_OK;
}

void http_body_release(struct http_body *body)
{
    curl_mime_free(body->form);
}
