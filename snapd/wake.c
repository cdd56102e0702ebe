/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "snapd/wake.h"

/* The operation goes on when snapd has died, so a broken pipe must not end it; and the disposition
 * of SIGPIPE is not changed, because the site's command would inherit it. */
static void pipe_send(int fd)
{
        struct timespec now = { 0 };
        sigset_t pipe, before, pending;
        int flags = fcntl(fd, F_GETFL);

        /* A pipe that is full has already said that there is news. */
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return;
        (void)sigemptyset(&pipe);
        (void)sigaddset(&pipe, SIGPIPE);
        (void)sigpending(&pending);
        (void)sigprocmask(SIG_BLOCK, &pipe, &before);
        if (write(fd, "n", 1) < 0 && errno == EPIPE && sigismember(&pending, SIGPIPE) == 0)
                (void)sigtimedwait(&pipe, NULL, &now);
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
}

void wake_send(void)
{
        const char *text = getenv(WAKE_ENV);
        char *end;
        long fd;

        if (text == NULL)
                return;
        errno = 0;
        fd = strtol(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0' || fd < 0 || fd > INT_MAX)
                return;
        if (send((int)fd, "n", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == ENOTSOCK)
                pipe_send((int)fd);
}
