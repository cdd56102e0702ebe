/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapctl/progress.h"
#include "snapctl/steps.h"
#include "snapctl/text.h"

#define WAIT_BAR_MSEC 1000 /* a bar shows the seconds */
#define WAIT_LOG_MSEC 500  /* output of a command is passed on at least so often */
#define WAIT_MSEC     10000
#define LOST_MAX_USEC (60 * (int64_t)USEC_PER_SEC)
#define RETRY_MSEC    300
#define HELD_BACK_MAX 65536

struct follow {
        struct ctl *ctl;
        uint64_t id;
        enum follow_until until;
        struct steps *steps;
        int signal_fd;
        uint64_t offset; /* in the log */
        char *held_back; /* the begun line of it, while there is a bar */
        size_t n_held_back;
};

/* SIGINT is only looked at between calls, and ends a call: it means "stop watching". */
struct interrupt {
        int fd;
        sigset_t before;
};

static int interrupt_begin(struct interrupt *interrupt, struct err *err)
{
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGINT);
        if (sigprocmask(SIG_BLOCK, &set, &interrupt->before) < 0)
                return err_fail(err, ERR_IO, errno, "cannot block signals");
        interrupt->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (interrupt->fd < 0)
                return err_fail(err, ERR_IO, errno, "cannot watch for signals");
        return 0;
}

static void interrupt_end(struct interrupt *interrupt)
{
        struct signalfd_siginfo info;

        /* One that was acted on must not kill the program when it is let through again. */
        while (read(interrupt->fd, &info, sizeof(info)) > 0)
                ;
        (void)close(interrupt->fd);
        (void)sigprocmask(SIG_SETMASK, &interrupt->before, NULL);
}

static const char *state_of(const json_t *op)
{
        const char *state = json_get_string(op, "state");

        return state != NULL ? state : "";
}

static bool has_ended(const json_t *op)
{
        return word_is_choice("done failed rolled-back held", state_of(op));
}

/* How it ends is decided; what is left to do is to keep the version that was left. */
static bool is_served(const json_t *op)
{
        return json_is_string(json_object_get(op, "served")) && strcmp(state_of(op), "held") != 0;
}

static bool is_over(const struct follow *follow, const json_t *op)
{
        return has_ended(op) || (follow->until == UNTIL_SERVED && is_served(op));
}

/* Print output of the site's command.  While there is a bar only whole lines, so that bar and
 * output do not run into each other. */
static void put_log(struct follow *follow, const char *text, bool all)
{
        const struct ctl *ctl = follow->ctl;
        FILE *out = ctl_machine(ctl) ? ctl->errors.stream : ctl->look.term.stream;
        size_t n = strlen(text), whole;
        char *more = realloc(follow->held_back, follow->n_held_back + n + 1);

        if (more == NULL)
                return;
        memcpy(more + follow->n_held_back, text, n + 1);
        follow->held_back = more;
        n = follow->n_held_back += n;
        whole = n;
        while (!all && n < HELD_BACK_MAX && whole > 0 && more[whole - 1] != '\n')
                whole--;
        if (whole == 0)
                return;
        steps_clear(follow->steps);
        text_put_lines(out, more, whole);
        if (all && more[whole - 1] != '\n')
                (void)fputc('\n', out);
        (void)fflush(out);
        memmove(more, more + whole, n - whole + 1);
        follow->n_held_back = n - whole;
}

/* Fetch what is new in the log. */
static int pass_log(struct follow *follow, const json_t *op, struct err *err)
{
        bool running, more = steps_command(op, &running) && json_get_string(op, "log") != NULL;

        if (follow->ctl->quiet)
                return 0;
        while (more) {
                CLEANUP(json_decrefp) json_t *answer = NULL;
                const char *text;
                uint64_t offset;

                if (client_get(follow->ctl->client, &answer, err,
                               "/v1/operations/%" PRIu64 "/log?offset=%" PRIu64, follow->id,
                               follow->offset) < 0)
                        /* No step has made it yet. */
                        return err->code == ERR_NOT_FOUND ? 0 : -1;
                text = json_get_string(answer, "text");
                offset = json_get_u64(answer, "offset");
                more = text != NULL && *text != '\0' && offset > follow->offset;
                if (!more)
                        break;
                put_log(follow, text, false);
                follow->offset = offset;
        }
        if (!running)
                put_log(follow, "", true);
        return 0;
}

static int get_operation(struct follow *follow, const json_t *last, json_t **ret_op,
                         struct err *err)
{
        struct client *client = follow->ctl->client;
        int wait_msec = WAIT_MSEC;
        int64_t begin = clock_boot_usec();
        bool running;
        json_t *op;

        if (last == NULL)
                return client_get(client, ret_op, err, "/v1/operations/%" PRIu64, follow->id);
        (void)steps_command(last, &running);
        if (running && json_get_string(last, "log") != NULL && !follow->ctl->quiet)
                wait_msec = WAIT_LOG_MSEC;
        else if (follow->ctl->errors.moves && !follow->ctl->quiet)
                wait_msec = WAIT_BAR_MSEC;
        if (client_get(client, &op, err,
                       "/v1/operations/%" PRIu64 "?since=%" PRIu64 "&wait_msec=%d", follow->id,
                       json_get_u64(last, "seq"), wait_msec) < 0)
                return -1;
        /* A daemon that does not wait is not asked in a busy loop. */
        if (json_get_u64(op, "seq") == json_get_u64(last, "seq") && !has_ended(op) &&
            clock_boot_usec() - begin < wait_msec * 500)
                (void)poll(&(struct pollfd){ .fd = follow->signal_fd, .events = POLLIN }, 1, 100);
        *ret_op = op;
        return 0;
}

/* Ask until it is over.  ${ret_op} stays NULL when the person interrupts. */
static int watch(struct follow *follow, json_t **ret_op, struct err *err)
{
        CLEANUP(json_decrefp) json_t *op = NULL;
        struct client *client = follow->ctl->client;
        int64_t lost_usec = 0;

        while (op == NULL || !is_over(follow, op)) {
                json_t *next = NULL;
                int result = get_operation(follow, op, &next, err);

                if (result == 0) {
                        json_decref(op);
                        op = next;
                        steps_show_begun(follow->steps, op);
                        result = pass_log(follow, op, err);
                        steps_show(follow->steps, op);
                }
                if (result < 0 && client_woken(client))
                        return 0;
                if (result == 0) {
                        lost_usec = 0;
                        continue;
                }
                if (!client_lost(client))
                        return -1;
                if (lost_usec == 0) {
                        lost_usec = clock_boot_usec();
                        steps_clear(follow->steps);
                        ctl_note(follow->ctl, "the daemon does not answer: waiting for it; the "
                                              "operation goes on");
                }
                if (clock_boot_usec() - lost_usec > LOST_MAX_USEC)
                        return err_wrap(err, "operation %" PRIu64, follow->id);
                if (poll(&(struct pollfd){ .fd = follow->signal_fd, .events = POLLIN }, 1,
                         RETRY_MSEC) > 0)
                        return 0;
        }
        *ret_op = STEAL(op);
        return 0;
}

int operation_follow(struct ctl *ctl, uint64_t id, enum follow_until until, json_t **ret_op,
                     struct err *err)
{
        CLEANUP(steps_closep) struct steps *steps = steps_open(&ctl->errors, ctl->quiet);
        struct follow follow = { .ctl = ctl, .id = id, .until = until, .steps = steps };
        struct interrupt interrupt;
        int result;

        *ret_op = NULL;
        if (steps == NULL)
                return err_oom(err);
        if (interrupt_begin(&interrupt, err) < 0)
                return -1;
        follow.signal_fd = interrupt.fd;
        client_set_wake(ctl->client, interrupt.fd);
        result = watch(&follow, ret_op, err);
        client_set_wake(ctl->client, -1);
        interrupt_end(&interrupt);
        steps_clear(steps);
        free(follow.held_back);
        if (result == 0 && *ret_op == NULL)
                (void)fprintf(ctl->errors.stream,
                              "%soperation %" PRIu64 " goes on without being watched\n"
                              "  watch it:  " SITESNAP_CTL " ops follow %" PRIu64 "\n"
                              "  stop it:   " SITESNAP_CTL " ops abort %" PRIu64 "\n",
                              ctl->errors.terminal ? "\n" : "", id, id, id);
        return result;
}

/* What a person needs to know beside the error: what is still safe, and what to do. */
static void say_what_is_safe(const struct ctl *ctl, const json_t *op, const char *state)
{
        static const struct {
                const char *state, *text;
        } table[] = {
                { "failed", "is as it was: what had been begun was taken back." },
                { "rolled-back", "serves the version it had before, with its files and its "
                                 "database; the new version is kept and marked bad." },
                { "held", "goes on serving what it serves, and nothing is deleted." },
        };
        const char *site = json_get_string(op, "site");
        uint64_t id = json_get_u64(op, "id");

        for (size_t i = 0; site != NULL && i < sizeof(table) / sizeof(table[0]); i++)
                if (strcmp(table[i].state, state) == 0)
                        ctl_note(ctl, "%s %s", site, table[i].text);
        if (strcmp(state, "held") == 0)
                ctl_note(ctl,
                         "Look: " SITESNAP_CTL " ops show %" PRIu64 "   Try again: " SITESNAP_CTL
                         " ops resume %" PRIu64,
                         id, id);
}

/* The state in which it ends, or will end. */
static const char *outcome_of(const json_t *op)
{
        if (has_ended(op) || !is_served(op))
                return state_of(op);
        return strcmp(state_of(op), "rescuing") == 0 ? "rolled-back" : "done";
}

int operation_outcome(const struct ctl *ctl, const json_t *op, struct err *err)
{
        const char *state = outcome_of(op), *log = json_get_string(op, "log");
        const json_t *error = json_object_get(op, "error");
        bool running;

        if (strcmp(state, "done") == 0)
                return 0;
        if (json_is_object(error))
                (void)client_error(error, err);
        else
                (void)err_fail(err, ERR_IO, 0, "operation %" PRIu64 " has failed",
                               json_get_u64(op, "id"));
        /* The state decides what is said last and the exit status; the error says why. */
        if (strcmp(state, "rolled-back") == 0)
                err->code = ERR_ROLLED_BACK;
        if (strcmp(state, "held") == 0)
                err->code = ERR_HELD;
        say_what_is_safe(ctl, op, state);
        if (log != NULL && steps_command(op, &running))
                ctl_note(ctl, "The output is kept in %s.", log);
        return -1;
}

/* How the database's copy would be made, and what that costs. */
static void say_drift(const struct ctl *ctl, const json_t *drift)
{
        const json_t *line;
        size_t i;

        if (json_array_size(drift) > 0)
                ctl_say(ctl, "\nThe database's schema is not what it was when the active version "
                             "was written down:");
        json_array_foreach ((json_t *)drift, i, line)
                ctl_say(ctl, "  %s", json_is_string(line) ? json_string_value(line) : "?");
}

static void say_database(const struct ctl *ctl, const json_t *database)
{
        const char *way = json_get_string(database, "way"), *why = json_get_string(database, "why");
        char copy[TEXT_TIME_MAX], stall[TEXT_TIME_MAX], disk[TEXT_SIZE_MAX];

        if (!json_is_object(database))
                return;
        text_duration((int64_t)json_get_u64(database, "copy_msec") * 1000, copy);
        text_duration((int64_t)json_get_u64(database, "stall_msec") * 1000, stall);
        text_size(json_get_u64(database, "disk_bytes"), disk);
        ctl_say(ctl,
                "\nThe database is copied by way of '%s' in about %s, of which writers wait %s; "
                "the copy takes %s%s%s.",
                way == NULL ? "?" : way, copy, stall, disk, why != NULL && *why != '\0' ? ": " : "",
                why == NULL ? "" : why);
}

/* The versions that a prune would remove. */
static void show_losses(const struct ctl *ctl, const json_t *versions)
{
        FILE *out = ctl->look.term.stream;
        char size[TEXT_SIZE_MAX];
        const json_t *version;
        uint64_t sum = 0;
        size_t i;

        json_array_foreach ((json_t *)versions, i, version) {
                const char *label = json_get_string(version, "label");
                const char *created = json_get_string(version, "created");
                uint64_t freed = json_get_u64(version, "freed_bytes");

                text_size(freed, size);
                (void)fprintf(out, "Version %" PRIu64 " of %s would free %s",
                              json_get_u64(version, "number"), created != NULL ? created : "?",
                              json_is_integer(json_object_get(version, "freed_bytes"))
                                      ? size
                                      : "what is not measured yet");
                if (label != NULL && *label != '\0')
                        (void)fputs(": ", out);
                (void)text_put(out, label != NULL ? label : "", UINT_MAX - 1);
                (void)fputc('\n', out);
                sum += freed;
        }
        text_size(sum, size);
        if (json_array_size(versions) > 0)
                ctl_say(ctl, "%zu in all, at least %s.\n", json_array_size(versions), size);
}

/* The steps that a dry run would make: each part of the plan is counted from 1. */
static int show_plan(const struct ctl *ctl, const json_t *plan, struct err *err)
{
        const json_t *steps, *step, *space = json_object_get(plan, "space");
        FILE *out = ctl->look.term.stream;
        char needed[TEXT_SIZE_MAX], left[TEXT_SIZE_MAX];
        size_t i, first_rescue;

        if (answer_array(plan, "steps", &steps, err) < 0)
                return -1;
        if (ctl->look.format == FORMAT_JSON)
                return json_print(plan, &ctl->look.term, err);
        show_losses(ctl, json_object_get(plan, "versions"));
        first_rescue = json_array_size(steps);
        json_array_foreach ((json_t *)steps, i, step) {
                const char *part = json_get_string(step, "part");
                const char *text = json_get_string(step, "text");
                bool rescue = part != NULL && strcmp(part, "rescue") == 0;

                if (rescue && i < first_rescue) {
                        first_rescue = i;
                        (void)fprintf(out, "When the %s fails:\n", ctl->args->command->words);
                }
                (void)fprintf(out, "%zu. ", rescue ? i - first_rescue + 1 : i + 1);
                (void)text_put(out, text != NULL ? text : "?", UINT_MAX - 1);
                (void)fputc('\n', out);
        }
        say_database(ctl, json_object_get(plan, "database"));
        say_drift(ctl, json_object_get(plan, "drift"));
        if (json_is_object(space)) {
                text_size(json_get_u64(space, "needed_bytes"), needed);
                text_size(json_get_u64(space, "free_bytes"), left);
                ctl_say(ctl, "\nNeeds %s of disk; %s are free. Nothing was changed.", needed, left);
        } else {
                ctl_say(ctl, "\nNothing was changed.");
        }
        return 0;
}

int operation_stay(struct ctl *ctl, uint64_t id, enum follow_until until, json_t **ret_op,
                   struct err *err)
{
        CLEANUP(json_decrefp) json_t *op = NULL;

        *ret_op = NULL;
        if (ctl->no_wait) {
                (void)fprintf(ctl->look.term.stream,
                              ctl->look.format == FORMAT_JSON ? "{\"operation\": %" PRIu64 "}\n"
                                                              : "%" PRIu64 "\n",
                              id);
                return 0;
        }
        if (operation_follow(ctl, id, until, &op, err) < 0)
                return -1;
        if (op == NULL)
                return 1;
        if (ctl->look.format == FORMAT_JSON && json_print(op, &ctl->look.term, err) < 0)
                return -1;
        if (operation_outcome(ctl, op, err) < 0)
                return -1;
        *ret_op = STEAL(op);
        return 0;
}

int operation_run(struct ctl *ctl, const char *path, json_t *body, json_t **ret_op, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        uint64_t id;

        *ret_op = NULL;
        if (ctl->dry_run && ctl_set(body, "dry_run", json_true(), err) < 0)
                return -1;
        if (client_call(ctl->client, "POST", path, body, &answer, err) < 0)
                return -1;
        if (ctl->dry_run)
                return show_plan(ctl, answer, err);
        if (answer_u64(answer, "operation", &id, err) < 0)
                return -1;
        return operation_stay(ctl, id, ctl->wait ? UNTIL_END : UNTIL_SERVED, ret_op, err);
}

int operation_run_verb(struct ctl *ctl, const char *verb, json_t *body, json_t **ret_op,
                       struct err *err)
{
        CLEANUP(json_decrefp) json_t *owned = body;
        char path[CLIENT_PATH_MAX];

        if (body == NULL)
                return err_oom(err);
        if (ctl_set(body, "verb", json_string(verb), err) < 0 ||
            ctl_set_option(ctl, body, OPT_REASON, "reason", err) < 0)
                return -1;
        (void)snprintf(path, sizeof(path), "/v1/sites/%s/operations", args_word(ctl->args, 0));
        return operation_run(ctl, path, owned, ret_op, err);
}
