/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * snapd: the daemon, and the processes it starts of itself.
 *
 *   snapd                  serve the API, in the foreground
 *   snapd --operation ID   run or settle one operation (snapd/operation.h)
 *   snapd --deliver NAME   deliver what is due for a target of notices (snapd/deliver.h)
 *   snapd --probe          measure sites for who started it (snapd/prober.h)
 *   snapd --query          answer one question on stdin (snapd/request.h)
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "common/log.h"
#include "snapd/boot.h"
#include "snapd/courier.h"
#include "snapd/dbprobe.h"
#include "snapd/expiry.h"
#include "snapd/measure.h"
#include "snapd/module.h"
#include "snapd/operation.h"
#include "snapd/request.h"
#include "snapd/server.h"
#include "snapd/view.h"

#define SETTLE_MSEC    30000
#define QUESTION_BYTES (1 << 20)

enum mode { MODE_DAEMON, MODE_OPERATION, MODE_QUERY, MODE_DELIVER, MODE_PROBE };

struct options {
        struct dirs dirs;
        enum mode mode;
        op_id operation;
        const char *target;
};

static int usage(FILE *to, int status)
{
        (void)fprintf(
                to,
                "usage: snapd [--state DIR] [--run DIR] [--conf DIR] [--socket PATH]\n"
                "             [--operation ID | --deliver NAME | --query | --probe | --version |\n"
                "              --help]\n"
                "without a mode it serves the API in the foreground; see sitesnap(8)\n");
        return status;
}

/* -1: go on; else the exit status. */
static int options_read(int argc, char **argv, struct options *options)
{
        static const struct option known[] = {
                { "state", required_argument, NULL, 's' },
                { "run", required_argument, NULL, 'r' },
                { "conf", required_argument, NULL, 'c' },
                { "socket", required_argument, NULL, 'S' },
                { "operation", required_argument, NULL, 'o' },
                { "deliver", required_argument, NULL, 'd' },
                { "query", no_argument, NULL, 'q' },
                { "probe", no_argument, NULL, 'p' },
                { "version", no_argument, NULL, 'V' },
                { "help", no_argument, NULL, 'h' },
                { NULL, 0, NULL, 0 },
        };
        struct err err;
        int c;

        while ((c = getopt_long(argc, argv, "", known, NULL)) >= 0) {
                switch (c) {
                case 's':
                        options->dirs.state = optarg;
                        break;
                case 'r':
                        options->dirs.run = optarg;
                        break;
                case 'c':
                        options->dirs.conf = optarg;
                        break;
                case 'S':
                        options->dirs.socket = optarg;
                        break;
                case 'o':
                        options->mode = MODE_OPERATION;
                        if (call_number(optarg, "an operation", &options->operation, &err) < 0)
                                return usage(stderr, 2);
                        break;
                case 'd':
                        options->mode = MODE_DELIVER;
                        options->target = optarg;
                        break;
                case 'q':
                        options->mode = MODE_QUERY;
                        break;
                case 'p':
                        options->mode = MODE_PROBE;
                        break;
                case 'V':
                        (void)printf("sitesnap snapd %s\n", SITESNAP_VERSION);
                        return 0;
                case 'h':
                        return usage(stdout, 0);
                default:
                        return usage(stderr, 2);
                }
        }
        return optind < argc ? usage(stderr, 2) : -1;
}

/* Nothing of our memory reaches a file or another user; a peer that goes away is an error of one
 * write, not our end. */
static void harden(void)
{
        struct rlimit none = { 0, 0 };

        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        /* Operations are started through /proc/self/exe, which is no name to find them by. */
        (void)prctl(PR_SET_NAME, "snapd", 0, 0, 0);
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)umask(077);
        (void)signal(SIGPIPE, SIG_IGN);
}

static int answer_query(const struct dirs *dirs)
{
        CLEANUP(json_decrefp) json_t *question = NULL;
        CLEANUP(json_decrefp) json_t *answer = NULL;
        CLEANUP(freep) char *text = NULL;
        struct err err = { 0 };
        size_t n;
        int r;

        r = file_read_fd(STDIN_FILENO, QUESTION_BYTES, &text, &n, &err);
        if (r == 0)
                r = json_parse(text, n, &question, &err);
        if (r == 0)
                r = request_query(dirs, question, &answer, &err);
        if (r < 0)
                answer = view_error(&err);
        if (answer == NULL || json_dumpf(answer, stdout, JSON_COMPACT) < 0 || fflush(stdout) != 0)
                return 1;
        return r < 0 ? 1 : 0;
}

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

static int serve(const struct dirs *dirs)
{
        struct daemon d = { .dirs = dirs, .lock_fd = -1, .listen_fd = -1 };
        struct err err = { 0 };
        int r = daemon_open(&d, &err);

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

/* What speaks with the network lies in a module, so that nobody else loads libcurl. */
static int run_module(const struct options *options)
{
        bool probes = options->mode == MODE_PROBE;
        struct err err;
        void *found;

        if (module_find("net", probes ? "prober_main" : "deliver_main", &found, &err) < 0) {
                log_error("%s", err.msg);
                return err_exit_status(err.code);
        }
        if (probes)
                return ((int (*)(void))found)();
        return ((int (*)(const struct dirs *, const char *))found)(&options->dirs, options->target);
}

int main(int argc, char **argv)
{
        struct options options = {
                .dirs = {
                        .state = "/var/lib/sitesnap",
                        .run = "/run/sitesnap",
                        .conf = "/etc/sitesnap",
                        .socket = "/run/sitesnap/snapd.sock",
                },
        };
        struct err err = { 0 };
        int status = options_read(argc, argv, &options);

        if (status >= 0)
                return status;
        harden();
        prober_database_by(dbprobe_ask);
        /* It has what it needs from its starter, and no directory. */
        if (options.mode == MODE_PROBE)
                return run_module(&options);
        if (dirs_open(&options.dirs, &err) < 0) {
                log_error("%s", err.msg);
                return err_exit_status(err.code);
        }
        switch (options.mode) {
        case MODE_OPERATION:
                return operation_main(&options.dirs, options.operation);
        case MODE_DELIVER:
                return run_module(&options);
        case MODE_QUERY:
                return answer_query(&options.dirs);
        case MODE_PROBE:
        case MODE_DAEMON:
        default:
                return serve(&options.dirs);
        }
}
