#include "common/base/resolve.h"

#include <stdio.h>
#include <stdlib.h>

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>

struct resolver {
    struct evdns_base *dns;
};

struct resolve_request {
    struct evdns_getaddrinfo_request *dns;
    resolve_fn *fn; /* NULL once cancelled */
    void *arg;
    bool done;
    bool in_call; /* evdns answers numeric hosts before evdns_getaddrinfo returns */
};

struct resolver *resolver_new(struct event_base *base)
{
    struct resolver *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (!r->dns) {
        free(r);
        return NULL;
    }
    /* A machine without name servers still resolves numbers and /etc/hosts. */
    if (evdns_base_resolv_conf_parse(r->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf") != 0)
        evdns_base_load_hosts(r->dns, "/etc/hosts");
    return r;
}

void resolver_free(struct resolver *r)
{
    if (!r)
        return;
    evdns_base_free(r->dns, 1);
    free(r);
}

static void on_answer(int result, struct evutil_addrinfo *found, void *arg)
{
    struct resolve_request *request = arg;
    request->done = true;
    if (request->fn && result == 0 && found)
        request->fn(NULL, found->ai_addr, found->ai_addrlen, request->arg);
    else if (request->fn)
        request->fn(evutil_gai_strerror(result ? result : EVUTIL_EAI_NODATA), NULL, 0, request->arg);
    if (found)
        evutil_freeaddrinfo(found);
    if (!request->in_call)
        free(request);
}

struct resolve_request *resolve(struct resolver *r, const char *host, uint16_t port, resolve_fn *fn, void *arg)
{
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct resolve_request *request = calloc(1, sizeof *request);
    char service[8];
    if (!request) {
        fn("out of memory", NULL, 0, arg);
        return NULL;
    }
    request->fn = fn;
    request->arg = arg;
    request->in_call = true;
    snprintf(service, sizeof service, "%u", (unsigned)port);
    request->dns = evdns_getaddrinfo(r->dns, host, service, &hints, on_answer, request);
    request->in_call = false;
    if (request->done) {
        free(request);
        return NULL;
    }
    return request;
}

void resolve_cancel(struct resolve_request *request)
{
    if (!request)
        return;
    request->fn = NULL;
    evdns_getaddrinfo_cancel(request->dns);
}
