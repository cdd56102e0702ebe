/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <openssl/ssl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapd/prober_tls.h"

#define PEERS_MAX    16384 /* of 200 bytes; with more, those go that were not asked for longest */
#define SESSIONS_MAX 2500  /* of 7 KB, most of it the certificate */
#define KEPT_USEC    (300 * INT64_C(1000000))

static int peer_index = -1; /* of a context's */

struct tls_peer {
        struct tls *tls;
        TAILQ_ENTRY(tls_peer) link; /* of those with a session, or of the idle ones */
        SSL_SESSION *session;       /* or NULL */
        unsigned held;              /* by requests and by contexts of open connections */
        bool hung, slow;
        bool fresh; /* it is of the last handshake that was begun */
        int64_t until_usec;
        char key[];
};

TAILQ_HEAD(peers, tls_peer);

struct tls {
        X509_STORE *store;
        void *peers;                 /* tsearch(3) */
        struct peers sessions, idle; /* oldest first; idle: not held and without a session */
        size_t n_peers, n_sessions;
};

static bool is_idle(const struct tls_peer *peer)
{
        return peer->held == 0 && peer->session == NULL;
}

void tls_forget(struct tls_peer *peer)
{
        struct tls *tls = peer->tls;

        if (peer->session == NULL)
                return;

        TAILQ_REMOVE(&tls->sessions, peer, link);
        SSL_SESSION_free(STEAL(peer->session));
        tls->n_sessions--;
        if (is_idle(peer))
                TAILQ_INSERT_TAIL(&tls->idle, peer, link);
}

static void peer_hold(struct tls_peer *peer)
{
        if (is_idle(peer))
                TAILQ_REMOVE(&peer->tls->idle, peer, link);
        peer->held++;
}

void tls_release(struct tls_peer *peer)
{
        if (peer == NULL)
                return;
        peer->held--;
        if (is_idle(peer))
                TAILQ_INSERT_TAIL(&peer->tls->idle, peer, link);
}

/* A context ends with its connection. */
static void on_context_end(void *parent, void *peer, CRYPTO_EX_DATA *data, int index, long n,
                           void *arg)
{
        (void)parent;
        (void)data;
        (void)index;
        (void)n;
        (void)arg;
        tls_release(peer);
}

/* A copy without the chain of certificates, which nobody looks at again, and which is not marked
 * as broken when a connection ends without a word. */
static SSL_SESSION *session_copy(SSL_SESSION *session)
{
        int n = i2d_SSL_SESSION(session, NULL);
        unsigned char *data = n > 0 ? malloc((size_t)n) : NULL, *end = data;
        const unsigned char *at = data;
        SSL_SESSION *copy = NULL;

        if (data != NULL && i2d_SSL_SESSION(session, &end) == n)
                copy = d2i_SSL_SESSION(NULL, &at, n);
        free(data);
        return copy;
}

/* One that was taken up stays: to copy another each time would cost half of what it saves; of the
 * two that a server of TLS 1.3 gives the first is taken.  They do not all end at once: servers have
 * to do the whole handshake then. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
        struct tls_peer *peer = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), peer_index);
        struct tls *tls = peer->tls;
        SSL_SESSION *copy;

        if (peer->session != NULL && (peer->fresh || SSL_session_reused(ssl)))
                return 0;
        tls_forget(peer);
        if (!SSL_SESSION_is_resumable(session) || (copy = session_copy(session)) == NULL)
                return 0;
        if (tls->n_sessions >= SESSIONS_MAX)
                tls_forget(TAILQ_FIRST(&tls->sessions));
        peer->session = copy;
        peer->fresh = true;
        peer->until_usec = clock_boot_usec() + KEPT_USEC + random() % (2 * KEPT_USEC);
        TAILQ_INSERT_TAIL(&tls->sessions, peer, link);
        tls->n_sessions++;
        return 0;
}

/* libcurl makes the connection out of the context and has no callback for that: this one comes
 * before anything is sent. */
static void on_info(const SSL *ssl, int where, int value)
{
        struct tls_peer *peer = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), peer_index);
        SSL_SESSION *copy;

        (void)value;
        if (where != SSL_CB_HANDSHAKE_START || SSL_get_session(ssl) != NULL)
                return;
        if (peer->until_usec < clock_boot_usec())
                tls_forget(peer);
        peer->fresh = false;
        /* One that was used by TLS 1.3 OpenSSL marks as used up; servers seldom do. */
        copy = peer->session == NULL ? NULL : SSL_SESSION_dup(peer->session);
        if (copy == NULL)
                return;
        (void)SSL_set_session((SSL *)(uintptr_t)ssl, copy);
        SSL_SESSION_free(copy);
}

static CURLcode on_context(CURL *easy, void *context, void *arg)
{
        struct tls_peer *peer = arg;

        (void)easy;
        SSL_CTX_set1_cert_store(context, peer->tls->store);
        if (SSL_CTX_set_ex_data(context, peer_index, peer) != 1)
                return CURLE_OUT_OF_MEMORY;
        peer_hold(peer);
        (void)SSL_CTX_set_session_cache_mode(context,
                                             SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        /* libcurl sets it for servers of 2008; by TLS 1.2 few keep sessions without. */
        (void)SSL_CTX_clear_options(context, SSL_OP_NO_TICKET);
        SSL_CTX_sess_set_new_cb(context, on_session);
        SSL_CTX_set_info_callback(context, on_info);
        return CURLE_OK;
}

bool *tls_hung(struct tls_peer *peer)
{
        return &peer->hung;
}

bool *tls_slow(struct tls_peer *peer)
{
        return &peer->slow;
}

void tls_fill(CURL *easy, struct tls_peer *peer)
{
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
        (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        (void)curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
        (void)curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_context);
        (void)curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, peer);
}

static int by_key(const void *a, const void *b)
{
        return strcmp(((const struct tls_peer *)a)->key, ((const struct tls_peer *)b)->key);
}

struct tls_peer *tls_peer(struct tls *tls, const char *key)
{
        CLEANUP(freep) struct tls_peer *peer = calloc(1, sizeof(*peer) + strlen(key) + 1);
        struct tls_peer *const *found, *old;

        if (peer == NULL)
                return NULL;
        peer->tls = tls;
        peer->held = 1;
        memcpy(peer->key, key, strlen(key) + 1);
        found = tsearch(peer, &tls->peers, by_key);
        if (found == NULL)
                return NULL;
        if (*found != peer) {
                peer_hold(*found);
                return *found;
        }
        if (++tls->n_peers > PEERS_MAX && (old = TAILQ_FIRST(&tls->idle)) != NULL) {
                TAILQ_REMOVE(&tls->idle, old, link);
                (void)tdelete(old, &tls->peers, by_key);
                free(old);
                tls->n_peers--;
        }
        return STEAL(peer);
}

int tls_open(struct tls **ret_tls, struct err *err)
{
        const char *path = curl_version_info(CURLVERSION_NOW)->cainfo;
        struct tls *tls = calloc(1, sizeof(*tls));

        if (tls == NULL)
                return err_oom(err);
        TAILQ_INIT(&tls->sessions);
        TAILQ_INIT(&tls->idle);
        if (peer_index < 0)
                peer_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_end);
        tls->store = X509_STORE_new();
        if (tls->store == NULL || peer_index < 0) {
                tls_close(tls);
                return err_oom(err);
        }
        /* A machine without certificates can be asked by http. */
        if (path != NULL)
                (void)!X509_STORE_load_file(tls->store, path);
        *ret_tls = tls;
        return 0;
}

void tls_close(struct tls *tls)
{
        if (tls == NULL)
                return;
        while (!TAILQ_EMPTY(&tls->sessions))
                tls_forget(TAILQ_FIRST(&tls->sessions));
        tdestroy(tls->peers, free);
        X509_STORE_free(tls->store);
        free(tls);
}
