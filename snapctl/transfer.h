/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPCTL_TRANSFER_H
#define SNAPCTL_TRANSFER_H

/*
 * A request to a unix socket and its answer, HTTP/1.1 on a connection that is kept for the next.
 *
 * Answers are read by http-parser, not by libcurl: that brings forty libraries, and to load them is
 * three quarters of what a call of snapctl takes (tests/bench/README.md).  Nobody takes care of
 * http-parser but distributions; its successor, llhttp, is not in Debian 12.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct transfer;

struct transfer_request {
        const char *method;
        const char *path; /* printable ASCII without a blank, else ERR_INVALID */
        const char *body; /* of JSON; NULL: none */
        long timeout_msec;
        int wake_fd; /* readable: do not wait any longer; -1: none */
};

enum transfer_end {
        TRANSFER_DONE,
        TRANSFER_UNCONNECTED, /* transfer_os() says why */
        TRANSFER_BROKEN,      /* transfer_why() says how */
        TRANSFER_TOO_LONG,
        TRANSFER_LATE,
        TRANSFER_WOKEN,
};

struct transfer_answer {
        unsigned status;
        const char *body; /* the transfer's, until the next request */
        size_t n;
};

/* transfer_open(socket_path, max, ret_transfer, err): Nothing is connected yet.  An answer has at
 * most ${max} bytes.  ERR_INVALID: the path is too long.  Give it to transfer_close(). */
int transfer_open(const char *socket_path, size_t max, struct transfer **ret_transfer,
                  struct err *err) MUST_CHECK;
void transfer_close(struct transfer *transfer);
void transfer_closep(struct transfer **transfer);

/* transfer_run(transfer, request, ret_end, ret_answer, err): ${ret_answer} is set for TRANSFER_DONE
 * only.  What is asked again, on a new connection, is only a GET that the kept one was closed
 * under; nobody knows of another request whether it was done. */
int transfer_run(struct transfer *transfer, const struct transfer_request *request,
                 enum transfer_end *ret_end, struct transfer_answer *ret_answer,
                 struct err *err) MUST_CHECK;

/* transfer_os(transfer): The errno of a connection that could not be made. */
int transfer_os(const struct transfer *transfer);

/* transfer_why(transfer): Why the last answer broke off. */
const char *transfer_why(const struct transfer *transfer);

#endif
