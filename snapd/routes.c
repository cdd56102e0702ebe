/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "snapd/routes.h"

/* Where the verb stands whose right an owner needs. */
enum verb_source { VERB_NONE, VERB_OF_BODY, VERB_OF_OPERATION };

struct route {
        const char *method;
        const char *pattern; /* {site}, {version} and {operation} stand for one component */
        enum auth_role role;
        unsigned may; /* the rights an owner needs to come in at all */
        enum verb_source verb;
        bool body;
        const char *args[4]; /* allowed behind the '?' */
        call_handler handler;
};

/* Lists are for anyone: what the peer may not see is left out of them. */
static const struct route routes[] = {
        { "GET", "/v1", ROLE_ANYONE, .handler = route_root },
        { "GET", "/v1/status", ROLE_ADMIN, .handler = route_status },
        { "GET", "/v1/metrics", ROLE_ADMIN, .handler = route_metrics },
        { "GET", "/v1/sites", ROLE_ANYONE, .handler = route_sites },
        { "POST", "/v1/sites", ROLE_ADMIN, .body = true, .handler = route_site_add },
        { "GET", "/v1/sites/{site}", ROLE_OWNER, MAY_READ, .handler = route_site },
        { "GET", "/v1/sites/{site}/check", ROLE_OWNER, MAY_READ, .handler = route_site_check },
        { "POST", "/v1/sites/{site}/probes/run", ROLE_OWNER, MAY_READ,
          .handler = route_probes_run },
        { "GET", "/v1/sites/{site}/versions", ROLE_OWNER, MAY_READ, .args = { "members", "rows" },
          .handler = route_versions },
        { "GET", "/v1/sites/{site}/versions/{version}", ROLE_OWNER, MAY_READ,
          .handler = route_version },
        { "PATCH", "/v1/sites/{site}/versions/{version}", ROLE_OWNER, MAY_READ | MAY_MARK,
          .body = true, .handler = route_version_change },
        { "GET", "/v1/sites/{site}/probes", ROLE_OWNER, MAY_READ, .args = { "span" },
          .handler = route_probes },
        { "GET", "/v1/sites/{site}/diff", ROLE_OWNER, MAY_READ, .args = { "from", "to" },
          .handler = route_diff },
        { "GET", "/v1/sites/{site}/lost-writes", ROLE_OWNER, MAY_READ,
          .args = { "from", "to", "table", "format" }, .handler = route_lost_writes },
        { "GET", "/v1/sites/{site}/schema", ROLE_OWNER, MAY_READ, .args = { "version" },
          .handler = route_schema },
        { "GET", "/v1/sites/{site}/schema-diff", ROLE_OWNER, MAY_READ, .args = { "from", "to" },
          .handler = route_schema_diff },
        { "GET", "/v1/sites/{site}/web-config", ROLE_OWNER, MAY_READ, .args = { "server" },
          .handler = route_web_config },
        { "GET", "/v1/sites/{site}/passes", ROLE_OWNER, MAY_READ | MAY_MOUNT,
          .handler = route_passes },
        { "POST", "/v1/sites/{site}/passes", ROLE_OWNER, MAY_READ | MAY_MOUNT, .body = true,
          .handler = route_pass_add },
        { "POST", "/v1/sites/{site}/passes/remove", ROLE_OWNER, MAY_READ | MAY_MOUNT, .body = true,
          .handler = route_pass_drop },
        { "POST", "/v1/sites/{site}/notices", ROLE_ADMIN, .body = true,
          .handler = route_notice_send },
        { "POST", "/v1/sites/{site}/operations", ROLE_OWNER, MAY_READ, VERB_OF_BODY, .body = true,
          .handler = route_begin },
        { "GET", "/v1/operations", ROLE_ANYONE, .args = { "site", "limit" },
          .handler = route_operations },
        { "GET", "/v1/operations/{operation}", ROLE_OWNER, MAY_READ,
          .args = { "since", "wait_msec" }, .handler = route_operation },
        { "GET", "/v1/operations/{operation}/log", ROLE_OWNER, MAY_READ, .args = { "offset" },
          .handler = route_log },
        { "POST", "/v1/operations/{operation}/abort", ROLE_OWNER, MAY_READ, VERB_OF_OPERATION,
          .handler = route_abort },
        { "POST", "/v1/operations/{operation}/resume", ROLE_ADMIN, .handler = route_resume },
        { "GET", "/v1/notices", ROLE_ADMIN, .args = { "notice", "limit" },
          .handler = route_notices },
        { "GET", "/v1/notices/check", ROLE_ADMIN, .handler = route_notices_check },
        { "POST", "/v1/notices/test", ROLE_ADMIN, .body = true, .handler = route_notices_test },
        { "POST", "/v1/notices/retry", ROLE_ADMIN, .body = true, .handler = route_notices_retry },
};

#define PART_MAX 64

struct parts {
        char site[PART_MAX], version[PART_MAX], operation[PART_MAX];
};

static char *part_of(struct parts *parts, char kind)
{
        return kind == 's' ? parts->site : kind == 'v' ? parts->version : parts->operation;
}

/* Does ${path} have the form of ${pattern}?  The components for {...} go to ${parts}. */
static bool pattern_match(const char *pattern, const char *path, struct parts *parts)
{
        while (*pattern != '\0') {
                size_t n;

                if (*pattern != '{') {
                        if (*pattern++ != *path++)
                                return false;
                        continue;
                }
                n = strcspn(path, "/");
                if (n == 0 || n >= PART_MAX)
                        return false;
                (void)snprintf(part_of(parts, pattern[1]), PART_MAX, "%.*s", (int)n, path);
                path += n;
                pattern = strchr(pattern, '}') + 1;
        }
        return *path == '\0';
}

static const struct route *route_find(const struct call *call, struct parts *parts, struct err *err)
{
        bool known = false;

        for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
                memset(parts, 0, sizeof(*parts));
                if (!pattern_match(routes[i].pattern, call->path, parts))
                        continue;
                if (strcmp(routes[i].method, call->method) == 0)
                        return &routes[i];
                known = true;
        }
        if (known)
                (void)err_fail(err, ERR_INVALID, 0, "'%.20s' cannot be asked of '%.200s'",
                               call->method, call->path);
        else
                (void)err_fail(err, ERR_NOT_FOUND, 0, "there is no '%.200s' in this API",
                               call->path);
        return NULL;
}

static int form_check(const struct route *route, const struct call *call, struct err *err)
{
        for (size_t i = 0; i < call->n_args; i++) {
                bool known = false;

                for (size_t k = 0; k < 4 && route->args[k] != NULL; k++)
                        known |= strcmp(route->args[k], call->args[i].name) == 0;
                for (size_t k = 0; k < i; k++)
                        known &= strcmp(call->args[k].name, call->args[i].name) != 0;
                if (!known)
                        return err_fail(err, ERR_INVALID, 0,
                                        "the argument '%.40s' is unknown or there twice",
                                        call->args[i].name);
        }
        if (route->body && !json_is_object(call->body))
                return err_fail(err, ERR_INVALID, 0, "the body of this request is a JSON object");
        if (!route->body && call->body != NULL &&
            !(json_is_object(call->body) && json_object_size(call->body) == 0))
                return err_fail(err, ERR_INVALID, 0, "this request has no body");
        return 0;
}

/* Fill in what the path names.  A missing thing and a hidden one get the same words, so the words
 * are made here and nowhere else. */
static int target_hidden(const struct parts *parts, struct err *err)
{
        if (parts->operation[0] != '\0')
                return err_fail(err, ERR_NOT_FOUND, 0, "there is no operation %s",
                                parts->operation);
        return err_fail(err, ERR_NOT_FOUND, 0, "there is no site '%s'", parts->site);
}

static int target_find(struct api *api, const struct parts *parts, struct target *target,
                       struct err *err)
{
        const char *name = parts->site;
        struct err ignored = { 0 };

        if (parts->version[0] != '\0' &&
            call_number(parts->version, "a version", &target->version, err) < 0)
                return -1;
        if (parts->operation[0] != '\0') {
                op_id id;

                if (call_number(parts->operation, "an operation", &id, err) < 0)
                        return -1;
                if (journal_get(api->catalog, id, false, &target->op, err) < 0)
                        return err->code == ERR_NOT_FOUND ? target_hidden(parts, err) : -1;
                name = target->op.site;
        }
        if (name[0] == '\0')
                return 0;
        if (site_name_valid(name, &ignored) < 0)
                return target_hidden(parts, err);
        (void)snprintf(target->name, sizeof(target->name), "%.*s", SITE_NAME_MAX - 1, name);
        target->site = sitecache_site(api->sites, name, NULL);
        return 0;
}

/* A name that is used again does not show its new owner what was done for the one before. */
static int same_life(struct api *api, const struct call *call, const struct target *target,
                     const struct parts *parts, struct err *err)
{
        op_id first;

        if (target->op.id == 0 || call->peer.admin)
                return 0;
        if (journal_life(api->catalog, target->op.site, &first, err) < 0)
                return -1;
        return target->op.id < first ? target_hidden(parts, err) : 0;
}

static int allowed(enum auth_verdict verdict, const struct parts *parts, struct err *err)
{
        if (verdict == AUTH_GRANTED)
                return 0;
        if (verdict == AUTH_HIDDEN && (parts->site[0] != '\0' || parts->operation[0] != '\0'))
                return target_hidden(parts, err);
        if (parts->site[0] != '\0')
                return err_fail(err, ERR_DENIED, 0,
                                "you may look at '%s' but not do this with it; an administrator "
                                "can, or can let you ('owner_may' of the site)",
                                parts->site);
        return err_fail(err, ERR_DENIED, 0,
                        "only root and members of the group 'sitesnap' may do this");
}

static int verb_check(const struct route *route, const struct call *call,
                      const struct target *target, const struct parts *parts, struct err *err)
{
        const char *verb;

        if (route->verb == VERB_NONE)
                return 0;
        verb = route->verb == VERB_OF_BODY ? json_get_string(call->body, "verb") : target->op.verb;
        if (verb == NULL)
                return err_fail(err, ERR_INVALID, 0, "the request has no 'verb'");
        return allowed(auth_check(&call->peer, ROLE_OWNER, target->site, auth_may(verb)), parts,
                       err);
}

int routes_answer(struct api *api, const struct call *call, struct answer *answer, struct err *err)
{
        struct target target = { 0 };
        struct parts parts;
        const struct route *route = route_find(call, &parts, err);
        int r;

        if (route == NULL)
                return -1;

        /* The right first: whoever may not know that a thing exists is not told by a complaint
         * about the form of the request either. */
        r = target_find(api, &parts, &target, err);
        if (r == 0)
                r = allowed(auth_check(&call->peer, route->role, target.site, route->may), &parts,
                            err);
        if (r == 0)
                r = same_life(api, call, &target, &parts, err);
        if (r == 0)
                r = form_check(route, call, err);
        if (r == 0)
                r = verb_check(route, call, &target, &parts, err);
        if (r == 0)
                r = route->handler(api, call, &target, answer, err);
        op_done(&target.op);
        return r;
}

void routes_visit(void (*visit)(const char *method, const char *pattern, void *arg), void *arg)
{
        for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
                visit(routes[i].method, routes[i].pattern, arg);
}
