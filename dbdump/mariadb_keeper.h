/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_KEEPER_H
#define DBDUMP_MARIADB_KEEPER_H

/*
 * A process that handles the files of a database server, as the user that the server runs as.
 *
 * It is never root, and never the driver's user: whatever the server says about itself (where its
 * directory is, what a table is called), this process can do nothing that the server could not do
 * by itself.  Whose rights it takes is asked of the kernel, which knows who listens at the socket.
 * It has one socket, to the driver, and ends when that is closed or its parent ends.
 *
 * What it has taken are files without a name, so that nothing is left of them when it ends.
 *
 * Calls and answers are datagrams of fixed size over a SOCK_SEQPACKET pair, one answer a call.
 * Names are "database/table" as the server writes them in its directory, without a suffix.
 */

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

enum keeper_op {
        /* name: the server's own absolute path; comes first, and once */
        KEEPER_DIRECTORY = 1,
        /* name: is there a file of the server's alone, and can it be cloned?  It is cloned to see;
         * number: its bytes.  ERR_BUSY: it is being exported already */
        KEEPER_LOOK,
        /* name: the file that is exported now, with what describes it; number: its slot.  It is
         * cloned, or with KEEPER_BYTES copied where it cannot be */
        KEEPER_TAKE,
        /* name, slot: what was taken is there, where no file was */
        KEEPER_PUT,
        /* name: what described it is gone, the rest is on stable storage */
        KEEPER_TIDY,
        /* nothing is taken any more */
        KEEPER_FORGET,
        KEEPER_OPS
};

#define KEEPER_BYTES  1u /* of a call */
#define KEEPER_CLONES 2u /* of an answer: it was cloned */

struct keeper_call {
        uint32_t op, flags, slot;
        char name[PATH_MAX];
};

struct keeper_answer {
        uint32_t code; /* enum err_code, 0 for success */
        int32_t os;
        uint32_t flags;
        uint64_t number;
        char msg[512];
};

/* mariadb_keeper_start(socket_path, ret_pid, ret_fd, err): Start one for the server that listens at
 * ${socket_path}; by root.  ERR_REFUSED: the server is root's.  Close ret_fd, then wait for
 * ret_pid. */
int mariadb_keeper_start(const char *socket_path, pid_t *ret_pid, int *ret_fd,
                         struct err *err) MUST_CHECK;

/* mariadb_keeper_run(fd): Serve calls until the other end is closed.  Returns the exit status. */
int mariadb_keeper_run(int fd);

#endif
