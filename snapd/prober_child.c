/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "snapd/process.h"
#include "snapd/prober_child.h"

#define TOKEN_DIR   "probes"
#define TOKEN_BYTES 16
#define SECRET_MAX  4096

int child_start(sd_event *event, const struct dirs *dirs, prober_wire_message message,
                prober_wire_broken broken, void *arg, struct prober_child *ret_child,
                struct err *err)
{
        CLEANUP(closep) int ours_fd = -1;
        CLEANUP(closep) int theirs_fd = -1;
        CLEANUP(closep) int pid_fd = -1;
        struct process_start start = { .mode = "--probe", .output_fd = -1, .notify_fd = -1 };
        struct prober_child child = { 0 };

        if (prober_wire_pair(&ours_fd, &theirs_fd, err) < 0)
                return -1;
        start.input_fd = theirs_fd;
        if (process_start(dirs, &start, &child.pid, &pid_fd, err) < 0)
                return -1;
        if (prober_wire_open(event, ours_fd, message, broken, arg, &child.wire, err) < 0) {
                child_end(&child);
                return -1;
        }
        (void)steal_fd(&ours_fd);
        *ret_child = child;
        return 0;
}

void child_end(struct prober_child *child)
{
        prober_wire_close(child->wire);
        if (child->pid > 0) {
                /* Not reaped yet, so the number is still its own; it holds nothing to lose. */
                (void)kill(child->pid, SIGKILL);
                while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        *child = (struct prober_child){ 0 };
}

/* The first line of a file that only root can have written and read. */
static int secret_read(const char *path, char **ret_secret, struct err *err)
{
        CLEANUP(closep) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(closep) int fd = -1;
        struct stat st;
        char *text;

        if (safepath_open_mounted(root_fd, path + 1, O_RDONLY, &fd, err) < 0)
                return err_wrap(err, "'%s'", path);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
            (st.st_mode & 077) != 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "'%s' is not a file that only root can read and write: chmod 600",
                                path);
        if (file_read_fd(fd, SECRET_MAX, &text, NULL, err) < 0)
                return err_wrap(err, "'%s'", path);
        text[strcspn(text, "\r\n")] = '\0';
        *ret_secret = text;
        return 0;
}

int child_set(const struct prober_child *child, unsigned id, const char *site, const char *agent,
              const struct site_probe *probe, json_t *members, struct err *err)
{
        CLEANUP(json_decrefp) json_t *more = members;
        CLEANUP(freep) char *secret = NULL;
        json_t *message;

        if (probe->secret != NULL && secret_read(probe->secret, &secret, err) < 0)
                return -1;
        message = json_pack("{s:I, s:s, s:s, s:s*, s:o}", "set", (json_int_t)id, "site", site,
                            "agent", agent, "secret", secret, "probe", probe_json(probe));
        if (message == NULL || (more != NULL && json_object_update(message, more) < 0)) {
                json_decref(message);
                return secret != NULL
                               ? err_fail(err, ERR_INVALID, 0, "'%s' is not UTF-8", probe->secret)
                               : err_oom(err);
        }
        return prober_wire_send(child->wire, message, -1, err);
}

static int token_make(int dir_fd, const char *site, struct err *err)
{
        unsigned char bytes[TOKEN_BYTES];
        char text[2 * TOKEN_BYTES + 1];

        if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
                return err_fail(err, ERR_IO, errno, "no random bytes");
        for (size_t i = 0; i < TOKEN_BYTES; i++)
                (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
        return file_replace(dir_fd, site, text, sizeof(text) - 1, 0600, err);
}

int prober_agent(const struct dirs *dirs, const char *site, char buf[static PROBER_AGENT_MAX],
                 struct err *err)
{
        CLEANUP(closep) int dir_fd = -1;
        CLEANUP(freep) char *token = NULL;
        int r;

        if (safepath_mkdirs(dirs->run_fd, TOKEN_DIR, 0700, geteuid(), getegid(), &dir_fd, err) < 0)
                return -1;
        r = file_read(dir_fd, site, 2 * TOKEN_BYTES, &token, NULL, err);
        if (r < 0 && err->code == ERR_NOT_FOUND) {
                if (token_make(dir_fd, site, err) < 0)
                        return -1;
                r = file_read(dir_fd, site, 2 * TOKEN_BYTES, &token, NULL, err);
        }
        if (r < 0)
                return err_wrap(err, "the token of the probes of '%s'", site);
        (void)snprintf(buf, PROBER_AGENT_MAX, "sitesnap-probe/%s (%.*s)", SITESNAP_VERSION,
                       2 * TOKEN_BYTES, token);
        return 0;
}
