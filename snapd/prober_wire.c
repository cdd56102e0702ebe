/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapd/prober_wire.h"

#define MESSAGE_MAX  65536
#define KEPT_MAX     (64u << 20)
#define MESSAGES_MAX 256 /* taken in one turn of the loop, so that timers get theirs */

struct letter {
        struct letter *next;
        int fd;
        size_t n;
        char text[];
};

struct prober_wire {
        int fd;
        sd_event_source *source;
        prober_wire_message message;
        prober_wire_broken broken;
        void *arg;
        struct letter *first, **last;
        size_t kept;
        bool *closed; /* set when it is closed while it works */
};

int prober_wire_pair(int *ret_ours_fd, int *ret_theirs_fd, struct err *err)
{
        int fds[2], room = 1 << 20;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a socket pair");
        /* Fewer waits when thousands of probes are told of; the default does too. */
        for (int i = 0; i < 2; i++)
                (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
        *ret_ours_fd = fds[0];
        *ret_theirs_fd = fds[1];
        return 0;
}

static void letter_free(struct letter *letter)
{
        closep(&letter->fd);
        free(letter);
}

/* 1: sent; 0: not now; -1: never. */
static int letter_send(const struct prober_wire *wire, const struct letter *letter)
{
        char control[CMSG_SPACE(sizeof(int))] = { 0 };
        struct iovec part = { .iov_base = (char *)letter->text, .iov_len = letter->n };
        struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };

        if (letter->fd >= 0) {
                struct cmsghdr *rights;

                header.msg_control = control;
                header.msg_controllen = sizeof(control);
                rights = CMSG_FIRSTHDR(&header);
                rights->cmsg_level = SOL_SOCKET;
                rights->cmsg_type = SCM_RIGHTS;
                rights->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(rights), &letter->fd, sizeof(int));
        }
        if (sendmsg(wire->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
                return 1;
        return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -1;
}

static int flush_letters(struct prober_wire *wire)
{
        while (wire->first != NULL) {
                struct letter *letter = wire->first;
                int r = letter_send(wire, letter);

                if (r <= 0)
                        return r;
                wire->first = letter->next;
                if (wire->first == NULL)
                        wire->last = &wire->first;
                wire->kept -= letter->n;
                letter_free(letter);
        }
        return sd_event_source_set_io_events(wire->source, EPOLLIN) < 0 ? -1 : 0;
}

int prober_wire_send(struct prober_wire *wire, json_t *message, int fd, struct err *err)
{
        struct letter *letter;
        size_t n;

        if (message == NULL)
                return err_oom(err);
        n = json_dumpb(message, NULL, 0, JSON_COMPACT);
        letter = n == 0 || n > MESSAGE_MAX ? NULL : malloc(sizeof(*letter) + n);
        if (letter == NULL) {
                json_decref(message);
                return n > MESSAGE_MAX ? err_fail(err, ERR_INVALID, 0, "a message of %zu bytes", n)
                                       : err_oom(err);
        }
        *letter = (struct letter){ .fd = -1, .n = n };
        (void)json_dumpb(message, letter->text, n, JSON_COMPACT);
        json_decref(message);
        if (fd >= 0 && (letter->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0) {
                free(letter);
                return err_fail(err, ERR_IO, errno, "cannot copy a descriptor");
        }
        *wire->last = letter;
        wire->last = &letter->next;
        wire->kept += n;
        if (wire->kept > KEPT_MAX)
                return err_fail(err, ERR_IO, 0, "the process that probes takes no messages");
        if (wire->first != letter)
                return 0;
        if (flush_letters(wire) < 0 ||
            (wire->first != NULL &&
             sd_event_source_set_io_events(wire->source, EPOLLIN | EPOLLOUT) < 0))
                return err_fail(err, ERR_IO, errno, "cannot send to the other side");
        return 0;
}

/* Every descriptor that came is kept out of our table but the one that is passed on. */
static int rights_take(struct msghdr *header)
{
        int taken = -1;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
                size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

                for (size_t i = 0; c->cmsg_type == SCM_RIGHTS && i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        if (taken < 0)
                                taken = fd;
                        else
                                (void)close(fd);
                }
        }
        return taken;
}

/* 1: one was taken; 0: none is there; -1. */
static int message_take(struct prober_wire *wire, struct err *err)
{
        static char text[MESSAGE_MAX];
        char control[CMSG_SPACE(4 * sizeof(int))] = { 0 };
        struct iovec part = { .iov_base = text, .iov_len = sizeof(text) };
        struct msghdr header = { .msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof(control) };
        CLEANUP(json_decrefp) json_t *message = NULL;
        ssize_t n = recvmsg(wire->fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        int fd;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0)
                return err_fail(err, ERR_IO, n < 0 ? errno : 0, "the other side is gone");
        fd = rights_take(&header);
        if ((header.msg_flags & MSG_TRUNC) != 0 || json_parse(text, (size_t)n, &message, err) < 0 ||
            !json_is_object(message)) {
                closep(&fd);
                return err_fail(err, ERR_INVALID, 0, "a message that makes no sense");
        }
        wire->message(message, fd, wire->arg);
        return 1;
}

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
        struct prober_wire *wire = arg;
        bool closed = false;
        struct err err = { 0 };
        int r = 1;

        (void)source;
        (void)fd;
        wire->closed = &closed;
        if ((revents & EPOLLOUT) != 0 && flush_letters(wire) < 0)
                r = err_fail(&err, ERR_IO, errno, "cannot send to the other side");
        for (int i = 0; r > 0 && i < MESSAGES_MAX && !closed; i++)
                r = message_take(wire, &err);
        if (closed)
                return 0;
        wire->closed = NULL;
        if (r < 0)
                wire->broken(&err, wire->arg);
        return 0;
}

int prober_wire_open(sd_event *event, int fd, prober_wire_message message,
                     prober_wire_broken broken, void *arg, struct prober_wire **ret_wire,
                     struct err *err)
{
        struct prober_wire *wire = calloc(1, sizeof(*wire));

        if (wire == NULL)
                return err_oom(err);
        *wire = (struct prober_wire){ .fd = fd, .message = message, .broken = broken, .arg = arg };
        wire->last = &wire->first;
        if (sd_event_add_io(event, &wire->source, fd, EPOLLIN, on_ready, wire) < 0) {
                free(wire);
                return err_fail(err, ERR_IO, 0, "cannot watch a socket");
        }
        *ret_wire = wire;
        return 0;
}

void prober_wire_close(struct prober_wire *wire)
{
        if (wire == NULL)
                return;
        if (wire->closed != NULL)
                *wire->closed = true;
        (void)sd_event_source_disable_unref(wire->source);
        closep(&wire->fd);
        while (wire->first != NULL) {
                struct letter *letter = wire->first;

                wire->first = letter->next;
                letter_free(letter);
        }
        free(wire);
}
