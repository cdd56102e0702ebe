/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>

#include "fsdrivers/mount_internal.h"

struct exchange {
        int dir_fd;
        const char *a, *b;
};

/* A mount lies on the directory, whatever that is called, and a name is refused to change only
 * while something is mounted on it in the caller's own mount namespace (Linux 3.18, commit
 * 8ed936b5671b "vfs: Lazily remove mounts on unlinked files and directories").  So the child gets
 * rid of all it inherited; the descriptor of the directory still leads there. */
static int exchange_run(void *arg, int *ret_fd, struct err *err)
{
        const struct exchange *exchange = arg;

        *ret_fd = -1;
        if (umount2("/", MNT_DETACH) < 0)
                return err_fail(err, ERR_IO, errno, "cannot let go of the mounts");
        if (renameat2(exchange->dir_fd, exchange->a, exchange->dir_fd, exchange->b,
                      RENAME_EXCHANGE) == 0)
                return 0;
        return err_fail(err, errno == EINVAL ? ERR_UNSUPPORTED : ERR_IO, errno,
                        "cannot exchange '%s' and '%s'", exchange->a, exchange->b);
}

int mount_exchange(int dir_fd, const char *a, const char *b, struct err *err)
{
        struct exchange exchange = { .dir_fd = dir_fd, .a = a, .b = b };
        int none;

        return mount_in_child(exchange_run, &exchange, &none, err);
}
