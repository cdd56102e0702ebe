/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <grp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "snapd/auth.h"
#include "tests/lib/test.h"

static struct err err;

#define OWNER    1000
#define STRANGER 1001

static const struct peer root = { .uid = 0, .admin = true };
static const struct peer admin = { .uid = 1500, .admin = true };
static const struct peer owner = { .uid = OWNER };
static const struct peer stranger = { .uid = STRANGER };

TEST(every_role_for_everybody)
{
        const struct site may_all = { .uid = OWNER, .owner_may = 63 };
        const struct site may_read = { .uid = OWNER, .owner_may = MAY_READ };
        const struct site may_none = { .uid = OWNER, .owner_may = 0 };
        const struct site may_act = { .uid = OWNER, .owner_may = MAY_ACTIVATE };
        const struct {
                enum auth_role role;
                const struct site *site;
                unsigned may;
                enum auth_verdict owner, stranger;
        } rows[] = {
                { ROLE_ANYONE, NULL, 0, AUTH_GRANTED, AUTH_GRANTED },
                { ROLE_ADMIN, NULL, 0, AUTH_HIDDEN, AUTH_HIDDEN },
                { ROLE_ADMIN, &may_all, 0, AUTH_DENIED, AUTH_HIDDEN },
                { ROLE_ADMIN, &may_all, MAY_READ, AUTH_DENIED, AUTH_HIDDEN },
                { ROLE_OWNER, NULL, MAY_READ, AUTH_HIDDEN, AUTH_HIDDEN },
                { ROLE_OWNER, &may_all, MAY_READ, AUTH_GRANTED, AUTH_HIDDEN },
                { ROLE_OWNER, &may_all, MAY_READ | MAY_MARK, AUTH_GRANTED, AUTH_HIDDEN },
                { ROLE_OWNER, &may_all, 0, AUTH_DENIED, AUTH_HIDDEN }, /* remove, unknown verbs */
                { ROLE_OWNER, &may_read, MAY_READ, AUTH_GRANTED, AUTH_HIDDEN },
                { ROLE_OWNER, &may_read, MAY_UPGRADE, AUTH_DENIED, AUTH_HIDDEN },
                { ROLE_OWNER, &may_read, MAY_READ | MAY_MARK, AUTH_DENIED, AUTH_HIDDEN },
                { ROLE_OWNER, &may_none, MAY_READ, AUTH_HIDDEN, AUTH_HIDDEN },
                { ROLE_OWNER, &may_act, MAY_ACTIVATE, AUTH_HIDDEN, AUTH_HIDDEN },
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                printf("# row %zu\n", i);
                ASSERT_EQ(auth_check(&root, rows[i].role, rows[i].site, rows[i].may), AUTH_GRANTED);
                ASSERT_EQ(auth_check(&admin, rows[i].role, rows[i].site, rows[i].may),
                          AUTH_GRANTED);
                ASSERT_EQ(auth_check(&owner, rows[i].role, rows[i].site, rows[i].may),
                          rows[i].owner);
                ASSERT_EQ(auth_check(&stranger, rows[i].role, rows[i].site, rows[i].may),
                          rows[i].stranger);
        }
}

TEST(a_role_nobody_has_thought_of_is_the_administrators)
{
        const struct site site = { .uid = OWNER, .owner_may = 63 };

        ASSERT_EQ(auth_check(&owner, (enum auth_role)77, &site, MAY_READ), AUTH_DENIED);
        ASSERT_EQ(auth_check(&stranger, (enum auth_role)77, &site, MAY_READ), AUTH_HIDDEN);
}

TEST(every_verb_has_its_right)
{
        ASSERT_EQ(auth_may("upgrade"), MAY_UPGRADE);
        ASSERT_EQ(auth_may("activate"), MAY_ACTIVATE);
        ASSERT_EQ(auth_may("rollback"), MAY_ACTIVATE);
        ASSERT_EQ(auth_may("forward"), MAY_ACTIVATE);
        ASSERT_EQ(auth_may("mount"), MAY_MOUNT);
        ASSERT_EQ(auth_may("umount"), MAY_MOUNT);
        ASSERT_EQ(auth_may("prune"), MAY_PRUNE);
        ASSERT_EQ(auth_may("remove"), 0);
        ASSERT_EQ(auth_may("add"), 0);
        ASSERT_EQ(auth_may(""), 0);
        ASSERT_EQ(auth_may(NULL), 0);
}

/* Connects from a process of another user, bound to a name that looks like credentials. */
static struct peer peer_of_child(uid_t uid, gid_t gid, gid_t extra, gid_t admin_gid)
{
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        const struct sockaddr *address = (const struct sockaddr *)&name;
        int listen_fd = socket(AF_UNIX, SOCK_STREAM, 0), fd, status;
        struct peer peer;
        pid_t pid;

        (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s/s", test_tmpdir());
        ASSERT_EQ(bind(listen_fd, address, sizeof(name)), 0);
        ASSERT_EQ(listen(listen_fd, 1), 0);
        pid = fork();
        if (pid == 0) {
                struct sockaddr_un odd = { .sun_family = AF_UNIX };
                int mine = socket(AF_UNIX, SOCK_STREAM, 0);

                (void)snprintf(odd.sun_path, sizeof(odd.sun_path), "%s/x;uid=0;", test_tmpdir());
                if (bind(mine, (const struct sockaddr *)&odd, sizeof(odd)) < 0 ||
                    chown(name.sun_path, uid, gid) < 0 ||
                    setgroups(extra == 0 ? 0 : 1, &extra) < 0 || setresgid(gid, gid, gid) < 0 ||
                    setresuid(uid, uid, uid) < 0 || connect(mine, address, sizeof(name)) < 0)
                        _exit(1);
                _exit(0);
        }
        fd = accept(listen_fd, NULL, NULL);
        ASSERT(fd >= 0);
        ASSERT_OK(auth_peer(fd, admin_gid, &peer, &err));
        ASSERT_EQ(peer.pid, pid);
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_EQ(status, 0);
        return peer;
}

static void need_root(void)
{
        if (getuid() != 0)
                test_skip("becoming another user needs root");
}

TEST(a_peer_is_what_the_kernel_says_and_not_its_name)
{
        struct peer peer;

        need_root();
        peer = peer_of_child(STRANGER, STRANGER, 0, 4000);
        ASSERT_EQ(peer.uid, STRANGER);
        ASSERT_EQ(peer.gid, STRANGER);
        ASSERT(!peer.admin);
}

TEST(a_member_of_the_admin_group_is_an_administrator)
{
        need_root();
        ASSERT(peer_of_child(STRANGER, STRANGER, 4000, 4000).admin);
}

TEST(the_admin_group_as_the_primary_one_counts_too)
{
        need_root();
        ASSERT(peer_of_child(STRANGER, 4000, 0, 4000).admin);
}

TEST(without_an_admin_group_nobody_is_in_it)
{
        need_root();
        ASSERT(!peer_of_child(STRANGER, (gid_t)-2, (gid_t)-2, (gid_t)-1).admin);
}

TEST(root_is_an_administrator)
{
        need_root();
        ASSERT(peer_of_child(0, 0, 0, (gid_t)-1).admin);
}
