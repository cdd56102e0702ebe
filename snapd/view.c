/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapd/step.h"
#include "snapd/view.h"

#define USERS_KEPT 16

/* How many bytes the character at ${at} has; 0: none begins here; -1: it is cut by the end. */
static int character_length(const unsigned char *at, size_t left)
{
        static const struct {
                unsigned char low, high;   /* the first byte */
                unsigned char low2, high2; /* the second: no overlong forms, no surrogates */
                int n;
        } forms[] = {
                { 0x01, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
                { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
                { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
                { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
                { 0xf4, 0xf4, 0x80, 0x8f, 4 },
        };

        for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
                if (at[0] < forms[i].low || at[0] > forms[i].high)
                        continue;
                for (int k = 1; k < forms[i].n; k++) {
                        if ((size_t)k == left)
                                return -1;
                        if (at[k] < (k == 1 ? forms[i].low2 : 0x80) ||
                            at[k] > (k == 1 ? forms[i].high2 : 0xbf))
                                return 0;
                }
                return forms[i].n;
        }
        return 0;
}

/* How many bytes from the start are whole characters. */
static size_t clean_length(const char *text, size_t n)
{
        size_t at = 0;

        while (at < n) {
                int len = character_length((const unsigned char *)text + at, n - at);

                if (len <= 0)
                        break;
                at += (size_t)len;
        }
        return at;
}

json_t *view_text(const char *text, size_t n, size_t *ret_used)
{
        static const char replacement[] = "\xef\xbf\xbd";
        CLEANUP(freep) char *clean = NULL;
        size_t out = 0, at = 0;

        /* Nearly every text is; a list has thousands. */
        if (clean_length(text, n) == n) {
                if (ret_used != NULL)
                        *ret_used = n;
                return json_stringn_nocheck(text, n);
        }
        clean = malloc(n * 3 + 1);
        if (clean == NULL)
                return NULL;
        while (at < n) {
                int len = character_length((const unsigned char *)text + at, n - at);

                if (len < 0 && ret_used != NULL)
                        break;
                if (len > 0) {
                        memcpy(clean + out, text + at, (size_t)len);
                        out += (size_t)len;
                        at += (size_t)len;
                } else {
                        memcpy(clean + out, replacement, 3);
                        out += 3;
                        at++;
                }
        }
        if (ret_used != NULL)
                *ret_used = at;
        return json_stringn_nocheck(clean, out);
}

static json_t *string_or_null(const char *text)
{
        return text == NULL ? json_null() : view_text(text, strlen(text), NULL);
}

static json_t *filled_or_null(const char *text)
{
        return string_or_null(text != NULL && text[0] != '\0' ? text : NULL);
}

static json_t *number_or_null(uint64_t number)
{
        return number == 0 ? json_null() : json_integer((json_int_t)number);
}

static json_t *bytes_or_null(int64_t bytes)
{
        return bytes < 0 ? json_null() : json_integer(bytes);
}

json_t *view_time(int64_t usec)
{
        char iso[CLOCK_ISO_MAX];

        if (usec == 0)
                return json_null();
        clock_iso(usec, 1, iso);
        return json_string(iso);
}

/* A list shows one user a thousand times, and each question of the user database reads a file.
 * So a few answers are kept, for a minute. */
json_t *view_user(uid_t uid)
{
        static struct {
                bool used;
                uid_t uid;
                int64_t until_usec;
                char name[64];
        } kept[USERS_KEPT];
        unsigned at = uid % USERS_KEPT;
        int64_t now = clock_boot_usec();
        const struct passwd *user;

        if (!kept[at].used || kept[at].uid != uid || now > kept[at].until_usec) {
                user = getpwuid(uid);
                if (user != NULL)
                        (void)snprintf(kept[at].name, sizeof(kept[at].name), "%s", user->pw_name);
                else
                        (void)snprintf(kept[at].name, sizeof(kept[at].name), "%u", uid);
                kept[at].used = true;
                kept[at].uid = uid;
                kept[at].until_usec = now + 60 * (int64_t)USEC_PER_SEC;
        }
        return json_string(kept[at].name);
}

unsigned view_status(enum err_code code)
{
        static const unsigned short statuses[ERR_CODES] = {
                [ERR_INVALID] = 400, [ERR_DENIED] = 403,   [ERR_NOT_FOUND] = 404,
                [ERR_EXISTS] = 409,  [ERR_BUSY] = 409,     [ERR_REFUSED] = 409,
                [ERR_NOTHING] = 409, [ERR_NO_SPACE] = 507, [ERR_UNSUPPORTED] = 501,
                [ERR_TIMEOUT] = 504,
        };

        return (unsigned)code < ERR_CODES && statuses[code] != 0 ? statuses[code] : 500;
}

json_t *view_temporary(const struct front_temporary *temporary)
{
        return json_pack("{s:s, s:I, s:I, s:o, s:o}", "mode", front_mode_name(temporary->mode),
                         "version", (json_int_t)temporary->version, "back",
                         (json_int_t)temporary->back, "until", view_time(temporary->until_usec),
                         "since", view_time(temporary->since_usec));
}

static json_t *error_object(const struct err *err)
{
        const char *name = err_name(err->code);

        return json_pack("{s:s, s:o, s:i}", "code", name == NULL ? "io" : name, "message",
                         string_or_null(err->msg), "exit", err_exit_status(err->code));
}

json_t *view_error(const struct err *err)
{
        return json_pack("{s:o}", "error", error_object(err));
}

static const char *site_state(const struct catalog_site *catalog, const struct op *open)
{
        if (open != NULL && open->state == OP_HELD)
                return "held";
        /* One that is served keeps nobody from asking for the next. */
        if (open != NULL && open->served_usec == 0)
                return "busy";
        return catalog == NULL ? "unadopted" : "ok";
}

static json_t *shared_paths(const struct site *site)
{
        json_t *paths = json_array();

        for (size_t i = 0; site != NULL && i < site->n_shared; i++)
                if (json_array_append_new(paths, string_or_null(site->shared[i])) < 0)
                        return NULL;
        return paths;
}

/* What is not said is not known. */
static json_t *view_automatic(const struct site *site)
{
        if (site == NULL || site->automatic == NULL)
                return json_null();
        return json_boolean(strcmp(site->automatic, "yes") == 0);
}

json_t *view_site(const char *name, const struct catalog_site *catalog, const struct site *site,
                  const struct op *open)
{
        const char *driver = catalog != NULL ? catalog->driver : site != NULL ? site->driver : NULL;
        const char *pool = catalog != NULL ? catalog->pool : site != NULL ? site->pool : NULL;

        /* clang-format off */
        return json_pack(
                "{s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o}",
                "name", name,
                "home", string_or_null(site == NULL ? NULL : site->home),
                "owner", string_or_null(site == NULL ? NULL : site->owner),
                "driver", string_or_null(driver),
                "docroot", string_or_null(site == NULL ? NULL : site->docroot),
                "pool", string_or_null(pool),
                "state", site_state(catalog, open),
                "active", number_or_null(catalog == NULL ? 0 : catalog->active),
                "last_good", number_or_null(catalog == NULL ? 0 : catalog->last_good),
                "versions", catalog == NULL ? (json_int_t)0 : (json_int_t)catalog->versions,
                "shared", shared_paths(site),
                "database", string_or_null(site == NULL ? NULL : site->database.engine),
                "track", string_or_null(site == NULL ? NULL : site->track),
                "automatic_updates", view_automatic(site),
                "operation", number_or_null(open == NULL ? 0 : open->id));
        /* clang-format on */
}

static json_t *version_states(const struct version *version, bool last_good)
{
        const struct {
                bool holds;
                const char *name;
        } states[] = {
                { true, version_state_name(version->state) },
                { version->staged, "staged" },
                { version->served, "served" },
                { version->leaving, "leaving" },
                { version->mark != MARK_NONE, version_mark_name(version->mark) },
                { version->pinned, "pinned" },
                { version->mounted || last_good || version->state == VERSION_ACTIVE, "mounted" },
                { last_good, "last-good" },
                { version->on_probation, "probation" },
        };
        json_t *array = json_array();

        for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
                if (states[i].holds &&
                    json_array_append_new(array, json_string(states[i].name)) < 0)
                        return NULL;
        return array;
}

static json_t *version_path(const struct version *version, const char *home)
{
        char path[1200];

        if (home == NULL)
                return json_null();
        (void)snprintf(path, sizeof(path), "%s/versions/%" PRIu64, home, version->number);
        return string_or_null(path);
}

static const char *const version_members[] = {
        [VIEW_NUMBER] = "number",
        [VIEW_STATES] = "states",
        [VIEW_LABEL] = "label",
        [VIEW_REASON] = "reason",
        [VIEW_MARK_REASON] = "mark_reason",
        [VIEW_CREATED] = "created",
        [VIEW_BY] = "by",
        [VIEW_VERB] = "verb",
        [VIEW_OPERATION] = "operation",
        [VIEW_PARENT] = "parent",
        [VIEW_PATH] = "path",
        [VIEW_TREE] = "tree",
        [VIEW_DATABASE] = "database",
        [VIEW_FILES_BYTES] = "files_bytes",
        [VIEW_DATABASE_BYTES] = "database_bytes",
        [VIEW_FREED_BYTES] = "freed_bytes",
        [VIEW_SCHEMA_CHANGED] = "schema_changed",
};

static json_t *version_member(enum view_member member, const struct version *version,
                              const char *home, uint64_t last_good)
{
        switch (member) {
        case VIEW_NUMBER:
                return json_integer((json_int_t)version->number);
        case VIEW_STATES:
                return version_states(version, version->number == last_good);
        case VIEW_LABEL:
                return string_or_null(version->label);
        case VIEW_REASON:
                return string_or_null(version->reason);
        case VIEW_MARK_REASON:
                return string_or_null(version->mark_reason);
        case VIEW_CREATED:
                return view_time(version->created_usec);
        case VIEW_BY:
                return view_user(version->by);
        case VIEW_VERB:
                return string_or_null(version->verb);
        case VIEW_OPERATION:
                return number_or_null(version->operation);
        case VIEW_PARENT:
                return number_or_null(version->parent);
        case VIEW_PATH:
                return version_path(version, home);
        case VIEW_TREE:
                return number_or_null(version->tree);
        case VIEW_DATABASE:
                return filled_or_null(version->database);
        case VIEW_FILES_BYTES:
                return bytes_or_null(version->files_bytes);
        case VIEW_DATABASE_BYTES:
                return bytes_or_null(version->database_bytes);
        case VIEW_FREED_BYTES:
                return bytes_or_null(version->freed_bytes);
        case VIEW_SCHEMA_CHANGED:
                return version->schema_changed < 0 ? json_null()
                                                   : json_boolean(version->schema_changed);
        case VIEW_MEMBERS:
                break;
        }
        return NULL;
}

json_t *view_version(const struct version *version, const char *home, uint64_t last_good,
                     unsigned members)
{
        json_t *view = json_object();

        for (enum view_member i = 0; i < VIEW_MEMBERS; i++)
                if ((members & 1u << i) != 0 &&
                    json_object_set_new_nocheck(view, version_members[i],
                                                version_member(i, version, home, last_good)) < 0) {
                        json_decref(view);
                        return NULL;
                }
        return view;
}

json_t *view_row(const struct version *version, const char *home, uint64_t last_good,
                 unsigned members)
{
        json_t *row = json_array();

        for (enum view_member i = 0; i < VIEW_MEMBERS; i++)
                if ((members & 1u << i) != 0 &&
                    json_array_append_new(row, version_member(i, version, home, last_good)) < 0) {
                        json_decref(row);
                        return NULL;
                }
        return row;
}

json_t *view_row_members(unsigned members)
{
        json_t *names = json_array();

        for (enum view_member i = 0; i < VIEW_MEMBERS; i++)
                if ((members & 1u << i) != 0 &&
                    json_array_append_new(names, json_string(version_members[i])) < 0) {
                        json_decref(names);
                        return NULL;
                }
        return names;
}

int view_members(const char *list, unsigned *ret_members, struct err *err)
{
        unsigned members = 0;

        while (list != NULL) {
                size_t n = strcspn(list, ",");
                enum view_member i = 0;

                while (i < VIEW_MEMBERS && (strlen(version_members[i]) != n ||
                                            memcmp(version_members[i], list, n) != 0))
                        i++;
                if (i == VIEW_MEMBERS)
                        return err_fail(err, ERR_INVALID, 0, "a version has no member '%.*s'",
                                        n > 40 ? 40 : (int)n, list);
                members |= 1u << i;
                list = list[n] == ',' ? list + n + 1 : NULL;
        }
        *ret_members = members;
        return 0;
}

static json_t *step_text(const struct op_step *step)
{
        const struct step_kind *kind = step_kind_by_name(step->kind);
        char text[512] = "";

        /* An older build may not know a kind that a newer one planned. */
        if (kind == NULL || kind->describe == NULL)
                return string_or_null(step->kind);
        kind->describe(step->args, text, sizeof(text));
        return string_or_null(text);
}

static json_t *step_progress(const struct op_step *step)
{
        if (step->progress_all == 0)
                return json_null();
        return json_pack("{s:I, s:I, s:s}", "done", (json_int_t)step->progress_done, "all",
                         (json_int_t)step->progress_all, "unit", "bytes");
}

static json_t *steps_array(const struct op *op)
{
        static const char *const parts[PLAN_PARTS] = { "main", "rescue" };
        json_t *steps = json_array();

        for (size_t i = 0; i < op->n_steps; i++) {
                const struct op_step *step = &op->steps[i];
                /* clang-format off */
                json_t *view = json_pack("{s:s, s:I, s:s, s:o, s:s, s:o, s:o, s:o}",
                                         "part", parts[step->part],
                                         "n", (json_int_t)step->n,
                                         "kind", step->kind,
                                         "text", step_text(step),
                                         "mark", step_mark_name(step->mark),
                                         "progress", step_progress(step),
                                         "started", view_time(step->started_usec),
                                         "ended", view_time(step->ended_usec));
                /* clang-format on */

                if (json_array_append_new(steps, view) < 0)
                        return NULL;
        }
        return steps;
}

static json_t *operation_log(const struct op *op, const char *state)
{
        char path[4200];

        (void)snprintf(path, sizeof(path), "%s/ops/%" PRIu64 "/output", state, op->id);
        return string_or_null(faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? path
                                                                                        : NULL);
}

json_t *view_operation(const struct op *op, const char *state, bool with_steps)
{
        json_t *cause = json_object_get(op->request, "cause");
        /* clang-format off */
        json_t *view = json_pack(
                "{s:I, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o}",
                "id", (json_int_t)op->id,
                "site", op->site,
                "verb", op->verb,
                "state", op_state_name(op->state),
                "by", cause == NULL ? view_user(op->by) : json_string("snapd"),
                "reason", string_or_null(op->reason),
                "created", view_time(op->created_usec),
                "served", view_time(op->served_usec),
                "ended", view_time(op->ended_usec),
                "seq", (json_int_t)op->seq,
                "version", number_or_null(op->version),
                "error", op->error.code == 0 ? json_null() : error_object(&op->error),
                "log", operation_log(op, state));
        /* clang-format on */

        if (view != NULL && with_steps &&
            (json_object_set_new(view, "steps", steps_array(op)) < 0 ||
             (cause != NULL && json_object_set(view, "cause", cause) < 0))) {
                json_decref(view);
                return NULL;
        }
        return view;
}
