/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"

#undef err_fail
#undef err_wrap
#undef err_oom

static const struct {
        const char *name;
        int exit_status;
} codes[ERR_CODES] = {
        [ERR_INVALID] = { "invalid", 2 },
        [ERR_NOT_FOUND] = { "not-found", 1 },
        [ERR_EXISTS] = { "exists", 1 },
        [ERR_BUSY] = { "busy", 3 },
        [ERR_DENIED] = { "denied", 4 },
        [ERR_UNSUPPORTED] = { "unsupported", 1 },
        [ERR_NO_SPACE] = { "no-space", 5 },
        [ERR_TIMEOUT] = { "timeout", 1 },
        [ERR_CORRUPT] = { "corrupt", 1 },
        [ERR_IO] = { "io", 1 },
        [ERR_REFUSED] = { "refused", 4 },
        [ERR_ROLLED_BACK] = { "rolled-back", 6 },
        [ERR_HELD] = { "held", 7 },
        [ERR_NOTHING] = { "nothing", 8 },
};

int err_fail(struct err *err, enum err_code code, int os, const char *fmt, ...)
{
        va_list ap;
        int n;

        if (code == ERR_IO && (os == ENOSPC || os == EDQUOT))
                code = ERR_NO_SPACE;
        err->code = code;
        err->os = os;

        va_start(ap, fmt);
        n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
        va_end(ap);

        if (os != 0 && n >= 0 && (size_t)n < sizeof(err->msg))
                (void)snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", strerror(os));
        return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
        char inner[sizeof(err->msg)];
        va_list ap;
        int n;

        memcpy(inner, err->msg, sizeof(inner));
        va_start(ap, fmt);
        n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
        va_end(ap);

        if (n >= 0 && (size_t)n < sizeof(err->msg))
                (void)snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", inner);
        return -1;
}

int err_oom(struct err *err)
{
        return err_fail(err, ERR_IO, ENOMEM, "out of memory");
}

const char *err_name(enum err_code code)
{
        return (unsigned)code < ERR_CODES ? codes[code].name : NULL;
}

enum err_code err_by_name(const char *name)
{
        for (unsigned i = 1; i < ERR_CODES; i++)
                if (strcmp(codes[i].name, name) == 0)
                        return i;
        return 0;
}

int err_exit_status(enum err_code code)
{
        return (unsigned)code < ERR_CODES && codes[code].name != NULL ? codes[code].exit_status : 1;
}
