/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_SQLITE_WORKER_H
#define DBDUMP_SQLITE_WORKER_H

/*
 * The helper process's half of the protocol, and the protocol.
 *
 * Both ends speak in datagrams of fixed size over a SOCK_SEQPACKET pair: one call, any number of
 * progress answers (each waits for a go), one final answer.  The parent believes none of it: the
 * helper runs SQLite on a tenant's bytes and may be the tenant's by now.
 */

#include <limits.h>
#include <stdint.h>

#include "common/error.h"

/* What can be asked.  A descriptor comes along where one is said. */
enum sqlite_op {
        SQLITE_OP_ADD = 1,     /* name: one more database of the directory */
        SQLITE_OP_BEGIN,       /* open all that were added and begin; number: deadline in boot
                                * microseconds or 0; flags: SQLITE_CALL_WRITERS to hold them */
        SQLITE_OP_HELD,        /* ERR_TIMEOUT when the hold is over */
        SQLITE_OP_RELEASE,     /* the same, and end it */
        SQLITE_OP_FACTS,       /* name, descriptor: a file to write to; flags: SQLITE_CALL_COUNT */
        SQLITE_OP_COPY,        /* name, descriptor: the directory to copy into */
        SQLITE_OP_INTEGRITY,   /* name */
        SQLITE_OP_SETTLE,      /* name, descriptor: a directory; flags: SQLITE_CALL_WAL, and
                                * SQLITE_CALL_UNSYNCED when the parent is going to sync it */
        SQLITE_OP_FINGERPRINT, /* name, descriptor: a file to write to (sqlite_rows.h) */
        SQLITE_OP_OTHER,       /* descriptor: the directory of another schema, for the next: */
        SQLITE_OP_DIFF,        /* name, descriptor: a stream to write to (sqlite_rows.h) */
        SQLITE_OP_TAKE,        /* name, number: bytes, descriptor: a stream to read from; flags: the
                                * mode.  A new file in the helper's directory */
        SQLITE_OP_GO,          /* the answer to progress */
        SQLITE_OP_STOP,
        SQLITE_OPS
};

#define SQLITE_CALL_WRITERS  1u
#define SQLITE_CALL_COUNT    2u
#define SQLITE_CALL_WAL      4u
#define SQLITE_CALL_UNSYNCED 8u

struct sqlite_call {
        uint32_t op;
        uint32_t flags;
        int64_t number;
        char name[NAME_MAX + 1];
};

struct sqlite_answer {
        uint32_t progress; /* 1: not the last answer; done and all mean something */
        uint32_t code;     /* enum err_code, 0 for success */
        int32_t os;
        uint64_t bytes_done, bytes_all;
        char msg[512];
};

/* sqlite_worker_run(socket_fd, dir_fd): Serve calls until the other end is closed.  While a hold
 * is on, its deadline is kept whatever the other end does.  Returns the exit status. */
int sqlite_worker_run(int socket_fd, int dir_fd);

#endif
