/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "snapd/routes.h"
#include "snapd/sweep.h"
#include "tests/lib/places.h"
#include "tests/lib/test.h"

/* Users that every system has. */
#define SHOP_UID     65534 /* nobody: owns shop, and may do everything an owner can be let do */
#define READ_UID     1     /* daemon: owns blog, and may read */
#define STRANGER_UID 2     /* bin: owns nothing */

/* An operation's process would be this program once more. */
__attribute__((constructor)) static void never_an_operation(int argc, char **argv)
{
        for (int i = 1; i < argc; i++)
                if (strcmp(argv[i], "--operation") == 0)
                        _exit(3);
}

static struct err err;
static sd_event *event;
static json_t *empty;
static struct dirs dirs;
static struct api api = { .dirs = &dirs };

static void conf_put(const char *name, const char *owner, const char *may)
{
        char file[64], lines[300];

        (void)snprintf(file, sizeof(file), "sites.d/%s.conf", name);
        (void)snprintf(lines, sizeof(lines), "[site]\nhome = /srv/%s\nowner = %s\nowner_may = %s\n",
                       name, owner, may);
        ASSERT_OK(file_replace(dirs.conf_fd, file, lines, strlen(lines), 0644, &err));
}

static void site_put(const char *name)
{
        struct version version = { .number = 1, .label = (char *)"one", .verb = (char *)"add" };

        ASSERT_OK(catalog_add_site(api.catalog, name, "overlayfs", "/", &err));
        ASSERT_OK(catalog_put_version(api.catalog, name, &version, &err));
}

/* shop and blog with an ended operation each (1 and 2), and news, which is only configured. */
static void begin(void)
{
        op_id id;

        places_begin(&dirs);
        ASSERT_OK(catalog_open(dirs.state_fd, &api.catalog, &err));
        ASSERT_OK(sitecache_open(&dirs, &api.sites, &err));
        ASSERT_OK(outbox_open(dirs.state_fd, &api.outbox, &err));
        ASSERT(sd_event_new(&event) >= 0 && (empty = json_object()) != NULL);
        ASSERT_OK(spawner_open(event, &dirs, api.catalog, &api.spawner, &err));
        conf_put("shop", "nobody", "read mark mount activate upgrade prune");
        conf_put("blog", "daemon", "read");
        conf_put("news", "daemon", "read");
        site_put("shop");
        site_put("blog");
        for (int i = 0; i < 2; i++) {
                ASSERT_OK(journal_queue(api.catalog, i == 0 ? "shop" : "blog", "activate", empty, 0,
                                        &id, &err));
                ASSERT_EQ(id, i + 1);
                ASSERT_OK(journal_state(api.catalog, id, OP_FAILED, NULL, &err));
        }
}

static struct call call_of(const char *method, const char *path, uid_t uid)
{
        return (struct call){ .method = method,
                              .path = path,
                              .peer = { .uid = uid, .gid = uid, .admin = uid == 0 },
                              .arrived_usec = clock_boot_usec() };
}

static void arg_add(struct call *call, const char *name, const char *value)
{
        call->args[call->n_args].name = name;
        call->args[call->n_args++].value = value;
}

static json_t *json_of(const char *from)
{
        json_t *json;

        ASSERT_OK(json_parse(from, strlen(from), &json, &err));
        return json;
}

/* The last of each; what is in a global is no leak. */
static struct answer answer;
static json_t *body_json;
static char *text;

static int route(struct call *call)
{
        json_decref(answer.json);
        answer.json = NULL;
        memset(&err, 0, sizeof(err));
        if (routes_answer(&api, call, &answer, &err) < 0)
                return -1;
        if (answer.text != NULL && answer.type == NULL)
                answer.json = json_of(answer.text);
        free(STEAL(answer.text));
        return 0;
}

static int ask(const char *method, const char *path, uid_t uid, const char *body)
{
        struct call call = call_of(method, path, uid);

        json_decref(body_json);
        call.body = body_json = body == NULL ? NULL : json_of(body);
        return route(&call);
}

static const char *answer_string(void)
{
        free(text);
        text = json_dumps(answer.json, JSON_COMPACT);
        return text;
}

/* What each of them gets from each route: granted, denied, hidden. */
static const struct row {
        const char *method, *pattern, *path, *body;
        char shop, blog, stranger; /* the path is shop's; blog's owner is another site's owner */
        const char *own_path;      /* for blog's owner, who may only read ... */
        char own;                  /* ... there */
} rows[] = {
        { "GET", "/v1", "/v1", NULL, 'g', 'g', 'g', "/v1", 'g' },
        { "GET", "/v1/status", "/v1/status", NULL, 'd', 'd', 'd', "/v1/status", 'd' },
        { "GET", "/v1/metrics", "/v1/metrics", NULL, 'd', 'd', 'd', "/v1/metrics", 'd' },
        { "GET", "/v1/sites", "/v1/sites", NULL, 'g', 'g', 'g', "/v1/sites", 'g' },
        { "POST", "/v1/sites", "/v1/sites", "{\"x\": 1}", 'd', 'd', 'd', "/v1/sites", 'd' },
        { "GET", "/v1/sites/{site}", "/v1/sites/shop", NULL, 'g', 'h', 'h', "/v1/sites/blog", 'g' },
        { "GET", "/v1/sites/{site}/probes", "/v1/sites/shop/probes", NULL, 'g', 'h', 'h',
          "/v1/sites/blog/probes", 'g' },
        { "POST", "/v1/sites/{site}/probes/run", "/v1/sites/shop/probes/run", NULL, 'g', 'h', 'h',
          "/v1/sites/blog/probes/run", 'g' },
        { "GET", "/v1/sites/{site}/check", "/v1/sites/shop/check", NULL, 'g', 'h', 'h',
          "/v1/sites/blog/check", 'g' },
        { "GET", "/v1/sites/{site}/versions", "/v1/sites/shop/versions", NULL, 'g', 'h', 'h',
          "/v1/sites/blog/versions", 'g' },
        { "GET", "/v1/sites/{site}/versions/{version}", "/v1/sites/shop/versions/1", NULL, 'g', 'h',
          'h', "/v1/sites/blog/versions/1", 'g' },
        { "PATCH", "/v1/sites/{site}/versions/{version}", "/v1/sites/shop/versions/1",
          "{\"pinned\": true}", 'g', 'h', 'h', "/v1/sites/blog/versions/1", 'd' },
        { "GET", "/v1/sites/{site}/diff", "/v1/sites/shop/diff", NULL, 'g', 'h', 'h',
          "/v1/sites/blog/diff", 'g' },
        { "GET", "/v1/sites/{site}/lost-writes", "/v1/sites/shop/lost-writes", NULL, 'g', 'h', 'h',
          "/v1/sites/blog/lost-writes", 'g' },
        { "GET", "/v1/sites/{site}/schema", "/v1/sites/shop/schema", NULL, 'g', 'h', 'h',
          "/v1/sites/blog/schema", 'g' },
        { "GET", "/v1/sites/{site}/schema-diff", "/v1/sites/shop/schema-diff", NULL, 'g', 'h', 'h',
          "/v1/sites/blog/schema-diff", 'g' },
        { "GET", "/v1/sites/{site}/web-config", "/v1/sites/shop/web-config", NULL, 'g', 'h', 'h',
          "/v1/sites/blog/web-config", 'g' },
        { "GET", "/v1/sites/{site}/passes", "/v1/sites/shop/passes", NULL, 'g', 'h', 'h',
          "/v1/sites/blog/passes", 'd' },
        { "POST", "/v1/sites/{site}/passes", "/v1/sites/shop/passes", "{\"version\": 9}", 'g', 'h',
          'h', "/v1/sites/blog/passes", 'd' },
        { "POST", "/v1/sites/{site}/passes/remove", "/v1/sites/shop/passes/remove",
          "{\"name\": \"x\"}", 'g', 'h', 'h', "/v1/sites/blog/passes/remove", 'd' },
        { "POST", "/v1/sites/{site}/notices", "/v1/sites/shop/notices", "{}", 'd', 'h', 'h',
          "/v1/sites/blog/notices", 'd' },
        { "POST", "/v1/sites/{site}/operations", "/v1/sites/shop/operations",
          "{\"verb\": \"upgrade\", \"nonsense\": 1}", 'g', 'h', 'h', "/v1/sites/blog/operations",
          'd' },
        { "POST", "/v1/sites/{site}/operations", "/v1/sites/shop/operations",
          "{\"verb\": \"remove\", \"nonsense\": 1}", 'd', 'h', 'h', "/v1/sites/blog/operations",
          'd' },
        { "POST", "/v1/sites/{site}/operations", "/v1/sites/shop/operations",
          "{\"verb\": \"unheard-of\"}", 'd', 'h', 'h', "/v1/sites/blog/operations", 'd' },
        { "GET", "/v1/operations", "/v1/operations", NULL, 'g', 'g', 'g', "/v1/operations", 'g' },
        { "GET", "/v1/operations/{operation}", "/v1/operations/1", NULL, 'g', 'h', 'h',
          "/v1/operations/2", 'g' },
        { "GET", "/v1/operations/{operation}/log", "/v1/operations/1/log", NULL, 'g', 'h', 'h',
          "/v1/operations/2/log", 'g' },
        { "POST", "/v1/operations/{operation}/abort", "/v1/operations/1/abort", NULL, 'g', 'h', 'h',
          "/v1/operations/2/abort", 'd' },
        { "POST", "/v1/operations/{operation}/resume", "/v1/operations/1/resume", NULL, 'd', 'h',
          'h', "/v1/operations/2/resume", 'd' },
        { "GET", "/v1/notices", "/v1/notices", NULL, 'd', 'd', 'd', "/v1/notices", 'd' },
        { "GET", "/v1/notices/check", "/v1/notices/check", NULL, 'd', 'd', 'd', "/v1/notices/check",
          'd' },
        { "POST", "/v1/notices/test", "/v1/notices/test", "{\"target\": \"x\"}", 'd', 'd', 'd',
          "/v1/notices/test", 'd' },
        { "POST", "/v1/notices/retry", "/v1/notices/retry", "{}", 'd', 'd', 'd',
          "/v1/notices/retry", 'd' },
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static char verdict(const char *method, const char *path, const char *body, uid_t uid)
{
        if (ask(method, path, uid, body) == 0)
                return 'g';
        if (err.code == ERR_DENIED)
                return 'd';
        if (strcmp(err.msg, "there is no site 'shop'") == 0 ||
            strcmp(err.msg, "there is no site 'blog'") == 0 ||
            strcmp(err.msg, "there is no operation 1") == 0 ||
            strcmp(err.msg, "there is no operation 2") == 0)
                return 'h';
        return 'g'; /* it came as far as its handler */
}

static void expect(const char *who, const struct row *row, const char *path, uid_t uid, char want)
{
        char got = verdict(row->method, path, row->body, uid);

        if (got != want)
                test_fail(__FILE__, __LINE__, "%s: %s %s is '%c', not '%c' (%s)", who, row->method,
                          path, got, want, err.msg);
}

TEST(every_route_for_everybody)
{
        begin();
        for (size_t i = 0; i < N_ROWS; i++) {
                expect("root", &rows[i], rows[i].path, 0, 'g');
                expect("owner", &rows[i], rows[i].path, SHOP_UID, rows[i].shop);
                expect("other owner", &rows[i], rows[i].path, READ_UID, rows[i].blog);
                expect("stranger", &rows[i], rows[i].path, STRANGER_UID, rows[i].stranger);
                expect("reader", &rows[i], rows[i].own_path, READ_UID, rows[i].own);
        }
}

static void in_rows(const char *method, const char *pattern, void *arg)
{
        (void)arg;
        for (size_t i = 0; i < N_ROWS; i++)
                if (strcmp(rows[i].method, method) == 0 && strcmp(rows[i].pattern, pattern) == 0)
                        return;
        test_fail(__FILE__, __LINE__, "%s %s is not tested", method, pattern);
}

TEST(no_route_is_left_out)
{
        routes_visit(in_rows, NULL);
}

/* Not even the words differ. */
TEST(a_hidden_site_is_as_one_that_is_not_there)
{
        char hidden[512];

        begin();
        ASSERT(ask("GET", "/v1/sites/shop", STRANGER_UID, NULL) < 0);
        ASSERT_EQ(err.code, ERR_NOT_FOUND);
        (void)snprintf(hidden, sizeof(hidden), "%s", err.msg);
        ASSERT(ask("GET", "/v1/sites/nope", STRANGER_UID, NULL) < 0);
        ASSERT_EQ(err.code, ERR_NOT_FOUND);
        ASSERT_STR(hidden, "there is no site 'shop'");
        ASSERT_STR(err.msg, "there is no site 'nope'");
        ASSERT(ask("GET", "/v1/operations/99", STRANGER_UID, NULL) < 0);
        ASSERT_STR(err.msg, "there is no operation 99");

        /* A complaint about the form comes only to those who may see. */
        ASSERT(ask("POST", "/v1/sites/shop/operations", STRANGER_UID, "[]") < 0);
        ASSERT_STR(err.msg, "there is no site 'shop'");
        ASSERT(ask("PATCH", "/v1/sites/shop/versions/1", STRANGER_UID, "{\"x\": 1}") < 0);
        ASSERT_STR(err.msg, "there is no site 'shop'");
}

TEST(lists_hold_what_the_peer_may_see)
{
        begin();
        ASSERT_OK(ask("GET", "/v1/sites", 0, NULL));
        ASSERT_EQ(json_array_size(json_object_get(answer.json, "sites")), 3);
        ASSERT_OK(ask("GET", "/v1/sites", READ_UID, NULL));
        ASSERT_EQ(json_array_size(json_object_get(answer.json, "sites")), 2);
        ASSERT(strstr(answer_string(), "shop") == NULL);
        ASSERT(strstr(answer_string(), "\"state\":\"unadopted\"") != NULL);
        ASSERT_OK(ask("GET", "/v1/sites", STRANGER_UID, NULL));
        ASSERT_STR(answer_string(), "{\"sites\":[]}");
        ASSERT_OK(ask("GET", "/v1/operations", 0, NULL));
        ASSERT_EQ(json_array_size(json_object_get(answer.json, "operations")), 2);
        ASSERT_OK(ask("GET", "/v1/operations", SHOP_UID, NULL));
        ASSERT_EQ(json_array_size(json_object_get(answer.json, "operations")), 1);
        ASSERT_OK(ask("GET", "/v1/operations", STRANGER_UID, NULL));
        ASSERT_STR(answer_string(), "{\"operations\":[]}");
}

TEST(operations_of_one_site_are_its_owners)
{
        struct call call;

        begin();
        call = call_of("GET", "/v1/operations", READ_UID);
        arg_add(&call, "site", "shop");
        ASSERT_ERR(route(&call), ERR_NOT_FOUND, "there is no site 'shop'");
        call.peer.uid = SHOP_UID;
        ASSERT_OK(route(&call));
        ASSERT(strstr(answer_string(), "\"id\":1") != NULL);
}

TEST(a_site_whose_file_broke_is_the_administrators)
{
        begin();
        ASSERT_OK(file_replace(dirs.conf_fd, "sites.d/shop.conf", "x", 1, 0644, &err));
        ASSERT_EQ(verdict("GET", "/v1/sites/shop", NULL, SHOP_UID), 'h');
        ASSERT_OK(ask("GET", "/v1/sites/shop", 0, NULL));
        ASSERT(strstr(answer_string(), "\"home\":null") != NULL);
}

TEST(what_the_table_does_not_know_is_refused)
{
        begin();
        ASSERT_ERR(ask("GET", "/", 0, NULL), ERR_NOT_FOUND, "no '/' in this API");
        ASSERT_ERR(ask("GET", "/v1/", 0, NULL), ERR_NOT_FOUND, "no '/v1/'");
        ASSERT_ERR(ask("GET", "/v1/sites/", 0, NULL), ERR_NOT_FOUND, "in this API");
        ASSERT_ERR(ask("GET", "/v1/sites/shop/", 0, NULL), ERR_NOT_FOUND, "in this API");
        ASSERT_ERR(ask("GET", "/v2", 0, NULL), ERR_NOT_FOUND, "in this API");
        ASSERT_ERR(ask("DELETE", "/v1/sites/shop", 0, NULL), ERR_INVALID, "'DELETE' cannot be");
        ASSERT_ERR(ask("get", "/v1", 0, NULL), ERR_INVALID, "'get' cannot be");
        ASSERT_ERR(ask("GET", "/v1/sites/..", 0, NULL), ERR_NOT_FOUND, "there is no site '..'");
        ASSERT_ERR(ask("GET", "/v1/sites/shop/versions/x", 0, NULL), ERR_INVALID, "not a version");
        ASSERT_ERR(ask("GET", "/v1/sites/shop/versions/-1", 0, NULL), ERR_INVALID, "not a version");
        ASSERT_ERR(ask("GET", "/v1/sites/shop/versions/9223372036854775808", 0, NULL), ERR_INVALID,
                   "not a version");
        ASSERT_ERR(ask("GET", "/v1/operations/9223372036854775808", 0, NULL), ERR_INVALID,
                   "not an operation");
        ASSERT_ERR(ask("GET", "/v1/sites/shop", 0, "{\"x\": 1}"), ERR_INVALID, "no body");
        ASSERT_ERR(ask("POST", "/v1/sites", 0, NULL), ERR_INVALID, "a JSON object");
        ASSERT_ERR(ask("POST", "/v1/sites", 0, "[1]"), ERR_INVALID, "a JSON object");
}

static int ask_arg(const char *path, const char *name, const char *value, const char *again)
{
        struct call call = call_of("GET", path, 0);

        arg_add(&call, name, value);
        if (again != NULL)
                arg_add(&call, name, again);
        return route(&call);
}

TEST(arguments_are_checked)
{
        begin();
        ASSERT_ERR(ask_arg("/v1", "x", "1", NULL), ERR_INVALID, "argument 'x'");
        ASSERT_ERR(ask_arg("/v1/operations", "limit", "1", "1"), ERR_INVALID, "'limit'");
        ASSERT_ERR(ask_arg("/v1/operations", "limit", "0", NULL), ERR_INVALID, "1 to 1000");
        ASSERT_ERR(ask_arg("/v1/operations", "limit", "1001", NULL), ERR_INVALID, "1 to 1000");
        ASSERT_ERR(ask_arg("/v1/operations", "limit", "", NULL), ERR_INVALID, "'limit'");
        ASSERT_ERR(ask_arg("/v1/operations", "limit", "+1", NULL), ERR_INVALID, "'limit'");
        ASSERT_ERR(ask_arg("/v1/operations/1", "wait_msec", "30001", NULL), ERR_INVALID, "30000");
        ASSERT_ERR(ask_arg("/v1/sites/shop/web-config", "server", "iis", NULL), ERR_INVALID,
                   "nginx, apache or quarantine");
        ASSERT_ERR(ask_arg("/v1/sites/shop/diff", "from", "1", NULL), ERR_INVALID, "'to'");
        ASSERT_OK(ask_arg("/v1/operations", "limit", "1", NULL));
        ASSERT_EQ(json_array_size(json_object_get(answer.json, "operations")), 1);
}

TEST(a_name_that_is_used_again_does_not_tell_of_its_former_life)
{
        op_id id;

        begin();
        ASSERT_OK(journal_queue(api.catalog, "shop", "add", empty, 0, &id, &err));
        ASSERT_EQ(id, 3);
        ASSERT_OK(ask("GET", "/v1/operations", SHOP_UID, NULL));
        ASSERT_EQ(json_array_size(json_object_get(answer.json, "operations")), 1);
        ASSERT_OK(ask_arg("/v1/operations", "site", "shop", NULL));
        ASSERT_EQ(json_array_size(json_object_get(answer.json, "operations")), 2);
        ASSERT_OK(ask("GET", "/v1/operations/3", SHOP_UID, NULL));
        ASSERT_ERR(ask("GET", "/v1/operations/1", SHOP_UID, NULL), ERR_NOT_FOUND,
                   "there is no operation 1");
        ASSERT_ERR(ask("GET", "/v1/operations/1/log", SHOP_UID, NULL), ERR_NOT_FOUND, "");
        ASSERT_OK(ask("GET", "/v1/operations/1", 0, NULL));
        ASSERT(strstr(answer_string(), "\"log\":null") != NULL);
}

TEST(what_forgotten_operations_printed_goes)
{
        CLEANUP(closep) int old_fd = -1, own_fd = -1;

        begin();
        ASSERT_OK(dirs_op(&dirs, 1, &own_fd, &err));
        ASSERT_OK(dirs_op(&dirs, 99, &old_fd, &err));
        ASSERT_OK(file_replace(old_fd, "output", "x", 1, 0600, &err));
        ASSERT_OK(file_replace(own_fd, "output", "x", 1, 0600, &err));
        ASSERT_OK(sweep_outputs(&dirs, api.catalog, &err));
        ASSERT(faccessat(dirs.state_fd, "ops/99", F_OK, 0) < 0);
        ASSERT_EQ(faccessat(dirs.state_fd, "ops/1/output", F_OK, 0), 0);
        ASSERT_OK(ask("GET", "/v1/operations/1", 0, NULL));
        ASSERT(strstr(answer_string(), "/ops/1/output\"") != NULL);
}

TEST(versions_come_as_objects_or_as_rows)
{
        begin();
        ASSERT_OK(ask_arg("/v1/sites/shop/versions", "members", "number", NULL));
        ASSERT_EQ(
                json_get_u64(json_array_get(json_object_get(answer.json, "versions"), 0), "number"),
                1);
        ASSERT(json_object_get(answer.json, "members") == NULL);
        ASSERT_OK(ask_arg("/v1/sites/shop/versions", "rows", "1", NULL));
        ASSERT_EQ(json_array_size(json_object_get(answer.json, "members")),
                  json_array_size(json_array_get(json_object_get(answer.json, "versions"), 0)));
        ASSERT_ERR(ask_arg("/v1/sites/shop/versions", "rows", "yes", NULL), ERR_INVALID, "'rows'");
}

TEST(a_change_of_a_version_is_exact)
{
        begin();
        ASSERT_OK(ask("PATCH", "/v1/sites/shop/versions/1", SHOP_UID,
                      "{\"mark\": \"bad\", \"reason\": \"white page\"}"));
        ASSERT(strstr(answer_string(), "[\"active\",\"bad\",\"mounted\"]") != NULL);
        ASSERT(strstr(answer_string(), "\"mark_reason\":\"white page\"") != NULL);
        ASSERT_OK(ask("PATCH", "/v1/sites/shop/versions/1", 0, "{\"pinned\": true}"));
        ASSERT(strstr(answer_string(), "[\"active\",\"bad\",\"pinned\",\"mounted\"]") != NULL);
        ASSERT_OK(ask("PATCH", "/v1/sites/shop/versions/1", 0,
                      "{\"mark\": \"none\", \"pinned\": false}"));
        ASSERT(strstr(answer_string(), "[\"active\",\"mounted\"]") != NULL);
        ASSERT_ERR(ask("PATCH", "/v1/sites/shop/versions/1", 0, "{}"), ERR_INVALID, "neither");
        ASSERT_ERR(ask("PATCH", "/v1/sites/shop/versions/1", 0, "{\"mark\": \"great\"}"),
                   ERR_INVALID, "'mark'");
        ASSERT_ERR(ask("PATCH", "/v1/sites/shop/versions/1", 0, "{\"pinned\": 1}"), ERR_INVALID,
                   "'pinned'");
        ASSERT_ERR(ask("PATCH", "/v1/sites/shop/versions/1", 0, "{\"pinned\": true, \"tree\": 7}"),
                   ERR_INVALID, "'tree'");
        ASSERT_ERR(ask("PATCH", "/v1/sites/shop/versions/1", 0,
                       "{\"pinned\": true, \"reason\": \"x\"}"),
                   ERR_INVALID, "'reason'");
        ASSERT_ERR(ask("PATCH", "/v1/sites/shop/versions/7", 0, "{\"pinned\": true}"),
                   ERR_NOT_FOUND, "7");

        /* A refused change left no transaction behind. */
        ASSERT_OK(catalog_begin(api.catalog, &err));
        catalog_rollback(api.catalog);
}

TEST(a_dry_run_asks_and_begins_nothing)
{
        begin();
        ASSERT_OK(ask("POST", "/v1/sites/shop/operations", SHOP_UID,
                      "{\"verb\": \"upgrade\", \"dry_run\": true}"));
        ASSERT_EQ(answer.kind, ANSWER_ASK);
        ASSERT_STR(answer_string(), "{\"query\":\"plan\",\"site\":\"shop\",\"request\":{\"verb\":"
                                    "\"upgrade\",\"dry_run\":true}}");
        ASSERT_ERR(ask("POST", "/v1/sites/shop/operations", SHOP_UID,
                       "{\"verb\": \"upgrade\", \"dry_run\": \"true\"}"),
                   ERR_INVALID, "dry_run");
        ASSERT_OK(ask("POST", "/v1/sites", 0, "{\"name\": \"new\", \"dry_run\": true}"));
        ASSERT_STR(answer_string(), "{\"query\":\"plan\",\"site\":\"new\",\"request\":{\"name\":"
                                    "\"new\",\"dry_run\":true,\"verb\":\"add\"}}");
        ASSERT_ERR(ask("POST", "/v1/sites", 0, "{\"name\": \"new\", \"verb\": \"remove\"}"),
                   ERR_INVALID, "'verb'");
        ASSERT_ERR(ask("POST", "/v1/sites/shop/operations", 0, "{\"verb\": \"add\"}"), ERR_INVALID,
                   "POST /v1/sites");
        ASSERT_ERR(ask("POST", "/v1/sites/shop/operations", 0, "{\"verb\": 7}"), ERR_INVALID,
                   "no 'verb'");
}

TEST(waiting_ends_with_news_with_time_and_with_the_operation)
{
        struct call call;
        char since[32];
        op_id id;

        begin();
        ASSERT_OK(journal_queue(api.catalog, "shop", "activate", empty, 0, &id, &err));
        call = call_of("GET", "/v1/operations/3", SHOP_UID);
        (void)snprintf(since, sizeof(since), "%llu",
                       (unsigned long long)journal_seq(api.catalog, id));
        arg_add(&call, "since", since);
        arg_add(&call, "wait_msec", "20000");
        ASSERT_OK(route(&call));
        ASSERT_EQ(answer.kind, ANSWER_WAIT);
        ASSERT_EQ(answer.until_usec, call.arrived_usec + 20000000);

        call.arrived_usec -= 20000000;
        ASSERT_OK(route(&call));
        ASSERT_EQ(answer.kind, ANSWER_JSON);

        call.arrived_usec = clock_boot_usec();
        ASSERT_OK(journal_ask_abort(api.catalog, id, &err));
        ASSERT_OK(route(&call));
        ASSERT_EQ(answer.kind, ANSWER_JSON);

        ASSERT_OK(journal_state(api.catalog, id, OP_FAILED, NULL, &err));
        (void)snprintf(since, sizeof(since), "%llu",
                       (unsigned long long)journal_seq(api.catalog, id));
        ASSERT_OK(route(&call));
        ASSERT_EQ(answer.kind, ANSWER_JSON);
        ASSERT(strstr(answer_string(), "\"state\":\"failed\"") != NULL);
}

static void output_put(op_id id, const char *bytes, size_t n)
{
        int dir_fd, fd;

        ASSERT_OK(dirs_op(&dirs, id, &dir_fd, &err));
        fd = openat(dir_fd, "output", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        ASSERT_OK(file_write_all(fd, bytes, n, &err));
        (void)close(fd);
        (void)close(dir_fd);
}

TEST(the_log_is_read_in_pieces_that_lose_no_character)
{
        char bytes[40000];
        struct call call;
        size_t total = 0;
        json_int_t offset = 0;

        begin();
        ASSERT_OK(ask("GET", "/v1/operations/1/log", SHOP_UID, NULL));
        ASSERT_STR(answer_string(), "{\"offset\":0,\"text\":\"\",\"done\":true}");

        /* Euro signs, three bytes each: 32768 is no multiple of three. */
        for (size_t i = 0; i + 3 <= sizeof(bytes); i += 3)
                memcpy(bytes + i, "\xe2\x82\xac", 3);
        output_put(1, bytes, 39999);
        for (int round = 0; round < 2; round++) {
                char at[32];

                call = call_of("GET", "/v1/operations/1/log", SHOP_UID);
                (void)snprintf(at, sizeof(at), "%lld", (long long)offset);
                arg_add(&call, "offset", at);
                ASSERT_OK(route(&call));
                total += json_string_length(json_object_get(answer.json, "text"));
                offset = json_integer_value(json_object_get(answer.json, "offset"));
                ASSERT(strstr(answer_string(), "\xef\xbf\xbd") == NULL);
                ASSERT_EQ(json_is_true(json_object_get(answer.json, "done")), round == 1);
        }
        ASSERT_EQ(total, 39999);
        ASSERT_EQ(offset, 39999);
}

TEST(only_what_is_held_is_resumed)
{
        begin();
        ASSERT_ERR(ask("POST", "/v1/operations/1/resume", 0, NULL), ERR_NOTHING, "has ended");
        ASSERT_ERR(ask("POST", "/v1/operations/1/abort", 0, NULL), ERR_NOTHING, "");
}

static void target_put(const char *name, const char *lines)
{
        char file[64];

        (void)snprintf(file, sizeof(file), "notices.d/%s.conf", name);
        ASSERT_OK(file_replace(dirs.conf_fd, file, lines, strlen(lines), 0644, &err));
}

TEST(notices_are_tested_listed_and_tried_again)
{
        begin();
        ASSERT_EQ(mkdirat(dirs.conf_fd, "notices.d", 0755), 0);
        target_put("hook", "[notice]\nkind = webhook\n[webhook]\nurl = https://example.org/\n");
        ASSERT_OK(ask("GET", "/v1/notices", 0, NULL));
        ASSERT_STR(answer_string(), "{\"deliveries\":[],\"dropped\":0}");
        ASSERT_ERR(ask("POST", "/v1/notices/test", 0, "{\"target\": \"none\"}"), ERR_NOT_FOUND,
                   "notices.d/none.conf");
        ASSERT_ERR(ask("POST", "/v1/notices/test", 0, "{\"target\": \"../x\"}"), ERR_INVALID, "");
        ASSERT_ERR(ask("POST", "/v1/notices/test", 0, "{}"), ERR_INVALID, "'target' is the name");
        ASSERT_ERR(ask("POST", "/v1/notices/retry", 0, "{\"x\": 1}"), ERR_INVALID, "only member");
        ASSERT_OK(ask("POST", "/v1/notices/test", 0, "{\"target\": \"hook\"}"));
        ASSERT_EQ(answer.status, 202);
        ASSERT_EQ(json_get_u64(answer.json, "notice"), 1);
        ASSERT_OK(outbox_failed(api.outbox, 1, "no route", true, clock_wall_usec(), &err));
        ASSERT_OK(ask("GET", "/v1/notices", 0, NULL));
        ASSERT(strstr(answer_string(), "\"phase\":\"test\",\"site\":null,\"state\":\"dead\","
                                       "\"attempts\":1") != NULL);
        ASSERT(strstr(answer_string(), "\"next\":null") != NULL);
        ASSERT_OK(ask("POST", "/v1/notices/retry", 0, "{\"target\": \"hook\"}"));
        ASSERT_STR(answer_string(), "{\"count\":1}");
}

TEST(mistakes_in_notices_d_are_named)
{
        begin();
        ASSERT_OK(ask("GET", "/v1/notices/check", 0, NULL));
        ASSERT_STR(answer_string(), "{\"ok\":true,\"targets\":[],\"problems\":[]}");
        ASSERT_EQ(mkdirat(dirs.conf_fd, "notices.d", 0755), 0);
        target_put("bad", "[notice]\nkind = fax\n");
        target_put("lost", "[notice]\nkind = webhook\n[webhook]\nurl = https://example.org/\n"
                           "secret_file = /nonexistent/secret\n");
        ASSERT_OK(ask("GET", "/v1/notices/check", 0, NULL));
        ASSERT(strstr(answer_string(), "\"file\":\"notices.d/bad.conf\",\"line\":2") != NULL);
        ASSERT(strstr(answer_string(), "/nonexistent/secret") != NULL);
        ASSERT(strstr(answer_string(), "{\"name\":\"lost\",\"kind\":\"webhook\"}") != NULL);
}
