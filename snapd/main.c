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
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/json.h"
#include "common/log.h"
#include "snapd/module.h"
#include "snapd/operation.h"
#include "snapd/request.h"
#include "snapd/routes_call.h"
#include "snapd/view.h"

#define QUESTION_BYTES (1 << 20)

enum mode { MODE_DAEMON, MODE_OPERATION, MODE_QUERY, MODE_DELIVER, MODE_PROBE };

struct options {
        struct dirs dirs;
        enum mode mode;
        op_id operation;
        char *later; /* it is told when there is one */
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
                        if (strcmp(optarg, OPERATION_LATER) == 0)
                                options->later = optarg;
                        else if (call_number(optarg, "an operation", &options->operation, &err) < 0)
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

/* What speaks with the network, or HTTP, lies in a module, so that nobody else loads libcurl and
 * libmicrohttpd. */
static const struct part {
        const char *module, *symbol;
} parts[] = {
        [MODE_DAEMON] = { "daemon", "daemon_main" },
        [MODE_PROBE] = { "net", "prober_main" },
        [MODE_DELIVER] = { "net", "deliver_main" },
};

static int run_module(const struct options *options)
{
        const struct part *part = &parts[options->mode];
        struct err err;
        void *found;

        if (module_find(part->module, part->symbol, &found, &err) < 0) {
                log_error("%s", err.msg);
                return err_exit_status(err.code);
        }
        if (options->mode == MODE_PROBE)
                return ((int (*)(void))found)();
        if (options->mode == MODE_DAEMON)
                return ((int (*)(const struct dirs *))found)(&options->dirs);
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
        /* It has what it needs from its starter, and no directory. */
        if (options.mode == MODE_PROBE)
                return run_module(&options);
        if (dirs_open(&options.dirs, &err) < 0) {
                log_error("%s", err.msg);
                return err_exit_status(err.code);
        }
        switch (options.mode) {
        case MODE_OPERATION:
                return options.later != NULL ? operation_main_later(&options.dirs, options.later)
                                             : operation_main(&options.dirs, options.operation);
        case MODE_QUERY:
                return answer_query(&options.dirs);
        case MODE_DELIVER:
        case MODE_PROBE:
        case MODE_DAEMON:
        default:
                return run_module(&options);
        }
}
