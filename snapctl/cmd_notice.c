/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Notices: what is on its way to whom. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapctl/cmd.h"
#include "snapctl/text.h"

#define TEST_USEC (180 * (int64_t)USEC_PER_SEC) /* longer than the daemon tries */
#define POLL_NSEC 200000000L

static const struct column columns[] = {
        { "id", "ID", CELL_NUMBER, COLUMN_EXTRA },
        { "notice", "Notice", CELL_NUMBER, 0 },
        { "target", "For", CELL_TEXT, 0 },
        { "phase", "What", CELL_TEXT, 0 },
        { "site", "Site", CELL_TEXT, 0 },
        { "state", "State", CELL_TEXT, 0 },
        { "attempts", "Tries", CELL_NUMBER, 0 },
        { "created", "When", CELL_TIME, 0 },
        { "next", "Next", CELL_TIME, 0 },
        { "ended", "Ended", CELL_TIME, COLUMN_EXTRA },
        { "why", "Why not", CELL_TEXT, COLUMN_FLEXIBLE },
};

static struct row_look look_of(const json_t *delivery)
{
        const char *state = json_get_string(delivery, "state");

        if (state != NULL && strcmp(state, "dead") == 0)
                return (struct row_look){ '!', COLOUR_RED };
        if (state != NULL && strcmp(state, "waiting") == 0)
                return (struct row_look){ '>', COLOUR_BOLD };
        return (struct row_look){ ' ', COLOUR_NONE };
}

static const struct table table = {
        .member = "deliveries",
        .columns = columns,
        .n_columns = sizeof(columns) / sizeof(*columns),
        .look = look_of,
        .empty = "No notices were sent, and none waits.",
};

int cmd_notice_list(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const char *limit = args_option(ctl->args, OPT_LIMIT);
        uint64_t count = 100, dropped;
        const json_t *delivery;
        size_t i;

        if (limit != NULL && !text_parse_u64(limit, &count))
                return err_fail(err, ERR_INVALID, 0, "--limit is no number");
        if (client_get(ctl->client, &answer, err, "/v1/notices?limit=%" PRIu64, count) < 0)
                return -1;
        dropped = json_get_u64(answer, "dropped");
        if (ctl->plain) {
                json_array_foreach (json_object_get(answer, "deliveries"), i, delivery)
                        (void)printf("%" PRIu64 "\n", json_get_u64(delivery, "id"));
                return 0;
        }
        if (table_print(&table, answer, &ctl->look, err) < 0)
                return -1;
        if (dropped > 0)
                ctl_note(ctl, "%" PRIu64 " notices were dropped: too many waited", dropped);
        return 0;
}

/* The one delivery of a test, as it is now; NULL while it waits for its first attempt. */
static int test_look(struct ctl *ctl, uint64_t notice, json_t **ret_delivery, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const json_t *list;
        json_t *delivery;
        const char *state;

        if (client_get(ctl->client, &answer, err, "/v1/notices?notice=%" PRIu64, notice) < 0 ||
            answer_array(answer, "deliveries", &list, err) < 0)
                return -1;
        delivery = json_array_get(list, 0);
        state = json_get_string(delivery, "state");
        if (state == NULL)
                return err_fail(err, ERR_CORRUPT, 0, "the daemon does not know of its test");
        *ret_delivery = strcmp(state, "waiting") == 0 ? NULL : json_incref(delivery);
        return 0;
}

int cmd_notice_test(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *body = json_pack("{s:s}", "target", args_word(ctl->args, 0));
        CLEANUP(json_decrefp) json_t *answer = NULL;
        CLEANUP(json_decrefp) json_t *delivery = NULL;
        const struct timespec pause = { .tv_nsec = POLL_NSEC };
        const char *why, *name = args_word(ctl->args, 0);
        int64_t until = clock_boot_usec() + TEST_USEC;
        uint64_t notice;

        if (body == NULL)
                return err_oom(err);
        if (client_call(ctl->client, "POST", "/v1/notices/test", body, &answer, err) < 0 ||
            answer_u64(answer, "notice", &notice, err) < 0)
                return -1;
        while (delivery == NULL) {
                (void)nanosleep(&pause, NULL);
                if (test_look(ctl, notice, &delivery, err) < 0)
                        return -1;
                if (delivery == NULL && clock_boot_usec() > until)
                        return err_fail(err, ERR_TIMEOUT, 0,
                                        "the test is still on its way; see 'notice list'");
        }
        if (ctl->look.format == FORMAT_JSON && json_print(delivery, &ctl->look.term, err) < 0)
                return -1;
        if (strcmp(json_get_string(delivery, "state"), "sent") == 0) {
                ctl_say(ctl, "%s: the test was accepted.", name);
                return 0;
        }
        why = json_get_string(delivery, "why");
        return err_fail(err, ERR_IO, 0, "%s: the test was not delivered: %s", name,
                        why == NULL ? "?" : why);
}

int cmd_notice_send(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *body = json_object();
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const char *site = args_word(ctl->args, 0), *phase = args_word(ctl->args, 1);
        const char *at = args_option(ctl->args, OPT_AT);
        char path[CLIENT_PATH_MAX];
        int64_t usec;

        if ((strcmp(phase, "scheduled") == 0) != (at != NULL))
                return err_fail(err, ERR_INVALID, 0,
                                "--at, the time at which it is going to begin, goes with "
                                "'scheduled' and is needed there");
        if (ctl_set(body, "phase", json_string(phase), err) < 0 ||
            ctl_set_option(ctl, body, OPT_LABEL, "label", err) < 0 ||
            ctl_set_option(ctl, body, OPT_REASON, "reason", err) < 0)
                return -1;
        if (at != NULL && (!text_parse_until(at, &usec) || usec <= clock_wall_usec()))
                return err_fail(err, ERR_INVALID, 0, "'%s' is over already", at);
        if (at != NULL && ctl_set(body, "at_sec", json_integer(usec / USEC_PER_SEC), err) < 0)
                return -1;
        (void)snprintf(path, sizeof(path), "/v1/sites/%s/notices", site);
        if (client_call(ctl->client, "POST", path, body, &answer, err) < 0)
                return -1;
        if (ctl->look.format == FORMAT_JSON)
                return json_print(answer, &ctl->look.term, err);
        ctl_say(ctl,
                json_is_true(json_object_get(answer, "new")) ? "%s: it is on its way."
                                                             : "%s: it was told before.",
                site);
        return 0;
}

int cmd_notice_retry(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *body = json_object();
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const char *name = args_word(ctl->args, 0);
        uint64_t count;

        if (body == NULL)
                return err_oom(err);
        if ((name != NULL && ctl_set(body, "target", json_string(name), err) < 0) ||
            client_call(ctl->client, "POST", "/v1/notices/retry", body, &answer, err) < 0)
                return -1;
        count = json_get_u64(answer, "count");
        if (count == 0)
                return err_fail(err, ERR_NOTHING, 0, "nothing waits and nothing was given up");
        ctl_say(ctl, "%" PRIu64 " %s tried again now.", count, count == 1 ? "is" : "are");
        return 0;
}

/* Mistakes are a failure of the check, so 1, as for sites. */
int cmd_notice_check(struct ctl *ctl, struct err *err)
{
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const json_t *problems, *problem;
        size_t i;

        if (client_get(ctl->client, &answer, err, "/v1/notices/check") < 0 ||
            answer_array(answer, "problems", &problems, err) < 0)
                return -1;
        if (ctl->look.format == FORMAT_JSON && json_print(answer, &ctl->look.term, err) < 0)
                return -1;
        json_array_foreach ((json_t *)problems, i, problem) {
                const char *key = json_get_string(problem, "key");
                const char *message = json_get_string(problem, "message");

                ctl_say(ctl, "%s:%" PRIu64 ": %s%s%s", json_get_string(problem, "file"),
                        json_get_u64(problem, "line"), key == NULL ? "" : key,
                        key == NULL || key[0] == '\0' ? "" : ": ", message == NULL ? "?" : message);
        }
        if (json_array_size(problems) > 0)
                return 1;
        if (json_array_size(json_object_get(answer, "targets")) == 0)
                ctl_say(ctl, "There is no file in notices.d: nobody is told anything.");
        else
                ctl_say(ctl, "notices.d: no mistakes");
        return 0;
}
