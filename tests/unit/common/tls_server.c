#include "tests/unit/common/tls_server.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static void make_certificate(struct tls_server *s)
{
    X509_EXTENSION *address = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    s->key = EVP_EC_gen("P-256");
    s->certificate = X509_new();
    s->trusted = X509_STORE_new();
    assert_true(address && s->key && s->certificate && s->trusted);
    X509_set_version(s->certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(s->certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(s->certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(s->certificate), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(s->certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)"tests", -1, -1, 0);
    X509_set_issuer_name(s->certificate, X509_get_subject_name(s->certificate));
    X509_set_pubkey(s->certificate, s->key);
    X509_add_ext(s->certificate, address, -1);
    X509_EXTENSION_free(address);
    assert_true(X509_sign(s->certificate, s->key, EVP_sha256()) > 0);
    assert_int_equal(X509_STORE_add_cert(s->trusted, s->certificate), 1);
}

/* Whole requests without a body, one at a time. */
static void serve(struct tls_server *s, SSL *ssl)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char request[4096];
    int len = 0, got;
    while (len < (int)sizeof request - 1 && (got = SSL_read(ssl, request + len, (int)sizeof request - 1 - len)) > 0) {
        len += got;
        request[len] = '\0';
        if (!strstr(request, "\r\n\r\n"))
            continue;
        if (SSL_write(ssl, answer, sizeof answer - 1) <= 0)
            return;
        s->answered++;
        len = 0;
    }
}

static void *run(void *arg)
{
    struct tls_server *s = arg;
    SSL_CTX *settings = SSL_CTX_new(TLS_server_method());
    SSL *ssl;
    int fd = accept(s->listener, NULL, NULL);
    close(s->listener);
    SSL_CTX_use_certificate(settings, s->certificate);
    SSL_CTX_use_PrivateKey(settings, s->key);
    ssl = SSL_new(settings);
    if (SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1)
        serve(s, ssl);
    SSL_free(ssl);
    SSL_CTX_free(settings);
    close(fd);
    return NULL;
}

void tls_server_start(struct tls_server *s)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof in;
    *s = (struct tls_server){.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    make_certificate(s);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(s->listener, 1), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&in, &len), 0);
    s->port = ntohs(in.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
}

void tls_server_release(struct tls_server *s)
{
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    X509_STORE_free(s->trusted);
    X509_free(s->certificate);
    EVP_PKEY_free(s->key);
}
