/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

/*
 * Errors.
 *
 * A function that can fail takes a struct err last, returns 0 or -1, and fills *err before it
 * returns -1.  The caller owns the struct, usually on its stack: an error is never allocated, so
 * reporting "out of memory" needs none.  On success *err is left as it was.  Results come out
 * through pointers named ret_*, written on success only.
 */

#define MUST_CHECK   __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))

/* What a program decides on.  The names go over the socket; both are never changed. */
enum err_code {
        ERR_INVALID = 1,     /* the request makes no sense */
        ERR_NOT_FOUND = 2,
        ERR_EXISTS = 3,
        ERR_BUSY = 4,        /* another operation holds the site, or the thing is in use */
        ERR_DENIED = 5,      /* this person may not */
        ERR_UNSUPPORTED = 6, /* this driver or kernel cannot do it */
        ERR_NO_SPACE = 7,
        ERR_TIMEOUT = 8,
        ERR_CORRUPT = 9,     /* our own records contradict each other */
        ERR_IO = 10,         /* the system said no: see os */
        ERR_REFUSED = 11,    /* possible, but policy says no (the last good version, ...) */
        ERR_ROLLED_BACK = 12,/* the operation failed and the site is as before */
        ERR_HELD = 13,       /* taking back failed too: the site is held until `resume` */
        ERR_NOTHING = 14,    /* there is nothing to do */
        ERR_CODES            /* how many there are */
};

struct err {
        enum err_code code;
        int os;        /* errno under it, 0 when there is none */
        char msg[512]; /* one line for a person, outermost context first; cut at the end */
};

/* err_fail(err, code, os, fmt, ...): Fill ${err} and return -1, so that
 * `return err_fail(...)` is the whole failure path.  When ${os} is not 0, ": strerror" is added,
 * and ENOSPC and EDQUOT turn an ERR_IO into ERR_NO_SPACE. */
int err_fail(struct err *err, enum err_code code, int os, const char *fmt, ...) PRINTF(4, 5);

/* err_wrap(err, fmt, ...): Put a phrase of context and ": " before err->msg, keep code and os,
 * return -1. */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF(2, 3);

/* err_oom(err): The failure path of an allocation. */
int err_oom(struct err *err);

/* That all of them return -1 is seen by the compiler, which knows then what is set behind them. */
static inline int err_minus_one(int ret)
{
        (void)ret;
        return -1;
}
#define err_fail(...) err_minus_one(err_fail(__VA_ARGS__))
#define err_wrap(...) err_minus_one(err_wrap(__VA_ARGS__))
#define err_oom(err)  err_minus_one(err_oom(err))

/* err_name(code), err_by_name(name): "not-found" and back; NULL and 0 for none. */
const char *err_name(enum err_code code);
enum err_code err_by_name(const char *name);

/* err_exit_status(code): What snapctl exits with: 1 error, 2 usage, 3 busy, 4 refused, 5 no
 * space, 6 rolled back, 7 held, 8 nothing to do. */
int err_exit_status(enum err_code code);

#endif
