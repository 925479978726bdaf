/* An HTTPS server on 127.0.0.1 that has one connection in its life, and keeps it: whoever is answered twice came twice
 * over the same one. Every request is answered with 200. */
#pragma once
#include <openssl/x509.h>
#include <pthread.h>
#include <stdint.h>

struct tls_server {
    uint16_t port;
    int answered;        /* requests; once it has been released */
    X509_STORE *trusted; /* holds its certificate */
    /* private */
    int listener;
    EVP_PKEY *key;
    X509 *certificate;
    pthread_t thread;
};

void tls_server_start(struct tls_server *s);

/* After the client has closed its connection, for which this waits. */
void tls_server_release(struct tls_server *s);
