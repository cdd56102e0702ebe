/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "common/cleanup.h"
#include "snapd/prober_multi.h"

#define BATCH 64 /* sockets that are served before others have their turn */

struct multi {
        sd_event *event;
        multi_end end;
        void *arg;
        CURLM *curl;
        sd_event_source *timer, *ready;
        int epoll_fd;
};

CURLM *multi_curl(const struct multi *multi)
{
        return multi->curl;
}

static void multi_read(struct multi *multi)
{
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(multi->curl, &left)) != NULL)
                if (message->msg == CURLMSG_DONE)
                        multi->end(message->easy_handle, message->data.result, multi->arg);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
        struct multi *multi = arg;
        int running;

        (void)source;
        (void)usec;
        (void)curl_multi_socket_action(multi->curl, CURL_SOCKET_TIMEOUT, 0, &running);
        multi_read(multi);
        return 0;
}

static int timer_changed(CURLM *curl, long msec, void *arg)
{
        const struct multi *multi = arg;

        (void)curl;
        if (msec >= 0)
                (void)sd_event_source_set_time_relative(multi->timer, (uint64_t)msec * 1000);
        (void)sd_event_source_set_enabled(multi->timer, msec < 0 ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        return 0;
}

/* A socket of the batch that was closed for one before it is one that libcurl does not know, or
 * another, which finds nothing to do. */
static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
        struct multi *multi = arg;
        struct epoll_event events[BATCH];
        int n = epoll_wait(fd, events, BATCH, 0), running;

        (void)source;
        (void)revents;
        for (int i = 0; i < n; i++) {
                uint32_t seen = events[i].events;
                int what = ((seen & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                           ((seen & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                           ((seen & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);

                (void)curl_multi_socket_action(multi->curl, events[i].data.fd, what, &running);
        }
        multi_read(multi);
        return 0;
}

static int socket_changed(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
        struct multi *multi = arg;
        struct epoll_event event = { .events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0u) |
                                               ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0u),
                                     .data = { .fd = fd } };

        (void)easy;
        if (what == CURL_POLL_REMOVE) {
                (void)epoll_ctl(multi->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
                return 0;
        }
        if (epoll_ctl(multi->epoll_fd, known == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) <
            0)
                return -1;
        (void)curl_multi_assign(multi->curl, fd, multi);
        return 0;
}

int multi_open(sd_event *event, multi_end end, void *arg, struct multi **ret_multi, struct err *err)
{
        struct multi *multi = calloc(1, sizeof(*multi));

        if (multi == NULL)
                return err_oom(err);
        *multi = (struct multi){ .event = event, .end = end, .arg = arg };
        multi->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        multi->curl = curl_multi_init();
        if (multi->epoll_fd < 0 || multi->curl == NULL ||
            sd_event_add_io(event, &multi->ready, multi->epoll_fd, EPOLLIN, on_ready, multi) < 0 ||
            sd_event_add_time_relative(event, &multi->timer, CLOCK_MONOTONIC, 0, 1000, on_timer,
                                       multi) < 0 ||
            sd_event_source_set_enabled(multi->timer, SD_EVENT_OFF) < 0) {
                multi_close(multi);
                return err_fail(err, ERR_IO, errno, "cannot watch sockets");
        }
        (void)curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, socket_changed);
        (void)curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
        (void)curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, timer_changed);
        (void)curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
        *ret_multi = multi;
        return 0;
}

void multi_close(struct multi *multi)
{
        if (multi == NULL)
                return;
        (void)curl_multi_cleanup(multi->curl);
        (void)sd_event_source_disable_unref(multi->ready);
        (void)sd_event_source_disable_unref(multi->timer);
        closep(&multi->epoll_fd);
        free(multi);
}
