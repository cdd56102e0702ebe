/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapd/notice_op.h"
#include "snapd/probation.h"
#include "snapd/routes_call.h"
#include "snapd/target.h"

#define LIST_DEFAULT 100
#define LIST_MAX     1000
#define TEXT_MAX     255
#define AT_MAX_SEC   INT64_C(253402300799) /* the year 9999 */

static json_t *time_json(int64_t usec)
{
        char text[CLOCK_ISO_MAX];

        if (usec == 0)
                return json_null();
        clock_iso(usec, 1, text);
        return json_string(text);
}

static json_t *delivery_json(const struct delivery *delivery)
{
        bool waits = delivery->state == DELIVERY_WAITING;

        return json_pack("{s:I, s:I, s:s, s:s, s:s?, s:s, s:i, s:o, s:o, s:o, s:s}", "id",
                         (json_int_t)delivery->id, "notice", (json_int_t)delivery->notice, "target",
                         delivery->target, "phase", delivery->phase, "site",
                         delivery->site[0] == '\0' ? NULL : delivery->site, "state",
                         delivery_state_name(delivery->state), "attempts", (int)delivery->attempts,
                         "created", time_json(delivery->created_usec), "next",
                         time_json(waits ? delivery->next_usec : 0), "ended",
                         time_json(delivery->ended_usec), "why", delivery->why);
}

static int outbox_check(const struct api *api, struct err *err)
{
        if (api->outbox != NULL)
                return 0;
        return err_fail(err, ERR_UNSUPPORTED, 0,
                        "the outbox could not be opened when snapd was started; its log says why");
}

int route_notices(struct api *api, const struct call *call, const struct target *target,
                  struct answer *answer, struct err *err)
{
        CLEANUP(json_decrefp) json_t *list = json_array();
        struct delivery_list deliveries = { 0 };
        uint64_t notice, limit;
        int ret = 0;

        (void)target;
        if (list == NULL)
                return err_oom(err);
        if (outbox_check(api, err) < 0 || call_arg_number(call, "notice", 0, &notice, err) < 0 ||
            call_arg_number(call, "limit", LIST_DEFAULT, &limit, err) < 0)
                return -1;
        if (limit == 0 || limit > LIST_MAX)
                return err_fail(err, ERR_INVALID, 0, "'limit' is 1 to %d", LIST_MAX);
        if (outbox_deliveries(api->outbox, notice, (unsigned)limit, &deliveries, err) < 0)
                return -1;
        for (size_t i = 0; i < deliveries.n && ret == 0; i++)
                if (json_array_append_new(list, delivery_json(&deliveries.items[i])) < 0)
                        ret = err_oom(err);
        delivery_list_done(&deliveries);
        return ret < 0 ? -1
                       : answer_json(answer, 200,
                                     json_pack("{s:O, s:I}", "deliveries", list, "dropped",
                                               (json_int_t)outbox_dropped(api->outbox)),
                                     err);
}

/* The one member that these requests have. */
static int target_member(const struct call *call, bool needed, const char **ret_name,
                         struct err *err)
{
        const json_t *member = json_object_get(call->body, "target");

        *ret_name = json_string_value(member);
        if (json_object_size(call->body) > (member == NULL ? 0U : 1U))
                return err_fail(err, ERR_INVALID, 0, "'target' is the only member");
        if ((member == NULL && needed) || (member != NULL && *ret_name == NULL))
                return err_fail(err, ERR_INVALID, 0, "'target' is the name of a file in notices.d");
        return 0;
}

int route_notices_test(struct api *api, const struct call *call, const struct target *target,
                       struct answer *answer, struct err *err)
{
        CLEANUP(target_freep) struct notice_target *known = NULL;
        const struct notice notice = { .phase = NOTICE_TEST };
        const char *name;
        uint64_t id;

        (void)target;
        if (target_member(call, true, &name, err) < 0 ||
            target_load(api->dirs->conf_fd, name, NULL, &known, err) < 0 ||
            notice_put_to(api->outbox, &notice, name, &id, err) < 0)
                return -1;
        return answer_json(answer, 202, json_pack("{s:I}", "notice", (json_int_t)id), err);
}

int route_notices_retry(struct api *api, const struct call *call, const struct target *target,
                        struct answer *answer, struct err *err)
{
        const char *name;
        unsigned n;

        (void)target;
        if (outbox_check(api, err) < 0 || target_member(call, false, &name, err) < 0 ||
            outbox_retry(api->outbox, name, clock_wall_usec(), &n, err) < 0)
                return -1;
        return answer_json(answer, 200, json_pack("{s:i}", "count", (int)n), err);
}

/* What others know and we do not: that there is a release, and when it is going to be installed. */
static int send_read(const struct call *call, struct notice *notice, struct err *err)
{
        static const char *const members[] = { "phase", "label", "reason", "at_sec" };
        const json_t *at = json_object_get(call->body, "at_sec");
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)call->body, key, value) {
                size_t i = 0;

                while (i < 4 && strcmp(members[i], key) != 0)
                        i++;
                if (i == 4)
                        return err_fail(err, ERR_INVALID, 0, "the member '%.40s' is unknown", key);
                if (i < 3 && (!json_is_string(value) || json_string_length(value) == 0 ||
                              json_string_length(value) > TEXT_MAX))
                        return err_fail(err, ERR_INVALID, 0, "'%s' is a text of at most %d bytes",
                                        key, TEXT_MAX);
        }
        notice->phase = notice_phase_by_name(json_get_string(call->body, "phase"));
        if (notice->phase != NOTICE_AVAILABLE && notice->phase != NOTICE_SCHEDULED)
                return err_fail(err, ERR_INVALID, 0,
                                "'phase' is 'available' or 'scheduled': what happens here is told "
                                "by itself");
        if ((at != NULL) != (notice->phase == NOTICE_SCHEDULED))
                return err_fail(err, ERR_INVALID, 0,
                                "'at_sec', the time at which it is going to begin, belongs to "
                                "'scheduled' and is needed there");
        if (at != NULL && (!json_is_integer(at) || json_integer_value(at) > AT_MAX_SEC ||
                           json_integer_value(at) <= clock_wall_usec() / USEC_PER_SEC))
                return err_fail(err, ERR_INVALID, 0,
                                "'at_sec' is a time to come, in seconds since 1970");
        notice->at_usec = at == NULL ? 0 : json_integer_value(at) * USEC_PER_SEC;
        notice->label = json_get_string(call->body, "label");
        notice->why = json_get_string(call->body, "reason");
        return 0;
}

int route_notice_send(struct api *api, const struct call *call, const struct target *target,
                      struct answer *answer, struct err *err)
{
        CLEANUP(freep) char *key = NULL;
        struct notice notice = { .site = target->name };
        struct catalog_site site;
        bool told;

        if (outbox_check(api, err) < 0 || send_read(call, &notice, err) < 0 ||
            probation_release_check(api->catalog, target->name, notice.label, err) < 0 ||
            catalog_site(api->catalog, target->name, &site, err) < 0)
                return -1;
        notice.from = site.active;
        catalog_site_done(&site);
        notice_site(&notice, target->site);
        /* Whoever looks every hour for a release tells of it every hour. */
        if (asprintf(&key, "%s:%s:%" PRId64 ":%s", notice_phase_name(notice.phase), target->name,
                     notice.at_usec / USEC_PER_SEC, notice.label == NULL ? "" : notice.label) < 0) {
                key = NULL;
                return err_oom(err);
        }
        notice.key = key;
        told = outbox_has(api->outbox, key);
        if (notice_put(api->outbox, &notice, err) < 0)
                return -1;
        return answer_json(
                answer, 202,
                json_pack("{s:s, s:b}", "phase", notice_phase_name(notice.phase), "new", !told),
                err);
}

struct check {
        struct api *api;
        struct site_problems problems;
        json_t *targets;
};

static int check_one(const char *name, void *arg, struct err *err)
{
        CLEANUP(target_freep) struct notice_target *target = NULL;
        CLEANUP(freep) char *text = NULL;
        CLEANUP(freep) char *file = NULL;
        struct check *check = arg;
        size_t before = check->problems.n;
        struct err why = { 0 };

        if (target_load(check->api->dirs->conf_fd, name, &check->problems, &target, &why) < 0)
                target = NULL;
        if (json_array_append_new(
                    check->targets,
                    json_pack("{s:s, s:s?}", "name", name, "kind",
                              target == NULL ? NULL : target_kind_name(target->kind))) < 0)
                return err_oom(err);
        if (target != NULL && target_secret(target, &text, &why) == 0) {
                free(text);
                text = NULL;
                if (target_ca(target, &text, &why) == 0)
                        return 0;
        }
        if (check->problems.n > before)
                return 0;
        if (asprintf(&file, TARGET_DIR "/%s.conf", name) < 0) {
                file = NULL;
                return err_oom(err);
        }
        return site_problem_add(&check->problems, file, 0, "", &why, err);
}

int route_notices_check(struct api *api, const struct call *call, const struct target *target,
                        struct answer *answer, struct err *err)
{
        CLEANUP(json_decrefp) json_t *list = json_array();
        CLEANUP(json_decrefp) json_t *targets = json_array();
        struct check check = { .api = api, .targets = targets };
        int ret;

        (void)call;
        (void)target;
        if (list == NULL || targets == NULL)
                return err_oom(err);
        ret = target_names(api->dirs->conf_fd, check_one, &check, err);
        for (size_t i = 0; i < check.problems.n && ret == 0; i++) {
                const struct site_problem *problem = &check.problems.items[i];

                if (json_array_append_new(list,
                                          json_pack("{s:s, s:i, s:s, s:s}", "file", problem->file,
                                                    "line", problem->line, "key", problem->key,
                                                    "message", problem->message)) < 0)
                        ret = err_oom(err);
        }
        site_problems_done(&check.problems);
        return ret < 0 ? -1
                       : answer_json(answer, 200,
                                     json_pack("{s:b, s:O, s:O}", "ok", json_array_size(list) == 0,
                                               "targets", targets, "problems", list),
                                     err);
}
