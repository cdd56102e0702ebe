/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "snapd/operation.h"
#include "snapd/process.h"
#include "snapd/standby.h"

#define END_MSEC 2000
#define LOST_MAX 3 /* after so many that did not stay, it is left alone */

struct standby {
        const struct dirs *dirs;
        pid_t pid; /* 0: none waits */
        int pid_fd, news_fd;
        int ask_fd; /* where it is told its number */
        unsigned lost;
};

int standby_open(const struct dirs *dirs, struct standby **ret_standby, struct err *err)
{
        struct standby *standby = calloc(1, sizeof(*standby));

        if (standby == NULL)
                return err_oom(err);
        *standby = (struct standby){ .dirs = dirs, .pid_fd = -1, .news_fd = -1, .ask_fd = -1 };
        *ret_standby = standby;
        return 0;
}

static void forget(struct standby *standby)
{
        closep(&standby->ask_fd);
        closep(&standby->news_fd);
        closep(&standby->pid_fd);
        standby->ask_fd = standby->news_fd = standby->pid_fd = -1;
        standby->pid = 0;
}

/* Its end is waited for, so that it has no file of the state open when the daemon has ended. */
static void end(struct standby *standby)
{
        struct pollfd ended = { .fd = standby->pid_fd, .events = POLLIN };

        closep(&standby->ask_fd);
        standby->ask_fd = -1;
        if (poll(&ended, 1, END_MSEC) != 1)
                (void)kill(standby->pid, SIGKILL);
        while (waitpid(standby->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        forget(standby);
}

void standby_close(struct standby *standby)
{
        if (standby == NULL)
                return;
        if (standby->pid != 0)
                end(standby);
        free(standby);
}

/* Memory ran out, or it could not open the catalog. */
static bool is_gone(struct standby *standby)
{
        if (standby->pid == 0)
                return true;
        if (waitpid(standby->pid, NULL, WNOHANG) != standby->pid)
                return false;
        forget(standby);
        standby->lost++;
        return true;
}

static int start(struct standby *standby, struct err *err)
{
        struct process_start start = { .mode = "--operation",
                                       .argument = OPERATION_LATER,
                                       .output_fd = -1 };
        CLEANUP(closep) int input_fd = -1, ask_fd = -1, news_fd = -1, notify_fd = -1;
        int ask[2], news[2];

        if (pipe2(ask, O_CLOEXEC) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a pipe");
        input_fd = start.input_fd = ask[0];
        ask_fd = ask[1];
        if (pipe2(news, O_CLOEXEC | O_NONBLOCK) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a pipe");
        news_fd = news[0];
        notify_fd = start.notify_fd = news[1];
        if (process_start(standby->dirs, &start, &standby->pid, &standby->pid_fd, err) < 0) {
                standby->pid = 0;
                standby->pid_fd = -1;
                return -1;
        }
        standby->ask_fd = steal_fd(&ask_fd);
        standby->news_fd = steal_fd(&news_fd);
        return 0;
}

void standby_prepare(struct standby *standby)
{
        struct err err;

        if (standby->lost >= LOST_MAX || !is_gone(standby) || standby->lost >= LOST_MAX)
                return;
        if (start(standby, &err) < 0 && ++standby->lost == LOST_MAX)
                log_warning("operations are started without one that waits: %s", err.msg);
}

bool standby_take(struct standby *standby, op_id id, struct standby_process *ret_process)
{
        if (is_gone(standby))
                return false;
        /* It reads nothing else, so there is room; whoever has died since then is found dead by
         * who watches the operation. */
        if (write(standby->ask_fd, &id, sizeof(id)) != (ssize_t)sizeof(id)) {
                end(standby);
                standby->lost++;
                return false;
        }
        *ret_process = (struct standby_process){ .pid = standby->pid,
                                                 .pid_fd = steal_fd(&standby->pid_fd),
                                                 .news_fd = steal_fd(&standby->news_fd) };
        standby->lost = 0;
        forget(standby);
        return true;
}
