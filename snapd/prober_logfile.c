/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/safepath.h"
#include "snapd/prober_unit.h"

/*
 * The directory of a log may be the tenant's, so no component of its path may be a link, and a
 * second name of the file may be one of somebody else's log.  Lines are read by the process that
 * probes, never here.
 */
static int log_open(const char *path, int *ret_fd, struct stat *ret_st, struct err *err)
{
        CLEANUP(closep) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(closep) int fd = -1;

        if (safepath_open_mounted(root_fd, path + 1, O_RDONLY, &fd, err) < 0)
                return -1;
        if (fstat(fd, ret_st) < 0 || !S_ISREG(ret_st->st_mode) || ret_st->st_nlink != 1)
                return err_fail(err, ERR_REFUSED, 0, "'%s' is not a regular file with one name",
                                path);
        *ret_fd = steal_fd(&fd);
        return 0;
}

void unit_log_look(struct unit *unit)
{
        CLEANUP(closep) int fd = -1;
        struct err err = { 0 };
        struct stat st;

        if (unit->probe.kind != PROBE_ACCESSLOG || unit_child(unit)->wire == NULL)
                return;
        /* What is missing is told of by the process: it has no log. */
        if (log_open(unit->probe.log, &fd, &st, &err) < 0 ||
            (st.st_dev == unit->log_dev && st.st_ino == unit->log_ino))
                return;
        unit->log_dev = st.st_dev;
        unit->log_ino = st.st_ino;
        (void)!prober_wire_send(unit_child(unit)->wire,
                                json_pack("{s:I}", "log", (json_int_t)unit->id), fd, &err);
}

void unit_log_pass(struct unit *unit)
{
        unit->log_dev = 0;
        unit->log_ino = 0;
        unit_log_look(unit);
}
