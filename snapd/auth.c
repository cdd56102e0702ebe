/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>

#include "snapd/auth.h"

#define GROUPS_MAX 4096

static bool in_group(int fd, const struct ucred *cred, gid_t group)
{
        gid_t groups[GROUPS_MAX];
        socklen_t size = sizeof(groups);

        if (group == (gid_t)-1)
                return false;
        if (cred->gid == group)
                return true;

        /* The groups the peer had when it connected (4.13).  Somebody in more groups than this is
         * not an administrator by group. */
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
                return false;
        for (size_t i = 0; i < size / sizeof(groups[0]); i++)
                if (groups[i] == group)
                        return true;
        return false;
}

int auth_peer(int fd, gid_t admin_gid, struct peer *ret_peer, struct err *err)
{
        struct ucred cred;
        socklen_t size = sizeof(cred);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
                return err_fail(err, ERR_IO, errno, "cannot learn who has connected");
        if (size != sizeof(cred) || cred.uid == (uid_t)-1)
                return err_fail(err, ERR_DENIED, 0, "a connection without credentials");
        *ret_peer = (struct peer){
                .uid = cred.uid,
                .gid = cred.gid,
                .pid = cred.pid,
                .admin = cred.uid == 0 || in_group(fd, &cred, admin_gid),
        };
        return 0;
}

gid_t auth_group(const char *name)
{
        const struct group *group = getgrnam(name);

        return group == NULL ? (gid_t)-1 : group->gr_gid;
}

enum auth_verdict auth_check(const struct peer *peer, enum auth_role role, const struct site *site,
                             unsigned may)
{
        bool owner = site != NULL && site->uid == peer->uid && (site->owner_may & MAY_READ) != 0;

        if (peer->admin || role == ROLE_ANYONE)
                return AUTH_GRANTED;
        if (!owner)
                return AUTH_HIDDEN;
        if (role != ROLE_OWNER || may == 0 || (site->owner_may & may) != may)
                return AUTH_DENIED;
        return AUTH_GRANTED;
}

unsigned auth_may(const char *verb)
{
        static const struct {
                const char *verb;
                unsigned may;
        } rights[] = {
                { "upgrade", MAY_UPGRADE },   { "activate", MAY_ACTIVATE },
                { "rollback", MAY_ACTIVATE }, { "forward", MAY_ACTIVATE },
                { "mount", MAY_MOUNT },       { "umount", MAY_MOUNT },
                { "prune", MAY_PRUNE },
        };

        for (size_t i = 0; verb != NULL && i < sizeof(rights) / sizeof(rights[0]); i++)
                if (strcmp(rights[i].verb, verb) == 0)
                        return rights[i].may;
        return 0;
}
