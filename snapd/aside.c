/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "fsdrivers/tree.h"
#include "snapd/aside.h"

/* Numbers count up with the boot clock: the cache of a PHP knows paths, and the names must be new
 * to it. */
static int new_place(int versions_fd, const char *name, char place[static NAME_MAX + 1],
                     struct err *err)
{
        int64_t serial = clock_boot_usec();

        do
                (void)snprintf(place, NAME_MAX + 1, ".%s.%" PRId64, name, serial++);
        while (mkdirat(versions_fd, place, 0755) < 0 && errno == EEXIST);
        return faccessat(versions_fd, place, F_OK, AT_SYMLINK_NOFOLLOW) == 0
                       ? 0
                       : err_fail(err, ERR_IO, errno, "cannot make '%s'", place);
}

int aside_show(int versions_fd, const char *name, int mount_fd, struct err *err)
{
        char place[NAME_MAX + 1];
        struct err ignored;

        if (new_place(versions_fd, name, place, err) < 0)
                return -1;
        if (mount_attach(mount_fd, versions_fd, place, err) == 0 &&
            mount_exchange(versions_fd, name, place, err) == 0)
                return 0;
        (void)!mount_drop(versions_fd, place, &ignored);
        (void)unlinkat(versions_fd, place, AT_REMOVEDIR);
        return -1;
}

/* The serial number in a name of ours for this version (NULL: any); 0 for every other name. */
static int64_t serial_of(const char *place, const char *name)
{
        uint64_t version;
        int64_t serial;
        char whole[64];
        int end = 0;

        if (sscanf(place, ".%" SCNu64 ".%" SCNd64 "%n", &version, &serial, &end) != 2 ||
            place[end] != '\0')
                return 0;
        (void)snprintf(whole, sizeof(whole), "%" PRIu64, version);
        return name == NULL || strcmp(whole, name) == 0 ? serial : 0;
}

struct looking {
        int versions_fd;
        const char *name;
        int64_t last;
        enum mount_look look;
        bool left, used;
        struct err who;
};

static int visit_last(const char *place, void *arg, struct err *err)
{
        struct looking *looking = arg;
        int64_t serial = serial_of(place, looking->name);
        bool mounted;

        if (serial <= looking->last)
                return 0;
        if (mount_is_at(looking->versions_fd, place, &mounted, err) < 0)
                return -1;
        if (mounted)
                looking->last = serial;
        return 0;
}

int aside_back(int versions_fd, const char *name, bool *ret_found, struct err *err)
{
        struct looking looking = { .versions_fd = versions_fd, .name = name };
        char place[NAME_MAX + 1];

        if (tree_each(versions_fd, visit_last, &looking, err) < 0)
                return -1;
        *ret_found = looking.last > 0;
        if (looking.last == 0)
                return 0;
        (void)snprintf(place, sizeof(place), ".%s.%" PRId64, name, looking.last);
        return mount_exchange(versions_fd, name, place, err);
}

static int visit_clear(const char *place, void *arg, struct err *err)
{
        struct looking *looking = arg;
        unsigned depth;

        if (serial_of(place, looking->name) == 0)
                return 0;
        if (mount_depth(looking->versions_fd, place, &depth, err) < 0)
                return -1;
        for (; depth > 0; depth--)
                if (mount_detach(looking->versions_fd, place, err) < 0) {
                        looking->left = true;
                        return err->code == ERR_BUSY ? 0 : -1;
                }
        (void)unlinkat(looking->versions_fd, place, AT_REMOVEDIR);
        return 0;
}

int aside_clear(int versions_fd, const char *name, bool *ret_left, struct err *err)
{
        struct looking looking = { .versions_fd = versions_fd, .name = name };
        int ret = tree_each(versions_fd, visit_clear, &looking, err);

        *ret_left = looking.left;
        return ret;
}

static int visit_used(const char *place, void *arg, struct err *err)
{
        struct looking *looking = arg;
        size_t n = 0;
        pid_t pid;

        if (looking->used || serial_of(place, looking->name) == 0)
                return 0;
        if (mount_users(looking->versions_fd, place, looking->look, &pid, 1, &n, err) < 0)
                return -1;
        looking->used = n > 0;
        if (n > 0)
                (void)err_fail(&looking->who, ERR_BUSY, 0, "process %d is in it", (int)pid);
        return 0;
}

int aside_used(int versions_fd, const char *name, enum mount_look look, bool *ret_used,
               struct err *err)
{
        struct looking looking = { .versions_fd = versions_fd, .name = name, .look = look };

        if (tree_each(versions_fd, visit_used, &looking, err) < 0)
                return -1;
        *ret_used = looking.used;
        if (looking.used)
                *err = looking.who;
        return 0;
}
