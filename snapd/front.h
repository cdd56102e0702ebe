/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_FRONT_H
#define SNAPD_FRONT_H

/*
 * Which version a visitor is given, beside the live one.
 *
 * The catalog has the truth; HOME/front is made from it, for the web server to read (the lines of
 * snapd/webconf_nginx.c) at each request, so that nothing is reloaded when it changes:
 *
 *   front/link/TOKEN     -> ../../versions/N   whoever has the link; 128 random bits
 *   front/from/ADDRESS   -> ../../versions/N   a tester's address, as the web server writes it
 *   front/tester/ADDRESS                       a file beside that, for web servers that cannot see
 *                                              a link that leads nowhere
 *   front/stay/N         -> ../../versions/N   the active version and the one before it: where a
 *                                              session that began there may stay
 *   front/closed, front/read-only              files: everybody, and whoever would write, gets 503
 *   front/redirect-302, front/redirect-307     -> ../versions/N
 *
 * A link is not signed: its token cannot be guessed, stands for nothing but itself, and is gone
 * from the next request on when it is taken back or snapd removes it at its time.  While snapd does
 * not run, links and addresses go on past their time, which is looked at when it is started: the
 * web server asks whether a file is there, and nothing else.  Whoever asks for a version that is
 * not there, by a link, an address, an argument or a cookie, gets 410 and a page that says so; the
 * live version would be taken for the one that was asked for.
 *
 * A session never goes back to an older version by a switch that goes forward: the flip is one
 * rename.  Where the site's file says `sticky`, one that began on the version before the live one
 * stays there for what is left of that time, or until it writes.  After a rollback nobody stays
 * on what was left: it is what people are to be got away from.
 */

#include "snapd/catalog.h"
#include "snapd/site.h"

#define FRONT_NAME_MAX 48 /* bytes with the NUL: a token or an address */

enum front_kind { FRONT_LINK, FRONT_FROM };

struct front_pass {
        enum front_kind kind;
        char name[FRONT_NAME_MAX];
        uint64_t version;
        int64_t until_usec; /* wall clock; 0: until it is taken back */
        int64_t created_usec;
        uid_t by;
};

struct front_passes {
        struct front_pass *items; /* by kind and name */
        size_t n;
};

enum front_mode {
        FRONT_OPEN,         /* the version is served on the site's own addresses */
        FRONT_READ_ONLY,    /* ... and nobody can write */
        FRONT_CLOSED,       /* everybody gets 503 while people look at the live version */
        FRONT_REDIRECT_302, /* ... or is led to the version */
        FRONT_REDIRECT_307,
        FRONT_MODES
};

/* A temporary rollback. */
struct front_temporary {
        enum front_mode mode;
        uint64_t version;   /* what visitors are given meanwhile */
        uint64_t back;      /* where `forward` goes: what was live before, or still is */
        int64_t until_usec; /* wall clock; 0: until somebody ends it */
        int64_t since_usec;
};

/* front_mode_name(mode), front_mode_by_name(name): "open", "read-only", ...; FRONT_MODES for no
 * such name. */
const char *front_mode_name(enum front_mode mode);
enum front_mode front_mode_by_name(const char *name);

/* front_mode_flips(mode): Is the version made the active one? */
bool front_mode_flips(enum front_mode mode);

/* front_temporary(catalog, site, ret_temporary, err): 1 when there is one, 0, -1. */
int front_temporary(struct catalog *catalog, const char *site,
                    struct front_temporary *ret_temporary, struct err *err) MUST_CHECK;

/* front_set_temporary(catalog, site, temporary, err): NULL: there is none any more. */
int front_set_temporary(struct catalog *catalog, const char *site,
                        const struct front_temporary *temporary, struct err *err) MUST_CHECK;

/* front_token(name, err): 32 random hexadecimal digits. */
int front_token(char name[static FRONT_NAME_MAX], struct err *err) MUST_CHECK;

/* front_address(text, name, err): An IPv4 or IPv6 address as web servers print it.  ERR_INVALID. */
int front_address(const char *text, char name[static FRONT_NAME_MAX], struct err *err) MUST_CHECK;

/* front_passes(...): All of a site that are not over.  Give them to front_passes_done(). */
int front_passes(struct catalog *catalog, const char *site, struct front_passes *ret_passes,
                 struct err *err) MUST_CHECK;
void front_passes_done(struct front_passes *passes);

/* front_put_pass(...), front_drop_pass(...): Insert or replace; remove.  ERR_NOT_FOUND. */
int front_put_pass(struct catalog *catalog, const char *site, const struct front_pass *pass,
                   struct err *err) MUST_CHECK;
int front_drop_pass(struct catalog *catalog, const char *site, const char *name,
                    struct err *err) MUST_CHECK;

/* front_next(catalog, ret_usec, err): When the next pass or temporary rollback is over: wall
 * clock, 0: never. */
int front_next(struct catalog *catalog, int64_t *ret_usec, struct err *err) MUST_CHECK;

/* front_expired(catalog, visit, arg, err): Call visit with each site that has passes that are over,
 * which are removed when it returns 0, and with each whose temporary rollback is over (then
 * ${temporary} is true; its row stays: a `forward` removes it).  -1 of a visit keeps the passes for
 * the next time, and the others are visited all the same. */
typedef int (*front_visit)(const char *site, bool temporary, void *arg, struct err *err);
int front_expired(struct catalog *catalog, front_visit visit, void *arg,
                  struct err *err) MUST_CHECK;

/* front_render(catalog, site, home_fd, err): HOME/front says what the catalog does, durably. */
int front_render(struct catalog *catalog, const struct site *site, int home_fd,
                 struct err *err) MUST_CHECK;

/* front_has_stays(home_fd): Is there a front/stay?  It is not where no session may stay. */
bool front_has_stays(int home_fd);

/* front_clear(home_fd): Remove HOME/front; the site is given back. */
void front_clear(int home_fd);

#endif
