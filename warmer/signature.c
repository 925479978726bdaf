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
static bool body_hash_good(const struct signed_request *request)
{
    const char *query = strchr(request->url, '?');
    const char *given = query ? strstr(query, "bodySHA256=") : NULL;
    char hex[SHA256_HEX_SIZE];
    if (!given || (given[-1] != '?' && given[-1] != '&'))
        return false;
    given += strlen("bodySHA256=");
    sha256_hex(hex, request->body, request->body_len);
    return strncasecmp(given, hex, SHA256_HEX_SIZE - 1) == 0;
}

static bool signs(const char *auth_tokens, const char *text, const char *given)
{
    bool good = false;
    for (const char *at = auth_tokens; *at;) {
        size_t len = strcspn(at, ",");
        char token[TOKEN_MAX], expected[SIGNATURE_SIZE];
        uint8_t digest[SHA1_BYTES];
        if (len > 0 && len < sizeof token) {
            memcpy(token, at, len);
            token[len] = '\0';
            hmac_sha1(digest, token, text, strlen(text));
            base64_encode(expected, digest, sizeof digest);
            good |= secret_equal(expected, given);
        }
        at += len + (at[len] == ',');
    }
    return good;
}

bool signature_good(const struct signed_request *request, const char *auth_tokens, const char *given)
{
    const char *url = request->url;
    struct url_parts parts = split_url(url);
    int host = (int)parts.host_end, tail = (int)(parts.end - parts.port_end);
    char *form = request->form ? signed_form(request->form) : strdup("");
    char *text = NULL;
    bool good = false;
    if (!form || parts.end > URL_MAX || (!request->form && !body_hash_good(request)))
        goto out;
    text = malloc(parts.end + sizeof ":65535" + strlen(form));
    if (!text)
        goto out;
    strcpy(mempcpy(text, url, parts.end), form);
    good = signs(auth_tokens, text, given);
    if (good)
        goto out;
    sprintf(text, "%.*s%.*s%s", host, url, tail, url + parts.port_end, form);
    good = signs(auth_tokens, text, given);
    sprintf(text, "%.*s%s%.*s%s", host, url, scheme_port(url), tail, url + parts.port_end, form);
    good = good || signs(auth_tokens, text, given);
out:
    free(form);
    free(text);
    return good;
}
