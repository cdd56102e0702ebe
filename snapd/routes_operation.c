/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapd/routes_call.h"
#include "snapd/view.h"

#define WAIT_MAX_MSEC 30000
#define LIST_DEFAULT  50
#define LIST_MAX      1000
#define LOG_CHUNK     32768

/* Lists are made of one question a site, so that a peer who sees few sites reads few rows. */
struct gather {
        struct api *api;
        const struct peer *peer;
        unsigned limit;
        struct op *ops;
        size_t n;
};

/* Without those of an earlier life of the name, which are the last ones. */
static int list_for_owner(struct api *api, const char *site, unsigned limit,
                          struct op_list *ret_list, struct err *err)
{
        op_id first;

        if (journal_life(api->catalog, site, &first, err) < 0 ||
            journal_list(api->catalog, site, false, limit, ret_list, err) < 0)
                return -1;
        while (ret_list->n > 0 && ret_list->items[ret_list->n - 1].id < first)
                op_done(&ret_list->items[--ret_list->n]);
        return 0;
}

static int gather_site(const char *name, void *arg, struct err *err)
{
        struct gather *gather = arg;
        const struct site *site = sitecache_site(gather->api->sites, name, NULL);
        struct op_list list;
        struct op *more;

        if (auth_check(gather->peer, ROLE_OWNER, site, MAY_READ) != AUTH_GRANTED)
                return 0;
        if (list_for_owner(gather->api, name, gather->limit, &list, err) < 0)
                return -1;
        if (list.n > 0) {
                more = reallocarray(gather->ops, gather->n + list.n, sizeof(*more));
                if (more == NULL) {
                        op_list_done(&list);
                        return err_oom(err);
                }
                gather->ops = more;

                /* The operations move over; only the list's own array stays behind. */
                for (size_t i = 0; i < list.n; i++) {
                        gather->ops[gather->n++] = list.items[i];
                        list.items[i] = (struct op){ 0 };
                }
        }
        op_list_done(&list);
        return 0;
}

static int newest_first(const void *a, const void *b)
{
        op_id first = ((const struct op *)a)->id, second = ((const struct op *)b)->id;

        return first < second ? 1 : first > second ? -1 : 0;
}

static int operations_answer(const struct op *ops, size_t n, const char *state,
                             struct answer *answer, struct err *err)
{
        CLEANUP(json_decrefp) json_t *array = json_array();

        for (size_t i = 0; i < n; i++)
                if (json_array_append_new(array, view_operation(&ops[i], state, false)) < 0)
                        return err_oom(err);
        return answer_json(answer, 200, json_pack("{s:O}", "operations", array), err);
}

/* Only what the peer's own sites did. */
static int operations_of_owner(struct api *api, const struct call *call, unsigned limit,
                               struct answer *answer, struct err *err)
{
        struct gather gather = { .api = api, .peer = &call->peer, .limit = limit };
        int r = sitecache_names(api->sites, gather_site, &gather, err);

        if (r == 0 && gather.n > 0)
                qsort(gather.ops, gather.n, sizeof(*gather.ops), newest_first);
        if (r == 0)
                r = operations_answer(gather.ops, gather.n < limit ? gather.n : limit,
                                      api->dirs->state, answer, err);
        for (size_t i = 0; i < gather.n; i++)
                op_done(&gather.ops[i]);
        free(gather.ops);
        return r;
}

int route_operations(struct api *api, const struct call *call, const struct target *target,
                     struct answer *answer, struct err *err)
{
        const char *name = call_arg(call, "site");
        struct op_list list;
        uint64_t limit;
        int r;

        (void)target;
        if (call_arg_number(call, "limit", LIST_DEFAULT, &limit, err) < 0)
                return -1;
        if (limit == 0 || limit > LIST_MAX)
                return err_fail(err, ERR_INVALID, 0, "'limit' is 1 to %d", LIST_MAX);
        if (name != NULL && site_name_valid(name, err) < 0)
                return -1;
        if (name == NULL && !call->peer.admin)
                return operations_of_owner(api, call, (unsigned)limit, answer, err);
        if (name != NULL &&
            auth_check(&call->peer, ROLE_OWNER, sitecache_site(api->sites, name, NULL), MAY_READ) !=
                    AUTH_GRANTED)
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no site '%s'", name);
        if ((call->peer.admin ? journal_list(api->catalog, name, false, (unsigned)limit, &list, err)
                              : list_for_owner(api, name, (unsigned)limit, &list, err)) < 0)
                return -1;
        r = operations_answer(list.items, list.n, api->dirs->state, answer, err);
        op_list_done(&list);
        return r;
}

int route_operation(struct api *api, const struct call *call, const struct target *target,
                    struct answer *answer, struct err *err)
{
        struct op op;
        uint64_t since, wait_msec;
        int64_t until_usec;
        int r;

        if (call_arg_number(call, "since", UINT64_MAX, &since, err) < 0 ||
            call_arg_number(call, "wait_msec", 0, &wait_msec, err) < 0)
                return -1;
        if (wait_msec > WAIT_MAX_MSEC)
                return err_fail(err, ERR_INVALID, 0, "'wait_msec' is at most %d", WAIT_MAX_MSEC);

        /* One that has ended changes no more: nobody waits for it. */
        until_usec = call->arrived_usec + (int64_t)wait_msec * 1000;
        if (target->op.seq == since && op_is_open(target->op.state) &&
            clock_boot_usec() < until_usec) {
                *answer = (struct answer){ .kind = ANSWER_WAIT,
                                           .op = target->op.id,
                                           .answered = target->op.served_usec != 0,
                                           .seq = since,
                                           .until_usec = until_usec };
                return 0;
        }
        if (journal_get(api->catalog, target->op.id, true, &op, err) < 0)
                return -1;
        r = answer_json(answer, 200, view_operation(&op, api->dirs->state, true), err);
        op_done(&op);
        return r;
}

/* What the command has printed, from ${offset} on; none yet is an empty text. */
static int log_read(const struct api *api, op_id id, uint64_t offset, char *buf, size_t *ret_n,
                    struct err *err)
{
        CLEANUP(closep) int dir_fd = -1;
        CLEANUP(closep) int fd = -1;
        ssize_t n;

        *ret_n = 0;
        if (dirs_op(api->dirs, id, &dir_fd, err) < 0)
                return -1;
        fd = openat(dir_fd, "output", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
                return 0;
        n = fd < 0 ? -1 : pread(fd, buf, LOG_CHUNK, (off_t)offset);
        if (n < 0)
                return err_fail(err, ERR_IO, errno, "cannot read the output of operation %" PRIu64,
                                id);
        *ret_n = (size_t)n;
        return 0;
}

int route_log(struct api *api, const struct call *call, const struct target *target,
              struct answer *answer, struct err *err)
{
        bool open = op_is_open(target->op.state);
        CLEANUP(freep) char *buf = malloc(LOG_CHUNK);
        uint64_t offset;
        size_t n, used;
        json_t *text;

        if (buf == NULL)
                return err_oom(err);
        if (call_arg_number(call, "offset", 0, &offset, err) < 0 ||
            log_read(api, target->op.id, offset, buf, &n, err) < 0)
                return -1;

        /* A character that is cut by the chunk comes whole with the next one; at the end of a
         * finished output there is no next one. */
        used = n;
        text = view_text(buf, n, open || n == LOG_CHUNK ? &used : NULL);
        return answer_json(answer, 200,
                           json_pack("{s:I, s:o, s:b}", "offset", (json_int_t)(offset + used),
                                     "text", text, "done", !open && n < LOG_CHUNK),
                           err);
}

int route_abort(struct api *api, const struct call *call, const struct target *target,
                struct answer *answer, struct err *err)
{
        (void)call;
        if (journal_ask_abort(api->catalog, target->op.id, err) < 0)
                return -1;
        return answer_json(answer, 202, json_object(), err);
}

int route_resume(struct api *api, const struct call *call, const struct target *target,
                 struct answer *answer, struct err *err)
{
        op_id id = target->op.id;

        (void)call;
        if (!op_is_open(target->op.state))
                return err_fail(err, ERR_NOTHING, 0, "operation %" PRIu64 " has ended: %s", id,
                                op_state_name(target->op.state));
        if (target->op.state != OP_HELD && spawner_runs(api->spawner, id))
                return err_fail(err, ERR_BUSY, 0, "operation %" PRIu64 " is running", id);
        /* From here on it is as before it was held: whoever watches it sees how it ends now, and
         * not once more that it was held. */
        if (target->op.state == OP_HELD &&
            journal_state(api->catalog, id, target->op.held_state, NULL, err) < 0)
                return -1;
        spawner_start(api->spawner, id);
        return answer_json(answer, 202, json_pack("{s:I}", "operation", (json_int_t)id), err);
}
