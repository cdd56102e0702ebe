/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/safepath.h"
#include "snapd/front.h"
#include "snapd/probation.h"
#include "snapd/routes_call.h"
#include "snapd/view.h"

#define REASON_MAX 1000

/* What is left where the trees are; null when it cannot be told. */
static json_t *free_bytes(const char *pool)
{
        struct statvfs fs;

        if (statvfs(pool, &fs) < 0)
                return json_null();
        return json_integer((json_int_t)(fs.f_bavail * fs.f_frsize));
}

struct text {
        char *bytes;
        size_t n, room;
};

static bool text_room(struct text *text, size_t more)
{
        char *bytes;

        if (text->room - text->n >= more)
                return true;
        bytes = realloc(text->bytes, (text->n + more) * 2);
        if (bytes == NULL)
                return false;
        text->bytes = bytes;
        text->room = (text->n + more) * 2;
        return true;
}

static bool text_append(struct text *text, const char *bytes, size_t n)
{
        if (!text_room(text, n))
                return false;
        memcpy(text->bytes + text->n, bytes, n);
        text->n += n;
        return true;
}

static bool text_append_json(struct text *text, const json_t *json)
{
        size_t n = json_dumpb(json, text->bytes + text->n, text->room - text->n, JSON_COMPACT);

        if (n == 0)
                return false;
        if (n > text->room - text->n) {
                if (!text_room(text, n))
                        return false;
                n = json_dumpb(json, text->bytes + text->n, text->room - text->n, JSON_COMPACT);
        }
        text->n += n;
        return true;
}

typedef json_t *(*view_function)(const struct version *version, const char *home,
                                 uint64_t last_good, unsigned members);

/* Each version becomes text before the next one is made: as one tree of JSON a thousand of them
 * cost half as much again.  ${frame} ends with its member "versions", an empty list, and is taken
 * over.  NULL: no memory. */
static char *versions_text(json_t *frame, const struct version_list *list, const char *home,
                           view_function view, unsigned members)
{
        static const char end[] = "]}";
        const struct version *last_good = version_last_good(list);
        uint64_t good = last_good == NULL ? 0 : last_good->number;
        struct text text = { 0 };
        bool ok = text_room(&text, 256) && text_append_json(&text, frame);

        json_decref(frame);
        if (ok)
                text.n -= sizeof(end) - 1;
        for (size_t i = 0; ok && i < list->n; i++) {
                json_t *json = view(&list->items[i], home, good, members);

                ok = (i == 0 || text_append(&text, ",", 1)) && text_append_json(&text, json);
                json_decref(json);
        }
        if (ok && text_append(&text, end, sizeof(end)))
                return text.bytes;
        free(text.bytes);
        return NULL;
}

static void trial_set(struct api *api, const char *site, struct version *versions, size_t n)
{
        uint64_t number = 0;
        const char *state = watch_state(api->watch, site, &number);

        for (size_t i = 0; state != NULL && i < n; i++)
                versions[i].on_probation =
                        versions[i].number == number && strcmp(state, "probation") == 0;
}

/* Does `current` lead to the version? */
static bool is_led_to(const struct site *site, uint64_t number)
{
        CLEANUP(closep) int home_fd = -1;
        char target[48] = "", wanted[48];
        struct err ignored;

        (void)snprintf(wanted, sizeof(wanted), "versions/%" PRIu64, number);
        return site != NULL && safepath_open_trusted(site->home, &home_fd, &ignored) == 0 &&
               readlinkat(home_fd, "current", target, sizeof(target) - 1) > 0 &&
               strcmp(target, wanted) == 0;
}

/* Is an upgrade going on? */
static int is_upgraded(struct api *api, const char *site, struct err *err)
{
        struct op_list open;
        int ret;

        if (journal_list(api->catalog, site, true, 1, &open, err) < 0)
                return -1;
        ret = open.n > 0 && strcmp(open.items[0].verb, "upgrade") == 0;
        op_list_done(&open);
        return ret;
}

/* While a staged upgrade runs, what is active is not what visitors get. */
static int stage_set(struct api *api, const struct target *target, uint64_t active,
                     struct version *versions, size_t n, struct err *err)
{
        struct front_temporary temporary;
        int r = front_temporary(api->catalog, target->name, &temporary, err);

        if (r > 0 && (temporary.version == active || !is_led_to(target->site, temporary.version)))
                r = 0;
        if (r > 0)
                r = is_upgraded(api, target->name, err);
        for (size_t i = 0; r > 0 && i < n; i++) {
                versions[i].staged = versions[i].number == active;
                versions[i].served = versions[i].number == temporary.version &&
                                     temporary.mode == FRONT_READ_ONLY;
        }
        return r < 0 ? -1 : 0;
}

int route_versions(struct api *api, const struct call *call, const struct target *target,
                   struct answer *answer, struct err *err)
{
        const char *home = target->site == NULL ? NULL : target->site->home;
        const char *asked = call_arg(call, "members");
        struct catalog_site catalog;
        struct version_list list;
        unsigned members = VIEW_ALL;
        json_t *frame;
        uint64_t rows;
        char *text;

        if (asked != NULL && view_members(asked, &members, err) < 0)
                return -1;
        if (call_arg_number(call, "rows", 0, &rows, err) < 0 ||
            catalog_site(api->catalog, target->name, &catalog, err) < 0)
                return -1;
        if (catalog_versions(api->catalog, target->name, &list, err) < 0) {
                catalog_site_done(&catalog);
                return -1;
        }
        if (stage_set(api, target, catalog.active, list.items, list.n, err) < 0) {
                version_list_done(&list);
                catalog_site_done(&catalog);
                return -1;
        }
        trial_set(api, target->name, list.items, list.n);
        frame = json_pack("{s:s, s:o, s:o*, s:[]}", "site", target->name, "free_bytes",
                          free_bytes(catalog.pool), "members",
                          rows != 0 ? view_row_members(members) : NULL, "versions");
        text = versions_text(frame, &list, home, rows != 0 ? view_row : view_version, members);
        version_list_done(&list);
        catalog_site_done(&catalog);
        return answer_text(answer, 200, text, err);
}

int route_version(struct api *api, const struct call *call, const struct target *target,
                  struct answer *answer, struct err *err)
{
        struct catalog_site catalog;
        struct version version;
        json_t *json;

        (void)call;
        if (catalog_site(api->catalog, target->name, &catalog, err) < 0)
                return -1;
        if (catalog_version(api->catalog, target->name, target->version, &version, err) < 0) {
                catalog_site_done(&catalog);
                return -1;
        }
        if (stage_set(api, target, catalog.active, &version, 1, err) < 0) {
                version_done(&version);
                catalog_site_done(&catalog);
                return -1;
        }
        trial_set(api, target->name, &version, 1);
        json = view_version(&version, target->site == NULL ? NULL : target->site->home,
                            catalog.last_good, VIEW_ALL);
        version_done(&version);
        catalog_site_done(&catalog);
        return answer_json(answer, 200, json, err);
}

/* What a PATCH asks for; NULL and -1: not asked. */
struct change {
        int pinned;
        int mark;
        const char *reason;
};

static int change_member(const char *key, const json_t *value, struct change *change,
                         struct err *err)
{
        const char *text = json_string_value(value);

        if (strcmp(key, "pinned") == 0 && json_is_boolean(value)) {
                change->pinned = json_is_true(value);
                return 0;
        }
        if (strcmp(key, "reason") == 0 && text != NULL && strlen(text) <= REASON_MAX) {
                change->reason = text;
                return 0;
        }
        for (int mark = MARK_NONE; strcmp(key, "mark") == 0 && text != NULL && mark <= MARK_BAD;
             mark++)
                if (strcmp(text, version_mark_name((enum version_mark)mark)) == 0) {
                        change->mark = mark;
                        return 0;
                }
        return err_fail(err, ERR_INVALID, 0, "the member '%.40s' is unknown or has no such value",
                        key);
}

static int change_read(const json_t *body, struct change *change, struct err *err)
{
        const char *key;
        json_t *value;

        *change = (struct change){ .pinned = -1, .mark = -1 };
        json_object_foreach ((json_t *)body, key, value)
                if (change_member(key, value, change, err) < 0)
                        return -1;
        if (change->pinned < 0 && change->mark < 0)
                return err_fail(err, ERR_INVALID, 0, "neither 'pinned' nor 'mark' is given");
        if (change->reason != NULL && change->mark < 0)
                return err_fail(err, ERR_INVALID, 0, "a 'reason' belongs to a 'mark'");
        return 0;
}

static int change_make(struct catalog *catalog, const char *site, uint64_t number,
                       const struct change *change, struct err *err)
{
        CLEANUP(freep) char *reason = NULL;
        struct version version;
        int r;

        if (catalog_version(catalog, site, number, &version, err) < 0)
                return -1;
        if (change->pinned >= 0)
                version.pinned = change->pinned;
        if (change->mark >= 0) {
                reason = strdup(change->reason == NULL ? "" : change->reason);
                if (reason == NULL) {
                        version_done(&version);
                        return err_oom(err);
                }
                version.mark = (enum version_mark)change->mark;
                free(version.mark_reason);
                version.mark_reason = STEAL(reason);
        }
        r = catalog_put_version(catalog, site, &version, err);
        version_done(&version);
        return r;
}

int route_version_change(struct api *api, const struct call *call, const struct target *target,
                         struct answer *answer, struct err *err)
{
        struct change change;
        bool lifted;

        if (change_read(call->body, &change, err) < 0 || catalog_begin(api->catalog, err) < 0)
                return -1;
        if (((change.mark == MARK_GOOD || change.mark == MARK_NONE) &&
             probation_lift(api->catalog, target->name, target->version, change.reason, &lifted,
                            err) < 0) ||
            change_make(api->catalog, target->name, target->version, &change, err) < 0 ||
            catalog_commit(api->catalog, err) < 0) {
                catalog_rollback(api->catalog);
                return -1;
        }
        if (change.mark >= 0)
                watch_marked(api->watch, target->name, target->version,
                             (enum version_mark)change.mark);
        return route_version(api, call, target, answer, err);
}

/* A question about two versions. */
static int ask_two(const char *query, const struct call *call, const struct target *target,
                   struct answer *answer, struct err *err)
{
        uint64_t from, to;

        if (call_arg_number(call, "from", 0, &from, err) < 0 ||
            call_arg_number(call, "to", 0, &to, err) < 0)
                return -1;
        if (from == 0 || to == 0)
                return err_fail(err, ERR_INVALID, 0, "'from' and 'to' are versions");
        return answer_ask(answer,
                          json_pack("{s:s, s:s, s:I, s:I}", "query", query, "site", target->name,
                                    "from", (json_int_t)from, "to", (json_int_t)to),
                          err);
}

int route_diff(struct api *api, const struct call *call, const struct target *target,
               struct answer *answer, struct err *err)
{
        (void)api;
        return ask_two("diff", call, target, answer, err);
}

int route_schema_diff(struct api *api, const struct call *call, const struct target *target,
                      struct answer *answer, struct err *err)
{
        (void)api;
        return ask_two("schema-diff", call, target, answer, err);
}

int route_lost_writes(struct api *api, const struct call *call, const struct target *target,
                      struct answer *answer, struct err *err)
{
        const char *table = call_arg(call, "table"), *format = call_arg(call, "format");
        json_t *question;

        if (ask_two("lost-writes", call, target, answer, err) < 0)
                return -1;
        question = answer->json;
        if ((table != NULL && json_object_set_new(question, "table", json_string(table)) < 0) ||
            (format != NULL && json_object_set_new(question, "format", json_string(format)) < 0))
                return err_fail(err, ERR_INVALID, 0, "'table' or 'format' is no text");
        (void)api;
        return 0;
}

/* By default of the active version. */
int route_schema(struct api *api, const struct call *call, const struct target *target,
                 struct answer *answer, struct err *err)
{
        struct catalog_site catalog;
        uint64_t version;

        if (catalog_site(api->catalog, target->name, &catalog, err) < 0)
                return -1;
        version = catalog.active;
        catalog_site_done(&catalog);
        if (call_arg_number(call, "version", version, &version, err) < 0)
                return -1;
        return answer_ask(answer,
                          json_pack("{s:s, s:s, s:I}", "query", "schema", "site", target->name,
                                    "version", (json_int_t)version),
                          err);
}
