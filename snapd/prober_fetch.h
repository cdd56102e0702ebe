/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_PROBER_FETCH_H
#define SNAPD_PROBER_FETCH_H

/*
 * Pages, asked for side by side in one event loop: libcurl's multi interface, and c-ares for
 * names, so that neither a slow server nor a slow resolver is waited for by others.
 *
 * Everything that is read from files (resolvers, /etc/hosts, certificates) is read by
 * fetcher_open(): afterwards the process may give files up.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/error.h"

#define FETCH_BODY_MAX (64 * 1024)

struct fetcher;
struct fetch;
struct fetch_target;

struct fetch_request {
        const struct fetch_target *target;
        const char *agent;
        char *const *headers; /* NULL-terminated, or NULL */
        const char *post;     /* or NULL: GET */
        char **cookies;       /* in and out: of libcurl's lines; NULL: none are kept */
        unsigned timeout_msec;
        bool verify; /* certificates */
        bool brief;  /* a connection by TLS, which takes 35 KB, is not kept for the next */
        bool busted; /* the URL is made one that no cache has seen */
};

enum fetch_failure {
        FETCH_ANSWERED,
        FETCH_NO_NAME,    /* the name does not resolve, or the resolver does not answer */
        FETCH_NO_CONNECT, /* nobody answers there */
        FETCH_TIMEOUT,    /* somebody does, too late */
        FETCH_BROKEN,     /* what came is no answer: cut off, no HTTP, a wrong certificate */
        FETCH_OURS,       /* we are short of memory or descriptors */
};

/* Of texts, what libcurl owns; lives until the callback returns. */
struct fetch_answer {
        enum fetch_failure failure;
        unsigned status;
        int64_t usec;
        const char *error; /* a phrase for people when it failed */
        const char *body;  /* the first FETCH_BODY_MAX bytes, with a NUL behind */
        size_t n_body;
        const char *location;    /* where a redirect leads, whole; or NULL */
        const char *cached;      /* the header that says the answer is out of a cache, or NULL */
        const char *maintenance; /* X-Nextcloud-Maintenance-Mode and its like, or NULL */
        bool retry_after;
        char address[64]; /* that was connected to, as fetch_target_open() takes it */
};

typedef void (*fetch_end)(const struct fetch_answer *answer, void *arg);

/* fetcher_open(event, ret_fetcher, err): Read what is needed from files. */
int fetcher_open(sd_event *event, struct fetcher **ret_fetcher, struct err *err) MUST_CHECK;
void fetcher_close(struct fetcher *fetcher);

/* fetch_target_open(url, address, ret_target, err): Where a URL is asked for, taken apart once.
 * ${address} as in snapd/probe.h, or NULL.  ERR_INVALID. */
int fetch_target_open(const char *url, const char *address, struct fetch_target **ret_target,
                      struct err *err) MUST_CHECK;
void fetch_target_close(struct fetch_target *target);

/* fetch_target_url(target): As it was given. */
const char *fetch_target_url(const struct fetch_target *target);

/* fetch_target_follows(target, location): Does this redirect stay with the site: http or https, the
 * same name with or without `www.`, the ports of the two?  Others are not followed: a tenant must
 * not make us ask whom he cannot ask himself. */
bool fetch_target_follows(const struct fetch_target *target, const char *location);

/* fetch_start(fetcher, request, end, arg, ret_fetch, err): Ask.  ${end} is called once, unless it
 * is cancelled; what the request points to lives until then.  Without memory that may be before
 * this returns; ${ret_fetch} is written before. */
int fetch_start(struct fetcher *fetcher, const struct fetch_request *request, fetch_end end,
                void *arg, struct fetch **ret_fetch, struct err *err) MUST_CHECK;

/* fetch_cancel(fetch): ${end} is not called. */
void fetch_cancel(struct fetch *fetch);

#endif
