/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/guard/hostile.h"
#include "tests/lib/test.h"

#define PROCESSES 8 /* that answer side by side */

/* A key and a certificate that it has signed itself. */
static SSL_CTX *context_make(void)
{
        SSL_CTX *context = SSL_CTX_new(TLS_server_method());
        EVP_PKEY *key = EVP_EC_gen("P-256");
        X509 *cert = X509_new();

        ASSERT(context != NULL && key != NULL && cert != NULL);
        ASSERT(X509_set_version(cert, 2) == 1);
        ASSERT(X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL);
        ASSERT(X509_gmtime_adj(X509_getm_notAfter(cert), 3600) != NULL);
        ASSERT(X509_set_pubkey(cert, key) == 1 && X509_sign(cert, key, EVP_sha256()) > 0);
        ASSERT(SSL_CTX_use_certificate(context, cert) == 1);
        ASSERT(SSL_CTX_use_PrivateKey(context, key) == 1);
        X509_free(cert);
        EVP_PKEY_free(key);
        return context;
}

static void answer(SSL_CTX *context, int fd)
{
        SSL *ssl = SSL_new(context);
        char text[4096];
        int n;

        if (ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1 &&
            SSL_read(ssl, text, sizeof(text)) > 0) {
                n = snprintf(text, sizeof(text),
                             "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhandshake %s by %s",
                             SSL_session_reused(ssl) ? "shortened" : "whole", SSL_get_version(ssl));
                (void)SSL_write(ssl, text, n);
                (void)SSL_shutdown(ssl);
        }
        SSL_free(ssl);
}

static int listen_anywhere(unsigned *ret_port)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_ANY) } };
        socklen_t n = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ASSERT(bind(fd, (struct sockaddr *)(void *)&address, n) == 0 && listen(fd, 1000) == 0);
        ASSERT(getsockname(fd, (struct sockaddr *)(void *)&address, &n) == 0);
        *ret_port = ntohs(address.sin_port);
        return fd;
}

pid_t hostile_tls_start(int version, unsigned *ret_port)
{
        int fd = listen_anywhere(ret_port);
        SSL_CTX *context;
        pid_t pid = fork();

        if (pid != 0) {
                (void)close(fd);
                return pid;
        }
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        (void)signal(SIGPIPE, SIG_IGN);
        context = context_make();
        ASSERT(SSL_CTX_set_max_proto_version(context, version) == 1);
        /* One made for each connection takes longer than a handshake with a sanitizer. */
        for (int i = 1; i < PROCESSES && fork() == 0; i++)
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        for (;;) {
                int peer = accept(fd, NULL, NULL);

                answer(context, peer);
                (void)close(peer);
        }
}

pid_t hostile_mute_start(unsigned *ret_port)
{
        int fd = listen_anywhere(ret_port);
        pid_t pid = fork();

        if (pid != 0) {
                (void)close(fd);
                return pid;
        }
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        for (;;)
                (void)accept(fd, NULL, NULL); /* kept: nobody hears that it ends */
}
