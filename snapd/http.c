/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "snapd/http.h"

#define REQUEST_USEC (10 * (int64_t)USEC_PER_SEC)
#define ANSWER_USEC  (30 * (int64_t)USEC_PER_SEC)
#define SWEEP_USEC   (1 * (uint64_t)USEC_PER_SEC)
#define LOOK_USEC    50000 /* between looks for news, while somebody waits for some */

/* Header lines, arguments and the answer's header live in it; 8 KiB of shortest lines have room. */
#define CONNECTION_MEMORY 32768

struct connection {
        struct http *http;
        struct connection *next, **at;
        int fd; /* libmicrohttpd's */
        struct peer peer;
        int64_t deadline_usec;
        struct dialog *dialog; /* NULL between requests */
};

struct http {
        sd_event *event;
        struct dialog_env env;
        struct MHD_Daemon *daemon;
        sd_event_source *io, *run, *sweep, *look;
        struct connection *connections;
        struct connection *adding; /* during MHD_add_connection() */
        uint64_t change;           /* of the catalog, when it was last looked at */
};

/* libmicrohttpd is run from one place only, since it must not be called from its own callbacks. */
static void http_kick(struct http *http)
{
        if (sd_event_source_set_enabled(http->run, SD_EVENT_ONESHOT) < 0)
                log_error("connections are not served any more");
}

static int on_run(sd_event_source *source, void *arg)
{
        struct http *http = arg;
        MHD_UNSIGNED_LONG_LONG msec;

        (void)source;
        (void)MHD_run(http->daemon);

        /* Nothing of ours makes it want a time; 0 means that it has more to do at once. */
        if (MHD_get_timeout(http->daemon, &msec) == MHD_YES && msec == 0)
                http_kick(http);
        return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
        (void)fd;
        (void)revents;
        return on_run(source, arg);
}

static void timer_set(sd_event_source *timer, uint64_t usec)
{
        if (sd_event_source_set_time_relative(timer, usec) < 0 ||
            sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT) < 0)
                log_error("a timer of the server has failed");
}

static bool hung_up(int fd)
{
        struct pollfd peer = { .fd = fd, .events = POLLRDHUP };

        return poll(&peer, 1, 0) > 0 && (peer.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* Connections whose time is over, and those whose peer has gone while they waited. */
static int on_sweep(sd_event_source *source, uint64_t usec, void *arg)
{
        struct http *http = arg;
        int64_t now = clock_boot_usec();

        (void)usec;
        for (struct connection *c = http->connections; c != NULL; c = c->next) {
                if (c->dialog != NULL && dialog_busy(c->dialog)) {
                        if (hung_up(c->fd))
                                dialog_drop(c->dialog);
                } else if (now >= c->deadline_usec) {
                        /* It finds the end of the stream and closes. */
                        (void)shutdown(c->fd, SHUT_RDWR);
                }
        }
        http_kick(http);
        if (http->connections != NULL)
                timer_set(source, SWEEP_USEC);
        return 0;
}

/* Returns whether somebody still waits. */
static bool look_at_all(struct http *http)
{
        int64_t now = clock_boot_usec();
        bool waits = false;

        for (struct connection *c = http->connections; c != NULL; c = c->next) {
                if (c->dialog == NULL || !dialog_waits(c->dialog))
                        continue;
                dialog_look(c->dialog, now);
                waits |= dialog_waits(c->dialog);
        }
        http_kick(http);
        return waits;
}

static int on_look(sd_event_source *source, uint64_t usec, void *arg)
{
        (void)usec;
        if (look_at_all(arg))
                timer_set(source, LOOK_USEC);
        return 0;
}

void http_news(struct http *http)
{
        (void)look_at_all(http);
}

/* Callbacks of libmicrohttpd */

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
        struct http *http = arg;
        struct connection *c = *context;

        (void)connection;
        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
                *context = http->adding;
                http->adding = NULL;
                return;
        }
        if (c == NULL)
                return;
        *c->at = c->next;
        if (c->next != NULL)
                c->next->at = c->at;
        dialog_end(c->dialog);
        free(c);
}

static struct connection *connection_of(struct MHD_Connection *connection)
{
        const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

        return info == NULL ? NULL : info->socket_context;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *n, void **context)
{
        struct http *http = arg;
        struct connection *c = connection_of(connection);
        enum MHD_Result result;

        (void)version;
        if (c == NULL)
                return MHD_NO;
        if (*context == NULL) {
                c->dialog = dialog_begin(&http->env, connection, &c->peer, method, url);
                if (c->dialog == NULL)
                        return MHD_NO;
                *context = c->dialog;
        }
        result = dialog_continue(c->dialog, data, n);
        if (dialog_answered(c->dialog))
                c->deadline_usec = clock_boot_usec() + ANSWER_USEC;
        if (dialog_waits(c->dialog))
                timer_set(http->look, LOOK_USEC);
        return result;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
        struct connection *c = connection_of(connection);

        (void)arg;
        (void)code;
        if (*context == NULL || c == NULL)
                return;
        dialog_end(c->dialog);
        c->dialog = NULL;
        *context = NULL;
        c->deadline_usec = clock_boot_usec() + REQUEST_USEC;
}

/* Life */

int http_add(struct http *http, int fd, const struct peer *peer, struct err *err)
{
        struct connection *c = calloc(1, sizeof(*c));
        struct sockaddr address = { .sa_family = AF_UNIX };
        enum MHD_Result added;

        if (c == NULL) {
                (void)close(fd);
                return err_oom(err);
        }
        *c = (struct connection){ .http = http,
                                  .fd = fd,
                                  .peer = *peer,
                                  .deadline_usec = clock_boot_usec() + REQUEST_USEC,
                                  .next = http->connections,
                                  .at = &http->connections };
        if (http->connections == NULL)
                timer_set(http->sweep, SWEEP_USEC);
        else
                http->connections->at = &c->next;
        http->connections = c;

        /* The peer's address is nothing: who it is stands in ${peer}. */
        http->adding = c;
        added = MHD_add_connection(http->daemon, fd, &address, sizeof(address));
        if (http->adding != NULL) { /* it was refused before it had begun */
                *c->at = c->next;
                if (c->next != NULL)
                        c->next->at = c->at;
                free(c);
                http->adding = NULL;
        }
        http_kick(http);
        return added == MHD_YES ? 0 : err_fail(err, ERR_IO, errno, "cannot serve a connection");
}

unsigned http_count(const struct http *http, uid_t uid, unsigned *ret_of_uid)
{
        unsigned all = 0, of_uid = 0;

        for (const struct connection *c = http->connections; c != NULL; c = c->next) {
                all++;
                of_uid += c->peer.uid == uid;
        }
        *ret_of_uid = of_uid;
        return all;
}

static int daemon_start(struct http *http, struct err *err)
{
        /* clang-format off */
        http->daemon = MHD_start_daemon(
                MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                on_request, http,
                MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                MHD_OPTION_CONNECTION_LIMIT, 1024U, /* server.c has the limits */
                MHD_OPTION_CONNECTION_TIMEOUT, 0U,
                MHD_OPTION_STRICT_FOR_CLIENT, 1,
                MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
                MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_END);
        /* clang-format on */
        return http->daemon != NULL ? 0
                                    : err_fail(err, ERR_IO, errno, "cannot start libmicrohttpd");
}

static int sources_add(struct http *http, struct err *err)
{
        const union MHD_DaemonInfo *info =
                MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
        int r = info == NULL ? -EINVAL
                             : sd_event_add_io(http->event, &http->io, info->epoll_fd, EPOLLIN,
                                               on_io, http);

        if (r >= 0)
                r = sd_event_add_defer(http->event, &http->run, on_run, http);
        if (r >= 0)
                r = sd_event_add_time_relative(http->event, &http->sweep, CLOCK_BOOTTIME, 0, 0,
                                               on_sweep, http);
        if (r >= 0)
                r = sd_event_source_set_enabled(http->sweep, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(http->event, &http->look, CLOCK_BOOTTIME, 0, 5000,
                                               on_look, http);
        if (r >= 0)
                r = sd_event_source_set_enabled(http->look, SD_EVENT_OFF);
        return r >= 0 ? 0 : err_fail(err, ERR_IO, -r, "cannot add to the event loop");
}

int http_open(sd_event *event, const struct dialog_env *env, struct http **ret_http,
              struct err *err)
{
        struct http *http = calloc(1, sizeof(*http));

        if (http == NULL)
                return err_oom(err);
        http->event = event;
        http->env = *env;
        if (daemon_start(http, err) < 0 || sources_add(http, err) < 0) {
                http_close(http);
                return -1;
        }
        *ret_http = http;
        return 0;
}

void http_close(struct http *http)
{
        if (http == NULL)
                return;

        /* libmicrohttpd does not stop while a connection is suspended. */
        for (struct connection *c = http->connections; c != NULL; c = c->next)
                if (c->dialog != NULL)
                        dialog_drop(c->dialog);
        if (http->daemon != NULL) {
                (void)MHD_run(http->daemon);
                MHD_stop_daemon(http->daemon);
        }
        (void)sd_event_source_disable_unref(http->io);
        (void)sd_event_source_disable_unref(http->run);
        (void)sd_event_source_disable_unref(http->sweep);
        (void)sd_event_source_disable_unref(http->look);
        free(http);
}
