/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_AUTH_H
#define SNAPD_AUTH_H

/*
 * Who may do what.
 *
 * Who somebody is comes from the kernel, as integers, and stays integers: a peer's credentials
 * that were once formatted into a string and parsed back made CVE-2019-7304.  What may be done is
 * one function of plain data, without files, so that a table can test all of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"
#include "snapd/site.h"

struct peer {
        uid_t uid;
        gid_t gid;
        pid_t pid;
        bool admin; /* root, or in the admin group; asked when it connected */
};

enum auth_role {
        ROLE_ADMIN, /* 0: what a table forgot to say is the administrator's */
        ROLE_OWNER,
        ROLE_ANYONE,
};

enum auth_verdict {
        AUTH_HIDDEN, /* to be answered as if it did not exist */
        AUTH_DENIED,
        AUTH_GRANTED,
};

/* auth_peer(fd, admin_gid, ret_peer, err): Who is at the other end of a unix socket; ${admin_gid}
 * (gid_t)-1 for no such group. */
int auth_peer(int fd, gid_t admin_gid, struct peer *ret_peer, struct err *err) MUST_CHECK;

/* auth_group(name): The gid of a group of the system, (gid_t)-1 when there is none. */
gid_t auth_group(const char *name);

/* auth_check(peer, role, site, may): May ${peer} do what needs ${role}, and as an owner the rights
 * ${may} (enum site_may) in ${site}?  ${site} NULL: it is not about a site, or the site has no
 * readable configuration and so no known owner.  An owner without MAY_READ sees nothing. */
enum auth_verdict auth_check(const struct peer *peer, enum auth_role role, const struct site *site,
                             unsigned may);

/* auth_may(verb): The right an owner needs for an operation; 0: it is not an owner's. */
unsigned auth_may(const char *verb);

#endif
