/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/safepath.h"
#include "snapd/fault.h"
#include "snapd/front.h"
#include "snapd/routes_call.h"
#include "snapd/view.h"

#define FOR_MAX_SEC (366 * 86400)

/* In one commit with the row, so that a link is never shown that leads nowhere: a write that fails
 * takes the row back. */
static int render(struct api *api, const struct target *target, struct err *err)
{
        CLEANUP(closep) int home_fd = -1;

        if (target->site == NULL)
                return err_fail(err, ERR_INVALID, 0,
                                "the configuration of '%s' cannot be read: see 'site check'",
                                target->name);
        if (safepath_open_trusted(target->site->home, &home_fd, err) < 0)
                return -1;
        return front_render(api->catalog, target->site, home_fd, err);
}

/* Is there something to be seen at versions/N?  1, 0; -1 also for one that is not there. */
static int is_shown(struct api *api, const struct target *target, uint64_t number, struct err *err)
{
        struct catalog_site site;
        struct version version;
        bool shown;

        if (catalog_site(api->catalog, target->name, &site, err) < 0)
                return -1;
        shown = number == site.active || number == site.last_good;
        catalog_site_done(&site);
        if (catalog_version(api->catalog, target->name, number, &version, err) < 0)
                return -1;
        shown |= version.mounted && version.state != VERSION_PRUNING;
        version_done(&version);
        return shown;
}

static json_t *view_pass(struct api *api, const struct target *target,
                         const struct front_pass *pass)
{
        struct err ignored;

        return json_pack("{s:s, s:s, s:I, s:b, s:o, s:o, s:o}", "kind",
                         pass->kind == FRONT_LINK ? "link" : "from", "name", pass->name, "version",
                         (json_int_t)pass->version, "shown",
                         is_shown(api, target, pass->version, &ignored) > 0, "until",
                         view_time(pass->until_usec), "created", view_time(pass->created_usec),
                         "by", view_user(pass->by));
}

int route_passes(struct api *api, const struct call *call, const struct target *target,
                 struct answer *answer, struct err *err)
{
        CLEANUP(json_decrefp) json_t *array = json_array();
        struct front_temporary temporary;
        struct front_passes passes;
        int has = front_temporary(api->catalog, target->name, &temporary, err);

        (void)call;
        if (has < 0 || front_passes(api->catalog, target->name, &passes, err) < 0)
                return -1;
        for (size_t i = 0; i < passes.n; i++)
                (void)json_array_append_new(array, view_pass(api, target, &passes.items[i]));
        front_passes_done(&passes);
        return answer_json(answer, 200,
                           json_pack("{s:s, s:o, s:O}", "site", target->name, "temporary",
                                     has ? view_temporary(&temporary) : json_null(), "passes",
                                     array),
                           err);
}

static int pass_read(const json_t *body, struct front_pass *pass, struct err *err)
{
        const json_t *seconds = json_object_get(body, "for_sec");
        const char *address = json_get_string(body, "address");
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)body, key, value)
                if (strcmp(key, "version") != 0 && strcmp(key, "address") != 0 &&
                    strcmp(key, "for_sec") != 0)
                        return err_fail(err, ERR_INVALID, 0, "the member '%.40s' is unknown", key);
        if (seconds != NULL && (!json_is_integer(seconds) || json_integer_value(seconds) < 1 ||
                                json_integer_value(seconds) > FOR_MAX_SEC))
                return err_fail(err, ERR_INVALID, 0, "'for_sec' is from 1 to %d", FOR_MAX_SEC);
        pass->version = json_get_u64(body, "version");
        pass->created_usec = clock_wall_usec();
        if (seconds != NULL)
                pass->until_usec = pass->created_usec + json_integer_value(seconds) * USEC_PER_SEC;
        if (json_object_get(body, "address") == NULL) {
                pass->kind = FRONT_LINK;
                return front_token(pass->name, err);
        }
        pass->kind = FRONT_FROM;
        return front_address(address == NULL ? "" : address, pass->name, err);
}

/* The web server looks whether the version is there at each request, and says that it is gone when
 * it is not. */
static int check_shown(struct api *api, const struct target *target, uint64_t number,
                       struct err *err)
{
        int shown = is_shown(api, target, number, err);

        if (shown == 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "version %" PRIu64 " of '%s' is not mounted, so nobody can be led "
                                "there: '" SITESNAP_CTL " mount %s %" PRIu64 "' first",
                                number, target->name, target->name, number);
        return shown < 0 ? -1 : 0;
}

static int commit(struct api *api, const struct target *target, int ret, struct err *err)
{
        struct err ignored;

        if (ret == 0)
                ret = render(api, target, err);
        fault_point("", "passes", "before"); /* what is seen and what is written differ here */
        if (ret == 0)
                ret = catalog_commit(api->catalog, err);
        fault_point("", "passes", "after");
        if (ret == 0 && api->expiry != NULL)
                expiry_news(api->expiry);
        if (ret == 0)
                return 0;
        catalog_rollback(api->catalog);
        (void)!render(api, target, &ignored);
        return -1;
}

int route_pass_add(struct api *api, const struct call *call, const struct target *target,
                   struct answer *answer, struct err *err)
{
        struct front_pass pass = { .by = call->peer.uid };

        if (pass_read(call->body, &pass, err) < 0 ||
            check_shown(api, target, pass.version, err) < 0 ||
            catalog_begin(api->catalog, err) < 0 ||
            commit(api, target, front_put_pass(api->catalog, target->name, &pass, err), err) < 0)
                return -1;
        return answer_json(answer, 201, view_pass(api, target, &pass), err);
}

int route_pass_drop(struct api *api, const struct call *call, const struct target *target,
                    struct answer *answer, struct err *err)
{
        const char *name = json_get_string(call->body, "name");

        if (name == NULL || json_object_size(call->body) != 1)
                return err_fail(err, ERR_INVALID, 0, "the one member is 'name'");
        if (catalog_begin(api->catalog, err) < 0 ||
            commit(api, target, front_drop_pass(api->catalog, target->name, name, err), err) < 0)
                return -1;
        return answer_json(answer, 200, json_pack("{s:s}", "name", name), err);
}
