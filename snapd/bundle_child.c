/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "snapd/bundle_child.h"
#include "snapd/module.h"
#include "snapd/worker_child.h"
#include "snapd/role.h"

#define TELL_USEC  200000
#define ASK_MSEC   200
#define QUIET_MSEC (2 * 60 * 1000) /* a child that says nothing for so long hangs */

enum { IN_FD = 3, DIR_FD, OUT_FD, REPORT_FD, FIRST_FREE_FD };

/* Smaller than PIPE_BUF, so that it arrives whole. */
struct news {
        uint64_t bytes;
        bool last;
        struct bundle_facts facts;
};

struct job {
        const struct bundle_unpack *unpack;
        bundle_unpack_function function;
        uid_t uid;
        gid_t gid;
};

static int settle(const struct job *job, const struct worker_ends *ends, struct err *err)
{
        const int from[] = { job->unpack->in_fd, job->unpack->dir_fd, ends->output_fd,
                             ends->report_fd };
        int high[4];

        /* First out of the way of the numbers that will be used. */
        for (int i = 0; i < 4; i++) {
                high[i] = from[i] < 0 ? -1 : fcntl(from[i], F_DUPFD_CLOEXEC, FIRST_FREE_FD + 4);
                if (from[i] >= 0 && high[i] < 0)
                        return err_fail(err, ERR_IO, errno, "cannot set up descriptors");
        }
        for (int i = 0; i < 4; i++) {
                if (high[i] < 0)
                        (void)close(IN_FD + i);
                else if (dup2(high[i], IN_FD + i) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot set up descriptors");
        }
        if (close_range(FIRST_FREE_FD, UINT_MAX, 0) < 0)
                return err_fail(err, ERR_IO, errno, "cannot close descriptors");
        return worker_child_null(err);
}

static int tell(uint64_t bytes, void *arg, struct err *err)
{
        struct news news = { .bytes = bytes };
        int64_t *next = arg, now = clock_boot_usec();

        if (now < *next)
                return 0;
        *next = now + TELL_USEC;
        return file_write_all(OUT_FD, &news, sizeof(news), err);
}

static int child_body(const struct worker_ends *ends, const void *arg, int *ret_status,
                      struct err *err)
{
        const struct job *job = arg;
        struct worker_report report = { 0 };
        struct bundle_unpack unpack = *job->unpack;
        struct news last = { .last = true };
        int64_t next = 0;

        *ret_status = 0;
        if (settle(job, ends, err) < 0)
                return -1;
        unpack.in_fd = IN_FD;
        unpack.dir_fd = unpack.dir_fd < 0 ? -1 : DIR_FD;
        unpack.progress = tell;
        unpack.arg = &next;
        if (((unpack.dir_fd >= 0 && sandbox_beneath(DIR_FD, &report.err) < 0) ||
             sandbox_enter(&roles[WORKER_UNPACK].sandbox, job->uid, job->gid, &report.err) < 0 ||
             job->function(&unpack, &last.facts, &report.err) < 0 ||
             file_write_all(OUT_FD, &last, sizeof(last), &report.err) < 0) &&
            report.err.code == 0)
                (void)err_fail(&report.err, ERR_IO, 0, "a worker failed without a reason");
        worker_child_tell(REPORT_FD, &report);
        _exit(0);
}

/* Take what has been said; true when there was something. */
static bool hear(const struct worker_child *child, struct news *news, struct bundle_facts *facts,
                 bool *ret_last)
{
        bool heard = false;

        while (read(child->output_fd, news, sizeof(*news)) == (ssize_t)sizeof(*news)) {
                heard = true;
                if (!news->last)
                        continue;
                *ret_last = true;
                *facts = news->facts;
                facts->site[sizeof(facts->site) - 1] = '\0';
                facts->label[sizeof(facts->label) - 1] = '\0';
                facts->engine[sizeof(facts->engine) - 1] = '\0';
        }
        return heard;
}

static int wait_for(const struct worker_child *child, const struct bundle_unpack *unpack,
                    struct bundle_facts *facts, bool *ret_last, struct err *err)
{
        int64_t quiet_usec = clock_boot_usec() + QUIET_MSEC * (int64_t)1000;
        struct pollfd ended = { .fd = child->pid_fd, .events = POLLIN };
        struct news news = { 0 };

        while (ended.revents == 0) {
                if (poll(&ended, 1, ASK_MSEC) < 0)
                        ended.revents = 0;
                if (hear(child, &news, facts, ret_last))
                        quiet_usec = clock_boot_usec() + QUIET_MSEC * (int64_t)1000;
                if (unpack->progress != NULL && unpack->progress(news.bytes, unpack->arg, err) < 0)
                        return -1;
                if (clock_boot_usec() > quiet_usec)
                        return err_fail(err, ERR_TIMEOUT, 0,
                                        "the process that reads the archive does not go on");
        }
        (void)hear(child, &news, facts, ret_last);
        return 0;
}

int bundle_child_run(const struct bundle_unpack *unpack, uid_t uid, gid_t gid,
                     struct bundle_facts *ret_facts, struct err *err)
{
        struct job job = { .unpack = unpack, .uid = uid, .gid = gid };
        struct worker_report report;
        struct worker_child child;
        struct bundle_facts facts;
        bool reported, last = false;
        void *function;
        int r, status;

        if (uid == 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "archives are not read as root; give the site "
                                "an owner");
        if (module_find("archive", "bundle_unpack", &function, err) < 0)
                return -1;
        job.function = __extension__(bundle_unpack_function) function;
        if (worker_child_start(roles[WORKER_UNPACK].namespaces, child_body, &job, &child, err) < 0)
                return -1;
        r = wait_for(&child, unpack, &facts, &last, err);
        reported = worker_child_report(&child, &report);
        status = worker_child_end(&child);
        if (r < 0)
                return -1;
        if (reported && report.err.code != 0) {
                *err = report.err;
                return -1;
        }
        if (!reported || !last)
                return worker_status_check("the process that reads the archive", status, err) < 0
                               ? -1
                               : err_fail(err, ERR_IO, 0,
                                          "the process that reads the archive ended without a "
                                          "report");
        *ret_facts = facts;
        return 0;
}
