/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "common/log.h"
#include "snapd/deliver.h"
#include "snapd/deliver_net.h"
#include "snapd/lock.h"
#include "snapd/outbox.h"
#include "snapd/target.h"
#include "snapd/worker.h"

#define BATCH      20
#define DIGEST_MAX OUTBOX_SITE_MAX
#define OUTPUT_MAX 4096

static const char *const net_users[] = { "sitesnap-net", "nobody", NULL };

/* What is on its way: the messages, and which deliveries each of them is. */
struct batch {
        struct outbox *outbox;
        const struct notice_target *target;
        struct delivery_list due;
        size_t *message_of; /* of each delivery; SIZE_MAX: none */
        json_t *messages;
};

static void batch_done(struct batch *batch)
{
        delivery_list_done(&batch->due);
        free(batch->message_of);
        json_decref(batch->messages);
}

/* A test is tried once: somebody waits for what it says. */
static int mark(struct batch *batch, const struct delivery *delivery, const char *why, bool final,
                struct err *err)
{
        CLEANUP(freep) char *clean = NULL;

        if (why == NULL)
                return outbox_sent(batch->outbox, delivery->id, clock_wall_usec(), err);
        if (notice_clean(why, 240, &clean, err) < 0)
                return -1;
        log_warning("notice %" PRIu64 " (%s of '%s') for '%s' was not delivered: %s",
                    delivery->notice, delivery->phase, delivery->site, delivery->target, clean);
        return outbox_failed(batch->outbox, delivery->id, clean,
                             final || strcmp(delivery->phase, "test") == 0, clock_wall_usec(), err);
}

/* What became of a message became of each of its deliveries; ${why} NULL: it was sent. */
static int mark_message(struct batch *batch, size_t message, const char *why, struct err *err)
{
        for (size_t i = 0; i < batch->due.n; i++)
                if (batch->message_of[i] == message &&
                    mark(batch, &batch->due.items[i], why, false, err) < 0)
                        return -1;
        return 0;
}

static int mark_all(struct batch *batch, const char *why, bool final, struct err *err)
{
        for (size_t i = 0; i < batch->due.n; i++)
                if (mark(batch, &batch->due.items[i], why, final, err) < 0)
                        return -1;
        return 0;
}

static int message_new(struct batch *batch, const struct delivery *delivery, struct err *err)
{
        struct utsname host;
        char id[64];
        json_t *message;

        if (uname(&host) < 0)
                return err_fail(err, ERR_IO, errno, "uname");
        /* The same after a retry, and another one on every host. */
        (void)snprintf(id, sizeof(id), "sitesnap-%" PRIu64 "-%" PRId64, delivery->id,
                       delivery->created_usec);
        message = json_pack("{s:s, s:s, s:s, s:[]}", "id", id, "host", host.nodename, "target",
                            delivery->target, "notices");
        return json_array_append_new(batch->messages, message) < 0 ? err_oom(err) : 0;
}

/* Each notice alone, or all that is no test in one. */
static int messages_make(struct batch *batch, struct err *err)
{
        size_t digest = SIZE_MAX;

        for (size_t i = 0; i < batch->due.n; i++) {
                const struct delivery *delivery = &batch->due.items[i];
                enum notice_phase phase = notice_phase_by_name(delivery->phase);
                bool alone = batch->target->digest_sec == 0 || phase == NOTICE_TEST;
                json_t *notice, *message;

                batch->message_of[i] = SIZE_MAX;
                if (!target_wants(batch->target, phase, delivery->site)) {
                        if (outbox_drop(batch->outbox, delivery->id, err) < 0)
                                return -1;
                        continue;
                }
                if (json_parse(delivery->body, strlen(delivery->body), &notice, err) < 0) {
                        if (mark(batch, delivery, "its record cannot be read", true, err) < 0)
                                return -1;
                        continue;
                }
                if ((alone || digest == SIZE_MAX) && message_new(batch, delivery, err) < 0) {
                        json_decref(notice);
                        return -1;
                }
                batch->message_of[i] =
                        alone || digest == SIZE_MAX ? json_array_size(batch->messages) - 1 : digest;
                if (!alone)
                        digest = batch->message_of[i];
                message = json_array_get(batch->messages, batch->message_of[i]);
                if (json_array_append_new(json_object_get(message, "notices"), notice) < 0)
                        return err_oom(err);
        }
        return 0;
}

/* A file in memory that reads ${json}. */
static int memory_of(const json_t *json, int *ret_fd, struct err *err)
{
        CLEANUP(freep) char *text = json_dumps(json, JSON_COMPACT);
        CLEANUP(closep) int fd = memfd_create("notices", MFD_CLOEXEC);

        if (text == NULL)
                return err_oom(err);
        if (fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot make a file in memory");
        if (file_write_all(fd, text, strlen(text), err) < 0)
                return -1;
        if (lseek(fd, 0, SEEK_SET) < 0)
                return err_fail(err, ERR_IO, errno, "cannot read a file in memory");
        *ret_fd = steal_fd(&fd);
        return 0;
}

static int command_run(const struct notice_target *target, int in_fd, unsigned timeout_msec,
                       struct err *err)
{
        CLEANUP(closep) int cwd_fd = openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(closep) int out_fd = memfd_create("output", MFD_CLOEXEC);
        char said[200] = "";
        const char *const variables[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8",
                                          NULL };
        const struct worker_command command = {
                .uid = target->command.uid,
                .gid = target->command.gid,
                .cwd_fd = cwd_fd,
                .input_fd = in_fd,
                .argv = (const char *const *)target->command.argv,
                .env = variables,
                .output_fd = out_fd,
                .output_max = OUTPUT_MAX,
                .timeout_msec = timeout_msec,
        };

        if (cwd_fd < 0 || out_fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot prepare a command");
        if (worker_run(WORKER_HOOK, &command, err) == 0)
                return 0;
        /* What it said is for a person; it is cleaned before it is kept. */
        if (pread(out_fd, said, sizeof(said) - 1, 0) > 0) {
                struct err failed = *err;

                return err_fail(err, failed.code, 0, "%.250s: %s", failed.msg, said);
        }
        return -1;
}

static int commands_run(struct batch *batch, struct err *err)
{
        int64_t until = clock_boot_usec() + DELIVER_LIMIT_MSEC * 1000;
        json_t *message;
        size_t i;

        json_array_foreach (batch->messages, i, message) {
                CLEANUP(closep) int in_fd = -1;
                struct err why = { 0 };

                if (clock_boot_usec() >= until)
                        return 0; /* the rest stays due */
                if (memory_of(message, &in_fd, err) < 0)
                        return -1;
                if (mark_message(batch, i,
                                 command_run(batch->target, in_fd,
                                             (unsigned)batch->target->command.timeout_sec * 1000,
                                             &why) < 0
                                         ? why.msg
                                         : NULL,
                                 err) < 0)
                        return -1;
        }
        return 0;
}

static json_t *words_json(char *const *words)
{
        json_t *list = json_array();

        for (size_t i = 0; words != NULL && words[i] != NULL; i++)
                (void)json_array_append_new(list, json_string(words[i]));
        return list;
}

static int job_make(const struct batch *batch, json_t **ret_job, struct err *err)
{
        static const char *const tls[TLS_KINDS] = { "required", "try", "no" };
        const struct notice_target *target = batch->target;
        CLEANUP(freep) char *secret = NULL;
        CLEANUP(freep) char *ca = NULL;

        if (target_secret(target, &secret, err) < 0 || target_ca(target, &ca, err) < 0)
                return -1;
        *ret_job = json_pack("{s:s, s:i, s:O, s:s*, s:s*, s:s*, s:s*, s:s*, s:s*, s:s, s:o}",
                             "kind", target_kind_name(target->kind), "limit_msec",
                             DELIVER_LIMIT_MSEC, "messages", batch->messages, "secret", secret,
                             "ca", ca, "server", target->mail.server, "from", target->mail.from,
                             "user", target->mail.user, "url", target->webhook.url, "starttls",
                             tls[target->mail.starttls], "to", words_json(target->mail.to));
        return *ret_job == NULL ? err_oom(err) : 0;
}

static int net_user(const struct passwd **ret_user, struct err *err)
{
        for (size_t i = 0; net_users[i] != NULL; i++) {
                *ret_user = getpwnam(net_users[i]);
                if (*ret_user != NULL && (*ret_user)->pw_uid != 0)
                        return 0;
        }
        return err_fail(err, ERR_NOT_FOUND, 0, "there is no user '%s' to speak to the network as",
                        net_users[0]);
}

/* The answers come from a process that the network talks to: records of a fixed size, of which
 * nothing is believed but their own message's fate. */
static int answers_take(struct batch *batch, const char *data, size_t n, struct err *err)
{
        size_t messages = json_array_size(batch->messages);

        for (; n >= sizeof(struct deliver_answer); n -= sizeof(struct deliver_answer)) {
                struct deliver_answer answer;

                memcpy(&answer, data, sizeof(answer));
                data += sizeof(answer);
                answer.why[sizeof(answer.why) - 1] = '\0';
                if (answer.index < messages &&
                    mark_message(batch, answer.index, answer.failed != 0 ? answer.why : NULL, err) <
                            0)
                        return -1;
        }
        return 0;
}

static int net_run(struct batch *batch, struct err *err)
{
        CLEANUP(json_decrefp) json_t *job = NULL;
        CLEANUP(closep) int job_fd = -1;
        CLEANUP(freep) char *data = NULL;
        const struct passwd *user;
        struct err why = { 0 };
        size_t n;

        if (job_make(batch, &job, &why) < 0 || net_user(&user, &why) < 0)
                return mark_all(batch, why.msg, false, err);
        if (memory_of(job, &job_fd, err) < 0)
                return -1;
        if (worker_call(WORKER_DELIVER, user->pw_uid, user->pw_gid, deliver_run, NULL, job_fd,
                        json_array_size(batch->messages) * sizeof(struct deliver_answer), &data, &n,
                        &why) < 0)
                return mark_all(batch, why.msg, false, err);
        return answers_take(batch, data, n, err);
}

static int batch_run(struct batch *batch, struct err *err)
{
        batch->messages = json_array();
        batch->message_of = calloc(batch->due.n + 1, sizeof(*batch->message_of));
        if (batch->messages == NULL || batch->message_of == NULL)
                return err_oom(err);
        if (messages_make(batch, err) < 0)
                return -1;
        if (json_array_size(batch->messages) == 0)
                return 0;
        return batch->target->kind == TARGET_COMMAND ? commands_run(batch, err)
                                                     : net_run(batch, err);
}

static int deliver(const struct dirs *dirs, const char *name, struct outbox *outbox,
                   struct err *err)
{
        CLEANUP(target_freep) struct notice_target *target = NULL;
        struct batch batch = { .outbox = outbox };
        struct err why = { 0 };
        int loaded = target_load(dirs->conf_fd, name, NULL, &target, &why), ret;

        if (outbox_due(outbox, name, clock_wall_usec(),
                       loaded == 0 && target->digest_sec == 0 ? BATCH : DIGEST_MAX, &batch.due,
                       err) < 0)
                return -1;
        batch.target = target;
        ret = loaded < 0 ? mark_all(&batch, why.msg, why.code == ERR_NOT_FOUND, err)
                         : batch_run(&batch, err);
        batch_done(&batch);
        return ret;
}

int deliver_main(const struct dirs *dirs, const char *name)
{
        CLEANUP(outbox_closep) struct outbox *outbox = NULL;
        CLEANUP(closep) int lock_fd = -1;
        char lock[64];
        struct err err;

        if (site_name_valid(name, &err) < 0) {
                log_error("%s", err.msg);
                return 2;
        }
        (void)snprintf(lock, sizeof(lock), "deliver-%s.lock", name);
        if (lock_take(dirs, lock, 0, &lock_fd, &err) < 0 ||
            outbox_open(dirs->state_fd, &outbox, &err) < 0 ||
            deliver(dirs, name, outbox, &err) < 0) {
                if (err.code != ERR_BUSY)
                        log_error("notices for '%s': %s", name, err.msg);
                return err.code == ERR_BUSY ? DELIVER_BUSY : 1;
        }
        return 0;
}
