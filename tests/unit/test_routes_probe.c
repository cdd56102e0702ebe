/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapd/probation.h"
#include "common/json.h"
#include "snapd/routes.h"
#include "snapd/sql.h"
#include "tests/lib/places.h"
#include "tests/lib/test.h"

static struct err err;
static struct dirs dirs;
static struct api api = { .dirs = &dirs };

static void begin(void)
{
        struct version version = { .number = 1, .label = (char *)"one", .verb = (char *)"add" };
        json_t *empty = json_object();
        op_id id;

        places_begin(&dirs);
        ASSERT_OK(catalog_open(dirs.state_fd, &api.catalog, &err));
        ASSERT_OK(sitecache_open(&dirs, &api.sites, &err));
        ASSERT_OK(catalog_add_site(api.catalog, "shop", "overlayfs", "/", &err));
        ASSERT_OK(catalog_put_version(api.catalog, "shop", &version, &err));
        ASSERT_OK(journal_queue(api.catalog, "shop", "activate", empty, 0, &id, &err));
        ASSERT_OK(journal_state(api.catalog, id, OP_FAILED, NULL, &err));
        ASSERT_OK(history_open(dirs.state_fd, &api.history, &err));
        ASSERT_OK(outbox_open(dirs.state_fd, &api.outbox, &err));
        json_decref(empty);
}

static int ask(const char *path, const char *span, struct answer *answer)
{
        struct call call = { .method = "GET", .path = path, .peer = { .admin = true } };

        if (span != NULL) {
                call.args[0].name = "span";
                call.args[0].value = span;
                call.n_args = 1;
        }
        *answer = (struct answer){ 0 };
        return routes_answer(&api, &call, answer, &err);
}

TEST(metrics_are_text_of_prometheus)
{
        struct answer answer;

        begin();

        /* No name of ours has quotes in it; that is what a reader may not have to rely on. */
        ASSERT_OK(sql_script(catalog_db(api.catalog),
                             "INSERT INTO sites VALUES ('a\"b\\' || char(10) || 'c', 'x', '/')",
                             &err));
        ASSERT_OK(ask("/v1/metrics", NULL, &answer));
        ASSERT(strncmp(answer.type, "text/plain", 10) == 0);
        ASSERT(strstr(answer.text, "\nsitesnap_sites 2\n") != NULL);
        ASSERT(strstr(answer.text, "\nsitesnap_active_version{site=\"shop\"} 1\n") != NULL);
        ASSERT(strstr(answer.text, "{site=\"a\\\"b\\\\\\nc\"} 0\n") != NULL);
        ASSERT(strstr(answer.text, "verb=\"activate\",state=\"failed\"} 1") != NULL);
        ASSERT(strstr(answer.text, "\nsitesnap_notices_waiting 0\n") != NULL);
        for (const char *line = answer.text; *line != '\0'; line = strchr(line, '\n') + 1)
                ASSERT(line[0] == '#' || strncmp(line, "sitesnap_", 9) == 0);
        free(answer.text);
}

TEST(what_was_measured_is_asked_by_span)
{
        struct sample sample = {
                .wall_usec = clock_wall_usec() - 60 * USEC_PER_SEC,
                .good = 7,
                .to_usec = 1,
        };
        struct answer answer;
        char *text;

        begin();
        history_add(api.history, "shop", "front", &sample);
        ASSERT_OK(ask("/v1/sites/shop/probes", NULL, &answer));
        text = json_dumps(answer.json, JSON_COMPACT);
        ASSERT(strstr(text,
                      "\"span\":\"hour\",\"round_sec\":10,\"probes\":[{\"probe\":\"front\"") !=
               NULL);
        ASSERT(strstr(text, "\"good\":7,") != NULL);
        free(text);
        json_decref(answer.json);
        ASSERT_ERR(ask("/v1/sites/shop/probes", "year", &answer), ERR_INVALID,
                   "hour, day or month");
}

static bool sent_new;

static int announce(const char *site, const char *body)
{
        CLEANUP(json_decrefp) json_t *json = NULL;
        struct answer answer = { 0 };
        char path[80];
        int ret;

        (void)snprintf(path, sizeof(path), "/v1/sites/%s/notices", site);
        ASSERT_OK(json_parse(body, strlen(body), &json, &err));
        ret = routes_answer(
                &api,
                &(struct call){
                        .method = "POST", .path = path, .body = json, .peer = { .admin = true } },
                &answer, &err);
        sent_new = json_is_true(json_object_get(answer.json, "new"));
        json_decref(answer.json);
        return ret;
}

static int keep_body(const struct outbox_notice *notice, void *arg, struct err *e)
{
        const struct outbox_wish wish = { "t", 0 };

        (void)arg;
        return outbox_route(api.outbox, notice->id, &wish, 1, clock_wall_usec(), e);
}

TEST(what_others_know_of_releases_is_told_once)
{
        struct delivery_list list;
        char body[200];
        json_int_t at = clock_wall_usec() / USEC_PER_SEC + 3600;

        begin();
        ASSERT_ERR(announce("shop", "{\"phase\": \"finished\"}"), ERR_INVALID, "by itself");
        ASSERT_ERR(announce("shop", "{\"phase\": \"scheduled\"}"), ERR_INVALID, "'at_sec'");
        ASSERT_ERR(announce("shop", "{\"phase\": \"scheduled\", \"at_sec\": 1}"), ERR_INVALID,
                   "to come");
        ASSERT_ERR(announce("shop", "{\"phase\": \"scheduled\", \"at_sec\": -18400000000000}"),
                   ERR_INVALID, "to come");
        ASSERT_ERR(announce("shop", "{\"phase\": \"available\", \"at_sec\": 1}"), ERR_INVALID,
                   "belongs to");
        ASSERT_ERR(announce("shop", "{\"phase\": \"available\", \"label\": \"\"}"), ERR_INVALID,
                   "'label'");
        ASSERT_ERR(announce("shop", "{\"phase\": \"available\", \"x\": 1}"), ERR_INVALID,
                   "unknown");
        ASSERT_ERR(announce("none", "{\"phase\": \"available\"}"), ERR_NOT_FOUND, "");
        ASSERT_OK(probation_release_bad(api.catalog, "shop", "6.6", 1, "it was slow", &err));
        ASSERT_ERR(announce("shop", "{\"phase\": \"available\", \"label\": \"6.6\"}"), ERR_REFUSED,
                   "was taken back here");

        ASSERT_OK(announce("shop", "{\"phase\": \"available\", \"label\": \"6.7\"}"));
        ASSERT(sent_new);
        ASSERT_OK(announce("shop", "{\"phase\": \"available\", \"label\": \"6.7\"}"));
        ASSERT(!sent_new);
        (void)snprintf(body, sizeof(body),
                       "{\"phase\": \"scheduled\", \"label\": \"6.7\", \"reason\": \"CVE\", "
                       "\"at_sec\": %lld}",
                       (long long)at);
        ASSERT_OK(announce("shop", body));
        ASSERT_OK(outbox_unrouted(api.outbox, keep_body, NULL, &err));
        ASSERT_OK(outbox_due(api.outbox, "t", clock_wall_usec(), 100, &list, &err));
        ASSERT_EQ(list.n, 2);
        ASSERT(strstr(list.items[0].body, "\"subject\":\"shop: 6.7 is available\"") != NULL);
        ASSERT(strstr(list.items[1].body, "An upgrade of 'shop' to 6.7 is going to begin at 2") !=
               NULL);
        ASSERT(strstr(list.items[1].body, "\"why\":\"CVE\"") != NULL);
        delivery_list_done(&list);
}
