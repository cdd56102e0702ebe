/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "snapd/process.h"
#include "snapd/question.h"

#define OPEN_MAX_ALL  8
#define OPEN_MAX_USER 2
#define ANSWER_MAX    (32U << 20)
#define ANSWER_USEC   (60 * (uint64_t)USEC_PER_SEC)
#define LONG_USEC     (15 * 60 * (uint64_t)USEC_PER_SEC) /* reads whole databases */

struct question {
        struct questions *questions;
        struct question *next;
        uid_t uid;
        pid_t pid;
        question_answer answer;
        void *arg;
        char *text;
        size_t n, room;
        sd_event_source *exited, *output, *deadline;
};

struct questions {
        sd_event *event;
        const struct dirs *dirs;
        struct question *open;
};

static int question_room(const struct questions *questions, uid_t uid, struct err *err)
{
        unsigned all = 0, users = 0;

        for (const struct question *q = questions->open; q != NULL; q = q->next) {
                all++;
                users += q->uid == uid;
        }
        if (all >= OPEN_MAX_ALL || (uid != 0 && users >= OPEN_MAX_USER))
                return err_fail(err, ERR_BUSY, 0,
                                "too many questions are being answered; ask again in a moment");
        return 0;
}

/* Kill its child, if it lives, and free it. */
static int question_free(struct question *question)
{
        struct question **at = &question->questions->open;
        int status = 0;

        while (*at != question)
                at = &(*at)->next;
        *at = question->next;
        if (question->pid != 0) {
                (void)kill(question->pid, SIGKILL);
                while (waitpid(question->pid, &status, 0) < 0 && errno == EINTR)
                        ;
        }
        (void)sd_event_source_disable_unref(question->exited);
        (void)sd_event_source_disable_unref(question->output);
        (void)sd_event_source_disable_unref(question->deadline);
        free(question->text);
        free(question);
        return status;
}

/* The end of a question: its callback, with ${err} or what the child has said. */
static void question_end(struct question *question, const struct err *err)
{
        question_answer answer = question->answer;
        void *arg = question->arg;
        CLEANUP(freep) char *text = STEAL(question->text);
        size_t n = question->n;
        int status = question_free(question);
        CLEANUP(json_decrefp) json_t *said = NULL;
        struct err failed = *err, unreadable = { 0 };

        if (answer == NULL)
                return;
        if (failed.code == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
                const json_t *object = NULL;

                if (text != NULL && json_parse(text, n, &said, &unreadable) == 0)
                        object = json_object_get(said, "error");
                failed.code = err_by_name(json_get_string(object, "code") == NULL
                                                  ? ""
                                                  : json_get_string(object, "code"));
                if (failed.code == 0)
                        (void)err_fail(&failed, ERR_IO, 0,
                                       "the process that was to answer has failed");
                else
                        (void)err_fail(&failed, failed.code, 0, "%s",
                                       json_get_string(object, "message") == NULL
                                               ? ""
                                               : json_get_string(object, "message"));
        }
        if (failed.code == 0 && n == 0)
                (void)err_fail(&failed, ERR_IO, 0, "the process that was to answer said nothing");
        if (failed.code == 0)
                answer(STEAL(text), n, &failed, arg);
        else
                answer(NULL, 0, &failed, arg);
}

/* Takes what is there; -1 when it is too much, 0 at the end of it, 1 when there may be more. */
static int output_take(struct question *question, int fd, struct err *err)
{
        ssize_t n;

        for (;;) {
                if (question->room - question->n < 16384) {
                        size_t room = question->room == 0 ? 32768 : question->room * 2;
                        char *more = realloc(question->text, room);

                        if (more == NULL)
                                return err_oom(err);
                        question->text = more;
                        question->room = room;
                }
                n = read(fd, question->text + question->n, 16384);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n == 0 ? 0 : 1;
                question->n += (size_t)n;
                if (question->n > ANSWER_MAX)
                        return err_fail(err, ERR_IO, 0, "the answer is longer than %u MiB",
                                        ANSWER_MAX >> 20);
        }
}

static int on_output(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
        struct question *question = arg;
        struct err err = { 0 };
        int r = output_take(question, fd, &err);

        (void)revents;
        if (r < 0)
                question_end(question, &err);
        else if (r == 0)
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
}

static int on_exit_of(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
        struct question *question = arg;
        struct err err = { 0 };

        (void)source;
        (void)fd;
        (void)revents;
        if (output_take(question, sd_event_source_get_io_fd(question->output), &err) >= 0)
                err.code = 0;
        question_end(question, &err);
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *arg)
{
        struct err err = { 0 };

        (void)source;
        (void)usec;
        (void)err_fail(&err, ERR_TIMEOUT, 0, "no answer in time");
        question_end(arg, &err);
        return 0;
}

static uint64_t patience_of(const json_t *question)
{
        const char *name = json_get_string(question, "query");

        return name != NULL && strcmp(name, "lost-writes") == 0 ? LONG_USEC : ANSWER_USEC;
}

static int question_start(struct question *question, const json_t *json, struct err *err)
{
        struct questions *questions = question->questions;
        CLEANUP(closep) int input_fd = memfd_create("question", MFD_CLOEXEC);
        CLEANUP(closep) int read_fd = -1;
        CLEANUP(closep) int write_fd = -1;
        CLEANUP(closep) int pid_fd = -1;
        CLEANUP(freep) char *text = json_dumps(json, JSON_COMPACT);
        struct process_start start = { .mode = "--query", .notify_fd = -1 };
        int fds[2];

        if (text == NULL)
                return err_oom(err);
        /* A file and not a pipe: it takes all of the question without a reader. */
        if (input_fd < 0 || pipe2(fds, O_CLOEXEC) < 0)
                return err_fail(err, ERR_IO, errno, "cannot ask a process");
        read_fd = fds[0];
        write_fd = fds[1];
        if (file_write_all(input_fd, text, strlen(text), err) < 0)
                return -1;
        if (lseek(input_fd, 0, SEEK_SET) < 0 || fcntl(read_fd, F_SETFL, O_NONBLOCK) < 0)
                return err_fail(err, ERR_IO, errno, "cannot ask a process");
        start.input_fd = input_fd;
        start.output_fd = write_fd;
        if (process_start(questions->dirs, &start, &question->pid, &pid_fd, err) < 0)
                return -1;
        if (sd_event_add_io(questions->event, &question->exited, pid_fd, EPOLLIN, on_exit_of,
                            question) < 0 ||
            sd_event_source_set_io_fd_own(question->exited, true) < 0)
                return err_fail(err, ERR_IO, 0, "cannot watch a process");
        (void)steal_fd(&pid_fd);
        if (sd_event_add_io(questions->event, &question->output, read_fd, EPOLLIN, on_output,
                            question) < 0 ||
            sd_event_source_set_io_fd_own(question->output, true) < 0)
                return err_fail(err, ERR_IO, 0, "cannot read from a process");
        (void)steal_fd(&read_fd);
        if (sd_event_add_time_relative(questions->event, &question->deadline, CLOCK_BOOTTIME,
                                       patience_of(json), 0, on_deadline, question) < 0)
                return err_fail(err, ERR_IO, 0, "cannot set a deadline");
        return 0;
}

int question_ask(struct questions *questions, uid_t uid, const json_t *json, question_answer answer,
                 void *arg, struct err *err)
{
        struct question *question;

        if (question_room(questions, uid, err) < 0)
                return -1;
        question = calloc(1, sizeof(*question));
        if (question == NULL)
                return err_oom(err);
        *question = (struct question){ .questions = questions,
                                       .next = questions->open,
                                       .uid = uid,
                                       .answer = answer,
                                       .arg = arg };
        questions->open = question;
        if (question_start(question, json, err) < 0) {
                (void)question_free(question);
                return -1;
        }
        return 0;
}

void questions_forget(struct questions *questions, const void *arg)
{
        for (struct question *q = questions->open; q != NULL; q = q->next)
                if (q->arg == arg)
                        q->answer = NULL;
}

int questions_open(sd_event *event, const struct dirs *dirs, struct questions **ret_questions,
                   struct err *err)
{
        struct questions *questions = calloc(1, sizeof(*questions));

        if (questions == NULL)
                return err_oom(err);
        questions->event = event;
        questions->dirs = dirs;
        *ret_questions = questions;
        return 0;
}

void questions_close(struct questions *questions)
{
        if (questions == NULL)
                return;
        while (questions->open != NULL)
                (void)question_free(questions->open);
        free(questions);
}
