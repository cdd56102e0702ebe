/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapd/front.h"
#include "snapd/request.h"
#include "snapd/routes_call.h"
#include "snapd/view.h"

int route_root(struct api *api, const struct call *call, const struct target *target,
               struct answer *answer, struct err *err)
{
        (void)api;
        (void)target;
        return answer_json(answer, 200,
                           json_pack("{s:s, s:s, s:i, s:I}", "name", "sitesnap", "version",
                                     SITESNAP_VERSION, "api", 1, "uid", (json_int_t)call->peer.uid),
                           err);
}

static const struct op *open_of(const struct op_list *list, const char *site)
{
        for (size_t i = 0; i < list->n; i++)
                if (strcmp(list->items[i].site, site) == 0)
                        return &list->items[i];
        return NULL;
}

/* A walk over all sites that the peer may see. */
struct walk {
        struct api *api;
        const struct call *call;
        struct op_list open;
        json_t *seen; /* names that are in the catalog */
        json_t *sites;
};

/* What the guard makes of it; ${whole}: with everything it knows. */
static int guard_add(struct api *api, const char *name, bool whole, json_t *view, struct err *err)
{
        uint64_t version = 0;
        const char *state = watch_state(api->watch, name, &version);

        if (view == NULL ||
            json_object_set_new(view, "guard_state",
                                state == NULL ? json_null() : json_string(state)) < 0 ||
            (whole && json_object_set_new(view, "guard", watch_view(api->watch, name)) < 0))
                return err_oom(err);
        return 0;
}

static int walk_add(struct walk *walk, const char *name, bool in_catalog, struct err *err)
{
        const struct site *site = sitecache_site(walk->api->sites, name, NULL);
        struct catalog_site catalog = { 0 };
        json_t *view;

        if (auth_check(&walk->call->peer, ROLE_OWNER, site, MAY_READ) != AUTH_GRANTED)
                return 0;
        if (in_catalog && catalog_site(walk->api->catalog, name, &catalog, err) < 0)
                return err->code == ERR_NOT_FOUND ? 0 : -1; /* removed just now */
        view = view_site(name, in_catalog ? &catalog : NULL, site, open_of(&walk->open, name));
        if (in_catalog)
                catalog_site_done(&catalog);
        if (guard_add(walk->api, name, false, view, err) < 0) {
                json_decref(view);
                return -1;
        }
        return json_array_append_new(walk->sites, view) < 0 ? err_oom(err) : 0;
}

static int walk_catalog(const char *name, void *arg, struct err *err)
{
        struct walk *walk = arg;

        if (json_object_set_new(walk->seen, name, json_true()) < 0)
                return err_oom(err);
        return walk_add(walk, name, true, err);
}

static int walk_conf(const char *name, void *arg, struct err *err)
{
        struct walk *walk = arg;

        return json_object_get(walk->seen, name) != NULL ? 0 : walk_add(walk, name, false, err);
}

int route_sites(struct api *api, const struct call *call, const struct target *target,
                struct answer *answer, struct err *err)
{
        CLEANUP(json_decrefp) json_t *seen = json_object();
        CLEANUP(json_decrefp) json_t *sites = json_array();
        struct walk walk = { .api = api, .call = call, .seen = seen, .sites = sites };
        int r;

        (void)target;
        if (seen == NULL || sites == NULL)
                return err_oom(err);
        if (journal_list(api->catalog, NULL, true, UINT32_MAX, &walk.open, err) < 0)
                return -1;
        r = catalog_sites(api->catalog, walk_catalog, &walk, err);
        if (r == 0)
                r = sitecache_names(api->sites, walk_conf, &walk, err);
        op_list_done(&walk.open);
        return r < 0 ? -1 : answer_json(answer, 200, json_pack("{s:O}", "sites", sites), err);
}

static int held_names(const struct op_list *open, json_t *held, json_t *operations,
                      const char *state, struct err *err)
{
        for (size_t i = 0; i < open->n; i++) {
                const struct op *op = &open->items[i];

                if (json_array_append_new(operations, view_operation(op, state, false)) < 0 ||
                    (op->state == OP_HELD &&
                     json_array_append_new(held, json_string(op->site)) < 0))
                        return err_oom(err);
        }
        return 0;
}

static int count_one(const char *name, void *arg, struct err *err)
{
        (void)name;
        (void)err;
        ++*(json_int_t *)arg;
        return 0;
}

int route_status(struct api *api, const struct call *call, const struct target *target,
                 struct answer *answer, struct err *err)
{
        CLEANUP(json_decrefp) json_t *held = json_array();
        CLEANUP(json_decrefp) json_t *operations = json_array();
        struct op_list open;
        json_int_t sites = 0;
        int r;

        (void)call;
        (void)target;
        if (catalog_sites(api->catalog, count_one, &sites, err) < 0 ||
            journal_list(api->catalog, NULL, true, UINT32_MAX, &open, err) < 0)
                return -1;
        r = held_names(&open, held, operations, api->dirs->state, err);
        op_list_done(&open);
        if (r < 0)
                return -1;
        return answer_json(
                answer, 200,
                json_pack("{s:s, s:i, s:I, s:I, s:O, s:O}", "version", SITESNAP_VERSION, "pid",
                          (int)getpid(), "uptime_sec",
                          (json_int_t)((clock_boot_usec() - api->started_usec) / USEC_PER_SEC),
                          "sites", sites, "operations", operations, "held", held),
                err);
}

int route_site(struct api *api, const struct call *call, const struct target *target,
               struct answer *answer, struct err *err)
{
        struct catalog_site catalog = { 0 };
        struct front_temporary temporary;
        struct op_list open;
        bool configured, in_catalog;
        json_t *view;
        int r;

        (void)call;
        (void)sitecache_site(api->sites, target->name, &configured);
        in_catalog = catalog_site(api->catalog, target->name, &catalog, err) == 0;
        if (!in_catalog && (err->code != ERR_NOT_FOUND || !configured))
                return -1;
        if (journal_list(api->catalog, target->name, true, 1, &open, err) < 0) {
                if (in_catalog)
                        catalog_site_done(&catalog);
                return -1;
        }
        view = view_site(target->name, in_catalog ? &catalog : NULL,
                         sitecache_site(api->sites, target->name, NULL),
                         open_of(&open, target->name));
        r = front_temporary(api->catalog, target->name, &temporary, err);
        if (r >= 0) {
                (void)json_object_set_new(view, "temporary",
                                          r > 0 ? view_temporary(&temporary) : json_null());
                r = guard_add(api, target->name, true, view, err);
        }
        if (r >= 0)
                r = answer_json(answer, 200, view, err);
        else
                json_decref(view);
        op_list_done(&open);
        if (in_catalog)
                catalog_site_done(&catalog);
        return r;
}

int route_site_check(struct api *api, const struct call *call, const struct target *target,
                     struct answer *answer, struct err *err)
{
        (void)api;
        (void)call;
        return answer_ask(answer, json_pack("{s:s, s:s}", "query", "check", "site", target->name),
                          err);
}

int route_probes_run(struct api *api, const struct call *call, const struct target *target,
                     struct answer *answer, struct err *err)
{
        (void)api;
        (void)call;
        return answer_ask(answer, json_pack("{s:s, s:s}", "query", "probe", "site", target->name),
                          err);
}

int route_web_config(struct api *api, const struct call *call, const struct target *target,
                     struct answer *answer, struct err *err)
{
        const char *server = call_arg(call, "server");

        (void)api;
        if (server == NULL || (strcmp(server, "nginx") != 0 && strcmp(server, "apache") != 0 &&
                               strcmp(server, "quarantine") != 0))
                return err_fail(err, ERR_INVALID, 0, "'server' is nginx, apache or quarantine");
        return answer_ask(answer,
                          json_pack("{s:s, s:s, s:s}", "query", "web-config", "site", target->name,
                                    "server", server),
                          err);
}

/* A member that decides whether something happens at all is never guessed at. */
static int dry_run_of(const json_t *body, bool *ret_dry_run, struct err *err)
{
        const json_t *member = json_object_get(body, "dry_run");

        if (member != NULL && !json_is_boolean(member))
                return err_fail(err, ERR_INVALID, 0, "'dry_run' is true or false");
        *ret_dry_run = json_is_true(member);
        return 0;
}

static int request_begin(struct api *api, const struct call *call, const char *site,
                         const json_t *request, struct answer *answer, struct err *err)
{
        bool dry_run = false;
        op_id id;

        if (dry_run_of(request, &dry_run, err) < 0)
                return -1;
        if (dry_run)
                return answer_ask(answer,
                                  json_pack("{s:s, s:s, s:O}", "query", "plan", "site", site,
                                            "request", request),
                                  err);
        if (request_submit(api->dirs, api->catalog, site, request, call->peer.uid, NULL, &id, err) <
            0)
                return -1;
        spawner_start(api->spawner, id);
        return answer_json(answer, 202, json_pack("{s:I}", "operation", (json_int_t)id), err);
}

int route_begin(struct api *api, const struct call *call, const struct target *target,
                struct answer *answer, struct err *err)
{
        if (strcmp(json_get_string(call->body, "verb"), "add") == 0)
                return err_fail(err, ERR_INVALID, 0, "a site is added by POST /v1/sites");
        return request_begin(api, call, target->name, call->body, answer, err);
}

/* Adding is a request as every other; only its site is not there yet. */
int route_site_add(struct api *api, const struct call *call, const struct target *target,
                   struct answer *answer, struct err *err)
{
        CLEANUP(json_decrefp) json_t *request = json_deep_copy(call->body);
        const char *name = json_get_string(call->body, "name");

        (void)target;
        if (request == NULL)
                return err_oom(err);
        if (name == NULL || json_object_get(request, "verb") != NULL)
                return err_fail(err, ERR_INVALID, 0,
                                name == NULL ? "the request has no 'name'"
                                             : "the member 'verb' is unknown");
        if (site_name_valid(name, err) < 0)
                return -1;
        if (json_object_set_new(request, "verb", json_string("add")) < 0)
                return err_oom(err);
        return request_begin(api, call, name, request, answer, err);
}
