/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "snapd/http.h"
#include "snapd/server.h"

#define CONNECTIONS_MAX     256
#define CONNECTIONS_OF_USER 16
#define CONNECTIONS_OF_ROOT 16 /* kept free for root */
#define ACCEPTS_A_TURN      64 /* then others get theirs */
#define ADMIN_GROUP         "sitesnap"

struct server {
        struct http *http;
        struct spawner *spawner;
        gid_t admin_gid;
        sd_event_source *accept, *again;
};

/* What came too much is told so; it may not have sent anything yet. */
static void refuse(int fd)
{
        static const char body[] = "{\"error\": {\"code\": \"busy\", \"message\": \"too many "
                                   "connections; try again\", \"exit\": 3}}";
        char answer[512];
        int n = snprintf(answer, sizeof(answer),
                         "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
                         "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                         sizeof(body) - 1, body);

        (void)send(fd, answer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)close(fd);
}

static bool has_room(const struct server *server, const struct peer *peer)
{
        unsigned of_uid, all = http_count(server->http, peer->uid, &of_uid);

        if (peer->uid == 0)
                return all < CONNECTIONS_MAX;
        return all < CONNECTIONS_MAX - CONNECTIONS_OF_ROOT && of_uid < CONNECTIONS_OF_USER;
}

static int on_accept(sd_event_source *source, int listen_fd, uint32_t revents, void *arg)
{
        struct server *server = arg;

        (void)revents;
        if (server->spawner != NULL)
                spawner_prepare(server->spawner);
        for (int i = 0; i < ACCEPTS_A_TURN; i++) {
                int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                struct err err = { 0 };
                struct peer peer;

                if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
                        continue;
                if (fd < 0 && errno != EAGAIN) {
                        /* No descriptor is free: the socket stays readable, so look away. */
                        log_warning("cannot accept: %s", strerror(errno));
                        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
                        (void)sd_event_source_set_time_relative(server->again, USEC_PER_SEC / 10);
                        (void)sd_event_source_set_enabled(server->again, SD_EVENT_ONESHOT);
                }
                if (fd < 0)
                        return 0;
                if (auth_peer(fd, server->admin_gid, &peer, &err) < 0 || !has_room(server, &peer))
                        refuse(fd);
                else if (http_add(server->http, fd, &peer, &err) < 0)
                        log_warning("%s", err.msg);
        }
        return 0;
}

static int on_again(sd_event_source *source, uint64_t usec, void *arg)
{
        const struct server *server = arg;

        (void)source;
        (void)usec;
        return sd_event_source_set_enabled(server->accept, SD_EVENT_ON);
}

static void on_news(void *arg)
{
        http_news(((struct server *)arg)->http);
}

int server_lock(int run_fd, int *ret_fd, struct err *err)
{
        CLEANUP(closep)
        int fd = openat(run_fd, "snapd.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot open 'snapd.lock'");
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK
                               ? err_fail(err, ERR_BUSY, 0, "another snapd runs already")
                               : err_fail(err, ERR_IO, errno, "cannot lock 'snapd.lock'");
        *ret_fd = steal_fd(&fd);
        return 0;
}

int server_listen(const char *path, int *ret_fd, struct err *err)
{
        CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t n = strlen(path);
        struct stat st;

        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a socket");
        if (n >= sizeof(address.sun_path))
                return err_fail(err, ERR_INVALID, 0, "the socket's path '%s' is too long", path);
        memcpy(address.sun_path, path, n);
        if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
                if (!S_ISSOCK(st.st_mode))
                        return err_fail(err, ERR_EXISTS, 0, "'%s' is there and no socket", path);
                if (unlinkat(AT_FDCWD, path, 0) < 0)
                        return err_fail(err, ERR_IO, errno, "cannot remove the old '%s'", path);
        }
        if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return err_fail(err, ERR_IO, errno, "cannot bind '%s'", path);

        /* The umask took what bind() would give; everybody may connect, few may do something. */
        if (fchmodat(AT_FDCWD, path, 0666, 0) < 0 || listen(fd, 128) < 0)
                return err_fail(err, ERR_IO, errno, "cannot listen on '%s'", path);
        *ret_fd = steal_fd(&fd);
        return 0;
}

static int server_begin(struct server *server, sd_event *event, int listen_fd,
                        const struct dialog_env *env, struct err *err)
{
        int r;

        if (http_open(event, env, &server->http, err) < 0)
                return -1;
        r = sd_event_add_io(event, &server->accept, listen_fd, EPOLLIN, on_accept, server);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &server->again, CLOCK_BOOTTIME, 0, 0,
                                               on_again, server);
        if (r >= 0)
                r = sd_event_source_set_enabled(server->again, SD_EVENT_OFF);
        return r >= 0 ? 0 : err_fail(err, ERR_IO, -r, "cannot add to the event loop");
}

int server_open(sd_event *event, int listen_fd, const struct dialog_env *env,
                struct server **ret_server, struct err *err)
{
        struct server *server = calloc(1, sizeof(*server));

        if (server == NULL)
                return err_oom(err);
        server->admin_gid = auth_group(ADMIN_GROUP);
        server->spawner = env->api->spawner;
        if (server_begin(server, event, listen_fd, env, err) < 0) {
                server_close(server);
                return -1;
        }
        if (server->spawner != NULL)
                spawner_tell(server->spawner, on_news, server);
        *ret_server = server;
        return 0;
}

void server_close(struct server *server)
{
        if (server == NULL)
                return;
        if (server->spawner != NULL)
                spawner_untell(server->spawner, server);
        (void)sd_event_source_disable_unref(server->accept);
        (void)sd_event_source_disable_unref(server->again);
        http_close(server->http);
        free(server);
}
