/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_TLS_H
#define SNAPD_PROBER_TLS_H

/*
 * TLS of the process that measures: the certificates that are trusted, read once, and the sessions
 * that are taken up again, so that a server that is asked every few seconds does not sign each
 * time, nor we check its certificates.  libcurl (7.88) shares eight sessions and cannot be told
 * more.  Private to snapd/prober_*.c.
 *
 * A certificate is looked at again after 5 to 15 minutes, and when a request has failed.
 */

#include <curl/curl.h>
#include <stdbool.h>

#include "common/error.h"

struct tls;
struct tls_peer;

/* tls_open(ret_tls, err): Read the certificates.  No handle may be left at tls_close(). */
int tls_open(struct tls **ret_tls, struct err *err) MUST_CHECK;
void tls_close(struct tls *tls);

/* tls_peer(tls, key): Whom sessions are with; ${key} names everything they depend on.  It stays
 * until tls_release(), and what is known of it as long as there are not very many others.  NULL
 * when memory is short. */
struct tls_peer *tls_peer(struct tls *tls, const char *key);
void tls_release(struct tls_peer *peer); /* NULL is fine */

/* tls_fill(easy, peer): Let the handle use all that. */
void tls_fill(CURL *easy, struct tls_peer *peer);

/* tls_hung(peer), tls_slow(peer): Did its last handshake not end, or its last answer after one?  To
 * be kept by whoever asks. */
bool *tls_hung(struct tls_peer *peer);
bool *tls_slow(struct tls_peer *peer);

/* tls_forget(peer): The next handshake is a whole one. */
void tls_forget(struct tls_peer *peer);

#endif
