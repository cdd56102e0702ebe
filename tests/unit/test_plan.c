/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "snapd/plan_verb.h"
#include "snapd/request.h"
#include "tests/lib/test.h"

/*
 * Plans are data, so they are tested as data: the kinds in their order, where the point of no
 * return is, and what is refused.
 */
static struct err err;
static struct step_env env;
static struct dirs dirs;
static struct plan_facts facts;
static json_t *request;

static void put(uint64_t number, enum version_state state, enum version_mark mark, int64_t active)
{
        struct version version = {
                .number = number,
                .state = state,
                .mark = mark,
                .tree = 10 + number,
                .database = (char *)(number % 2 ? "snap1_shop" : "snap2_shop"),
                .label = (char *)"",
                .reason = (char *)"",
                .mark_reason = (char *)"broken",
                .verb = (char *)"upgrade",
                .created_usec = clock_wall_usec() - (int64_t)(100 - number) * USEC_PER_SEC,
                .active_usec = active,
                .files_bytes = 1000,
                .freed_bytes = 100,
        };
        uint64_t taken;

        ASSERT_OK(catalog_take(env.catalog, "version:shop", 1, &taken, &err));
        ASSERT_EQ(taken, number);
        ASSERT_OK(catalog_put_version(env.catalog, "shop", &version, &err));
}

/* Versions 1 to 4: 4 is active, 3 bad, 2 was active after 1. */
static void world(const char *verb, const char *text)
{
        static struct site *site;
        uint64_t tree;

        dirs.state_fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY);
        ASSERT_OK(catalog_open(dirs.state_fd, &env.catalog, &err));
        env.dirs = &dirs;
        ASSERT_OK(site_new("shop", &site, &err));
        site->docroot = strdup("/var/www/shop");
        site->home = strdup("/srv/shop");
        site->database.engine = strdup("sqlite");
        site->database.path = strdup("/var/lib/shop");
        env.site = site;
        ASSERT_OK(catalog_add_site(env.catalog, "shop", "fake", "/pool", &err));
        ASSERT_OK(catalog_take(env.catalog, "tree", 20, &tree, &err));
        put(1, VERSION_KEPT, MARK_NONE, 100);
        put(2, VERSION_KEPT, MARK_NONE, 200);
        put(3, VERSION_KEPT, MARK_BAD, 300);
        put(4, VERSION_ACTIVE, MARK_NONE, 400);
        ASSERT_OK(json_parse(text, strlen(text), &request, &err));
        ASSERT_OK(plan_facts_load(env.catalog, "shop", verb, request, 0, &facts, &err));
}

static void assert_plan(size_t pivot, const char *main_part, const char *rescue_part)
{
        const char *const want[] = { main_part, rescue_part };
        struct plan plan = { 0 };
        uint64_t version;

        ASSERT_OK(catalog_begin(env.catalog, &err));
        ASSERT_OK(plan_make(&env, &facts, &plan, &version, &err));
        ASSERT_OK(catalog_commit(env.catalog, &err));
        for (int part = 0; part < PLAN_PARTS; part++) {
                char got[2048] = "";
                int n = 0;

                for (size_t i = 0; i < plan.parts[part].n; i++)
                        n += snprintf(got + n, sizeof(got) - (size_t)n, "%s%s", i == 0 ? "" : " ",
                                      plan.parts[part].steps[i].kind->name);
                ASSERT_STR(got, want[part]);
        }
        ASSERT_EQ(plan.pivot, pivot);
        plan_done(&plan);
}

#define RESCUE                                                                                     \
        "fs.branch db.writable fs.mount fs.switch catalog.commit fs.drain db.writable "            \
        "fs.capture catalog.commit fs.retire"

TEST(an_upgrade_keeps_both_halves_at_one_instant_and_commits_before_the_command_runs)
{
        world("upgrade", "{\"verb\": \"upgrade\", \"command\": [\"/bin/true\"]}");
        assert_plan(
                9,
                "db.hold fs.capture db.release fs.mount fs.switch db.copy db.verify "
                "schema.note db.writable catalog.commit fs.retire hook.run schema.note fs.unmount",
                RESCUE);
}

TEST(a_staged_upgrade_is_served_when_its_command_has_ended_well)
{
        world("upgrade", "{\"verb\": \"upgrade\", \"staged\": true, \"command\": [\"/bin/true\"]}");
        facts.remounts = facts.probed = true;
        assert_plan(12,
                    "front.set db.hold fs.capture db.release fs.mount fs.cover db.copy db.verify "
                    "schema.note db.writable fs.mount fs.switch catalog.commit hook.run "
                    "schema.note fs.switch probe.run front.set fs.unmount",
                    "fs.branch db.writable fs.mount fs.switch catalog.commit front.set fs.drain "
                    "db.writable fs.capture catalog.commit fs.retire");
}

TEST(a_site_that_is_closed_is_open_again_before_it_is_probed)
{
        world("upgrade", "{\"verb\": \"upgrade\", \"staged\": true, \"closed\": true, "
                         "\"command\": [\"/bin/true\"]}");
        facts.probed = true;
        assert_plan(11,
                    "front.set db.hold fs.capture db.release fs.mount db.copy db.verify "
                    "schema.note db.writable fs.mount fs.switch catalog.commit hook.run "
                    "schema.note fs.switch front.set probe.run fs.unmount",
                    "fs.branch db.writable fs.mount fs.switch catalog.commit front.set fs.drain "
                    "db.writable fs.capture catalog.commit fs.retire");
}

TEST(closed_and_staged_is_closed_from_the_first_step_with_the_old_version_behind)
{
        struct plan plan = { 0 };
        uint64_t version;
        const json_t *to;

        world("upgrade", "{\"verb\": \"upgrade\", \"staged\": true, \"closed\": true, "
                         "\"command\": [\"/bin/true\"]}");
        ASSERT_OK(catalog_begin(env.catalog, &err));
        ASSERT_OK(plan_make(&env, &facts, &plan, &version, &err));
        catalog_rollback(env.catalog);
        ASSERT_STR(plan.parts[PLAN_MAIN].steps[0].kind->name, "front.set");
        to = json_object_get(plan.parts[PLAN_MAIN].steps[0].args, "to");
        ASSERT_STR(json_get_string(to, "mode"), "closed");
        ASSERT_EQ(json_get_u64(to, "version"), facts.active->number);
        ASSERT_EQ(json_get_u64(to, "back"), version);
        plan_done(&plan);
}

/* The same, the database on a server that says which names are taken. */
static int play_exists(struct db *db, const char *schema, bool *ret_exists, struct err *why)
{
        (void)db;
        (void)why;
        *ret_exists = strcmp(schema, "snap1_shop") == 0 || strcmp(schema, "snap2_shop") == 0;
        return 0;
}

static void world_with_server(const char *verb, const char *text)
{
        static const struct db_driver play = { .name = "play", .exists = play_exists };

        world(verb, text);
        free(STEAL(env.site->database.path));
        free(env.site->database.engine);
        env.site->database.engine = strdup("mariadb");
        env.site->database.name = strdup("wiki");
        env.database_driver = &play;
        env.database = (struct db *)&env; /* never looked into */
}

static struct version *version_of(uint64_t number)
{
        for (size_t i = 0; i < facts.versions.n; i++)
                if (facts.versions.items[i].number == number)
                        return &facts.versions.items[i];
        return NULL;
}

static const char *argument_of(const struct plan *plan, const char *kind, const char *key)
{
        for (size_t i = 0; i < plan->parts[PLAN_MAIN].n; i++)
                if (strcmp(plan->parts[PLAN_MAIN].steps[i].kind->name, kind) == 0)
                        return json_get_string(plan->parts[PLAN_MAIN].steps[i].args, key);
        return NULL;
}

TEST(a_copy_on_a_server_gets_a_name_that_nobody_there_has)
{
        struct plan plan = { 0 };
        uint64_t version;

        world_with_server("upgrade", "{\"verb\": \"upgrade\", \"command\": [\"/bin/true\"]}");
        ASSERT_OK(catalog_begin(env.catalog, &err));
        ASSERT_OK(plan_make(&env, &facts, &plan, &version, &err));
        ASSERT_OK(catalog_commit(env.catalog, &err));
        ASSERT_STR(argument_of(&plan, "db.copy", "to"), "snap3_shop");
        plan_done(&plan);
}

TEST(a_database_that_was_there_before_is_left_by_a_prune)
{
        world_with_server("prune", "{\"verb\": \"prune\", \"versions\": [1, 3]}");
        free(version_of(1)->database);
        version_of(1)->database = strdup("wiki");
        assert_plan(2,
                    "fs.unmount fs.unmount catalog.commit fs.remove db.leave fs.remove db.drop "
                    "catalog.commit",
                    "");
}

TEST(a_site_that_goes_keeps_the_database_it_has_and_its_files_name_it)
{
        struct plan plan = { 0 };
        uint64_t version;

        world_with_server("remove", "{\"verb\": \"remove\"}");
        free(version_of(2)->database);
        version_of(2)->database = strdup("wiki");
        ASSERT_OK(catalog_begin(env.catalog, &err));
        ASSERT_OK(plan_make(&env, &facts, &plan, &version, &err));
        ASSERT_OK(catalog_commit(env.catalog, &err));
        ASSERT_STR(argument_of(&plan, "fs.flatten", "database"), "snap2_shop");
        ASSERT_STR(argument_of(&plan, "db.leave", "database"), "wiki");
        ASSERT_STR(argument_of(&plan, "db.drop", "database"), "snap1_shop");
        ASSERT(argument_of(&plan, "share.in", "from") == NULL);
        plan_done(&plan);
}

TEST(a_site_with_a_server_is_added_where_its_database_lies)
{
        struct plan plan = { 0 };
        uint64_t version;

        world_with_server("add", "{\"verb\": \"add\", \"home\": \"/srv/shop\"}");
        facts.driver = &fs_driver_overlayfs;
        facts.pool = strdup("/pool");
        ASSERT_OK(catalog_begin(env.catalog, &err));
        ASSERT_OK(plan_make(&env, &facts, &plan, &version, &err));
        ASSERT_OK(catalog_commit(env.catalog, &err));
        ASSERT_STR(argument_of(&plan, "fs.mount", "database"), "wiki");
        ASSERT(argument_of(&plan, "share.out", "from") == NULL);
        plan_done(&plan);
}

TEST(a_database_is_never_migrated_down)
{
        struct version *active;

        world("upgrade", "{\"verb\": \"upgrade\", \"command\": [\"/bin/true\"],"
                         " \"label\": \"6.5.10\"}");
        active = version_of(4);
        free(active->label);
        active->label = strdup("6.10");
        ASSERT_OK(catalog_put_version(env.catalog, "shop", active, &err));
        ASSERT_ERR(request_check(&dirs, env.catalog, "shop", request, &err), ERR_REFUSED,
                   "'6.5.10' is older than '6.10', which version 4 of 'shop' is");
        ASSERT(json_object_set_new(request, "label", json_string("6.10.1")) == 0);
        ASSERT_OK(request_check(&dirs, env.catalog, "shop", request, &err));
        ASSERT(json_object_set_new(request, "label", json_string("spring release")) == 0);
        ASSERT_OK(request_check(&dirs, env.catalog, "shop", request, &err));
}

TEST(a_driver_that_remounts_covers_the_old_version_before_the_flip)
{
        world("upgrade", "{\"verb\": \"upgrade\", \"command\": [\"/bin/true\"]}");
        facts.remounts = true;
        assert_plan(10,
                    "db.hold fs.capture db.release fs.mount fs.cover fs.switch db.copy "
                    "db.verify schema.note db.writable catalog.commit fs.retire hook.run "
                    "schema.note fs.unmount",
                    RESCUE);
}

TEST(a_copy_that_needs_the_hold_is_made_within_it)
{
        world("upgrade", "{\"verb\": \"upgrade\", \"command\": [\"/bin/true\"]}");
        facts.copy_in_hold = true;
        assert_plan(
                9,
                "db.hold fs.capture db.copy db.release fs.mount fs.switch db.verify "
                "schema.note db.writable catalog.commit fs.retire hook.run schema.note fs.unmount",
                RESCUE);
}

TEST(activation_has_its_point_of_no_return_at_the_flip)
{
        world("activate", "{\"verb\": \"activate\", \"version\": 1}");
        assert_plan(3,
                    "fs.branch db.writable fs.mount fs.switch catalog.commit fs.drain "
                    "db.writable fs.capture catalog.commit fs.retire fs.unmount",
                    "");
}

TEST(mounting_can_be_taken_back_whole)
{
        world("mount", "{\"verb\": \"mount\", \"version\": 3}");
        assert_plan(2, "fs.mount catalog.commit", "");
}

TEST(prune_unmounts_before_it_removes_anything)
{
        world("prune", "{\"verb\": \"prune\", \"versions\": [1, 3]}");
        assert_plan(2,
                    "fs.unmount fs.unmount catalog.commit fs.remove db.drop fs.remove db.drop "
                    "catalog.commit",
                    "");
}

TEST(no_number_is_given_out_twice)
{
        struct plan plan = { 0 };
        uint64_t first, second;

        world("upgrade", "{\"verb\": \"upgrade\", \"command\": [\"/bin/true\"]}");
        ASSERT_OK(plan_make(&env, &facts, &plan, &first, &err));
        plan_done(&plan);
        ASSERT_OK(plan_make(&env, &facts, &plan, &second, &err));
        ASSERT_EQ(first, 5);
        ASSERT_EQ(second, 6);
        plan_done(&plan);
}

TEST(rollback_goes_to_the_version_that_was_active_last_and_is_not_bad)
{
        const struct version *to;

        world("rollback", "{\"verb\": \"rollback\"}");
        ASSERT_OK(plan_target(&facts, &to, &err));
        ASSERT_EQ(to->number, 2);
}

TEST(a_temporary_rollback_goes_back_to_no_version_that_is_bad_by_now)
{
        const struct version *to;

        world("forward", "{\"verb\": \"forward\"}");
        facts.has_temporary = true;
        facts.temporary = (struct front_temporary){ .mode = FRONT_OPEN, .version = 2, .back = 1 };
        ASSERT_OK(plan_target(&facts, &to, &err));
        ASSERT_EQ(to->number, 1);
        facts.temporary.back = 3;
        ASSERT_ERR(plan_target(&facts, &to, &err), ERR_REFUSED, "'mark 3 none'");
        facts.temporary.back = 9;
        ASSERT_ERR(plan_target(&facts, &to, &err), ERR_NOT_FOUND, "version 9");
}

TEST(forward_from_the_newest_is_nothing_to_do)
{
        const struct version *to;

        world("forward", "{\"verb\": \"forward\"}");
        ASSERT_ERR(plan_target(&facts, &to, &err), ERR_NOTHING, "version 4 is the newest");
}

TEST(the_active_version_is_not_activated_again_nor_unmounted)
{
        const struct version *to;

        world("activate", "{\"verb\": \"activate\", \"version\": 4}");
        ASSERT_ERR(plan_target(&facts, &to, &err), ERR_NOTHING, "active already");
        facts.verb = "umount";
        ASSERT_ERR(plan_target(&facts, &to, &err), ERR_REFUSED, "stays mounted");
}

static void assert_prune(const char *text, size_t want_n, const uint64_t *want)
{
        uint64_t *numbers;
        size_t n;

        json_decref(request);
        ASSERT_OK(json_parse(text, strlen(text), &request, &err));
        facts.request = request;
        ASSERT_OK(plan_prune_list(&env, &facts, &numbers, &n, &err));
        ASSERT_EQ(n, want_n);
        for (size_t i = 0; i < n; i++)
                ASSERT_EQ(numbers[i], want[i]);
        free(numbers);
}

TEST(prune_by_policy_never_takes_the_active_the_last_good_or_a_pinned_one)
{
        world("prune", "{}");
        assert_prune("{\"keep\": 1}", 2, (const uint64_t[]){ 1, 3 });
        facts.versions.items[0].pinned = true;
        assert_prune("{\"keep\": 1}", 1, (const uint64_t[]){ 3 });
}

TEST(prune_keeps_the_minimum_whatever_else_the_policy_says)
{
        uint64_t *numbers;
        size_t n;

        world("prune", "{}");
        env.site->keep = (struct site_keep){ .min = 3, .age_sec = 1 };
        assert_prune("{}", 1, (const uint64_t[]){ 1 });
        env.site->keep.min = 4;
        ASSERT_ERR(plan_prune_list(&env, &facts, &numbers, &n, &err), ERR_NOTHING, "no version");
}

TEST(prune_makes_the_free_space_that_is_asked_for_and_no_more)
{
        world("prune", "{}");
        env.site->keep = (struct site_keep){ .free_bytes = 1050 };
        facts.free_bytes = 1000;
        assert_prune("{}", 1, (const uint64_t[]){ 1 });
}

TEST(prune_names_what_protects_a_version)
{
        uint64_t *numbers;
        size_t n;

        world("prune", "{\"versions\": [1, 2]}");
        ASSERT_ERR(plan_prune_list(&env, &facts, &numbers, &n, &err), ERR_REFUSED,
                   "the last good one");
        json_decref(request);
        request = json_pack("{s:[i]}", "versions", 9);
        facts.request = request;
        ASSERT_ERR(plan_prune_list(&env, &facts, &numbers, &n, &err), ERR_NOT_FOUND, "version 9");
}

TEST(requests_have_no_unknown_members_and_none_of_the_wrong_type)
{
        static const struct {
                const char *verb, *request, *says;
        } bad[] = {
                { "activate", "{\"verb\": \"activate\", \"versoin\": 1}", "no 'versoin'" },
                { "activate", "{\"verb\": \"activate\", \"version\": \"1\"}", "wrong type" },
                { "activate", "{\"verb\": \"activate\", \"version\": -1}", "wrong type" },
                { "upgrade", "{\"verb\": \"upgrade\", \"command\": [\"sh\"]}", "absolute path" },
                { "upgrade", "{\"verb\": \"upgrade\", \"command\": [1]}", "wrong type" },
                { "prune", "{\"verb\": \"prune\", \"versions\": [0]}", "wrong type" },
        };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                ASSERT_OK(json_parse(bad[i].request, strlen(bad[i].request), &request, &err));
                ASSERT_ERR(plan_verb_check(plan_verb_by_name(bad[i].verb), request, &err),
                           ERR_INVALID, bad[i].says);
                json_decref(request);
        }
        ASSERT(plan_verb_by_name("no such") == NULL && plan_verb_by_name(NULL) == NULL);
}
