/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "snapd/boot.h"
#include "snapd/courier.h"
#include "snapd/daemon.h"
#include "snapd/expiry.h"
#include "snapd/measure.h"
#include "snapd/server.h"

#define SETTLE_MSEC 30000

/* What the daemon holds; all of it is closed by daemon_close(). */
struct daemon {
        const struct dirs *dirs;
        int lock_fd, listen_fd;
        bool bound; /* the socket is ours to remove */
        sd_event *event;
        struct catalog *catalog;
        struct sitecache *sites;
        struct spawner *spawner;
        struct questions *questions;
        struct outbox *outbox;
        struct courier *courier;
        struct measure *measure;
        struct api api;
        struct expiry *expiry;
        struct server *server;
};

static void daemon_close(struct daemon *d)
{
        server_close(d->server);
        expiry_close(d->expiry);
        measure_close(d->measure);
        questions_close(d->questions);
        courier_close(d->courier);
        outbox_close(d->outbox);
        spawner_close(d->spawner);
        sitecache_close(d->sites);
        catalog_close(d->catalog);
        (void)sd_event_unref(d->event);
        if (d->bound)
                (void)unlinkat(AT_FDCWD, d->dirs->socket, 0);
        closep(&d->listen_fd);
        closep(&d->lock_fd);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
        (void)arg;
        log_info("ending; operations go on");
        (void)info;
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int loop_open(struct daemon *d, struct err *err)
{
        sigset_t ending;
        int r = sd_event_new(&d->event);

        (void)sigemptyset(&ending);
        (void)sigaddset(&ending, SIGTERM);
        (void)sigaddset(&ending, SIGINT);
        (void)sigprocmask(SIG_BLOCK, &ending, NULL);
        (void)signal(SIGHUP, SIG_IGN); /* configurations are read when they change */
        if (r >= 0)
                r = sd_event_add_signal(d->event, NULL, SIGTERM, on_signal, NULL);
        if (r >= 0)
                r = sd_event_add_signal(d->event, NULL, SIGINT, on_signal, NULL);
        if (r >= 0)
                r = sd_event_set_watchdog(d->event, true);
        return r >= 0 ? 0 : err_fail(err, ERR_IO, -r, "cannot make an event loop");
}

static int socket_open(struct daemon *d, struct err *err)
{
        int n = sd_listen_fds(1);

        if (n == 0) {
                d->bound = server_listen(d->dirs->socket, &d->listen_fd, err) == 0;
                return d->bound ? 0 : -1;
        }
        if (n != 1 || sd_is_socket(SD_LISTEN_FDS_START, AF_UNIX, SOCK_STREAM, 1) <= 0)
                return err_fail(err, ERR_INVALID, 0, "one listening unix socket is to be passed");
        d->listen_fd = SD_LISTEN_FDS_START;

        /* systemd has done so; another starter may not have, and one accept() too many would stop
         * everything. */
        if (fcntl(d->listen_fd, F_SETFL, O_NONBLOCK) < 0)
                return err_fail(err, ERR_IO, errno, "cannot set up the passed socket");
        return 0;
}

/* In this order: alone, then every site served, then what a crash left settled, and only then
 * somebody may ask. */
static int daemon_open(struct daemon *d, struct err *err)
{
        struct dialog_env env = { .api = &d->api };
        struct watch_needs needs = { .dirs = d->dirs };
        struct err silent;

        if (server_lock(d->dirs->run_fd, &d->lock_fd, err) < 0 ||
            catalog_open(d->dirs->state_fd, &d->catalog, err) < 0 || loop_open(d, err) < 0 ||
            sitecache_open(d->dirs, &d->sites, err) < 0 ||
            spawner_open(d->event, d->dirs, d->catalog, &d->spawner, err) < 0 ||
            questions_open(d->event, d->dirs, &d->questions, err) < 0)
                return -1;
        /* Sites are served and rolled back without a word rather than not at all. */
        if (outbox_open(d->dirs->state_fd, &d->outbox, &silent) < 0)
                log_error("nobody is told anything until snapd is started again: %s", silent.msg);
        (void)sd_notify(0, "STATUS=mounting sites and settling operations");
        if (boot_settle(d->dirs, d->catalog, err) < 0 ||
            spawner_settle(d->spawner, SETTLE_MSEC, err) < 0 ||
            expiry_open(d->event, d->dirs, d->catalog, d->sites, d->spawner, &d->expiry, err) < 0)
                return -1;
        needs.event = d->event;
        needs.catalog = d->catalog;
        needs.sites = d->sites;
        needs.spawner = d->spawner;
        needs.outbox = d->outbox;
        if (measure_open(&needs, &d->measure, err) < 0)
                return -1;
        d->api = (struct api){ .dirs = d->dirs,
                               .catalog = d->catalog,
                               .sites = d->sites,
                               .spawner = d->spawner,
                               .outbox = d->outbox,
                               .expiry = d->expiry,
                               .watch = measure_watch(d->measure),
                               .history = measure_history(d->measure),
                               .started_usec = clock_boot_usec() };
        env.questions = d->questions;
        if ((d->outbox != NULL &&
             courier_open(d->event, d->dirs, d->catalog, d->outbox, &d->courier, err) < 0) ||
            socket_open(d, err) < 0 ||
            server_open(d->event, d->listen_fd, &env, &d->server, err) < 0)
                return -1;
        return 0;
}

int daemon_main(const struct dirs *dirs)
{
        struct daemon d = { .dirs = dirs, .lock_fd = -1, .listen_fd = -1 };
        struct err err = { 0 };
        int r;

        r = daemon_open(&d, &err);
        if (r < 0) {
                log_error("%s", err.msg);
                (void)sd_notifyf(0, "STATUS=%s", err.msg);
        } else {
                log_info("sitesnap %s answers on '%s'", SITESNAP_VERSION, dirs->socket);
                (void)sd_notify(0, "READY=1\nSTATUS=answering");
                r = sd_event_loop(d.event);
                (void)sd_notify(0, "STOPPING=1\nSTATUS=ending; operations go on");
        }
        daemon_close(&d);
        return r < 0 ? err_exit_status(err.code != 0 ? err.code : ERR_IO) : 0;
}
