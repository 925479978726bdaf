#include "warmer/signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/base64.h"
#include "common/base/crypto.h"

enum { URL_MAX = 4096, TOKEN_MAX = 256, SIGNATURE_SIZE = BASE64_TEXT_SIZE(SHA1_BYTES) };

/* The parts of a URL around its port: "https://host", ":443" or "", "/path?query". */
struct url_parts {
    size_t host_end, port_end, end;
};

static struct url_parts split_url(const char *url)
{
    struct url_parts parts;
    const char *authority = strstr(url, "://");
    const char *path, *port;
    parts.end = strcspn(url, "#");
    authority = authority ? authority + 3 : url;
    path = authority + strcspn(authority, "/?#");
    for (port = path; port > authority && port[-1] >= '0' && port[-1] <= '9';)
        port--;
    parts.port_end = (size_t)(path - url);
    parts.host_end = port > authority && port[-1] == ':' ? (size_t)(port - 1 - url) : parts.port_end;
    return parts;
}

static const char *scheme_port(const char *url)
{
    return strncasecmp(url, "https:", 6) == 0 || strncasecmp(url, "wss:", 4) == 0 ? ":443" : ":80";
}

static int compare_fields(const void *a, const void *b)
{
    const struct form_field *x = a, *y = b;
    int names = strcmp(x->name, y->name); /* strcmp compares as unsigned bytes */
    return names ? names : strcmp(x->value, y->value);
}

/* The form as it is signed: sorted by name, then value, exact duplicates once, name and value
 * pasted together. NULL when out of memory; the caller frees. */
static char *signed_form(const struct form *form)
{
    struct form_field sorted[FORM_FIELDS_MAX];
    size_t size = 1;
    char *text, *to;
    memcpy(sorted, form->fields, form->count * sizeof sorted[0]);
    qsort(sorted, form->count, sizeof sorted[0], compare_fields);
    for (size_t i = 0; i < form->count; i++)
        size += strlen(sorted[i].name) + strlen(sorted[i].value);
    text = to = malloc(size);
    if (!text)
        return NULL;
    *to = '\0';
    for (size_t i = 0; i < form->count; i++) {
        if (i > 0 && compare_fields(&sorted[i - 1], &sorted[i]) == 0)
            continue;
        to = stpcpy(stpcpy(to, sorted[i].name), sorted[i].value);
    }
    return text;
}

/* A body that is no form is covered through its hash, which stands in the signed URL. */
static enum signature_verdict check_body_hash(const struct signed_request *request)
{
    const char *query = strchr(request->url, '?');
    const char *given = query ? strstr(query, "bodySHA256=") : NULL;
    char hex[SHA256_HEX_SIZE];
    if (!given || (given[-1] != '?' && given[-1] != '&'))
        return SIGNATURE_WRONG;
    given += strlen("bodySHA256=");
    if (!sha256_hex(hex, request->body, request->body_len))
        return SIGNATURE_UNSURE;
    return strncasecmp(given, hex, SHA256_HEX_SIZE - 1) == 0 ? SIGNATURE_GOOD : SIGNATURE_WRONG;
}

static enum signature_verdict check_text(const char *auth_tokens, const char *text, const char *given)
{
    bool good = false, unsure = false;
    for (const char *at = auth_tokens; *at;) {
        size_t len = strcspn(at, ",");
        char token[TOKEN_MAX], expected[SIGNATURE_SIZE];
        uint8_t digest[SHA1_BYTES];
        if (len > 0 && len < sizeof token) {
            memcpy(token, at, len);
            token[len] = '\0';
            unsure |= !hmac_sha1(digest, token, text, strlen(text));
            base64_encode(expected, digest, sizeof digest);
            good |= secret_equal(expected, given);
        }
        at += len + (at[len] == ',');
    }
    return good ? SIGNATURE_GOOD : unsure ? SIGNATURE_UNSURE : SIGNATURE_WRONG;
}

/* The URL as it is, and if that is not it, without and with a port. */
static enum signature_verdict check_urls(const char *url, const char *form, const char *auth_tokens, const char *given)
{
    struct url_parts parts = split_url(url);
    int host = (int)parts.host_end, tail = (int)(parts.end - parts.port_end);
    enum signature_verdict verdict;
    char *text;
    if (parts.end > URL_MAX)
        return SIGNATURE_WRONG;
    text = malloc(parts.end + sizeof ":65535" + strlen(form));
    if (!text)
        return SIGNATURE_UNSURE;
    strcpy(mempcpy(text, url, parts.end), form);
    verdict = check_text(auth_tokens, text, given);
    if (verdict == SIGNATURE_WRONG) {
        sprintf(text, "%.*s%.*s%s", host, url, tail, url + parts.port_end, form);
        verdict = check_text(auth_tokens, text, given);
    }
    if (verdict == SIGNATURE_WRONG) {
        sprintf(text, "%.*s%s%.*s%s", host, url, scheme_port(url), tail, url + parts.port_end, form);
        verdict = check_text(auth_tokens, text, given);
    }
    free(text);
    return verdict;
}

enum signature_verdict signature_check(const struct signed_request *request, const char *auth_tokens, const char *given)
{
    enum signature_verdict verdict = request->form ? SIGNATURE_GOOD : check_body_hash(request);
    char *form = request->form ? signed_form(request->form) : strdup("");
    if (!form)
        verdict = SIGNATURE_UNSURE;
    else if (verdict == SIGNATURE_GOOD)
        verdict = check_urls(request->url, form, auth_tokens, given);
    free(form);
    return verdict;
}
